//! The driver's own control device, asked directly.

use serde_json::{Value, json};
use sluice_control::{DiskEntry, DiskRequest, MAX_STAGES, PointCounters, Statistics, code, entries, state};
use zerocopy::{FromBytes, IntoBytes};

use crate::{
    device::{Device, Error, TIMED_OUT},
    report,
};

/// `\\.\SluiceControl`.
pub(crate) fn open() -> Result<Device, Error> {
    Device::open("SluiceControl")
}

/// The disks that the driver filters.
pub(crate) fn disks(device: &Device) -> Result<Vec<DiskEntry>, Error> {
    let list = device.control(code::LIST, &[], 65536)?;
    Ok(entries(&list).map(|(_, all)| all.collect()).unwrap_or_default())
}

/// A stage in a chain.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) name: String,
    pub(crate) kind: u32,
    pub(crate) altitude: u32,
    /// On the way down.
    pub(crate) requests: u64,
    pub(crate) bytes: u64,
}

/// The stages of the disk with this number, top to bottom.
pub(crate) fn stages(disk: u32) -> Result<Vec<Stage>, Error> {
    let ask = DiskRequest::new(disk);
    let bytes = open()?.control(code::STATISTICS, ask.as_bytes(), size_of::<Statistics>())?;
    let s = Statistics::read_from_bytes(&bytes).map_err(|_| TIMED_OUT)?;
    let stages = s.stages[..MAX_STAGES.min(s.stage_count as usize)].iter();
    Ok(stages
        .map(|stage| Stage {
            name: String::from_utf8_lossy(&stage.name).trim_end_matches('\0').to_owned(),
            kind: stage.kind,
            altitude: stage.altitude,
            requests: stage.request.requests,
            bytes: stage.request.bytes,
        })
        .collect())
}

fn point(p: &PointCounters) -> Value {
    json!({ "requests": p.requests, "bytes": p.bytes, "errors": p.errors })
}

/// The counters of the (one) unlocked volume.
pub(crate) fn statistics() {
    let answer = open().and_then(|device| {
        let all = disks(&device)?;
        let Some(disk) = all.iter().find(|d| d.state == state::UNLOCKED) else { return Ok(None) };
        let bytes = device.control(
            code::STATISTICS,
            DiskRequest::new(disk.id).as_bytes(),
            size_of::<Statistics>(),
        )?;
        Ok(Statistics::read_from_bytes(&bytes).ok())
    });
    let s = match answer {
        Ok(Some(s)) => s,
        other => report::fatal(format!("no statistics: {:?}", other.map(|s| s.is_some()))),
    };
    let stages: Vec<Value> = s.stages[..MAX_STAGES.min(s.stage_count as usize)]
        .iter()
        .map(|stage| {
            let name = String::from_utf8_lossy(&stage.name);
            json!({
                "name": name.trim_end_matches('\0'),
                "request": point(&stage.request),
                "completion": point(&stage.completion),
            })
        })
        .collect();
    report::result(json!({
        "dispatched": point(&s.dispatched), "completed": point(&s.completed), "faults": s.faults, "stages": stages,
    }));
}
