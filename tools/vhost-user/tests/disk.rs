//! The miniport, hosted by the shim, on a device that nobody here wrote: QEMU's storage daemon, on raw and qcow2 images,
//! judged by QEMU's own tools.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod support;

use std::{
    collections::VecDeque,
    thread,
    time::{Duration, Instant},
};

use sluice_chain::{Flags, Status};
use sluice_engine::volume::InPlace;
use sluice_miniport_virtio_blk::{Settings, spec::feature};
use sluice_shim::{
    scsi::{cdb::BlockRange, sense::Sense, unmap},
    storport::SrbKind,
};
use sluice_user_host::{Answer, Operation};
use sluice_vhost_user::{Attached, Export, Format};
use sluice_xts::{Backend, Xts256};
use support::{EXPORT, FORMATS, Image, MIB, attach, run, settings, well};

const SECTOR: usize = 512;

fn sense(answer: &Answer) -> (u8, u8) {
    let sense = answer.device.and_then(|device| Sense::parse(device.sense())).unwrap();
    (sense.key, sense.asc)
}

#[test]
fn what_is_written_is_read_and_is_in_the_image() {
    for (format, kind) in FORMATS.into_iter().zip([SrbKind::Extended, SrbKind::Legacy]) {
        let image = Image::new("written", format, 8 * MIB);
        let daemon = image.serve(EXPORT);
        let disk = attach(daemon.socket(), settings(), kind);
        let mut expected = vec![0; 8 << 20];
        fastrand::Rng::with_seed(1).fill(&mut expected[4096..135_168]);
        let (from, to) = (1 << 20, (1 << 20) + 4096);
        well(&disk.write(8, &expected[4096..135_168], Flags::default()), 131_072);
        expected[from..to].fill(0x5A);
        well(&disk.write(from as u64 / 512, &expected[from..to], Flags::FUA), 4096);
        let mut read = vec![0xEE; 139_264];
        well(&disk.read(0, &mut read), 139_264);
        assert!(read == expected[..139_264]);
        well(&disk.verify(8, 65536), 0);
        well(&disk.flush(), 0);
        drop(disk);
        daemon.stop().unwrap();
        image.holds(&expected);
    }
}

/// One thread's part of the disk, written and read with `depth` under way, and what it holds in the end.
fn work(disk: &Attached, first: usize, length: usize, depth: usize, turns: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(first as u64);
    let mut expected = vec![0_u8; length];
    // Operations that are under way do not overlap: each has its slice of the part.
    let slices = depth * 2;
    let slice = length / slices / SECTOR * SECTOR;
    let mut under_way = VecDeque::new();
    let finish = |(ticket, at, is_read): (sluice_user_host::Ticket<'_>, usize, bool), expected: &[u8]| {
        let (answer, bytes): (Answer, Vec<u8>) = ticket.wait();
        well(&answer, bytes.len());
        assert!(!is_read || bytes == expected[at..at + bytes.len()], "at {}", first + at);
    };
    for turn in 0..turns {
        if under_way.len() == depth {
            finish(under_way.pop_front().unwrap(), &expected);
        }
        let begin = turn % slices * slice + random.usize(0..slice / SECTOR / 2) * SECTOR;
        let bytes = random.usize(1..=slice / SECTOR / 2) * SECTOR;
        let sector = ((first + begin) / SECTOR) as u64;
        let is_read = random.bool();
        let operation = if is_read {
            Operation::read(sector, bytes as u32)
        } else {
            random.fill(&mut expected[begin..begin + bytes]);
            let flags = if random.u8(..) < 16 { Flags::FUA } else { Flags::default() };
            Operation { flags, ..Operation::write(sector, expected[begin..begin + bytes].to_vec()) }
        };
        under_way.push_back((disk.start(operation), begin, is_read));
        if random.u8(..) < 4 {
            well(&disk.flush(), 0);
        }
    }
    under_way.into_iter().for_each(|one| finish(one, &expected));
    well(&disk.flush(), 0);
    expected
}

/// Threads at work on all queues.
fn crowd(image: &Image, export: Export, settings: Settings, depth: usize, turns: usize) {
    let daemon = image.serve(export);
    let disk = attach(daemon.socket(), settings, SrbKind::Extended);
    assert_eq!(disk.device().queues(), export.queues.min(settings.queues));
    let part = 8 << 20;
    let parts: Vec<Vec<u8>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let disk = &disk;
                scope.spawn(move || work(disk, number * part, part, depth, turns))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    drop(disk);
    daemon.stop().unwrap();
    image.holds(&parts.concat());
}

