//! Commands that are not about blocks, and queues that are held back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "tests play the parts of hosts and miniports, some of them badly"
)]

mod support;

use std::{
    cell::UnsafeCell,
    ptr::NonNull,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
};

use sluice_chain::{Chain, Direction, Flags, Segment, Status};
use sluice_shim::{
    adapter::Adapter,
    miniport::{Hw, Srb},
    queue::Waiting,
    request::{Carry, Incoming, Request},
    spare::Spares,
    storport::{
        SrbFlags, SrbFunction, SrbKind, SrbView,
        srb::{Address, SrbRequest, SrbStorage},
    },
    unit::{Finished, Hold, Host, Unit},
};
use sluice_user_host::User;
use support::{KINDS, Recorder, SECTOR, Scripted};

/// A caller's SRB, and how it went.
#[repr(C)]
struct Caller {
    waiting: UnsafeCell<Waiting>,
    srb: UnsafeCell<SrbStorage>,
    incoming: Incoming,
}

fn node(caller: &Caller) -> NonNull<Waiting> {
    NonNull::from(caller).cast()
}

unsafe fn caller<'a>(waiting: NonNull<Waiting>) -> &'a Caller {
    unsafe { waiting.cast::<Caller>().as_ref() }
}

#[derive(Default)]
struct Desk {
    finished: Mutex<Vec<(usize, Status)>>,
    left: AtomicU32,
}

unsafe impl Host for Desk {
    fn queued(&self, _waiting: NonNull<Waiting>) -> bool {
        true
    }

    fn describe(&self, waiting: NonNull<Waiting>) -> Incoming {
        unsafe { caller(waiting) }.incoming
    }

    fn asked(&self, waiting: NonNull<Waiting>) -> Option<SrbView> {
        unsafe { &mut *caller(waiting).srb.get() }.view().ok()
    }

    fn claim(&self, _waiting: NonNull<Waiting>) -> bool {
        true
    }

    fn finish(&self, waiting: NonNull<Waiting>, result: &Finished<'_>) {
        self.finished.lock().unwrap().push((waiting.as_ptr().addr(), result.status));
    }

    fn left(&self) {
        self.left.fetch_add(1, SeqCst);
    }

    fn release(&self, _request: &Request) {}
}

/// What the miniport has seen: function, CDB, address, flags, bytes.
type Seen = (SrbFunction, Vec<u8>, Address, SrbFlags, u32);

struct Rig {
    desk: &'static Desk,
    platform: &'static User,
    adapter: &'static Adapter,
    seen: &'static Mutex<Vec<Seen>>,
    recorder: Recorder,
    unit: Unit,
}

fn rig(kind: SrbKind, requests: usize) -> Rig {
    let desk: &'static Desk = Box::leak(Box::default());
    let platform: &'static User = Box::leak(Box::new(User::new()));
    let seen: &'static Mutex<Vec<Seen>> = Box::leak(Box::default());
    let miniport = Box::leak(Box::new(Scripted(kind, |mut srb: Srb| {
        let view = srb.view();
        let length = view.data_transfer_length();
        seen.lock().unwrap().push((
            view.function(),
            view.cdb().to_vec(),
            view.address(),
            view.flags(),
            length,
        ));
        srb.succeed(length);
    })));
    let adapter: &'static Adapter = Box::leak(Box::new(Adapter::new(Hw::of(miniport), platform)));
    let (recorder, mut chain) = (Recorder::default(), Chain::new());
    chain.push_owned(Box::new(recorder.clone())).unwrap();
    let all = (0..requests).map(|_| Request::new([0; 4])).collect();
    let unit = Unit::new(adapter, desk, chain, 0, all, Spares::none());
    let unit = unit.at(Address { path: 1, target: 2, lun: 3 });
    Rig { desk, platform, adapter, seen, recorder, unit }
}

impl Rig {
    fn run(&self) {
        self.platform.run_until_idle(self.adapter);
    }

    fn finished(&self) -> usize {
        self.desk.finished.lock().unwrap().len()
    }
}

fn command(kind: SrbKind, cdb: &[u8], flags: SrbFlags, data: &mut [u8]) -> Caller {
    let mut srb = SrbStorage::new();
    let request = if cdb.is_empty() {
        SrbRequest::function(SrbFunction::RESET_LOGICAL_UNIT)
    } else {
        SrbRequest::command(cdb)
    };
    let request = SrbRequest { flags, data_transfer_length: data.len() as u32, ..request };
    let carry = Carry::whole(&srb.filled(kind, &request).unwrap());
    let address = if data.is_empty() { std::ptr::null_mut() } else { data.as_mut_ptr() };
    let incoming = Incoming {
        direction: Incoming::COMMAND,
        same: false,
        flags: Flags::default(),
        sector: 0,
        length: data.len() as u32,
        payload: Segment { address, length: data.len() },
        carry,
    };
    Caller { waiting: UnsafeCell::new(Waiting::new()), srb: UnsafeCell::new(srb), incoming }
}

