//! SRBs for a unit: what the port does itself, and what goes to the miniport.

use core::sync::atomic::Ordering;

use sluice_chain::Segment;
use sluice_shim::{
    request::{Carry, Incoming},
    scsi::{
        cdb::{BlockRange, ByteCheck, Command},
        policy::{Treatment, VolumeState},
        sense::Refusal,
    },
    storport::{SrbFunction, SrbStatus, srb::SrbView},
    unit::{Hold, Unit},
};
use wdk_sys::{NTSTATUS, STATUS_INVALID_PARAMETER, STATUS_SUCCESS};

use super::{line::Line, pdo::Pdo};
use crate::{
    completion::Served,
    nt::irp::Irp,
    requests::{self, Asked},
};

/// IRP_MJ_SCSI (also called IRP_MJ_INTERNAL_DEVICE_CONTROL). Up to DISPATCH_LEVEL.
pub(crate) fn dispatch(pdo: &'static Pdo, irp: Irp) -> NTSTATUS {
    let Some(mut asked) = Asked::of(&irp) else { return irp.complete(STATUS_INVALID_PARAMETER, 0) };
    // Twice inside: once for the request, until it is finished, and once for this call.
    let Some(here) = pdo.enter() else {
        return requests::refuse(pdo, irp, &mut asked.view, Refusal::NoDevice);
    };
    let status = match pdo.line(&here) {
        Some(line) => treat(pdo, irp, &mut asked, line),
        None => requests::refuse(pdo, irp, &mut asked.view, Refusal::NoDevice),
    };
    pdo.leave(here);
    status
}

fn treat(pdo: &'static Pdo, irp: Irp, asked: &mut Asked, line: &Line) -> NTSTATUS {
    let view = &mut asked.view;
    match view.function() {
        // Disk drivers of old take the device to send to from the SRB.
        SrbFunction::CLAIM_DEVICE => match pdo.claimed.swap(true, Ordering::AcqRel) {
            true => requests::refuse(pdo, irp, view, Refusal::Busy),
            false => {
                view.set_data_buffer(pdo.device.as_ptr().cast());
                done(irp, view)
            }
        },
        SrbFunction::RELEASE_DEVICE => {
            pdo.claimed.store(false, Ordering::Release);
            done(irp, view)
        }
        SrbFunction::LOCK_QUEUE => {
            line.unit().hold(Hold::LOCKED);
            done(irp, view)
        }
        SrbFunction::UNLOCK_QUEUE => {
            line.unit().go_on(Hold::LOCKED);
            done(irp, view)
        }
        // The queue never freezes: no SRB comes back with SRB_STATUS_QUEUE_FROZEN.
        SrbFunction::RELEASE_QUEUE => done(irp, view),
        SrbFunction::FLUSH_QUEUE => {
            pdo.flush(line, Refusal::Aborted);
            done(irp, view)
        }
        _ => submit(pdo, irp, asked, line.unit()),
    }
}

fn done(irp: Irp, view: &mut SrbView) -> NTSTATUS {
    view.set_srb_status(SrbStatus::SUCCESS);
    irp.complete(STATUS_SUCCESS, 0)
}

/// Hands a request to the unit.
fn submit(pdo: &'static Pdo, irp: Irp, asked: &mut Asked, unit: &Unit) -> NTSTATUS {
    let checked = describe(&irp, asked, unit)
        .and_then(|incoming| unit.check(&incoming).map_err(|_| Refusal::InvalidField))
        .and_then(|checked| pdo.enter().map(|inside| (checked, inside)).ok_or(Refusal::NoDevice));
    match checked {
        Ok((checked, inside)) => requests::enter(pdo, irp, &asked.view, unit, &checked, inside),
        Err(refusal) => requests::refuse(pdo, irp, &mut asked.view, refusal),
    }
}

/// What the unit is asked for an SRB.
///
/// # Errors
/// What the policy refuses while stages change the unit's data, and what cannot be understood.
pub(crate) fn describe(irp: &Irp, asked: &Asked, unit: &Unit) -> Result<Incoming, Refusal> {
    match asked.view.function() {
        SrbFunction::EXECUTE_SCSI => {}
        SrbFunction::FLUSH | SrbFunction::SHUTDOWN => {
            return requests::describe(irp, asked, unit.sector_size());
        }
        SrbFunction::IO_CONTROL
        | SrbFunction::RESET_BUS
        | SrbFunction::RESET_DEVICE
        | SrbFunction::RESET_LOGICAL_UNIT => {}
        _ => return Err(Refusal::InvalidOpcode),
    }
    if let Treatment::Refuse(refusal) = requests::decide(irp, asked, state(unit)) {
        return Err(refusal);
    }
    if unit.sector_size() != 0 && asked.command.is_ok_and(is_about_blocks) {
        return requests::describe(irp, asked, unit.sector_size());
    }
    command(irp, &asked.view)
}

/// To the policy, a unit whose stages change its data is a volume that lies in place; any other is plain.
pub(crate) fn state(unit: &Unit) -> VolumeState {
    match unit.chain().slots().next() {
        Some(_) => VolumeState::InPlace { read_only: false, discards: true },
        None => VolumeState::Plain,
    }
}

/// Whether stages have a word for it. A transfer of no blocks, or one with protection information, goes as it came.
fn is_about_blocks(command: Command) -> bool {
    let plain = |range: BlockRange, protect: u8| range.blocks > 0 && protect == 0;
    match command {
        Command::Read(transfer) | Command::Write(transfer) | Command::Verify(transfer, ByteCheck::Medium) => {
            plain(transfer.range, transfer.protect)
        }
        Command::Unmap { anchor, length } => !anchor && length > 0,
        Command::SynchronizeCache { .. } => true,
        _ => false,
    }
}

/// A command that only the device understands.
fn command(irp: &Irp, view: &SrbView) -> Result<Incoming, Refusal> {
    let length = view.data_transfer_length();
    let payload = requests::payload(irp, view, length)?;
    Ok(Incoming {
        same: false,
        direction: Incoming::COMMAND,
        flags: sluice_chain::Flags::default(),
        sector: 0,
        length,
        payload: Segment { length: length as usize, ..payload },
        carry: Carry::whole(view),
    })
}
