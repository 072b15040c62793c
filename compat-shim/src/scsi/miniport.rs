//! What a request for the miniport itself asks: IOCTL_SCSI_MINIPORT, and the SRB IO_CONTROL that a port driver makes
//! of it.
//!
//! Layouts: `SRB_IO_CONTROL` (`ntddscsi.h`) and, behind it, `SENDCMDINPARAMS` (`ntdddisk.h`), both packed. The
//! codes are `scsi.h`'s IOCTL_SCSI_MINIPORT_*. Miniports send the task file's registers to the device whatever the
//! code is called, so a code alone proves nothing: registers and code have to agree.

/// `sizeof(SRB_IO_CONTROL)`, and its `HeaderLength`.
const HEADER: usize = 28;

/// As much of a request's front as decides about it: the header, and `SENDCMDINPARAMS` up to the command register.
pub const FRONT: usize = HEADER + 12;

/// SRB_IO_CONTROL's signature of the SMART requests that disk.sys sends for failure prediction.
const SIGNATURE_SMART: [u8; 8] = *b"SCSIDISK";

/// `IOCTL_SCSI_MINIPORT_*`: FILE_DEVICE_SCSI, and the function.
mod code {
    const fn smart(function: u32) -> u32 {
        0x1B << 16 | function
    }

    pub(super) const SMART_VERSION: u32 = smart(0x500);
    pub(super) const IDENTIFY: u32 = smart(0x501);
    pub(super) const READ_SMART_ATTRIBS: u32 = smart(0x502);
    pub(super) const READ_SMART_THRESHOLDS: u32 = smart(0x503);
    pub(super) const ENABLE_SMART: u32 = smart(0x504);
    pub(super) const RETURN_STATUS: u32 = smart(0x506);
    pub(super) const EXECUTE_OFFLINE_DIAGS: u32 = smart(0x509);
    pub(super) const READ_SMART_LOG: u32 = smart(0x50B);
}

/// A request for the miniport, as far as the policy cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MiniportControl {
    /// It reads about the device, or has it test itself beside its work: no user data, nothing changed that a volume
    /// depends on.
    Smart,
    /// Anything else: other signatures, DISABLE SMART, WRITE LOG, autosave, registers that say another command.
    Other,
}

impl MiniportControl {
    /// Looks at the front of a request; [`FRONT`] bytes are enough. `None` if it is too short for what it says, or
    /// its header is of another kind. Total: any bytes may be given.
    ///
    /// `SRB_IO_CONTROL.Length` is not relied on: what counts is where the miniport will read the registers, and those
    /// bytes must be there.
    #[must_use]
    pub fn parse(front: &[u8]) -> Option<Self> {
        let header: &[u8; HEADER] = front.first_chunk()?;
        let [l0, l1, l2, l3, signature @ .., _, _, _, _, c0, c1, c2, c3, _, _, _, _, _, _, _, _] = header;
        if u32::from_le_bytes([*l0, *l1, *l2, *l3]) != HEADER as u32 {
            return None;
        }
        if *signature != SIGNATURE_SMART {
            return Some(Self::Other);
        }
        let code = u32::from_le_bytes([*c0, *c1, *c2, *c3]);
        if code == code::SMART_VERSION {
            return Some(Self::Smart); // answered by the miniport: no command is sent
        }
        let task: &[u8; FRONT - HEADER] = front.get(HEADER..)?.first_chunk()?;
        // cBufferSize; features, sector count, sector number, cylinder low and high, drive and head, command; reserved.
        let &[_, _, _, _, features, _, number, _, _, _, command, _] = task;
        Some(if agrees(code, command, features, number) { Self::Smart } else { Self::Other })
    }
}

