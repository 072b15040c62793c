//! What the buffer of a device control request asks, for [`super::policy`]: a second look where its code alone
//! does not tell.
//!
//! Layouts: `ntddscsi.h`, `ntddstor.h` for 64-bit Windows. A 32-bit program's pass-through structures are
//! shorter, and say so in their first field, which the port driver checks against the program's kind.

use super::{
    cdb::{AtaPassThrough, Command},
    ioctl::code,
    miniport::MiniportControl,
    policy::RequestKind,
};

/// Where the fields of a structure lie: for its length, and after it the interesting part.
struct Layout {
    length: u16,
    at: usize,
}

/// SCSI_PASS_THROUGH and _DIRECT: `Length`, and the offset of `Cdb`.
const SCSI: [Layout; 2] = [Layout { length: 56, at: 36 }, Layout { length: 44, at: 28 }];
/// SCSI_PASS_THROUGH_EX and _DIRECT_EX: likewise, but `Cdb` is as long as `CdbLength` says, beyond `Length` if need be.
const SCSI_EX: [Layout; 2] = [Layout { length: 64, at: 56 }, Layout { length: 52, at: 48 }];
/// The longest CDB that we take apart.
const LONGEST_CDB: usize = 32;
/// ATA_PASS_THROUGH_EX and _DIRECT: `Length`, and the offset of `CurrentTaskFile`.
const ATA: [Layout; 2] = [Layout { length: 48, at: 40 }, Layout { length: 40, at: 32 }];

/// What `buffer`, the input of IOCTL `code`, asks; `None` if it is too short, or of a kind that is not known. Total:
/// any bytes may be given.
#[must_use]
pub fn inspect(code: u32, buffer: &[u8]) -> Option<RequestKind> {
    Some(match code {
        code::SCSI_PASS_THROUGH | code::SCSI_PASS_THROUGH_DIRECT => {
            let cdb: &[u8; 16] = part(buffer, &SCSI)?;
            let length = usize::from(*buffer.get(6)?);
            RequestKind::Command(Command::parse(cdb.get(..length)?).ok()?)
        }
        code::SCSI_PASS_THROUGH_EX | code::SCSI_PASS_THROUGH_DIRECT_EX => {
            RequestKind::Command(Command::parse(extended_cdb(buffer)?).ok()?)
        }
        code::ATA_PASS_THROUGH | code::ATA_PASS_THROUGH_DIRECT => {
            let &[features, _, _, _, _, _, command, _] = part(buffer, &ATA)?;
            RequestKind::Command(Command::AtaPassThrough(AtaPassThrough {
                protocol: 0,
                extended: false,
                from_device: u16_at(buffer, 2)? & ATA_FLAGS_DATA_IN != 0,
                command,
                features: u16::from(features),
            }))
        }
        code::SCSI_MINIPORT => RequestKind::MiniportControl(MiniportControl::parse(buffer)?),
        // STORAGE_PROPERTY_QUERY: the property comes first.
        code::STORAGE_QUERY_PROPERTY => RequestKind::Property(u32_at(buffer, 0)?),
        code::STORAGE_PROTOCOL_COMMAND => RequestKind::NvmeAdmin(nvme_admin(buffer)),
        _ => return None,
    })
}

/// The CDB of the forms that name their version first: `Version`, `Length` and `CdbLength`, of four bytes each.
fn extended_cdb(buffer: &[u8]) -> Option<&[u8]> {
    let (version, length) = (u32_at(buffer, 0)?, u32_at(buffer, 4)?);
    let layout = SCSI_EX.iter().find(|layout| u32::from(layout.length) == length)?;
    let count = usize::try_from(u32_at(buffer, 8)?).ok().filter(|&count| count <= LONGEST_CDB)?;
    // Nobody has seen another version, nor a buffer without all of the structure.
    buffer.get(..usize::from(layout.length)).filter(|_| version == 0)?;
    buffer.get(layout.at..)?.get(..count)
}

const ATA_FLAGS_DATA_IN: u16 = 2;

/// STORAGE_PROTOCOL_COMMAND: `ProtocolType` at 8, `CommandSpecific` at 56, `Command` at 80.
fn nvme_admin(buffer: &[u8]) -> Option<u8> {
    const NVME: u32 = 3;
    const ADMIN: u32 = 1;
    let admin = u32_at(buffer, 8)? == NVME && u32_at(buffer, 56)? == ADMIN;
    buffer.get(80).copied().filter(|_| admin)
}

fn part<'a, const N: usize>(buffer: &'a [u8], layouts: &[Layout]) -> Option<&'a [u8; N]> {
    let length = u16_at(buffer, 0)?;
    let layout = layouts.iter().find(|layout| layout.length == length)?;
    buffer.get(..usize::from(length))?.get(layout.at..)?.first_chunk()
}

