//! Every door there is: all operation codes and service actions, all SRB functions, all storage controls, on a disk that
//! does whatever it is asked. No plaintext may reach it, and nothing of what it says may come back, but by what the
//! table of requests lets through (`docs/requests.md`).

use super::policy::{MARKER, State, marked};
use crate::{
    device::Error,
    disk::{Disk, Request},
    report::check,
};

/// What the disk says for the contents of its medium (`RAW_BYTES` of the test disk).
const RAW: &[u8; 16] = b"SLUICE-RAW-BYTES";
/// Where commands point: a sector that nobody else uses.
const PLACE: u32 = 4096;

/// Commands that pass as they are: about the unit, its power, its reservations. What they carry is not stored.
const PASSING: [u8; 17] =
    [0x00, 0x03, 0x12, 0x16, 0x17, 0x1a, 0x1b, 0x1e, 0x35, 0x56, 0x57, 0x5a, 0x5e, 0x5f, 0x91, 0xa0, 0x25];
/// Commands that the filter sends itself, in place of the sender's.
const OWN: [u8; 11] = [0x28, 0x2a, 0x2e, 0x88, 0x8a, 0x8e, 0x2f, 0x8f, 0x35, 0x42, 0x91];
/// Commands with a service action in their second byte.
const BY_SERVICE: [u8; 10] = [0x5e, 0x5f, 0x83, 0x84, 0x9b, 0x9d, 0x9e, 0x9f, 0xa3, 0xa4];
/// SRB functions that pass. What data they carry is theirs.
const FUNCTIONS: [u8; 15] =
    [0x01, 0x04, 0x05, 0x06, 0x12, 0x13, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x20, 0x24, 0x25];
/// ATA commands that pass, with any features; SMART's by features.
const ATA: [u8; 9] = [0xec, 0xa1, 0xe5, 0xe0, 0xe1, 0xe2, 0xe3, 0x2f, 0x47];
const SMART: [u8; 6] = [0xd0, 0xd1, 0xd4, 0xd5, 0xd8, 0xda];
/// Properties that are answered by the device.
const PROPERTIES: [u32; 13] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 15, u32::MAX];
/// Controls that pass.
const CONTROLS: [u32; 14] = [
    0x4_100c, 0x4_1010, 0x4_1018, 0x2d_4800, 0x2d_0800, 0x2d_4804, 0x2d_0c14, 0x2d_1080, 0x2d_1100,
    0x2d_1c80, 0x2d_1c84, 0x2d_1c88, 0x2d_1c8c, 0x2d_1c90,
];

fn has(bytes: &[u8], pattern: &[u8; 16]) -> bool {
    // The disk begins with a whole one wherever it writes.
    bytes.windows(16).any(|window| window == pattern)
}

/// What was seen to go wrong. Said once for each kind.
#[derive(Default)]
struct Found {
    sent: u64,
    leaked: Vec<String>,
    returned: Vec<String>,
    reached: Vec<String>,
    changed: Vec<String>,
}

impl Found {
    fn say(self, what: &str) {
        for (sin, found) in [
            ("carries plaintext to the disk", self.leaked),
            ("brings back what the disk has said", self.returned),
            ("reaches the disk though it has no line in the table", self.reached),
            ("changes the sender's buffer", self.changed),
        ] {
            let shown = found.iter().take(8).cloned().collect::<Vec<_>>().join("; ");
            check(
                &format!("of {} {what} none {sin}", self.sent),
                found.is_empty(),
                format!("{}: {shown}", found.len()),
            );
        }
    }
}

/// Whether a command passes as it is. Nobody knows the size of a damaged volume.
fn passing(cdb: &[u8], state: State) -> bool {
    PASSING.contains(&cdb[0]) || state == State::Damaged && cdb.starts_with(&[0x9e, 0x10])
}

