//! `sluice lock`: the key leaves the driver's memory.

use serde_json::json;

use crate::{
    args::Disk,
    driver::{Driver, find},
    failure::Failure,
    output::{Report, uuid},
};

pub(crate) fn run(args: &Disk) -> Result<Report, Failure> {
    let driver = Driver::open()?;
    let disk = find(&driver, args.disk.as_deref(), sluice_control::state::UNLOCKED)?;
    driver.lock(disk.id)?;
    let json = json!({"disk": disk.id, "uuid": uuid(&disk.uuid)});
    Ok(Report::new(format!("Disk {} is locked.", disk.id), json))
}
