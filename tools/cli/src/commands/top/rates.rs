//! What happened to a volume between two snapshots, a second.

use serde::Serialize;
use sluice_statistics::{Engine, Latency, Operation, Snapshot, Stage, Volume};

use super::collect::Collected;

/// See above.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rates {
    /// By the server's clock.
    pub(crate) seconds: f64,
    /// All requests,
    pub(crate) all: Flow,
    /// and by kind, in the order of the volume's.
    pub(crate) operations: Vec<Flow>,
    pub(crate) stages: Vec<Share>,
    /// Of a mapped volume.
    pub(crate) mapped: Option<Ratios>,
}

/// Requests.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Flow {
    pub(crate) name: String,
    pub(crate) requests_per_second: f64,
    pub(crate) bytes_per_second: f64,
    /// How many failed, not a second.
    pub(crate) errors: u64,
    /// How many were under way on average: by Little's law, time spent in all of them for each second.
    pub(crate) depth: f64,
    /// Nanoseconds, at most a quarter too long; null without requests.
    pub(crate) p50_ns: Option<u64>,
    pub(crate) p99_ns: Option<u64>,
    pub(crate) max_ns: Option<u64>,
}

/// Work inside the server.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Share {
    pub(crate) name: String,
    pub(crate) times_per_second: f64,
    pub(crate) bytes_per_second: f64,
    /// Threads that did nothing else, on average.
    pub(crate) threads: f64,
    /// Nanoseconds each time; null if there was none.
    pub(crate) mean_ns: Option<f64>,
}

/// Of a mapped volume; null where nothing was written.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Ratios {
    /// Of the blocks written, how many were there already.
    pub(crate) dedup_hits: Option<f64>,
    /// Bytes of new data for each byte that it took.
    pub(crate) compression: Option<f64>,
    /// Bytes to the device for each byte written by clients.
    pub(crate) write_amplification: Option<f64>,
    pub(crate) page_reads_per_second: f64,
    pub(crate) cleaned_bytes_per_second: f64,
    pub(crate) checkpoints_per_second: f64,
}

impl Rates {
    /// `None`: it was not there `before`, or its server has been started anew.
    pub(crate) fn of(before: &Collected, server: &Snapshot, volume: &Volume) -> Option<Self> {
        let earlier = before.servers.iter().find(|earlier| earlier.pid == server.pid)?;
        let same = |one: &&Volume| one.uuid == volume.uuid && one.export == volume.export;
        let old = earlier.volumes.iter().find(same)?;
        let nanoseconds = server.uptime_ns.checked_sub(earlier.uptime_ns).filter(|time| *time > 0)?;
        let seconds = nanoseconds as f64 / 1e9;
        let operations = pairs(&old.operations, &volume.operations, |one| &one.name);
        let operations: Option<Vec<_>> = operations.map(|(old, new)| since(old, new)).collect();
        let operations = operations?;
        let stages = pairs(&old.stages, &volume.stages, |one| &one.name);
        let stages: Option<Vec<_>> = stages.map(|(old, new)| share(old, new, seconds)).collect();
        let mapped = old.mapped.as_ref().zip(volume.mapped.as_ref());
        let mapped = mapped.and_then(|(old, new)| ratios(&old.engine, &new.engine, seconds));
        Some(Self {
            seconds,
            all: flow(&sum(&operations), seconds),
            operations: operations.iter().map(|operation| flow(operation, seconds)).collect(),
            stages: stages?,
            mapped,
        })
    }
}

/// What has the same name, if both have it.
fn pairs<'a, T>(old: &'a [T], new: &'a [T], name: fn(&T) -> &String) -> impl Iterator<Item = (&'a T, &'a T)> {
    new.iter().filter_map(move |new| Some((old.iter().find(|old| name(old) == name(new))?, new)))
}

fn since(old: &Operation, new: &Operation) -> Option<Operation> {
    Some(Operation {
        name: new.name.clone(),
        requests: new.requests.checked_sub(old.requests)?,
        bytes: new.bytes.checked_sub(old.bytes)?,
        errors: new.errors.checked_sub(old.errors)?,
        nanoseconds: new.nanoseconds.checked_sub(old.nanoseconds)?,
        latency: new.latency.since(&old.latency)?,
    })
}

fn sum(operations: &[Operation]) -> Operation {
    let total = |of: fn(&Operation) -> u64| operations.iter().map(of).fold(0, u64::saturating_add);
    Operation {
        name: "all".into(),
        requests: total(|one| one.requests),
        bytes: total(|one| one.bytes),
        errors: total(|one| one.errors),
        nanoseconds: total(|one| one.nanoseconds),
        latency: operations.iter().fold(Latency::default(), |all, one| all.with(&one.latency)),
    }
}

