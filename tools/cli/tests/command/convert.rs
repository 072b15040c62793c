//! `convert`: where it lies, back again, and to another place. That crashes do no harm is shown on a model of a disk, in
//! `src/convert/tests`; here the program itself is stopped and killed.

use openssl::symm::{Cipher, Crypter, Mode};
use sluice_engine::{
    format::{Header, RawHeader},
    keys::{VolumeKey, derive_kek},
};
use zerocopy::FromBytes;

use crate::bench::{Bench, CHEAP, MIB};

const PASS: [&str; 2] = ["--passphrase-file", "pass"];
const IN_PLACE: [&str; 3] = ["convert", "disk", "--in-place"];
const DECRYPT: [&str; 4] = ["convert", "disk", "--in-place", "--decrypt"];

fn args<'a>(parts: &[&[&'a str]]) -> Vec<&'a str> {
    parts.concat()
}

/// What a disk holds: no 512 bytes of it are like others, and none are zeros.
fn contents(bytes: u64) -> Vec<u8> {
    (0..bytes / 4).flat_map(|i| (i as u32 | 1).wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

fn bench(contents: &[u8]) -> Bench {
    let bench = Bench::new();
    bench.put("disk", contents);
    bench
}

/// Decrypts the volume by the words of docs/format.md and OpenSSL.
fn by_openssl(image: &[u8]) -> Vec<u8> {
    let header = Header::check(RawHeader::ref_from_bytes(&image[..4096]).unwrap()).unwrap();
    let slot = header.slot(0).unwrap();
    let kek = derive_kek(b"correct horse battery staple", slot.raw, slot.uuid, 0).unwrap();
    let mut key = VolumeKey::zeroed();
    header.unlock(0, &kek, &mut key).unwrap();
    let volume = &image[header.data_offset() as usize..][..header.volume_bytes() as usize];
    let sector = header.sector_size() as usize;
    let mut plain = vec![0; volume.len() + sector];
    for (number, data) in volume.chunks(sector).enumerate() {
        let mut tweak = [0; 16];
        tweak[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let mut crypter =
            Crypter::new(Cipher::aes_256_xts(), Mode::Decrypt, key.as_bytes(), Some(&tweak)).unwrap();
        assert_eq!(crypter.update(data, &mut plain[number * sector..]).unwrap(), sector);
    }
    plain.truncate(volume.len());
    plain
}

/// Whether any part of `plain` lies anywhere on the image.
fn shows(image: &[u8], plain: &[u8]) -> bool {
    let parts: std::collections::HashSet<&[u8]> =
        plain.chunks(16).filter(|p| p.iter().any(|b| *b != 0)).collect();
    image.chunks(16).any(|part| parts.contains(part))
}

#[test]
fn an_image_is_encrypted_where_it_lies_and_comes_back() {
    for (sector, bytes) in [("512", 3 * MIB + 7 * 512), ("4096", 5 * MIB + 4096), ("512", 4608)] {
        let plain = contents(bytes);
        let bench = bench(&plain);
        let made =
            bench.ok(&args(&[&IN_PLACE, &PASS, &CHEAP, &["--sector-size", sector, "--label", "Ledger"]]));
        assert_eq!((made["volume_bytes"].as_u64(), made["resumed"].as_bool()), (Some(bytes), Some(false)));
        let info = bench.ok(&["info", "disk"]);
        assert_eq!((info["kind"].as_str(), info["label"].as_str()), (Some("in_place"), Some("Ledger")));
        assert_eq!((info["other_copy"].as_str(), &info["uuid"]), (Some("good"), &made["uuid"]));
        let image = bench.get("disk");
        assert!(by_openssl(&image) == plain, "sectors of {sector}");
        assert!(!shows(&image, &plain), "something is still plain");
        assert!(bench.run(&args(&[&["cat", "disk", "--quiet"], &PASS])).stdout == plain);
        bench.fails(&args(&[&IN_PLACE, &PASS, &CHEAP]), "unconvertible", 7);
        bench.fails(&args(&[&DECRYPT, &["--passphrase-file", "wrong"]]), "no_key_fits", 3);
        let back = bench.ok(&args(&[&DECRYPT, &PASS]));
        assert_eq!(back["kind"].as_str(), Some("raw"));
        assert!(bench.get("disk") == plain, "sectors of {sector}");
        bench.fails(&args(&[&DECRYPT, &PASS]), "unconvertible", 7);
    }
}

#[test]
fn what_format_has_made_becomes_plain() {
    let bench = Bench::formatted();
    let plain = bench.run(&args(&[&["cat", "image", "--quiet"], &PASS])).stdout;
    bench.ok(&args(&[&["convert", "image", "--in-place", "--decrypt"], &PASS]));
    assert!(bench.get("image") == plain);
}

#[test]
fn the_end_of_a_disk_is_given_up_only_when_told() {
    let mut plain = contents(8 * MIB);
    plain[6 * MIB as usize..].fill(0);
    let begun = bench(&plain);
    let reduce = args(&[&IN_PLACE, &PASS, &CHEAP, &["--reduce"]]);
    begun.ok(&reduce);
    assert!(by_openssl(&begun.get("disk")) == plain[..6 * MIB as usize]);
    assert_eq!(begun.get("disk").len() as u64, 8 * MIB);
    // Something lies there.
    plain[8 * MIB as usize - 1] = 1;
    let bench = bench(&plain);
    bench.fails(&reduce, "unconvertible", 7);
    bench.ok(&args(&[&reduce, &["--yes", "--shift", "2M"]]));
    let image = bench.get("disk");
    assert!(by_openssl(&image) == plain[..5 * MIB as usize]);
    assert_eq!(image.last(), Some(&0), "what was given up is still there");
    for shift in ["0", "1000", "1537K"] {
        let bench = self::bench(&plain);
        bench.fails(&args(&[&reduce, &["--yes", "--shift", shift]]), "unconvertible", 7);
    }
}

/// A disk of zeros with some numbers in its first sectors.
fn with(numbers: &[(usize, &[u8])]) -> Vec<u8> {
    let mut disk = vec![0; 8 * MIB as usize];
    for (at, bytes) in numbers {
        disk[*at..][..bytes.len()].copy_from_slice(bytes);
    }
    disk
}

#[test]
fn a_partition_or_file_system_that_reaches_to_the_end_is_not_cut_off() {
    let sectors = |end: u64| (end / 512).to_le_bytes();
    let small = |end: u64| (end as u32 / 512).to_le_bytes();
    let last = |end: u64| (end / 512 - 1).to_le_bytes();
    let volume = 6 * MIB;
    for (end, fits) in [(volume, true), (volume + 4096, false), (8 * MIB, false)] {
        let disks = [
            with(&[(510, b"\x55\xaa"), (450, &[7]), (454, &2048u32.to_le_bytes()), (458, &small(end - MIB))]),
            with(&[
                (512, b"EFI PART"),
                (512 + 72, &2u64.to_le_bytes()),
                (512 + 80, &128u32.to_le_bytes()),
                (512 + 84, &128u32.to_le_bytes()),
                (1024 + 128, &[1; 16]),
                (1024 + 128 + 40, &last(end)),
            ]),
            with(&[(3, b"NTFS    "), (0x0b, &[0, 2]), (0x28, &sectors(end - 512))]),
            with(&[(0x438, b"\x53\xef"), (0x404, &(end as u32 / 4096).to_le_bytes()), (0x418, &[2])]),
            with(&[(0, b"XFSB"), (4, &4096u32.to_be_bytes()), (8, &(end / 4096).to_be_bytes())]),
        ];
        for (kind, disk) in disks.into_iter().enumerate() {
            let bench = bench(&disk);
            let reduce = args(&[&IN_PLACE, &PASS, &CHEAP, &["--reduce", "--yes"]]);
            if fits {
                bench.ok(&reduce);
                assert!(by_openssl(&bench.get("disk")) == disk[..volume as usize], "{kind}");
            } else {
                let said = bench.fails(&reduce, "unconvertible", 7);
                assert!(said["message"].as_str().unwrap().contains("reaches into"), "{kind}: {said}");
                bench.ok(&args(&[&reduce, &["--force"]]));
            }
        }
    }
}

#[test]
fn what_cannot_be_is_refused_and_nothing_is_changed() {
    let bench = bench(&contents(MIB));
    for line in [
        &["convert", "disk"][..],
        &["convert", "disk", "--decrypt", "--to", "x"],
        &["convert", "disk", "--in-place", "--to", "x"],
        &["convert", "disk", "--in-place", "--mapped"],
        &["convert", "disk", "--in-place", "--raw"],
        &["convert", "disk", "--in-place", "--recovery-code"],
    ] {
        assert_eq!(bench.run(line).code, 2, "{line:?}");
    }
    for size in [0, 100, 4096, MIB as usize + 1] {
        bench.put("disk", &contents(2 * MIB)[..size]);
        bench.fails(&args(&[&IN_PLACE, &PASS, &CHEAP]), "unconvertible", 7);
    }
    bench.blank("thin", 16 * MIB);
    bench.ok(&["format", "thin", "--mapped", "--no-encryption"]);
    bench.fails(&args(&[&["convert", "thin", "--in-place", "--decrypt"], &PASS]), "unconvertible", 7);
}

mod stopped {
    use std::{
        io::Read,
        process::{Child, Command, Stdio},
        thread::sleep,
        time::{Duration, Instant},
    };

    use rustix::process::{Pid, Signal, kill_process};

    use super::*;

    const DISK: u64 = 96 * MIB;

    fn start(bench: &Bench, line: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args(line)
            .current_dir(&bench.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn signal(child: &Child, signal: Signal) {
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    /// Waits until the image begins like a header.
    fn wait_for_mark(bench: &Bench, name: &str) {
        let start = Instant::now();
        let mut first = [0; 8];
        while &first != b"\xf5SLUICE\n" {
            assert!(start.elapsed() < Duration::from_secs(60), "it does not begin");
            sleep(Duration::from_millis(1));
            let file = std::fs::File::open(bench.path(name));
            let _ = file.and_then(|mut file| file.read_exact(&mut first));
        }
    }

    /// A disk that is being encrypted, stopped by Ctrl-C.
    fn half(plain: &[u8]) -> Bench {
        let bench = bench(plain);
        let mut child = start(&bench, &args(&[&IN_PLACE, &PASS, &CHEAP, &["--shift", "1M"]]));
        wait_for_mark(&bench, "disk");
        signal(&child, Signal::INT);
        assert_eq!(child.wait().unwrap().code(), Some(1), "it stops where it may");
        bench
    }

    #[test]
    fn a_half_is_not_taken_for_anything_else_and_goes_on() {
        let plain = contents(DISK);
        let bench = half(&plain);
        let info = bench.ok(&["info", "disk"]);
        assert_eq!((info["kind"].as_str(), info["way"].as_str()), (Some("converting"), Some("encrypt")));
        assert_eq!(info["volume_bytes"].as_u64(), Some(DISK));
        assert!(info["encrypted_bytes"].as_u64().is_some_and(|bytes| bytes < DISK), "{info}");
        let said = String::from_utf8(bench.run(&["info", "disk"]).stdout).unwrap();
        assert!(said.contains("sluice convert disk --in-place"), "{said}");
        let cat = bench.run(&args(&[&["cat", "disk"], &PASS]));
        assert!(
            cat.code == 5 && cat.stdout.is_empty() && cat.stderr.contains("being converted"),
            "{}",
            cat.stderr
        );
        bench.fails(&["key", "list", "disk"], "under_way", 5);
        bench.fails(&["check", "disk"], "under_way", 5);
        bench.fails(&args(&[&["serve", "disk", "--socket", "s", "--plugin", "none"], &PASS]), "under_way", 5);
        bench.fails(&args(&[&["convert", "disk", "--to", "x"], &PASS, &CHEAP]), "under_way", 5);
        bench.fails(&args(&[&["format", "disk"], &PASS, &CHEAP]), "not_empty", 7);
        bench.ok(&args(&[&["format", "image"], &PASS, &CHEAP]));
        bench.ok(&["header", "backup", "image", "backup"]);
        bench.fails(&["header", "restore", "disk", "backup", "--force"], "under_way", 5);
        for line in [&IN_PLACE[..], &DECRYPT[..]] {
            bench.fails(&args(&[line, &["--passphrase-file", "wrong"]]), "no_key_fits", 3);
        }
        let made = bench.ok(&args(&[&IN_PLACE, &PASS]));
        assert_eq!((made["resumed"].as_bool(), &made["uuid"]), (Some(true), &info["uuid"]));
        let image = bench.get("disk");
        assert!(by_openssl(&image) == plain);
        assert!(!shows(&image, &plain));
    }

    #[test]
    fn it_turns_round() {
        let plain = contents(DISK);
        let bench = half(&plain);
        bench.ok(&args(&[&DECRYPT, &PASS]));
        assert!(bench.get("disk") == plain);
    }

    #[test]
    fn killed_at_any_moment_it_goes_on() {
        let plain = contents(DISK);
        let bench = bench(&plain);
        for (line, others) in [(&IN_PLACE[..], &CHEAP[..]), (&DECRYPT[..], &[][..])] {
            let more: &[&str] = if others.is_empty() { &[] } else { &["--shift", "1M"] };
            for wait in [0, 15, 40, 90, 160] {
                let info = bench.run(&["info", "disk", "--json"]).json();
                // Once begun, what it is made with is known.
                let begun = info["kind"] == "converting" || !others.is_empty() && info["kind"] == "in_place";
                let options = if begun { &[][..] } else { &args(&[others, more])[..] };
                let mut child = start(&bench, &args(&[line, &PASS, options]));
                if wait > 0 && !begun && !others.is_empty() {
                    wait_for_mark(&bench, "disk");
                }
                sleep(Duration::from_millis(wait));
                signal(&child, Signal::KILL);
                child.wait().unwrap();
            }
            let is_done = match bench.run(&["info", "disk", "--json"]).json()["kind"].as_str() {
                Some("in_place") => line == IN_PLACE,
                Some("converting") => false,
                _ => line == DECRYPT,
            };
            if !is_done {
                bench.ok(&args(&[line, &PASS, others]));
            }
            if line == IN_PLACE {
                assert!(by_openssl(&bench.get("disk")) == plain);
            } else {
                assert!(bench.get("disk") == plain);
            }
        }
    }

    /// Killed between growing and beginning: the mark is behind it, and nothing else.
    #[test]
    fn killed_while_it_grows_it_is_no_larger_the_next_time() {
        let plain = contents(DISK);
        let bench = half(&plain);
        let image = bench.get("disk");
        let spare = image.len() - MIB as usize + 4096;
        let mut grown = plain.clone();
        grown.resize(spare, 0);
        grown.extend_from_slice(&image[spare..][..4096]);
        for end in [grown.len(), image.len()] {
            grown.resize(end, 0);
            bench.put("disk", &grown);
            let made = bench.ok(&args(&[&IN_PLACE, &PASS, &CHEAP, &["--shift", "2M"]]));
            assert_eq!((made["volume_bytes"].as_u64(), &made["resumed"]), (Some(DISK), &false.into()));
            assert!(by_openssl(&bench.get("disk")) == plain);
        }
    }

    #[test]
    fn what_a_conversion_left_is_not_taken_for_one_under_a_new_volume() {
        let bench = half(&contents(DISK));
        bench.ok(&args(&[&["format", "disk", "--force"], &PASS, &CHEAP]));
        bench.ok(&["header", "backup", "disk", "backup"]);
        let mut image = bench.get("disk");
        let copy_b = image.len() - MIB as usize;
        (image[300], image[copy_b + 300]) = (!image[300], !image[copy_b + 300]);
        bench.put("disk", &image);
        bench.fails(&["info", "disk"], "damaged", 5);
        bench.ok(&["header", "restore", "disk", "backup"]);
    }

    #[test]
    fn a_copy_that_was_killed_is_known_for_one() {
        let bench = bench(&contents(DISK));
        let bytes = DISK + 40 * MIB;
        for kind in [&[][..], &["--mapped"][..]] {
            bench.blank("target", bytes);
            let line = args(&[&["convert", "disk", "--to", "target"], &PASS, &CHEAP, kind]);
            let mut child = start(&bench, &line);
            wait_for_mark(&bench, "target");
            signal(&child, Signal::KILL);
            child.wait().unwrap();
            bench.fails(&["info", "target"], "unfilled", 5);
            bench.fails(&line, "not_empty", 7);
            bench.ok(&args(&[&line, &["--force"]]));
            let cat = bench.run(&args(&[&["cat", "target", "--quiet"], &PASS])).stdout;
            assert!(cat.starts_with(&bench.get("disk")));
        }
    }
}

#[test]
fn it_is_copied_into_a_volume_and_out_again() {
    // Not a whole number of sectors; and holes.
    let mut plain = contents(3 * MIB + 100);
    plain.resize(40 * MIB as usize, 0);
    plain.extend_from_slice(&contents(MIB)[..70_001]);
    for kind in
        [&[][..], &["--sector-size", "4096"], &["--mapped"], &["--mapped", "--no-dedup", "--level", "3"]]
    {
        let bench = bench(&plain);
        let made = bench.ok(&args(&[&["convert", "disk", "--to", "new"], &PASS, &CHEAP, kind]));
        assert_eq!(
            (made["bytes"].as_u64(), made["verified"].as_bool()),
            (Some(plain.len() as u64), Some(true))
        );
        assert!(made["volume_bytes"].as_u64().unwrap() >= plain.len() as u64);
        assert!(bench.get("disk") == plain, "the source");
        let cat = bench.run(&args(&[&["cat", "new", "--quiet"], &PASS])).stdout;
        assert!(cat.starts_with(&plain), "{kind:?}");
        bench.ok(&args(&[&["check", "new"], &PASS]));
        assert!(!shows(&bench.get("new"), &plain), "{kind:?}");
        if kind.is_empty() {
            assert!(by_openssl(&bench.get("new")).starts_with(&plain));
        }
        bench.fails(
            &args(&[&["convert", "new", "--to", "out", "--raw", "--passphrase-file", "wrong"]]),
            "no_key_fits",
            3,
        );
        bench.ok(&args(&[&["convert", "new", "--to", "out", "--raw"], &PASS]));
        let out = bench.get("out");
        assert!(out.starts_with(&plain) && out[plain.len()..].len() < 2 * MIB as usize, "{kind:?}");
        if kind.first() == Some(&"--mapped") {
            use std::os::unix::fs::MetadataExt;
            assert!(out[plain.len()..].iter().all(|byte| *byte == 0));
            for (name, most) in [("new", 12 * MIB), ("out", 6 * MIB)] {
                let taken = bench.path(name).metadata().unwrap().blocks() * 512;
                assert!(taken < most, "{name} takes {taken} bytes");
            }
        }
        bench.fails(&args(&[&["convert", "new", "--to", "out", "--raw"], &PASS]), "exists", 7);
    }
}

#[test]
fn from_volume_to_volume_with_a_key_for_each() {
    let plain = contents(2 * MIB);
    let bench = bench(&plain);
    bench.ok(&args(&[&["convert", "disk", "--to", "first", "--no-verify"], &PASS, &CHEAP]));
    let line = args(&[
        &["convert", "first", "--to", "second", "--mapped", "--source-passphrase-file", "pass"],
        &["--key-file", "keyfile"],
        &CHEAP,
    ]);
    bench.ok(&line);
    let cat = bench.run(&["cat", "second", "--quiet", "--key-file", "keyfile"]).stdout;
    assert!(cat == plain);
}

#[test]
fn a_target_that_is_too_small_or_in_use_stays_as_it_is() {
    let bench = bench(&contents(8 * MIB));
    bench.blank("small", 9 * MIB);
    let to = |target| args(&[&["convert", "disk", "--to", target], &PASS, &CHEAP]);
    bench.fails(&to("small"), "unconvertible", 7);
    bench.fails(&args(&[&to("small"), &["--mapped", "--size", "7M"]]), "unconvertible", 7);
    bench.put("full", &contents(20 * MIB));
    bench.fails(&to("full"), "not_empty", 7);
    bench.fails(&to("disk"), "in_use", 6);
    // More than fits is found out on the way, and nobody takes what is there for the whole.
    bench.put(
        "disk",
        &(0..24 * MIB / 8)
            .flat_map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ i << 17).to_le_bytes())
            .collect::<Vec<u8>>(),
    );
    bench.blank("thin", 16 * MIB);
    let run = bench.run(&args(&[&to("thin"), &["--mapped", "--json"]]));
    assert_eq!((run.json()["error"].as_str(), run.code), (Some("full"), 1));
    bench.fails(&["info", "thin"], "unfilled", 5);
}
