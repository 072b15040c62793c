//! Each rule, broken on purpose: it must be seen.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "these miniports and hosts do what they must not")]

use std::{
    mem,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use sluice_chain::Chain;
use sluice_checker::{Checker, Disk, Pending, at_dispatch, heap, platform};
use sluice_miniport_ram::Ram;
use sluice_shim::{
    miniport::{Miniport, Srb},
    platform::{LockWord, OldIrql, Platform},
    storport::SrbKind,
};
use sluice_user_host::{Executor, Operation, Setup, User, Watch};

const SECTOR: u32 = 512;

/// A RAM disk that does a closure's work.
struct Sinner<F>(Ram, F);

impl<F: Fn(&Ram, Srb) + Send + Sync> Miniport for Sinner<F> {
    fn srb_kind(&self) -> SrbKind {
        self.0.srb_kind()
    }

    fn start_io(&self, srb: Srb) {
        (self.1)(&self.0, srb);
    }
}

fn ram() -> Ram {
    Ram::new(64, SECTOR, SrbKind::Extended).unwrap()
}

fn disk(sin: impl Fn(&Ram, Srb) + Send + Sync + 'static) -> Disk {
    let setup = Setup { requests: 1, large: (4096, 1), executor: Executor::Inline, ..Setup::default() };
    Disk::new(Arc::new(Sinner(ram(), sin)), SECTOR, Chain::new(), &setup)
}

/// What is seen when a miniport has sinned in two requests.
fn seen(sin: impl Fn(&Ram, Srb) + Send + Sync + 'static) -> Vec<&'static str> {
    let mut disk = disk(sin);
    for sector in 0..2 {
        let _ = disk.read(sector, &mut [0; 512]);
    }
    let broken = disk.broken();
    disk.forgive(&["srb.twice", "srb.after"]); // counted once more at the end
    broken
}

fn answer(ram: &Ram, mut srb: Srb) {
    unsafe { ram.execute(&mut srb.view()) };
    srb.complete();
}

#[test]
fn nothing_is_seen_where_nothing_is_wrong() {
    assert_eq!(seen(answer), [""; 0]);
    let disk = Disk::new(Pending::new(Arc::new(ram())), SECTOR, Chain::new(), &Setup::default());
    let writes: Vec<_> = (0..60).map(|n| disk.start(Operation::write(n, vec![n as u8; 512]))).collect();
    drop(writes);
    for n in 0..60 {
        let (_, data) = disk.start(Operation::read(n, 512)).wait();
        assert!(data.iter().all(|byte| *byte == n as u8), "what is asked later is done as well");
    }
    assert_eq!(disk.broken(), [""; 0]);
}

#[test]
fn a_miniport_that_comes_back_at_another_irql() {
    let broken = seen(|ram, srb| {
        answer(ram, srb);
        let _ = Checker::new().raise();
    });
    assert_eq!(broken, ["irql.return"]);
}

#[test]
fn an_srb_that_is_completed_twice() {
    let broken = seen(|ram, srb| {
        let again = unsafe { Srb::from_raw(srb.as_raw()) };
        answer(ram, srb);
        again.complete();
    });
    assert_eq!(broken, ["srb.twice"]);
}

#[test]
fn an_srb_that_is_written_to_after_it_was_completed() {
    let broken = seen(|ram, mut srb| {
        let mut view = srb.view();
        answer(ram, srb);
        view.set_data_transfer_length(17);
    });
    assert_eq!(broken, ["srb.after"]);
}

#[test]
fn an_srb_that_is_looked_at_after_it_was_completed() {
    let found = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&found);
    seen(move |ram, srb| {
        let mut again = unsafe { Srb::from_raw(srb.as_raw()) };
        answer(ram, srb);
        log.lock().unwrap().push(Some(again.view().function().0));
    });
    assert_eq!(*found.lock().unwrap(), [Some(0xDB); 2], "there is no SRB any more");
}

#[test]
fn private_memory_that_is_written_to_when_the_request_is_over() {
    let kept = Arc::new(Mutex::new(None::<usize>));
    let place = Arc::clone(&kept);
    let mut disk = disk(move |ram, mut srb| {
        *place.lock().unwrap() = Some(srb.data().as_mut_ptr().addr());
        answer(ram, srb);
    });
    let same = || disk.start(Operation::write_same(0, vec![1; 512], 4096)).wait().0;
    same();
    let address = kept.lock().unwrap().unwrap();
    // As a device does whose transfer was not stopped. The buffer is the disk's still.
    unsafe { std::ptr::with_exposed_provenance_mut::<u8>(address).add(100).write(1) };
    same();
    let broken = disk.broken();
    disk.forgive(&["srb.after"]);
    assert_eq!(broken, ["srb.after"]);
}

#[test]
fn a_request_that_is_lost() {
    let disk = disk(|_, srb| {
        let _ = srb.into_raw();
    });
    mem::forget(disk.start(Operation::read(0, 512)));
    disk.look_for_lost(Duration::from_secs(1));
    assert_eq!(disk.broken(), [""; 0], "it has time");
    disk.look_for_lost(Duration::ZERO);
    assert_eq!(disk.broken(), ["request.lost"]);
    disk.abandon();
}

fn rules(checker: &Checker) -> Vec<&'static str> {
    checker.broken().into_iter().map(|(rule, _)| rule).collect()
}

