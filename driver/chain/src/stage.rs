//! The safe face of a stage.

use crate::{
    abi::{Needs, Verdict},
    io::StageIo,
};

/// A stage written in Rust. [`crate::thunk::table`] turns it into a [`crate::StageTable`].
///
/// Both calls run at up to DISPATCH_LEVEL, on any thread, several at once: they must not wait, allocate paged
/// memory or panic.
pub trait Stage: Sync {
    /// Shown in statistics. ASCII, at most 16 bytes.
    const NAME: &'static str;

    /// What the host must provide.
    const NEEDS: Needs;

    /// The way down. The default lets the I/O pass.
    fn request(&self, io: &mut StageIo<'_>) -> Verdict {
        let _ = io;
        Verdict::CONTINUE
    }

    /// The way up. The default lets the I/O pass.
    fn completion(&self, io: &mut StageIo<'_>) -> Verdict {
        let _ = io;
        Verdict::CONTINUE
    }
}
