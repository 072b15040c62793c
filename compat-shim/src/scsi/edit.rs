//! The device's answers, changed to agree with what a volume does.
//!
//! Formats: SPC-5 7.7.16 (VPD page 00), SBC-4 6.6.4 and 6.6.6 (B0, B2), SPC-5 7.5 and SBC-4 6.5.6 (mode pages);
//! `ntddstor.h` for what IOCTL_STORAGE_QUERY_PROPERTY answers (little-endian, on any Windows). Every edit is total: an
//! answer that is too short for a field keeps what it has.

use super::{answers::page, cdb::Form, mode};

/// As much of an answer's front as edits look at, in bytes.
pub const FRONT: usize = 512;

/// What we change in the device's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// STORAGE_ADAPTER_DESCRIPTOR: the longest transfer that we take.
    MaximumTransfer,
    /// VPD page 00: without the third-party copy page, and for a mapped volume with B0 and B2.
    Pages,
    /// VPD page B0: the longest transfer and WRITE SAME that we take; no COMPARE AND WRITE, no atomic writes.
    Limits,
    /// VPD page B2: unmapped blocks do not read as zeros, nothing is anchored, WRITE SAME does not unmap.
    Provisioning,
    /// MODE SENSE: the medium is write-protected.
    WriteProtect(Form),
    /// MODE SENSE: there is a write cache (WCE), and nobody can switch it off.
    WriteCache {
        /// Form of the CDB, and so of the header.
        form: Form,
        /// The answer is a mask of what can be changed.
        changeable: bool,
    },
    /// DEVICE_LB_PROVISIONING_DESCRIPTOR: as [`Self::Provisioning`]; a mapped volume's own.
    ProvisioningProperty,
    /// STORAGE_ACCESS_ALIGNMENT_DESCRIPTOR: a mapped volume's blocks.
    AlignmentProperty,
    /// DEVICE_TRIM_DESCRIPTOR: a mapped volume takes it.
    TrimProperty,
    /// STORAGE_WRITE_CACHE_PROPERTY: a mapped volume has one, which is flushed.
    WriteCacheProperty,
}

/// What edits have to know about a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume {
    /// It is mapped, and not in place.
    pub mapped: bool,
    /// The device below is told which blocks are no longer needed.
    pub discards: bool,
    /// Bytes of a sector.
    pub sector_size: u32,
    /// Bytes of the longest transfer that we take.
    pub longest: u32,
}

/// Bytes of a mapped volume's blocks, which are its physical sectors.
pub const MAPPED_BLOCK: u32 = 4096;

impl Edit {
    /// Changes the first `length` bytes of `answer`; answers how many there are now.
    #[must_use]
    pub fn apply(self, volume: &Volume, answer: &mut [u8], length: usize) -> usize {
        let length = length.min(answer.len());
        let (said, _) = answer.split_at_mut(length);
        match self {
            Self::Pages => return pages(volume, answer, length),
            Self::MaximumTransfer => lower(said, 8, volume.longest),
            Self::Limits if is_page(said, page::LIMITS) => limits(volume, said),
            Self::Provisioning if is_page(said, page::PROVISIONING) => provisioning(volume, said),
            Self::Limits | Self::Provisioning => {}
            Self::WriteProtect(form) => set(said, if form == Form::Six { 2 } else { 3 }, 0x80, 0),
            Self::WriteCache { form, changeable } => {
                let (on, off) = if changeable { (0, 0x04) } else { (0x04, 0) };
                if let Some(at) = caching_page(said, form) {
                    set(said, at + 2, on, off);
                }
            }
            Self::ProvisioningProperty => provisioning_property(volume, said),
            Self::AlignmentProperty => {
                // Version, Size, cache line and its offset, logical sector, physical sector, offset of the first.
                put(said, 20, MAPPED_BLOCK.max(volume.sector_size));
                put(said, 24, 0);
            }
            Self::TrimProperty => set(said, 8, 1, 0xFE),
            Self::WriteCacheProperty => {
                // Version, Size; WriteCacheTypeWriteBack, Enabled, NotChangeable; write-through is left as it is.
                put(said, 8, 2);
                put(said, 12, 2);
                put(said, 16, 1);
                set(said, 24, 1, 0xFE); // FlushCacheSupported
                set(said, 25, 0, 0xFF); // UserDefinedPowerProtection
                set(said, 26, 0, 0xFF); // NVCacheEnabled
            }
        }
        length
    }
}

fn is_page(said: &[u8], page: u8) -> bool {
    said.get(1) == Some(&page)
}

fn set(said: &mut [u8], at: usize, on: u8, off: u8) {
    if let Some(byte) = said.get_mut(at) {
        *byte = *byte & !off | on;
    }
}

