//! The miniport on devices that lie, in thousands of runs; each seed gives one run.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use sluice_miniport_virtio_blk::{
    Device, Settings,
    pci::{Function, Pci, Places},
    request::Asked,
    transport::{Failure, Transport},
};
use sluice_virtio_model::{Behaviour, Line, Task, Tasks, hostile, pci::Card};

#[test]
fn every_request_ends_once_whatever_the_device_does() {
    let (mut requests, mut well, mut failed) = (0, 0, 0);
    for seed in 0..6000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut left = random.usize(20..3000);
        let mut numbers = || {
            left = left.checked_sub(1)?;
            Some(random.u32(..))
        };
        let run = std::panic::AssertUnwindSafe(|| hostile::run(sluice_checker::platform(), &mut numbers));
        let report = std::panic::catch_unwind(run).unwrap_or_else(|_| panic!("seed {seed}"));
        requests += report.requests;
        well += report.well;
        failed += usize::from(report.failed);
    }
    // It was a test: much went well, and much did not.
    assert!(requests > 200_000 && well > requests / 10 && well < requests, "{well} of {requests}, {failed}");
}

/// What is compared is what is used: another thread changes all of the shared memory all the time.
#[test]
fn memory_that_changes_while_it_is_read() {
    for (seed, packed) in [(1, false), (2, true), (3, false), (4, true)] {
        let line = Line::new(Behaviour { strict: false, ..Behaviour::new(packed) }, 64 << 10);
        let settings =
            Settings { queues: 2, descriptors: 16, requests: 8, copy: 1024, ..Settings::default() };
        let device: Device<Line, Task> =
            Device::new(line.clone(), sluice_checker::platform(), &mut line.0.shared(), settings).unwrap();
        device.reset().unwrap();
        let (tasks, stop) = (Tasks::default(), AtomicBool::new(false));
        thread::scope(|scope| {
            let (memory, stop) = (line.0.memory(), &stop);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                while !stop.load(Relaxed) {
                    let value = if random.bool() { random.u32(0..20) } else { random.u32(..) };
                    memory.store32(random.usize(0..memory.length() / 4) * 4, value, Relaxed);
                }
            });
            for number in 0..20_000 {
                let asked = Asked::Read { block: 0, bytes: 1024, deliver: true };
                device.start(Task {
                    number,
                    asked,
                    ranges: vec![],
                    data: vec![0; 1024],
                    tasks: Arc::clone(&tasks),
                });
                device.interrupt(number as u16 % 2);
                if !device.is_running() {
                    device.reset().unwrap();
                }
            }
            stop.store(true, Relaxed);
        });
        device.stop();
        let mut ended: Vec<usize> = tasks.lock().unwrap().iter().map(|(number, _, _)| *number).collect();
        ended.sort_unstable();
        assert!(ended.into_iter().eq(0..20_000), "a request was lost, or ended twice");
    }
}

#[test]
fn a_function_that_says_anything_gives_places_inside_its_bars_or_none() {
    let line = Line::new(Behaviour::new(false), 1 << 16);
    let card = Card::new(line, 0);
    let right = sluice_virtio_model::pci::space();
    let mut found = 0;
    for seed in 0..20_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut space = right;
        for _ in 0..random.usize(0..6) {
            space[random.usize(0x34..0xB4)] = random.u8(..);
        }
        *card.space.lock().unwrap() = space;
        let Ok(places) = Places::find(&card) else { continue };
        found += 1;
        for place in [places.common, places.notify.0, places.isr, places.device] {
            assert!(u64::from(place.offset) + u64::from(place.length) <= card.bar_length(place.bar));
        }
    }
    assert!((5_000..19_000).contains(&found), "{found}");
    *card.space.lock().unwrap() = [0xFF; 256];
    assert!(Places::find(&card).is_err(), "a card that was pulled out");
}

#[test]
fn a_card_that_does_not_answer_a_reset_is_cut_off_from_memory() {
    let line = Line::new(Behaviour::new(false), 1 << 20);
    let mut card = Card::new(line, 2);
    let space = Arc::clone(&card.space);
    let may_reach_memory = || space.lock().unwrap()[4] & 4 != 0;
    card.stuck = true;
    space.lock().unwrap()[4] = 4;
    assert_eq!(Pci::new(card).unwrap().reset(), Err(Failure::Reset));
    assert!(!may_reach_memory());
    let mut card = Card::new(Line::new(Behaviour::new(false), 1 << 20), 2);
    card.space = Arc::clone(&space);
    assert!(Pci::new(card).unwrap().reset().is_ok() && may_reach_memory());
}
