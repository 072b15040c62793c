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
    unit::Hold,
};
use wdk_sys::{NTSTATUS, STATUS_INVALID_PARAMETER, STATUS_PENDING, STATUS_SUCCESS};

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
        SrbFunction::QUIESCE_DEVICE => quiesce(pdo, irp, view, line),
        // The queue never freezes: no SRB comes back with SRB_STATUS_QUEUE_FROZEN.
        SrbFunction::RELEASE_QUEUE => done(irp, view),
        SrbFunction::FLUSH_QUEUE => {
            pdo.flush(line, Refusal::Aborted);
            done(irp, view)
        }
        _ => submit(pdo, irp, asked, line),
    }
}

/// What comes waits, as by LOCK_QUEUE and until UNLOCK_QUEUE, and the answer comes when nothing is under way any more: class
/// drivers send it before they stop the unit.
fn quiesce(pdo: &'static Pdo, irp: Irp, view: &mut SrbView, line: &Line) -> NTSTATUS {
    let Some(inside) = pdo.enter() else { return requests::refuse(pdo, irp, view, Refusal::NoDevice) };
    line.unit().hold(Hold::LOCKED);
    pdo.quiesce(irp, inside, line);
    STATUS_PENDING
}

/// Answers a QUIESCE_DEVICE that has waited.
pub(super) fn quiet(irp: Irp) {
    match requests::view(&irp) {
        Some(mut view) => done(irp, &mut view),
        None => irp.complete(STATUS_INVALID_PARAMETER, 0),
    };
}

fn done(irp: Irp, view: &mut SrbView) -> NTSTATUS {
    view.set_srb_status(SrbStatus::SUCCESS);
    irp.complete(STATUS_SUCCESS, 0)
}

/// Hands a request to the unit.
fn submit(pdo: &'static Pdo, irp: Irp, asked: &mut Asked, line: &Line) -> NTSTATUS {
    let unit = line.unit();
    let checked = describe(&irp, asked, line)
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
/// What the policy refuses while stages are there, and what cannot be understood.
pub(crate) fn describe(irp: &Irp, asked: &Asked, line: &Line) -> Result<Incoming, Refusal> {
    let unit = line.unit();
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
    let treatment = requests::decide(irp, asked, state(line));
    if let Treatment::Refuse(refusal) = treatment {
        return Err(refusal);
    }
    if asked.command.is_ok_and(|command| is_about_blocks(command, treatment)) {
        match unit.sector_size() {
            0 if treatment == Treatment::Pass => {}
            // A stage would not see it.
            0 => return Err(Refusal::NotReady),
            sector_size => return requests::describe(irp, asked, sector_size),
        }
    }
    command(irp, &asked.view)
}

/// To the policy, a unit with stages is a volume that lies in place: what they could not see is refused. Any other is plain.
pub(crate) fn state(line: &Line) -> VolumeState {
    match line.is_watched() {
        true => VolumeState::InPlace { read_only: false, discards: true },
        false => VolumeState::Plain,
    }
}

/// Whether stages have a word for it. A transfer of no blocks, or one with protection information, goes as it came.
fn is_about_blocks(command: Command, treatment: Treatment) -> bool {
    let plain = |range: BlockRange, protect: u8| range.blocks > 0 && protect == 0;
    match command {
        Command::Read(transfer) | Command::Write(transfer) | Command::Verify(transfer, ByteCheck::Medium) => {
            plain(transfer.range, transfer.protect)
        }
        Command::Unmap { anchor, length } => !anchor && length > 0,
        Command::SynchronizeCache { .. } => true,
        // Where nobody looks the miniport does it itself.
        Command::WriteSame(_) => treatment == Treatment::Transform,
        Command::WriteAndVerify(transfer, _) => {
            treatment == Treatment::Transform && plain(transfer.range, transfer.protect)
        }
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
