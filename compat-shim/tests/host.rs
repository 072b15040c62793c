//! The unit's contract with its host, tried by a host that writes down every call.

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
        atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering},
    },
};

use sluice_chain::{Chain, Direction, Flags, Segment, Status};
use sluice_miniport_ram::Ram;
use sluice_shim::{
    adapter::Adapter,
    miniport::Hw,
    queue::Waiting,
    request::{Carry, Incoming, Request},
    spare::Spares,
    storport::SrbKind,
    unit::{Finished, Host, Unit},
};
use sluice_user_host::User;
use support::{Gate, SECTOR};

#[repr(C)]
struct Caller {
    waiting: UnsafeCell<Waiting>,
    number: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    Queued(u32),
    Claimed(u32),
    Finished(u32, Status),
    Left,
    Released([usize; 4]),
}

#[derive(Default)]
struct Scribe {
    events: Mutex<Vec<Event>>,
    refuse_queued: AtomicBool,
    refuse_claim: AtomicU32,
    /// Submitted again out of `finish`, so many times.
    again: AtomicU32,
    unit: AtomicPtr<Unit>,
    memory: AtomicPtr<u8>,
}

fn number(waiting: NonNull<Waiting>) -> u32 {
    unsafe { waiting.cast::<Caller>().as_ref() }.number
}

impl Scribe {
    fn say(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }

    fn events(&self) -> Vec<Event> {
        std::mem::take(&mut self.events.lock().unwrap())
    }

    fn incoming(&self) -> Incoming {
        Incoming {
            direction: Direction::READ,
            flags: Flags::default(),
            sector: 3,
            length: 512,
            payload: Segment { address: self.memory.load(Ordering::Relaxed), length: 512 },
            same: false,
            carry: Carry::default(),
        }
    }
}

unsafe impl Host for Scribe {
    fn queued(&self, waiting: NonNull<Waiting>) -> bool {
        self.say(Event::Queued(number(waiting)));
        !self.refuse_queued.load(Ordering::Relaxed)
    }

    fn describe(&self, _waiting: NonNull<Waiting>) -> Incoming {
        self.incoming()
    }

    fn claim(&self, waiting: NonNull<Waiting>) -> bool {
        self.say(Event::Claimed(number(waiting)));
        self.refuse_claim.load(Ordering::Relaxed) != number(waiting)
    }

    fn finish(&self, waiting: NonNull<Waiting>, result: &Finished<'_>) {
        self.say(Event::Finished(number(waiting), result.status));
        if self.again.load(Ordering::Relaxed) > 0 {
            self.again.fetch_sub(1, Ordering::Relaxed);
            let unit = unsafe { &*self.unit.load(Ordering::Relaxed) };
            unit.submit(waiting, &self.incoming()).unwrap();
        }
    }

    fn left(&self) {
        self.say(Event::Left);
    }

    fn release(&self, request: &Request) {
        self.say(Event::Released(*request.host()));
    }
}

struct Rig {
    scribe: &'static Scribe,
    platform: &'static User,
    adapter: &'static Adapter,
    gate: std::sync::Arc<Gate>,
    unit: Box<Unit>,
    callers: Vec<Caller>,
}

fn rig(requests: usize) -> Rig {
    let scribe: &'static Scribe = Box::leak(Box::default());
    scribe.memory.store(Box::leak(Box::new([0_u64; 64])).as_mut_ptr().cast(), Ordering::Relaxed);
    let platform: &'static User = Box::leak(Box::new(User::new()));
    let gate = Gate::new(64, SrbKind::Extended, true);
    let kept: &'static Gate = unsafe { &*std::sync::Arc::into_raw(gate.clone()) };
    let adapter: &'static Adapter = Box::leak(Box::new(Adapter::new(Hw::of(kept), platform)));
    let mut requests_of_its_own = Vec::with_capacity(requests + 3); // more room than is used
    requests_of_its_own.extend((0..requests).map(|n| Request::new([n, n + 1, n + 2, n + 3])));
    let unit =
        Box::new(Unit::new(adapter, scribe, Chain::new(), SECTOR, requests_of_its_own, Spares::none()));
    scribe.unit.store((&raw const *unit).cast_mut(), Ordering::Relaxed);
    let callers = (0..8).map(|number| Caller { waiting: UnsafeCell::new(Waiting::new()), number }).collect();
    Rig { scribe, platform, adapter, gate, unit, callers }
}

