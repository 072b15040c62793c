//! The driver's control device against callers that are wrong, hostile or
//! merely old: each gets the error that its fault deserves.

use sluice_control::{DiskEntry, DiskRequest, Refusal, Statistics, UnlockRequest, VERSION, code};
use zerocopy::IntoBytes;

use crate::{
    device::{Device, Error},
    disk::{Disk, Request},
    driver,
    interface::CONTROL_DACL,
    report::check,
};

const CODES: [(&str, u32); 6] = [
    ("LIST", code::LIST),
    ("READ_HEADER", code::READ_HEADER),
    ("UNLOCK", code::UNLOCK),
    ("LOCK", code::LOCK),
    ("STATISTICS", code::STATISTICS),
    ("UNLOCK_OPEN", code::UNLOCK_OPEN),
];

fn input_length(c: u32) -> usize {
    match c {
        code::LIST => 0,
        code::UNLOCK => size_of::<UnlockRequest>(),
        _ => size_of::<DiskRequest>(),
    }
}

fn refused_as(got: &Result<Vec<u8>, Error>, want: Refusal) -> bool {
    got.as_ref().err().copied().and_then(Refusal::from_win32) == Some(want)
}

fn show(got: &Result<Vec<u8>, Error>) -> String {
    got.as_ref().map_or_else(|e| format!("error {e}"), |b| format!("{} bytes", b.len()))
}

fn lengths(device: &Device) {
    for (name, c) in CODES {
        let right = input_length(c);
        let wrong: Vec<String> = [0, 1, 4, 7, 8, 9, 15, 16, 47, 48, 49, 64, 4096, 1 << 20]
            .into_iter()
            .filter(|n| *n != right)
            .map(|n| (n, device.control(c, &vec![0xff; n], 65536)))
            .filter(|(_, got)| !refused_as(got, Refusal::Length))
            .map(|(n, got)| format!("{n} bytes: {}", show(&got)))
            .collect();
        check(
            &format!("{name} with an input of the wrong length is refused as such"),
            wrong.is_empty(),
            wrong.join("; "),
        );
    }
}

fn versions(device: &Device) {
    for (name, c) in &CODES[1..] {
        for version in [0u32, VERSION + 1, u32::MAX] {
            let mut input = vec![0; input_length(*c)];
            input[..4].copy_from_slice(&version.to_le_bytes());
            let got = device.control(*c, &input, 65536);
            check(
                &format!("{name} of version {version} is refused as such"),
                refused_as(&got, Refusal::Version),
                show(&got),
            );
        }
    }
}

fn disks(device: &Device) {
    for number in [0x7fff_ffff, u32::MAX] {
        for (name, c) in &CODES[1..] {
            let mut input = vec![0; input_length(*c)];
            input[..8].copy_from_slice(DiskRequest::new(number).as_bytes());
            let got = device.control(*c, &input, 65536);
            check(
                &format!("{name} of disk {number} finds no such disk"),
                refused_as(&got, Refusal::NoSuchDisk),
                show(&got),
            );
        }
    }
}

fn answers(device: &Device, id: u32) {
    let ask = DiskRequest::new(id);
    for (name, c, input, room) in [
        ("LIST", code::LIST, &[][..], 15),
        ("READ_HEADER", code::READ_HEADER, ask.as_bytes(), sluice_control::HEADER_BYTES - 1),
        ("STATISTICS", code::STATISTICS, ask.as_bytes(), size_of::<Statistics>() - 1),
    ] {
        for room in [0, 1, room] {
            let got = device.control(c, input, room);
            check(
                &format!("{name} with room for {room} bytes is refused as such"),
                refused_as(&got, Refusal::NoRoom),
                show(&got),
            );
        }
    }
    let got = device.control(code::STATISTICS, ask.as_bytes(), size_of::<Statistics>());
    let fits = got.as_ref().is_ok_and(|b| b.len() == size_of::<Statistics>());
    check("STATISTICS with room is answered, locked or not", fits, show(&got));
}

/// Keys and slots that do not fit; only on a locked volume do they get that far.
fn keys(device: &Device, id: u32, locked: bool) {
    for (what, slot) in [("slot 8", 8), ("slot 4294967295", u32::MAX), ("an empty slot", 7)] {
        let got = device.control(code::UNLOCK, UnlockRequest::new(id, slot, [0x42; 32]).as_bytes(), 0);
        let want = if locked { Refusal::NoSuchSlot } else { Refusal::WrongState };
        check(&format!("UNLOCK with {what} is refused"), refused_as(&got, want), show(&got));
    }
    let got = device.control(code::UNLOCK, UnlockRequest::new(id, 0, [0x42; 32]).as_bytes(), 0);
    let want = if locked { Refusal::WrongKey } else { Refusal::WrongState };
    check("UNLOCK with a wrong key is refused", refused_as(&got, want), show(&got));
    let got = device.control(code::UNLOCK_OPEN, DiskRequest::new(id).as_bytes(), 0);
    let want = if locked { Refusal::Encrypted } else { Refusal::WrongState };
    check("UNLOCK_OPEN of an encrypted volume is refused", refused_as(&got, want), show(&got));
}

