//! Requests that lie: about lengths, buffers, places and their own shape. Each
//! comes back with an error, moves no data, and leaves the stack in order.

use super::policy::marked;
use crate::{
    device::Error,
    disk::{Disk, Request, cdb},
    interface::*,
    report::check,
};

/// (what is wrong, offset in the SRB, size, value).
type Lie = (&'static str, u16, u16, u64);

const LEGACY: &[Lie] = &[
    ("Length 0", 0, 2, 0),
    ("Length 8", 0, 2, 8),
    ("CdbLength 0", 10, 1, 0),
    ("CdbLength 5", 10, 1, 5),
    ("CdbLength 17", 10, 1, 17),
    ("CdbLength 255", 10, 1, 255),
    ("no direction", 12, 4, 0x100),
    ("DataTransferLength 0", 16, 4, 0),
    ("DataTransferLength of one sector less", 16, 4, 3584),
    ("DataTransferLength not of whole sectors", 16, 4, 4095),
    ("DataTransferLength beyond the MDL", 16, 4, 8192),
    ("DataTransferLength of nearly 4 GiB", 16, 4, 0xffff_fe00),
    ("DataBuffer NULL", 24, 8, 0),
    ("DataBuffer of one page", 24, 8, 4096),
    ("DataBuffer at the top of memory", 24, 8, 0xffff_ffff_ffff_f000),
    ("unknown function", 2, 1, 0x99),
];

const EXTENDED: &[Lie] = &[
    ("Length 88", 0, 2, 88),
    ("wrong signature", 8, 4, 0x4242_4242),
    ("version 2", 12, 4, 2),
    ("SrbLength 0", 16, 4, 0),
    ("SrbLength 127", 16, 4, 127),
    ("SrbLength up to the CDB data", 16, 4, 144),
    ("SrbLength into the CDB data", 16, 4, 160),
    ("unknown function", 20, 4, 0x99),
    ("extended function within itself", 20, 4, 0x28),
    ("no direction", 24, 4, 0x100),
    ("NumSrbExData 0", 56, 4, 0),
    ("NumSrbExData of 4 thousand million", 56, 4, 0xffff_ffff),
    ("DataTransferLength 0", 60, 4, 0),
    ("DataTransferLength of one sector less", 60, 4, 3584),
    ("DataTransferLength beyond the MDL", 60, 4, 8192),
    ("DataTransferLength of nearly 4 GiB", 60, 4, 0xffff_fe00),
    ("DataBuffer NULL", 64, 8, 0),
    ("DataBuffer of one page", 64, 8, 4096),
    ("DataBuffer at the top of memory", 64, 8, 0xffff_ffff_ffff_f000),
    ("SrbExDataOffset 0", 120, 4, 0),
    ("SrbExDataOffset inside the header", 120, 4, 64),
    ("SrbExDataOffset past the end", 120, 4, 4096),
    ("SrbExDataOffset near 4 GiB", 120, 4, 0xffff_fff8),
    ("unknown type of CDB data", 144, 4, 0x77),
    ("CDB data of length 0", 148, 4, 0),
    ("CDB data of nearly 4 GiB", 148, 4, 0xffff_fff0),
    ("CdbLength 0", 154, 1, 0),
    ("CdbLength 17", 154, 1, 17),
    ("CdbLength 255", 154, 1, 255),
];

const SHAPES: &[(&str, u32)] = &[
    ("no MDL", RAW_NO_MDL),
    ("an MDL of half the length", RAW_SHORT_MDL),
    ("no SRB at all", RAW_NULL_SRB),
    ("IRP_MJ_READ or IRP_MJ_WRITE instead of an SRB", RAW_READ_WRITE_IRP),
];

fn requests(extended: bool, bytes: usize, blocks: u16) -> [(&'static str, Request); 2] {
    [
        ("read", Request::cdb(&cdb::read10(64, blocks)).reads(bytes).extended(extended)),
        ("write", Request::cdb(&cdb::write10(64, blocks)).writes(&marked(bytes)).extended(extended)),
    ]
}

fn judge(disk: &Disk, name: &str, r: &Request) -> Result<(), Error> {
    let before = disk.statistics()?;
    let a = disk.send(r)?;
    let after = disk.statistics()?;
    let quiet = after.reads == before.reads
        && after.writes == before.writes
        && after.pattern_hits == before.pattern_hits;
    check(
        name,
        !a.good() && quiet && !a.buffer_changed,
        format!(
            "{}, {} reads and {} writes at the port",
            a.text(),
            after.reads - before.reads,
            after.writes - before.writes
        ),
    );
    Ok(())
}

fn all(disk: &Disk) -> Result<(), Error> {
    let (bytes, blocks) = (4096, (4096 / disk.sector) as u16);
    for (extended, kind, lies) in [(false, "legacy", LEGACY), (true, "extended", EXTENDED)] {
        for (direction, r) in requests(extended, bytes, blocks) {
            for &(what, offset, size, value) in lies {
                judge(
                    disk,
                    &format!("{kind} {direction} with {what} is refused"),
                    &r.clone().lie(offset, size, value),
                )?;
            }
            for &(what, flag) in SHAPES {
                judge(disk, &format!("{kind} {direction} with {what} is refused"), &r.clone().with(flag, 0))?;
            }
            // Nothing wrong with these: no sense buffer, and nothing to say there.
            let a = disk.send(&r.clone().with(RAW_NO_SENSE, 0))?;
            check(&format!("{kind} {direction} without a sense buffer succeeds"), a.good(), a.text());
        }
    }
    Ok(())
}

fn last_block(volume: u64, sector: u64) -> u64 {
    volume / sector - 1
}

/// Places outside the volume, in every CDB that has them.
fn ranges(disk: &Disk, volume: u64) -> Result<(), Error> {
    let last = last_block(volume, disk.sector);
    let s = disk.sector as usize;
    let rows: &[(&str, u64, u32)] = &[
        ("the sector after the last", last + 1, 1),
        ("two sectors across the end", last, 2),
        ("the disk's last sector", last + 2048, 1),
        ("the highest sector there is", u64::MAX, 1),
        ("a range that wraps around", u64::MAX, 8),
    ];
    for &(what, lba, blocks) in rows {
        let n = s * blocks as usize;
        for extended in [false, true] {
            for (name, r) in [
                ("READ(16)", Request::cdb(&cdb::sixteen(0x88, lba, blocks)).reads(n)),
                ("WRITE(16)", Request::cdb(&cdb::sixteen(0x8a, lba, blocks)).writes(&marked(n))),
            ] {
                let before = disk.statistics()?;
                let a = disk.send(&r.extended(extended))?;
                let after = disk.statistics()?;
                let quiet = after.reads == before.reads && after.writes == before.writes;
                check(
                    &format!("{name} of {what} is refused with 21/00"),
                    !a.good() && a.sense == [5, 0x21, 0] && quiet,
                    a.text(),
                );
            }
        }
    }
    let w = disk.send(&Request::cdb(&cdb::sixteen(0x8a, last, 1)).writes(&marked(s)))?;
    let r = disk.send(&Request::cdb(&cdb::sixteen(0x88, last, 1)).reads(s))?;
    check(
        "the last sector can be written and read",
        w.good() && r.good() && r.data == marked(s),
        format!("{} / {}", w.text(), r.text()),
    );
    let z = disk.send(&Request::cdb(&cdb::read10(0, 0)))?;
    check("a read of no sectors succeeds", z.good() && z.transferred == 0, z.text());
    Ok(())
}

pub(crate) fn run(disk: &Disk, volume: u64) {
    let outcome =
        disk.watch(*super::policy::MARKER).and_then(|()| ranges(disk, volume)).and_then(|()| all(disk));
    check("suite of lies ran to its end", outcome.is_ok(), format!("{outcome:?}"));
    let data = marked(65536);
    let w = disk.top.write(0, &data);
    let back = disk.top.read(0, data.len());
    check(
        "after all lies a write reads back",
        w == Ok(data.len()) && back.as_ref() == Ok(&data),
        format!("{w:?} {:?}", back.map(|b| b.len())),
    );
}