impl Rig {
    fn node(&self, number: usize) -> NonNull<Waiting> {
        NonNull::from(&self.callers[number]).cast()
    }

    fn submit(&self, number: usize) -> Result<(), Status> {
        self.unit.submit(self.node(number), &self.scribe.incoming())
    }

    fn complete(&self) {
        assert!(self.gate.release_oldest());
        self.platform.run_until_idle(self.adapter);
    }
}

#[test]
fn each_submission_is_finished_once_and_left_once() {
    let rig = rig(1);
    rig.submit(0).unwrap();
    rig.submit(1).unwrap();
    assert_eq!(rig.scribe.events(), [Event::Queued(1)]);
    assert!(rig.gate.release_oldest());
    assert_eq!(rig.scribe.events(), [], "nothing is finished outside the DPC");
    rig.platform.run_until_idle(rig.adapter);
    assert_eq!(rig.scribe.events(), [Event::Finished(0, Status::OK), Event::Claimed(1), Event::Left]);
    rig.complete();
    assert_eq!(rig.scribe.events(), [Event::Finished(1, Status::OK), Event::Left]);
    assert!(!rig.gate.release_oldest());
}

/// Numbers of the requests that were finished since the last time.
fn finished(rig: &Rig) -> Vec<u32> {
    let events = rig.scribe.events().into_iter();
    events
        .filter_map(|event| if let Event::Finished(number, _) = event { Some(number) } else { None })
        .collect()
}

#[test]
fn a_turn_of_the_dpc_ends_when_its_budget_is_used_up_and_loses_nothing() {
    const ONE: u64 = 4096 + 512; // what a request of a sector costs
    let rig = rig(8);
    (0..6).for_each(|number| rig.submit(number).unwrap());
    while rig.gate.release_oldest() {}
    assert!(rig.adapter.complete_some(1), "others are left");
    assert_eq!(finished(&rig).len(), 1, "one, however little it may cost");
    assert!(rig.adapter.complete_some(2 * ONE));
    assert_eq!(finished(&rig).len(), 2);
    // One that is completed meanwhile does not get lost either.
    rig.submit(6).unwrap();
    assert!(rig.gate.release_oldest());
    assert!(rig.adapter.complete_some(2 * ONE - 1));
    assert_eq!(finished(&rig).len(), 2);
    assert!(!rig.adapter.complete_some(2 * ONE), "used up with the last one");
    assert_eq!(finished(&rig).len(), 2);
    assert!(!rig.adapter.complete_some(1));
    assert!(rig.adapter.is_idle());
}

#[test]
fn a_refused_submission_is_no_business_of_the_hosts() {
    let rig = rig(1);
    let incoming = Incoming { length: 100, ..rig.scribe.incoming() };
    assert_eq!(rig.unit.submit(rig.node(0), &incoming), Err(Status::INVALID));
    let unmapped = Incoming { payload: Segment::EMPTY, ..rig.scribe.incoming() };
    assert_eq!(rig.unit.submit(rig.node(0), &unmapped), Err(Status::INVALID));
    let discard = Incoming { direction: Direction::DISCARD, ..rig.scribe.incoming() };
    assert_eq!(rig.unit.submit(rig.node(0), &discard), Err(Status::INVALID), "there is no private memory");
    assert_eq!(rig.scribe.events(), []);
}

#[test]
fn cancelled_before_it_is_queued() {
    let rig = rig(1);
    rig.submit(0).unwrap();
    rig.scribe.refuse_queued.store(true, Ordering::Relaxed);
    assert_eq!(rig.submit(1), Err(Status::CANCELLED));
    rig.complete();
    assert_eq!(
        rig.scribe.events(),
        [Event::Queued(1), Event::Finished(0, Status::OK), Event::Left],
        "the unit knows nothing of it"
    );
}