/// A locked volume that is not encrypted. Leaves it locked.
pub(crate) fn keyless() {
    let outcome = (|| -> Result<(), Error> {
        let device = driver::open()?;
        let all = driver::disks(&device)?;
        let locked = |disk: &&DiskEntry| disk.state == sluice_control::state::LOCKED && disk.slots == 0;
        let last = all.last().filter(locked);
        check("LIST names a locked disk without key slots", last.is_some(), format!("{} disks", all.len()));
        let Some(last) = last else { return Ok(()) };
        for (what, slot, key) in [("a key", 0, [0x42; 32]), ("zeros", 0, [0; 32]), ("slot 8", 8, [0x42; 32])]
        {
            let got = device.control(code::UNLOCK, UnlockRequest::new(last.id, slot, key).as_bytes(), 0);
            let refused = refused_as(&got, Refusal::NotEncrypted);
            check(&format!("UNLOCK with {what} says that it is not encrypted"), refused, show(&got));
        }
        let after = driver::disks(&device)?;
        let same = after.last().filter(locked).is_some_and(|disk| disk.id == last.id);
        check("and leaves it locked", same, format!("{} disks", after.len()));
        Ok(())
    })();
    check("suite of a volume without keys ran to its end", outcome.is_ok(), format!("{outcome:?}"));
}

/// Codes that are not the driver's, among them its own with another method or access.
fn codes(device: &Device) {
    let mut wrong = Vec::new();
    for function in 0x7f0..0x820u32 {
        for low in 0..16u32 {
            for kind in [0x8053u32, 0x22, 0x2d, 7] {
                let c = kind << 16 | (low >> 2) << 14 | function << 2 | low & 3;
                if CODES.iter().any(|(_, own)| *own == c) {
                    continue;
                }
                let got = device.control(c, &[0xff; 48], 64);
                if !refused_as(&got, Refusal::Code) {
                    wrong.push(format!("{c:#x}: {}", show(&got)));
                }
            }
        }
    }
    check(
        "every other control code is refused as unknown",
        wrong.is_empty(),
        wrong[..wrong.len().min(8)].join("; "),
    );
    let r = device.read(0, 512);
    let w = device.write(0, &[0; 512]);
    check(
        "reading and writing the control device is refused",
        r.is_err() && w.is_err(),
        format!("{:?} {w:?}", r.map(|b| b.len())),
    );
}

/// The SIDs of an ACL, in the text form of their bytes.
fn sids(acl: &[u8]) -> Option<Vec<Vec<u8>>> {
    let count = u16::from_le_bytes([*acl.get(4)?, *acl.get(5)?]);
    let mut at = 8;
    (0..count)
        .map(|_| {
            let size = usize::from(u16::from_le_bytes([*acl.get(at + 2)?, *acl.get(at + 3)?]));
            let sid = acl.get(at + 8..at + size)?.to_vec();
            at += size;
            Some(sid)
        })
        .collect()
}

/// Administrators and SYSTEM, and nobody else.
fn access(disk: &Disk) -> Result<(), Error> {
    let acl = disk.bench.bytes(CONTROL_DACL, 1024)?;
    let mut found = sids(&acl).unwrap_or_default();
    found.sort();
    let system = vec![1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
    let administrators = vec![1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0];
    check(
        "only administrators and SYSTEM may open the control device",
        found == [system, administrators],
        format!("{found:?}"),
    );
    Ok(())
}

pub(crate) fn run(disk: &Disk) {
    let outcome = (|| -> Result<(), Error> {
        let device = driver::open()?;
        let all = driver::disks(&device)?;
        check("LIST names a disk", !all.is_empty(), format!("{} disks", all.len()));
        let Some(last) = all.last() else { return Ok(()) };
        lengths(&device);
        versions(&device);
        disks(&device);
        let locked = last.state == sluice_control::state::LOCKED;
        answers(&device, last.id);
        keys(&device, last.id, locked);
        codes(&device);
        access(disk)?;
        let alive = disk.send(&Request::cdb(&[0; 6]))?;
        check("the stack answers afterwards", alive.good(), alive.text());
        Ok(())
    })();
    check("control device suite ran to its end", outcome.is_ok(), format!("{outcome:?}"));
}
