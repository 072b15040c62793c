//! `sluice unlock`: the slow derivation here, the key to the driver. A volume that is not encrypted needs neither.

use serde_json::json;
use sluice_control::{DiskEntry, state};
use sluice_engine::format::{Header, RawHeader};
use zerocopy::FromBytes;

use crate::{
    args::{SecretSource, Unlock},
    driver::{Driver, find},
    failure::Failure,
    output::{Report, uuid},
    secret::Secret,
    volumes,
};

pub(crate) fn run(args: &Unlock) -> Result<Report, Failure> {
    let driver = Driver::open()?;
    let disk = find(&driver, args.disk.disk.as_deref(), state::LOCKED)?;
    if disk.state != state::LOCKED {
        return Err(Failure::Driver("the disk is not locked".into()));
    }
    let bytes = driver.header(disk.id)?;
    let raw =
        RawHeader::ref_from_bytes(&bytes[..]).map_err(|_| Failure::Driver("it sent no header".into()))?;
    let header =
        Header::check(raw).map_err(|_| Failure::Driver("it sent a header that is not good".into()))?;
    let slot = if header.is_open() {
        if args.secret.is_given() {
            return Err(Failure::NoKeys);
        }
        driver.unlock_open(disk.id)?;
        None
    } else {
        Some(with_key(&driver, &disk, &header, &args.secret)?)
    };
    // Windows has read the partition table when the disk came, and found it locked.
    let partitions = volumes::read_partitions(&disk);
    let text = format!("Disk {} is unlocked.", disk.id);
    let uuid = uuid(&disk.uuid);
    let json = json!({"disk": disk.id, "uuid": uuid, "slot": slot, "partitions_read": partitions});
    Ok(Report::new(text, json))
}

/// Unlocks the disk with whichever slot the secret fits; answers the slot.
fn with_key(
    driver: &Driver,
    disk: &DiskEntry,
    header: &Header<'_>,
    source: &SecretSource,
) -> Result<usize, Failure> {
    let secret = Secret::obtain(source)?;
    for (slot, candidate) in secret.candidates(header) {
        let kek = candidate.derive(slot.raw, slot.uuid, slot.index)?;
        if driver.unlock(disk.id, slot.index as u32, kek.as_bytes())? {
            return Ok(slot.index);
        }
    }
    Err(Failure::NoKeyFits { kind: secret.kind_name() })
}
