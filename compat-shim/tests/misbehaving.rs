//! Miniports that answer badly, late, twice, from elsewhere, or not as they were asked.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "tests play the parts of hosts and miniports, some of them badly"
)]

mod support;

use std::{
    ffi::c_void,
    ptr::NonNull,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicU64, Ordering},
        mpsc,
    },
};

use sluice_chain::{Chain, Flags, Status};
use sluice_checker::Disk;
use sluice_miniport_ram::Ram;
use sluice_shim::{
    adapter::Adapter,
    miniport::{Hw, Miniport, Srb},
    storport::{ScsiStatus, SrbKind, SrbStatus, SrbView},
};
use sluice_user_host::{Answer, Operation, Setup};
use support::{Gate, KINDS, Random, SECTOR, Scripted, eventually};

fn scripted<F>(kind: SrbKind, script: F, setup: &Setup) -> Disk
where
    F: Fn(Srb) + Send + Sync + 'static,
{
    Disk::new(Arc::new(Scripted(kind, script)), SECTOR, Chain::new(), setup)
}

/// Reads 4 KiB from a miniport that only fills in its answer.
fn answered(kind: SrbKind, fill: impl Fn(&mut SrbView) + Send + Sync + 'static) -> Answer {
    let script = move |mut srb: Srb| {
        fill(&mut srb.view());
        srb.complete();
    };
    scripted(kind, script, &Setup::default()).read(0, &mut [0; 4096])
}

#[test]
fn transfers_are_as_long_as_the_device_says_but_no_longer_than_asked() {
    for kind in KINDS {
        for (status, said, expected) in [
            (SrbStatus::SUCCESS, 4096, 4096),
            (SrbStatus::SUCCESS, 512, 512),
            (SrbStatus::DATA_OVERRUN, 512, 512),
            (SrbStatus::DATA_OVERRUN, 0, 0),
            (SrbStatus::DATA_OVERRUN, u32::MAX, 4096),
            (SrbStatus::SUCCESS, 4097, 4096),
        ] {
            let answer = answered(kind, move |view| {
                view.set_srb_status(status);
                view.set_data_transfer_length(said);
            });
            assert_eq!((answer.status, answer.transferred), (Status::OK, expected), "{status:?} {said}");
            assert_eq!(answer.device.unwrap().srb_status, status);
        }
    }
}

#[test]
fn errors_come_through_with_status_and_sense() {
    for kind in KINDS {
        for length in [0_usize, 1, 8, 18, 96, 252, 255] {
            let sense: Vec<u8> = (1..=length as u8).collect();
            let given = sense.clone();
            let answer = answered(kind, move |view| {
                view.set_srb_status(SrbStatus::ERROR);
                view.set_scsi_status(ScsiStatus::CHECK_CONDITION);
                // SAFETY: the shim's own sense buffer.
                unsafe { view.write_sense(&given) };
            });
            assert_eq!((answer.status, answer.transferred), (Status::DEVICE, 0));
            let device = answer.device.unwrap();
            assert_eq!(device.scsi_status, ScsiStatus::CHECK_CONDITION);
            assert_eq!(device.sense(), &sense[..length.min(252)], "cut to the buffer");
            assert_eq!(device.srb_status.has_sense(), length > 0);
        }
        for status in [SrbStatus::BUSY, SrbStatus::TIMEOUT, SrbStatus::NO_DEVICE, SrbStatus::PENDING] {
            let answer = answered(kind, move |view| {
                view.set_srb_status(status);
                view.set_data_transfer_length(512);
            });
            assert_eq!((answer.status, answer.transferred), (Status::DEVICE, 0));
            assert_eq!(
                (answer.device.unwrap().srb_status, answer.device.unwrap().sense().len()),
                (status, 0)
            );
        }
    }
}

#[test]
fn a_frozen_queue_is_nobodys_to_announce() {
    for kind in KINDS {
        let answer = answered(kind, |view| {
            let srb = view.as_ptr().cast::<u8>();
            // SAFETY: the status byte of either kind, past the view that would not set the flag.
            unsafe { srb.add(3).write(SrbStatus::ERROR.0 | SrbStatus::QUEUE_FROZEN) };
        });
        assert_eq!(answer.device.unwrap().srb_status, SrbStatus::ERROR);
    }
}

