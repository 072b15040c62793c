//! Refusals and errors as SCSI says them, and sense data taken apart.
//!
//! Formats: SPC-5 4.4.2 (descriptor), 4.4.3 (fixed); codes: SPC-5 annex F. [`Refusal::answer`] is the only place
//! that decides how an error looks to the sender.

use sluice_chain::Status;

use crate::storport::{
    codes::{ScsiStatus, SrbFunction, SrbStatus},
    srb::SrbView,
};

/// Sense keys (SPC-5 4.4.8).
#[allow(missing_docs, reason = "the standard's names")]
pub mod key {
    pub const NO_SENSE: u8 = 0x0;
    pub const RECOVERED_ERROR: u8 = 0x1;
    pub const NOT_READY: u8 = 0x2;
    pub const MEDIUM_ERROR: u8 = 0x3;
    pub const HARDWARE_ERROR: u8 = 0x4;
    pub const ILLEGAL_REQUEST: u8 = 0x5;
    pub const UNIT_ATTENTION: u8 = 0x6;
    pub const DATA_PROTECT: u8 = 0x7;
    pub const ABORTED_COMMAND: u8 = 0xB;
    pub const MISCOMPARE: u8 = 0xE;
}

/// Length of the sense data that we write: fixed format without additional bytes.
pub const FIXED_LENGTH: usize = 18;

/// What sense data says, whatever its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sense {
    /// Sense key, see [`key`].
    pub key: u8,
    /// Additional sense code.
    pub asc: u8,
    /// Its qualifier.
    pub ascq: u8,
    /// INFORMATION, for a medium error the block that failed.
    pub information: Option<u64>,
    /// It is about an earlier command.
    pub deferred: bool,
}

impl Sense {
    /// About this command, without information.
    #[must_use]
    pub const fn new(key: u8, asc: u8, ascq: u8) -> Self {
        Self { key, asc, ascq, information: None, deferred: false }
    }

    /// In fixed format. INFORMATION beyond 32 bits is left out, as the format asks.
    #[must_use]
    pub fn fixed(&self) -> [u8; FIXED_LENGTH] {
        let mut bytes = [0; FIXED_LENGTH];
        bytes[0] = if self.deferred { 0x71 } else { 0x70 };
        bytes[2] = self.key & 0xF;
        if let Some(information) = self.information.and_then(|value| u32::try_from(value).ok()) {
            bytes[0] |= 0x80;
            bytes[3..7].copy_from_slice(&information.to_be_bytes());
        }
        bytes[7] = (FIXED_LENGTH - 8) as u8;
        bytes[12] = self.asc;
        bytes[13] = self.ascq;
        bytes
    }

    /// Takes sense data of either format apart; `None` if it is of neither or too short for a sense key. Codes
    /// beyond its end are 0.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let at = |index: usize| bytes.get(index).copied();
        let response = at(0)? & 0x7F;
        let deferred = response & 1 != 0;
        match response {
            0x70 | 0x71 => {
                // Byte 7 counts what follows it; codes lie 5 and 6 bytes behind.
                let extra = at(7).unwrap_or(0);
                Some(Self {
                    key: at(2)? & 0xF,
                    asc: at(12).filter(|_| extra >= 5).unwrap_or(0),
                    ascq: at(13).filter(|_| extra >= 6).unwrap_or(0),
                    information: information_field(bytes).and_then(|field| big_endian(bytes.get(field)?)),
                    deferred,
                })
            }
            0x72 | 0x73 => Some(Self {
                key: at(1)? & 0xF,
                asc: at(2).unwrap_or(0),
                ascq: at(3).unwrap_or(0),
                information: information_field(bytes).and_then(|field| big_endian(bytes.get(field)?)),
                deferred,
            }),
            _ => None,
        }
    }
}

