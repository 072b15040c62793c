//! The checker: in user mode, the rules that Driver Verifier and the StorPort verifier apply to drivers and miniports.
//!
//! ```text
//!   rules    what each thread and each request may do; one list of what was done against it
//!   disk     a miniport in the shim, looked on from every side; pending: one that answers later, from elsewhere
//!   heap     the n-th allocation fails, for each n; what is not given back
//! ```
//!
//! A test uses [`Disk`] in place of `sluice_user_host::Disk`, and [`platform`] in place of `User::new()`. What breaks a rule
//! is printed at once, and the disk panics when it is dropped. The shim is built with its feature `checked`, so that
//! memory of requests that are over is filled with a pattern.
//!
//! | rule | broken by |
//! |---|---|
//! | `irql.acquire` | a lock taken above DISPATCH_LEVEL |
//! | `irql.release` | a lock given back at another IRQL, or out of order so that the IRQL falls too early |
//! | `irql.return` | a miniport that comes back at another IRQL than it was called at |
//! | `lock.twice` | a lock taken by the thread that holds it |
//! | `lock.order` | two locks, taken in one order and in the other |
//! | `lock.foreign` | a lock given back by a thread that does not hold it |
//! | `lock.kept` | a lock held over a call to a miniport or a caller |
//! | `request.unknown` | an answer to what was not asked, or was answered before |
//! | `request.twice` | a request submitted again before its answer |
//! | `request.lost` | no answer |
//! | `srb.twice` | a miniport that completes what is not its |
//! | `srb.after` | a miniport that writes to an SRB, its sense data or private memory after it was completed |
//! | `pool.lock` | an allocation under a lock |
//! | `pool.leak` | memory that is not given back when something fails for want of memory |
//!
//! What has no like in a process (MDLs, IRPs, remove locks, work items, stacks) is checked for the driver itself by
//! `tests/e2e/wine/verifier`.

mod disk;
pub mod heap;
mod pending;
mod rules;

pub use disk::Disk;
pub use pending::Pending;
#[doc(hidden)]
pub use rules::stay_at;
pub use rules::{Checker, DISPATCH_LEVEL, at_dispatch};

use std::sync::LazyLock;

use sluice_user_host::User;

/// A platform that is looked on, one for the whole process: what breaks a rule panics where it is done.
pub fn platform() -> &'static User {
    static PLATFORM: LazyLock<User> = LazyLock::new(|| User::watched(Checker::strict()));
    &PLATFORM
}
