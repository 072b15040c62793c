//! `sluice lock`: the key leaves the driver's memory.

use serde_json::json;
use sluice_control::state;

use crate::{
    args::Lock,
    driver::{Driver, find},
    failure::Failure,
    output::{Report, uuid},
    volumes,
};

pub(crate) fn run(args: &Lock) -> Result<Report, Failure> {
    let driver = Driver::open()?;
    let disk = find(&driver, args.disk.disk.as_deref(), state::UNLOCKED)?;
    // A disk that is not unlocked keeps its volumes: the driver says what is wrong.
    let unlocked = disk.state == state::UNLOCKED;
    let dismounted = if unlocked { volumes::dismount(&disk, args.force)? } else { None };
    driver.lock(disk.id)?;
    let count = dismounted.as_ref().map(volumes::Dismounted::count);
    let text = match count {
        Some(0) | None => format!("Disk {} is locked.", disk.id),
        Some(1) => format!("Disk {} is locked; 1 volume was dismounted.", disk.id),
        Some(count) => format!("Disk {} is locked; {count} volumes were dismounted.", disk.id),
    };
    let json = json!({"disk": disk.id, "uuid": uuid(&disk.uuid), "volumes": count});
    Ok(Report::new(text, json))
}
