//! `sluice.sys`: a lower filter of disk.sys that runs every request of an unlocked disk through the shim; and the function
//! driver of adapters, whose miniports it hosts.
//!
//! ```text
//!   filter
//!   dispatch ─┬─ requests ── policy ─┬─ pass ─────────────────────────────► device below
//!             │                      └─ submit ► shim ① chain ► miniport ► child_io ─► device below
//!             │                         completion ◄ shim ② chain ◄── DPC ◄──────────────┘
//!             ├─ ioctl, pnp, power, usage
//!             └─ control ── identity (header, key) ── volume
//!
//!   function driver ([`function`])
//!   dispatch ─┬─ adapter: pnp ── scan ── units come and go
//!             └─ unit: srb, ioctl ── policy ── submit ► shim ① chain ► miniport: RAM disks, a virtio device
//!                         completion ◄ shim ② chain ◄── DPC ◄──────────┘     on PCI ([`function::virtio`]), or a driver's
//!                                                                            that is linked to this one ([`function::port`])
//! ```
//!
//! [`role`] says of each device object which of them it is; [`function::kind`], how AddDevice finds out.
//!
//! Life of a disk: `AddDevice` attaches a [`disk::Disk`]; `START_DEVICE` reads its header ([`identity`]); the
//! control device unlocks it ([`control`]), which sets up a [`volume::Volume`]; removing it waits for its
//! requests, wipes its keys and deletes it.
//!
//! Only `wdk-sys` structures cross [`nt`]; everything above it is safe Rust but for the completion routines.
//! Nothing here has run on Windows yet: see `docs/testing.md` for what has run where.
#![no_std]

extern crate alloc;
// For its panic handler.
use sluice_mapped as _;
use wdk_panic as _;

mod below;
mod child_io;
mod completion;
mod control;
mod disk;
mod dispatch;
mod edited;
mod function;
mod gated;
mod identity;
mod ioctl;
mod mapped;
mod nt;
mod pass_through;
mod platform;
mod pnp;
mod power;
mod probe;
mod registry;
mod requests;
mod role;
mod stages;
mod usage;
mod verdict;
mod volume;

use nt::irql::Passive;
use wdk_sys::{DRIVER_OBJECT, NTSTATUS, PCUNICODE_STRING, PDRIVER_OBJECT, STATUS_SUCCESS};

/// The driver's entry point. PASSIVE_LEVEL.
///
/// # Safety
/// Called by the I/O manager, once, with this driver's object.
#[unsafe(export_name = "DriverEntry")]
pub unsafe extern "system" fn driver_entry(driver: &mut DRIVER_OBJECT, _path: PCUNICODE_STRING) -> NTSTATUS {
    // SAFETY: the I/O manager calls DriverEntry at PASSIVE_LEVEL.
    let at = unsafe { Passive::assume() };
    function::port::system::install();
    // SAFETY: as above, and nothing is installed yet.
    if let Err(status) = unsafe { control::create(driver, at) } {
        return status;
    }
    dispatch::install(driver, unload);
    STATUS_SUCCESS
}

/// A miniport that is linked to this driver has been loaded first, and has brought its image in: there is no DriverEntry
/// then, until the service is started. PASSIVE_LEVEL.
///
/// # Safety
/// Called by the loader, once.
#[unsafe(export_name = "DllInitialize")]
pub unsafe extern "system" fn dll_initialize(_path: PCUNICODE_STRING) -> NTSTATUS {
    function::port::system::install();
    STATUS_SUCCESS
}

/// The last such miniport has gone, and the service is not running. PASSIVE_LEVEL.
///
/// # Safety
/// Called by the loader, once.
#[unsafe(export_name = "DllUnload")]
pub unsafe extern "system" fn dll_unload() -> NTSTATUS {
    STATUS_SUCCESS
}

/// DriverUnload: the last disk has gone. PASSIVE_LEVEL.
unsafe extern "C" fn unload(_driver: PDRIVER_OBJECT) {
    debug_assert!(registry::DISKS.is_empty() && stages::are_gone());
    // SAFETY: the I/O manager calls it at PASSIVE_LEVEL, when no device object is in use.
    unsafe { control::delete() };
}
