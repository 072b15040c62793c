//! Operation codes and service actions (SPC-5 annex F, SBC-4 clause 5).

#![allow(missing_docs)] // each constant is the standard's name of the command

pub const TEST_UNIT_READY: u8 = 0x00;
pub const REQUEST_SENSE: u8 = 0x03;
pub const FORMAT_UNIT: u8 = 0x04;
pub const REASSIGN_BLOCKS: u8 = 0x07;
pub const READ_6: u8 = 0x08;
pub const WRITE_6: u8 = 0x0A;
pub const INQUIRY: u8 = 0x12;
pub const MODE_SELECT_6: u8 = 0x15;
pub const RESERVE_6: u8 = 0x16;
pub const RELEASE_6: u8 = 0x17;
pub const MODE_SENSE_6: u8 = 0x1A;
pub const START_STOP_UNIT: u8 = 0x1B;
pub const PREVENT_ALLOW: u8 = 0x1E;
pub const READ_CAPACITY_10: u8 = 0x25;
pub const READ_10: u8 = 0x28;
pub const WRITE_10: u8 = 0x2A;
pub const WRITE_AND_VERIFY_10: u8 = 0x2E;
pub const VERIFY_10: u8 = 0x2F;
pub const SYNCHRONIZE_CACHE_10: u8 = 0x35;
pub const WRITE_BUFFER: u8 = 0x3B;
pub const READ_BUFFER_10: u8 = 0x3C;
pub const READ_LONG_10: u8 = 0x3E;
pub const WRITE_LONG_10: u8 = 0x3F;
pub const WRITE_SAME_10: u8 = 0x41;
pub const UNMAP: u8 = 0x42;
pub const SANITIZE: u8 = 0x48;
pub const XDWRITE_10: u8 = 0x50;
pub const XPWRITE_10: u8 = 0x51;
pub const XDREAD_10: u8 = 0x52;
pub const XDWRITEREAD_10: u8 = 0x53;
pub const MODE_SELECT_10: u8 = 0x55;
pub const RESERVE_10: u8 = 0x56;
pub const RELEASE_10: u8 = 0x57;
pub const MODE_SENSE_10: u8 = 0x5A;
pub const PERSISTENT_RESERVE_IN: u8 = 0x5E;
pub const PERSISTENT_RESERVE_OUT: u8 = 0x5F;
pub const VARIABLE_LENGTH: u8 = 0x7F;
pub const THIRD_PARTY_COPY_OUT: u8 = 0x83;
pub const THIRD_PARTY_COPY_IN: u8 = 0x84;
pub const ATA_PASS_THROUGH_16: u8 = 0x85;
pub const READ_16: u8 = 0x88;
pub const COMPARE_AND_WRITE: u8 = 0x89;
pub const WRITE_16: u8 = 0x8A;
pub const ORWRITE_16: u8 = 0x8B;
pub const WRITE_AND_VERIFY_16: u8 = 0x8E;
pub const VERIFY_16: u8 = 0x8F;
pub const SYNCHRONIZE_CACHE_16: u8 = 0x91;
pub const WRITE_SAME_16: u8 = 0x93;
pub const WRITE_STREAM_16: u8 = 0x9A;
pub const SERVICE_ACTION_IN_16: u8 = 0x9E;
pub const SERVICE_ACTION_OUT_16: u8 = 0x9F;
pub const REPORT_LUNS: u8 = 0xA0;
pub const ATA_PASS_THROUGH_12: u8 = 0xA1;
pub const SECURITY_PROTOCOL_IN: u8 = 0xA2;
pub const READ_12: u8 = 0xA8;
pub const WRITE_12: u8 = 0xAA;
pub const WRITE_AND_VERIFY_12: u8 = 0xAE;
pub const VERIFY_12: u8 = 0xAF;
pub const SECURITY_PROTOCOL_OUT: u8 = 0xB5;

/// Service actions: with which of these an operation code of several commands is used.
pub mod service {
    pub const POPULATE_TOKEN: u8 = 0x10;
    pub const WRITE_USING_TOKEN: u8 = 0x11;
    pub const READ_CAPACITY_16: u8 = 0x10;
    pub const READ_LONG_16: u8 = 0x11;
    pub const GET_LBA_STATUS: u8 = 0x12;
    pub const WRITE_LONG_16: u8 = 0x11;
    pub const XDREAD_32: u16 = 0x0003;
    pub const XDWRITE_32: u16 = 0x0004;
    pub const XPWRITE_32: u16 = 0x0006;
    pub const XDWRITEREAD_32: u16 = 0x0007;
    pub const READ_32: u16 = 0x0009;
    pub const VERIFY_32: u16 = 0x000A;
    pub const WRITE_32: u16 = 0x000B;
    pub const WRITE_AND_VERIFY_32: u16 = 0x000C;
    pub const WRITE_SAME_32: u16 = 0x000D;
    pub const ORWRITE_32: u16 = 0x000E;
}
