//! The header as bytes. All numbers are little-endian; no field needs alignment; there is no padding.

use zerocopy::{
    FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{I32, U32, U64},
};

/// Bytes of one copy of the header.
pub const COPY_BYTES: usize = 4096;
/// Key slots.
pub const SLOTS: usize = 8;
/// Bytes of a label: UTF-8, padded with zeros.
pub const LABEL_BYTES: usize = 64;

/// First bytes of each copy. Not ASCII throughout, so that no text file begins like this; the line feed shows a
/// transfer that took it for text.
pub(super) const MAGIC: [u8; 8] = *b"\xf5SLUICE\n";
/// Version of the format that this code writes.
pub(super) const VERSION: u32 = 1;
/// A bit of [`RawHeader::incompatible`]: without another driver's stage, the data means nothing.
pub(super) const STAGE: u32 = 4;

/// One copy of the header.
#[repr(C)]
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
pub struct RawHeader {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`VERSION`].
    pub version: U32,
    /// Features that a reader must know to touch the volume at all.
    pub incompatible: U32,
    /// Features that a reader must know to write.
    pub read_only_compatible: U32,
    /// Features that a reader may ignore.
    pub compatible: U32,
    /// Grows by one with every change; the higher copy is the newer.
    pub sequence: U64,
    /// The volume's UUID.
    pub uuid: [u8; 16],
    /// 1: in place, 2: mapped.
    pub kind: U32,
    /// 0: none, 1: AES-256-XTS.
    pub cipher: U32,
    /// Bytes of a sector: 512 or 4096.
    pub sector_size: U32,
    /// Zero.
    pub reserved1: U32,
    /// Bytes of the disk when it was formatted.
    pub disk_bytes: U64,
    /// Where copy B lies, in bytes.
    pub copy_b_offset: U64,
    /// Where the volume begins, in bytes.
    pub data_offset: U64,
    /// Bytes of the volume.
    pub volume_bytes: U64,
    /// The stages from top to bottom, ending with zeros: 1 encrypt, 2 place, 3 de-duplicate, 4 compress.
    pub stages: [u8; 8],
    /// When the volume was made: seconds since 1970-01-01 UTC, or 0.
    pub created: U64,
    /// Label.
    pub label: [u8; LABEL_BYTES],
    /// HMAC-SHA256 of the copy with this field and the checksum zero, keyed from the volume key.
    pub mac: [u8; 32],
    /// SHA-256 of the copy with this field zero.
    pub checksum: [u8; 32],
    /// Mapped: bytes of the journal.
    pub journal_bytes: U64,
    /// Mapped: bytes of a segment.
    pub segment_bytes: U64,
    /// Mapped, with de-duplication: bytes of memory for the index.
    pub index_bytes: U64,
    /// Mapped, with compression: zstd's level.
    pub level: I32,
    /// Mapped: 1 if the disk is told what is free.
    pub discard: U32,
    /// Without cipher: the volume key, for everybody to see.
    pub open_key: [u8; 64],
    /// Mapped: bytes behind the journal in which the index of de-duplication is kept while the volume is closed.
    pub index_area: U64,
    /// With the feature [`STAGE`]: the name of the stage of another driver that has changed all data.
    pub stage_name: [u8; 16],
    /// With it: on which side of the volume's own stages; 1 above, 2 below.
    pub stage_place: U32,
    /// Zeros.
    pub reserved2: [u8; 1684],
    /// The key slots.
    pub slots: [RawSlot; SLOTS],
}

/// One key slot.
#[repr(C)]
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
pub struct RawSlot {
    /// 0 empty, 1 passphrase, 2 key file, 3 recovery code.
    pub kind: U32,
    /// 1: Argon2id, version 0x13 (RFC 9106).
    pub kdf: U32,
    /// Argon2id memory in KiB.
    pub memory_kib: U32,
    /// Argon2id passes.
    pub iterations: U32,
    /// Argon2id lanes.
    pub lanes: U32,
    /// Zero.
    pub reserved1: U32,
    /// Argon2id salt.
    pub salt: [u8; 32],
    /// The volume key, wrapped by AES-256-KW (RFC 3394).
    pub wrapped_key: [u8; 72],
    /// Label.
    pub label: [u8; LABEL_BYTES],
    /// When the slot was filled: seconds since 1970-01-01 UTC, or 0.
    pub created: U64,
    /// Zeros.
    pub reserved2: [u8; 56],
}

const _: () = {
    use core::mem::offset_of;
    // 8 + 4*4 + 8 + 16
    assert!(offset_of!(RawHeader, kind) == 48);
    // 48 + 4*4
    assert!(offset_of!(RawHeader, disk_bytes) == 64);
    // 64 + 4*8 + 8 + 8
    assert!(offset_of!(RawHeader, label) == 112);
    assert!(offset_of!(RawHeader, mac) == 112 + 64);
    assert!(offset_of!(RawHeader, checksum) == 176 + 32);
    assert!(offset_of!(RawHeader, journal_bytes) == 208 + 32);
    // 240 + 3*8 + 2*4
    assert!(offset_of!(RawHeader, open_key) == 272);
    assert!(offset_of!(RawHeader, stage_name) == 344);
    assert!(offset_of!(RawHeader, slots) == 2048);
    assert!(size_of::<RawHeader>() == COPY_BYTES);
    // 6*4 + 32
    assert!(offset_of!(RawSlot, wrapped_key) == 56);
    assert!(offset_of!(RawSlot, label) == 128);
    assert!(offset_of!(RawSlot, created) == 192);
    assert!(size_of::<RawSlot>() == 256);
};

impl RawHeader {
    /// SHA-256 of the copy with the checksum field zero.
    pub(crate) fn computed_checksum(&self) -> [u8; 32] {
        use sha2::Digest;
        let mut hash = sha2::Sha256::new();
        self.each_part(&mut |part| hash.update(part), false);
        hash.finalize().into()
    }

    /// Shows the copy to `see` piece by piece, with the checksum (and, if asked, the MAC) as zeros. Spares a
    /// copy of 4 KiB on a kernel stack.
    pub(crate) fn each_part(&self, see: &mut dyn FnMut(&[u8]), without_mac: bool) {
        const MAC: usize = core::mem::offset_of!(RawHeader, mac);
        let bytes = self.as_bytes();
        let (before, rest) = bytes.split_at(MAC);
        let (mac, rest) = rest.split_at(32);
        let (_checksum, after) = rest.split_at(32);
        see(before);
        see(if without_mac { &[0; 32] } else { mac });
        see(&[0; 32]);
        see(after);
    }

    /// All zeros: no header.
    pub(crate) fn blank() -> Self {
        Self::new_zeroed()
    }
}
