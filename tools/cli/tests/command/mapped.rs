//! Mapped volumes: made by the command, filled by the engine, and then read, accounted for and checked by the command.

use std::{fs::File, os::unix::fs::FileExt};

use sluice_engine::{
    format::{Header, RawHeader},
    keys::{VolumeKey, derive_kek},
    volume::Kind,
};
use sluice_mapped::{
    Options, Volume,
    disk::Disk,
    io::{DeviceError, Request},
    layout::Layout,
    seal::Sealer,
};
use sluice_xts::Backend;
use zerocopy::FromBytes;

use crate::bench::{Bench, CHEAP, MIB};

pub(crate) const DISK: u64 = 32 * MIB;
pub(crate) const PASS: [&str; 2] = ["--passphrase-file", "pass"];

struct Image(File);

impl Disk for Image {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        self.0.read_exact_at(buffer, offset).map_err(|_| DeviceError)
    }

    fn write(&mut self, offset: u64, buffer: &[u8]) -> Result<(), DeviceError> {
        self.0.write_all_at(buffer, offset).map_err(|_| DeviceError)
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }
}

pub(crate) fn formatted(more: &[&str]) -> Bench {
    let bench = Bench::new();
    bench.blank("image", DISK);
    bench.ok(&[&["format", "image", "--mapped"], more].concat());
    bench
}

pub(crate) fn encrypted(more: &[&str]) -> Bench {
    formatted(&[&PASS, &CHEAP[..], more].concat())
}

/// Writes as a host would, and leaves the volume as after a crash.
pub(crate) fn write(bench: &Bench, offset: u64, data: &[u8]) {
    let parts = (offset..).step_by(MIB as usize).zip(data.chunks(MIB as usize));
    ask(
        bench,
        parts.map(|(offset, part)| Request::Write { offset, buffer: part.into(), fua: false }).collect(),
    );
}

/// Asks as a host would, and leaves the volume as after a crash.
pub(crate) fn ask(bench: &Bench, requests: Vec<Request>) {
    let image = bench.get("image");
    let header = Header::check(RawHeader::ref_from_bytes(&image[..4096]).unwrap()).unwrap();
    let mut key = VolumeKey::zeroed();
    if header.is_open() {
        header.open(&mut key).unwrap();
    } else {
        let slot = header.slot(0).unwrap();
        let kek = derive_kek(b"correct horse battery staple", slot.raw, slot.uuid, 0).unwrap();
        header.unlock(0, &kek, &mut key).unwrap();
    }
    let Kind::Mapped(mapped) = header.kind() else { panic!("not mapped") };
    let layout = Layout::of(&mapped).unwrap();
    let sealer = Sealer::new(key.as_bytes(), &header.uuid(), mapped.encrypted, Backend::detect()).unwrap();
    let file = File::options().read(true).write(true).open(bench.path("image")).unwrap();
    let options = Options::new(1 << 20, mapped.index_bytes.unwrap_or(0) as usize, mapped.level);
    let mut disk = Image(file);
    let mut volume = Volume::open(&mut disk, layout, sealer, options).unwrap();
    let mut drive = |volume: &mut Volume| {
        volume.drive(&mut disk);
        while let Some(done) = volume.next_done() {
            done.result.unwrap();
        }
    };
    for request in requests.into_iter().chain([Request::Flush]) {
        if let Err(request) = volume.submit(0, request) {
            drive(&mut volume);
            volume.submit(0, request).unwrap();
        }
    }
    drive(&mut volume);
}

/// Blocks that compress, half of which repeat.
fn data() -> Vec<u8> {
    let block = |i: u64| (0..512).flat_map(move |j: u64| (i % 512 * 1_000_003 + j / 4).to_le_bytes());
    (0..1024).flat_map(block).collect()
}

