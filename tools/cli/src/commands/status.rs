//! `sluice status`: the driver's disks, and what has passed the interception points and the stages.

use serde_json::{Value, json};
use sluice_control::{DiskEntry, PointCounters, Statistics, stage, state};

use crate::{
    driver::Driver,
    failure::Failure,
    output::{Report, size, uuid},
};

pub(crate) fn run() -> Result<Report, Failure> {
    let driver = Driver::open()?;
    let (mut text, mut disks) = (String::new(), Vec::new());
    for disk in driver.list()? {
        // It may be locked by somebody else between the two questions.
        let counters = if disk.state == state::UNLOCKED { driver.statistics(disk.id).ok() } else { None };
        text += &disk_text(&disk);
        if let Some(counters) = &counters {
            text += &counters_text(counters);
        }
        disks.push(disk_json(&disk, counters.as_deref()));
    }
    if disks.is_empty() {
        text += "The driver filters no disk.";
    }
    Ok(Report::new(text, json!({ "disks": disks })))
}

fn state_name(number: u32) -> &'static str {
    match number {
        state::PLAIN => "plain",
        state::LOCKED => "locked",
        state::UNLOCKED => "unlocked",
        state::DAMAGED => "damaged",
        state::UNREADABLE => "unreadable",
        state::REMOVED => "removed",
        _ => "unknown",
    }
}

pub(super) fn name(disk: &DiskEntry) -> String {
    let units = disk.name.get(..disk.name_length as usize).unwrap_or(&disk.name);
    String::from_utf16_lossy(units)
}

fn disk_text(disk: &DiskEntry) -> String {
    let mut text = format!(
        "disk {}  {:10}  {}  {}\n",
        disk.id,
        state_name(disk.state),
        size(disk.disk_bytes),
        name(disk)
    );
    if disk.volume_bytes > 0 {
        text += &format!("  volume {}  {}\n", uuid(&disk.uuid), size(disk.volume_bytes));
    }
    if disk.last_error != 0 {
        text += &format!("  last error {:#010x}\n", disk.last_error);
    }
    text
}

fn counters_text(counters: &Statistics) -> String {
    let mut text = String::from("  point                 requests            bytes   errors  half within\n");
    let mut line = |name: &str, point: &PointCounters| {
        let PointCounters { requests, bytes, errors, .. } = point;
        let half = median(point).map_or(String::new(), |ns| format!("{:.1} us", ns as f64 / 1000.0));
        text += &format!("  {name:18} {requests:11} {bytes:16} {errors:8}  {half}\n");
    };
    line("1 dispatch", &counters.dispatched);
    line("2 completion", &counters.completed);
    for stage in counters.stages.iter().take(counters.stage_count as usize) {
        line(&format!("{} down", stage_name(&stage.name)), &stage.request);
        line(&format!("{} up", stage_name(&stage.name)), &stage.completion);
    }
    for stage in counters.stages.iter().take(counters.stage_count as usize).filter(|s| s.kind != stage::OWN) {
        let name = stage_name(&stage.name);
        text += &format!("  {name}: of another driver, {} at {}\n", kind_name(stage.kind), stage.altitude);
    }
    if counters.faults > 0 {
        text += &format!("  the miniport completed {} requests that it did not have\n", counters.faults);
    }
    text
}

fn kind_name(kind: u32) -> &'static str {
    match kind {
        stage::OWN => "own",
        stage::OBSERVER => "observes",
        stage::TRANSFORMER => "changes data",
        _ => "unknown",
    }
}

pub(super) fn stage_name(name: &[u8; 16]) -> String {
    name.iter()
        .take_while(|&&byte| byte.is_ascii_graphic() || byte == b' ')
        .map(|&byte| byte as char)
        .collect()
}

/// The upper end, in nanoseconds, of the bucket in which the median lies.
fn median(point: &PointCounters) -> Option<u64> {
    let total: u64 = point.latency.iter().sum();
    let mut seen = 0;
    let bucket = point.latency.iter().position(|count| {
        seen += count;
        seen * 2 >= total
    })?;
    (total > 0).then_some(2 << bucket)
}

fn disk_json(disk: &DiskEntry, counters: Option<&Statistics>) -> Value {
    json!({
        "disk": disk.id,
        "state": state_name(disk.state),
        "name": name(disk),
        "uuid": uuid(&disk.uuid),
        "disk_bytes": disk.disk_bytes,
        "volume_bytes": disk.volume_bytes,
        "sector_size": disk.sector_size,
        "last_error": disk.last_error,
        "statistics": counters.map(counters_json),
    })
}

fn counters_json(counters: &Statistics) -> Value {
    let stages = counters.stages.iter().take(counters.stage_count as usize).map(|stage| {
        json!({
            "name": stage_name(&stage.name),
            "kind": kind_name(stage.kind),
            "altitude": stage.altitude,
            "request": point_json(&stage.request),
            "completion": point_json(&stage.completion),
        })
    });
    let stages: Vec<_> = stages.collect();
    json!({
        "dispatched": point_json(&counters.dispatched),
        "completed": point_json(&counters.completed),
        "faults": counters.faults,
        "stages": stages,
    })
}

fn point_json(point: &PointCounters) -> Value {
    json!({
        "requests": point.requests,
        "bytes": point.bytes,
        "errors": point.errors,
        "latency_ns_log2": point.latency,
    })
}
