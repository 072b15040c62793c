//! Each lie by itself, and what comes of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

use std::sync::Arc;

use sluice_miniport_virtio_blk::{
    Device, Settings,
    request::{Asked, Outcome},
};
use sluice_shim::scsi::sense::Refusal;
use sluice_virtio_model::{Behaviour, Line, Model, Task, Tasks};

const READ: Asked = Asked::Read { block: 0, bytes: 512, deliver: true };

/// Two reads, of which the first is answered as `lie` says; how the two have ended, if they have.
fn two(packed: bool, lie: impl FnOnce(&Model)) -> [Option<Outcome>; 2] {
    let line = Line::new(Behaviour::new(packed), 1 << 20);
    let settings = Settings { queues: 1, descriptors: 16, requests: 8, copy: 4096, ..Settings::default() };
    let device: Device<Line, Task> =
        Device::new(line.clone(), sluice_checker::platform(), &mut line.0.shared(), settings).unwrap();
    device.reset().unwrap();
    let tasks = Tasks::default();
    for number in 0..2 {
        device.start(Task {
            number,
            asked: READ,
            ranges: vec![],
            data: vec![0xEE; 512],
            tasks: Arc::clone(&tasks),
        });
    }
    lie(&line.0);
    device.interrupt(0);
    assert!(device.is_running());
    let ended = tasks.lock().unwrap();
    let outcome = |number| ended.iter().find(|(of, _, _)| *of == number).map(|(_, outcome, _)| *outcome);
    [outcome(0), outcome(1)]
}

/// The device was reset: what it had is to be repeated.
const RESET: [Option<Outcome>; 2] = [Some(Outcome::Refused(Refusal::Aborted)); 2];

#[test]
fn what_it_does_not_have_it_cannot_give_back() {
    for packed in [false, true] {
        for id in [2, 5, 15, 16, 17, 255, 0xFFFE, 0xFFFF] {
            assert_eq!(two(packed, |model| model.answer(Some(id), None, 0, false)), RESET, "{packed}, {id}");
        }
    }
    // A split ring's identifiers have 32 bits, of which no more than a few count.
    assert_eq!(two(false, |model| model.answer(Some(1 << 16), None, 0, false)), RESET);
}

#[test]
fn it_cannot_have_written_more_than_there_was() {
    for packed in [false, true] {
        let whole = two(packed, |model| model.answer(None, Some(513), 0, false));
        assert_eq!(whole, [Some(Outcome::Moved(512)), None]);
        for length in [514, 4096, u32::MAX] {
            assert_eq!(two(packed, |model| model.answer(None, Some(length), 0, false)), RESET);
        }
    }
}

#[test]
fn what_it_gives_back_twice_it_did_not_have() {
    for packed in [false, true] {
        let ended = two(packed, |model| {
            model.answer(None, None, 0, true);
            model.answer(None, None, 0, false);
        });
        assert_eq!(ended, [Some(Outcome::Moved(512)), RESET[1]]);
    }
}

#[test]
fn a_read_that_is_well_and_has_read_too_little_is_not_well() {
    for packed in [false, true] {
        for length in [0, 1, 511, 512] {
            let ended = two(packed, |model| model.answer(None, Some(length), 0, false));
            assert_eq!(ended, [Some(Outcome::Refused(Refusal::Hardware)), None]);
        }
    }
}

#[test]
fn each_status_has_its_word() {
    let words = [
        (1, Refusal::Medium),
        (2, Refusal::InvalidOpcode),
        (3, Refusal::Hardware),
        (0xFF, Refusal::Hardware),
    ];
    for (status, refusal) in words {
        let ended = two(true, |model| model.answer(None, None, status, false));
        assert_eq!(ended, [Some(Outcome::Refused(refusal)), None]);
    }
}

#[test]
fn a_device_that_knows_already_is_not_told_again() {
    for packed in [false, true] {
        let line = Line::new(Behaviour::new(packed), 1 << 20);
        let settings = Settings { queues: 1, requests: 8, copy: 512, ..Settings::default() };
        let device: Device<Line, Task> =
            Device::new(line.clone(), sluice_checker::platform(), &mut line.0.shared(), settings).unwrap();
        device.reset().unwrap();
        let tasks = Tasks::default();
        for number in 0..6 {
            device.start(Task {
                number,
                asked: READ,
                ranges: vec![],
                data: vec![0; 512],
                tasks: Arc::clone(&tasks),
            });
        }
        assert_eq!(line.0.notified(), 1);
        line.0.run(0, &mut |_| 0);
        device.interrupt(0);
        assert_eq!(tasks.lock().unwrap().len(), 6);
    }
}