/// A command's forms: as long as its group says, and each of its service actions.
fn forms(operation: u8, extended: bool) -> Vec<Vec<u8>> {
    let place = PLACE.to_be_bytes();
    let services = if BY_SERVICE.contains(&operation) { 0..32 } else { 0..1 };
    let plain = |length: usize, count: usize| {
        services.clone().map(move |service| {
            let mut cdb = vec![0; length];
            (cdb[0], cdb[count]) = (operation, 1);
            match length {
                6 => cdb[2..4].copy_from_slice(&place[2..]),
                16 => cdb[6..10].copy_from_slice(&place),
                _ => cdb[2..6].copy_from_slice(&place),
            }
            if services.len() > 1 {
                cdb[1] = service;
            }
            cdb
        })
    };
    match operation >> 5 {
        0 => plain(6, 4).collect(),
        1 | 2 => plain(10, 8).collect(),
        4 => plain(16, 13).collect(),
        5 => plain(12, 9).collect(),
        _ if operation == 0x7f && extended => (0..0x20).chain([0x77, 0xf0]).map(long).collect(),
        // A length byte that says nothing; no form but the extended SRB's has room for more.
        _ => plain(16, 13).collect(),
    }
}

fn long(service: u8) -> Vec<u8> {
    let mut cdb = vec![0; 32];
    (cdb[0], cdb[7], cdb[9], cdb[31]) = (0x7f, 24, service, 1);
    cdb[16..20].copy_from_slice(&PLACE.to_be_bytes());
    cdb
}

fn operation(disk: &Disk, state: State, code: u8, found: &mut Found) -> Result<(), Error> {
    let sector = disk.sector as usize;
    let before = disk.statistics()?;
    for extended in [false, true] {
        for cdb in forms(code, extended) {
            let passes = passing(&cdb, state);
            let (name, request) = (format!("{cdb:02x?}"), Request::cdb(&cdb).extended(extended));
            let mut requests = vec![request.clone(), request.clone().reads(sector)];
            if !passes {
                requests.push(request.writes(&marked(sector)));
            }
            for request in requests {
                let answer = disk.send(&request)?;
                found.sent += 1;
                if answer.buffer_changed {
                    found.changed.push(name.clone());
                }
                if has(&answer.data, RAW) && !passes {
                    found.returned.push(name.clone());
                }
            }
        }
    }
    let after = disk.statistics()?;
    if after.pattern_hits != before.pattern_hits {
        found.leaked.push(format!("{code:02x}"));
    }
    let open = state == State::Unlocked;
    let passes = forms(code, true).iter().any(|cdb| passing(cdb, state));
    let reached = after.opcodes[usize::from(code)] != before.opcodes[usize::from(code)];
    if reached && !passes && !(open && OWN.contains(&code)) {
        found.reached.push(format!("{code:02x}"));
    }
    Ok(())
}

fn functions(disk: &Disk, state: State, found: &mut Found) -> Result<(), Error> {
    let sector = disk.sector as usize;
    // 28h within itself is a lie (suite `lies`); claiming is the class driver's, which has.
    for function in (1..=255_u8).filter(|function| !matches!(function, 0x01 | 0x06 | 0x28)) {
        let before = disk.statistics()?;
        // Without a key there is nothing to be flushed first.
        let passes = FUNCTIONS.contains(&function) || state != State::Unlocked && matches!(function, 7 | 8);
        for extended in [false, true] {
            let request = Request::function(function.into()).extended(extended);
            let mut requests = vec![request.clone()];
            if !passes {
                requests.push(request.clone().reads(sector));
                requests.push(request.writes(&marked(sector)));
            }
            for request in requests {
                let answer = disk.send(&request)?;
                found.sent += 1;
                if has(&answer.data, RAW) {
                    found.returned.push(format!("{function:02x}"));
                }
                if answer.buffer_changed {
                    found.changed.push(format!("{function:02x}"));
                }
            }
        }
        for restored in [0x19, 0x04] {
            disk.send(&Request::function(restored).with(0, 0x10 | 0x20))?;
        }
        if disk.statistics()?.pattern_hits != before.pattern_hits {
            found.leaked.push(format!("{function:02x}"));
        }
    }
    Ok(())
}

