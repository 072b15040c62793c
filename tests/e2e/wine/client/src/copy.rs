//! Whole images onto a disk and back, with every kind of SRB, many sizes,
//! several requests at once and a device that completes out of order.

use std::{collections::VecDeque, fs::File, os::windows::fs::FileExt, time::Instant};

use serde_json::json;

use crate::{
    device::{Error, Pending},
    disk::Disk,
    interface::*,
    report,
};

/// How the SRBs are made and in which order the device completes.
struct Mode {
    name: &'static str,
    class: u32,
    order: u32,
    hold: u32,
    /// Largest piece in bytes; 0: the adapter's limit.
    piece: u32,
}

const fn mode(name: &'static str, class: u32, order: u32, hold: u32, piece: u32) -> Mode {
    Mode { name, class, order, hold, piece }
}

const MODES: [Mode; 8] = [
    mode("CDB10 legacy, in order", 0, ORDER_FIFO, 0, 0),
    mode("CDB16 extended, reversed", CLASS_CDB16 | CLASS_EXTENDED, ORDER_REVERSE, 4, 65536),
    mode("CDB10 extended, shuffled", CLASS_EXTENDED, ORDER_SHUFFLE, 4, 0),
    mode("CDB16 legacy, paging", CLASS_CDB16 | CLASS_PAGING, ORDER_FIFO, 0, 32768),
    mode("CDB12 legacy, shuffled", CLASS_CDB12, ORDER_SHUFFLE, 6, 16384),
    mode("CDB6 legacy", CLASS_CDB6, ORDER_REVERSE, 3, 65536),
    mode("CDB32 extended", CLASS_CDB32 | CLASS_EXTENDED, ORDER_FIFO, 0, 0),
    mode(
        "CDB10 extended, paging, no freeze",
        CLASS_EXTENDED | CLASS_PAGING | CLASS_NO_FREEZE,
        ORDER_REVERSE,
        8,
        0,
    ),
];

/// A repeatable sequence of numbers (xorshift64*).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

/// Sizes of single calls: small and large, odd numbers of sectors, beyond the
/// adapter's limit. Never more than is left.
fn size(random: &mut Random, sector: u64, left: u64) -> u64 {
    let n = match random.next() % 8 {
        0 => 1,
        1 => 4096 / sector.min(4096),
        2 => 1 + random.next() % 15,
        3 => 65536 / sector,
        4 => 65536 / sector + 1,
        5 => 1 + random.next() % 300,
        6 => 1_048_576 / sector,
        _ => (1_048_576 + 65536) / sector + 3,
    };
    (n * sector).min(left)
}

fn set(disk: &Disk, m: &Mode, seed: u64) -> Result<(), Error> {
    disk.class(m.class, m.piece, 0)?;
    disk.port(|p| {
        p.order = m.order;
        p.hold = m.hold;
        p.seed = seed as u32 | 1;
    })
}

/// Modes that this adapter takes.
fn modes(legacy: bool) -> impl Iterator<Item = &'static Mode> + Clone {
    MODES.iter().filter(move |m| !legacy || m.class & CLASS_EXTENDED == 0)
}

/// Copies the file to the start of the disk. `unit` bytes go in each mode
/// before the next takes its turn. Returns the seconds taken.
pub(crate) fn write(
    disk: &Disk,
    file: &File,
    length: u64,
    unit: u64,
    seed: u64,
    legacy: bool,
) -> Result<f64, String> {
    let mut random = Random(seed);
    let started = Instant::now();
    let mut at = 0;
    for m in modes(legacy).cycle() {
        if at >= length {
            break;
        }
        set(disk, m, random.next()).map_err(|e| format!("mode: error {e}"))?;
        let end = (at + unit).min(length);
        let mut flying: VecDeque<(u64, u64, Pending)> = VecDeque::new();
        while at < end || !flying.is_empty() {
            while at < end && flying.len() < 8 {
                let n = size(&mut random, disk.sector, end - at);
                let mut data = vec![0; n as usize];
                file.seek_read(&mut data, at).map_err(|e| e.to_string())?;
                flying.push_back((at, n, disk.top.start_write(at, data)));
                at += n;
            }
            let (from, n, p) = flying.pop_front().ok_or("empty queue")?;
            let done = p
                .wait_count()
                .map_err(|e| format!("write of {n} bytes at {from} ({}): error {e}", m.name))?;
            if done as u64 != n {
                return Err(format!("write of {n} bytes at {from} took {done}"));
            }
        }
        report::progress("write", at, length);
    }
    Ok(started.elapsed().as_secs_f64())
}