#[test]
fn four_threads_on_four_queues_at_depth_32() {
    for format in FORMATS {
        let image = Image::new("crowd", format, 32 * MIB);
        crowd(&image, Export { queues: 4, ..EXPORT }, settings(), 32, 600);
    }
}

#[test]
fn every_way_to_use_a_ring_does_the_same() {
    let variants = [
        Settings { without: feature::INDIRECT_DESC, ..settings() },
        Settings { without: feature::EVENT_IDX, ..settings() },
        Settings { without: feature::INDIRECT_DESC | feature::EVENT_IDX | feature::MQ, ..settings() },
        // Rings that are full all the time: what finds no room waits.
        Settings { descriptors: 8, requests: 8, ..settings() },
        Settings { descriptors: 8, without: feature::INDIRECT_DESC, ..settings() },
        Settings { requests: 1, ..settings() },
    ];
    for (number, variant) in variants.into_iter().enumerate() {
        let image = Image::new(&format!("variant{number}"), Format::Raw, 32 * MIB);
        let queues = if variant.without & feature::MQ == 0 { 2 } else { 1 };
        crowd(&image, Export { queues, ..EXPORT }, variant, 16, 200);
    }
}

/// What the whole is for: stages before a device that knows nothing of them.
#[test]
fn an_encrypted_volume_is_ciphertext_in_the_image() {
    let image = Image::new("encrypted", Format::Qcow2, 8 * MIB);
    let daemon = image.serve(EXPORT);
    let key: [u8; 64] = std::array::from_fn(|index| index as u8);
    let place = InPlace { sector_size: 512, first_sector: 2048, sectors: 14336 };
    let chain = place.chain(&key, Backend::detect()).unwrap();
    let disk = Attached::new(daemon.socket(), settings(), SrbKind::Extended, chain, 64).unwrap();
    let plain = vec![0x5A; 64 << 10];
    well(&disk.write(16, &plain, Flags::FUA), plain.len());
    let mut read = vec![0; plain.len()];
    well(&disk.read(16, &mut read), plain.len());
    assert!(read == plain);
    drop(disk);
    daemon.stop().unwrap();
    let mut expected = vec![0; 8 << 20];
    let at = (2048 + 16) * SECTOR;
    let cipher = Xts256::new(&key, Backend::detect()).unwrap();
    let target = (&mut expected[at..at + plain.len()]).into();
    cipher.encrypt(16, SECTOR, plain[..].into(), target).unwrap();
    assert!(expected[at..at + plain.len()] != plain);
    image.holds(&expected);
}

#[test]
fn memory_that_the_device_reaches_is_not_copied() {
    let image = Image::new("reached", Format::Raw, 8 * MIB);
    let daemon = image.serve(EXPORT);
    // There is no memory for copies: only what lies in the region can be moved.
    let disk = attach(daemon.socket(), Settings { copy: 0, ..settings() }, SrbKind::Extended);
    let mut written = disk.region().buffer(1 << 20).unwrap();
    let mut read = disk.region().buffer(1 << 20).unwrap();
    fastrand::Rng::with_seed(3).fill(written.bytes());
    well(&disk.write(2048, written.bytes(), Flags::default()), 1 << 20);
    well(&disk.read(2048, read.bytes()), 1 << 20);
    assert!(written.bytes() == read.bytes());
    let mut elsewhere = vec![0; 4096];
    assert_eq!(sense(&disk.read(2048, &mut elsewhere)), (5, 0x24));
    drop(disk);
    daemon.stop().unwrap();
    let mut expected = vec![0; 8 << 20];
    expected[1 << 20..2 << 20].copy_from_slice(written.bytes());
    image.holds(&expected);
}