/// Sends a control; what comes back is judged.
fn send(disk: &Disk, code: u32, input: &[u8], passes: bool, name: &str, found: &mut Found) {
    found.sent += 1;
    if let Ok(answer) = disk.top.control(code, input, 1024)
        && has(&answer, RAW)
        && !passes
    {
        found.returned.push(name.to_owned());
    }
}

fn controls(disk: &Disk, found: &mut Found) -> Result<(), Error> {
    let before = disk.statistics()?;
    let marked = marked(1024);
    let functions = (0..0x200_u32).chain(0x400..0x440).chain(0x4f0..0x540).chain(0x700..0x740);
    for device in [0x04_u32, 0x07, 0x2d, 0x56] {
        for (function, access) in functions.clone().flat_map(|one| (0..4).map(move |access| (one, access))) {
            let code = device << 16 | access << 14 | function << 2;
            let passes = CONTROLS.contains(&code);
            let looked_into = code == 0x2d_1400 || code == 0x2d_d3c0 || device == 0x04 && access == 3;
            if !looked_into {
                let input = if passes { &[][..] } else { &marked };
                send(disk, code, input, passes, &format!("{code:08x}"), found);
            }
        }
    }
    if disk.statistics()?.pattern_hits != before.pattern_hits {
        found.leaked.push(format!("a control up to {:08x}", disk.statistics()?.last_ioctl));
    }
    Ok(())
}

/// SCSI_PASS_THROUGH for 64-bit and 32-bit programs, with the data behind it.
fn pass_through(cdb: &[u8], wide: bool, out: bool) -> Vec<u8> {
    let (length, transfer, offset, sense, at) =
        if wide { (56_u16, 12, 24, 32, 36) } else { (44, 12, 20, 24, 28) };
    let mut bytes = vec![0; 1024];
    bytes[..2].copy_from_slice(&length.to_le_bytes());
    (bytes[6], bytes[7], bytes[8]) = (cdb.len() as u8, 32, u8::from(!out));
    bytes[transfer..transfer + 4].copy_from_slice(&512_u32.to_le_bytes());
    bytes[offset] = 128;
    bytes[sense] = 64;
    bytes[at..at + cdb.len()].copy_from_slice(cdb);
    if out {
        bytes[512..].copy_from_slice(&marked(512));
    }
    bytes
}

/// SCSI_PASS_THROUGH_EX, likewise.
fn extended_pass_through(cdb: &[u8], wide: bool, out: bool) -> Vec<u8> {
    let (length, pointers, at) = if wide { (64_u32, [40, 48], 56) } else { (52, [40, 44], 48) };
    let mut bytes = vec![0; 1024];
    bytes[4..8].copy_from_slice(&length.to_le_bytes());
    (bytes[8], bytes[17], bytes[18], bytes[28]) = (cdb.len() as u8, 32, u8::from(!out), 160);
    bytes[if out { 33 } else { 37 }] = 2; // 512 bytes
    bytes[pointers[usize::from(!out)] + 1] = 2; // at 512
    bytes[at..at + cdb.len()].copy_from_slice(cdb);
    if out {
        bytes[512..].copy_from_slice(&marked(512));
    }
    bytes
}

fn pass_throughs(disk: &Disk, state: State, found: &mut Found) -> Result<(), Error> {
    let before = disk.statistics()?;
    for code in [0x4_d004, 0x4_d014, 0x4_d044, 0x4_d048] {
        for operation in 0..=255_u8 {
            for cdb in forms(operation, code > 0x4_d040) {
                for (wide, out) in [(true, true), (true, false), (false, true), (false, false)] {
                    let passes = passing(&cdb, state);
                    if passes && out {
                        continue;
                    }
                    let name = format!("{code:x} {cdb:02x?} wide {wide} out {out}");
                    let input = match code {
                        0x4_d004 | 0x4_d014 => pass_through(&cdb, wide, out),
                        _ => extended_pass_through(&cdb, wide, out),
                    };
                    send(disk, code, &input, passes, &name, found);
                }
            }
        }
    }
    for code in [0x4_d02c, 0x4_d030, 0x4_d028] {
        for (command, features) in (0..=255).flat_map(|command| [0, 0xd0, 0xd6].map(|one| (command, one))) {
            for (length, at) in [(48, 40), (40, 32)] {
                let mut bytes = marked(1024);
                bytes[..length].fill(0);
                (bytes[0], bytes[at], bytes[at + 6]) = (length as u8, features, command);
                let smart = command == 0xb0 && SMART.contains(&features);
                let passes = ATA.contains(&command) || smart;
                let input = if passes { &bytes[..length] } else { &bytes };
                send(disk, code, input, passes, &format!("{code:x} {command:02x} {features:02x}"), found);
            }
        }
    }
    if disk.statistics()?.pattern_hits != before.pattern_hits {
        found.leaked.push("a pass-through".to_owned());
    }
    Ok(())
}

