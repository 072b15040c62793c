//! The compatibility shim's host in user mode: the same shim and chain as in the driver, in a process.
//!
//! ```text
//!   platform   locks, the completion "DPC" (on a thread of its own, or run by whoever waits)
//!   clock      a cheap monotonic clock
//!   call       one request of a caller, from submission to answer
//!   disk       a miniport, a chain and a unit put together, with calls that wait
//!   watch      who looks on while tests run
//!   leaked     references that the shim takes for `'static`, taken back in the right order
//! ```

mod call;
pub mod clock;
mod disk;
mod leaked;
mod platform;
mod watch;

pub use call::{Answer, Device};
pub use disk::{Disk, Executor, Operation, Setup, Ticket};
pub use platform::User;
pub use watch::Watch;