fn flow(operation: &Operation, seconds: f64) -> Flow {
    let Operation { name, requests, bytes, errors, nanoseconds, latency } = operation;
    Flow {
        name: name.clone(),
        requests_per_second: *requests as f64 / seconds,
        bytes_per_second: *bytes as f64 / seconds,
        errors: *errors,
        depth: *nanoseconds as f64 / 1e9 / seconds,
        p50_ns: latency.within(0.5),
        p99_ns: latency.within(0.99),
        max_ns: latency.within(1.0),
    }
}

fn share(old: &Stage, new: &Stage, seconds: f64) -> Option<Share> {
    let times = new.times.checked_sub(old.times)?;
    let nanoseconds = new.nanoseconds.checked_sub(old.nanoseconds)? as f64;
    Some(Share {
        name: new.name.clone(),
        times_per_second: times as f64 / seconds,
        bytes_per_second: new.bytes.checked_sub(old.bytes)? as f64 / seconds,
        threads: nanoseconds / 1e9 / seconds,
        mean_ns: (times > 0).then(|| nanoseconds / times as f64),
    })
}

fn ratios(old: &Engine, new: &Engine, seconds: f64) -> Option<Ratios> {
    let more = |of: fn(&Engine) -> u64| of(new).checked_sub(of(old)).map(|more| more as f64);
    let written = more(|one| one.user_written_bytes)?;
    let shared = more(|one| one.shared_bytes)?;
    let stored = more(|one| one.data_written_bytes)?;
    let device = more(|one| one.device_written_bytes)?;
    let ratio = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
    Some(Ratios {
        dedup_hits: ratio(shared, written),
        compression: ratio((written - shared).max(0.0), stored),
        write_amplification: ratio(device, written),
        page_reads_per_second: more(|one| one.page_reads)? / seconds,
        cleaned_bytes_per_second: more(|one| one.cleaned_bytes)? / seconds,
        checkpoints_per_second: more(|one| one.checkpoints)? / seconds,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    fn at(uptime_ns: u64, requests: u64) -> Collected {
        let operation = |name: &str, latency| Operation {
            name: name.into(),
            requests,
            bytes: requests * 4096,
            errors: 0,
            nanoseconds: requests * 500_000,
            latency: Latency(vec![(latency, requests)]),
        };
        let volume = Volume {
            operations: vec![operation("read", 1000), operation("write", 4000)],
            stages: vec![Stage {
                name: "encrypt".into(),
                times: requests,
                bytes: 0,
                nanoseconds: requests * 1000,
            }],
            ..Volume::default()
        };
        let server = Snapshot { uptime_ns, volumes: vec![volume], ..Snapshot::default() };
        Collected { servers: vec![server], ..Collected::default() }
    }

    fn between(before: &Collected, now: &Collected) -> Option<Rates> {
        Rates::of(before, &now.servers[0], &now.servers[0].volumes[0])
    }

    #[test]
    fn rates_are_differences_over_the_servers_time() {
        let rates = between(&at(1_000_000_000, 100), &at(3_000_000_000, 300)).unwrap();
        assert_eq!(rates.seconds, 2.0);
        assert_eq!((rates.all.requests_per_second, rates.all.bytes_per_second), (200.0, 819_200.0));
        assert_eq!(
            (rates.all.p50_ns, rates.all.p99_ns, rates.all.max_ns),
            (Some(1000), Some(4000), Some(4000))
        );
        // 400 requests of half a millisecond in two seconds.
        assert!((rates.all.depth - 0.1).abs() < 1e-9);
        assert!((rates.stages[0].mean_ns.unwrap() - 1000.0).abs() < 1e-9);
        assert_eq!(rates.operations[1].requests_per_second, 100.0);
    }

    #[test]
    fn a_server_that_was_started_anew_has_no_rates_yet() {
        assert!(between(&at(3_000_000_000, 300), &at(1_000_000_000, 100)).is_none());
        assert!(between(&at(1, 300), &at(1_000_000_000, 100)).is_none(), "counters never shrink");
        assert!(between(&Collected::default(), &at(1_000_000_000, 100)).is_none());
        let idle = between(&at(1, 5), &at(1_000_000_001, 5)).unwrap();
        assert_eq!((idle.all.requests_per_second, idle.all.p99_ns), (0.0, None));
    }

    #[test]
    fn ratios_compare_what_was_written_with_what_it_took() {
        let old = Engine::default();
        let new = Engine {
            user_written_bytes: 8000,
            shared_bytes: 4000,
            data_written_bytes: 1000,
            device_written_bytes: 2000,
            ..Engine::default()
        };
        let found = ratios(&old, &new, 1.0).unwrap();
        assert_eq!((found.dedup_hits, found.compression), (Some(0.5), Some(4.0)));
        assert_eq!(found.write_amplification, Some(0.25));
        assert!(ratios(&new, &old, 1.0).is_none());
        assert!(ratios(&new, &new, 1.0).unwrap().dedup_hits.is_none());
    }
}