#[test]
fn an_srb_scribbled_over_is_an_answer_like_another() {
    for kind in KINDS {
        let size = if kind == SrbKind::Legacy { 88 } else { 200 };
        for seed in 0..500 {
            let answer = answered(kind, move |view| {
                let noise = Random(seed).bytes(size);
                // SAFETY: the SRB is that long.
                unsafe { view.as_ptr().cast::<u8>().copy_from(noise.as_ptr(), size) };
            });
            assert!(answer.transferred <= 4096);
            assert!(matches!(answer.status, Status::OK | Status::DEVICE));
            assert!(answer.device.unwrap().sense().len() <= 252);
        }
        // And the next I/O of the same request is as good as new.
        let ram = Ram::new(64, SECTOR, kind).unwrap();
        let turn = AtomicU32::new(0);
        let script = move |mut srb: Srb| {
            let mut view = srb.view();
            if turn.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
                unsafe { view.as_ptr().cast::<u8>().write_bytes(0xFF, size) };
            } else {
                unsafe { ram.execute(&mut view) };
            }
            srb.complete();
        };
        let disk = scripted(kind, script, &Setup { requests: 1, ..Setup::default() });
        for _ in 0..20 {
            assert_eq!(disk.read(0, &mut [0; 512]).status, Status::DEVICE);
            assert_eq!(disk.read(0, &mut [0; 512]).status, Status::OK);
        }
    }
}

#[test]
fn a_second_completion_is_counted_and_ignored() {
    let ram = Ram::new(64, SECTOR, SrbKind::Extended).unwrap();
    let script = move |mut srb: Srb| {
        let mut view = srb.view();
        unsafe { ram.execute(&mut view) };
        let raw = NonNull::new(srb.into_raw()).unwrap();
        // SAFETY: the first is right. The second is the fault under test: the request is in the list of
        // completed ones, or free.
        unsafe {
            Srb::from_raw(raw).complete();
            Srb::from_raw(raw).complete();
        }
    };
    let mut disk = scripted(SrbKind::Extended, script, &Setup { requests: 1, ..Setup::default() });
    disk.forgive(&["srb.twice"]);
    for _ in 0..100 {
        assert_eq!(disk.read(0, &mut [0; 512]).status, Status::OK);
    }
    assert_eq!(disk.adapter().faults().not_owned.load(Ordering::Relaxed), 100);
}

#[test]
fn a_completion_after_the_request_is_free_is_counted_and_ignored() {
    let last = Arc::new(Mutex::new(None::<usize>));
    let seen = Arc::clone(&last);
    let script = move |mut srb: Srb| {
        srb.view().set_srb_status(SrbStatus::SUCCESS);
        let raw = srb.into_raw();
        *seen.lock().unwrap() = Some(raw as usize);
        unsafe { Srb::from_raw(NonNull::new(raw).unwrap()).complete() };
    };
    let mut disk = scripted(SrbKind::Legacy, script, &Setup::default());
    disk.forgive(&["srb.twice"]);
    assert_eq!(disk.read(0, &mut [0; 512]).status, Status::OK);
    let raw = last.lock().unwrap().take().unwrap() as *mut c_void;
    // The DPC thread gives the request back before it goes on to other things.
    eventually("the request is free", || format!("{disk:?}").contains("inside: 0"));
    unsafe { Srb::from_raw(NonNull::new(raw).unwrap()).complete() };
    unsafe { disk.adapter().request_complete(std::ptr::null_mut()) };
    assert_eq!(disk.adapter().faults().not_owned.load(Ordering::Relaxed), 1);
    assert_eq!(disk.read(0, &mut [0; 512]).status, Status::OK);
}

#[test]
fn answers_come_out_of_order_from_other_threads() {
    for kind in KINDS {
        let ram = Arc::new(Ram::new(4096, SECTOR, kind).unwrap());
        let (to, from) = mpsc::channel::<Srb>();
        let from = Arc::new(Mutex::new(from));
        let workers: Vec<_> = (0..3)
            .map(|seed| {
                let (from, ram) = (Arc::clone(&from), Arc::clone(&ram));
                std::thread::spawn(move || {
                    let mut random = Random(seed);
                    loop {
                        // Some at once, to be given back last to first.
                        let Ok(first) = from.lock().unwrap().recv() else { return };
                        let mut batch = vec![first];
                        for _ in 0..random.below(3) {
                            // Not by waiting: another waits for its first with the lock.
                            batch.extend(from.try_lock().ok().and_then(|from| from.try_recv().ok()));
                        }
                        while let Some(mut srb) = batch.pop() {
                            unsafe { ram.execute(&mut srb.view()) };
                            srb.complete();
                        }
                    }
                })
            })
            .collect();
        {
            let to = Mutex::new(to);
            let setup = Setup { requests: 16, ..Setup::default() };
            let disk = scripted(kind, move |srb| to.lock().unwrap().send(srb).unwrap(), &setup);
            let tickets: Vec<_> =
                (0..600).map(|n| disk.start(Operation::write(n, vec![n as u8; 512]))).collect();
            drop(tickets);
            for n in 0..600 {
                let reads: Vec<_> = (0..16).map(|_| disk.start(Operation::read(n, 512))).collect();
                for read in reads {
                    let (answer, data) = read.wait();
                    assert_eq!(answer.status, Status::OK);
                    assert!(data.iter().all(|byte| *byte == n as u8));
                }
            }
        }
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    }
}

