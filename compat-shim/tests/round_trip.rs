//! Data through unit, chain and the RAM miniport, and back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "tests play the parts of hosts and miniports, some of them badly"
)]

mod support;

use std::sync::Arc;

use sluice_chain::{Chain, Direction, Flags, Status};
use sluice_checker::Disk;
use sluice_miniport_ram::Ram;
use sluice_shim::{
    scsi::cdb::Form,
    storport::{SrbFunction, SrbKind, SrbStatus},
};
use sluice_user_host::{Executor, Operation, Setup};
use support::{EndsAt, KINDS, Keeper, Place, Random, Recorder, SECTOR, Xor, mask, unmap_list};

const SECTORS: u64 = 4096;
const OFFSET: u64 = 100;
const EXECUTORS: [Executor; 2] = [Executor::Inline, Executor::Thread];

fn ram(kind: SrbKind) -> Arc<Ram> {
    Arc::new(Ram::new(SECTORS, SECTOR, kind).unwrap())
}

fn owned<S: sluice_chain::Stage + Send + 'static>(chain: &mut Chain, stage: S) {
    chain.push_owned(Box::new(stage)).unwrap();
}

/// The chains that every round trip is tried with: what to build, where sector 0 lies, whether data is changed.
fn chains() -> Vec<(&'static str, Chain, u64, bool)> {
    let empty = Chain::new();
    let (mut xor, mut place, mut both, mut twice) = (Chain::new(), Chain::new(), Chain::new(), Chain::new());
    owned(&mut xor, Xor);
    owned(&mut place, Place(OFFSET));
    owned(&mut both, Xor);
    owned(&mut both, Place(OFFSET));
    owned(&mut twice, Xor);
    owned(&mut twice, Xor);
    let mut pending = Vec::new();
    for (down, up, at_once) in [(true, false, 0), (false, true, 0), (true, true, 0), (true, true, 2)] {
        let mut chain = Chain::new();
        Keeper::push(&mut chain, down, up, at_once);
        owned(&mut chain, Xor);
        Keeper::push(&mut chain, down, up, at_once);
        owned(&mut chain, Place(OFFSET));
        pending.push(("pending", chain, OFFSET, true));
    }
    let mut all = vec![
        ("empty", empty, 0, false),
        ("xor", xor, 0, true),
        ("place", place, OFFSET, false),
        ("both", both, OFFSET, true),
        ("xor twice", twice, 0, false),
    ];
    all.append(&mut pending);
    all
}

#[test]
fn what_is_written_is_read_through_every_chain() {
    for kind in KINDS {
        for executor in EXECUTORS {
            for (name, chain, offset, changed) in chains() {
                let ram = ram(kind);
                let setup = Setup { executor, ..Setup::default() };
                let disk = Disk::new(Arc::clone(&ram), SECTOR, chain, &setup);
                let mut random = Random(7);
                for (sector, sectors) in
                    [(0, 1), (1, 2), (9, 8), (64, 63), (200, 64), (300, 129), (500, 2048)]
                {
                    let data = random.bytes(sectors * SECTOR as usize);
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
                    assert!(read == data, "{name} {kind:?} {executor:?}: {sectors} sectors at {sector}");
                    let mut raw = vec![0; data.len()];
                    ram.peek((sector + offset) * u64::from(SECTOR), &mut raw);
                    let expected: Vec<u8> = (0..data.len())
                        .map(|index| if changed { data[index] ^ mask(sector, index) } else { data[index] })
                        .collect();
                    assert!(raw == expected, "{name}: on the device");
                }
                assert_eq!(disk.flush().status, Status::OK);
                assert_eq!(disk.verify(0, 8 * SECTOR).status, Status::OK);
                assert_eq!(disk.discard(unmap_list(&[(9, 8), (0, 1)])).status, Status::OK);
                let mut raw = vec![1; 8 * SECTOR as usize];
                ram.peek((9 + offset) * u64::from(SECTOR), &mut raw);
                assert!(raw.iter().all(|byte| *byte == 0), "{name}: discarded");
                ram.peek((8 + offset) * u64::from(SECTOR), &mut raw[..1]);
            }
        }
    }
}

#[test]
fn the_callers_write_buffer_is_never_written() {
    let mut chain = Chain::new();
    owned(&mut chain, Xor);
    owned(&mut chain, Xor);
    let disk = Disk::new(ram(SrbKind::Extended), SECTOR, chain, &Setup::default());
    let data = Random(3).bytes(16 * SECTOR as usize);
    let (answer, back) = disk.start(Operation::write(5, data.clone())).wait();
    assert_eq!(answer.status, Status::OK);
    assert!(back == data);
}

