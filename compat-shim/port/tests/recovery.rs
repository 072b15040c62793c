//! Requests that do not come back.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering::SeqCst},
};

use sluice_port::{command::Special, services::Event};
use sluice_port_host::Adapter;
use sluice_shim::storport::{SrbFunction, SrbKind, SrbRequest, SrbStatus, srb::Address};
use support::{Ext, PATIENCE, Script, SrbAt, complete, fault, finish, start, succeed};

const ROOT: Address = Address { path: 0, target: 0, lun: 0 };

/// A command of one second.
fn command(adapter: &Adapter) -> SrbStatus {
    let unit = adapter.port().unit(ROOT).unwrap();
    let request = SrbRequest { timeout: 1, ..SrbRequest::command(&[0; 6]) };
    adapter.command(unit, &request, Special::None).answer.srb_status
}

/// A miniport that loses its first `lose` commands, writes down what resets it is sent, and at the one that it heeds
/// gives back what it has with `status`.
struct Lossy {
    adapter: Arc<Adapter>,
    lost: Arc<Mutex<Vec<(Ext, SrbAt)>>>,
    resets: Arc<Mutex<Vec<&'static str>>>,
}

fn lossy(kind: SrbKind, lose: u32, heeds: &'static str, status: SrbStatus, targets: bool) -> Lossy {
    let lost: Arc<Mutex<Vec<(Ext, SrbAt)>>> = Arc::default();
    let resets: Arc<Mutex<Vec<&'static str>>> = Arc::default();
    let count = AtomicU32::new(0);
    let (keep, note, bus_keep, bus_note) =
        (Arc::clone(&lost), Arc::clone(&resets), Arc::clone(&lost), Arc::clone(&resets));
    let give_back = move |kept: &Mutex<Vec<(Ext, SrbAt)>>, name: &str| {
        if name == heeds {
            let all = std::mem::take(&mut *kept.lock().unwrap());
            all.into_iter().for_each(|(ext, srb)| finish(ext, srb, status));
        }
    };
    let adapter = start(Script {
        kind,
        find: Box::new(move |_, configuration| {
            configuration.reset_target_supported = u8::from(targets);
            1
        }),
        start: Box::new(move |ext, srb| {
            let name = match srb.view().function() {
                SrbFunction::RESET_LOGICAL_UNIT => "unit",
                SrbFunction::RESET_DEVICE => "target",
                _ if count.fetch_add(1, SeqCst) < lose => {
                    keep.lock().unwrap().push((ext, srb));
                    return true;
                }
                _ => {
                    succeed(ext, srb);
                    return true;
                }
            };
            note.lock().unwrap().push(name);
            give_back(&keep, name);
            succeed(ext, srb);
            true
        }),
        reset_bus: Box::new(move |_, path| {
            assert_eq!(path, 0);
            bus_note.lock().unwrap().push("bus");
            give_back(&bus_keep, "bus");
            true
        }),
        ..Script::default()
    });
    Lossy { adapter, lost, resets }
}

#[test]
fn a_reset_of_the_unit_is_enough_and_the_request_is_started_over() {
    for kind in [SrbKind::Legacy, SrbKind::Extended] {
        let it = lossy(kind, 1, "unit", SrbStatus::ABORTED, false);
        assert_eq!(command(&it.adapter), SrbStatus::SUCCESS);
        assert_eq!(*it.resets.lock().unwrap(), ["unit"]);
        assert_eq!(fault(&it.adapter, "timed_out"), 1);
        assert_eq!(fault(&it.adapter, "lost"), 0);
    }
}

#[test]
fn resets_become_larger() {
    let it = lossy(SrbKind::Extended, 1, "bus", SrbStatus::BUS_RESET, true);
    assert_eq!(command(&it.adapter), SrbStatus::SUCCESS);
    assert_eq!(*it.resets.lock().unwrap(), ["unit", "target", "bus"]);
    let it = lossy(SrbKind::Extended, 1, "bus", SrbStatus::BUS_RESET, false);
    assert_eq!(command(&it.adapter), SrbStatus::SUCCESS);
    assert_eq!(*it.resets.lock().unwrap(), ["unit", "bus"], "a target only if it can be reset");
}

