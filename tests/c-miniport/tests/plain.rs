//! `plain`, every build of it, in the port: data under load, every function, resets, removal.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use sluice_c_miniport::{
    adapter::BLOCK,
    counters::{BYTES, Counters, ECHO, EXERCISE, HEADER, READ, io_control},
    hosted::{Answer, Device, Hosted, Parameters},
    miniports::{Miniport, PLAIN},
};
use sluice_chain::{Chain, Flags, Status};
use sluice_port::{command::Special, services::Event};
use sluice_shim::storport::{ScsiStatus, SrbFunction, SrbStatus, notification::unit_control, srb::Address};

const SECTOR: u32 = BLOCK as u32;

/// A disk in memory; an adapter with a line; one with messages; one whose queues are channels; one that finds data only where
/// it is copied to.
const MACHINES: [Option<Device>; 5] = [
    None,
    Some(Device { queues: 1, messages: 0, blocks: 8192, translated: false }),
    Some(Device { queues: 1, messages: 1, blocks: 8192, translated: false }),
    Some(Device { queues: 4, messages: 4, blocks: 8192, translated: false }),
    Some(Device { queues: 4, messages: 4, blocks: 8192, translated: true }),
];

fn start(miniport: &Miniport, device: Option<Device>) -> Hosted {
    Hosted::start(miniport, &Parameters { device, ..Parameters::default() }).unwrap()
}

/// Every build on every machine.
fn everywhere(test: impl Fn(&Miniport, Option<Device>, Hosted)) {
    for miniport in PLAIN {
        for device in MACHINES {
            test(miniport, device, start(miniport, device));
        }
    }
}

/// Nothing was done wrong, by either side.
fn assert_good(name: &str, hosted: &Hosted, counters: &Counters) {
    assert_eq!((counters.failures, counters.wrong_kind), (0, 0), "{name}: {counters:?}");
    assert_eq!(hosted.faults(), [], "{name}");
}

fn pattern(sector: u64, sectors: usize, salt: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(sector * 1000 + salt);
    (0..sectors * SECTOR as usize).map(|_| random.u8(..)).collect()
}

#[test]
fn what_is_written_under_load_is_read_and_only_ciphertext_is_stored() {
    everywhere(|miniport, device, hosted| {
        let name = format!("{} {device:?}", miniport.name);
        let disk = hosted.disk(hosted.encrypting());
        thread::scope(|scope| {
            for worker in 0..4_u64 {
                let disk = &disk;
                let name = &name;
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(worker);
                    let base = worker * 2048;
                    for round in 0..40 {
                        let (sector, sectors) = (base + random.u64(..1900), random.usize(1..=64));
                        let data = pattern(sector, sectors, round);
                        let answer = disk.write(sector, &data, Flags::default());
                        assert_eq!(
                            (answer.status, answer.transferred as usize),
                            (Status::OK, data.len()),
                            "{name}"
                        );
                        let mut read = vec![0; data.len()];
                        let answer = disk.read(sector, &mut read);
                        assert_eq!(
                            (answer.status, answer.transferred as usize),
                            (Status::OK, data.len()),
                            "{name}"
                        );
                        assert!(read == data, "{name}: {sectors} sectors at {sector}");
                    }
                });
            }
        });
        let data = pattern(5, 8, 99);
        assert_eq!(disk.write(5, &data, Flags::default()).status, Status::OK);
        assert_eq!(disk.flush().status, Status::OK);
        assert_eq!(disk.verify(0, 64 * SECTOR).status, Status::OK);
        drop(disk);
        // Below the chain lies something else.
        let raw = hosted.disk(Chain::new());
        let mut stored = vec![0; data.len()];
        assert_eq!(raw.read(5, &mut stored).status, Status::OK);
        assert!(stored.chunks(16).zip(data.chunks(16)).all(|(one, other)| one != other), "{name}");
        drop(raw);
        if let Some(adapter) = hosted.adapter() {
            assert!(adapter.disk()[5 * SECTOR as usize..][..data.len()] == stored);
        }
        let counters = hosted.counters();
        assert_eq!(
            (counters.find_adapter, counters.initialize, counters.passive_initialize),
            (1, 1, 1),
            "{name}"
        );
        assert!(
            counters.build_io >= 320 && counters.start_io >= 320 && counters.dpcs > 0,
            "{name}: {counters:?}"
        );
        if let Some(device) = device {
            assert!(counters.interrupts > 0, "{name}: {counters:?}");
            assert_eq!(counters.messages as u32, device.messages, "{name}");
            assert_eq!(
                counters.channels as u32,
                if device.messages > 1 { device.queues } else { 1 },
                "{name}"
            );
        }
        assert_good(&name, &hosted, &counters);
        hosted.stop();
        assert_eq!(hosted.faults(), [], "{name}: nothing is left behind");
    });
}

