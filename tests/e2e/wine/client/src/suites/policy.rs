//! Every request that could read or write a disk's blocks by another door:
//! refused, or transformed, but never handed to the device as it is.

use crate::{
    device::Error,
    disk::{Disk, Request, cdb},
    report::check,
};

/// The state of the disk under test.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum State {
    /// A Sluice volume whose key the driver has.
    Unlocked,
    /// A Sluice volume without its key.
    Locked,
    /// One of which no copy of the header is valid.
    Damaged,
    /// No Sluice volume: everything passes.
    Plain,
}

/// Text in all data sent to the device; the test port looks for it.
pub(crate) const MARKER: &[u8; 16] = b"SLUICE-PLAINTEXT";

/// `n` bytes full of the marker.
pub(crate) fn marked(n: usize) -> Vec<u8> {
    MARKER.iter().copied().cycle().take(n).collect()
}

/// (name, opcode, CDB length, direction: 'o'ut, 'i'n, 'n'one). Each carries one sector.
const DOORS: &[(&str, u8, usize, char)] = &[
    ("WRITE AND VERIFY(10)", 0x2e, 10, 'o'),
    ("WRITE AND VERIFY(12)", 0xae, 12, 'o'),
    ("WRITE AND VERIFY(16)", 0x8e, 16, 'o'),
    ("COMPARE AND WRITE", 0x89, 16, 'o'),
    ("ORWRITE(16)", 0x8b, 16, 'o'),
    ("WRITE ATOMIC(16)", 0x9c, 16, 'o'),
    ("XDWRITEREAD(10)", 0x53, 10, 'o'),
    ("XDWRITE(10)", 0x50, 10, 'o'),
    ("XPWRITE(10)", 0x51, 10, 'o'),
    ("WRITE LONG(10)", 0x3f, 10, 'o'),
    ("READ LONG(10)", 0x3e, 10, 'i'),
    ("WRITE SAME(10)", 0x41, 10, 'o'),
    ("WRITE SAME(16)", 0x93, 16, 'o'),
    ("WRITE BUFFER", 0x3b, 10, 'o'),
    ("READ BUFFER", 0x3c, 10, 'i'),
    ("FORMAT UNIT", 0x04, 6, 'n'),
    ("SANITIZE", 0x48, 10, 'n'),
    ("REASSIGN BLOCKS", 0x07, 6, 'o'),
    ("EXTENDED COPY", 0x83, 16, 'o'),
    ("RECEIVE COPY RESULTS", 0x84, 16, 'i'),
    ("SECURITY PROTOCOL OUT", 0xb5, 12, 'o'),
    ("SECURITY PROTOCOL IN", 0xa2, 12, 'i'),
    ("ATA PASS-THROUGH(16)", 0x85, 16, 'o'),
    ("ATA PASS-THROUGH(12)", 0xa1, 12, 'i'),
    ("vendor specific C0", 0xc0, 10, 'o'),
    ("vendor specific FF", 0xff, 16, 'i'),
];

/// (name, code): controls that reach the device past the SRB path.
const CONTROLS: &[(&str, u32)] = &[
    ("IOCTL_SCSI_PASS_THROUGH", 0x4d004),
    ("IOCTL_SCSI_PASS_THROUGH_DIRECT", 0x4d014),
    ("IOCTL_SCSI_PASS_THROUGH_EX", 0x4d044),
    ("IOCTL_SCSI_PASS_THROUGH_DIRECT_EX", 0x4d048),
    ("IOCTL_ATA_PASS_THROUGH", 0x4d02c),
    ("IOCTL_ATA_PASS_THROUGH_DIRECT", 0x4d030),
    ("IOCTL_SCSI_MINIPORT", 0x4d008),
    ("IOCTL_STORAGE_PROTOCOL_COMMAND", 0x2d_d3c0),
    ("IOCTL_STORAGE_MANAGE_DATA_SET_ATTRIBUTES, unknown action", 0x2d_9404),
    ("an unknown control", 0x22_abc0),
];

