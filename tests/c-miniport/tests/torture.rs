//! `torture`, every build of it, in the port: whatever it does, each request ends once, data is what was written, and the
//! port goes on. What it did wrong is counted.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

use std::{
    thread,
    time::{Duration, Instant},
};

use sluice_c_miniport::{
    adapter::BLOCK,
    hosted::{Hosted, Parameters},
    miniports::{Miniport, TORTURE},
};
use sluice_chain::{Chain, Flags, Status};
use sluice_port::services::Event;
use sluice_shim::storport::SrbStatus;
use sluice_user_host::{Answer, Operation};

const SECTOR: usize = BLOCK as usize;
const STRETCH: u64 = 256;

/// As in `torments.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
enum Torment {
    None,
    OutOfOrder,
    Late,
    Dpc,
    Worker,
    BuildIo,
    Twice,
    Foreign,
    Busy,
    Refuse,
    Short,
    Long,
    Sense,
    Senseless,
    UnknownStatus,
    Pending,
    Pause,
    DeviceBusy,
    Reset,
    Storm,
    Never,
    Lost,
    Locks,
    Piles,
}

impl Torment {
    const fn sector(self) -> u64 {
        self as u64 * STRETCH
    }
}

fn start(miniport: &Miniport) -> Hosted {
    Hosted::start(miniport, &Parameters::default()).unwrap()
}

fn pattern(sector: u64, sectors: usize, salt: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(sector * 1000 + salt);
    (0..sectors * SECTOR).map(|_| random.u8(..)).collect()
}

/// Every build at the same time: most of what they do is waiting.
fn every_build(test: impl Fn(&Miniport, Hosted) + Sync) {
    thread::scope(|scope| {
        for miniport in TORTURE {
            let test = &test;
            scope.spawn(move || test(miniport, start(miniport)));
        }
    });
}

fn fault(hosted: &Hosted, name: &str) -> u32 {
    hosted.faults().iter().find(|(fault, _)| *fault == name).map_or(0, |(_, count)| *count)
}

/// Writes and reads in a torment's stretch from several threads; all of it must succeed.
fn carries_data(hosted: &Hosted, torment: Torment, rounds: u64) {
    let disk = hosted.disk(hosted.encrypting());
    thread::scope(|scope| {
        for worker in 0..4_u64 {
            let disk = &disk;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(worker);
                for round in 0..rounds {
                    let sector = torment.sector() + worker * 64 + random.u64(..32);
                    let data = pattern(sector, random.usize(1..=32), round);
                    let answer = disk.write(sector, &data, Flags::default());
                    assert_eq!(
                        (answer.status, answer.transferred as usize),
                        (Status::OK, data.len()),
                        "{torment:?}"
                    );
                    let mut read = vec![0; data.len()];
                    let answer = disk.read(sector, &mut read);
                    assert_eq!(
                        (answer.status, answer.transferred as usize),
                        (Status::OK, data.len()),
                        "{torment:?}"
                    );
                    assert!(read == data, "{torment:?}: {sector}");
                }
            });
        }
    });
    assert!(disk.adapter().faults().not_owned.load(std::sync::atomic::Ordering::Relaxed) == 0, "{torment:?}");
}

/// The miniport is as good as ever.
fn goes_on(hosted: &Hosted, torment: Torment) {
    carries_data(hosted, Torment::None, 4);
    assert_eq!(hosted.port().outstanding_requests(), 0, "{torment:?}");
}

fn read_once(hosted: &Hosted, torment: Torment) -> (Answer, Vec<u8>) {
    let disk = hosted.disk(Chain::new());
    let mut data = vec![0xEE; 8 * SECTOR];
    let answer = disk.read(torment.sector() + 8, &mut data);
    (answer, data)
}

#[test]
fn unusual_but_right_ways_carry_data_and_are_no_faults() {
    use Torment::{BuildIo, Busy, Dpc, Late, None, OutOfOrder, Refuse, Worker};
    every_build(|miniport, hosted| {
        for torment in [None, OutOfOrder, Late, Dpc, Worker, BuildIo, Busy, Refuse] {
            carries_data(&hosted, torment, 8);
        }
        assert_eq!(hosted.faults(), [], "{}", miniport.name);
        let counters = hosted.counters();
        assert_eq!(counters.failures, 0, "{}", miniport.name);
        assert!(counters.torments > 300, "{}: {counters:?}", miniport.name);
    });
}

