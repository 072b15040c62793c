//! How an I/O passes through a chain: order, early end, pending, private payload.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::{
    cell::RefCell,
    ptr,
    sync::atomic::{AtomicU64, Ordering},
};

use sluice_chain::{
    Chain, ChainFull, Direction, Io, Outcome, Payload, Segment, Stage, StageIo, Status, Verdict,
    abi::{HostTable, MAX_STAGES, Needs, STAGE_WORDS},
    bytes::Target,
    rundown::Rundown,
    thunk,
};

thread_local! { static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) }; }
static TICKS: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" fn now() -> u64 {
    TICKS.fetch_add(100, Ordering::Relaxed)
}
unsafe extern "C" fn resume(_io: *mut Io, _verdict: Verdict) {}
static HOST: HostTable = HostTable { size: size_of::<HostTable>() as u32, reserved: 0, now, resume };

struct Named(&'static str, Verdict);
impl Stage for Named {
    const NAME: &'static str = "named";
    const NEEDS: Needs = Needs(0);
    fn request(&self, io: &mut StageIo<'_>) -> Verdict {
        SEEN.with_borrow_mut(|seen| seen.push(format!("{}v", self.0)));
        assert_eq!(*io.state(), [0; STAGE_WORDS]);
        io.state()[0] = self.0.len() as u64;
        if self.1 == Verdict::DONE { io.finish(Status::NO_SPACE) } else { self.1 }
    }
    fn completion(&self, io: &mut StageIo<'_>) -> Verdict {
        SEEN.with_borrow_mut(|seen| seen.push(format!("{}^", self.0)));
        assert_eq!(io.state()[0], self.0.len() as u64);
        Verdict::CONTINUE
    }
}

/// Adds one to every byte written, into private memory.
struct AddOne;
impl Stage for AddOne {
    const NAME: &'static str = "add one";
    const NEEDS: Needs = Needs::SPARE_ON_WRITE;
    fn request(&self, io: &mut StageIo<'_>) -> Verdict {
        let mut private = match io.write_payload() {
            Some(Payload::Caller { mut segments, private }) => {
                let mut rest = private;
                while let Some(source) = segments.next_source() {
                    let (mut head, tail) = rest.split_at(source.len()).unwrap();
                    head.copy_from(source);
                    rest = tail;
                }
                match io.write_payload() {
                    Some(Payload::Private(target)) => target,
                    other => panic!("{other:?}"),
                }
            }
            Some(Payload::Private(target)) => target,
            None => return io.finish(Status::INTERNAL),
        };
        for at in 0..private.len() {
            // SAFETY: inside the target, which nobody else uses in this test.
            unsafe { *private.as_mut_ptr().add(at) += 1 };
        }
        Verdict::CONTINUE
    }
}

fn chain<S: Stage>(stages: &[S]) -> Chain {
    let mut chain = Chain::new();
    for stage in stages {
        // SAFETY: the stages outlive the chain in every test here.
        unsafe { chain.push(thunk::table::<S>(), ptr::from_ref(stage).cast()) }.unwrap();
    }
    chain
}

fn io(direction: Direction, segments: &[Segment], spare: Segment) -> Io {
    Io {
        direction,
        length: segments.iter().map(|s| s.length as u32).sum(),
        segment_count: segments.len() as u32,
        segments: segments.as_ptr(),
        spare,
        position: 7,
        phase: 7,
        state: [[9; STAGE_WORDS]; MAX_STAGES],
        ..Io::idle(&raw const HOST)
    }
}

fn seen() -> String {
    SEEN.with_borrow_mut(|seen| std::mem::take(seen).join(" "))
}

#[test]
fn down_in_order_and_up_in_reverse() {
    let stages =
        [Named("a", Verdict::CONTINUE), Named("bb", Verdict::CONTINUE), Named("ccc", Verdict::CONTINUE)];
    let chain = chain(&stages);
    let mut io = io(Direction::FLUSH, &[], Segment::EMPTY);
    assert_eq!(chain.request(&mut io), Outcome::Through);
    assert_eq!(chain.completion(&mut io), Outcome::Through);
    assert_eq!(seen(), "av bbv cccv ccc^ bb^ a^");
}

#[test]
fn an_early_end_is_seen_by_the_stages_above_only() {
    let stages = [Named("a", Verdict::CONTINUE), Named("bb", Verdict::DONE), Named("c", Verdict::CONTINUE)];
    let chain = chain(&stages);
    let mut io = io(Direction::FLUSH, &[], Segment::EMPTY);
    assert_eq!(chain.request(&mut io), Outcome::Ended);
    assert_eq!(io.status, Status::NO_SPACE);
    assert_eq!(chain.completion(&mut io), Outcome::Through);
    assert_eq!(seen(), "av bbv a^");
}

#[test]
fn an_unknown_verdict_is_an_internal_error() {
    let stages = [Named("a", Verdict(77))];
    let chain = chain(&stages);
    let mut io = io(Direction::FLUSH, &[], Segment::EMPTY);
    assert_eq!(chain.request(&mut io), Outcome::Ended);
    assert_eq!(io.status, Status::INTERNAL);
    seen();
}

#[test]
fn a_pending_stage_resumes_where_it_stood() {
    let stages = [Named("a", Verdict::CONTINUE), Named("b", Verdict::PENDING), Named("c", Verdict::CONTINUE)];
    let chain = chain(&stages);
    let mut io = io(Direction::FLUSH, &[], Segment::EMPTY);
    assert_eq!(chain.request(&mut io), Outcome::Pending);
    assert_eq!(seen(), "av bv");
    // SAFETY: the stage has kept it.
    assert!(unsafe { Chain::take_back(&raw mut io, Verdict::CONTINUE) });
    assert_eq!(chain.resume(&mut io, Verdict::CONTINUE), Outcome::Through);
    assert_eq!(seen(), "cv");
    assert_eq!(chain.completion(&mut io), Outcome::Through);
    assert_eq!(seen(), "c^ b^ a^");
}

#[test]
fn a_write_is_changed_in_private_memory_and_the_callers_bytes_stay() {
    let chain = chain(&[AddOne, AddOne]);
    assert!(chain.needs(Needs::SPARE_ON_WRITE));
    let (mut first, mut second, mut spare) = ([1u8; 512], [5u8; 1024], [0u8; 2048]);
    let segments =
        [&mut first[..], &mut second[..]].map(|s| Segment { address: s.as_mut_ptr(), length: s.len() });
    let mut io =
        io(Direction::WRITE, &segments, Segment { address: spare.as_mut_ptr(), length: spare.len() });
    assert_eq!(chain.request(&mut io), Outcome::Through);
    assert_eq!((io.segment_count, io.private.length), (1, 1536));
    assert_eq!((spare[0], spare[511], spare[512], spare[1535], spare[1536]), (3, 3, 7, 7, 0));
    assert_eq!((first[0], second[0]), (1, 5));
    let stats = chain.slots().next().unwrap().stats();
    assert_eq!(stats.request.bytes.load(Ordering::Relaxed), 1536);
    assert_eq!(stats.request.latency.iter().map(|b| b.load(Ordering::Relaxed)).sum::<u64>(), 1);
}

#[test]
fn without_spare_memory_a_changing_stage_refuses() {
    let chain = chain(&[AddOne]);
    let mut bytes = [1u8; 512];
    let segments = [Segment { address: bytes.as_mut_ptr(), length: 512 }];
    for spare in [Segment::EMPTY, Segment { address: segments[0].address, length: 511 }] {
        let mut io = io(Direction::WRITE, &segments, spare);
        assert_eq!(chain.request(&mut io), Outcome::Ended);
        assert_eq!(io.status, Status::INTERNAL);
    }
}

#[test]
fn a_full_chain_and_a_foreign_version_are_refused() {
    let stage = Named("a", Verdict::CONTINUE);
    let mut chain = Chain::new();
    let mut foreign = thunk::table::<Named>();
    foreign.version = 0x0002_0000;
    let context = ptr::from_ref(&stage).cast();
    // SAFETY: the stage outlives the chain.
    unsafe {
        assert_eq!(chain.push(foreign, context), Err(ChainFull::Version));
        for _ in 0..MAX_STAGES {
            assert_eq!(chain.push(thunk::table::<Named>(), context), Ok(()));
        }
        assert_eq!(chain.push(thunk::table::<Named>(), context), Err(ChainFull::Full));
    }
}

#[test]
fn an_empty_chain_lets_everything_through() {
    let chain = Chain::new();
    let mut io = io(Direction::READ, &[], Segment::EMPTY);
    assert_eq!(chain.request(&mut io), Outcome::Through);
    assert_eq!(chain.completion(&mut io), Outcome::Through);
}

#[test]
fn ranges_split_inside_their_bounds_only() {
    let mut bytes = [0u8; 8];
    assert!(Target::from(&mut bytes[..]).split_at(9).is_none());
    let (head, tail) = Target::from(&mut bytes[..]).split_at(3).unwrap();
    assert_eq!((head.len(), tail.len()), (3, 5));
}

#[test]
fn the_last_to_leave_a_closed_gate_is_told() {
    let gate = Rundown::closed();
    assert!(gate.enter().is_none());
    assert!(gate.open());
    let (a, b) = (gate.enter().unwrap(), gate.enter().unwrap());
    assert!(!gate.leave(a));
    assert!(!gate.close());
    assert!(gate.enter().is_none());
    assert!(!gate.open());
    assert!(gate.leave(b));
    assert!(gate.close());
    assert!(gate.open());
}

struct Dropped(std::sync::Arc<AtomicU64>);
impl Stage for Dropped {
    const NAME: &'static str = "dropped";
    const NEEDS: Needs = Needs(0);
}
impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_chain_drops_the_stages_it_owns_and_those_it_refused() {
    let drops = std::sync::Arc::new(AtomicU64::new(0));
    let mut chain = Chain::new();
    for _ in 0..MAX_STAGES {
        chain.push_owned(sluice_chain::try_box(Dropped(drops.clone())).unwrap()).unwrap();
    }
    assert!(chain.push_owned(Box::new(Dropped(drops.clone()))).is_err());
    assert_eq!(drops.load(Ordering::Relaxed), 1);
    drop(chain);
    assert_eq!(drops.load(Ordering::Relaxed), 1 + MAX_STAGES as u64);
}