#[test]
fn discarded_blocks_are_zeros() {
    everywhere(|miniport, device, hosted| {
        let disk = hosted.disk(Chain::new());
        assert_eq!(disk.write(8, &[7; 16 * SECTOR as usize], Flags::default()).status, Status::OK);
        let mut list = vec![0, 22, 0, 16, 0, 0, 0, 0];
        list.extend(10_u64.to_be_bytes());
        list.extend(4_u32.to_be_bytes());
        list.extend([0; 4]);
        assert_eq!(disk.discard(list).status, Status::OK);
        let mut read = vec![1; 16 * SECTOR as usize];
        assert_eq!(disk.read(8, &mut read).status, Status::OK);
        for (number, block) in read.chunks(SECTOR as usize).enumerate() {
            let expected = if (2..6).contains(&number) { 0 } else { 7 };
            assert!(block.iter().all(|byte| *byte == expected), "{} {device:?}: {number}", miniport.name);
        }
    });
}

fn assert_success(name: &str, answer: &Answer) {
    assert_eq!(answer.status.code(), SrbStatus::SUCCESS, "{name}");
}

#[test]
fn every_function_is_answered() {
    everywhere(|miniport, device, hosted| {
        let name = format!("{} {device:?}", miniport.name);
        let plain = |function| hosted.command(function, Special::None, Vec::new());
        assert_success(&name, &plain(SrbFunction::FLUSH));
        assert_success(&name, &plain(SrbFunction::SHUTDOWN));
        assert_success(&name, &plain(SrbFunction::RESET_LOGICAL_UNIT));
        assert_success(&name, &plain(SrbFunction::RESET_DEVICE));
        assert_success(&name, &plain(SrbFunction::RESET_BUS));
        let pnp = Special::Pnp { minor: 9, action: 9, flags: 0 };
        assert_success(&name, &hosted.command(SrbFunction::PNP, pnp, Vec::new()));
        let power = Special::Power { flags: 0, state: 4, action: 2 };
        assert_success(&name, &hosted.command(SrbFunction::POWER, power, Vec::new()));
        let dump = plain(SrbFunction::DUMP_POINTERS);
        assert_eq!(dump.status.code(), SrbStatus::INVALID_REQUEST, "{name}");

        let echo = io_control(ECHO, b"what comes back");
        let answer = hosted.command(SrbFunction::IO_CONTROL, Special::None, echo.clone());
        assert_success(&name, &answer);
        assert_eq!(
            (&answer.data[HEADER..], answer.transferred as usize),
            (&echo[HEADER..], echo.len()),
            "{name}"
        );
        let mut foreign = io_control(READ, &[0; BYTES]);
        foreign[4..12].copy_from_slice(b"SOMEBODY");
        let answer = hosted.command(SrbFunction::IO_CONTROL, Special::None, foreign);
        assert_eq!(answer.status.code(), SrbStatus::INVALID_REQUEST, "{name}");

        hosted.unit_control(unit_control::START).unwrap();
        let counters = hosted.counters();
        assert_eq!((counters.flush, counters.shutdown, counters.pnp, counters.power), (1, 1, 1, 1), "{name}");
        assert_eq!((counters.reset_unit, counters.reset_bus), (2, 1), "{name}");
        assert!(counters.work_items > 0 && counters.unit_control >= 2, "{name}: {counters:?}");
        assert_eq!(counters.synchronized > 0, device.is_some(), "{name}");
        assert_good(&name, &hosted, &counters);
    });
}

