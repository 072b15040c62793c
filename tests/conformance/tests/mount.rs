//! `sluice mount` and `sluice unmount`, on what file systems' own tools have made.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use rustix::process::{Pid, Signal, kill_process};
use sluice_conformance::{Bench, KINDS, Kind, run, sluice};

/// A file system, in an image file of so many MiB.
fn make(bench: &Bench, file_system: &str, mib: u64) -> PathBuf {
    let image = bench.path(file_system);
    fs::File::create(&image).and_then(|file| file.set_len(mib << 20)).unwrap();
    let mut make = match file_system {
        "ext4" => Command::new("mke2fs"),
        _ => Command::new("mkntfs"),
    };
    make.args(if file_system == "ext4" { ["-q", "-t", "ext4", "-F"] } else { ["-q", "-f", "-F", "-T"] });
    run(make.arg(&image));
    image
}

/// Puts an image into the volume.
fn fill(bench: &Bench, image: &Path) {
    let server = bench.serve(&[]);
    run(Command::new("nbdcopy").arg("--flush").arg(image).arg(server.uri()));
    server.stop();
}

/// `sluice mount`, with programs of these names that do as they say before others of the same name.
fn mount(bench: &Bench, more: &[&str], programs: &[(&str, &str)]) -> Output {
    let (dir, bin) = (bench.path("dir"), bench.path("bin"));
    for folder in [&dir, &bin] {
        fs::create_dir_all(folder).unwrap();
    }
    for (name, script) in programs {
        fs::write(bin.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(bin.join(name), PermissionsExt::from_mode(0o755)).unwrap();
    }
    let path = std::env::var("PATH").unwrap();
    let mut mount = bench.sluice("mount");
    mount.arg("--json").arg(dir).args(more).env("PATH", format!("{}:{path}", bin.display()));
    let output = mount.output().unwrap();
    programs.iter().for_each(|(name, _)| fs::remove_file(bin.join(name)).unwrap());
    output
}

fn unmount(bench: &Bench) -> Output {
    Command::new(sluice()).args(["unmount", "--json"]).arg(bench.path("dir")).output().unwrap()
}

fn says(output: &Output, code: i32, what: &str) {
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.code() == Some(code) && said.contains(what), "{what}: {output:?}");
}

fn has_loop_devices() -> bool {
    Command::new("/usr/sbin/losetup").arg("--find").output().unwrap().status.success()
}

/// A system without loop devices, as far as `sluice mount` can see.
const NO_LOOP: (&str, &str) = ("losetup", "exit 1");

#[test]
fn files_are_there_again_whatever_the_way() {
    // Root's ext4 is the kernel's where there are loop devices. The way of FUSE is tried everywhere.
    let kernel = if has_loop_devices() { "loop" } else { "fuse2fs" };
    for kind in KINDS {
        for (file_system, way, programs) in
            [("ext4", kernel, &[][..]), ("ext4", "fuse2fs", &[NO_LOOP]), ("ntfs", "ntfs-3g", &[])]
        {
            let bench = Bench::new(&format!("mount-{way}"), kind, 128);
            fill(&bench, &make(&bench, file_system, 80));
            let file = bench.path("dir/a file");
            says(&mount(&bench, &[], programs), 0, &format!("\"way\": \"{way}\""));
            let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(7_654_321).collect();
            fs::write(&file, &noise).unwrap();
            says(&mount(&bench, &[], programs), 1, "mount_point");
            assert_eq!(bench.sluice("info").output().unwrap().status.code(), Some(6), "it is in use");
            says(&unmount(&bench), 0, "\"said\": []");
            assert!(!file.exists());
            says(&unmount(&bench), 1, "not_mounted");
            bench.check();
            let before = fs::read(bench.path("image")).unwrap();
            says(&mount(&bench, &["--read-only"], programs), 0, way);
            assert!(fs::read(&file).unwrap() == noise, "{kind:?} {way}");
            assert!(fs::write(bench.path("dir/other"), "x").is_err());
            says(&unmount(&bench), 0, "\"ok\": true");
            assert!(fs::read(bench.path("image")).unwrap() == before, "{kind:?} {way}");
        }
    }
}

#[test]
fn who_uses_a_busy_folder_is_named() {
    let bench = Bench::new("busy", Kind::InPlace, 64);
    fill(&bench, &make(&bench, "ext4", 32));
    says(&mount(&bench, &[], &[]), 0, "ext4");
    let mut user = Command::new("sleep").arg("1000").current_dir(bench.path("dir")).spawn().unwrap();
    says(&unmount(&bench), 6, &format!("sleep ({})", user.id()));
    user.kill().unwrap();
    user.wait().unwrap();
    says(&unmount(&bench), 0, "\"ok\": true");
}

/// The nbdkit that serves a bench's image.
fn nbdkit(bench: &Bench) -> Pid {
    let volume = format!("volume={}", bench.path("image").display());
    let serves = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).split('\0').any(|argument| argument == volume)
    };
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut numbers = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    numbers.find(serves).and_then(Pid::from_raw).unwrap()
}

