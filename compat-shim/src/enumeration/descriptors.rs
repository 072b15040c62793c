//! Answers to IOCTL_STORAGE_QUERY_PROPERTY for an adapter and its units: the descriptors of `ntddstor.h`, little-endian.

use super::profile::Profile;
use crate::{scsi::ioctl::property, storport::SrbKind};

/// What an adapter takes and is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adapter {
    /// Most bytes of one transfer.
    pub max_transfer: u32,
    /// Most pages that they may lie in.
    pub max_pages: u32,
    /// Bits of a buffer's address that must be zero.
    pub alignment_mask: u32,
    /// `STORAGE_BUS_TYPE`.
    pub bus: u8,
    /// Which SRBs it takes.
    pub srb_kind: SrbKind,
}

/// `STORAGE_BUS_TYPE`, as far as adapters of ours are on one.
#[allow(missing_docs, reason = "each is STORAGE_BUS_TYPE's value of the same name")]
pub mod bus {
    pub const SCSI: u8 = 1;
    pub const VIRTUAL: u8 = 14;
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// The query is cut short (STATUS_INFO_LENGTH_MISMATCH).
    Query,
    /// There is no room for the head of a descriptor (STATUS_BUFFER_TOO_SMALL).
    Room,
    /// A property that is not there, or another way to ask (STATUS_NOT_SUPPORTED).
    Unknown,
}

/// Room for the longest descriptor: all that page 83h can hold.
pub const ROOM: usize = 1024;
/// `STORAGE_DESCRIPTOR_HEADER`: version and size.
const HEAD: usize = 8;

/// Answers `query` (STORAGE_PROPERTY_QUERY) by a descriptor at the front of `into`: how long it is. A caller takes as much of
/// it as it has room for, `room` bytes, but at least its head. `unit`: `None` where the adapter itself is asked.
///
/// # Errors
/// See [`NoAnswer`].
pub fn answer(
    query: &[u8],
    room: usize,
    adapter: &Adapter,
    unit: Option<&Profile>,
    into: &mut [u8; ROOM],
) -> Result<usize, NoAnswer> {
    /// `STORAGE_QUERY_TYPE`.
    const STANDARD: u32 = 0;
    const EXISTS: u32 = 1;
    let word = |at: usize| query.get(at..).and_then(<[u8]>::first_chunk).copied().map(u32::from_le_bytes);
    let (Some(id), Some(kind)) = (word(0), word(4)) else { return Err(NoAnswer::Query) };
    let mut writer = Writer { bytes: into, length: 0 };
    match (id, unit) {
        (property::ADAPTER, _) => write_adapter(adapter, &mut writer),
        (property::DEVICE, Some(unit)) => write_device(unit, adapter.bus, &mut writer),
        (property::DEVICE_ID, Some(unit)) if unit.designators().next().is_some() => {
            write_identifiers(unit, &mut writer);
        }
        _ => return Err(NoAnswer::Unknown),
    }
    match kind {
        EXISTS => Ok(0),
        STANDARD if room < HEAD => Err(NoAnswer::Room),
        STANDARD => Ok(writer.length.min(room)),
        _ => Err(NoAnswer::Unknown),
    }
}

/// STORAGE_ADAPTER_DESCRIPTOR, 32 bytes.
fn write_adapter(adapter: &Adapter, to: &mut Writer<'_>) {
    const SIZE: u32 = 32;
    const ADDRESS_TYPE_BTL8: u8 = 1;
    to.words(&[SIZE, SIZE, adapter.max_transfer, adapter.max_pages, adapter.alignment_mask]);
    let extended = u8::from(adapter.srb_kind == SrbKind::Extended);
    to.bytes(&[0, 0, 1, 0]); // no PIO, no scanning down, queues commands, not accelerated
    to.bytes(&[adapter.bus, 0]);
    to.bytes(&[0; 4]); // the bus has no version
    to.bytes(&[extended, ADDRESS_TYPE_BTL8]);
}

/// STORAGE_DEVICE_DESCRIPTOR: 36 bytes, the raw INQUIRY data, then the strings that it refers to.
fn write_device(unit: &Profile, bus: u8, to: &mut Writer<'_>) {
    const SIZE: u32 = 40; // of the structure in C, with one raw byte and padding
    const RAW: usize = 36;
    let texts = [unit.vendor(), unit.product(), unit.revision(), unit.serial()];
    let (mut offsets, mut end) = ([0; 4], RAW + unit.standard().len());
    for (offset, text) in offsets.iter_mut().zip(texts) {
        if !text.is_empty() {
            *offset = end as u32;
            end += text.len() + 1;
        }
    }
    to.words(&[SIZE, end as u32]);
    to.bytes(&[unit.device_type(), 0, u8::from(unit.is_removable()), u8::from(unit.queues())]);
    to.words(&offsets);
    to.words(&[u32::from(bus), unit.standard().len() as u32]);
    to.bytes(unit.standard());
    for text in texts.iter().filter(|text| !text.is_empty()) {
        to.bytes(text);
        to.bytes(&[0]);
    }
}

/// STORAGE_DEVICE_ID_DESCRIPTOR, with a STORAGE_IDENTIFIER for each designator (MS-CSVP 2.2.9, 2.2.10).
fn write_identifiers(unit: &Profile, to: &mut Writer<'_>) {
    const VERSION: u32 = 13;
    const HEAD: usize = 12;
    const IDENTIFIER: usize = 16;
    let count = unit.designators().count();
    let size = |length: usize| (IDENTIFIER + length).next_multiple_of(4);
    let all: usize = unit.designators().map(|one| size(one.identifier.len())).sum();
    to.words(&[VERSION, (HEAD + all) as u32, count as u32]);
    for (index, one) in unit.designators().enumerate() {
        let whole = size(one.identifier.len());
        let next = if index + 1 == count { 0 } else { whole };
        to.words(&[u32::from(one.code_set), u32::from(one.kind)]);
        to.bytes(&(one.identifier.len() as u16).to_le_bytes());
        to.bytes(&(next as u16).to_le_bytes());
        to.words(&[u32::from(one.association)]);
        to.bytes(one.identifier);
        to.bytes(&[0; 4][..whole - IDENTIFIER - one.identifier.len()]);
    }
}

/// Writes one after the other, as far as there is room.
struct Writer<'a> {
    bytes: &'a mut [u8; ROOM],
    length: usize,
}

impl Writer<'_> {
    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if let Some(place) = self.bytes.get_mut(self.length) {
                *place = *byte;
                self.length += 1;
            }
        }
    }

    fn words(&mut self, words: &[u32]) {
        words.iter().for_each(|word| self.bytes(&word.to_le_bytes()));
    }
}
