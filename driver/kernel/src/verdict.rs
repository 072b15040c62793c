//! What the device below says to an SRB of our own: done, not now, or no.

use sluice_shim::{
    scsi::sense::{Sense, key},
    storport::{SrbStatus, SrbView},
};
use wdk_sys::{NTSTATUS, STATUS_IO_DEVICE_ERROR};

use crate::nt::is_success;

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It has done it, and moved so many bytes.
    Done(u32),
    /// There is no medium in it.
    NoMedium,
    /// It is becoming ready, or waits to be started.
    Becoming,
    /// It was reset, is busy, or did not get it: the same may be asked again.
    Again,
    /// It does not know the command.
    Unknown,
    /// It failed.
    Failed(NTSTATUS),
}

/// Judges what has come back: the SRB, its sense buffer, and the IRP's status.
pub(crate) fn judge(view: &SrbView, sense: &[u8], status: NTSTATUS) -> Verdict {
    const NO_MEDIUM: u8 = 0x3a; // SPC-5 table 56, MEDIUM NOT PRESENT
    const INVALID_COMMAND: u8 = 0x20; // INVALID COMMAND OPERATION CODE
    let code = view.srb_status().code();
    let sense = Sense::parse(sense).filter(|_| view.srb_status().has_sense());
    let recovered = sense.is_some_and(|sense| sense.key == key::RECOVERED_ERROR);
    if (code == SrbStatus::SUCCESS && is_success(status)) || code == SrbStatus::DATA_OVERRUN || recovered {
        return Verdict::Done(view.data_transfer_length());
    }
    match (code, sense.map(|sense| (sense.key, sense.asc))) {
        (_, Some((key::NOT_READY, NO_MEDIUM))) => Verdict::NoMedium,
        (_, Some((key::NOT_READY, _))) => Verdict::Becoming,
        (_, Some((key::UNIT_ATTENTION, _))) => Verdict::Again,
        (_, Some((key::ILLEGAL_REQUEST, INVALID_COMMAND))) => Verdict::Unknown,
        (SrbStatus::BUSY | SrbStatus::BUS_RESET | SrbStatus::TIMEOUT | SrbStatus::COMMAND_TIMEOUT, _) => {
            Verdict::Again
        }
        _ => Verdict::Failed(if is_success(status) { STATUS_IO_DEVICE_ERROR } else { status }),
    }
}
