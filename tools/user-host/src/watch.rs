//! Who looks on: a host under test tells of each step that has a rule. See `tests/checker`.

use sluice_shim::platform::LockWord;

/// Told of what a host does, on the thread that does it. Nothing is asked of it by default.
pub trait Watch: Sync {
    /// The IRQL becomes DISPATCH_LEVEL; answers what it was.
    fn raise(&self) -> u8 {
        0
    }

    /// It becomes what it was.
    fn lower(&self, _old: u8) {}

    /// A lock is about to be waited for.
    fn acquires(&self, _lock: &LockWord) {}

    /// It is held.
    fn acquired(&self, _lock: &LockWord) {}

    /// It is about to be given back.
    fn releases(&self, _lock: &LockWord) {}

    /// Memory that may have had locks in it is freed: others may come to lie there.
    fn forgets(&self, _start: usize, _bytes: usize) {}

    /// A request, by its address, is about to be submitted.
    fn submits(&self, _call: usize) {}

    /// It is about to be answered. Nobody may look at it after that.
    fn finishes(&self, _call: usize) {}

    /// Something outside the shim is called, or has called it and goes on: no lock may be held.
    fn crosses(&self) {}
}
