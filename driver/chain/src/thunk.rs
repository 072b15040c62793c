//! From the trait to the table: one pair of C-ABI functions per stage type.

use alloc::boxed::Box;
use core::ffi::c_void;

use crate::{
    abi::{ABI_VERSION, Io, StageTable, Verdict},
    io::StageIo,
    stage::Stage,
};

/// The table of stage type `S`. Its context is a `*const S` that somebody else owns.
pub const fn table<S: Stage>() -> StageTable {
    with_detach::<S>(leave_alone)
}

/// The table of stage type `S` whose context is the pointer of a `Box<S>`, dropped when the stage is detached.
pub const fn owning_table<S: Stage>() -> StageTable {
    with_detach::<S>(drop_box::<S>)
}

const fn with_detach<S: Stage>(detach: unsafe extern "C" fn(*const c_void)) -> StageTable {
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

unsafe extern "C" fn leave_alone(_context: *const c_void) {}

unsafe extern "C" fn drop_box<S: Stage>(context: *const c_void) {
    // SAFETY: `Chain::push_owned` made the context by `Box::into_raw`, and detaching is its last use.
    drop(unsafe { Box::from_raw(context.cast_mut().cast::<S>()) });
}