#[test]
fn after_a_killed_server_unmounting_cleans_up() {
    for kind in KINDS {
        for programs in [&[][..], &[NO_LOOP]] {
            let bench = Bench::new("killed", kind, 64);
            fill(&bench, &make(&bench, "ext4", 32));
            says(&mount(&bench, &[], programs), 0, "ext4");
            let file = bench.path("dir/kept");
            fs::write(&file, "kept").unwrap();
            run(Command::new("sync").arg("-f").arg(&file));
            kill_process(nbdkit(&bench), Signal::KILL).unwrap();
            let _ = fs::write(bench.path("dir/lost"), vec![1; 3_000_000]);
            says(&unmount(&bench), 1, "not_closed");
            bench.check();
            says(&mount(&bench, &[], programs), 0, "ext4");
            assert_eq!(fs::read(&file).unwrap(), b"kept");
            says(&unmount(&bench), 0, "\"ok\": true");
        }
    }
}

/// The volume is closed then, but what was written last is not on it.
#[test]
fn after_a_killed_connection_unmounting_says_so() {
    let bench = Bench::new("cut", Kind::InPlace, 64);
    fill(&bench, &make(&bench, "ext4", 32));
    says(&mount(&bench, &[], &[]), 0, "ext4");
    let (nbdkit, said) = (nbdkit(&bench), |pid: &i32| fs::read_link(format!("/proc/{pid}/fd/2")).ok());
    let record = said(&nbdkit.as_raw_nonzero().get());
    let numbers = fs::read_dir("/proc").unwrap().flatten();
    let mut others = numbers.filter_map(|process| process.file_name().to_str()?.parse().ok());
    let is_nbdfuse = |pid: &i32| said(pid) == record && *pid != nbdkit.as_raw_nonzero().get();
    let nbdfuse = others.find(is_nbdfuse).and_then(Pid::from_raw).unwrap();
    kill_process(nbdfuse, Signal::KILL).unwrap();
    let _ = fs::write(bench.path("dir/lost"), vec![1; 3_000_000]);
    says(&unmount(&bench), 1, "not_closed");
    says(&mount(&bench, &[], &[]), 0, "ext4");
    says(&unmount(&bench), 0, "\"ok\": true");
}

#[test]
fn after_a_killed_mount_unmounting_cleans_up() {
    let bench = Bench::new("half", Kind::Mapped, 64);
    fill(&bench, &make(&bench, "ext4", 32));
    let killed = mount(&bench, &[], &[("blkid", "kill -9 $PPID")]);
    assert_eq!(killed.status.code(), None, "{killed:?}");
    assert_eq!(bench.sluice("info").output().unwrap().status.code(), Some(6), "the server lives");
    says(&unmount(&bench), 0, "\"ok\": true");
    says(&mount(&bench, &[], &[]), 0, "ext4");
    says(&unmount(&bench), 0, "\"ok\": true");
}

/// A disk with MBR partitions: where each begins, and what is in it.
fn partitioned(bench: &Bench, parts: &[(usize, &Path)]) -> PathBuf {
    let mut disk = vec![0; 60 << 20];
    for (number, (mib, image)) in parts.iter().enumerate() {
        let (bytes, start) = (fs::read(image).unwrap(), mib << 20);
        disk[start..start + bytes.len()].copy_from_slice(&bytes);
        let entry = &mut disk[446 + 16 * number..][..16];
        entry[4] = 0x83;
        entry[8..12].copy_from_slice(&((start / 512) as u32).to_le_bytes());
        entry[12..].copy_from_slice(&((bytes.len() / 512) as u32).to_le_bytes());
    }
    disk[510..512].copy_from_slice(&[0x55, 0xAA]);
    bench.fill("disk", &disk);
    bench.path("disk")
}

#[test]
fn a_partition_is_chosen_or_asked_for() {
    let bench = Bench::new("parts", Kind::Mapped, 96);
    let (one, two) = (make(&bench, "ext4", 20), make(&bench, "ntfs", 20));
    fill(&bench, &partitioned(&bench, &[(1, &one), (30, &two)]));
    says(&mount(&bench, &[], &[]), 2, "1  20.00 MiB, ext4\\n  2  20.00 MiB, ntfs");
    says(&mount(&bench, &["--partition", "2"], &[]), 0, "\"file_system\": \"ntfs\"");
    says(&unmount(&bench), 0, "\"ok\": true");
    says(&mount(&bench, &["--partition", "3"], &[]), 1, "no_");
    says(&mount(&bench, &["--partition", "1"], &[NO_LOOP]), 0, "\"file_system\": \"ext4\"");
    says(&unmount(&bench), 0, "\"ok\": true");
    // There is no other.
    fill(&bench, &partitioned(&bench, &[(1, &one)]));
    says(&mount(&bench, &[], &[]), 0, "\"partition\": 1");
    says(&unmount(&bench), 0, "\"ok\": true");
    // And nothing that could be mounted.
    fill(&bench, &partitioned(&bench, &[]));
    bench.fill("disk", &vec![0; 60 << 20]);
    fill(&bench, &bench.path("disk"));
    says(&mount(&bench, &[], &[]), 1, "no_mount");
    run(&mut bench.sluice("info"));
}
