//! The data of commands that are answered here: for a volume whose size is not its device's, and for miniports
//! that are the device (`ram`).
//!
//! Every function writes as much as fits into the smaller of the buffer and the allocation length, and returns
//! the bytes written: asking for less than there is, is no error (SPC-5 4.2.5.6).

use super::cdb::{Form, ModeSense};
use super::mode;
use super::sense::{Sense, key};

/// What READ CAPACITY says (SBC-4 5.20).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Number of blocks; at least 1.
    pub blocks: u64,
    /// Bytes of a block.
    pub block_size: u32,
    /// Physical blocks are `1 << physical_exponent` blocks: 3 on 512e disks.
    pub physical_exponent: u8,
    /// First block that begins a physical one (14 bits).
    pub lowest_aligned: u16,
    /// LBPME: the volume takes UNMAP.
    pub provisioned: bool,
    /// LBPRZ: unmapped blocks read as zeros. Never true of an encrypted volume in place: the device's zeros
    /// decrypt to noise.
    pub reads_zeros: bool,
}

impl Capacity {
    /// READ CAPACITY(10). Beyond 32 bits it says FFFFFFFFh, which sends the caller to the 16-byte form.
    pub fn write_10(&self, buffer: &mut [u8]) -> usize {
        let mut data = [0; 8];
        let last = u32::try_from(self.last()).unwrap_or(u32::MAX);
        data[..4].copy_from_slice(&last.to_be_bytes());
        data[4..].copy_from_slice(&self.block_size.to_be_bytes());
        put(&data, buffer, data.len())
    }

    /// READ CAPACITY(16).
    pub fn write_16(&self, buffer: &mut [u8], allocation: u32) -> usize {
        let mut data = [0; 32];
        data[..8].copy_from_slice(&self.last().to_be_bytes());
        data[8..12].copy_from_slice(&self.block_size.to_be_bytes());
        data[13] = self.physical_exponent & 0xF;
        let flags = u16::from(self.provisioned) << 15 | u16::from(self.reads_zeros) << 14;
        data[14..16].copy_from_slice(&(flags | self.lowest_aligned & 0x3FFF).to_be_bytes());
        put(&data, buffer, allocation as usize)
    }

    fn last(&self) -> u64 {
        self.blocks.saturating_sub(1)
    }
}

/// REQUEST SENSE of a unit that reports everything with the command it is of: there is nothing more. `None` for descriptor
/// format, which is not there.
pub fn request_sense(descriptor: bool, allocation: u8, buffer: &mut [u8]) -> Option<usize> {
    let nothing = Sense::new(key::NO_SENSE, 0, 0).fixed();
    (!descriptor).then(|| put(&nothing, buffer, usize::from(allocation)))
}

/// Who a unit says it is.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// 8 characters of ASCII.
    pub vendor: &'a [u8; 8],
    /// 16 characters of ASCII.
    pub product: &'a [u8; 16],
    /// 4 characters of ASCII.
    pub revision: &'a [u8; 4],
    /// ASCII; the first 32 count.
    pub serial: &'a [u8],
    /// A unique 8-byte name (NAA format).
    pub name: u64,
}

/// Limits of a unit (SBC-4 6.6.4, 6.6.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest transfer in blocks; 0 for no limit.
    pub max_transfer: u32,
    /// Most blocks in one UNMAP; 0 if it is not taken.
    pub max_unmap_blocks: u32,
    /// Most descriptors in one UNMAP.
    pub max_unmap_descriptors: u32,
    /// Blocks that are unmapped together.
    pub unmap_granularity: u32,
    /// Most blocks of one WRITE SAME, which must say how many; 0 if that is not told.
    pub max_write_same: u32,
    /// Unmapped blocks read as zeros.
    pub reads_zeros: bool,
}

impl Limits {
    /// The page of limits or that of provisioning; nothing for others.
    pub fn write(&self, page: u8, buffer: &mut [u8], allocation: u16) -> usize {
        let mut data = [0; 64];
        let body = match page {
            page::LIMITS => {
                data[4] = u8::from(self.max_write_same != 0); // WSNZ
                data[8..12].copy_from_slice(&self.max_transfer.to_be_bytes());
                data[20..24].copy_from_slice(&self.max_unmap_blocks.to_be_bytes());
                data[24..28].copy_from_slice(&self.max_unmap_descriptors.to_be_bytes());
                data[28..32].copy_from_slice(&self.unmap_granularity.to_be_bytes());
                data[36..44].copy_from_slice(&u64::from(self.max_write_same).to_be_bytes());
                60
            }
            page::PROVISIONING => {
                let unmap = self.max_unmap_blocks != 0;
                data[5] = u8::from(unmap) << 7 | u8::from(unmap && self.reads_zeros) << 2;
                data[6] = if unmap { 0x02 } else { 0 }; // thin
                4
            }
            _ => return 0,
        };
        data[1] = page;
        data[3] = body;
        put(&data[..4 + usize::from(body)], buffer, usize::from(allocation))
    }
}

