//! *Pending* and *resume* on threads, each as early and as often as it can come, and a gate that is closed meanwhile.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use std::{
    ffi::c_void,
    hint::spin_loop,
    ptr,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering},
    thread,
};

use sluice_chain::{
    Chain, Io, Outcome, Verdict,
    abi::{ABI_VERSION, HostTable, Needs, StageTable},
    rundown::Rundown,
};

const ROUNDS: u32 = 2_000;

type Function = unsafe extern "C" fn(*const c_void, *mut Io) -> Verdict;

unsafe extern "C" fn now() -> u64 {
    0
}
unsafe extern "C" fn resume(_io: *mut Io, _verdict: Verdict) {}
unsafe extern "C" fn detach(_context: *const c_void) {}
unsafe extern "C" fn goes_on(_context: *const c_void, _io: *mut Io) -> Verdict {
    Verdict::CONTINUE
}
unsafe extern "C" fn keeps(_context: *const c_void, _io: *mut Io) -> Verdict {
    Verdict::PENDING
}
/// Gives back what it does not keep.
unsafe extern "C" fn resumes_for_nothing(_context: *const c_void, io: *mut Io) -> Verdict {
    // SAFETY: the I/O of this call.
    assert!(!unsafe { Chain::take_back(io, Verdict::CONTINUE) });
    Verdict::CONTINUE
}
/// Leaves it to whoever waits at its context, who resumes it at once, and is a while in returning.
unsafe extern "C" fn hands_over(context: *const c_void, io: *mut Io) -> Verdict {
    // SAFETY: the context that `table` was pushed with.
    let handed = unsafe { &*context.cast::<Handed>() };
    handed.inside.store(true, Ordering::SeqCst);
    handed.io.store(io, Ordering::Release);
    for _ in 0..pause(handed) {
        spin_loop();
    }
    handed.inside.store(false, Ordering::SeqCst);
    Verdict::PENDING
}

#[derive(Default)]
struct Handed {
    io: AtomicPtr<Io>,
    inside: AtomicBool,
    turns: AtomicU32,
}

/// From 0 to 63, another each time.
fn pause(handed: &Handed) -> u32 {
    handed.turns.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9) >> 26
}

fn table(request: Function, completion: Function) -> StageTable {
    let (size, name) = (size_of::<StageTable>() as u32, *b"test\0\0\0\0\0\0\0\0\0\0\0\0");
    StageTable { size, version: ABI_VERSION, name, needs: Needs(0), reserved: 0, request, completion, detach }
}

fn chain(stages: &[(StageTable, *const c_void)]) -> Chain {
    let mut chain = Chain::new();
    for (table, context) in stages {
        // SAFETY: what the contexts lead to outlives the chain.
        unsafe { chain.push(*table, *context) }.unwrap();
    }
    chain
}

fn io() -> Io {
    static HOST: HostTable = HostTable { size: size_of::<HostTable>() as u32, reserved: 0, now, resume };
    Io::idle(&raw const HOST)
}

#[test]
fn what_one_stage_gave_back_for_nothing_does_not_answer_for_another() {
    let hasty = (table(resumes_for_nothing, resumes_for_nothing), ptr::null());
    let keeper = (table(keeps, keeps), ptr::null());
    for (stages, kept_going_up) in [([hasty, keeper], 1), ([keeper, hasty], 0)] {
        let (chain, mut io) = (chain(&stages), io());
        assert_eq!(chain.request(&mut io), Outcome::Pending);
        // SAFETY: kept.
        assert!(unsafe { Chain::take_back(&raw mut io, Verdict::CONTINUE) });
        assert_eq!(chain.resume(&mut io, Verdict::CONTINUE), Outcome::Through);
        assert_eq!(chain.completion(&mut io), Outcome::Pending);
        assert_eq!(io.position, kept_going_up);
        // SAFETY: kept.
        assert!(unsafe { Chain::take_back(&raw mut io, Verdict::CONTINUE) });
        assert_eq!(chain.resume(&mut io, Verdict::CONTINUE), Outcome::Through);
    }
}

