//! `sluice-bench mapped`: whole mapped volumes on disks in memory, beside their parts.
//!
//! One thread. Speeds are by processor time, without what the disk in memory takes. The parts are measured in the same
//! run on the same blocks, in turns with the volume: what every block must go through, whoever does it.

use std::{collections::HashMap, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use sluice_mapped::{
    Options, Usage, Volume,
    codec::{Compressor, Decompressor},
    disk::Disk,
    io::{DeviceError, Error, Request},
    layout::Layout,
    limits::PAGES_LEAST,
    seal::{Domain, Sealer},
    units::{BLOCK, Tag},
};
use sluice_xts::Backend;

use crate::data::{Page, Random};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
const LEVEL: i32 = 1;
/// Rounds of which the median is shown.
const ROUNDS: usize = 3;
/// Bytes of a request of the sequential figures, and how many are under way.
const LARGE: usize = 1 << 20;
const DEPTH: usize = 8;

/// Processor time of this process.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// A sparse disk in memory. Counts what it does.
#[derive(Default)]
struct Memory {
    chunks: HashMap<u64, Box<[u8]>>,
    written: u64,
    busy: Duration,
}

impl Memory {
    const CHUNK: u64 = 256 << 10;

    /// Shows each piece of a range: its chunk, where in that, and where in the range.
    fn pieces(offset: u64, length: usize, mut see: impl FnMut(u64, std::ops::Range<usize>, usize)) {
        let mut done = 0;
        while done < length {
            let at = offset + done as u64;
            let within = (at % Self::CHUNK) as usize;
            let take = (Self::CHUNK as usize - within).min(length - done);
            see(at / Self::CHUNK, within..within + take, done);
            done += take;
        }
    }
}

impl Disk for Memory {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        let start = processor_time();
        Self::pieces(offset, buffer.len(), |chunk, within, at| {
            let target = &mut buffer[at..at + within.len()];
            match self.chunks.get(&chunk) {
                Some(bytes) => target.copy_from_slice(&bytes[within]),
                None => target.fill(0),
            }
        });
        self.busy += processor_time() - start;
        Ok(())
    }

    fn write(&mut self, offset: u64, buffer: &[u8]) -> Result<(), DeviceError> {
        let start = processor_time();
        Self::pieces(offset, buffer.len(), |chunk, within, at| {
            let bytes = self.chunks.entry(chunk).or_insert_with(|| vec![0; Self::CHUNK as usize].into());
            let length = within.len();
            bytes[within].copy_from_slice(&buffer[at..at + length]);
        });
        self.written += buffer.len() as u64;
        self.busy += processor_time() - start;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }
}

/// A volume, its disk, and the processor time that the volume has taken.
struct Bench {
    disk: Memory,
    volume: Box<Volume>,
    layout: Layout,
    time: Duration,
}

fn sealer() -> Result<Sealer, String> {
    let key = core::array::from_fn(|i| i as u8);
    Sealer::new(&key, &[7; 16], true, Backend::detect_xmm()).map_err(|error| format!("{error:?}"))
}

impl Bench {
    fn new(
        device: u64,
        bytes: u64,
        (journal, segment): (u64, u64),
        options: Options,
    ) -> Result<Self, String> {
        let layout = Layout::new(device, 512, bytes / BLOCK as u64, journal, segment)
            .map_err(|error| format!("{error:?}"))?;
        let mut disk = Memory::default();
        Volume::format(&mut disk, &layout, &sealer()?).map_err(|error| format!("{error:?}"))?;
        let volume =
            Volume::open(&mut disk, layout, sealer()?, options).map_err(|error| format!("{error:?}"))?;
        Ok(Self { disk, volume, layout, time: Duration::ZERO })
    }