#[test]
fn cancelled_as_its_turn_comes() {
    let rig = rig(1);
    (0..4).for_each(|number| rig.submit(number).unwrap());
    rig.scribe.refuse_claim.store(1, Ordering::Relaxed);
    rig.scribe.events();
    rig.complete();
    assert_eq!(
        rig.scribe.events(),
        [Event::Finished(0, Status::OK), Event::Claimed(1), Event::Claimed(2), Event::Left],
        "the next one's turn comes at once"
    );
    assert!(!rig.unit.withdraw(rig.node(1)), "the unit has let go of it");
    assert!(rig.unit.withdraw(rig.node(3)));
    assert!(!rig.unit.withdraw(rig.node(3)));
    rig.complete();
    assert_eq!(rig.scribe.events(), [Event::Finished(2, Status::OK), Event::Left]);
    rig.submit(3).unwrap();
    rig.complete();
    assert_eq!(rig.scribe.events(), [Event::Finished(3, Status::OK), Event::Left]);
}

#[test]
fn a_host_may_take_all_that_wait() {
    let rig = rig(2);
    (0..6).for_each(|number| rig.submit(number).unwrap());
    for number in 2..6 {
        assert_eq!(rig.unit.withdraw_first(), Some(rig.node(number)));
    }
    assert_eq!(rig.unit.withdraw_first(), None);
    rig.scribe.events();
    rig.complete();
    rig.complete();
    let finished = |number| [Event::Finished(number, Status::OK), Event::Left];
    assert_eq!(rig.scribe.events(), [finished(0), finished(1)].concat());
}

#[test]
fn withdrawing_from_front_middle_and_end_keeps_the_rest_in_order() {
    for withdrawn in [[1, 3, 7], [7, 6, 5], [1, 2, 3], [4, 1, 7]] {
        let rig = rig(1);
        (0..8).for_each(|number| rig.submit(number).unwrap());
        for number in withdrawn {
            assert!(rig.unit.withdraw(rig.node(number)));
        }
        // The end of the queue is still its end.
        rig.submit(withdrawn[0]).unwrap();
        rig.scribe.events();
        (0..6).for_each(|_| rig.complete());
        let order: Vec<u32> = rig
            .scribe
            .events()
            .into_iter()
            .filter_map(|event| if let Event::Finished(number, _) = event { Some(number) } else { None })
            .collect();
        let mut expected: Vec<u32> =
            (0..8).filter(|number| !withdrawn.contains(&(*number as usize))).collect();
        expected.push(withdrawn[0] as u32);
        assert_eq!(order, expected);
    }
}

#[test]
fn submitting_out_of_finish_needs_no_stack_and_no_free_request() {
    let rig = rig(2);
    rig.gate.hold(false);
    rig.scribe.again.store(50_000, Ordering::Relaxed);
    rig.submit(0).unwrap();
    rig.platform.run_until_idle(rig.adapter);
    let events = rig.scribe.events();
    assert_eq!(events.iter().filter(|event| **event == Event::Finished(0, Status::OK)).count(), 50_001);
    assert_eq!(events.iter().filter(|event| **event == Event::Left).count(), 50_001);
}

#[test]
fn a_unit_that_goes_releases_each_request_once() {
    for requests in [0, 1, 5] {
        let Rig { scribe, unit, .. } = rig(requests);
        assert_eq!(unit.requests().count(), requests);
        drop(unit);
        let expected: Vec<_> = (0..requests).map(|n| Event::Released([n, n + 1, n + 2, n + 3])).collect();
        assert_eq!(scribe.events(), expected);
    }
}

#[test]
fn the_ram_disk_is_what_the_tests_take_it_for() {
    assert!(Ram::new(0, SECTOR, SrbKind::Legacy).is_none());
    assert!(Ram::new(8, 1000, SrbKind::Legacy).is_none());
    assert!(Ram::new(u64::MAX, SECTOR, SrbKind::Legacy).is_none());
    assert!(Ram::new(1 << 50, SECTOR, SrbKind::Legacy).is_none(), "no memory is no panic");
}
