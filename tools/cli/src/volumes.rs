//! The file systems on a disk of the driver: out of use before the disk is locked, found again after it is unlocked.
//! Only a Windows machine can run this: elsewhere there is no driver that could call for it, and Wine has no volume
//! that lies on one of the driver's disks.

use sluice_control::DiskEntry;

use crate::failure::Failure;
#[cfg(windows)]
#[path = "volumes/windows.rs"]
mod system;
#[cfg(not(windows))]
#[path = "volumes/other.rs"]
mod system;

/// Volumes that are locked and dismounted, until this is dropped: nobody can mount them meanwhile.
#[must_use = "they are open for use again when this is dropped"]
pub(crate) struct Dismounted(Vec<system::Volume>);

impl Dismounted {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

/// Flushes, locks and dismounts every volume with an extent on `disk`. That there is none is no error; `None` if
/// Windows does not know the disk.
///
/// # Errors
/// [`Failure::VolumeInUse`] if files are open on one and `force` is not given; then none is dismounted.
pub(crate) fn dismount(disk: &DiskEntry, force: bool) -> Result<Option<Dismounted>, Failure> {
    let Some(device) = system::Device::of(disk) else { return Ok(None) };
    let volumes = device.volumes()?;
    // All are locked before the first is dismounted, so that a refusal leaves everything as it was.
    for volume in &volumes {
        volume.flush();
        if let Err(source) = volume.lock()
            && !force
        {
            return Err(Failure::VolumeInUse { volume: volume.name().into(), source });
        }
    }
    for volume in &volumes {
        volume.dismount().map_err(|source| Failure::Io {
            what: "dismount",
            path: volume.name().into(),
            source,
        })?;
    }
    Ok(Some(Dismounted(volumes)))
}

/// Has the partition table of `disk` read again. `false`: Windows would not, or does not know the disk; its volumes
/// then appear after a rescan.
pub(crate) fn read_partitions(disk: &DiskEntry) -> bool {
    system::Device::of(disk).is_some_and(|device| device.update_properties())
}

/// `VOLUME_DISK_EXTENTS`, what IOCTL_VOLUME_GET_VOLUME_DISK_EXTENTS answers: a count, and from byte 8 extents of 24
/// bytes, each beginning with its disk's number (`winioctl.h`, 64 bits).
#[cfg(any(windows, test))]
pub(crate) mod extents {
    /// Where the first extent lies.
    pub(crate) const FIRST: usize = 8;
    /// Bytes of an extent.
    pub(crate) const SIZE: usize = 24;

    /// Whether one of the extents in `answer` lies on disk `number`. Total: any bytes may be given, and what the count
    /// promises beyond their end does not count.
    pub(crate) fn touch(answer: &[u8], number: u32) -> bool {
        let count = answer.first_chunk().map_or(0, |count| u32::from_le_bytes(*count));
        let extents = answer.get(FIRST..).unwrap_or(&[]).chunks_exact(SIZE).take(count as usize);
        extents.filter_map(|extent| extent.first_chunk()).any(|disk| u32::from_le_bytes(*disk) == number)
    }
}

#[cfg(test)]
mod tests {
    use super::extents::touch;

    fn answer(count: u32, disks: &[u32]) -> Vec<u8> {
        let mut bytes = count.to_le_bytes().to_vec();
        bytes.extend([0; 4]);
        for disk in disks {
            bytes.extend(disk.to_le_bytes());
            bytes.extend([0xFF; 20]);
        }
        bytes
    }

    #[test]
    fn a_volume_is_on_each_disk_of_its_extents_and_on_no_other() {
        let spanned = answer(2, &[3, 5]);
        assert!(touch(&spanned, 3) && touch(&spanned, 5));
        assert!(!touch(&spanned, 4) && !touch(&spanned, 0));
    }

    #[test]
    fn what_the_answer_does_not_hold_is_not_found() {
        assert!(!touch(&answer(1, &[3, 5]), 5), "beyond the count");
        assert!(!touch(&answer(0, &[3]), 3));
        assert!(!touch(&answer(u32::MAX, &[3]), u32::MAX));
        let whole = answer(1, &[3]);
        for cut in 0..whole.len() {
            assert!(!touch(&whole[..cut], 3), "{cut}");
        }
    }
}