#[test]
fn what_was_written_is_read_and_accounted_for() {
    let bench = encrypted(&["--size", "1T", "--label", "many"]);
    let data = data();
    write(&bench, 3 * MIB, &data);
    let before = bench.get("image");
    let run = bench
        .run(&[&["cat", "image", "--offset", "3145000", "--length", "4195000", "-q"], &PASS[..]].concat());
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert!(run.stdout[..728].iter().all(|&byte| byte == 0));
    assert!(run.stdout[728..] == data[..4_195_000 - 728]);
    let info = bench.ok(&["info", "image"]);
    assert_eq!((info["kind"].as_str(), info["volume_bytes"].as_u64()), (Some("mapped"), Some(1 << 40)));
    assert!(info["space"].is_null());
    let space = &bench.ok(&[&["info", "image"], &PASS[..]].concat())["space"];
    let bytes = |name: &str| space[name].as_u64().unwrap();
    assert_eq!((bytes("written_bytes"), bytes("unique_bytes")), (4 * MIB, 2 * MIB));
    assert_eq!(
        (bytes("saved_by_dedup"), bytes("saved_by_compression")),
        (2 * MIB, 2 * MIB - bytes("stored_bytes"))
    );
    assert!(bytes("stored_bytes") < MIB, "{space}");
    let checked = bench.ok(&[&["check", "image"], &PASS[..]].concat());
    assert_eq!(
        (checked["damaged"].as_bool(), checked["volume"]["chunks"].as_u64()),
        (Some(false), Some(512))
    );
    assert!(bench.get("image") == before, "looking has changed something");
    // Nothing of it can be read on the disk.
    let part = &data[..64];
    assert!(!before.windows(64).any(|window| window == part));
}