/// A miniport that says FALSE to every second SRB; to every fourth after completing it.
struct Refusing {
    ram: Ram,
    turn: AtomicU64,
    completes: bool,
}

unsafe extern "system" fn refusing(extension: *mut c_void, srb: *mut c_void) -> u8 {
    let this = unsafe { &*extension.cast::<Refusing>() };
    let turn = this.turn.fetch_add(1, Ordering::Relaxed);
    if turn % 2 == 1 && !(this.completes && turn % 4 == 3) {
        return 0;
    }
    let mut srb = unsafe { Srb::from_raw(NonNull::new(srb).unwrap()) };
    unsafe { this.ram.execute(&mut srb.view()) };
    srb.complete();
    u8::from(turn % 2 == 0)
}

#[test]
fn a_miniport_without_room_is_busy() {
    for kind in KINDS {
        for completes in [false, true] {
            let ram = Ram::new(64, SECTOR, kind).unwrap();
            let owner = Arc::new(Refusing { ram, turn: AtomicU64::new(0), completes });
            let setup = Setup { requests: 1, ..Setup::default() };
            // SAFETY: the owner keeps the extension.
            let disk = unsafe {
                let hw = Hw::new(refusing, Arc::as_ptr(&owner).cast_mut().cast(), kind);
                Disk::over(hw, owner, SECTOR, Chain::new(), &setup)
            };
            for turn in 0..100 {
                let answer = disk.write(0, &[1; 512], Flags::default());
                let busy = turn % 2 == 1 && !(completes && turn % 4 == 3);
                let expected = if busy { Status::BUSY } else { Status::OK };
                assert_eq!((answer.status, answer.device.is_none()), (expected, busy), "turn {turn}");
            }
            assert_eq!(disk.adapter().faults().not_owned.load(Ordering::Relaxed), 0);
        }
    }
}

#[test]
fn a_request_belongs_to_the_miniport_that_has_it_now() {
    // Completed, and by another I/O in the miniport's hands again, before StartIo's FALSE arrives.
    struct Late {
        gate: Arc<Gate>,
        turn: AtomicU64,
        go_on: Mutex<mpsc::Receiver<()>>,
    }
    unsafe extern "system" fn late(extension: *mut c_void, srb: *mut c_void) -> u8 {
        let this = unsafe { &*extension.cast::<Late>() };
        let srb = unsafe { Srb::from_raw(NonNull::new(srb).unwrap()) };
        if this.turn.fetch_add(1, Ordering::SeqCst) == 0 {
            this.gate.finish(srb);
            this.go_on.lock().unwrap().recv().unwrap();
            return 0;
        }
        this.gate.start_io(srb);
        1
    }
    let gate = Gate::new(64, SrbKind::Extended, true);
    let (to, go_on) = mpsc::channel();
    let owner = Arc::new(Late { gate: Arc::clone(&gate), turn: AtomicU64::new(0), go_on: Mutex::new(go_on) });
    let setup = Setup { requests: 1, ..Setup::default() };
    let disk = unsafe {
        let hw = Hw::new(late, Arc::as_ptr(&owner).cast_mut().cast(), SrbKind::Extended);
        Disk::over(hw, owner, SECTOR, Chain::new(), &setup)
    };
    std::thread::scope(|scope| {
        let first = scope.spawn(|| disk.read(0, &mut [0; 512]).status);
        eventually("the first is being answered", || gate.held() == 0 && !log_is_new(&disk));
        let second = scope.spawn(|| disk.read(1, &mut [0; 512]).status);
        eventually("the second is with the miniport", || gate.held() == 1);
        to.send(()).unwrap();
        assert_eq!(first.join().unwrap(), Status::OK);
        assert!(!second.is_finished(), "FALSE was about the first");
        gate.open();
        assert_eq!(second.join().unwrap(), Status::OK);
    });
    assert_eq!(disk.adapter().faults().not_owned.load(Ordering::Relaxed), 0);
}

/// Whether no I/O has been completed yet.
fn log_is_new(disk: &Disk) -> bool {
    disk.unit().stats().completed.requests.load(Ordering::Relaxed) == 0
}

#[test]
fn an_adapter_that_nobody_uses_is_idle() {
    let gate = Gate::new(64, SrbKind::Legacy, false);
    let disk = Disk::new(gate, SECTOR, Chain::new(), &Setup::default());
    let idle: fn(&Adapter) -> bool = Adapter::is_idle;
    disk.read(0, &mut [0; 512]);
    eventually("it is idle", || idle(disk.adapter()));
}