fn field(said: &mut [u8], at: usize) -> Option<&mut [u8; 4]> {
    said.get_mut(at..)?.first_chunk_mut()
}

/// A field of a descriptor of Windows'.
fn put(said: &mut [u8], at: usize, value: u32) {
    if let Some(field) = field(said, at) {
        *field = value.to_le_bytes();
    }
}

fn lower(said: &mut [u8], at: usize, most: u32) {
    if let Some(field) = field(said, at) {
        *field = u32::from_le_bytes(*field).min(most).to_le_bytes();
    }
}

/// The list of pages, in rising order (SPC-5 7.7.16).
fn pages(volume: &Volume, answer: &mut [u8], length: usize) -> usize {
    const HEAD: usize = 4;
    const THIRD_PARTY_COPY: u8 = 0x8F;
    let Some(&[_, page::SUPPORTED, high, low]) = answer.first_chunk() else { return length };
    if length < HEAD {
        return length;
    }
    let told = usize::from(u16::from_be_bytes([high, low]));
    let mut listed = [false; 256];
    for &page in answer.get(HEAD..length.min(HEAD + told)).unwrap_or(&[]) {
        listed[usize::from(page)] = true;
    }
    listed[usize::from(THIRD_PARTY_COPY)] = false;
    for page in [page::LIMITS, page::PROVISIONING] {
        listed[usize::from(page)] |= volume.mapped;
    }
    let all = (0..=u8::MAX).filter(|&page| listed[usize::from(page)]);
    let count = all.clone().count();
    let (head, body) = answer.split_at_mut(HEAD);
    head[2..].copy_from_slice(&(count as u16).to_be_bytes()); // at most 256
    let mut written = 0;
    for (place, page) in body.iter_mut().zip(all) {
        *place = page;
        written += 1;
    }
    HEAD + written
}

fn limits(volume: &Volume, said: &mut [u8]) {
    let blocks = volume.longest / volume.sector_size.max(1);
    set(said, 4, 0x01, 0); // WSNZ: a WRITE SAME names how many
    set(said, 5, 0, 0xFF); // no COMPARE AND WRITE
    if let Some(longest) = field(said, 8) {
        let theirs = u32::from_be_bytes(*longest);
        *longest = (if theirs == 0 { blocks } else { theirs.min(blocks) }).to_be_bytes();
    }
    if !volume.discards {
        said.iter_mut().take(36).skip(20).for_each(|unmap| *unmap = 0);
    }
    let same = u64::from(blocks).to_be_bytes();
    for (place, byte) in said.iter_mut().skip(36).zip(same) {
        *place = byte;
    }
    said.iter_mut().skip(44).for_each(|atomic| *atomic = 0);
}

fn provisioning(volume: &Volume, said: &mut [u8]) {
    const LBPU: u8 = 0x80;
    set(said, 5, 0, if volume.discards { !LBPU } else { 0xFF });
    if !volume.discards {
        set(said, 6, 0, 0x07); // fully provisioned, or not told
    }
}

/// DEVICE_LB_PROVISIONING_DESCRIPTOR: Version, Size, bits, 7 bytes, then two u64 and, from Windows 8 on, two u32.
fn provisioning_property(volume: &Volume, said: &mut [u8]) {
    const THIN: u8 = 0x01;
    const READS_ZEROS: u8 = 0x02;
    const ANCHORS: u8 = 0x1C;
    if !volume.mapped {
        let thin = if volume.discards { 0 } else { THIN };
        return set(said, 8, 0, READS_ZEROS | ANCHORS | thin);
    }
    const ALIGNMENT_VALID: u8 = 0x20;
    set(said, 8, THIN | READS_ZEROS | ALIGNMENT_VALID, ANCHORS);
    put(said, 16, MAPPED_BLOCK); // OptimalUnmapGranularity, in bytes
    for rest in [20, 24, 28] {
        put(said, rest, 0);
    }
}

/// Where the caching page begins in MODE SENSE's answer.
fn caching_page(said: &[u8], form: Form) -> Option<usize> {
    const SUBPAGE_FORMAT: u8 = 0x40;
    let descriptors = |high: u8, low: u8| usize::from(u16::from_be_bytes([high, low]));
    let mut at = match form {
        Form::Six => 4 + usize::from(*said.get(3)?),
        _ => 8 + descriptors(*said.get(6)?, *said.get(7)?),
    };
    // Each turn moves on by at least 2 bytes.
    loop {
        let &[code, length, ..] = said.get(at..)? else { return None };
        if code & 0x7F == mode::CACHING {
            return Some(at);
        }
        at += match code & SUBPAGE_FORMAT {
            0 => 2 + usize::from(length),
            _ => 4 + descriptors(*said.get(at + 2)?, *said.get(at + 3)?),
        };
    }
}