#[test]
fn of_two_who_give_it_back_one_goes_on_with_it() {
    let chain = chain(&[(table(keeps, goes_on), ptr::null())]);
    let (kept, taken, tried) = (AtomicPtr::new(ptr::null_mut::<Io>()), AtomicU32::new(0), AtomicU32::new(0));
    let give_back = |io: *mut Io| {
        // SAFETY: kept, and there until both have tried.
        if unsafe { Chain::take_back(io, Verdict::CONTINUE) } {
            taken.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=ROUNDS {
                give_back(until(|| {
                    Some(kept.swap(ptr::null_mut(), Ordering::AcqRel)).filter(|io| !io.is_null())
                }));
                tried.store(round, Ordering::Release);
            }
        });
        for round in 1..=ROUNDS {
            let mut io = io();
            assert_eq!(chain.request(&mut io), Outcome::Pending);
            let io = &raw mut io;
            kept.store(io, Ordering::Release);
            until(|| kept.load(Ordering::Acquire).is_null().then_some(()));
            give_back(io);
            until(|| (tried.load(Ordering::Acquire) == round).then_some(()));
            assert_eq!(taken.load(Ordering::Relaxed), round);
        }
    });
}

/// Waits closely, for what another processor does next.
fn until<T>(mut what: impl FnMut() -> Option<T>) -> T {
    loop {
        for _ in 0..1000 {
            match what() {
                Some(found) => return found,
                None => spin_loop(),
            }
        }
        thread::yield_now();
    }
}

#[test]
fn it_goes_on_once_whoever_is_first_and_the_gate_waits_for_it() {
    let handed = Handed::default();
    let chain = chain(&[(table(hands_over, hands_over), ptr::from_ref(&handed).cast())]);
    let (gate, over, ended) = (Rundown::closed(), AtomicU32::new(0), AtomicBool::new(false));
    assert!(gate.open());
    // The way of an I/O: up if it has come through, out when it is up.
    let on = |io: &mut Io, outcome: Outcome| {
        let mut outcome = outcome;
        if outcome == Outcome::Through && Chain::is_going_down(io) {
            outcome = chain.completion(io);
        }
        if outcome == Outcome::Through {
            over.fetch_add(1, Ordering::SeqCst);
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Acquire) {
                let Some(io) = ptr::NonNull::new(handed.io.swap(ptr::null_mut(), Ordering::AcqRel)) else {
                    thread::yield_now();
                    continue;
                };
                // SAFETY: handed over by the stage, that answers `PENDING`.
                if unsafe { Chain::take_back(io.as_ptr(), Verdict::CONTINUE) } {
                    assert!(
                        !handed.inside.load(Ordering::SeqCst),
                        "a function of the stage runs with it still"
                    );
                    // SAFETY: ours, as `take_back` says.
                    let io = unsafe { &mut *io.as_ptr() };
                    let outcome = chain.resume(io, Verdict::CONTINUE);
                    if outcome == Outcome::Through {
                        on(io, outcome);
                    }
                }
            }
        });
        let mut closes = 0;
        for round in 0..ROUNDS {
            let inside = gate.enter().unwrap();
            let mut io = io();
            let outcome = chain.request(&mut io);
            if outcome == Outcome::Through {
                on(&mut io, outcome);
            }
            let empty = gate.close();
            assert!(!empty && gate.enter().is_none());
            while over.load(Ordering::SeqCst) == round {
                thread::yield_now();
            }
            closes += u32::from(gate.leave(inside));
            assert!(gate.open());
        }
        ended.store(true, Ordering::Release);
        assert_eq!((closes, over.load(Ordering::SeqCst)), (ROUNDS, ROUNDS));
    });
}