fn the_rest(disk: &Disk, found: &mut Found) -> Result<(), Error> {
    let before = disk.statistics()?;
    for property in (0..100).chain([u32::MAX]) {
        let input = [property.to_le_bytes(), [0; 4], [0; 4]].concat();
        let passes = PROPERTIES[..12].contains(&property);
        send(disk, 0x2d_1400, &input, passes, &format!("property {property}"), found);
    }
    for (command, queue) in (0..=255).flat_map(|command| [1, 2].map(|queue| (command, queue))) {
        let mut bytes = marked(1024);
        bytes[..144].fill(0);
        (bytes[0], bytes[4], bytes[8], bytes[56], bytes[80]) = (1, 80, 3, queue, command);
        let passes = queue == 1 && matches!(command, 2 | 6);
        let input = if passes { &bytes[..144] } else { &bytes };
        send(disk, 0x2d_d3c0, input, passes, &format!("NVMe {command:02x} of {queue}"), found);
    }
    for signature in [b"NvmeMini", b"FIRMWARE", b"HYBRDISK", b"IntelNvm", b"scsidisk"] {
        let mut bytes = marked(1024);
        bytes[..4].copy_from_slice(&28_u32.to_le_bytes());
        bytes[4..12].copy_from_slice(signature);
        send(disk, 0x4_d008, &bytes, false, "a miniport's request", found);
    }
    if disk.statistics()?.pattern_hits != before.pattern_hits {
        found.leaked.push("a property, NVMe command or miniport's request".to_owned());
    }
    Ok(())
}

/// All of them, on a disk in `state`.
pub(crate) fn run(disk: &Disk, state: State) {
    let outcome = (|| -> Result<(), Error> {
        disk.port(|mode| mode.generous = 1)?;
        disk.watch(*MARKER)?;
        let mut found = Found::default();
        for code in 0..=255 {
            operation(disk, state, code, &mut found)?;
        }
        found.say("commands");
        let mut found = Found::default();
        functions(disk, state, &mut found)?;
        found.say("functions");
        let mut found = Found::default();
        controls(disk, &mut found)?;
        found.say("controls");
        let mut found = Found::default();
        pass_throughs(disk, state, &mut found)?;
        found.say("pass-throughs");
        let mut found = Found::default();
        the_rest(disk, &mut found)?;
        found.say("properties, NVMe commands and miniport's requests");
        canary(disk)?;
        disk.port(|_| ())
    })();
    check("every door has been tried", outcome.is_ok(), format!("{outcome:?}"));
}

/// The detectors see what passes: a parameter list on its way down, and the disk's answer.
fn canary(disk: &Disk) -> Result<(), Error> {
    let before = disk.statistics()?.pattern_hits;
    disk.send(&Request::cdb(&[0x00; 6]).writes(&marked(512)))?;
    check(
        "what passes is seen to carry it",
        disk.statistics()?.pattern_hits > before,
        disk.statistics()?.pattern_hits,
    );
    let answer = disk.send(&Request::cdb(&[0x5e, 0, 0, 0, 0, 0, 0, 2, 0, 0]).reads(512))?;
    check("and to bring back what the disk says", has(&answer.data, RAW), answer.text());
    Ok(())
}
