//! Miniports in drivers of their own, which are linked to `sluice.sys` in place of Microsoft's `storport.sys`.
//!
//! ```text
//!   miniport.sys                          sluice.sys
//!   DriverEntry ── StorPortInitialize ──► linked: its driver object gets our AddDevice and dispatch
//!                                         adapter: a port, its DPC, timer and thread
//!                                         hardware, interrupt: what is behind it
//!   HwStorStartIo ◄── sluice-port ◄────── services, system: what the port asks of the kernel
//! ```
//!
//! So its adapters and their units are device objects of the miniport's driver, and everything else about them is as
//! for the miniports that are linked in.

pub(crate) mod adapter;
mod hardware;
mod interrupt;
pub(crate) mod linked;
mod registry;
mod services;
pub(crate) mod system;
