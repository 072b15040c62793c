//! Where things lie on a disk.

/// Where the data begins, in bytes. Far more than the header needs: it keeps partitions and erase blocks aligned,
/// and leaves room for what later versions want in front.
pub const DATA_OFFSET: u64 = 1 << 20;

/// Largest volume, in bytes: 256 TiB.
pub const MAX_VOLUME_BYTES: u64 = 1 << 48;

const MIB: u64 = 1 << 20;

/// Where copy B of the header lies on a disk of `disk_bytes`: at the last whole mebibyte. A partitioning tool that
/// writes the first and the last sectors (a GPT and its backup are 34 sectors each) reaches neither both copies
/// nor this one. `None` if the disk is too small.
pub fn copy_b_offset(disk_bytes: u64) -> Option<u64> {
    let offset = (disk_bytes / MIB).checked_sub(1)? * MIB;
    (offset > DATA_OFFSET).then_some(offset)
}

/// Where a volume lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes of the disk.
    pub disk_bytes: u64,
    /// Bytes of a sector.
    pub sector_size: u32,
    /// Where copy B lies, in bytes.
    pub copy_b_offset: u64,
    /// Where the volume begins, in bytes.
    pub data_offset: u64,
    /// Bytes of the volume.
    pub volume_bytes: u64,
}

/// Why a disk cannot hold a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeometryError {
    /// Smaller than 3 MiB.
    TooSmall,
    /// Larger than [`MAX_VOLUME_BYTES`].
    TooLarge,
    /// Sectors of neither 512 nor 4096 bytes.
    SectorSize,
}

impl Geometry {
    /// The geometry of a new volume in place on a disk.
    ///
    /// # Errors
    /// See [`GeometryError`].
    pub fn for_disk(disk_bytes: u64, sector_size: u32) -> Result<Self, GeometryError> {
        if !matches!(sector_size, 512 | 4096) {
            return Err(GeometryError::SectorSize);
        }
        let copy_b_offset = copy_b_offset(disk_bytes).ok_or(GeometryError::TooSmall)?;
        let volume_bytes = copy_b_offset - DATA_OFFSET;
        if volume_bytes > MAX_VOLUME_BYTES {
            return Err(GeometryError::TooLarge);
        }
        Ok(Self { disk_bytes, sector_size, copy_b_offset, data_offset: DATA_OFFSET, volume_bytes })
    }
}