#[test]
fn damage_is_named_and_the_rest_is_read() {
    let bench = formatted(&["--no-encryption", "--no-compression"]);
    let data: Vec<u8> =
        (0..MIB / 8).flat_map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect();
    write(&bench, 0, &data);
    let block = &data[77 * 4096..78 * 4096];
    let place = bench.get("image").windows(4096).position(|window| window == block).unwrap();
    bench.damage(place as u64 + 20, |bytes| bytes[0] ^= 1);
    let run = bench.run(&["check", "image", "--json"]);
    assert_eq!(run.code, 5);
    let found = run.json();
    assert_eq!((found["ok"].as_bool(), found["error"].as_str()), (Some(false), Some("problems_found")));
    let lost: Vec<u64> = found["volume"]["lost_blocks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|block| block.as_u64().unwrap())
        .collect();
    assert_eq!(lost, [77], "{found}");
    let text = bench.run(&["check", "image"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains(&format!("block {} (bytes", lost[0])));
    let cat = |offset: u64, length: u64| {
        let (offset, length) = (offset.to_string(), length.to_string());
        bench.run(&["cat", "image", "-q", "--offset", &offset, "--length", &length])
    };
    let bad = cat(lost[0] * 4096, 4096);
    assert_eq!((bad.code, bad.stdout.as_slice()), (5, &[][..]), "{}", bad.stderr);
    let after = (lost[0] + 1) * 4096;
    let rest = cat(after, MIB - after);
    assert_eq!(rest.code, 0, "{}", rest.stderr);
    assert!(rest.stdout == data[after as usize..]);
}

#[test]
fn without_encryption_it_opens_without_a_key() {
    let bench = formatted(&["--no-encryption", "--no-dedup"]);
    write(&bench, 0, &data());
    let info = bench.ok(&["info", "image"]);
    assert_eq!((info["cipher"].as_str(), info["mapped"]["dedup_memory"].as_u64()), (Some("none"), None));
    assert_eq!(info["space"]["saved_by_dedup"].as_u64(), Some(0));
    let run = bench.run(&["cat", "image", "-q", "--length", "4194304"]);
    assert!(run.code == 0 && run.stdout == data());
    bench.fails(&["key", "add", "image", "--new-key-file", "keyfile"], "not_encrypted", 1);
}

#[test]
fn sizes_and_wishes_that_cannot_be_met_are_refused() {
    let bench = Bench::new();
    let format = |more: &[&str]| {
        let all = [&["format", "image", "--mapped"], &PASS[..], &CHEAP[..], more].concat();
        bench.run(&[&all[..], &["--json"]].concat())
    };
    bench.blank("image", 3 * MIB);
    let small = format(&[]);
    assert_eq!((small.code, small.json()["error"].as_str()), (1, Some("layout")), "{}", small.stderr);
    bench.blank("image", DISK);
    assert_eq!(format(&["--size", "257T"]).json()["error"].as_str(), Some("layout"));
    assert_eq!(format(&["--size", "0"]).json()["error"].as_str(), Some("layout"));
    for wrong in [&["--size", "much"][..], &["--level", "20"], &["--no-dedup", "--dedup-memory", "1M"]] {
        assert_eq!(format(wrong).code, 2, "{wrong:?}");
    }
    assert!(bench.get("image").iter().all(|&byte| byte == 0), "something was written");
    let both = ["format", "image", "--size", "1G", "--passphrase-file", "pass"];
    assert_eq!(bench.run(&both).code, 2, "--size without --mapped");
}

#[test]
fn a_volume_grows_with_its_disk_and_beyond_it() {
    let bench = encrypted(&["--size", "64M"]);
    let data: Vec<u8> = (0..3 * MIB).map(|i| ((i * i) >> 7) as u8).collect();
    write(&bench, 61 * MIB, &data);
    let file = File::options().write(true).open(bench.path("image")).unwrap();
    file.set_len(2 * DISK).unwrap();
    let free = |bench: &Bench| {
        let info = bench.ok(&[&["info", "image"], &PASS[..]].concat());
        info["space"]["free_bytes"].as_u64().unwrap()
    };
    let before = free(&bench);
    let grown = bench.ok(&[&["grow", "image", "--size", "10T"], &PASS[..]].concat());
    assert_eq!((grown["volume_bytes"].as_u64(), grown["added_bytes"].as_u64()), (Some(10 << 40), Some(DISK)));
    let gained = free(&bench) - before;
    assert!((DISK / 2..=DISK).contains(&gained), "{gained} bytes more");
    write(&bench, (10 << 40) - MIB, &data[..MIB as usize]);
    let range = ["--offset", &(61 * MIB).to_string(), "--length", &(3 * MIB).to_string(), "-o", "out"];
    bench.ok(&[&["cat", "image"], &PASS[..], &range].concat());
    assert!(bench.get("out") == data);
    bench.ok(&[&["check", "image"], &PASS[..]].concat());
    let again = bench.ok(&[&["grow", "image"], &PASS[..]].concat());
    assert_eq!(again["added_bytes"].as_u64(), Some(0));
}

#[test]
fn a_volume_does_not_shrink_and_one_in_place_does_not_grow() {
    let bench = encrypted(&["--size", "64M"]);
    let before = bench.get("image");
    bench.fails(&[&["grow", "image", "--size", "63M"], &PASS[..]].concat(), "shrink", 7);
    bench.fails(&[&["grow", "image", "--size", "1000T"], &PASS[..]].concat(), "layout", 1);
    assert!(bench.get("image") == before, "nothing has been changed");
    bench.blank("other", DISK);
    bench.ok(&[&["format", "other"], &PASS, &CHEAP[..]].concat());
    bench.fails(&[&["grow", "other"], &PASS[..]].concat(), "not_mapped", 1);
}

#[test]
fn an_index_that_is_too_large_to_be_kept_is_told() {
    let bench = formatted(&["--no-encryption", "--dedup-memory", "64K"]);
    assert_eq!(bench.ok(&["info", "image"])["mapped"]["index_kept"], true);
    for (memory, kept) in [("1M", false), ("32K", true)] {
        let set = bench.ok(&["set", "image", "--dedup-memory", memory]);
        assert_eq!(set["mapped"]["index_kept"], kept, "{set}");
        let text = bench.run(&["set", "image", "--dedup-memory", memory]).stdout;
        assert_eq!(String::from_utf8(text).unwrap().contains("too large to be kept"), !kept);
    }
}

#[test]
fn level_and_memory_can_be_changed_but_not_what_was_never_on() {
    let bench = encrypted(&["--no-dedup"]);
    write(&bench, 0, &[7; 8192]);
    let set = bench.ok(&[&["set", "image", "--level", "9"], &PASS[..]].concat());
    assert_eq!(set["mapped"]["level"], 9);
    let info = bench.ok(&[&["info", "image"], &PASS[..]].concat());
    assert_eq!(info["mapped"]["level"], 9);
    bench.ok(&[&["check", "image"], &PASS[..]].concat());
    bench.fails(&[&["set", "image", "--dedup-memory", "1M"], &PASS[..]].concat(), "off", 1);
    for (word, told) in [("on", true), ("off", false)] {
        bench.ok(&[&["set", "image", "--discard", word], &PASS[..]].concat());
        assert_eq!(bench.ok(&["info", "image"])["mapped"]["discard"], told);
    }
    assert_eq!(bench.run(&["set", "image", "--discard", "perhaps"]).code, 2);
    assert_eq!(bench.run(&["set", "image"]).code, 2, "nothing to set");
}
