//! A device that goes away and comes back, or is reset, in the middle of its work.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod support;

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use sluice_chain::{Flags, Status};
use sluice_miniport_virtio_blk::Settings;
use sluice_shim::{scsi::sense::Sense, storport::SrbKind};
use sluice_user_host::{Answer, Operation};
use sluice_vhost_user::{Attached, Format};
use support::{EXPORT, FORMATS, Image, MIB, attach, settings, well};

/// Aborted by a reset, busy with one, or without a device: nothing else may come of one.
fn may_be_repeated(answer: &Answer) -> bool {
    let Some(device) = answer.device else { return answer.status == Status::BUSY };
    let sense = Sense::parse(device.sense()).map(|sense| sense.key);
    device.srb_status.code().0 == 5 || matches!(sense, Some(0x02 | 0x0B)) // SRB_STATUS_BUSY
}

fn is_well(answer: &Answer) -> bool {
    answer.status == Status::OK && answer.device.is_some_and(|device| device.srb_status.code().0 == 1)
}

fn wait_for(disk: &Attached, running: bool) {
    let start = Instant::now();
    while disk.device().is_running() != running {
        assert!(start.elapsed().as_secs() < 30);
        thread::sleep(Duration::from_millis(2));
    }
}

/// Writes `value` to each block of a part until told to stop; answers how often it was told to repeat.
fn hammer(disk: &Attached, part: u64, stop: &AtomicBool, ended: &AtomicU64) -> u64 {
    let mut repeated = 0;
    let mut turn = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let tickets: Vec<_> = (0..16)
            .map(|at| disk.start(Operation::write(part * 2048 + at * 8, vec![(turn + at) as u8; 4096])))
            .collect();
        for ticket in tickets {
            let (answer, _) = ticket.wait();
            ended.fetch_add(1, Ordering::Relaxed);
            if !is_well(&answer) {
                assert!(may_be_repeated(&answer), "{answer:?}");
                repeated += 1;
            }
        }
        turn += 1;
    }
    // What counts in the end.
    for at in 0..16 {
        let start = Instant::now();
        loop {
            let answer = disk.write(part * 2048 + at * 8, &[part as u8 + 1; 4096], Flags::default());
            if is_well(&answer) {
                break;
            }
            assert!(may_be_repeated(&answer) && start.elapsed().as_secs() < 30, "{answer:?}");
            thread::sleep(Duration::from_millis(1));
        }
    }
    repeated
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Four threads write while `meanwhile` runs; answers how often they had to repeat, and what the disk holds then.
fn under_load(disk: &Attached, meanwhile: impl FnOnce(&AtomicU64)) -> (u64, Vec<u8>) {
    let (stop, ended) = (AtomicBool::new(false), AtomicU64::new(0));
    let repeated = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|part| {
                scope.spawn({
                    let (stop, ended) = (&stop, &ended);
                    move || hammer(disk, part, stop, ended)
                })
            })
            .collect();
        let stopper = Stop(&stop); // also when it panics: the threads would go on for ever
        meanwhile(&ended);
        drop(stopper);
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    let mut expected = vec![0; 8 << 20];
    for part in 0..4_usize {
        expected[part << 20..(part << 20) + 65536].fill(part as u8 + 1);
    }
    (repeated, expected)
}

fn wait_for_some(ended: &AtomicU64, count: u64) {
    let (start, before) = (Instant::now(), ended.load(Ordering::Relaxed));
    while ended.load(Ordering::Relaxed) < before + count {
        assert!(start.elapsed().as_secs() < 60, "nothing ends any more");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn resets_under_load_lose_nothing() {
    let image = Image::new("resets", Format::Qcow2, 8 * MIB);
    let daemon = image.serve(sluice_vhost_user::Export { queues: 4, ..EXPORT });
    let disk = attach(daemon.socket(), settings(), SrbKind::Extended);
    let (_, expected) = under_load(&disk, |ended| {
        for _ in 0..20 {
            wait_for_some(ended, 200);
            disk.device().reset().unwrap();
            assert!(disk.device().is_running());
        }
    });
    // The same device went on: what it had acknowledged it still has.
    well(&disk.flush(), 0);
    drop(disk);
    daemon.stop().unwrap();
    image.holds(&expected);
}

#[test]
fn a_daemon_that_is_killed_and_started_again_is_found_again() {
    for format in FORMATS {
        let image = Image::new("killed", format, 8 * MIB);
        let mut daemon = Some(image.serve(EXPORT));
        let socket = daemon.as_ref().unwrap().socket().to_owned();
        let disk = attach(&socket, settings(), SrbKind::Extended);
        let (repeated, expected) = under_load(&disk, |ended| {
            for _ in 0..3 {
                wait_for_some(ended, 200);
                daemon.take().unwrap().kill();
                wait_for(&disk, false);
                daemon = Some(image.serve(EXPORT));
                wait_for(&disk, true);
            }
        });
        assert!(repeated > 0, "it was killed without anybody noticing");
        // Somewhere between, acknowledged writes had not been flushed.
        assert!(!is_well(&disk.flush()), "a flush covers what a dead daemon had acknowledged");
        well(&disk.flush(), 0);
        drop(disk);
        daemon.take().unwrap().stop().unwrap();
        image.holds(&expected);
    }
}

#[test]
fn what_was_flushed_survives_and_the_next_flush_is_well() {
    let image = Image::new("flushed", Format::Qcow2, 8 * MIB);
    let daemon = image.serve(EXPORT);
    let socket = daemon.socket().to_owned();
    let disk = attach(&socket, settings(), SrbKind::Extended);
    well(&disk.write(64, &[5; 4096], Flags::default()), 4096);
    well(&disk.flush(), 0);
    well(&disk.write(128, &[6; 4096], Flags::FUA), 4096);
    daemon.kill();
    wait_for(&disk, false);
    assert!(may_be_repeated(&disk.read(64, &mut [0; 512])), "without a device");
    let daemon = image.serve(EXPORT);
    wait_for(&disk, true);
    well(&disk.flush(), 0);
    let mut read = [0; 4096];
    well(&disk.read(64, &mut read), 4096);
    assert_eq!(read, [5; 4096]);
    drop(disk);
    daemon.stop().unwrap();
    let mut expected = vec![0; 8 << 20];
    expected[64 * 512..64 * 512 + 4096].fill(5);
    expected[128 * 512..128 * 512 + 4096].fill(6);
    image.holds(&expected);
}

#[test]
fn a_daemon_that_stands_still_is_given_up_and_its_requests_end() {
    let image = Image::new("still", Format::Raw, 8 * MIB);
    let daemon = image.serve(EXPORT);
    let disk = attach(daemon.socket(), Settings { patience: 1, ..settings() }, SrbKind::Extended);
    let process = rustix::process::Pid::from_raw(daemon.process() as i32).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::STOP).unwrap();
    let ticket = disk.start(Operation::read(0, 4096));
    let start = Instant::now();
    let going_on = thread::spawn(move || {
        thread::sleep(Duration::from_secs(4));
        rustix::process::kill_process(process, rustix::process::Signal::CONT).unwrap();
    });
    // It is reset while it stands, which it answers when it goes on.
    let (answer, _) = ticket.wait();
    assert!(may_be_repeated(&answer), "{answer:?} after {:?}", start.elapsed());
    going_on.join().unwrap();
    wait_for(&disk, true);
    well(&disk.read(0, &mut [0; 4096]), 4096);
}