fn big_endian(bytes: &[u8]) -> Option<u64> {
    Some(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

/// Where a valid INFORMATION lies: 4 bytes in fixed format, 8 in a descriptor of type 0.
fn information_field(bytes: &[u8]) -> Option<core::ops::Range<usize>> {
    let first = *bytes.first()?;
    match first & 0x7F {
        0x70 | 0x71 => (first & 0x80 != 0 && bytes.len() >= 7).then_some(3..7),
        0x72 | 0x73 => {
            let end = bytes.len().min(8 + usize::from(*bytes.get(7)?));
            let mut at = 8;
            // Each turn moves on by at least 2 bytes.
            while at + 2 <= end {
                let length = usize::from(*bytes.get(at + 1)?);
                if bytes.get(at) == Some(&0) && length == 0xA {
                    let valid = bytes.get(at + 2)? & 0x80 != 0;
                    return (valid && at + 12 <= end).then_some(at + 4..at + 12);
                }
                at += 2 + length;
            }
            None
        }
        _ => None,
    }
}

/// Makes a medium error of the device below, which names its own block, name the volume's, `data_offset` blocks
/// less. A block outside the volume's data is struck out.
pub fn rebase(bytes: &mut [u8], data_offset: u64) {
    let Some(sense) = Sense::parse(bytes) else { return };
    if !matches!(sense.key, key::MEDIUM_ERROR | key::RECOVERED_ERROR | key::HARDWARE_ERROR) {
        return; // elsewhere INFORMATION is no block
    }
    let Some(field) = information_field(bytes) else { return };
    let moved = sense.information.and_then(|block| block.checked_sub(data_offset));
    let fixed = field.len() == 4;
    if let Some(field) = bytes.get_mut(field.clone()) {
        let value = moved.unwrap_or(0).to_be_bytes();
        let skip = value.len() - field.len();
        field.copy_from_slice(&value[skip..]);
    }
    if moved.is_none() {
        // The VALID bit: of byte 0, or two bytes before the descriptor's field.
        let valid = if fixed { 0 } else { field.start - 2 };
        if let Some(byte) = bytes.get_mut(valid) {
            *byte &= 0x7F;
        }
    }
}

/// Why a request is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A command or function that this volume does not have.
    InvalidOpcode,
    /// A field of the CDB that this volume does not take.
    InvalidField,
    /// A parameter list whose length is wrong.
    ParameterLength,
    /// A parameter list that says something wrong.
    InvalidParameter,
    /// Blocks beyond the end.
    OutOfRange,
    /// Writes are refused.
    WriteProtected,
    /// The volume is locked.
    NotAuthorised,
    /// No physical space is left: the thin volume is full.
    SpaceExhausted,
    /// Data cannot be read back.
    Medium,
    /// Compared data differs.
    Miscompare,
    /// The volume is not in use, and may be later.
    NotReady,
    /// A state that should not exist.
    Hardware,
    /// Given up; the sender may try again.
    Aborted,
    /// A resource is lacking for the moment; the sender may try again.
    Busy,
    /// The device has gone.
    NoDevice,
    /// The sender withdrew it.
    Cancelled,
}

/// How a refusal looks: the SRB's statuses, sense data if it is a CHECK CONDITION, the NTSTATUS for the IRP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Without flags.
    pub srb_status: SrbStatus,
    /// The SCSI status byte.
    pub scsi_status: ScsiStatus,
    /// For CHECK CONDITION.
    pub sense: Option<Sense>,
    /// For the IRP, above all where there is no SRB (IOCTLs).
    pub ntstatus: u32,
}

const fn check(key: u8, asc: u8, ascq: u8, ntstatus: u32) -> Answer {
    Answer {
        srb_status: SrbStatus::ERROR,
        scsi_status: ScsiStatus::CHECK_CONDITION,
        sense: Some(Sense::new(key, asc, ascq)),
        ntstatus,
    }
}

const fn transport(srb_status: SrbStatus, scsi_status: ScsiStatus, ntstatus: u32) -> Answer {
    Answer { srb_status, scsi_status, sense: None, ntstatus }
}

impl Refusal {
    /// How it looks. NTSTATUS values as in `ntstatus.h`, named at the end of each line.
    #[must_use]
    #[rustfmt::skip] // a table
    pub const fn answer(self) -> Answer {
        use key::{ABORTED_COMMAND, DATA_PROTECT, HARDWARE_ERROR, ILLEGAL_REQUEST, MEDIUM_ERROR, MISCOMPARE, NOT_READY};
        match self {
            Self::InvalidOpcode    => check(ILLEGAL_REQUEST, 0x20, 0x00, 0xC000_0010), // INVALID_DEVICE_REQUEST
            Self::InvalidField     => check(ILLEGAL_REQUEST, 0x24, 0x00, 0xC000_0010), // INVALID_DEVICE_REQUEST
            Self::ParameterLength  => check(ILLEGAL_REQUEST, 0x1A, 0x00, 0xC000_000D), // INVALID_PARAMETER
            Self::InvalidParameter => check(ILLEGAL_REQUEST, 0x26, 0x00, 0xC000_000D), // INVALID_PARAMETER
            Self::OutOfRange       => check(ILLEGAL_REQUEST, 0x21, 0x00, 0xC000_0015), // NONEXISTENT_SECTOR
            Self::WriteProtected   => check(DATA_PROTECT,    0x27, 0x00, 0xC000_00A2), // MEDIA_WRITE_PROTECTED
            Self::NotAuthorised    => check(DATA_PROTECT,    0x74, 0x71, 0xC000_0022), // ACCESS_DENIED
            Self::SpaceExhausted   => check(DATA_PROTECT,    0x27, 0x07, 0xC000_007F), // DISK_FULL
            Self::Medium           => check(MEDIUM_ERROR,    0x11, 0x00, 0xC000_009C), // DEVICE_DATA_ERROR
            Self::Miscompare       => check(MISCOMPARE,      0x1D, 0x00, 0xC000_009C), // DEVICE_DATA_ERROR
            Self::NotReady         => check(NOT_READY,       0x04, 0x00, 0xC000_00A3), // DEVICE_NOT_READY
            Self::Hardware         => check(HARDWARE_ERROR,  0x44, 0x00, 0xC000_0185), // IO_DEVICE_ERROR
            Self::Aborted          => check(ABORTED_COMMAND, 0x00, 0x00, 0xC000_0240), // REQUEST_ABORTED
            Self::Busy      => transport(SrbStatus::BUSY,      ScsiStatus::BUSY, 0x8000_0011), // DEVICE_BUSY
            Self::NoDevice  => transport(SrbStatus::NO_DEVICE, ScsiStatus::GOOD, 0xC000_000E), // NO_SUCH_DEVICE
            Self::Cancelled => transport(SrbStatus::ABORTED,   ScsiStatus::GOOD, 0xC000_0120), // CANCELLED
        }
    }

