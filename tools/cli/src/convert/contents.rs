//! How far reaches what a disk holds: partitions and file systems say so in their first sectors. The end of a disk is given up
//! only if none of them knows of it.

use crate::{convert::Disk, failure::Failure};

/// Bytes that are looked at: the superblock of btrfs lies furthest.
const LOOKED_AT: u64 = 128 << 10;
/// Most entries of a partition table; more are not in use anywhere.
const ENTRIES: u64 = 1024;

/// What a GPT is called here.
pub(crate) const GPT: &str = "a partition of its GPT";

/// What reaches furthest, and up to which byte.
pub(crate) struct Reach {
    pub what: &'static str,
    pub end: u64,
}

/// Looks at the first sectors. What is not known there is not seen.
pub(crate) fn reach(disk: &dyn Disk, sector: u64) -> Result<Option<Reach>, Failure> {
    let mut bytes = vec![0; LOOKED_AT.min(disk.bytes() / sector * sector) as usize];
    disk.read(0, &mut bytes)?;
    // A boot sector of a file system ends like a partition table.
    Ok(gpt(&bytes, sector).or_else(|| file_system(&bytes)).or_else(|| mbr(&bytes, sector)))
}

fn number(bytes: &[u8], at: u64, length: usize) -> Option<u64> {
    let at = usize::try_from(at).ok()?;
    let field = bytes.get(at..at.checked_add(length)?)?;
    Some(field.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

fn big(bytes: &[u8], at: u64, length: usize) -> Option<u64> {
    number(bytes, at, length).map(|value| value.swap_bytes() >> (64 - 8 * length))
}

fn gpt(bytes: &[u8], sector: u64) -> Option<Reach> {
    bytes.get(sector as usize..).filter(|table| table.starts_with(b"EFI PART"))?;
    let first = number(bytes, sector + 72, 8)?.checked_mul(sector)?;
    let (count, size) = (number(bytes, sector + 80, 4)?.min(ENTRIES), number(bytes, sector + 84, 4)?);
    let ends = (0..count).filter_map(|entry| {
        let at = first.checked_add(entry.checked_mul(size)?)?;
        let in_use = number(bytes, at, 8)? | number(bytes, at.checked_add(8)?, 8)? != 0;
        number(bytes, at.checked_add(40)?, 8)?.checked_add(1).filter(|_| in_use)
    });
    Some(Reach { what: GPT, end: ends.max().unwrap_or(0).saturating_mul(sector) })
}

fn mbr(bytes: &[u8], sector: u64) -> Option<Reach> {
    number(bytes, 510, 2).filter(|signature| *signature == 0xaa55)?;
    let ends = (0..4).filter_map(|entry| {
        let at = 446 + 16 * entry;
        let in_use = number(bytes, at + 4, 1)? != 0;
        in_use.then_some((number(bytes, at + 8, 4)? + number(bytes, at + 12, 4)?) * sector)
    });
    Some(Reach { what: "a partition", end: ends.max()? })
}

fn file_system(bytes: &[u8]) -> Option<Reach> {
    let has = |at: usize, signature: &[u8]| bytes.get(at..).is_some_and(|rest| rest.starts_with(signature));
    let reach = |what, count: u64, size: u64| Some(Reach { what, end: count.saturating_mul(size) });
    let shifted = |exponent: u64| 1u64.checked_shl(u32::try_from(exponent).ok()?);
    if has(3, b"NTFS    ") {
        // Its own count leaves out the sector with the copy of this one.
        let sectors = number(bytes, 0x28, 8)?.saturating_add(1);
        return reach("its NTFS file system", sectors, number(bytes, 0x0b, 2)?);
    }
    if has(3, b"EXFAT   ") {
        return reach("its exFAT file system", number(bytes, 0x48, 8)?, shifted(number(bytes, 108, 1)?)?);
    }
    if has(82, b"FAT32   ") {
        return reach("its FAT32 file system", number(bytes, 0x20, 4)?, number(bytes, 0x0b, 2)?);
    }
    if has(0x438, b"\x53\xef") {
        let has_high = number(bytes, 0x460, 4)? & 0x80 != 0;
        let high = if has_high { number(bytes, 0x550, 4)? } else { 0 };
        let blocks = number(bytes, 0x404, 4)? | high << 32;
        return reach("its ext file system", blocks, shifted(number(bytes, 0x418, 4)?.checked_add(10)?)?);
    }
    if has(0, b"XFSB") {
        return reach("its XFS file system", big(bytes, 8, 8)?, big(bytes, 4, 4)?);
    }
    if has(0x10040, b"_BHRfS_M") {
        return reach("its btrfs file system", number(bytes, 0x10070, 8)?, 1);
    }
    None
}