#[test]
fn every_form_and_function_reaches_the_device() {
    for kind in KINDS {
        let disk = Disk::new(ram(kind), SECTOR, Chain::new(), &Setup::default());
        for (n, form) in
            [Form::Six, Form::Ten, Form::Twelve, Form::Sixteen, Form::ThirtyTwo].into_iter().enumerate()
        {
            let sector = n as u64 * 8;
            let data = Random(n as u64).bytes(4096);
            for mut operation in [
                Operation::write(sector, data.clone()),
                Operation::read(sector, 4096),
                Operation::verify(sector, 4096),
                Operation::flush(),
            ] {
                (operation.carry.form, operation.carry.dpo) = (form, true);
                operation.flags = Flags::FUA;
                let (answer, buffer) = disk.start(operation).wait();
                assert_eq!(answer.status, Status::OK, "{form:?}");
                assert_eq!(answer.device.unwrap().srb_status, SrbStatus::SUCCESS);
                assert!(buffer.is_empty() || buffer == data);
            }
        }
        for function in [SrbFunction::EXECUTE_SCSI, SrbFunction::FLUSH, SrbFunction::SHUTDOWN] {
            let mut operation = Operation::flush();
            operation.carry.function = function;
            assert_eq!(disk.start(operation).wait().0.status, Status::OK, "{function:?}");
        }
    }
}

#[test]
fn what_cannot_run_is_refused_before_it_starts() {
    let mut chain = Chain::new();
    owned(&mut chain, Xor);
    let seen = Recorder::default();
    owned(&mut chain, seen.clone());
    let setup = Setup { small: (4096, 2), large: (16384, 1), ..Setup::default() };
    let disk = Disk::new(ram(SrbKind::Extended), SECTOR, chain, &setup);
    let refused = |operation: Operation| {
        let answer = disk.start(operation).wait().0;
        assert_eq!((answer.status, answer.device.is_none()), (Status::INVALID, true));
    };
    refused(Operation::write(0, vec![0; 16384 + 512])); // larger than any private memory
    refused(Operation::write(0, vec![0; 100]));
    refused(Operation::read(0, 513));
    refused(Operation::verify(0, 511));
    refused(Operation { direction: Direction(9), ..Operation::read(0, 512) });
    refused(Operation::discard(vec![0; 16384])); // needs twice its length
    assert_eq!(seen.seen(), (0, 0), "the chain saw none of them");
    assert_eq!(disk.write(0, &[7; 16384], Flags::default()).status, Status::OK, "the largest is taken");
    assert_eq!(disk.read(0, &mut vec![0; 1 << 20]).status, Status::OK, "reads need no private memory");
    assert_eq!(disk.read(0, &mut []).status, Status::OK, "nothing to read is no error");
}

#[test]
fn the_device_says_what_is_out_of_range() {
    for kind in KINDS {
        let disk = Disk::new(ram(kind), SECTOR, Chain::new(), &Setup::default());
        let mut buffer = vec![0; 1024];
        for sector in [SECTORS - 1, SECTORS, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let answer = disk.read(sector, &mut buffer);
            assert_eq!((answer.status, answer.transferred), (Status::DEVICE, 0), "{sector}");
            let device = answer.device.unwrap();
            assert_eq!((device.sense()[2] & 0xF, device.sense()[12], device.sense()[13]), (5, 0x21, 0));
            assert_eq!(disk.write(sector, &buffer, Flags::default()).status, Status::DEVICE);
        }
        assert_eq!(disk.read(SECTORS - 2, &mut buffer).status, Status::OK);
        assert_eq!(disk.unit().stats().completed.errors.load(std::sync::atomic::Ordering::Relaxed), 10);
    }
}

#[test]
fn a_stage_that_ends_early_is_seen_by_those_above_it_alone() {
    for status in [Status::OK, Status::MEDIUM, Status::LOCKED, Status::NO_SPACE] {
        let (above, below) = (Recorder::default(), Recorder::default());
        let mut chain = Chain::new();
        owned(&mut chain, above.clone());
        owned(&mut chain, EndsAt(40, status));
        owned(&mut chain, below.clone());
        let disk = Disk::new(ram(SrbKind::Extended), SECTOR, chain, &Setup::default());
        let answer = disk.read(40, &mut [0; 512]);
        assert_eq!((answer.status, answer.device.is_none()), (status, true));
        let expected = if status == Status::OK { 512 } else { 0 };
        assert_eq!(answer.transferred, expected, "a stage that says OK has done all of it");
        assert_eq!((above.seen(), below.seen()), ((1, 1), (0, 0)));
        assert_eq!(disk.read(41, &mut [0; 512]).status, Status::OK);
        assert_eq!((above.seen(), below.seen()), ((2, 2), (1, 1)));
    }
}

#[test]
fn a_queue_of_requests_that_all_end_early_needs_no_stack() {
    let mut chain = Chain::new();
    owned(&mut chain, EndsAt(0, Status::LOCKED));
    let setup = Setup { requests: 1, ..Setup::default() };
    let disk = Disk::new(ram(SrbKind::Legacy), SECTOR, chain, &setup);
    let tickets: Vec<_> = (0..20_000).map(|_| disk.start(Operation::read(0, 512))).collect();
    for ticket in tickets {
        assert_eq!(ticket.wait().0.status, Status::LOCKED);
    }
}

#[test]
fn both_points_are_counted() {
    let disk = Disk::new(ram(SrbKind::Extended), SECTOR, Chain::new(), &Setup::default());
    for _ in 0..10 {
        disk.write(0, &[0; 1024], Flags::default());
        disk.read(0, &mut [0; 512]);
    }
    disk.flush();
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
    let stats = disk.unit().stats();
    for point in [&stats.dispatched, &stats.completed] {
        assert_eq!((load(&point.requests), load(&point.bytes), load(&point.errors)), (21, 15360, 0));
    }
    assert_eq!(stats.completed.latency.iter().map(load).sum::<u64>(), 21);
}