/// Reads the start of the disk back and compares with the file, in one mode.
fn compare(disk: &Disk, file: &File, length: u64, random: &mut Random, m: &Mode) -> Result<(), String> {
    let mut at = 0;
    let mut flying: VecDeque<(u64, u64, Pending)> = VecDeque::new();
    while at < length || !flying.is_empty() {
        while at < length && flying.len() < 8 {
            let n = size(random, disk.sector, length - at);
            flying.push_back((at, n, disk.top.start_read(at, n as usize)));
            at += n;
        }
        let (from, n, p) = flying.pop_front().ok_or("empty queue")?;
        let got = p.wait().map_err(|e| format!("read of {n} bytes at {from} ({}): error {e}", m.name))?;
        let mut want = vec![0; n as usize];
        file.seek_read(&mut want, from).map_err(|e| e.to_string())?;
        if got != want {
            let first = got.iter().zip(&want).position(|(a, b)| a != b).unwrap_or(got.len().min(want.len()));
            return Err(format!(
                "{} of {n} bytes came back for offset {from}; first difference at {first} ({})",
                got.len(),
                m.name
            ));
        }
    }
    Ok(())
}

/// Reads everything back in each mode; a check each.
pub(crate) fn verify(disk: &Disk, file: &File, length: u64, seed: u64, legacy: bool) {
    let mut random = Random(seed);
    let count = modes(legacy).count() as u64;
    for (i, m) in modes(legacy).enumerate() {
        let outcome = set(disk, m, random.next())
            .map_err(|e| format!("mode: error {e}"))
            .and_then(|()| compare(disk, file, length, &mut random, m));
        report::check(
            &format!("read back equal: {}", m.name),
            outcome.is_ok(),
            outcome.err().unwrap_or_default(),
        );
        report::progress("read", (i as u64 + 1) * length, count * length);
    }
}

/// Reads or rewrites the area in 1 MiB calls, four at once; returns bytes per second.
pub(crate) fn throughput(disk: &Disk, file: &File, length: u64, writing: bool) -> Result<f64, String> {
    const CALL: u64 = 1 << 20;
    disk.class(CLASS_CDB16 | CLASS_EXTENDED, 0, 0)
        .and_then(|()| disk.port(|_| ()))
        .map_err(|e| format!("mode: error {e}"))?;
    let mut data = Vec::new();
    for at in (0..length).step_by(CALL as usize) {
        let mut block = vec![0; CALL.min(length - at) as usize];
        if writing {
            file.seek_read(&mut block, at).map_err(|e| e.to_string())?;
        }
        data.push((at, block));
    }
    let started = Instant::now();
    let mut flying = VecDeque::new();
    for (at, block) in data {
        if flying.len() == 4 {
            finish(flying.pop_front())?;
        }
        flying.push_back(if writing {
            disk.top.start_write(at, block)
        } else {
            disk.top.start_read(at, block.len())
        });
    }
    while !flying.is_empty() {
        finish(flying.pop_front())?;
    }
    Ok(length as f64 / started.elapsed().as_secs_f64())
}

fn finish(p: Option<Pending>) -> Result<(), String> {
    p.map_or(Ok(0), Pending::wait_count).map(|_| ()).map_err(|e| format!("error {e}"))
}

/// Reports both directions' throughput.
pub(crate) fn measure(disk: &Disk, file: &File, length: u64) {
    match (throughput(disk, file, length, true), throughput(disk, file, length, false)) {
        (Ok(w), Ok(r)) => report::result(json!({ "write_bytes_per_second": w, "read_bytes_per_second": r })),
        (w, r) => report::check("throughput", false, format!("{w:?} {r:?}")),
    }
}
