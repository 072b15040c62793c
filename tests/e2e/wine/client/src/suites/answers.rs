//! What a volume says of itself: sizes, limits, caches, holes; and WRITE SAME.

use crate::{
    device::Error,
    disk::{Answer, Disk, Request, cdb},
    report::check,
};

/// What the disk under test holds.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Locked,
    InPlace,
    Mapped,
}

fn inquiry(disk: &Disk, page: u8, extended: bool) -> Result<Answer, Error> {
    disk.send(&Request::cdb(&[0x12, 1, page, 0, 64, 0]).reads(64).extended(extended))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |bytes| bytes.iter().fold(0, |word, byte| word << 8 | u32::from(*byte)))
}

fn pages(disk: &Disk, kind: Kind, extended: bool) -> Result<(), Error> {
    let how = if extended { "extended" } else { "legacy" };
    let supported = inquiry(disk, 0, extended)?;
    let listed = supported.data.get(4..supported.transferred as usize).unwrap_or(&[]).to_vec();
    let hidden = listed.contains(&0xb0) && listed.contains(&0xb2) && !listed.contains(&0x8f);
    check(&format!("VPD page 00 lists B0 and B2, and no copies ({how})"), hidden, format!("{listed:02x?}"));
    let limits = inquiry(disk, 0xb0, extended)?;
    let blocks = (1 << 20) / disk.sector as u32;
    let [longest, unmap, same] = [8, 20, 40].map(|at| word(&limits.data, at));
    check(
        &format!("VPD page B0 tells our limits ({how})"),
        (1..=blocks).contains(&longest)
            && limits.data[4] & 1 == 1
            && same == blocks
            && (kind != Kind::Mapped || unmap == u32::MAX),
        format!("longest {longest}, unmap {unmap}, same {same}"),
    );
    let thin = inquiry(disk, 0xb2, extended)?;
    let flags = thin.data[5];
    let wanted = if kind == Kind::Mapped { 0x84 } else { 0x80 };
    check(&format!("VPD page B2 tells what UNMAP does ({how})"), flags == wanted, format!("{flags:02x}"));
    Ok(())
}

fn mode(disk: &Disk, kind: Kind) -> Result<(), Error> {
    let sensed = disk.send(&Request::cdb(&[0x1a, 8, 8, 0, 192, 0]).reads(192))?;
    let (protected, cached) = (sensed.data[2] & 0x80 != 0, sensed.data[6] & 4 != 0);
    check(
        "MODE SENSE says write-protected while it is locked",
        sensed.good() && protected == (kind == Kind::Locked),
        format!("{:02x?}", &sensed.data[..8]),
    );
    if kind == Kind::Mapped {
        check("MODE SENSE tells of a write cache", cached, format!("{:02x?}", &sensed.data[..8]));
    }
    let capacity = [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0];
    let told = disk.send(&Request::cdb(&capacity).reads(32))?;
    let (thin, zeros) = (told.data[14] & 0x80 != 0, told.data[14] & 0x40 != 0);
    let wanted = (true, kind == Kind::Mapped);
    check(
        "READ CAPACITY(16) tells whether UNMAP is taken, and reads as zeros",
        kind == Kind::Locked || (thin, zeros) == wanted,
        format!("LBPME {thin}, LBPRZ {zeros}"),
    );
    let reserve = disk.send(&Request::cdb(&[0x16, 0, 0, 0, 0, 0]))?;
    let refused = reserve.sense == [5, 0x20, 0];
    let before = disk.statistics()?.opcodes[0x16];
    disk.send(&Request::cdb(&[0x16, 0, 0, 0, 0, 0]))?;
    let reached = disk.statistics()?.opcodes[0x16] > before;
    check(
        "a mapped volume cannot be reserved, another can",
        if kind == Kind::Mapped { refused && !reached } else { reached },
        reserve.text(),
    );
    Ok(())
}

fn same(disk: &Disk) -> Result<(), Error> {
    let sector: Vec<u8> = (0..disk.sector).map(|at| (at * 7 + 1) as u8).collect();
    for (name, extended, command, length) in [
        ("(10)", false, cdb::ten(0x41, 512, 100).to_vec(), 100),
        ("(16)", true, cdb::sixteen(0x93, 1024, 256).to_vec(), 256),
    ] {
        let lba = u64::from(if extended { 1024_u32 } else { 512 });
        let done = disk.send(&Request::cdb(&command).writes(&sector).extended(extended))?;
        let back = disk.top.read(lba * disk.sector, length * sector.len())?;
        let right = back.chunks(sector.len()).all(|one| one == sector);
        check(&format!("WRITE SAME{name} writes a sector to each"), done.good() && right, done.text());
    }
    let long = disk.send(&Request::cdb(&cdb::sixteen(0x93, 0, 1 << 20)).writes(&sector).extended(true))?;
    check("a longer one than page B0 says is refused", long.sense == [5, 0x24, 0], long.text());
    Ok(())
}

fn holes(disk: &Disk) -> Result<(), Error> {
    let ask = |lba: u64| {
        let mut command = cdb::sixteen(0x9e, lba, 24);
        command[1] = 0x12;
        disk.send(&Request::cdb(&command).reads(24))
    };
    let (at, blocks) = (48 << 20, 4096 / disk.sector);
    let lba = at / disk.sector;
    disk.top.write(at, &[0; 8192])?;
    disk.top.write(at, &[1; 4096])?;
    let (data, hole) = (ask(lba)?, ask(lba + blocks)?);
    let told = |answer: &Answer| (word(&answer.data, 12), word(&answer.data, 16), answer.data[20]);
    check(
        "GET LBA STATUS tells what holds data",
        told(&data) == (lba as u32, blocks as u32, 0),
        format!("{:?} {}", told(&data), data.text()),
    );
    let (first, _, state) = told(&hole);
    check(
        "and what does not",
        (u64::from(first), state) == (lba + blocks, 1),
        format!("{:?} {}", told(&hole), hole.text()),
    );
    Ok(())
}

pub(crate) fn run(disk: &Disk, kind: Kind) {
    let outcome = (|| -> Result<(), Error> {
        disk.port(|mode| mode.generous = 1)?;
        for extended in [false, true] {
            pages(disk, kind, extended)?;
        }
        mode(disk, kind)?;
        if kind != Kind::Locked {
            same(disk)?;
        }
        if kind == Kind::Mapped {
            holes(disk)?;
        }
        disk.port(|_| ())
    })();
    check("what a volume says of itself was asked", outcome.is_ok(), format!("{outcome:?}"));
}
