//! `sluice unlock`: the slow derivation here, the key to the driver.

use serde_json::json;
use sluice_control::state;
use sluice_engine::format::{Header, RawHeader};
use zerocopy::FromBytes;

use crate::{
    args::Unlock,
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
    let secret = Secret::obtain(&args.secret)?;
    for (slot, candidate) in secret.candidates(&header) {
        let kek = candidate.derive(slot.raw, slot.uuid, slot.index)?;
        if driver.unlock(disk.id, slot.index as u32, kek.as_bytes())? {
            // Windows has read the partition table when the disk came, and found it locked.
            let partitions = volumes::read_partitions(&disk);
            let text = format!("Disk {} is unlocked.", disk.id);
            let uuid = uuid(&disk.uuid);
            let json =
                json!({"disk": disk.id, "uuid": uuid, "slot": slot.index, "partitions_read": partitions});
            return Ok(Report::new(text, json));
        }
    }
    Err(Failure::NoKeyFits { kind: secret.kind_name() })
}
