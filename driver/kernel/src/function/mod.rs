//! The function driver's role: `sluice.sys` as the driver of an adapter, whose miniport it hosts.
//!
//! ```text
//!   PnP ── kind (whose adapter?) ── fdo ──── hosted: the miniport: ours (RAM disks, [`virtio`]), or one
//!                                    │           ▲      that is linked to us ([`port`])
//!                                    │ scan      │
//!                                    ▼           │
//!   disk.sys ──► pdo ── srb ── line: shim ① chain ► miniport
//!                 │               shim ② chain ◄── DPC ◄──┘
//!                 ├─ pdo_pnp: who the unit is, and its comings and goings
//!                 └─ ioctl: properties, pass-through
//! ```
//!
//! Life of an adapter: `AddDevice` attaches an [`fdo::Fdo`]; `START_DEVICE` starts its miniport; each time the PnP
//! manager asks what is on the bus, [`scan`] asks the units there. It does so as anybody would, by SRBs to their
//! device objects, which therefore come first. A unit that is there gets reported; one that is there no more is left
//! out of the next report, and its device object goes with the REMOVE_DEVICE that follows. When the adapter goes, its
//! units are closed before the miniport is.
//!
//! A unit's requests go the way of a filtered disk's: `requests` describes them, a shim unit takes them, `completion`
//! answers them. What that unit's chain has no word for (INQUIRY, MODE SENSE, resets) reaches the miniport as it came.

pub(crate) mod fdo;
mod fdo_pnp;
mod fdo_power;
mod hosted;
mod ioctl;
pub(crate) mod kind;
mod line;
pub(crate) mod pdo;
mod pdo_pnp;
mod pdo_power;
pub(crate) mod port;
mod scan;
mod srb;
mod virtio;

use wdk_sys::{
    IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_CREATE, IRP_MJ_DEVICE_CONTROL, IRP_MJ_PNP, IRP_MJ_POWER,
    IRP_MJ_SCSI, NTSTATUS, STATUS_INVALID_DEVICE_REQUEST, STATUS_SUCCESS,
};

use crate::nt::{irp::Irp, irql::Passive};

/// IRPs for an adapter.
///
/// # Safety
/// PNP and DEVICE_CONTROL requests come at PASSIVE_LEVEL.
pub(crate) unsafe fn dispatch_adapter(fdo: &'static fdo::Fdo, irp: Irp) -> NTSTATUS {
    match u32::from(irp.stack().MajorFunction) {
        IRP_MJ_CREATE | IRP_MJ_CLEANUP | IRP_MJ_CLOSE => irp.complete(STATUS_SUCCESS, 0),
        // SAFETY: the caller's contract.
        IRP_MJ_PNP => fdo_pnp::dispatch(fdo, irp, unsafe { Passive::assume() }),
        IRP_MJ_DEVICE_CONTROL => ioctl::adapter(fdo, irp),
        // Requests for units go to these.
        IRP_MJ_SCSI => irp.complete(STATUS_INVALID_DEVICE_REQUEST, 0),
        IRP_MJ_POWER => fdo_power::dispatch(fdo, irp),
        _ => fdo.with_lock(irp, |irp| irp.pass(fdo.lower())),
    }
}

/// IRPs for a unit.
///
/// # Safety
/// As for [`dispatch_adapter`].
pub(crate) unsafe fn dispatch_unit(pdo: &'static pdo::Pdo, irp: Irp) -> NTSTATUS {
    match u32::from(irp.stack().MajorFunction) {
        IRP_MJ_CREATE | IRP_MJ_CLEANUP | IRP_MJ_CLOSE => irp.complete(STATUS_SUCCESS, 0),
        IRP_MJ_SCSI => srb::dispatch(pdo, irp),
        // SAFETY: the caller's contract.
        IRP_MJ_DEVICE_CONTROL => ioctl::unit(pdo, irp, unsafe { Passive::assume() }),
        // SAFETY: the caller's contract.
        IRP_MJ_PNP => pdo_pnp::dispatch(pdo, irp, unsafe { Passive::assume() }),
        IRP_MJ_POWER => pdo_power::dispatch(pdo, irp),
        _ => irp.complete_as_it_is(),
    }
}
