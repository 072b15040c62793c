//! The engine turned by hand, on a device that ends I/O when the test says so: what waits, and in which order it goes on.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]
#![allow(dead_code, reason = "of what supports the tests, this one needs a part")]

use std::{cell::Cell, rc::Rc, sync::Arc, time::Duration};

use sluice_chain::Chain;
use sluice_checker::Disk;
use sluice_mapped::{Options, Volume, inspect::Inspector, io::DeviceIo};
use sluice_miniport_mapped::{Device, Ended, Engine, Mapped};
use sluice_shim::scsi::{cdb::BlockRange, unmap};
use sluice_user_host::{Operation, Setup};

mod support;

use support::{Memory, Queue, SECTOR, Waker, bytes, formatted, good, parts};

/// Ends as many I/Os as it may.
struct Held {
    queue: Queue,
    may_end: Rc<Cell<usize>>,
}

impl Device for Held {
    fn start(&mut self, io: DeviceIo) -> Result<(), DeviceIo> {
        self.queue.start(io)
    }

    fn ended(&mut self) -> Option<Ended> {
        let left = self.may_end.get().checked_sub(1)?;
        let ended = self.queue.ended()?;
        self.may_end.set(left);
        Some(ended)
    }

    fn is_idle(&self) -> bool {
        self.queue.is_idle()
    }
}

struct Turned {
    engine: Engine<Held>,
    miniport: Arc<Mapped<Waker>>,
    disk: Disk,
    may_end: Rc<Cell<usize>>,
}

fn turned(memory: &Memory) -> Turned {
    let (layout, sealer) = parts();
    let options = Options::new(1 << 20, 1 << 18, Some(1));
    let volume = Volume::open(&mut memory.clone(), layout, sealer, options).unwrap();
    let (setup, may_end) = (Setup::default(), Rc::new(Cell::new(0)));
    let device = Held { queue: Queue::new(memory), may_end: Rc::clone(&may_end) };
    let engine = Engine::new(volume, device, setup.requests, SECTOR as u32).unwrap();
    let miniport = Arc::new(Mapped::new(Waker::default()));
    let disk = Disk::new(Arc::clone(&miniport), SECTOR as u32, Chain::new(), &setup);
    Turned { engine, miniport, disk, may_end }
}

/// Long writes that found no buffer, and ranges that were not in the engine yet.
#[test]
fn what_waits_when_it_is_closed_is_in_the_last_checkpoint() {
    let memory = formatted();
    let Turned { mut engine, miniport, disk, may_end } = turned(&memory);
    let ranges = (0..400).map(|i| BlockRange { lba: i * 16, blocks: 8 });
    let mut list = vec![0; 8 + 16 * 400];
    unmap::write(ranges, &mut list).unwrap();
    let mut tickets = vec![disk.start(Operation::write(0, bytes(0, 1, 2048)))];
    tickets.push(disk.start(Operation::discard(list)));
    for i in 0..4 {
        let lba = (i + 4) * 2048 % 16384;
        tickets.push(disk.start(Operation::write(lba, bytes(lba, i, 2048))));
    }
    engine.turn(&miniport);
    engine.close();
    engine.turn(&miniport);
    may_end.set(usize::MAX);
    while !engine.is_closed() {
        engine.turn(&miniport);
    }
    tickets.into_iter().for_each(|ticket| assert!(good(&ticket.wait().0)));
    drop(disk);
    let (layout, sealer) = parts();
    let mut medium = memory.clone();
    let applied = Inspector::new(&mut medium, layout, sealer).unwrap().applied().unwrap();
    assert_eq!(applied.frames.len(), 0, "the next opening has something to replay");
}

/// A short list comes after long ones.
#[test]
fn long_lists_keep_no_others_waiting() {
    let memory = formatted();
    let Turned { mut engine, miniport, disk, may_end } = turned(&memory);
    let list = |first: u64, count: u64| {
        let ranges = (first..first + count).map(|block| BlockRange { lba: block * 8, blocks: 8 });
        let mut list = vec![0; 8 + 16 * count as usize];
        unmap::write(ranges, &mut list).unwrap();
        Operation::discard(list)
    };
    let fill: Vec<_> =
        (0..8).map(|i| disk.start(Operation::write(i * 2048, bytes(i * 2048, 1, 2048)))).collect();
    may_end.set(usize::MAX);
    engine.turn(&miniport);
    fill.into_iter().for_each(|ticket| assert!(good(&ticket.wait().0)));
    may_end.set(0);
    let long: Vec<_> = (0..6).map(|i| disk.start(list(300 * i, 300))).collect();
    let short = disk.start(list(1900, 1));
    engine.turn(&miniport);
    while short.answer().is_none() {
        may_end.set(1);
        engine.turn(&miniport);
        // Answers come by way of another thread.
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(long.iter().all(|ticket| ticket.answer().is_none()));
    may_end.set(usize::MAX);
    engine.turn(&miniport);
    long.into_iter().for_each(|ticket| assert!(good(&ticket.wait().0)));
}