#[test]
fn blocks_of_4096_bytes() {
    let image = Image::new("blocks", Format::Qcow2, 8 * MIB);
    let daemon = image.serve(Export { block: 4096, ..EXPORT });
    let disk = attach(daemon.socket(), settings(), SrbKind::Extended);
    let facts = disk.device().facts();
    assert_eq!((facts.block_size, facts.blocks), (4096, 2048));
    well(&disk.write(2047, &[7; 4096], Flags::default()), 4096);
    assert_eq!(sense(&disk.read(2048, &mut [0; 4096])), (5, 0x21));
    assert_eq!(disk.write(0, &[7; 512], Flags::default()).status, Status::INVALID);
    drop(disk);
    daemon.stop().unwrap();
    let mut expected = vec![0; 8 << 20];
    expected[2047 * 4096..].fill(7);
    image.holds(&expected);
}

fn list(ranges: &[(u64, u32)]) -> Vec<u8> {
    let mut list = vec![0; usize::from(unmap::length(ranges.len()).unwrap())];
    let ranges = ranges.iter().map(|&(lba, blocks)| BlockRange { lba, blocks });
    unmap::write(ranges, &mut list).unwrap();
    list
}

#[test]
fn what_is_discarded_takes_no_space_any_more() {
    for format in FORMATS {
        let image = Image::new("discarded", format, 8 * MIB);
        let daemon = image.serve(EXPORT);
        let disk = attach(daemon.socket(), settings(), SrbKind::Extended);
        let limits = disk.device().facts().discard.unwrap();
        for at in 0..32 {
            well(&disk.write(at * 512, &[1; 256 << 10], Flags::default()), 256 << 10);
        }
        // 1 MiB, in ranges as the device takes them.
        for at in (0..2048).step_by(1024) {
            assert!(limits.blocks >= 1024);
            well(&disk.discard(list(&[(4096 + at, 1024)])), 24);
        }
        let many: Vec<(u64, u32)> = (0..=u64::from(limits.count)).map(|at| (at, 1)).collect();
        assert_eq!(disk.discard(list(&many)).status, Status::DEVICE);
        assert_eq!(sense(&disk.discard(list(&[(16384, 1)]))), (5, 0x21));
        well(&disk.flush(), 0);
        drop(disk);
        daemon.stop().unwrap();
        assert_eq!(image.allocated(), 7 * MIB, "{format:?}");
        let mut expected = vec![1; 8 << 20];
        expected[2 << 20..3 << 20].fill(0);
        image.holds(&expected);
    }
}

#[test]
fn a_disk_that_is_read_only_refuses_writes() {
    let image = Image::new("readonly", Format::Raw, MIB);
    let daemon = image.serve(Export { writable: false, ..EXPORT });
    let disk = attach(daemon.socket(), settings(), SrbKind::Extended);
    assert!(disk.device().facts().read_only);
    assert_eq!(sense(&disk.write(0, &[1; 512], Flags::default())), (7, 0x27));
    let mut read = [1; 4096];
    well(&disk.read(0, &mut read), 4096);
    assert_eq!(read, [0; 4096]);
    drop(disk);
    daemon.stop().unwrap();
    image.holds(&vec![0; 1 << 20]);
}

/// The daemon tells of a new size since some 8.x; Debian 12 has 7.2.
fn tells_of_sizes() -> bool {
    let version = run("qemu-storage-daemon", &["--version"]);
    let major = version.split("version ").nth(1).and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
    major.unwrap() >= 9
}

#[test]
fn a_disk_that_grows_is_seen_to() {
    let image = Image::new("grown", Format::Raw, 4 * MIB);
    let daemon = image.serve(EXPORT);
    let disk = attach(daemon.socket(), settings(), SrbKind::Extended);
    assert_eq!(sense(&disk.write(8192, &[9; 512], Flags::default())), (5, 0x21));
    let daemon = if tells_of_sizes() {
        daemon.resize(8 * MIB).unwrap();
        daemon
    } else {
        daemon.kill();
        image.resize(8 * MIB);
        image.serve(EXPORT)
    };
    let start = Instant::now();
    while disk.device().facts().blocks != 16384 {
        assert!(start.elapsed().as_secs() < 20, "still {} blocks", disk.device().facts().blocks);
        thread::sleep(Duration::from_millis(5));
    }
    while !disk.device().is_running() {
        thread::sleep(Duration::from_millis(5));
    }
    well(&disk.write(16383, &[9; 512], Flags::default()), 512);
    drop(disk);
    daemon.stop().unwrap();
    let mut expected = vec![0; 8 << 20];
    expected[(8 << 20) - 512..].fill(9);
    image.holds(&expected);
}
