//! What a miniport did wrong. Nothing of it harms the port; all of it is counted.

use core::sync::atomic::{AtomicU32, Ordering};

macro_rules! faults {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// Counts of a miniport's mistakes.
        #[derive(Debug, Default)]
        pub struct Faults { $($(#[doc = $doc])* pub $name: AtomicU32,)* }

        impl Faults {
            /// None yet.
            #[must_use]
            pub const fn new() -> Self {
                Self { $($name: AtomicU32::new(0),)* }
            }

            /// Each by its name.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u32)> + '_ {
                [$((stringify!($name), self.$name.load(Ordering::Relaxed)),)*].into_iter()
            }
        }
    };
}

faults! {
    /// SRBs completed that the miniport did not have: a second time, or at a wrong moment.
    completed_twice,
    /// SRBs completed that are none of this port's.
    foreign_srb,
    /// SRBs completed after they had been given up for lost.
    late,
    /// A lock taken that its taker had already, or below one that it had.
    lock_order,
    /// A lock handle released that held nothing.
    lock_release,
    /// A function called at an IRQL at which it may not be.
    irql,
    /// A function called outside the callback that it belongs to.
    wrong_moment,
    /// Memory, a timer or a worker freed that was not there.
    freed_wrongly,
    /// Any other argument that cannot be.
    argument,
    /// Requests that ran out of time.
    timed_out,
    /// Requests given up for lost after the last reset.
    lost,
}

/// Counts one.
pub(crate) fn count(fault: &AtomicU32) {
    fault.fetch_add(1, Ordering::Relaxed);
}
