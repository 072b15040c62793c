//! More requests than a unit runs at once, cancellation, and private memory that runs out.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "tests play the parts of hosts and miniports, some of them badly"
)]

mod support;

use std::sync::{Arc, atomic::Ordering};

use sluice_chain::{Chain, Flags, Status};
use sluice_checker::Disk;
use sluice_shim::storport::SrbKind;
use sluice_user_host::{Executor, Operation, Setup, Ticket};
use support::{Gate, Random, Recorder, SECTOR, Xor, eventually, mask, unmap_list};

const SECTORS: u64 = 4096;

fn changing() -> Chain {
    let mut chain = Chain::new();
    chain.push_owned(Box::new(Xor)).unwrap();
    chain
}

fn log(gate: &Gate) -> Vec<u64> {
    gate.log.lock().unwrap().clone()
}

fn write(disk: &Disk, sector: u64, length: usize) -> Ticket<'_> {
    disk.start(Operation::write(sector, vec![sector as u8; length]))
}

fn ok(ticket: Ticket<'_>) {
    assert_eq!(ticket.wait().0.status, Status::OK);
}

#[test]
fn what_waits_starts_in_the_order_of_submission() {
    for requests in [1, 2, 3, 7] {
        let gate = Gate::new(SECTORS, SrbKind::Extended, true);
        let setup = Setup { requests, ..Setup::default() };
        let disk = Disk::new(Arc::clone(&gate), SECTOR, Chain::new(), &setup);
        let tickets: Vec<_> = (0..100).map(|n| write(&disk, n, 512)).collect();
        assert_eq!(gate.held(), requests, "no more than the unit has");
        let mut random = Random(requests as u64);
        for done in 0..100 {
            eventually("the next one has started", || gate.held() == requests.min(100 - done));
            // The device completes in any order.
            assert!(if random.below(2) == 0 { gate.release_oldest() } else { gate.release_newest() });
        }
        tickets.into_iter().for_each(ok);
        assert_eq!(log(&gate), (0..100).collect::<Vec<_>>());
    }
}

#[test]
fn a_read_behind_a_write_that_waits_for_memory_waits_too_and_both_go_on() {
    let gate = Gate::new(SECTORS, SrbKind::Extended, true);
    let setup = Setup { requests: 8, small: (4096, 1), large: (16384, 1), ..Setup::default() };
    let disk = Disk::new(Arc::clone(&gate), SECTOR, changing(), &setup);
    let small = write(&disk, 1, 4096);
    let second = write(&disk, 2, 4096); // takes the large one
    let third = write(&disk, 3, 4096);
    let read = disk.start(Operation::read(4, 512));
    let large = write(&disk, 5, 16384);
    assert_eq!(log(&gate), [1, 2], "there are requests enough, but no memory");
    assert!(gate.release_newest(), "the large buffer comes back and serves the third");
    eventually("two more", || gate.held() == 3);
    assert_eq!(log(&gate), [1, 2, 3, 4], "the large write waits for the large buffer");
    assert!(gate.release_oldest(), "the small buffer does not help it");
    eventually("it is back", || small.answer().is_some());
    assert_eq!(log(&gate), [1, 2, 3, 4]);
    assert!(gate.release_oldest());
    eventually("the large write", || log(&gate) == [1, 2, 3, 4, 5]);
    gate.open();
    [small, second, third, read, large].into_iter().for_each(ok);
}

#[test]
fn large_buffers_alone_let_every_write_through_in_the_end() {
    let gate = Gate::new(SECTORS, SrbKind::Legacy, false);
    let setup = Setup { requests: 16, small: (512, 0), large: (16384, 1), ..Setup::default() };
    let disk = Disk::new(Arc::clone(&gate), SECTOR, changing(), &setup);
    let tickets: Vec<_> = (0..60).map(|n| write(&disk, n * 32, 512 << (n % 6))).collect();
    tickets.into_iter().for_each(ok);
    assert_eq!(log(&gate), (0..60).map(|n| n * 32).collect::<Vec<_>>());
}

#[test]
fn a_class_without_buffers_makes_nothing_possible() {
    let gate = Gate::new(SECTORS, SrbKind::Legacy, false);
    let setup = Setup { small: (4096, 1), large: (1 << 20, 0), ..Setup::default() };
    let disk = Disk::new(gate, SECTOR, changing(), &setup);
    assert_eq!(write(&disk, 0, 8192).wait().0.status, Status::INVALID, "else it would wait for ever");
    ok(write(&disk, 0, 4096));
}