/// VPD page codes that [`vital`] answers.
#[allow(missing_docs, reason = "the standard's names")]
pub mod page {
    pub const SUPPORTED: u8 = 0x00;
    pub const SERIAL: u8 = 0x80;
    pub const IDENTIFICATION: u8 = 0x83;
    pub const LIMITS: u8 = 0xB0;
    pub const CHARACTERISTICS: u8 = 0xB1;
    pub const PROVISIONING: u8 = 0xB2;
}

/// Standard INQUIRY data (SPC-5 6.7.2): a direct-access block device that queues commands.
pub fn inquiry(identity: &Identity<'_>, buffer: &mut [u8], allocation: u16) -> usize {
    let mut data = [0; 36];
    data[2] = 0x06; // SPC-4
    data[3] = 0x02; // response data format
    data[4] = (data.len() - 5) as u8;
    data[7] = 0x02; // CMDQUE
    data[8..16].copy_from_slice(identity.vendor);
    data[16..32].copy_from_slice(identity.product);
    data[32..36].copy_from_slice(identity.revision);
    put(&data, buffer, usize::from(allocation))
}

/// A VPD page; `None` for one that we do not have (then refuse with INVALID FIELD IN CDB).
pub fn vital(
    page: u8,
    identity: &Identity<'_>,
    limits: &Limits,
    buffer: &mut [u8],
    allocation: u16,
) -> Option<usize> {
    let mut data = [0; 64];
    let body = match page {
        page::SUPPORTED => {
            let pages = [
                page::SUPPORTED,
                page::SERIAL,
                page::IDENTIFICATION,
                page::LIMITS,
                page::CHARACTERISTICS,
                page::PROVISIONING,
            ];
            put(&pages, &mut data[4..], pages.len())
        }
        page::SERIAL => put(identity.serial, &mut data[4..], 32),
        page::IDENTIFICATION => {
            // One descriptor: binary, of the unit, NAA, 8 bytes (SPC-5 7.7.6).
            data[4..8].copy_from_slice(&[0x01, 0x03, 0, 8]);
            data[8..16].copy_from_slice(&identity.name.to_be_bytes());
            12
        }
        page::LIMITS | page::PROVISIONING => return Some(limits.write(page, buffer, allocation)),
        page::CHARACTERISTICS => {
            data[4..6].copy_from_slice(&1_u16.to_be_bytes()); // does not rotate
            60
        }
        _ => return None,
    };
    data[1] = page;
    data[3] = body as u8; // at most 60
    Some(put(data.get(..4 + body)?, buffer, usize::from(allocation)))
}

/// MODE SENSE: the caching page, alone or as one of all; `None` for any other (then refuse with INVALID FIELD IN
/// CDB). Never a block descriptor: Windows takes the size from READ CAPACITY.
pub fn mode_sense(
    request: &ModeSense,
    write_cache: bool,
    read_only: bool,
    buffer: &mut [u8],
) -> Option<usize> {
    const ALL: u8 = 0x3F;
    const CHANGEABLE: u8 = 1;
    const PAGE: usize = 20;
    if !matches!(request.page, mode::CACHING | ALL) || !matches!(request.subpage, 0 | 0xFF) {
        return None;
    }
    let mut data = [0; 8 + PAGE];
    let header: usize = if request.form == Form::Six { 4 } else { 8 };
    let total = header + PAGE;
    // The header's length field does not count itself. DPOFUA: FUA is honoured.
    let device = u8::from(read_only) << 7 | 0x10;
    if header == 4 {
        data[0] = (total - 1) as u8;
        data[2] = device;
    } else {
        data[1] = (total - 2) as u8;
        data[3] = device;
    }
    data[header] = mode::CACHING;
    data[header + 1] = (PAGE - 2) as u8;
    if write_cache && request.control != CHANGEABLE {
        data[header + 2] = 0x04; // WCE
    }
    Some(put(&data[..total], buffer, usize::from(request.allocation)))
}

/// REPORT LUNS for a target with units 0 to `units - 1` (at most 8; simple addressing, SAM-5 4.7).
pub fn report_luns(units: u8, buffer: &mut [u8], allocation: u32) -> usize {
    let mut data = [0; 8 + 8 * 8];
    let units = units.min(8);
    data[3] = units * 8;
    for unit in 0..units {
        data[8 + usize::from(unit) * 8 + 1] = unit;
    }
    put(&data[..8 + usize::from(units) * 8], buffer, allocation as usize)
}

/// Copies as much of `data` as fits.
fn put(data: &[u8], buffer: &mut [u8], allocation: usize) -> usize {
    let count = data.len().min(buffer.len()).min(allocation);
    buffer[..count].copy_from_slice(&data[..count]);
    count
}