fn door(
    disk: &Disk,
    state: State,
    &(name, op, length, direction): &(&str, u8, usize, char),
    extended: bool,
) -> Result<(), Error> {
    let mut c = vec![0; length];
    c[0] = op;
    match length {
        10 => c[8] = 1,
        12 => c[9] = 1,
        16 => c[13] = 1,
        _ => c[4] = 1,
    }
    let mut r = Request::cdb(&c).extended(extended);
    let sector = disk.sector as usize;
    r = match direction {
        'o' => r.writes(&marked(sector)),
        'i' => r.reads(sector),
        _ => r,
    };
    let before = disk.statistics()?;
    let a = disk.send(&r)?;
    let after = disk.statistics()?;
    let reached = after.opcodes[usize::from(op)] - before.opcodes[usize::from(op)];
    let kind = if extended { "extended" } else { "legacy" };
    if state == State::Plain {
        check(
            &format!("{name} passes on a plain disk ({kind})"),
            reached == 1,
            format!("{}, reached {reached}", a.text()),
        );
        return Ok(());
    }
    let leaked = after.pattern_hits != before.pattern_hits;
    let refused = !a.good() && matches!(a.sense[0], 5 | 7) && reached == 0;
    let ok = !leaked
        && !a.buffer_changed
        && (refused || (a.good() && direction == 'o' && state == State::Unlocked));
    check(
        &format!("{name} is refused or transformed ({kind})"),
        ok,
        format!("{}, reached {reached}, leaked {leaked}", a.text()),
    );
    Ok(())
}

/// A pass-through block that asks for a write of marked data to sector 0; its
/// layout fits every SCSI form well enough to be dangerous.
fn control_input() -> Vec<u8> {
    let mut b = vec![0; 1024];
    b[..2].copy_from_slice(&56u16.to_le_bytes()); // Length of SCSI_PASS_THROUGH, x64
    b[6] = 10; // CdbLength
    b[7] = 32; // SenseInfoLength
    b[12..16].copy_from_slice(&512u32.to_le_bytes());
    b[16..20].copy_from_slice(&10u32.to_le_bytes());
    b[24..32].copy_from_slice(&128u64.to_le_bytes());
    b[32..36].copy_from_slice(&64u32.to_le_bytes());
    b[36..46].copy_from_slice(&cdb::write10(0, 1));
    b[128..640].copy_from_slice(&marked(512));
    b
}

fn control(disk: &Disk, state: State, &(name, code): &(&str, u32)) -> Result<(), Error> {
    let before = disk.statistics()?;
    let outcome = disk.top.control(code, &control_input(), 1024);
    let after = disk.statistics()?;
    let reached = after.ioctls - before.ioctls;
    if state == State::Plain {
        check(
            &format!("{name} passes on a plain disk"),
            reached == 1,
            format!("{:?}, reached {reached}", outcome.map(|b| b.len())),
        );
    } else {
        // The others have a structure or memory of another kind.
        let carried_out = state == State::Unlocked && code == 0x4d004;
        let ok = reached == 0 && outcome.is_ok() == carried_out && after.pattern_hits == before.pattern_hits;
        check(
            &format!("{name} is {}", if carried_out { "transformed" } else { "refused" }),
            ok,
            format!("{:?}, reached {reached}", outcome.map(|b| b.len())),
        );
    }
    for size in [0, 1, 8, 40, 55] {
        let _ = disk.top.control(code, &control_input()[..size], size);
    }
    Ok(())
}

/// What every disk answers in every state.
fn harmless(disk: &Disk) -> Result<(), Error> {
    for extended in [false, true] {
        let rows: [(&str, Request); 7] = [
            ("TEST UNIT READY", Request::cdb(&[0; 6])),
            ("INQUIRY", Request::cdb(&[0x12, 0, 0, 0, 36, 0]).reads(36)),
            ("INQUIRY, page B0", Request::cdb(&[0x12, 1, 0xb0, 0, 64, 0]).reads(64)),
            ("READ CAPACITY(10)", Request::cdb(&cdb::ten(0x25, 0, 0)).reads(8)),
            (
                "READ CAPACITY(16)",
                Request::cdb(&[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0]).reads(32),
            ),
            ("MODE SENSE(6)", Request::cdb(&[0x1a, 8, 8, 0, 192, 0]).reads(192)),
            ("REPORT LUNS", Request::cdb(&[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0]).reads(16)),
        ];
        for (name, r) in rows {
            let a = disk.send(&r.extended(extended))?;
            let kind = if extended { "extended" } else { "legacy" };
            check(&format!("{name} is answered ({kind})"), a.good(), a.text());
        }
    }
    Ok(())
}

