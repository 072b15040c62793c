//! Snapshots: of servers by their sockets, on Windows of the driver.

use sluice_statistics::Snapshot;

use crate::failure::Failure;

/// What was told at one moment.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    pub(crate) servers: Vec<Snapshot>,
    /// Sockets that servers left that were killed.
    pub(crate) stale: Vec<String>,
    /// What could not be asked, and why.
    pub(crate) problems: Vec<String>,
}

#[cfg(unix)]
pub(crate) fn now() -> Result<Collected, Failure> {
    use sluice_statistics::folder::{Found, ask_all};

    let mut collected = Collected::default();
    for found in ask_all() {
        match found {
            Found::Server(server) => collected.servers.push(*server),
            Found::Stale(socket) => collected.stale.push(socket.display().to_string()),
            Found::Problem(place, error) => {
                collected.problems.push(format!("{}: {error}", place.display()));
            }
        }
    }
    Ok(collected)
}

/// The driver is the only server. It counts requests, not what kind they are, and does not speak of mapped volumes' insides.
#[cfg(windows)]
pub(crate) fn now() -> Result<Collected, Failure> {
    use sluice_control::state;
    use sluice_statistics::VERSION;

    let driver = crate::driver::Driver::open()?;
    let mut volumes = Vec::new();
    for disk in driver.list()?.into_iter().filter(|disk| disk.state == state::UNLOCKED) {
        // It may be locked by somebody else between the two questions.
        if let Ok(counters) = driver.statistics(disk.id) {
            volumes.push(of_driver::volume(&disk, &counters));
        }
    }
    // The driver does not say since when it counts. Only the difference of two such times counts.
    let uptime_ns = std::time::UNIX_EPOCH.elapsed().map_or(0, |now| now.as_nanos() as u64);
    let server = Snapshot { version: VERSION, uptime_ns, volumes, ..Snapshot::default() };
    Ok(Collected { servers: vec![server], ..Collected::default() })
}

/// The driver's counters in the words of a server.
#[cfg(any(windows, test))]
mod of_driver {
    use sluice_control::{DiskEntry, PointCounters, Statistics};
    use sluice_statistics::{Latency, Operation, Stage, Volume};

    use crate::{
        commands::status::{name, stage_name},
        output::uuid,
    };

    pub(super) fn volume(disk: &DiskEntry, counters: &Statistics) -> Volume {
        let stages = counters.stages.iter().take(counters.stage_count as usize);
        Volume {
            uuid: uuid(&disk.uuid),
            path: name(disk),
            export: disk.id.to_string(),
            kind: "driver".into(),
            volume_bytes: disk.volume_bytes,
            writable: true,
            operations: vec![operation("request", &counters.completed)],
            stages: stages.map(stage).collect(),
            mapped: None,
        }
    }

    fn operation(name: &str, point: &PointCounters) -> Operation {
        let counts = point.latency.iter().enumerate().filter(|(_, count)| **count > 0);
        let latency = Latency(counts.map(|(power, count)| (2 << power, *count)).collect());
        Operation {
            name: name.into(),
            requests: point.requests,
            bytes: point.bytes,
            errors: point.errors,
            nanoseconds: at_most(&latency),
            latency,
        }
    }

    /// The driver does not add the times up: no request took longer than its bucket says.
    fn at_most(latency: &Latency) -> u64 {
        latency.0.iter().fold(0, |sum, (end, count)| sum.saturating_add(end.saturating_mul(*count)))
    }

    fn stage(counters: &sluice_control::StageCounters) -> Stage {
        let [down, up] = [&counters.request, &counters.completion].map(|point| operation("", point));
        Stage {
            name: stage_name(&counters.name),
            times: down.requests,
            bytes: down.bytes,
            nanoseconds: down.nanoseconds.saturating_add(up.nanoseconds),
        }
    }

    #[cfg(test)]
    mod tests {
        use zerocopy::FromZeros;

        use super::*;

        #[test]
        fn counters_of_the_driver_are_told_in_the_words_of_a_server() {
            let (mut disk, mut counters) = (DiskEntry::new_zeroed(), Statistics::new_zeroed());
            (disk.id, disk.volume_bytes) = (2, 1 << 30);
            (counters.completed.requests, counters.completed.bytes) = (3, 12288);
            (counters.completed.latency[10], counters.completed.latency[12]) = (2, 1);
            // More than there are: what the driver says is not believed.
            counters.stage_count = 99;
            counters.stages[0].name[..7].copy_from_slice(b"encrypt");
            let volume = volume(&disk, &counters);
            let request = &volume.operations[0];
            assert_eq!((request.requests, request.bytes, request.errors), (3, 12288, 0));
            assert_eq!(request.latency, Latency(vec![(2048, 2), (8192, 1)]));
            assert_eq!((volume.export.as_str(), volume.stages[0].name.as_str()), ("2", "encrypt"));
        }
    }
}
