//! Who may start, and when.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

use std::{
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use sluice_port::command::Special;
use sluice_port_host::{Adapter, raised};
use sluice_shim::storport::{SrbKind, SrbRequest, SrbStatus, srb::Address};
use support::{Ext, PATIENCE, Script, SrbAt, c, fault, start, succeed};

type Kept = Arc<Mutex<Vec<(Ext, SrbAt)>>>;

/// A miniport that keeps what it gets, with senders of commands.
struct Bench {
    adapter: Arc<Adapter>,
    kept: Kept,
    senders: Vec<JoinHandle<SrbStatus>>,
}

impl Bench {
    fn new() -> Self {
        let kept: Kept = Arc::default();
        let keep = Arc::clone(&kept);
        let adapter = start(Script {
            kind: SrbKind::Extended,
            start: Box::new(move |ext, srb| {
                keep.lock().unwrap().push((ext, srb));
                true
            }),
            ..Script::default()
        });
        adapter.add_unit(0, 0, 1).unwrap();
        Self { adapter, kept, senders: Vec::new() }
    }

    fn ext(&self) -> *mut std::ffi::c_void {
        self.adapter.port().extension()
    }

    fn send(&mut self, lun: u8, count: usize) {
        for _ in 0..count {
            let adapter = Arc::clone(&self.adapter);
            self.senders.push(thread::spawn(move || {
                let unit = adapter.port().unit(Address { path: 0, target: 0, lun }).unwrap();
                adapter.command(unit, &SrbRequest::command(&[0; 6]), Special::None).answer.srb_status
            }));
        }
    }

    /// Waits until the miniport has so many, and sees that no more come.
    fn has(&self, count: usize) {
        let there = self.adapter.wait_until(PATIENCE, |_| self.kept.lock().unwrap().len() >= count);
        assert!(there, "{} of {count}", self.kept.lock().unwrap().len());
        thread::sleep(Duration::from_millis(30));
        self.adapter.settle();
        assert_eq!(self.kept.lock().unwrap().len(), count);
    }

    /// The miniport completes so many.
    fn complete(&self, count: usize) {
        let some: Vec<_> = self.kept.lock().unwrap().drain(..count).collect();
        some.into_iter().for_each(|(ext, srb)| succeed(ext, srb));
    }

    fn end(mut self) {
        while !self.senders.iter().all(JoinHandle::is_finished) {
            let count = self.kept.lock().unwrap().len();
            self.complete(count);
            thread::sleep(Duration::from_millis(1));
        }
        for sender in self.senders.drain(..) {
            assert_eq!(sender.join().unwrap(), SrbStatus::SUCCESS);
        }
        assert_eq!(self.adapter.port().outstanding_requests(), 0);
        assert_eq!(sluice_port_host::violations(), Vec::<String>::new());
    }
}

// SAFETY in all of them: the port's functions are called as C would.

#[test]
fn a_paused_adapter_starts_nothing_until_it_is_resumed() {
    let mut bench = Bench::new();
    // SAFETY: as C would; from an interrupt routine, as it may.
    raised(5, || unsafe { assert_eq!(c::StorPortPause(bench.ext(), 3600), 1) });
    bench.send(0, 2);
    bench.send(1, 1);
    bench.has(0);
    // SAFETY: as C would.
    unsafe {
        assert_eq!(c::StorPortResume(bench.ext()), 1);
        assert_eq!(c::StorPortResume(bench.ext()), 0);
    }
    bench.has(3);
    bench.end();
}

#[test]
fn a_pause_ends_by_itself() {
    let mut bench = Bench::new();
    let began = Instant::now();
    // SAFETY: as C would.
    unsafe { c::StorPortPause(bench.ext(), 1) };
    bench.send(0, 1);
    bench.has(1);
    assert!(began.elapsed() >= Duration::from_millis(990));
    bench.end();
}

#[test]
fn a_paused_unit_stops_no_other() {
    let mut bench = Bench::new();
    // SAFETY: as C would.
    unsafe {
        assert_eq!(c::StorPortPauseDevice(bench.ext(), 0, 0, 0, 3600), 1);
        assert_eq!(c::StorPortPauseDevice(bench.ext(), 0, 0, 7, 3600), 0, "no such unit");
    }
    bench.send(0, 2);
    bench.send(1, 2);
    bench.has(2);
    // SAFETY: as C would.
    unsafe {
        assert_eq!(c::StorPortResumeDevice(bench.ext(), 0, 0, 1), 0, "it was not paused");
        assert_eq!(c::StorPortResumeDevice(bench.ext(), 0, 0, 0), 1);
    }
    bench.has(4);
    bench.end();
}

#[test]
fn a_busy_adapter_waits_for_as_many_as_it_said() {
    let mut bench = Bench::new();
    bench.send(0, 2);
    bench.send(1, 2);
    bench.has(4);
    // SAFETY: as C would.
    unsafe { assert_eq!(c::StorPortBusy(bench.ext(), 3), 1) };
    bench.send(0, 1);
    bench.complete(2);
    bench.has(2);
    bench.complete(1);
    bench.has(2); // one left, and the new one
    bench.end();
}

#[test]
fn busy_for_more_than_there_are_waits_for_those() {
    let mut bench = Bench::new();
    bench.send(0, 2);
    bench.has(2);
    // SAFETY: as C would.
    unsafe { c::StorPortBusy(bench.ext(), 1000) };
    bench.send(0, 1);
    bench.has(2);
    bench.complete(2);
    bench.has(1);
    bench.complete(1);
    bench.adapter.settle();
    // With none out there is nothing to wait for.
    // SAFETY: as C would.
    unsafe { c::StorPortBusy(bench.ext(), 1000) };
    bench.send(0, 1);
    bench.has(1);
    bench.end();
}

#[test]
fn ready_ends_busy() {
    let mut bench = Bench::new();
    bench.send(0, 1);
    bench.send(1, 1);
    bench.has(2);
    // SAFETY: as C would.
    unsafe {
        c::StorPortBusy(bench.ext(), 2);
        assert_eq!(c::StorPortDeviceBusy(bench.ext(), 0, 0, 1, 1), 1);
    }
    bench.send(0, 1);
    bench.send(1, 1);
    bench.has(2);
    // SAFETY: as C would.
    unsafe { assert_eq!(c::StorPortReady(bench.ext()), 1) };
    bench.has(3);
    // SAFETY: as C would.
    unsafe { assert_eq!(c::StorPortDeviceReady(bench.ext(), 0, 0, 1), 1) };
    bench.has(4);
    bench.end();
}

#[test]
fn a_unit_gets_no_more_than_its_depth() {
    let mut bench = Bench::new();
    // SAFETY: as C would.
    unsafe {
        assert_eq!(c::StorPortSetDeviceQueueDepth(bench.ext(), 0, 0, 0, 3), 1);
        for (lun, depth) in [(0, 0), (0, 1024), (0, u32::MAX), (9, 3)] {
            assert_eq!(c::StorPortSetDeviceQueueDepth(bench.ext(), 0, 0, lun, depth), 0);
        }
    }
    bench.send(0, 8);
    bench.has(3);
    bench.complete(1);
    bench.has(3);
    // SAFETY: as C would.
    unsafe { assert_eq!(c::StorPortSetDeviceQueueDepth(bench.ext(), 0, 0, 0, 5), 1) };
    bench.has(5);
    bench.end();
}

#[test]
fn a_busy_answer_is_asked_again() {
    let turns = Arc::new(Mutex::new(0));
    let turn = Arc::clone(&turns);
    let adapter = start(Script {
        start: Box::new(move |ext, srb| {
            *turn.lock().unwrap() += 1;
            let status = if *turn.lock().unwrap() < 4 { SrbStatus::BUSY } else { SrbStatus::SUCCESS };
            support::finish(ext, srb, status);
            true
        }),
        ..Script::default()
    });
    let unit = adapter.port().unit(Address::default()).unwrap();
    let began = Instant::now();
    let answer = adapter.command(unit, &SrbRequest::command(&[0; 6]), Special::None).answer;
    assert_eq!((answer.srb_status, *turns.lock().unwrap()), (SrbStatus::SUCCESS, 4));
    assert!(began.elapsed() >= Duration::from_millis(29), "not in a tight loop");
    assert_eq!(fault(&adapter, "completed_twice"), 0);
}

#[test]
fn a_detected_reset_holds_everything_for_a_while() {
    let mut bench = Bench::new();
    let began = Instant::now();
    // SAFETY: as C would.
    unsafe { c::StorPortNotification(c::RESET_DETECTED, bench.ext()) };
    bench.send(0, 1);
    bench.has(1);
    assert!(began.elapsed() >= Duration::from_micros(support::TIMING.reset_hold - 1000));
    bench.end();
}
