//! Two copies of a disk's header with bytes changed, checksums put right again or not, on disks of any size.
//!
//! Input: disk size in MiB (u8), its sector size (u8), what to do to each copy (u8: 0 as made, 1 unreadable,
//! 2 checksum put right again), then changes of four bytes each: copy and offset (u16), new value (u8), unused.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};
use sluice_engine::{
    format::{COPY_BYTES, CopyRead, Draft, Geometry, NewVolume, Probe, SlotKind, SlotSecret, probe, read_second},
    keys::{Kek, VolumeKey},
    volume::Kind,
};

static GOOD: LazyLock<[u8; COPY_BYTES]> = LazyLock::new(|| {
    let geometry = Geometry::for_disk(64 << 20, 512).expect("64 MiB hold a volume");
    let volume = NewVolume { geometry, mapped: None, stage: None, uuid: [7; 16], label: "fuzz", created: 1 };
    let mut draft = Draft::new(&volume).expect("a short label");
    let (key, kek) = (VolumeKey::from_random(&mut [5; 64]), Kek::from_bytes(&mut [6; 32]));
    let (kind, salt) = (SlotKind::Passphrase, [1; 32]);
    let slot = SlotSecret { kind, memory_kib: 8, iterations: 1, lanes: 1, salt, label: "", created: 1 };
    draft.fill(0, &slot, &kek, &key).expect("an empty slot");
    *draft.seal(&key)
});

const CHECKSUM: std::ops::Range<usize> = 208..240;

fn seal(copy: &mut [u8; COPY_BYTES]) {
    copy[CHECKSUM].fill(0);
    let sum = Sha256::digest(&copy[..]);
    copy[CHECKSUM].copy_from_slice(&sum);
}

fuzz_target!(|input: &[u8]| {
    let Some((&[mebibytes, sectors, first, second], changes)) = input.split_first_chunk() else { return };
    let mut copies = [*GOOD, *GOOD];
    for change in changes.chunks_exact(4) {
        let place = usize::from(u16::from_le_bytes([change[0], change[1]])) % (2 * COPY_BYTES);
        copies[place / COPY_BYTES][place % COPY_BYTES] = change[2];
    }
    for (copy, treatment) in copies.iter_mut().zip([first, second]) {
        if treatment % 3 == 2 {
            seal(copy);
        }
    }
    let read = |index: usize, treatment: u8| match treatment % 3 {
        1 => CopyRead::Unreadable,
        _ => CopyRead::Bytes(&copies[index]),
    };
    let (a, b) = (read(0, first), read(1, second));
    let (disk, sector) = (u64::from(mebibytes) << 20, 512 << (sectors % 5));
    let _ = read_second(a, disk, &mut [0; COPY_BYTES], |offset, into| {
        assert!(offset.checked_add(COPY_BYTES as u64).is_some_and(|end| end <= disk));
        *into = copies[1];
        second % 2 == 0
    });
    if let Probe::Valid { header, .. } = probe(a, b, disk, sector) {
        match header.kind() {
            Kind::InPlace(place) => {
                let end = (place.first_sector + place.sectors) * u64::from(place.sector_size);
                assert!(place.first_sector > 0 && place.sectors > 0 && end <= header.copy_b_offset());
            }
            Kind::Mapped(mapped) => {
                assert!((1 << 20) + mapped.journal_bytes + mapped.segment_bytes <= header.copy_b_offset());
            }
        }
        assert!(header.copy_b_offset() + COPY_BYTES as u64 <= disk && header.sector_size() == sector);
        let _ = header.open(&mut VolumeKey::zeroed());
        let mut key = VolumeKey::zeroed();
        for slot in header.slots() {
            let _ = header.unlock(slot.index, &Kek::from_bytes(&mut [6; 32]), &mut key);
        }
    }
});