#[test]
fn what_is_withdrawn_is_never_started_and_what_is_not_is() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let gate = Gate::new(SECTORS, SrbKind::Extended, true);
        let executor = if seed % 2 == 0 { Executor::Thread } else { Executor::Inline };
        let requests = 1 + random.below(3) as usize;
        let setup = Setup {
            requests,
            small: (512, 1),
            large: (2048, 1 + random.below(2) as usize),
            executor,
            ..Setup::default()
        };
        let disk = Disk::new(Arc::clone(&gate), SECTOR, changing(), &setup);
        let count = 24;
        let mut tickets: Vec<_> = (0..count)
            .map(|n| (n, false, write(&disk, n * 8, if random.below(3) == 0 { 2048 } else { 512 })))
            .collect();
        // The device goes on while requests are withdrawn: each is caught waiting, starting, running or done.
        std::thread::scope(|scope| {
            let device = scope.spawn(|| {
                let mut random = Random(seed ^ 0xFF);
                for _ in 0..count / 2 {
                    (0..random.below(40)).for_each(|_| std::hint::spin_loop());
                    gate.release_oldest();
                }
            });
            for _ in 0..count {
                let at = random.below(count) as usize;
                let (_, cancelled, ticket) = &mut tickets[at];
                *cancelled |= ticket.cancel();
                disk.run_until_idle();
            }
            device.join().unwrap();
        });
        gate.open();
        for (n, cancelled, ticket) in tickets {
            let expected = if cancelled { Status::CANCELLED } else { Status::OK };
            assert_eq!(ticket.wait().0.status, expected, "seed {seed}, request {n}");
            let mut raw = [0; 512];
            gate.ram.peek(n * 8 * u64::from(SECTOR), &mut raw);
            let written = raw == std::array::from_fn(|index| (n * 8) as u8 ^ mask(n * 8, index));
            assert_eq!(written, !cancelled, "seed {seed}, request {n}");
        }
    }
}

#[test]
fn withdrawing_the_first_lets_go_on_what_it_stood_in_the_way_of() {
    let gate = Gate::new(SECTORS, SrbKind::Extended, true);
    let setup = Setup { requests: 8, small: (512, 1), large: (4096, 1), ..Setup::default() };
    let disk = Disk::new(Arc::clone(&gate), SECTOR, changing(), &setup);
    let running = write(&disk, 1, 4096);
    let blocked = write(&disk, 2, 4096);
    let behind = disk.start(Operation::read(3, 512));
    assert_eq!(log(&gate), [1]);
    assert!(blocked.cancel());
    // Nothing has been completed.
    eventually("the one behind has started", || log(&gate) == [1, 3]);
    assert!(!blocked.cancel() && !running.cancel() && !behind.cancel());
    gate.open();
    assert_eq!(blocked.wait().0.status, Status::CANCELLED);
    ok(running);
    ok(behind);
}

#[test]
fn everything_comes_back_when_the_disk_goes() {
    let seen = Recorder::default();
    for executor in [Executor::Inline, Executor::Thread] {
        let gate = Gate::new(SECTORS, SrbKind::Extended, true);
        let mut chain = changing();
        chain.push_owned(Box::new(seen.clone())).unwrap();
        let before = Arc::strong_count(&seen.0);
        let setup = Setup { requests: 2, executor, ..Setup::default() };
        let disk = Disk::new(Arc::clone(&gate), SECTOR, chain, &setup);
        // Tickets that are never looked at: their requests are the disk's to see through.
        for n in 0..10 {
            std::mem::forget(write(&disk, n, 512));
        }
        std::thread::scope(|scope| {
            scope.spawn(|| drop(disk));
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert_eq!(Arc::strong_count(&seen.0), before, "the unit waits for its requests");
            gate.open();
        });
        assert_eq!(Arc::strong_count(&seen.0), before - 1, "the chain is gone");
        assert_eq!(log(&gate).len(), 10);
    }
    assert_eq!(seen.seen(), (20, 20));
}

#[test]
fn discards_take_private_memory_and_give_it_back() {
    let gate = Gate::new(SECTORS, SrbKind::Extended, false);
    let setup = Setup { requests: 4, small: (64, 1), large: (4096, 1), ..Setup::default() };
    let disk = Disk::new(Arc::clone(&gate), SECTOR, Chain::new(), &setup);
    for turn in 0..50_u64 {
        let ranges: Vec<_> = (0..turn + 1).map(|n| (n * 8, 1)).collect();
        assert_eq!(disk.discard(unmap_list(&ranges)).status, Status::OK);
    }
    assert_eq!(disk.write(0, &[1; 512], Flags::default()).status, Status::OK);
    assert_eq!(disk.adapter().faults().not_owned.load(Ordering::Relaxed), 0);
}