/// Whether the registers are the command that `code` is for, and that one is harmless (ACS-4 7.12, 7.46).
fn agrees(code: u32, command: u8, features: u8, number: u8) -> bool {
    /// SMART, whose features register names the subcommand.
    const SMART: u8 = 0xB0;
    let subcommand = match code {
        // IDENTIFY DEVICE, IDENTIFY PACKET DEVICE
        code::IDENTIFY => return matches!(command, 0xEC | 0xA1),
        code::READ_SMART_ATTRIBS => 0xD0,
        code::READ_SMART_THRESHOLDS => 0xD1,
        // Routine, short, extended and conveyance self-test, and the end of one. Not the captive ones (0x81 and up):
        // the disk answers nobody for hours. Not selective or vendors': they need or write logs.
        code::EXECUTE_OFFLINE_DIAGS if matches!(number, 0..=3 | 0x7F) => 0xD4,
        code::READ_SMART_LOG => 0xD5,
        code::ENABLE_SMART => 0xD8,
        code::RETURN_STATUS => 0xDA,
        _ => return false,
    };
    command == SMART && features == subcommand
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn request(signature: &[u8; 8], code: u32, command: u8, features: u8, number: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(28u32.to_le_bytes());
        bytes.extend(signature);
        bytes.extend(10u32.to_le_bytes());
        bytes.extend(code.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(544u32.to_le_bytes());
        bytes.extend(33u32.to_le_bytes());
        bytes.extend([features, 1, number, 0x4F, 0xC2, 0xA0, command, 0]);
        bytes
    }

    /// (code, command, features): Microsoft's published numbers, written out.
    const HARMLESS: [(u32, u8, u8); 8] = [
        (0x1B_0501, 0xEC, 0),
        (0x1B_0501, 0xA1, 0),
        (0x1B_0502, 0xB0, 0xD0),
        (0x1B_0503, 0xB0, 0xD1),
        (0x1B_0504, 0xB0, 0xD8),
        (0x1B_0506, 0xB0, 0xDA),
        (0x1B_0509, 0xB0, 0xD4),
        (0x1B_050B, 0xB0, 0xD5),
    ];

    #[test]
    fn smart_is_found_and_needs_all_its_bytes() {
        for (code, command, features) in HARMLESS {
            let bytes = request(b"SCSIDISK", code, command, features, 1);
            assert_eq!(bytes.len(), FRONT);
            assert_eq!(MiniportControl::parse(&bytes), Some(MiniportControl::Smart), "{code:x}");
            for short in 0..FRONT {
                assert_eq!(MiniportControl::parse(&bytes[..short]), None, "{code:x}, {short}");
            }
        }
        let version = request(b"SCSIDISK", 0x1B_0500, 0, 0, 0);
        assert_eq!(MiniportControl::parse(&version[..28]), Some(MiniportControl::Smart));
        assert_eq!(MiniportControl::parse(&version[..27]), None);
    }

    #[test]
    fn a_code_that_is_not_listed_is_not_smart_whatever_the_registers_say() {
        // DISABLE, autosave, save attributes, auto off-line, WRITE LOG, quorum, NVCACHE, DSM; and an I/O control code.
        for code in [
            0x1B_0505, 0x1B_0507, 0x1B_0508, 0x1B_050A, 0x1B_050C, 0x1B_0520, 0x1B_0600, 0x1B_0720, 0,
            0x4_D008,
        ] {
            for (_, command, features) in HARMLESS {
                let bytes = request(b"SCSIDISK", code, command, features, 1);
                assert_eq!(MiniportControl::parse(&bytes), Some(MiniportControl::Other), "{code:x}");
            }
        }
    }

    #[test]
    fn registers_that_say_something_else_than_the_code_are_not_smart() {
        for (code, command, features) in HARMLESS {
            // Every other command, among them WRITE SECTORS, WRITE DMA, SECURITY ERASE; every other subcommand.
            for other in (0..=255).filter(|other| *other != command && !matches!(other, 0xEC | 0xA1)) {
                let bytes = request(b"SCSIDISK", code, other, features, 1);
                assert_eq!(
                    MiniportControl::parse(&bytes),
                    Some(MiniportControl::Other),
                    "{code:x} {other:x}"
                );
            }
            for other in (0..=255).filter(|other| command == 0xB0 && *other != features) {
                let bytes = request(b"SCSIDISK", code, command, other, 1);
                assert_eq!(
                    MiniportControl::parse(&bytes),
                    Some(MiniportControl::Other),
                    "{code:x} {other:x}"
                );
            }
        }
    }

    #[test]
    fn only_self_tests_that_leave_the_disk_at_work_pass() {
        let passing: Vec<u8> = (0..=255)
            .filter(|number| {
                let bytes = request(b"SCSIDISK", 0x1B_0509, 0xB0, 0xD4, *number);
                MiniportControl::parse(&bytes) == Some(MiniportControl::Smart)
            })
            .collect();
        assert_eq!(passing, [0, 1, 2, 3, 0x7F]);
    }

    #[test]
    fn other_signatures_are_others_and_other_headers_are_nothing() {
        for signature in [b"NvmeMini", b"FIRMWARE", b"HYBRDISK", b"IntelNvm", b"scsidisk"] {
            let bytes = request(signature, 0x1B_0502, 0xB0, 0xD0, 0);
            assert_eq!(MiniportControl::parse(&bytes), Some(MiniportControl::Other));
        }
        for length in [0, 27, 29, 28 << 8, u32::MAX] {
            let mut bytes = request(b"SCSIDISK", 0x1B_0502, 0xB0, 0xD0, 0);
            bytes[..4].copy_from_slice(&length.to_le_bytes());
            assert_eq!(MiniportControl::parse(&bytes), None);
        }
    }
}