/// READ CAPACITY tells the volume's size, not the disk's.
fn capacity(disk: &Disk, volume: u64) -> Result<(), Error> {
    let a = disk.send(&Request::cdb(&[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0]).reads(32))?;
    let last = a.data.get(..8).map_or(0, |b| b.iter().fold(0u64, |v, x| v << 8 | u64::from(*x)));
    check(
        "READ CAPACITY(16) tells the volume's size",
        (last + 1) * disk.sector == volume,
        format!("{} sectors", last + 1),
    );
    Ok(())
}

/// A locked volume gives nothing away and takes nothing.
fn locked(disk: &Disk) -> Result<(), Error> {
    let n = disk.sector as usize * 8;
    for extended in [false, true] {
        let kind = if extended { "extended" } else { "legacy" };
        let before = disk.statistics()?;
        let r = disk.send(&Request::cdb(&cdb::read10(0, 8)).reads(n).extended(extended))?;
        check(
            &format!("locked: a read fails with DATA PROTECT 74/71 ({kind})"),
            !r.good() && r.sense == [7, 0x74, 0x71] && r.srb_status == 4,
            r.text(),
        );
        check(&format!("locked: a read returns no data ({kind})"), r.data.iter().all(|b| *b == 0), r.text());
        let w = disk.send(&Request::cdb(&cdb::write10(0, 8)).writes(&marked(n)).extended(extended))?;
        check(
            &format!("locked: a write is refused ({kind})"),
            !w.good() && w.sense[0] == 7 && !w.buffer_changed,
            w.text(),
        );
        let after = disk.statistics()?;
        check(
            &format!("locked: neither reaches the device ({kind})"),
            after.writes == before.writes && after.reads == before.reads,
            format!("{} reads", after.reads - before.reads),
        );
    }
    let e = disk.top.write(0, &marked(n));
    check("locked: WriteFile fails", e.is_err(), format!("{e:?}"));
    let e = disk.top.read(0, n);
    check("locked: ReadFile fails", e.is_err(), format!("{:?}", e.map(|d| d.len())));
    Ok(())
}

fn table(disk: &Disk, state: State, volume: u64) -> Result<(), Error> {
    harmless(disk)?;
    if state != State::Plain {
        capacity(disk, volume)?;
        disk.watch(*MARKER)?;
    }
    if state == State::Locked {
        locked(disk)?;
    }
    for extended in [false, true] {
        for d in DOORS {
            door(disk, state, d, extended)?;
        }
    }
    for c in CONTROLS {
        control(disk, state, c)?;
    }
    super::miniport::run(disk, state)
}

/// The short form for a locked volume: only its reads and writes.
pub(crate) fn reads_locked(disk: &Disk) {
    let outcome = locked(disk);
    check("locked reads and writes ran to their end", outcome.is_ok(), format!("{outcome:?}"));
}

/// Both headers are broken: the disk is Sluice's, but nobody may touch it.
pub(crate) fn damaged(disk: &Disk) {
    let outcome = (|| -> Result<(), Error> {
        let n = disk.sector as usize * 8;
        for extended in [false, true] {
            let before = disk.statistics()?;
            let r = disk.send(&Request::cdb(&cdb::read10(0, 8)).reads(n).extended(extended))?;
            let w = disk.send(&Request::cdb(&cdb::write10(0, 8)).writes(&marked(n)).extended(extended))?;
            let after = disk.statistics()?;
            let quiet = after.writes == before.writes && after.reads == before.reads;
            check(
                "damaged: reads and writes are refused and do not reach the device",
                !r.good() && !w.good() && quiet,
                format!("{} / {}", r.text(), w.text()),
            );
        }
        Ok(())
    })();
    check("damaged suite ran to its end", outcome.is_ok(), format!("{outcome:?}"));
}

/// The whole table of doors for a disk in `state`.
pub(crate) fn run(disk: &Disk, state: State, volume: u64) {
    let outcome = table(disk, state, volume);
    check("policy suite ran to its end", outcome.is_ok(), format!("{outcome:?}"));
}