    /// Gives the volume requests and carries its I/O out until all are answered. `false`: no space.
    fn run(&mut self, requests: impl IntoIterator<Item = Request>) -> Result<bool, String> {
        let requests: Vec<_> = requests.into_iter().collect();
        let (start, busy) = (processor_time(), self.disk.busy);
        let mut room = true;
        for mut request in requests {
            while let Err(back) = self.volume.submit(0, request) {
                request = back;
                self.volume.drive(&mut self.disk);
                room &= self.answers()?;
            }
        }
        self.volume.drive(&mut self.disk);
        self.time += (processor_time() - start).saturating_sub(self.disk.busy - busy);
        Ok(room & self.answers()?)
    }

    fn answers(&mut self) -> Result<bool, String> {
        let mut room = true;
        while let Some(done) = self.volume.next_done() {
            match done.result {
                Ok(()) => {}
                Err(Error::NoSpace) => room = false,
                Err(error) => return Err(format!("{error:?}")),
            }
        }
        Ok(room)
    }
}

/// Blocks of which half have been there before, and which zstd halves.
struct Corpus {
    pool: Vec<Page>,
    /// Of each block, the number of its contents.
    contents: Vec<u32>,
    unique: u32,
}

impl Corpus {
    fn new(blocks: usize) -> Self {
        let mut random = Random::new(3);
        let pool = (0..1024).map(|_| random.half()).collect();
        let (mut contents, mut unique) = (Vec::with_capacity(blocks), 0);
        for _ in 0..blocks {
            if unique > 0 && random.0.bool() {
                contents.push(random.0.u32(..unique));
            } else {
                contents.push(unique);
                unique += 1;
            }
        }
        Self { pool, contents, unique }
    }

    /// Files of 128 KiB to 8 MiB, of which half have been there before, whole.
    fn files(blocks: usize) -> Self {
        let mut random = Random::new(3);
        let pool = (0..1024).map(|_| random.half()).collect();
        let (mut contents, mut unique): (Vec<u32>, u32) = (Vec::with_capacity(blocks), 0);
        let mut files: Vec<std::ops::Range<u32>> = Vec::new();
        while contents.len() < blocks {
            if !files.is_empty() && random.0.bool() {
                contents.extend(files[random.0.usize(..files.len())].clone());
            } else {
                let file = unique..unique + (32 << random.0.u32(..=6)) + random.0.u32(..32);
                unique = file.end;
                contents.extend(file.clone());
                files.push(file);
            }
        }
        contents.truncate(blocks);
        let unique = contents.iter().max().map_or(0, |last| last + 1);
        Self { pool, contents, unique }
    }

    fn page(&self, content: u32) -> Page {
        let mut page = self.pool[content as usize % self.pool.len()];
        page[..4].copy_from_slice(&content.to_le_bytes());
        page
    }

    /// The requests that write it, `DEPTH` at a time.
    fn batches(&self) -> impl Iterator<Item = Vec<(u64, Vec<u8>)>> + '_ {
        let blocks = LARGE / BLOCK;
        let request = move |(i, contents): (usize, &[u32])| {
            let bytes: Vec<u8> = contents.iter().flat_map(|content| self.page(*content)).collect();
            ((i * blocks * BLOCK) as u64, bytes)
        };
        let count = self.contents.len() / blocks;
        (0..count.div_ceil(DEPTH)).map(move |batch| {
            let all = self.contents.chunks_exact(blocks).enumerate();
            all.skip(batch * DEPTH).take(DEPTH).map(request).collect()
        })
    }
}

/// What the parts take for a corpus: writing it, reading it, and the bytes that are left of its unique blocks.
struct Parts {
    write: Duration,
    read: Duration,
    ideal: u64,
}

