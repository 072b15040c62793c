//! The driver's own control device, asked directly.

use std::cell::RefCell;

use serde_json::{Value, json};
use sluice_control::{
    DiskEntry, DiskRequest, HEADER_BYTES, MAX_STAGES, PointCounters, Statistics, UnlockRequest, code,
    entries, state,
};
use sluice_engine::{
    format::{Header, RawHeader},
    keys::derive_kek,
};
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

/// Opens locked volumes with one passphrase: derived once for each volume, and then as often as is wanted.
pub(crate) struct Keys {
    passphrase: Vec<u8>,
    derived: RefCell<Vec<([u8; 16], u32, [u8; 32])>>,
}

impl Keys {
    /// Of what a file holds.
    pub(crate) fn of(passphrase_file: &str) -> Keys {
        let passphrase = std::fs::read(passphrase_file)
            .unwrap_or_else(|e| report::fatal(format!("{passphrase_file}: {e}")));
        Keys { passphrase, derived: RefCell::default() }
    }

    /// Unlocks the (one) locked disk; whether that worked.
    pub(crate) fn unlock(&self) -> bool {
        self.try_unlock().is_some()
    }

    fn try_unlock(&self) -> Option<()> {
        let device = open().ok()?;
        let disk = disks(&device).ok()?.into_iter().find(|disk| disk.state == state::LOCKED)?;
        let (slot, kek) = self.key(&device, &disk)?;
        let request = UnlockRequest::new(disk.id, slot, kek);
        device.control(code::UNLOCK, request.as_bytes(), 0).ok().map(drop)
    }

    fn key(&self, device: &Device, disk: &DiskEntry) -> Option<(u32, [u8; 32])> {
        if let Some((_, slot, kek)) = self.derived.borrow().iter().find(|(uuid, ..)| *uuid == disk.uuid) {
            return Some((*slot, *kek));
        }
        let request = DiskRequest::new(disk.id);
        let bytes = device.control(code::READ_HEADER, request.as_bytes(), HEADER_BYTES).ok()?;
        let raw = RawHeader::read_from_bytes(&bytes).ok()?;
        let header = Header::check(&raw).ok()?;
        let slot = header.slots().next()?;
        let kek = *derive_kek(&self.passphrase, slot.raw, slot.uuid, slot.index).ok()?.as_bytes();
        self.derived.borrow_mut().push((disk.uuid, slot.index as u32, kek));
        Some((slot.index as u32, kek))
    }
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