fn u16_at(buffer: &[u8], at: usize) -> Option<u16> {
    buffer.get(at..)?.first_chunk().copied().map(u16::from_le_bytes)
}

fn u32_at(buffer: &[u8], at: usize) -> Option<u32> {
    buffer.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use alloc::{vec, vec::Vec};

    use super::*;
    use crate::scsi::cdb::Inquiry;

    fn pass_through(length: u16, at: usize, cdb: &[u8]) -> Vec<u8> {
        let mut buffer = vec![0; usize::from(length)];
        buffer[..2].copy_from_slice(&length.to_le_bytes());
        buffer[6] = cdb.len() as u8;
        buffer[at..at + cdb.len()].copy_from_slice(cdb);
        buffer
    }

    #[test]
    fn both_sizes_of_scsi_pass_through_show_their_command() {
        let inquiry = Command::Inquiry(Inquiry { page: None, stray_page: false, allocation: 36 });
        for (length, at) in [(56, 36), (44, 28)] {
            let buffer = pass_through(length, at, &[0x12, 0, 0, 0, 36, 0]);
            let found = inspect(code::SCSI_PASS_THROUGH_DIRECT, &buffer);
            assert_eq!(found, Some(RequestKind::Command(inquiry)));
            for short in 0..buffer.len() {
                assert_eq!(inspect(code::SCSI_PASS_THROUGH, &buffer[..short]), None);
            }
        }
        let mut lying = pass_through(56, 36, &[0x12, 0, 0, 0, 36, 0]);
        lying[6] = 17;
        assert_eq!(inspect(code::SCSI_PASS_THROUGH, &lying), None);
        lying[0] = 55;
        assert_eq!(inspect(code::SCSI_PASS_THROUGH, &lying), None);
    }

    #[test]
    fn both_sizes_of_the_extended_forms_show_their_command() {
        let mut verify = [0; 32];
        (verify[0], verify[7], verify[9], verify[31]) = (0x7F, 24, 0x0A, 1);
        for (length, at) in [(64_u32, 56), (52, 48)] {
            let mut buffer = vec![0; at + 32];
            buffer[4..8].copy_from_slice(&length.to_le_bytes());
            buffer[8] = 32;
            buffer[at..].copy_from_slice(&verify);
            for code in [code::SCSI_PASS_THROUGH_EX, code::SCSI_PASS_THROUGH_DIRECT_EX] {
                let found = inspect(code, &buffer);
                assert!(matches!(found, Some(RequestKind::Command(Command::Verify(..)))), "{found:?}");
                for short in 0..buffer.len() {
                    assert_eq!(inspect(code, &buffer[..short]), None);
                }
                for (at, lie) in [(0, 1), (4, length as u8 - 1), (7, 1), (8, 33), (8, 0), (11, 1)] {
                    let mut lying = buffer.clone();
                    lying[at] = lie;
                    assert_eq!(inspect(code, &lying), None, "{lie} at {at}");
                }
            }
        }
    }

    #[test]
    fn the_task_file_the_miniports_request_the_property_and_the_admin_command_are_found() {
        let mut ata = vec![0; 48];
        ata[0] = 48;
        (ata[40], ata[46]) = (0xd0, 0xb0);
        assert!(matches!(
            inspect(code::ATA_PASS_THROUGH, &ata),
            Some(RequestKind::Command(Command::AtaPassThrough(AtaPassThrough {
                command: 0xb0,
                features: 0xd0,
                ..
            })))
        ));
        let mut version = vec![0; 28];
        version[..12].copy_from_slice(b"\x1c\0\0\0SCSIDISK");
        version[16..20].copy_from_slice(&0x1B_0500u32.to_le_bytes());
        let smart = RequestKind::MiniportControl(MiniportControl::Smart);
        assert_eq!(inspect(code::SCSI_MINIPORT, &version), Some(smart));
        assert_eq!(inspect(code::SCSI_MINIPORT, &version[..27]), None);
        assert_eq!(inspect(code::STORAGE_QUERY_PROPERTY, &[1, 0, 0, 0]), Some(RequestKind::Property(1)));
        let mut nvme = vec![0; 144];
        (nvme[8], nvme[56], nvme[80]) = (3, 1, 6);
        assert_eq!(inspect(code::STORAGE_PROTOCOL_COMMAND, &nvme), Some(RequestKind::NvmeAdmin(Some(6))));
        nvme[56] = 2;
        assert_eq!(inspect(code::STORAGE_PROTOCOL_COMMAND, &nvme), Some(RequestKind::NvmeAdmin(None)));
        assert_eq!(inspect(0x1234, &nvme), None);
    }
}
