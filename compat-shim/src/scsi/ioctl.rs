//! Device control codes that reach a disk's stack (`ntddscsi.h`, `ntddstor.h`), and what their buffers name.

/// `CTL_CODE` with METHOD_BUFFERED: type, function, and access (0 any, 1 read, 2 write, 3 both).
const fn buffered(device: u32, function: u32, access: u32) -> u32 {
    device << 16 | access << 14 | function << 2
}

/// FILE_DEVICE_CONTROLLER, the base of IOCTL_SCSI_*.
const SCSI: u32 = 0x04;
/// FILE_DEVICE_MASS_STORAGE, the base of IOCTL_STORAGE_*.
const STORAGE: u32 = 0x2D;
const ANY: u32 = 0;
const READ: u32 = 1;
const WRITE: u32 = 2;
const BOTH: u32 = 3;

/// The codes, each the WDK's IOCTL_ constant of the same name.
#[allow(missing_docs, reason = "the names are those of the header they come from")]
pub mod code {
    use super::{ANY, BOTH, READ, SCSI, STORAGE, WRITE, buffered};

    pub const SCSI_PASS_THROUGH: u32 = buffered(SCSI, 0x401, BOTH);
    pub const SCSI_MINIPORT: u32 = buffered(SCSI, 0x402, BOTH);
    pub const SCSI_GET_INQUIRY_DATA: u32 = buffered(SCSI, 0x403, ANY);
    pub const SCSI_GET_CAPABILITIES: u32 = buffered(SCSI, 0x404, ANY);
    pub const SCSI_PASS_THROUGH_DIRECT: u32 = buffered(SCSI, 0x405, BOTH);
    pub const SCSI_GET_ADDRESS: u32 = buffered(SCSI, 0x406, ANY);
    pub const SCSI_RESCAN_BUS: u32 = buffered(SCSI, 0x407, ANY);
    pub const SCSI_GET_DUMP_POINTERS: u32 = buffered(SCSI, 0x408, ANY);
    pub const SCSI_FREE_DUMP_POINTERS: u32 = buffered(SCSI, 0x409, ANY);
    pub const IDE_PASS_THROUGH: u32 = buffered(SCSI, 0x40A, BOTH);
    pub const ATA_PASS_THROUGH: u32 = buffered(SCSI, 0x40B, BOTH);
    pub const ATA_PASS_THROUGH_DIRECT: u32 = buffered(SCSI, 0x40C, BOTH);
    pub const SCSI_PASS_THROUGH_EX: u32 = buffered(SCSI, 0x411, BOTH);
    pub const SCSI_PASS_THROUGH_DIRECT_EX: u32 = buffered(SCSI, 0x412, BOTH);

    pub const STORAGE_CHECK_VERIFY: u32 = buffered(STORAGE, 0x200, READ);
    pub const STORAGE_CHECK_VERIFY2: u32 = buffered(STORAGE, 0x200, ANY);
    pub const STORAGE_MEDIA_REMOVAL: u32 = buffered(STORAGE, 0x201, READ);
    pub const STORAGE_GET_HOTPLUG_INFO: u32 = buffered(STORAGE, 0x305, ANY);
    pub const STORAGE_GET_DEVICE_NUMBER: u32 = buffered(STORAGE, 0x420, ANY);
    pub const STORAGE_PREDICT_FAILURE: u32 = buffered(STORAGE, 0x440, ANY);
    pub const STORAGE_PROTOCOL_COMMAND: u32 = buffered(STORAGE, 0x4F0, BOTH);
    pub const STORAGE_QUERY_PROPERTY: u32 = buffered(STORAGE, 0x500, ANY);
    pub const STORAGE_MANAGE_DATA_SET_ATTRIBUTES: u32 = buffered(STORAGE, 0x501, WRITE);
    pub const STORAGE_ENABLE_IDLE_POWER: u32 = buffered(STORAGE, 0x720, ANY);
    pub const STORAGE_GET_IDLE_POWERUP_REASON: u32 = buffered(STORAGE, 0x721, ANY);
    pub const STORAGE_POWER_ACTIVE: u32 = buffered(STORAGE, 0x722, ANY);
    pub const STORAGE_POWER_IDLE: u32 = buffered(STORAGE, 0x723, ANY);
    pub const STORAGE_EVENT_NOTIFICATION: u32 = buffered(STORAGE, 0x724, ANY);
}

/// `STORAGE_PROPERTY_ID`: what IOCTL_STORAGE_QUERY_PROPERTY asks about.
#[allow(missing_docs, reason = "each is STORAGE_PROPERTY_ID's value of the same name")]
pub mod property {
    pub const DEVICE: u32 = 0;
    pub const ADAPTER: u32 = 1;
    pub const DEVICE_ID: u32 = 2;
    pub const DEVICE_UNIQUE_ID: u32 = 3;
    pub const WRITE_CACHE: u32 = 4;
    pub const MINIPORT: u32 = 5;
    pub const ACCESS_ALIGNMENT: u32 = 6;
    pub const SEEK_PENALTY: u32 = 7;
    pub const TRIM: u32 = 8;
    pub const DEVICE_POWER: u32 = 12;
    pub const LB_PROVISIONING: u32 = 11;
    pub const COPY_OFFLOAD: u32 = 13;
    pub const MEDIUM_PRODUCT_TYPE: u32 = 15;
}

/// NVMe admin commands (NVM Express 5.x) that read about the device and no data from it.
pub mod nvme {
    /// Get Log Page.
    pub const GET_LOG_PAGE: u8 = 0x02;
    /// Identify.
    pub const IDENTIFY: u8 = 0x06;
}

// Values published by Microsoft, against a slip in `buffered`.
const _: () = assert!(code::SCSI_PASS_THROUGH == 0x0004_D004);
const _: () = assert!(code::ATA_PASS_THROUGH == 0x0004_D02C);
const _: () = assert!(code::SCSI_GET_ADDRESS == 0x0004_1018);
const _: () = assert!(code::STORAGE_QUERY_PROPERTY == 0x002D_1400);
const _: () = assert!(code::STORAGE_MANAGE_DATA_SET_ATTRIBUTES == 0x002D_9404);
const _: () = assert!(code::STORAGE_CHECK_VERIFY == 0x002D_4800);
const _: () = assert!(code::STORAGE_PROTOCOL_COMMAND == 0x002D_D3C0);
const _: () = assert!(code::STORAGE_GET_HOTPLUG_INFO == 0x002D_0C14);
const _: () = assert!(code::STORAGE_PREDICT_FAILURE == 0x002D_1100);
const _: () = assert!(code::STORAGE_ENABLE_IDLE_POWER == 0x002D_1C80);
