//! The two parts that take the time, alone on one core, each beside the program that people measure with.

use std::{
    fs::File,
    io::Read as _,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use sluice_mapped::{
    codec::{Compressor, Decompressor, LONGEST, NoMemory},
    units::BLOCK,
};
use sluice_xts::{Backend, Xts256};

use super::contestants::installed;
use crate::failure::Failure;

/// Bytes that are compressed.
const SAMPLE: u64 = 16 << 20;
/// How long each is measured in a round.
const TIME: Duration = Duration::from_secs(1);

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Encrypt,
    Compress,
    Decompress,
}

/// MiB a second: ours, and the rival's if it is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    pub ours: f64,
    pub rival: Option<f64>,
}

impl Part {
    pub(super) const ALL: [Self; 3] = [Self::Encrypt, Self::Compress, Self::Decompress];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Encrypt => "AES-256-XTS, 4 KiB",
            Self::Compress => "zstd level 1, 4 KiB, compress",
            Self::Decompress => "zstd level 1, 4 KiB, decompress",
        }
    }

    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Encrypt => "encrypt",
            Self::Compress => "compress",
            Self::Decompress => "decompress",
        }
    }

    pub(super) fn rival(self) -> &'static str {
        if self == Self::Encrypt { "openssl speed" } else { "zstd -b1 -B4096" }
    }
}

/// What is compressed: made by fio, as the data of the clients is.
pub(super) struct Parts {
    sample: std::path::PathBuf,
    blocks: Vec<[u8; BLOCK]>,
}

fn trouble(what: impl Into<String>) -> Failure {
    Failure::Bench { what: what.into() }
}

impl Parts {
    pub(super) fn new(folder: &Path) -> Result<Self, Failure> {
        let sample = folder.join("sample");
        let mut fio = Command::new("fio");
        fio.current_dir(folder).args(["--name=sample", "--filename=sample", "--rw=write", "--bs=1M"]);
        fio.args(["--refill_buffers=1", "--buffer_compress_percentage=50"]);
        let output = fio.arg(format!("--size={SAMPLE}")).output();
        if !output.is_ok_and(|output| output.status.success()) {
            return Err(trouble("fio cannot make a sample"));
        }
        let mut file = File::open(&sample).map_err(|e| Failure::io("read", &sample, e))?;
        let mut blocks = vec![[0; BLOCK]; SAMPLE as usize / BLOCK];
        file.read_exact(blocks.as_flattened_mut()).map_err(|e| Failure::io("read", &sample, e))?;
        Ok(Self { sample, blocks })
    }

    /// One round: of each part a pair.
    pub(super) fn round(&self) -> Result<[Pair; 3], Failure> {
        let (compressed, decompressed) = zstd(&self.sample).unzip();
        let (ours_in, ours_out) = self.codec()?;
        Ok([
            Pair { ours: cipher()?, rival: openssl() },
            Pair { ours: ours_in, rival: compressed },
            Pair { ours: ours_out, rival: decompressed },
        ])
    }

    /// The codec of mapped volumes, there and back.
    fn codec(&self) -> Result<(f64, f64), Failure> {
        let memory = |_: NoMemory| trouble("there is no memory for zstd");
        let mut compressor = Compressor::new(1).map_err(memory)?;
        let mut decompressor = Decompressor::new().map_err(memory)?;
        let mut frames = vec![([0; LONGEST], None); self.blocks.len()];
        // zstd measures by the clock on the wall, and so is this.
        let (mut bytes, begun) = (0, Instant::now());
        while begun.elapsed() < TIME {
            for (block, (frame, length)) in self.blocks.iter().zip(&mut frames) {
                *length = compressor.compress(block, frame);
            }
            bytes += SAMPLE;
        }
        let there = speed(bytes, begun.elapsed());
        let mut out = [0; BLOCK];
        let (mut bytes, begun) = (0, Instant::now());
        while begun.elapsed() < TIME {
            for (frame, length) in &frames {
                let Some(length) = *length else { continue };
                decompressor
                    .decompress(&frame[..length], &mut out)
                    .map_err(|_| trouble("a frame is wrong"))?;
                bytes += BLOCK as u64;
            }
        }
        Ok((there, speed(bytes, begun.elapsed())))
    }
}

/// The cipher, in place, a block a call.
fn cipher() -> Result<f64, Failure> {
    let failed = |_| trouble("the cipher does not start");
    let key: [u8; 64] = std::array::from_fn(|at| at as u8);
    let cipher = Xts256::new(&key, Backend::detect()).map_err(failed)?;
    let mut block = [0; BLOCK];
    let (mut bytes, begun) = (0, processor());
    while processor() - begun < TIME {
        for sector in 0..4096 {
            cipher.encrypt_in_place(sector, BLOCK, block.as_mut_slice().into()).map_err(failed)?;
        }
        bytes += 4096 * BLOCK as u64;
    }
    std::hint::black_box(&block);
    Ok(speed(bytes, processor() - begun))
}

/// Processor time of this thread.
fn processor() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.cast_unsigned(), now.tv_nsec as u32)
}

/// MiB a second.
fn speed(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / f64::from(1 << 20) / time.as_secs_f64()
}

/// `+F:25:AES-256-XTS:7932043264.00`: bytes a second of processor time.
fn openssl() -> Option<f64> {
    let mut command = Command::new("openssl");
    command.args(["speed", "-mr", "-evp", "aes-256-xts", "-seconds", "1", "-bytes", "4096"]);
    let output = command.output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = said.lines().find(|line| line.starts_with("+F:"))?;
    let speed: f64 = line.rsplit(':').next()?.trim().parse().ok()?;
    Some(speed / f64::from(1 << 20))
}

/// `16777216 -> 8555867 (x1.961),  281.5 MB/s, 2635.8 MB/s`, written again and again; the last counts. A second of wall time.
fn zstd(sample: &Path) -> Option<(f64, f64)> {
    if !installed("zstd") {
        return None;
    }
    let output = Command::new("zstd").args(["-b1", "-i1", "-B4096"]).arg(sample).output().ok()?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let figures = |line: &str| {
        let mut figures = line
            .split("MB/s")
            .filter_map(|part| part.trim_end().rsplit([' ', ',']).next()?.parse::<f64>().ok());
        Some((figures.next()?, figures.next()?))
    };
    let (there, back) = said.split('\r').filter_map(figures).next_back()?;
    // Of a million bytes.
    let binary = 1e6 / f64::from(1 << 20);
    Some((there * binary, back * binary))
}
