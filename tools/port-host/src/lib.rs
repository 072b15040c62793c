//! The port's services in user mode: miniports that know nothing of Rust, on threads instead of a kernel.
//!
//! ```text
//!   load(driver_entry) ──► Registration ──► Adapter::start(hardware) ──► add_unit, command, disk, interrupt, …
//! ```
//!
//! Each adapter has a thread for its DPCs and timers (DISPATCH_LEVEL) and one for its work items (PASSIVE_LEVEL). Every
//! thread has an IRQL of its own; what a kernel would not allow at an IRQL is written down ([`violations`]).
//! Somebody may look on ([`watch`]): `tests/checker` applies the rules of Driver Verifier.
//!
//! Physical addresses are made up: memory that is allocated for a device is in one piece, any other changes its
//! neighbours from page to page, so that every page is an element of its own in a scatter list.
//! [`Adapter::device_view`] leads from a device's address to the memory, for devices that tests simulate.
//!
//! ```text
//!   irql      each thread's IRQL, and what broke its rules     hardware   what an adapter looks like
//!   system    memory, locks, clocks                            adapter    one adapter and its threads
//!   dma       addresses as a device sees them                  services   what its port asks of it
//! ```

mod adapter;
mod dma;
mod hardware;
mod irql;
mod services;
mod system;

pub use adapter::{Adapter, Reply};
pub use hardware::{Hardware, Logged, Record, Traced};
pub use irql::{DEVICE_LEVEL, current, raised, violations, watch};
pub use services::left;
pub use system::{allocations, fail_allocation, load};