#[test]
fn what_is_completed_twice_ends_once_and_is_counted() {
    every_build(|miniport, hosted| {
        carries_data(&hosted, Torment::Twice, 8);
        assert_eq!(fault(&hosted, "completed_twice"), 64, "{}: {:?}", miniport.name, hosted.faults());
        goes_on(&hosted, Torment::Twice);
    });
}

#[test]
fn an_srb_that_nobody_sent_is_counted() {
    every_build(|miniport, hosted| {
        carries_data(&hosted, Torment::Foreign, 8);
        assert_eq!(hosted.faults(), [("foreign_srb", 64)], "{}", miniport.name);
        goes_on(&hosted, Torment::Foreign);
    });
}

#[test]
fn a_short_transfer_is_told_as_what_it_is() {
    every_build(|miniport, hosted| {
        let disk = hosted.disk(hosted.encrypting());
        let sector = Torment::Short.sector() + 4;
        let mut read = vec![0; 8 * SECTOR];
        let answer = disk.read(sector, &mut read);
        assert_eq!(answer.device.unwrap().srb_status.code(), SrbStatus::DATA_OVERRUN, "{}", miniport.name);
        assert_eq!(answer.transferred as usize, 4 * SECTOR, "{}", miniport.name);
        drop(disk);
        goes_on(&hosted, Torment::Short);
    });
}

#[test]
fn no_more_is_believed_to_have_moved_than_was_asked_for() {
    every_build(|_, hosted| {
        carries_data(&hosted, Torment::Long, 8);
        goes_on(&hosted, Torment::Long);
    });
}

#[test]
fn sense_data_reaches_the_caller() {
    every_build(|miniport, hosted| {
        let (answer, _) = read_once(&hosted, Torment::Sense);
        let device = answer.device.unwrap();
        assert_eq!(device.srb_status.code(), SrbStatus::ERROR, "{}", miniport.name);
        assert_eq!((device.sense()[2] & 0xF, device.sense()[12]), (3, 0x11), "{}", miniport.name);
        let (answer, _) = read_once(&hosted, Torment::Senseless);
        assert_ne!(answer.status, Status::OK, "{}", miniport.name);
        assert_eq!(answer.device.unwrap().sense(), [], "{}", miniport.name);
        goes_on(&hosted, Torment::Sense);
    });
}

#[test]
fn statuses_that_cannot_be_are_no_success() {
    every_build(|miniport, hosted| {
        for torment in [Torment::UnknownStatus, Torment::Pending] {
            let (answer, _) = read_once(&hosted, torment);
            assert_ne!(answer.status, Status::OK, "{} {torment:?}", miniport.name);
            let status = answer.device.unwrap().srb_status;
            assert_eq!(
                status.0 & SrbStatus::QUEUE_FROZEN,
                0,
                "{} {torment:?}: no queue is frozen",
                miniport.name
            );
        }
        goes_on(&hosted, Torment::Pending);
    });
}

#[test]
fn a_pause_that_nobody_ends_ends_by_itself() {
    every_build(|miniport, hosted| {
        let disk = hosted.disk(Chain::new());
        let began = Instant::now();
        assert_eq!(disk.read(Torment::Pause.sector(), &mut [0; SECTOR]).status, Status::OK);
        assert_eq!(disk.read(0, &mut [0; SECTOR]).status, Status::OK);
        let took = began.elapsed();
        assert!(
            took >= Duration::from_millis(900) && took < Duration::from_secs(10),
            "{}: {took:?}",
            miniport.name
        );
    });
}

#[test]
fn a_unit_that_stays_busy_does_not_hang() {
    every_build(|miniport, hosted| {
        let began = Instant::now();
        carries_data(&hosted, Torment::DeviceBusy, 8);
        assert!(began.elapsed() < Duration::from_secs(20), "{}", miniport.name);
        goes_on(&hosted, Torment::DeviceBusy);
    });
}

#[test]
fn requests_that_a_reset_of_its_own_aborts_are_started_over() {
    every_build(|miniport, hosted| {
        carries_data(&hosted, Torment::Reset, 4);
        assert_eq!(hosted.faults(), [], "{}", miniport.name);
        goes_on(&hosted, Torment::Reset);
    });
}

