//! From the trait to the table: one pair of C-ABI functions per stage type.

use core::ffi::c_void;

use crate::{
    abi::{ABI_VERSION, Io, StageTable, Verdict},
    io::StageIo,
    stage::Stage,
};

/// The table of stage type `S`. Its context is a `*const S`.
pub const fn table<S: Stage>() -> StageTable {
    StageTable {
        size: size_of::<StageTable>() as u32,
        version: ABI_VERSION,
        name: padded(S::NAME),
        needs: S::NEEDS,
        reserved: 0,
        request: request::<S>,
        completion: completion::<S>,
        detach,
    }
}

const fn padded(name: &str) -> [u8; 16] {
    let (bytes, mut out, mut at) = (name.as_bytes(), [0; 16], 0);
    assert!(bytes.len() <= out.len());
    while at < bytes.len() {
        out[at] = bytes[at];
        at += 1;
    }
    out
}

unsafe extern "C" fn request<S: Stage>(context: *const c_void, io: *mut Io) -> Verdict {
    // SAFETY: `Chain` passes the context that was registered with this table, an `S` that outlives the chain,
    // and an `Io` that belongs to this call alone.
    let (stage, mut io) = unsafe { (&*context.cast::<S>(), StageIo::new(io)) };
    stage.request(&mut io)
}

unsafe extern "C" fn completion<S: Stage>(context: *const c_void, io: *mut Io) -> Verdict {
    // SAFETY: as in `request`.
    let (stage, mut io) = unsafe { (&*context.cast::<S>(), StageIo::new(io)) };
    stage.completion(&mut io)
}

/// A Rust stage is owned by its volume and dropped there.
unsafe extern "C" fn detach(_context: *const c_void) {}
