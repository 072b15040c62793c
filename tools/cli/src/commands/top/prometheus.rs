//! A snapshot as text for Prometheus (exposition format 0.0.4): for node_exporter's textfile collector, or a scrape.

use std::fmt::Write;

use sluice_statistics::{Mapped, Snapshot, Volume};

use super::collect::Collected;

/// Ends of the histogram's buckets, as powers of two of nanoseconds: 1 us to 34 s. Every server has buckets that end there.
const POWERS: std::ops::RangeInclusive<u32> = 10..=35;

pub(super) fn text(collected: &Collected) -> String {
    let mut text = String::new();
    let servers = &collected.servers;
    requests(&mut text, servers);
    latency(&mut text, servers);
    stages(&mut text, servers);
    volumes(&mut text, servers);
    mapped(&mut text, servers);
    let mut resident = Family::new("sluice_server_resident_bytes", "gauge", "Memory of a server's process.");
    for server in servers {
        if let Some(bytes) = server.resident_bytes {
            resident.sample("", &[("pid", &server.pid.to_string())], bytes as f64);
        }
    }
    resident.end(&mut text);
    let mut unasked = Family::new(
        "sluice_servers_unreachable",
        "gauge",
        "Servers that were killed and left a socket, or do not answer.",
    );
    unasked.sample("", &[], (collected.stale.len() + collected.problems.len()) as f64);
    unasked.end(&mut text);
    text
}

/// A metric with all its samples, which must stand together.
struct Family {
    name: &'static str,
    head: String,
    samples: String,
}

impl Family {
    fn new(name: &'static str, kind: &str, help: &str) -> Self {
        Self { name, head: format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"), samples: String::new() }
    }

    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        let labels = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
        let labels: Vec<_> = labels.collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        // Cannot fail.
        let _ = writeln!(self.samples, "{}{suffix}{labels} {value}", self.name);
    }

    fn end(self, text: &mut String) {
        if !self.samples.is_empty() {
            *text += &self.head;
            *text += &self.samples;
        }
    }
}

/// A label's value between quotes.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn all(servers: &[Snapshot]) -> impl Iterator<Item = &Volume> {
    servers.iter().flat_map(|server| &server.volumes)
}

/// The labels that name a volume.
fn of(volume: &Volume) -> [(&str, &str); 2] {
    [("uuid", &volume.uuid), ("export", &volume.export)]
}

fn with<'a>(volume: &'a Volume, name: &'a str, value: &'a str) -> [(&'a str, &'a str); 3] {
    let [uuid, export] = of(volume);
    [uuid, export, (name, value)]
}

fn requests(text: &mut String, servers: &[Snapshot]) {
    let mut requests =
        Family::new("sluice_requests_total", "counter", "Requests of clients that have ended.");
    let mut bytes =
        Family::new("sluice_request_bytes_total", "counter", "Bytes of requests that have succeeded.");
    let mut errors = Family::new("sluice_request_errors_total", "counter", "Requests that have failed.");
    for volume in all(servers) {
        for operation in &volume.operations {
            let labels = with(volume, "operation", &operation.name);
            requests.sample("", &labels, operation.requests as f64);
            bytes.sample("", &labels, operation.bytes as f64);
            errors.sample("", &labels, operation.errors as f64);
        }
    }
    [requests, bytes, errors].into_iter().for_each(|family| family.end(text));
}

fn latency(text: &mut String, servers: &[Snapshot]) {
    let mut family =
        Family::new("sluice_request_duration_seconds", "histogram", "How long requests of clients took.");
    for volume in all(servers) {
        for operation in &volume.operations {
            let [uuid, export, kind] = with(volume, "operation", &operation.name);
            let pairs = &operation.latency.0;
            for power in POWERS {
                let end = 1_u64 << power;
                let within: u64 = pairs.iter().filter(|pair| pair.0 <= end).map(|pair| pair.1).sum();
                let le = (end as f64 / 1e9).to_string();
                family.sample("_bucket", &[uuid, export, kind, ("le", &le)], within as f64);
            }
            let count = operation.latency.count() as f64;
            family.sample("_bucket", &[uuid, export, kind, ("le", "+Inf")], count);
            family.sample("_sum", &[uuid, export, kind], operation.nanoseconds as f64 / 1e9);
            family.sample("_count", &[uuid, export, kind], count);
        }
    }
    family.end(text);
}

fn stages(text: &mut String, servers: &[Snapshot]) {
    let mut times = Family::new("sluice_stage_runs_total", "counter", "How often a stage has run.");
    let mut bytes = Family::new("sluice_stage_bytes_total", "counter", "Bytes that went through a stage.");
    let mut seconds =
        Family::new("sluice_stage_seconds_total", "counter", "Time spent in a stage, by all threads.");
    for volume in all(servers) {
        for stage in &volume.stages {
            let labels = with(volume, "stage", &stage.name);
            times.sample("", &labels, stage.times as f64);
            bytes.sample("", &labels, stage.bytes as f64);
            seconds.sample("", &labels, stage.nanoseconds as f64 / 1e9);
        }
    }
    [times, bytes, seconds].into_iter().for_each(|family| family.end(text));
}

fn volumes(text: &mut String, servers: &[Snapshot]) {
    let mut sizes = Family::new("sluice_volume_size_bytes", "gauge", "Size of a volume as clients see it.");
    let mut names = Family::new("sluice_volume_info", "gauge", "What a volume is: always 1.");
    for volume in all(servers) {
        sizes.sample("", &of(volume), volume.volume_bytes as f64);
        let [uuid, export] = of(volume);
        let writable = if volume.writable { "yes" } else { "no" };
        let labels = [uuid, export, ("path", &volume.path), ("kind", &volume.kind), ("writable", writable)];
        names.sample("", &labels, 1.0);
    }
    [sizes, names].into_iter().for_each(|family| family.end(text));
}