#[test]
fn a_command_reaches_the_miniport_as_it_came_and_no_stage_sees_it() {
    for (theirs, ours) in KINDS.into_iter().flat_map(|kind| KINDS.map(|other| (kind, other))) {
        let (rig, mut data) = (rig(ours, 4), [0; 36]);
        let mode_sense = [0x1A, 8, 0x3F, 0, 36, 0];
        let ask = command(theirs, &mode_sense, SrbFlags::DATA_IN, &mut data);
        rig.unit.submit(node(&ask), &ask.incoming).unwrap();
        let reset = command(theirs, &[], SrbFlags(0), &mut []);
        rig.unit.submit(node(&reset), &reset.incoming).unwrap();
        rig.run();
        let seen = rig.seen.lock().unwrap();
        let address = Address { path: 1, target: 2, lun: 3 };
        assert_eq!(seen[0].0, SrbFunction::EXECUTE_SCSI);
        assert_eq!((&seen[0].1[..], seen[0].2, seen[0].4), (&mode_sense[..], address, 36));
        assert!(seen[0].3.contains(SrbFlags::DATA_IN) && seen[0].3.contains(SrbFlags::NO_QUEUE_FREEZE));
        assert_eq!((seen[1].0, seen[1].1.len(), seen[1].2), (SrbFunction::RESET_LOGICAL_UNIT, 0, address));
        assert_eq!(rig.recorder.seen(), (0, 0), "stages have no word for it");
        let ended: Vec<_> = rig.desk.finished.lock().unwrap().iter().map(|one| one.1).collect();
        assert_eq!(ended, [Status::OK; 2]);
        assert_eq!(rig.desk.left.load(SeqCst), 2);
    }
}

#[test]
fn while_the_sector_size_is_not_known_nothing_about_blocks_is_possible() {
    let rig = rig(SrbKind::Extended, 1);
    let mut data = [0_u64; 64];
    let read = Incoming {
        direction: Direction::READ,
        same: false,
        flags: Flags::default(),
        sector: 0,
        length: SECTOR,
        payload: Segment { address: data.as_mut_ptr().cast(), length: SECTOR as usize },
        carry: Carry::default(),
    };
    assert!(rig.unit.check(&read).is_err());
    rig.unit.set_sector_size(SECTOR);
    assert!(rig.unit.check(&read).is_ok());
    assert_eq!(rig.unit.sector_size(), SECTOR);
}

#[test]
fn a_locked_queue_lets_through_what_may_pass_and_a_stopped_one_nothing() {
    let rig = rig(SrbKind::Extended, 1);
    let ready = [0; 6];
    let plain: Vec<_> = (0..3).map(|_| command(SrbKind::Extended, &ready, SrbFlags(0), &mut [])).collect();
    let passing: Vec<_> = (0..2)
        .map(|_| command(SrbKind::Extended, &[0x35; 10], SrbFlags::BYPASS_LOCKED_QUEUE, &mut []))
        .collect();
    let send = |caller: &Caller| rig.unit.submit(node(caller), &caller.incoming).unwrap();
    rig.unit.hold(Hold::LOCKED);
    plain.iter().for_each(send);
    rig.run();
    assert_eq!((rig.finished(), rig.unit.is_idle()), (0, true));
    // Two at once, of which the unit can run one: the other waits in front of those that are held.
    passing.iter().for_each(send);
    rig.run();
    assert_eq!(rig.finished(), 2);
    assert!(rig.seen.lock().unwrap().iter().all(|seen| seen.1 == [0x35; 10]));
    rig.unit.hold(Hold::STOPPED);
    rig.unit.go_on(Hold::LOCKED);
    rig.run();
    assert_eq!(rig.finished(), 2, "the other reason still holds");
    rig.unit.hold(Hold::LOCKED);
    let late = command(SrbKind::Extended, &[0x35; 10], SrbFlags::BYPASS_LOCKED_QUEUE, &mut []);
    send(&late);
    rig.run();
    assert_eq!(rig.finished(), 2, "nothing passes a stopped queue");
    assert!(rig.unit.withdraw(node(&plain[1])));
    rig.unit.go_on(Hold::STOPPED);
    rig.unit.go_on(Hold::LOCKED);
    rig.run();
    let order: Vec<_> = rig.desk.finished.lock().unwrap().iter().map(|one| one.0).collect();
    let last: Vec<_> = [&plain[0], &plain[2], &late].map(|one| node(one).as_ptr().addr()).to_vec();
    assert_eq!(order[2..], last, "in the order in which they came");
}