#[test]
fn wmi_answers_with_the_counters() {
    everywhere(|miniport, device, hosted| {
        let name = format!("{} {device:?}", miniport.name);
        let answer = hosted.query_wmi();
        assert_success(&name, &answer);
        let start = u32::from_le_bytes(answer.data[48..52].try_into().unwrap()) as usize; // WNODE_ALL_DATA.DataBlockOffset
        let counters = Counters::parse(&answer.data[start..start + BYTES]);
        assert_eq!((counters.find_adapter, counters.wmi), (1, 1), "{name}");
        assert_good(&name, &hosted, &hosted.counters());
    });
}

#[test]
fn the_rest_of_the_interface_does_what_it_says() {
    everywhere(|miniport, device, hosted| {
        let name = format!("{} {device:?}", miniport.name);
        let exercise = io_control(EXERCISE, &[]);
        assert_success(&name, &hosted.command(SrbFunction::IO_CONTROL, Special::None, exercise));
        hosted.machine().settle();
        let record = hosted.machine().record();
        let unit = Address::default();
        assert!(record.log.contains(&(Some(unit), 6, 7, Vec::new())), "{name}: {:?}", record.log);
        let eight = record.traces.iter().find(|(id, ..)| *id == 8).unwrap();
        assert_eq!((eight.1.as_str(), eight.2.len()), ("Exercised", 8), "{name}");
        assert_eq!(eight.2[7], ("Eight".to_owned(), 0x8_0000_0008), "{name}");
        assert!(record.events.contains(&Event::Notification(Some(unit), 1)), "{name}: {:?}", record.events);
        assert!(record.events.iter().any(|event| matches!(event, Event::UnitChanged(..))), "{name}");
        assert!(record.events.iter().any(|event| matches!(event, Event::BusChanged(..))), "{name}");
        assert_eq!(hosted.machine().hardware().configuration[0x40..0x42], [0x5A, 0xA5], "{name}");
        let counters = hosted.counters();
        assert_eq!(counters.state_changes, 1, "{name}");
        assert_eq!(counters.failures, 0, "{name}: {counters:?}");
        carries(&hosted, &name);
    });
}

/// It still does what a disk does.
fn carries(hosted: &Hosted, name: &str) {
    let disk = hosted.disk(hosted.encrypting());
    let data = pattern(40, 16, 3);
    let mut read = vec![0; data.len()];
    assert_eq!(disk.write(40, &data, Flags::default()).status, Status::OK, "{name}");
    assert_eq!(disk.read(40, &mut read).status, Status::OK, "{name}");
    assert!(read == data, "{name}");
}

