//! The virtio-blk miniport on a device of another process, by vhost-user: the shim, the miniport and the device as they are,
//! without a machine around them.
//!
//! ```text
//!   region      memory that both processes see
//!   transport   the front end of the protocol, as the miniport's transport
//!   events      the thread that plays interrupts and clock
//!   attached    a disk: all of these, and the shim's host in user mode
//!   daemon      QEMU's storage daemon with such a device
//! ```
#![cfg(target_os = "linux")]

mod attached;
mod daemon;
mod events;
mod region;
mod transport;

pub use attached::{Attached, device};
pub use daemon::{Daemon, Export, Format};
pub use events::{AsDevice, Events};
pub use region::{Buffer, Region};
pub use transport::VhostUser;