fn parts(corpus: &Corpus) -> Result<Parts, String> {
    let (sealer, mut out) = (sealer()?, [0; BLOCK]);
    let mut compressor = Compressor::new(LEVEL).map_err(|error| format!("{error:?}"))?;
    let mut decompressor = Decompressor::new().map_err(|error| format!("{error:?}"))?;
    let mut parts = Parts { write: Duration::ZERO, read: Duration::ZERO, ideal: 0 };
    let mut stored: Vec<(Tag, Vec<u8>)> = Vec::new();
    for part in corpus.contents.chunks(256) {
        let pages: Vec<Page> = part.iter().map(|content| corpus.page(*content)).collect();
        let mut new = Vec::with_capacity(part.len());
        let start = processor_time();
        for (page, content) in pages.iter().zip(part) {
            let tag = sealer.tag(Domain::Chunk, 0, &[page]);
            if *content as usize == stored.len() + new.len() {
                let mut bytes = match compressor.compress(page, &mut out) {
                    Some(length) => out[..length].to_vec(),
                    None => page.to_vec(),
                };
                sealer.seal(&tag, &mut bytes);
                new.push((tag, bytes));
            }
        }
        parts.write += processor_time() - start;
        stored.extend(new);
    }
    for content in corpus.contents.chunks(256) {
        let mut chunks: Vec<_> = content.iter().map(|content| stored[*content as usize].clone()).collect();
        let start = processor_time();
        for (tag, bytes) in &mut chunks {
            sealer.open(tag, bytes);
            match bytes.len() {
                BLOCK => out.copy_from_slice(bytes),
                _ => decompressor.decompress(bytes, &mut out).map_err(|error| format!("{error:?}"))?,
            }
            if sealer.tag(Domain::Chunk, 0, &[&out]) != *tag {
                return Err("a part read something else".into());
            }
        }
        parts.read += processor_time() - start;
    }
    parts.ideal = stored.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    Ok(parts)
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

fn percent(part: f64, whole: f64) -> f64 {
    part * 100.0 / whole
}

/// Sequential speeds and space.
fn sequential() -> Result<(), String> {
    let corpus = Corpus::new((GIB / BLOCK as u64) as usize);
    let bytes = (corpus.contents.len() * BLOCK) as f64;
    let (mut times, mut last) = ([const { Vec::new() }; 4], None);
    for _ in 0..ROUNDS {
        let parts = parts(&corpus)?;
        let options = Options::new(32 << 20, 32 << 20, Some(LEVEL));
        let mut bench = Bench::new(2 * GIB, GIB, (16 * MIB, MIB), options)?;
        for batch in corpus.batches() {
            bench.run(batch.into_iter().map(|(offset, buffer)| Request::Write {
                offset,
                buffer,
                fua: false,
            }))?;
        }
        bench.run([Request::Checkpoint])?;
        let write = std::mem::take(&mut bench.time);
        for first in (0..GIB).step_by(LARGE * DEPTH) {
            let read = |i| Request::Read { offset: first + (i * LARGE) as u64, buffer: vec![0; LARGE] };
            bench.run((0..DEPTH).map(read))?;
        }
        for (times, time) in times.iter_mut().zip([parts.write, write, parts.read, bench.time]) {
            times.push(time);
        }
        last = Some((parts.ideal, bench.volume.usage(), bench.layout.segment_bytes));
    }
    let [parts_write, write, parts_read, read] = times.map(median);
    println!(
        "\nSequential, 1 MiB requests, {DEPTH} under way; half duplicates, zstd level {LEVEL} halves the rest, encrypted"
    );
    for (what, parts, volume, target) in [("write", parts_write, write, 70), ("read", parts_read, read, 80)] {
        println!(
            "  {what:6} parts {:7.0} MiB/s   volume {:7.0} MiB/s   {:5.1} % (target: at least {target} %)",
            bytes / parts / MIB as f64,
            bytes / volume / MIB as f64,
            percent(parts, volume)
        );
    }
    if let Some((ideal, usage, segment)) = last {
        space(&corpus, ideal, &usage, segment);
    }
    Ok(())
}

fn space(corpus: &Corpus, ideal: u64, usage: &Usage, segment: u64) {
    let metadata = usage.live_bytes - usage.data_bytes;
    let used = (usage.segments - usage.free_segments) * segment;
    let unique = u64::from(corpus.unique) * BLOCK as u64;
    let mib = |bytes: u64| bytes as f64 / MIB as f64;
    println!(
        "\nSpace for {:.0} MiB, of which {:.0} MiB are unique",
        mib((corpus.contents.len() * BLOCK) as u64),
        mib(unique)
    );
    println!("  unique blocks compressed, no rounding    {:9.2} MiB", mib(ideal));
    println!(
        "  chunks as stored                         {:9.2} MiB  {:+.2} %",
        mib(usage.data_bytes),
        percent(usage.data_bytes as f64, ideal as f64) - 100.0
    );
    println!(
        "  metadata                                 {:9.2} MiB  {:.2} % of unique data (target: at most 1 %)",
        mib(metadata),
        percent(metadata as f64, unique as f64)
    );
    println!(
        "  segments in use, without that            {:9.2} MiB  {:+.2} % (target: at most 3 %)",
        mib(used - metadata),
        percent((used - metadata) as f64, ideal as f64) - 100.0
    );
}

/// How much is still found when memory is short: three quarters of it for the index, the rest for pages.
fn small_index() -> Result<(), String> {
    const BYTES: u64 = 4 * GIB;
    let blocks = (BYTES / BLOCK as u64) as usize;
    println!("\nDe-duplication with little memory for index and pages together, for each TiB of unique data");
    for (what, corpus) in [
        ("files that were there before, whole", Corpus::files(blocks)),
        ("blocks that were there before, in no order", Corpus::new(blocks)),
    ] {
        let unique = u64::from(corpus.unique) * BLOCK as u64;
        let duplicates = corpus.contents.len() as u64 - u64::from(corpus.unique);
        println!("  {what}: {:.0} MiB, of which {:.0} MiB are unique", BYTES / MIB, unique / MIB);
        for per_tib in [4096, 256, 64] {
            let memory =
                (u128::from(unique) * (per_tib as u128 * u128::from(MIB)) / u128::from(TIB)) as usize;
            let cache = (memory / 4).max(PAGES_LEAST * BLOCK);
            let options = Options::new(cache, memory / 4 * 3, Some(LEVEL));
            let mut bench = Bench::new(BYTES, BYTES, (16 * MIB, MIB), options)?;
            for batch in corpus.batches() {
                bench.run(batch.into_iter().map(|(offset, buffer)| Request::Write {
                    offset,
                    buffer,
                    fua: false,
                }))?;
            }
            let found = duplicates - (bench.volume.usage().chunks - u64::from(corpus.unique));
            println!(
                "    {per_tib:5} MiB ({:4} + {:4} KiB here): {:5.1} % of duplicates found, {:5.0} MiB/s, {} pages read",
                memory / 4 * 3 / 1024,
                cache / 1024,
                percent(found as f64, duplicates as f64),
                BYTES as f64 / bench.time.as_secs_f64() / MIB as f64,
                bench.volume.stats().page_reads
            );
        }
    }
    Ok(())
}

/// Write amplification of small overwrites, with `percent` of the device, or of what the volume takes, live.
fn overwrites(cache: u64, percent: u64, of_device: bool) -> Result<(), String> {
    const DEVICE: u64 = 2 * GIB;
    let options = Options::new(cache as usize, 0, None);
    let mut bench = Bench::new(DEVICE, DEVICE, (16 * MIB, MIB), options)?;
    let whole = if of_device { DEVICE } else { bench.volume.usage().capacity_bytes };
    let live = whole / 100 * percent / BLOCK as u64;
    let mut random = Random::new(4);
    let mut page = random.noise();
    let mut write = |random: &mut Random, block: u64| {
        page[..8].copy_from_slice(&random.0.u64(..).to_le_bytes());
        Request::Write { offset: block * BLOCK as u64, buffer: page.to_vec(), fua: false }
    };
    for first in (0..live).step_by(64) {
        let blocks = first..(first + 64).min(live);
        if !bench.run(blocks.map(|block| write(&mut random, block)).collect::<Vec<_>>())? {
            return Err(format!("{percent} % do not fit"));
        }
    }
    let mut counted = None;
    for round in 0..4 * live / 64 {
        if round == 2 * live / 64 {
            counted = Some((bench.volume.stats(), bench.disk.written));
        }
        let blocks: Vec<_> = (0..64).map(|_| random.0.u64(..live)).collect();
        let mut requests: Vec<_> = blocks.into_iter().map(|block| write(&mut random, block)).collect();
        if round % 16 == 15 {
            requests.push(Request::Flush);
        }
        bench.run(requests)?;
    }
    let (before, device_before) = counted.ok_or("nothing was counted")?;
    let stats = bench.volume.stats();
    let user = (stats.user_written - before.user_written) as f64;
    println!(
        "  {percent} % of {:23} cache {:2} MiB: {:5.2} by the engine's count, {:5.2} by the device's; cleaner {:.2}",
        if of_device { "the device live," } else { "what the volume takes," },
        cache / MIB,
        (stats.device_written - before.device_written) as f64 / user,
        (bench.disk.written - device_before) as f64 / user,
        (stats.cleaned - before.cleaned) as f64 / user
    );
    Ok(())
}

fn write_amplification() -> Result<(), String> {
    println!(
        "\nWritten to the device for each byte of 4 KiB random overwrites, flushed every 1024: a device of 2 GiB,"
    );
    println!("after twice its size; the metadata are 13 MiB (target: at most 3 at 80 %)");
    overwrites(64 * MIB, 80, false)?;
    overwrites(64 * MIB, 80, true)?;
    overwrites(8 * MIB, 80, false)
}

/// Opening a large volume after a crash.
fn recovery() -> Result<(), String> {
    let options = Options::new(64 << 20, 64 << 20, Some(LEVEL));
    let mut bench = Bench::new(10 * TIB, 10 * TIB, (64 * MIB, 4 * MIB), options)?;
    let mut random = Random::new(5);
    let page = random.half();
    let mut worst = Duration::ZERO;
    for _ in 0..5 {
        for _ in 0..2000 {
            let requests: Vec<_> = (0..64)
                .map(|_| {
                    let mut buffer = page.to_vec();
                    buffer[..8].copy_from_slice(&random.0.u64(..).to_le_bytes());
                    let offset = random.0.u64(..10 * TIB / BLOCK as u64) * BLOCK as u64;
                    Request::Write { offset, buffer, fua: false }
                })
                .collect();
            bench.run(requests)?;
        }
        let (start, busy) = (processor_time(), bench.disk.busy);
        bench.volume = Volume::open(&mut bench.disk, bench.layout, sealer()?, options)
            .map_err(|error| format!("{error:?}"))?;
        worst = worst.max((processor_time() - start).saturating_sub(bench.disk.busy - busy));
    }
    println!("\nOpening a volume of 10 TiB after a crash amid random writes all over it, the slowest of 5");
    println!("  {:.2} s of processor time (target: under 2 s)", worst.as_secs_f64());
    Ok(())
}

/// Measures the figures that are named, or all, and prints them.
///
/// # Errors
/// There is no such figure, or a volume does not do what it is asked.
pub(crate) fn run(wanted: &[&str]) -> Result<(), String> {
    type Figure = (&'static str, fn() -> Result<(), String>);
    let figures: [Figure; 4] = [
        ("sequential", sequential),
        ("memory", small_index),
        ("writes", write_amplification),
        ("recovery", recovery),
    ];
    if let Some(word) = wanted.iter().find(|word| figures.iter().all(|(name, _)| name != *word)) {
        return Err(format!("there is no figure {word:?}"));
    }
    println!(
        "Mapped volumes on a disk in memory, one thread; processor time, without the disk's; medians of {ROUNDS}"
    );
    for (name, measure) in figures {
        if wanted.is_empty() || wanted.contains(&name) {
            measure()?;
        }
    }
    Ok(())
}