#[test]
fn a_host_that_answers_twice_or_asks_twice() {
    let checker = Checker::new();
    checker.submits(1);
    checker.finishes(1);
    assert_eq!(rules(checker), [""; 0]);
    checker.finishes(1);
    assert_eq!(rules(checker), ["request.unknown"]);
    checker.submits(2);
    checker.submits(2);
    assert_eq!(rules(checker), ["request.twice"]);
}

#[test]
fn locks() {
    let checker = Checker::new();
    let platform = User::watched(checker);
    let [a, b, c] = [(); 3].map(|()| LockWord::default());
    let both = |first: &LockWord, second: &LockWord| {
        let (outer, inner) = (platform.acquire(first), platform.acquire(second));
        unsafe {
            platform.release(second, inner);
            platform.release(first, outer);
        }
    };
    both(&a, &b);
    both(&b, &c);
    both(&a, &c);
    assert_eq!(rules(checker), [""; 0]);
    both(&b, &a);
    assert_eq!(rules(checker), ["lock.order"]);
    // Out of order: at PASSIVE_LEVEL with a lock held.
    let (outer, inner) = (platform.acquire(&a), platform.acquire(&c));
    unsafe {
        platform.release(&a, outer);
        platform.release(&c, inner);
    }
    assert!(rules(checker).contains(&"irql.release"));
    unsafe { platform.release(&a, OldIrql(0)) };
    assert!(rules(checker).contains(&"lock.foreign"));
}

#[test]
fn a_lock_that_is_taken_by_its_holder() {
    let platform = platform();
    let word = LockWord::default();
    let taken = std::panic::catch_unwind(AssertUnwindSafe(|| {
        platform.acquire(&word);
        platform.acquire(&word);
    }));
    let why = taken.unwrap_err();
    assert!(why.downcast_ref::<String>().unwrap().contains("lock.twice"));
}

#[test]
fn a_lock_above_dispatch_level() {
    let checker = Checker::new();
    let platform = User::watched(checker);
    let word = LockWord::default();
    at_dispatch(|| unsafe {
        let old = platform.acquire(&word);
        platform.release(&word, old);
    });
    assert_eq!(rules(checker), [""; 0]);
    sluice_checker::stay_at(5);
    let old = platform.acquire(&word);
    assert_eq!(rules(checker), ["irql.acquire"]);
    unsafe { platform.release(&word, old) };
    sluice_checker::stay_at(0);
}

#[test]
fn a_lock_that_is_kept_over_a_call_and_memory_under_it() {
    let its_own: &'static User = Box::leak(Box::new(User::watched(Checker::new())));
    let word: &'static LockWord = Box::leak(Box::default());
    let mut disk = disk(|ram, srb| {
        answer(ram, srb);
        its_own.acquire(word);
        drop(std::hint::black_box(Box::new(1)));
    });
    disk.read(0, &mut [0; 512]);
    unsafe { its_own.release(word, OldIrql(0)) };
    let broken = disk.broken();
    assert!(broken.contains(&"lock.kept") && broken.contains(&"pool.lock"), "{broken:?}");
    disk.forgive(&["lock.kept", "pool.lock", "irql.return", "irql.release"]);
}

#[test]
fn memory_that_is_lost_when_memory_is_lacking() {
    let careful = || {
        let mut all: Vec<Vec<u8>> = Vec::new();
        for _ in 0..3 {
            let mut one = Vec::new();
            one.try_reserve_exact(100).ok()?;
            all.try_reserve(1).ok()?;
            all.push(one);
        }
        Some(all)
    };
    let allocations = heap::each_in_turn(careful, |all, lacked| assert_eq!(all.is_none(), lacked));
    assert_eq!(allocations, 4);
    let careless = || {
        let mut one = Vec::<u8>::new();
        one.try_reserve_exact(100).ok()?;
        let one = mem::ManuallyDrop::new(one);
        let mut two = Vec::<u8>::new();
        two.try_reserve_exact(100).ok()?;
        Some((mem::ManuallyDrop::into_inner(one), two))
    };
    let leak = std::panic::catch_unwind(|| heap::each_in_turn(careless, |_, _| ()));
    assert!(leak.unwrap_err().downcast_ref::<String>().unwrap().contains("pool.leak"));
}

#[test]
fn a_disk_that_broke_a_rule_panics_when_it_goes() {
    let began = Instant::now();
    let gone = std::panic::catch_unwind(|| {
        let disk = disk(|ram, srb| {
            let again = unsafe { Srb::from_raw(srb.as_raw()) };
            answer(ram, srb);
            again.complete();
        });
        disk.read(0, &mut [0; 512]);
    });
    assert!(gone.unwrap_err().downcast_ref::<String>().unwrap().contains("srb.twice"));
    assert!(began.elapsed() < Duration::from_secs(10));
}
