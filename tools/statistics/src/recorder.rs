//! What is counted while requests are served. Nothing here waits or allocates: a request costs a few additions.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use crate::{
    histogram::{BUCKETS, Latency, bucket_of, end_of},
    snapshot::{Operation, Stage},
};

/// A number that grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    fn add(&self, more: u64) {
        // Each number is right by itself; a snapshot taken meanwhile may have one of a request's and not yet the other.
        self.0.fetch_add(more, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A kind of work inside a server, such as encrypting.
#[derive(Debug, Default)]
pub struct Counter {
    times: Count,
    bytes: Count,
    nanoseconds: Count,
}

impl Counter {
    /// Does the work, and counts it.
    pub fn time<T>(&self, bytes: usize, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = work();
        self.add(bytes, begun.elapsed());
        done
    }

    /// Counts work that was done.
    pub fn add(&self, bytes: usize, took: Duration) {
        self.times.add(1);
        self.bytes.add(bytes as u64);
        self.nanoseconds.add(took.as_nanos() as u64);
    }

    /// What it has counted.
    pub fn stage(&self, name: &str) -> Stage {
        let Self { times, bytes, nanoseconds } = self;
        Stage { name: name.into(), times: times.get(), bytes: bytes.get(), nanoseconds: nanoseconds.get() }
    }
}

/// A kind of request.
#[derive(Debug)]
pub struct Tally {
    all: Counter,
    errors: Count,
    latency: [Count; BUCKETS],
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            all: Counter::default(),
            errors: Count::default(),
            latency: [const { Count(AtomicU64::new(0)) }; BUCKETS],
        }
    }
}

impl Tally {
    /// Serves a request, and counts it. Bytes of one that fails are not counted.
    pub fn serve<T, E>(&self, bytes: u64, serve: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let begun = Instant::now();
        let done = serve();
        let took = begun.elapsed();
        self.all.add(if done.is_ok() { bytes as usize } else { 0 }, took);
        if done.is_err() {
            self.errors.add(1);
        }
        if let Some(count) = self.latency.get(bucket_of(took.as_nanos() as u64)) {
            count.add(1);
        }
        done
    }

    fn operation(&self, name: &str) -> Operation {
        let counts = self.latency.iter().map(Count::get).enumerate();
        let pairs = counts.filter(|(_, count)| *count > 0).map(|(bucket, count)| (end_of(bucket), count));
        let Stage { times, bytes, nanoseconds, .. } = self.all.stage(name);
        Operation {
            name: name.into(),
            requests: times,
            bytes,
            errors: self.errors.get(),
            nanoseconds,
            latency: Latency(pairs.collect()),
        }
    }
}

/// All requests of a volume.
#[derive(Debug, Default)]
pub struct Operations {
    /// Reads,
    pub read: Tally,
    /// writes,
    pub write: Tally,
    /// flushes, beside those that belong to a write,
    pub flush: Tally,
    /// and ranges that are no longer needed, or are to be zeros.
    pub discard: Tally,
}

impl Operations {
    /// What they have counted.
    pub fn all(&self) -> Vec<Operation> {
        let Self { read, write, flush, discard } = self;
        let named = [("read", read), ("write", write), ("flush", flush), ("discard", discard)];
        named.into_iter().map(|(name, tally)| tally.operation(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_many_threads_are_all_counted() {
        let operations = Operations::default();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let operations = &operations;
                scope.spawn(move || {
                    for request in 0..1000 {
                        let _ = operations
                            .read
                            .serve(512, || if request % 10 == 0 && thread == 0 { Err(()) } else { Ok(()) });
                    }
                });
            }
        });
        let all = operations.all();
        let names: Vec<_> = all.iter().map(|operation| operation.name.as_str()).collect();
        assert_eq!(names, ["read", "write", "flush", "discard"]);
        let read = &all[0];
        assert_eq!((read.requests, read.bytes, read.errors), (4000, 3900 * 512, 100));
        assert_eq!(read.latency.count(), 4000);
        assert!(all[1..].iter().all(|operation| operation.requests == 0 && operation.latency.0.is_empty()));
    }

    #[test]
    fn a_request_is_counted_as_long_as_it_took() {
        let tally = Tally::default();
        let _ = tally.serve(1, || -> Result<(), ()> {
            std::thread::sleep(Duration::from_millis(5));
            Ok(())
        });
        let read = tally.operation("read");
        assert!(read.nanoseconds >= 5_000_000);
        let end = read.latency.within(1.0).unwrap_or(0);
        assert!(end > read.nanoseconds && end <= read.nanoseconds * 5 / 4 + 1, "{end} {read:?}");
    }
}
