//! Nothing is allocated for a request: not when it starts, waits, ends, or when the device is reset.

#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

#[path = "../../../driver/mapped/tests/support/counting.rs"]
mod counting;

use std::sync::Arc;

use counting::{counted, watched};
use sluice_miniport_virtio_blk::{
    Device, Settings,
    request::{Asked, Range},
};
use sluice_virtio_model::{Behaviour, Line, Task, Tasks};

#[test]
fn nothing_is_allocated_for_a_request() {
    drop(watched(|| vec![0_u8; 4096]));
    assert!(counted() > 0, "allocations are not counted here");
    for packed in [false, true] {
        let line = Line::new(Behaviour::new(packed), 1 << 20);
        let settings =
            Settings { descriptors: 16, requests: 8, waiting: 32, copy: 4096, ..Settings::default() };
        let device: Device<Line, Task> =
            Device::new(line.clone(), sluice_checker::platform(), &mut line.0.shared(), settings).unwrap();
        device.reset().unwrap();
        let tasks: Tasks = Tasks::default();
        tasks.lock().unwrap().reserve(10_000);
        for round in 0..20 {
            for number in 0..40 {
                let asked = match number % 5 {
                    0 => Asked::Read { block: 8, bytes: 4096, deliver: true },
                    1 => Asked::Write { block: 8, bytes: 4096, durable: number % 2 == 0 },
                    2 => Asked::Flush,
                    3 => Asked::Discard,
                    _ => Asked::Identify,
                };
                let ranges = vec![Range { block: 1, blocks: 1 }; 4];
                let task = Task { number, asked, ranges, data: vec![0; 4096], tasks: Arc::clone(&tasks) };
                watched(|| device.start(task));
            }
            if round % 4 == 3 {
                watched(|| device.reset()).unwrap();
                continue;
            }
            loop {
                let queues = line.0.run(0, &mut |_| 0);
                if queues.is_empty() {
                    break;
                }
                queues.into_iter().for_each(|queue| watched(|| device.interrupt(queue)));
            }
        }
        assert_eq!(tasks.lock().unwrap().len(), 20 * 40);
        assert_eq!(counted(), 0);
    }
}