#[test]
fn timers_tick() {
    let hosted = start(&PLAIN[1], None);
    let ticked = |counters: Counters| counters.ticks >= 2 && counters.timers == 1;
    for _ in 0..200 {
        if ticked(hosted.counters()) {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert!(ticked(hosted.counters()), "{:?}", hosted.counters());
}

#[test]
fn parameters_come_from_the_registry() {
    for miniport in PLAIN {
        let registry = vec![("Blocks", 512), ("BlockSize", 4096), ("WriteProtected", 1), ("Depth", 1)];
        let parameters = Parameters { registry, ..Parameters::default() };
        let hosted = Hosted::start(miniport, &parameters).unwrap();
        let answer = hosted.scsi(&[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], vec![0; 8], false);
        assert_success(miniport.name, &answer);
        assert_eq!(answer.data, [0, 0, 1, 255, 0, 0, 16, 0], "{}", miniport.name);
        let answer = hosted.scsi(&[0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0], vec![0; 4096], true);
        assert_eq!(answer.status.code(), SrbStatus::ERROR, "{}", miniport.name);
        assert_eq!(answer.sense.get(2), Some(&7), "{}: DATA PROTECT", miniport.name);
    }
}

#[test]
fn a_bad_block_is_told_with_sense_data() {
    for miniport in PLAIN {
        let hosted = start(miniport, MACHINES[3]);
        hosted.adapter().unwrap().bad.lock().unwrap().push(100);
        let disk = hosted.disk(hosted.encrypting());
        let mut read = vec![0; 4 * SECTOR as usize];
        assert_eq!(disk.read(90, &mut read).status, Status::OK);
        let answer = disk.read(98, &mut read);
        assert_eq!(answer.status, Status::DEVICE, "{}", miniport.name);
        let device = answer.device.unwrap();
        assert_eq!(device.scsi_status, ScsiStatus::CHECK_CONDITION);
        assert_eq!((device.sense()[0] & 0x7F, device.sense()[2] & 0xF), (0x70, 3), "{}", miniport.name);
        assert_eq!(disk.write(103, &read, Flags::default()).status, Status::OK);
    }
}

/// Loads a disk until told to stop; answers must be good, or what the test allows.
fn load(hosted: &Hosted, stop: &AtomicBool, allowed: &[Status], meanwhile: impl FnOnce()) -> u64 {
    let disk = hosted.disk(hosted.encrypting());
    thread::scope(|scope| {
        let workers: Vec<_> = (0..4_u64)
            .map(|worker| {
                let disk = &disk;
                scope.spawn(move || {
                    let (mut done, mut round) = (0, 0);
                    let mut random = fastrand::Rng::with_seed(worker);
                    while !stop.load(Relaxed) && round < 100_000 {
                        round += 1;
                        let (sector, sectors) = (worker * 2048 + random.u64(..1900), random.usize(1..=32));
                        let data = pattern(sector, sectors, round);
                        let mut read = vec![0; data.len()];
                        let wrote = disk.write(sector, &data, Flags::default());
                        let answer = disk.read(sector, &mut read);
                        for status in [wrote.status, answer.status] {
                            assert!(status == Status::OK || allowed.contains(&status), "{status:?}");
                        }
                        if (wrote.status, answer.status) == (Status::OK, Status::OK) {
                            assert!(read == data, "{sectors} sectors at {sector}");
                            done += 1;
                        }
                    }
                    done
                })
            })
            .collect();
        meanwhile();
        stop.store(true, Relaxed);
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    })
}

#[test]
fn resets_under_load_lose_nothing() {
    for (miniport, device) in PLAIN.iter().zip(MACHINES.into_iter().cycle()) {
        for device in [device, MACHINES[3]] {
            let hosted = start(miniport, device);
            let name = format!("{} {device:?}", miniport.name);
            let done = load(&hosted, &AtomicBool::new(false), &[Status::DEVICE, Status::BUSY], || {
                for function in [SrbFunction::RESET_LOGICAL_UNIT, SrbFunction::RESET_BUS].repeat(5) {
                    assert_success(&name, &hosted.command(function, Special::None, Vec::new()));
                    thread::sleep(Duration::from_millis(10));
                }
            });
            assert!(done > 0, "{name}");
            let counters = hosted.counters();
            assert_eq!((counters.reset_unit, counters.reset_bus), (5, 5), "{name}");
            assert_good(&name, &hosted, &counters);
        }
    }
}

#[test]
fn an_adapter_pulled_out_under_load_ends_every_request() {
    for miniport in PLAIN {
        for device in [MACHINES[0], MACHINES[3]] {
            let hosted = start(miniport, device);
            load(&hosted, &AtomicBool::new(false), &[Status::DEVICE, Status::NO_DEVICE], || {
                thread::sleep(Duration::from_millis(20));
                hosted.surprise_remove();
                thread::sleep(Duration::from_millis(20));
            });
            let disk = hosted.disk(Chain::new());
            assert_ne!(disk.read(0, &mut [0; 512]).status, Status::OK, "{}", miniport.name);
            drop(disk);
            hosted.stop();
            assert_eq!(hosted.faults(), [], "{} {device:?}", miniport.name);
        }
    }
}

#[test]
fn power_goes_down_and_comes_up() {
    for miniport in PLAIN {
        let hosted = start(miniport, MACHINES[3]);
        let disk = hosted.disk(hosted.encrypting());
        let data = pattern(3, 4, 1);
        assert_eq!(disk.write(3, &data, Flags::default()).status, Status::OK);
        hosted.port().adapter_power(2, 4).unwrap();
        hosted.port().adapter_power(0, 1).unwrap();
        let mut read = vec![0; data.len()];
        assert_eq!(disk.read(3, &mut read).status, Status::OK);
        assert!(read == data, "{}", miniport.name);
    }
}
