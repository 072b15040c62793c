//! I/O that flows while something else is tested: threads that write, read back and compare.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    copy::Random,
    device::{Device, Error},
};

const THREADS: u64 = 3;
/// Bytes of each thread's part of the disk, from `BASE` on.
const REGION: u64 = 2 << 20;
const BASE: u64 = 4 << 20;
const LONGEST: u64 = 128 << 10;

/// What became of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Writes that read back as they were.
    pub(crate) good: u64,
    /// Writes that read back as something else.
    pub(crate) wrong: u64,
    /// Errors, each once.
    pub(crate) errors: Vec<Error>,
}

/// The threads.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    good: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Outcome>>,
}

impl Load {
    /// Starts it on test disk number `disk`. A thread ends at its first error.
    pub(crate) fn start(disk: u32, sector: u64) -> Load {
        let (stop, good) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let threads = (0..THREADS)
            .map(|number| {
                let (stop, good) = (Arc::clone(&stop), Arc::clone(&good));
                thread::spawn(move || run(disk, sector, number, &stop, &good))
            })
            .collect();
        Load { stop, good, threads }
    }

    /// Waits until so many writes have been found good, or long enough.
    pub(crate) fn until(&self, good: u64) {
        let began = Instant::now();
        while self.good.load(Ordering::Relaxed) < good && began.elapsed() < Duration::from_secs(30) {
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops it.
    pub(crate) fn end(mut self) -> Outcome {
        self.join()
    }

    fn join(&mut self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Outcome { good: 0, wrong: 0, errors: Vec::new() };
        for one in self.threads.drain(..).filter_map(|t| t.join().ok()) {
            all.good += one.good;
            all.wrong += one.wrong;
            all.errors.extend(one.errors);
        }
        all
    }
}

impl Drop for Load {
    /// The program must not end with I/O under way.
    fn drop(&mut self) {
        self.join();
    }
}

fn run(disk: u32, sector: u64, number: u64, stop: &AtomicBool, good: &AtomicU64) -> Outcome {
    let mut all = Outcome { good: 0, wrong: 0, errors: Vec::new() };
    let device = match Device::open(&format!("SluiceTestDisk{disk}")) {
        Ok(device) => device,
        Err(e) => return Outcome { errors: vec![e], ..all },
    };
    let mut random = Random(0x5eed + number);
    while !stop.load(Ordering::Relaxed) {
        match turn(&device, sector, BASE + number * REGION, &mut random) {
            Ok(true) => {
                all.good += 1;
                good.fetch_add(1, Ordering::Relaxed);
            }
            Ok(false) => all.wrong += 1,
            Err(e) => {
                all.errors.push(e);
                break;
            }
        }
    }
    all
}

/// Two writes at once, and both back.
fn turn(device: &Device, sector: u64, base: u64, random: &mut Random) -> Result<bool, Error> {
    let pieces: Vec<(u64, Vec<u8>)> = (0..2)
        .map(|half| {
            let length = (1 + random.next() % (LONGEST / sector)) * sector;
            let at = base + half * REGION / 2 + random.next() % ((REGION / 2 - length) / sector) * sector;
            (at, (0..length / 8).flat_map(|_| random.next().to_le_bytes()).collect())
        })
        .collect();
    let writes: Vec<_> = pieces.iter().map(|(at, data)| device.start_write(*at, data.clone())).collect();
    for write in writes {
        write.wait_count()?;
    }
    let mut same = true;
    for (at, data) in &pieces {
        same &= device.read(*at, data.len())? == *data;
    }
    Ok(same)
}