#[test]
fn a_request_is_not_started_over_for_ever() {
    let it = lossy(SrbKind::Legacy, u32::MAX, "unit", SrbStatus::BUS_RESET, false);
    assert_eq!(command(&it.adapter), SrbStatus::BUS_RESET);
    assert_eq!(it.resets.lock().unwrap().len(), 4, "once, and three times over");
}

#[test]
fn what_never_comes_back_is_given_up_and_welcome_later() {
    let it = lossy(SrbKind::Legacy, 1, "none", SrbStatus::SUCCESS, true);
    assert_eq!(command(&it.adapter), SrbStatus::TIMEOUT);
    assert_eq!(*it.resets.lock().unwrap(), ["unit", "target", "bus"]);
    assert_eq!(fault(&it.adapter, "lost"), 1);
    assert!(it.adapter.record().events.contains(&Event::MarkedFailed(Some(ROOT))));
    assert_eq!(it.adapter.port().outstanding_requests(), 0);
    // Others go on.
    assert_eq!(command(&it.adapter), SrbStatus::SUCCESS);
    // It comes after all, and twice.
    let (ext, srb) = it.lost.lock().unwrap()[0];
    finish(ext, srb, SrbStatus::SUCCESS);
    assert!(it.adapter.wait_until(PATIENCE, |adapter| fault(adapter, "late") == 1));
    it.adapter.settle();
    complete(ext, srb);
    assert_eq!(fault(&it.adapter, "completed_twice"), 1);
    assert_eq!(command(&it.adapter), SrbStatus::SUCCESS);
}

#[test]
fn an_error_of_its_own_is_not_started_over() {
    let it = lossy(SrbKind::Legacy, 1, "unit", SrbStatus::ERROR, false);
    assert_eq!(command(&it.adapter), SrbStatus::ERROR);
}

#[test]
fn without_a_time_out_nothing_is_reset() {
    let it = lossy(SrbKind::Legacy, 1, "unit", SrbStatus::ABORTED, false);
    let sender = Arc::clone(&it.adapter);
    let thread = std::thread::spawn(move || {
        let unit = sender.port().unit(ROOT).unwrap();
        sender.command(unit, &SrbRequest::command(&[0; 6]), Special::None).answer.srb_status
    });
    std::thread::sleep(std::time::Duration::from_millis(1300));
    assert!(it.resets.lock().unwrap().is_empty());
    let (ext, srb) = it.lost.lock().unwrap()[0];
    succeed(ext, srb);
    assert_eq!(thread.join().unwrap(), SrbStatus::SUCCESS);
}

#[test]
fn a_reset_that_is_lost_itself_stops_nothing() {
    let kept: Arc<Mutex<Vec<(Ext, SrbAt)>>> = Arc::default();
    let (keep, give) = (Arc::clone(&kept), Arc::clone(&kept));
    let heard = Arc::new(AtomicU32::new(0));
    let hear = Arc::clone(&heard);
    let adapter = start(Script {
        start: Box::new(move |ext, srb| {
            if hear.load(SeqCst) == 0 {
                keep.lock().unwrap().push((ext, srb)); // the command, then its reset
            } else {
                succeed(ext, srb);
            }
            true
        }),
        reset_bus: Box::new(move |_, _| {
            heard.store(1, SeqCst);
            let all = std::mem::take(&mut *give.lock().unwrap());
            all.into_iter().for_each(|(ext, srb)| finish(ext, srb, SrbStatus::BUS_RESET));
            true
        }),
        ..Script::default()
    });
    assert_eq!(command(&adapter), SrbStatus::SUCCESS);
    assert_eq!(command(&adapter), SrbStatus::SUCCESS);
    assert_eq!(fault(&adapter, "lost"), 0);
}

#[test]
fn an_adapter_that_cannot_be_reset_says_so() {
    let adapter = start(Script {
        start: Box::new(|_, _| true),
        reset_bus: Box::new(|_, _| false),
        ..Script::default()
    });
    assert_eq!(command(&adapter), SrbStatus::TIMEOUT);
    assert!(adapter.record().events.contains(&Event::AdapterFailed));
}