    /// The refusal for a status of the chain; `None` for those that are none: [`Status::OK`], and
    /// [`Status::DEVICE`], where the device's own words stand.
    #[must_use]
    pub const fn of(status: Status) -> Option<Self> {
        Some(match status {
            Status::OK | Status::DEVICE => return None,
            Status::OUT_OF_RANGE => Self::OutOfRange,
            Status::INVALID => Self::InvalidField,
            Status::MEDIUM => Self::Medium,
            Status::WRITE_PROTECTED => Self::WriteProtected,
            Status::LOCKED => Self::NotAuthorised,
            Status::NO_SPACE => Self::SpaceExhausted,
            Status::BUSY => Self::Busy,
            Status::NO_DEVICE => Self::NoDevice,
            Status::CANCELLED => Self::Cancelled,
            _ => Self::Hardware,
        })
    }

    /// Writes it into an SRB: nothing transferred, statuses, sense data cut to the sender's buffer. Returns the
    /// NTSTATUS for the IRP. Any IRQL at which the sense buffer may be touched.
    ///
    /// # Safety
    /// The sense buffer that the SRB names is writable for the length it names.
    pub unsafe fn write(self, view: &mut SrbView) -> u32 {
        let answer = self.answer();
        view.set_data_transfer_length(0);
        if view.function() != SrbFunction::EXECUTE_SCSI && self == Self::InvalidOpcode {
            view.set_srb_status(SrbStatus::INVALID_REQUEST); // there is no sense data to say it with
            return answer.ntstatus;
        }
        view.set_srb_status(answer.srb_status);
        view.set_scsi_status(answer.scsi_status);
        if let Some(sense) = answer.sense {
            // SAFETY: the caller vouches for the buffer.
            unsafe { view.write_sense(&sense.fixed()) };
        }
        answer.ntstatus
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storport::{
        codes::SrbFlags,
        srb::{SrbKind, SrbRequest, SrbStorage},
    };

    const ALL: [Refusal; 16] = [
        Refusal::InvalidOpcode,
        Refusal::InvalidField,
        Refusal::ParameterLength,
        Refusal::InvalidParameter,
        Refusal::OutOfRange,
        Refusal::WriteProtected,
        Refusal::NotAuthorised,
        Refusal::SpaceExhausted,
        Refusal::Medium,
        Refusal::Miscompare,
        Refusal::NotReady,
        Refusal::Hardware,
        Refusal::Aborted,
        Refusal::Busy,
        Refusal::NoDevice,
        Refusal::Cancelled,
    ];

    #[test]
    fn what_is_written_is_what_is_parsed() {
        for refusal in ALL {
            let Some(sense) = refusal.answer().sense else { continue };
            assert_eq!(Sense::parse(&sense.fixed()), Some(sense), "{refusal:?}");
        }
        let told = Sense { information: Some(0x1234_5678), ..Sense::new(3, 0x11, 0) };
        assert_eq!(Sense::parse(&told.fixed()), Some(told));
        let far = Sense { information: Some(1 << 40), ..told };
        assert_eq!(Sense::parse(&far.fixed()), Some(Sense { information: None, ..told }));
    }

    #[test]
    fn every_refusal_is_an_error_to_the_sender() {
        for refusal in ALL {
            let answer = refusal.answer();
            assert!(!matches!(answer.srb_status, SrbStatus::SUCCESS | SrbStatus::PENDING));
            assert!(answer.ntstatus >> 31 == 1, "{refusal:?}");
            assert_eq!(answer.sense.is_some(), answer.scsi_status == ScsiStatus::CHECK_CONDITION);
        }
    }

    #[test]
    fn a_refusal_fills_an_srb_and_is_cut_to_its_sense_buffer() {
        for kind in [SrbKind::Legacy, SrbKind::Extended] {
            for room in [0u8, 1, 8, 18, 32] {
                let mut buffer = [0xEE_u8; 40];
                let mut request = SrbRequest::command(&[0x2A; 10]);
                (request.sense_buffer, request.sense_length) = (buffer.as_mut_ptr(), room);
                request = request.with_data(SrbFlags::DATA_OUT, core::ptr::null_mut(), 4096);
                let mut storage = SrbStorage::new();
                let mut view = storage.filled(kind, &request).unwrap();
                // SAFETY: the SRB names `buffer`.
                let ntstatus = unsafe { Refusal::WriteProtected.write(&mut view) };
                assert_eq!(ntstatus, 0xC000_00A2);
                assert_eq!(view.data_transfer_length(), 0);
                assert_eq!(view.srb_status().code(), SrbStatus::ERROR);
                assert_eq!(view.srb_status().has_sense(), room > 0);
                assert_eq!(view.scsi_status(), ScsiStatus::CHECK_CONDITION);
                let written = usize::from(room).min(FIXED_LENGTH);
                assert!(buffer[written..].iter().all(|byte| *byte == 0xEE));
                if written == FIXED_LENGTH {
                    assert_eq!(Sense::parse(&buffer[..18]), Some(Sense::new(7, 0x27, 0)));
                }
            }
        }
    }

    #[test]
    fn a_function_without_sense_says_it_by_status() {
        let mut storage = SrbStorage::new();
        let request = SrbRequest::function(SrbFunction::DUMP_POINTERS);
        let mut view = storage.filled(SrbKind::Extended, &request).unwrap();
        // SAFETY: there is no sense buffer.
        unsafe { Refusal::InvalidOpcode.write(&mut view) };
        assert_eq!(view.srb_status(), SrbStatus::INVALID_REQUEST);
    }

    #[test]
    fn short_and_foreign_sense_is_none() {
        assert_eq!(Sense::parse(&[]), None);
        assert_eq!(Sense::parse(&[0x70, 0]), None);
        assert_eq!(Sense::parse(&[0x7F; 18]), None);
        assert_eq!(Sense::parse(&[0x70, 0, 5]), Some(Sense::new(5, 0, 0)));
        // Bytes that the length does not count do not count.
        let mut cut = Sense::new(5, 0x20, 1).fixed();
        cut[7] = 5;
        assert_eq!(Sense::parse(&cut), Some(Sense::new(5, 0x20, 0)));
    }

    /// Descriptor format: a foreign descriptor, then INFORMATION.
    fn descriptor(block: u64) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&[0x72, 3, 0x11, 0, 0, 0, 0, 16]);
        bytes[8..12].copy_from_slice(&[0x02, 2, 0, 0]);
        bytes[12..16].copy_from_slice(&[0x00, 0xA, 0x80, 0]);
        bytes[16..].copy_from_slice(&block.to_be_bytes());
        bytes
    }

    #[test]
    fn descriptor_format_is_understood() {
        let sense = Sense::parse(&descriptor(1 << 40)).unwrap();
        assert_eq!((sense.key, sense.asc, sense.information), (3, 0x11, Some(1 << 40)));
        let mut short = descriptor(7);
        short[7] = 15;
        assert_eq!(Sense::parse(&short).unwrap().information, None);
    }

    #[test]
    fn blocks_in_medium_errors_become_the_volumes() {
        let mut bytes = descriptor(5000);
        rebase(&mut bytes, 2048);
        assert_eq!(bytes, descriptor(2952));
        rebase(&mut bytes, 1 << 50);
        assert_eq!(Sense::parse(&bytes).unwrap().information, None);

        let medium = Sense { information: Some(2048), ..Sense::new(3, 0x11, 0) };
        let mut bytes = medium.fixed();
        rebase(&mut bytes, 2048);
        assert_eq!(Sense::parse(&bytes), Some(Sense { information: Some(0), ..medium }));
        rebase(&mut bytes, 1);
        assert_eq!(Sense::parse(&bytes), Some(Sense { information: None, ..medium }));

        let attention = Sense { information: Some(9), ..Sense::new(key::UNIT_ATTENTION, 0x29, 0) };
        let mut bytes = attention.fixed();
        rebase(&mut bytes, 5);
        assert_eq!(Sense::parse(&bytes), Some(attention));
    }
}