/// A number of a mapped volume: name, kind, meaning, and where it stands.
type Number = (&'static str, &'static str, &'static str, fn(&Mapped) -> f64);

const NUMBERS: &[Number] = &[
    ("sluice_written_bytes", "gauge", "Data that clients have written.", |m| m.space.written_bytes as f64),
    ("sluice_unique_bytes", "gauge", "Data when each block is there once.", |m| m.space.unique_bytes as f64),
    ("sluice_stored_bytes", "gauge", "Unique data as it is stored.", |m| m.space.stored_bytes as f64),
    ("sluice_metadata_bytes", "gauge", "What says where data is.", |m| m.space.metadata_bytes as f64),
    ("sluice_segments_in_use_bytes", "gauge", "Segments that are not free.", |m| {
        m.space.segment_bytes_in_use as f64
    }),
    ("sluice_free_bytes", "gauge", "What can still be stored.", |m| m.space.free_bytes as f64),
    ("sluice_user_written_bytes_total", "counter", "Bytes written by clients' requests.", |m| {
        m.engine.user_written_bytes as f64
    }),
    ("sluice_dedup_hit_bytes_total", "counter", "Bytes written that were there already.", |m| {
        m.engine.shared_bytes as f64
    }),
    ("sluice_data_written_bytes_total", "counter", "Bytes of new data as they were stored.", |m| {
        m.engine.data_written_bytes as f64
    }),
    ("sluice_cleaned_bytes_total", "counter", "Bytes that the cleaner moved.", |m| {
        m.engine.cleaned_bytes as f64
    }),
    ("sluice_device_written_bytes_total", "counter", "Bytes of everything written to the device.", |m| {
        m.engine.device_written_bytes as f64
    }),
    ("sluice_discarded_bytes_total", "counter", "Bytes that the device was told are free.", |m| {
        m.engine.discarded_bytes as f64
    }),
    ("sluice_page_reads_total", "counter", "Metadata pages that were not in memory.", |m| {
        m.engine.page_reads as f64
    }),
    ("sluice_checkpoints_total", "counter", "Checkpoints completed.", |m| m.engine.checkpoints as f64),
    ("sluice_segments_cleaned_total", "counter", "Segments cleaned.", |m| m.engine.segments_cleaned as f64),
    ("sluice_segments", "gauge", "All segments.", |m| m.log.segments as f64),
    ("sluice_free_segments", "gauge", "Segments that may be filled.", |m| m.log.free_segments as f64),
    ("sluice_journal_bytes", "gauge", "Size of the journal.", |m| m.log.journal_bytes as f64),
    ("sluice_journal_used_bytes", "gauge", "Journal that recovery would need.", |m| {
        m.log.journal_used_bytes as f64
    }),
    ("sluice_cleaning", "gauge", "1 while a segment is being cleaned.", |m| f64::from(m.log.cleaning)),
    ("sluice_failed", "gauge", "1 if a write has failed: the volume takes no more.", |m| {
        f64::from(m.log.failed)
    }),
    ("sluice_cache_bytes", "gauge", "Memory for metadata pages.", |m| m.memory.cache_bytes as f64),
    ("sluice_cache_dirty_bytes", "gauge", "Metadata pages that the device does not have yet.", |m| {
        m.memory.dirty_bytes as f64
    }),
    ("sluice_index_bytes", "gauge", "Memory for the index of de-duplication.", |m| {
        m.memory.index_bytes as f64
    }),
    ("sluice_index_chunks", "gauge", "Chunks that the index knows.", |m| m.memory.index_used as f64),
];

fn mapped(text: &mut String, servers: &[Snapshot]) {
    for (name, kind, help, number) in NUMBERS {
        let mut family = Family::new(name, kind, help);
        for volume in all(servers) {
            if let Some(mapped) = &volume.mapped {
                family.sample("", &of(volume), number(mapped));
            }
        }
        family.end(text);
    }
}

#[cfg(test)]
mod tests {
    use sluice_statistics::{Latency, Operation};

    use super::*;

    #[test]
    fn labels_are_escaped_and_buckets_add_up() {
        let operation = Operation {
            name: "read".into(),
            requests: 3,
            nanoseconds: 3_000_000_000,
            latency: Latency(vec![(1024, 1), (1 << 20, 1), (1 << 40, 1)]),
            ..Operation::default()
        };
        let volume = Volume {
            uuid: "u".into(),
            path: "a\\b \"c\"\nd".into(),
            operations: vec![operation],
            ..Volume::default()
        };
        let server = Snapshot { volumes: vec![volume], ..Snapshot::default() };
        let text = text(&Collected { servers: vec![server], ..Collected::default() });
        assert!(text.contains(r#"path="a\\b \"c\"\nd""#), "{text}");
        let buckets = text.lines().filter(|line| line.starts_with("sluice_request_duration_seconds_bucket"));
        let counts: Vec<_> = buckets.filter_map(|line| line.rsplit(' ').next()).collect();
        assert_eq!(counts.first().zip(counts.last()), Some((&"1", &"3")), "{text}");
        assert!(counts.is_sorted() && counts[counts.len() - 2] == "2", "{text}");
        assert!(
            text.contains("le=\"0.000001024\"")
                && text.contains("_sum{uuid=\"u\",export=\"\",operation=\"read\"} 3\n")
        );
        assert!(!text.contains("sluice_journal_bytes"), "no samples, no metric");
    }
}