#[test]
fn a_storm_of_bus_changes_is_told_and_survived() {
    every_build(|miniport, hosted| {
        carries_data(&hosted, Torment::Storm, 2);
        assert!(
            hosted.machine().wait_until(Duration::from_secs(10), |machine| {
                machine.record().events.iter().any(|event| matches!(event, Event::BusChanged(_)))
            }),
            "{}",
            miniport.name
        );
        goes_on(&hosted, Torment::Storm);
    });
}

fn with_time_out(sector: u64) -> Operation {
    let mut operation = Operation::read(sector, 8 * SECTOR as u32);
    operation.carry.timeout = 1;
    operation
}

#[test]
fn what_does_not_come_back_is_taken_back_by_a_reset() {
    every_build(|miniport, hosted| {
        let disk = hosted.disk(Chain::new());
        let began = Instant::now();
        let (answer, _) = disk.start(with_time_out(Torment::Never.sector())).wait();
        assert_ne!(answer.status, Status::OK, "{}", miniport.name);
        assert!(began.elapsed() >= Duration::from_secs(1), "{}", miniport.name);
        assert!(fault(&hosted, "timed_out") >= 1, "{}: {:?}", miniport.name, hosted.faults());
        assert_eq!((fault(&hosted, "lost"), fault(&hosted, "late")), (0, 0), "{}", miniport.name);
        drop(disk);
        let counters = hosted.counters();
        assert!(counters.reset_unit >= 1 && counters.reset_bus >= 1, "{}: {counters:?}", miniport.name);
        goes_on(&hosted, Torment::Never);
    });
}

#[test]
fn what_never_comes_back_is_given_up() {
    every_build(|miniport, hosted| {
        let disk = hosted.disk(Chain::new());
        let (answer, _) = disk.start(with_time_out(Torment::Lost.sector())).wait();
        assert_ne!(answer.status, Status::OK, "{}", miniport.name);
        assert_eq!(fault(&hosted, "lost"), 1, "{}: {:?}", miniport.name, hosted.faults());
        assert_eq!(disk.read(0, &mut [0; SECTOR]).status, Status::OK, "{}: others go on", miniport.name);
    });
}

#[test]
fn wrong_locks_are_refused_and_counted() {
    every_build(|miniport, hosted| {
        carries_data(&hosted, Torment::Locks, 1);
        assert_eq!(fault(&hosted, "lock_order"), 16, "{}: {:?}", miniport.name, hosted.faults());
        assert_eq!(fault(&hosted, "lock_release"), 8, "{}: {:?}", miniport.name, hosted.faults());
        goes_on(&hosted, Torment::Locks);
    });
}

#[test]
fn what_is_forgotten_is_freed_and_counted() {
    every_build(|miniport, hosted| {
        carries_data(&hosted, Torment::Piles, 1);
        assert_eq!(fault(&hosted, "freed_wrongly"), 8, "{}: {:?}", miniport.name, hosted.faults());
    });
}

/// Everything at once that a request survives, and the adapter goes in the middle of it.
#[test]
fn all_of_it_at_once_and_then_the_end() {
    every_build(|miniport, hosted| {
        let disk = hosted.disk(hosted.encrypting());
        let began = Instant::now();
        thread::scope(|scope| {
            for worker in 0..6_u64 {
                let disk = &disk;
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(worker);
                    for _ in 0..40 {
                        let torment = random.u64(..Torment::Pause as u64);
                        let mut data = vec![0; SECTOR * random.usize(1..8)];
                        if random.bool() {
                            disk.read(torment * STRETCH + worker * 16, &mut data);
                        } else {
                            disk.write(torment * STRETCH + worker * 16, &data, Flags::default());
                        }
                    }
                });
            }
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(30));
                hosted.stop();
            });
        });
        assert!(began.elapsed() < Duration::from_secs(30), "{}", miniport.name);
        assert_ne!(disk.read(0, &mut [0; SECTOR]).status, Status::OK, "{}", miniport.name);
        drop(disk);
        assert_eq!(hosted.port().outstanding_requests(), 0, "{}", miniport.name);
    });
}
