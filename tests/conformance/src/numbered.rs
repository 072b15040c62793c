//! A client that numbers every block and flushes now and then: what was flushed can be told afterwards.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
};

use crate::{Bench, Server};

/// Says up to where it has been told that all is durable.
const WRITER: &str = r#"
import struct
size, step, number = 32 << 20, 65536, 0
while True:
    number += 1
    at = (number * step) % size
    h.pwrite(struct.pack("<Q", number) * (step // 8), at)
    if number % 7 == 0:
        h.flush()
        print(number, flush=True)
"#;

/// nbdsh with a piece of Python, in which `h` is the connection.
pub fn nbdsh(server: &Server, code: &str) -> Command {
    // With the Python that its package is for.
    let mut nbdsh = Command::new("/usr/bin/python3");
    nbdsh.args(["-m", "nbd", "-u", &server.uri(), "-c", code]);
    nbdsh
}

/// See above.
pub struct Writer {
    nbdsh: Child,
    told: JoinHandle<Option<String>>,
}

impl Writer {
    /// Starts it; it goes on until the server fails.
    pub fn start(server: &Server) -> Self {
        let mut nbdsh = nbdsh(server, WRITER);
        nbdsh.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut nbdsh = nbdsh.spawn().unwrap_or_else(|error| panic!("{nbdsh:?}: {error}"));
        let out = nbdsh.stdout.take().map(BufReader::new);
        let told = thread::spawn(move || out?.lines().map_while(Result::ok).last());
        Self { nbdsh, told }
    }

    /// Waits for its end. The number up to which all was durable.
    pub fn durable(mut self) -> u64 {
        let _ = self.nbdsh.wait();
        let told = self.told.join().ok().flatten();
        told.and_then(|told| told.parse().ok()).unwrap_or_else(|| panic!("it came to no flush"))
    }
}

/// What was durable is on the volume, read by the command: a block holds the number that was written to it last, or a
/// later one.
pub fn verify(bench: &Bench, durable: u64) {
    let bytes = bench.cat(32 << 20);
    for number in durable.saturating_sub(511).max(1)..=durable {
        let at = (number * 65536 % (32 << 20)) as usize;
        let block = bytes.get(at..at + 65536).unwrap_or_default();
        let all: Vec<u64> =
            block.chunks_exact(8).map(|b| b.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b))).collect();
        assert!(
            all.len() == 8192
                && all.iter().all(|&found| found >= number && (found - number).is_multiple_of(512)),
            "{number} at {at}, of {durable}: {:?}",
            all.first()
        );
    }
}
