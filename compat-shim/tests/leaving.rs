//! Stages of other drivers come and go while I/O flows. A stage that has left is not called again, and nobody is inside.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "tests play the parts of hosts and miniports, some of them badly"
)]

mod support;

use std::{
    ffi::c_void,
    ptr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use sluice_chain::{
    Chain, Flags, Io, Slot, StageTable, Status, Verdict,
    abi::{ABI_VERSION, Needs},
    registration::{Kind, Outside, Place},
};
use sluice_miniport_ram::Ram;
use sluice_shim::storport::SrbKind;
use sluice_user_host::{Disk, Executor, Operation, Setup};
use support::{Gate, SECTOR, Xor, eventually};

const SECTORS: u64 = 4096;

/// What a stage does with each I/O, both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Pass,
    /// A thread resumes it, often before the function has returned.
    Keep,
    /// It is resumed inside the function, which then takes its time.
    Early,
}

/// The context of a stage. It outlives its registration, to see who comes too late.
struct Guest {
    manner: Manner,
    /// Threads inside its functions.
    inside: AtomicUsize,
    gone: AtomicBool,
    late: AtomicU64,
    calls: AtomicU64,
    to: Mutex<mpsc::Sender<Kept>>,
}

/// An I/O on its way to the thread that resumes it.
struct Kept(*mut Io);
unsafe impl Send for Kept {}

unsafe extern "C" fn call(context: *const c_void, io: *mut Io) -> Verdict {
    let guest = unsafe { &*context.cast::<Guest>() };
    guest.inside.fetch_add(1, Ordering::SeqCst);
    guest.late.fetch_add(guest.gone.load(Ordering::SeqCst).into(), Ordering::SeqCst);
    let turn = guest.calls.fetch_add(1, Ordering::SeqCst);
    let verdict = match guest.manner {
        Manner::Pass => Verdict::CONTINUE,
        Manner::Keep => {
            guest.to.lock().unwrap().send(Kept(io)).unwrap();
            Verdict::PENDING
        }
        Manner::Early => {
            unsafe { ((*(*io).host).resume)(io, Verdict::CONTINUE) };
            Verdict::PENDING
        }
    };
    // The I/O may be resumed by now; the function is not over.
    if verdict == Verdict::PENDING && turn.is_multiple_of(3) {
        thread::sleep(Duration::from_micros(50));
    }
    guest.inside.fetch_sub(1, Ordering::SeqCst);
    verdict
}

unsafe extern "C" fn detach(_context: *const c_void) {
    unreachable!("a chain does not detach what is not its own");
}

fn slot(handle: u64, place: Place, guest: &Guest) -> Box<Slot> {
    let table = StageTable {
        size: size_of::<StageTable>() as u32,
        version: ABI_VERSION,
        name: *b"guest\0\0\0\0\0\0\0\0\0\0\0",
        needs: Needs::default(),
        reserved: 0,
        request: call,
        completion: call,
        detach,
    };
    let context = ptr::from_ref(guest).cast();
    let outside = Outside { kind: Kind::OBSERVER, place, altitude: handle as u32, disk: 1, table, context };
    unsafe { Slot::outside(handle, &outside) }.unwrap()
}

fn guest(manner: Manner) -> (Arc<Guest>, thread::JoinHandle<()>) {
    let (to, from) = mpsc::channel::<Kept>();
    let resumer = thread::spawn(move || {
        for Kept(io) in from {
            unsafe { ((*(*io).host).resume)(io, Verdict::CONTINUE) };
        }
    });
    let guest = Guest {
        manner,
        inside: AtomicUsize::new(0),
        gone: AtomicBool::new(false),
        late: AtomicU64::new(0),
        calls: AtomicU64::new(0),
        to: Mutex::new(to),
    };
    (Arc::new(guest), resumer)
}

/// Ends the flow, also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Writes and reads back until told to stop; answers how often.
fn flow(disk: &Disk, first: u64, stop: &AtomicBool) -> u64 {
    let mut turns = 0;
    while !stop.load(Ordering::Relaxed) {
        let bytes = vec![(turns ^ first) as u8; 8 * SECTOR as usize];
        let written = disk.write(first, &bytes, Flags::default());
        let mut back = vec![0; bytes.len()];
        let read = disk.read(first, &mut back);
        assert_eq!((written.status, read.status), (Status::OK, Status::OK));
        assert_eq!(back, bytes);
        turns += 1;
    }
    turns
}

#[test]
fn a_stage_leaves_while_io_flows_and_nobody_is_inside_it_then() {
    let mut chain = Chain::new();
    chain.push_owned(Box::new(Xor)).unwrap();
    let ram = Arc::new(Ram::new(SECTORS, SECTOR, SrbKind::Extended).unwrap());
    let disk = Disk::new(ram, SECTOR, chain, &Setup { requests: 4, ..Setup::default() });
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..6)
            .map(|n| {
                let (disk, stop) = (&disk, &stop);
                scope.spawn(move || flow(disk, n * 8, stop))
            })
            .collect();
        let flowing = Stop(&stop);
        let mut calls = [0; 3];
        for turn in 1..=150_u64 {
            let manner = [Manner::Pass, Manner::Keep, Manner::Early][turn as usize % 3];
            let (guest, resumer) = guest(manner);
            let place = if turn % 2 == 0 { Place::ABOVE } else { Place::BELOW };
            let added = slot(turn, place, &guest);
            disk.change_chain(|chain| chain.insert(added)).unwrap();
            thread::sleep(Duration::from_micros(turn % 5 * 200));
            let removed = disk.change_chain(|chain| chain.remove(turn));
            // From here on a driver could be unloaded.
            assert_eq!(guest.inside.load(Ordering::SeqCst), 0, "{manner:?}: somebody is inside");
            guest.gone.store(true, Ordering::SeqCst);
            let slot = removed.unwrap();
            let stats = slot.stats();
            let (down, up) = (&stats.request.requests, &stats.completion.requests);
            assert_eq!(down.load(Ordering::Relaxed), up.load(Ordering::Relaxed), "{manner:?}");
            calls[turn as usize % 3] += guest.calls.load(Ordering::SeqCst);
            thread::sleep(Duration::from_micros(100));
            assert_eq!(guest.late.load(Ordering::SeqCst), 0, "{manner:?}: called after it had left");
            drop(guest); // and with it the thread's channel
            resumer.join().unwrap();
        }
        drop(flowing);
        let turns: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert!(turns > 100 && calls.iter().all(|calls| *calls > 20), "{turns} {calls:?}: nothing flowed");
    });
}

#[test]
fn a_held_unit_starts_nothing_and_ends_what_is_under_way() {
    let gate = Gate::new(SECTORS, SrbKind::Extended, true);
    let setup = Setup { requests: 4, executor: Executor::Thread, ..Setup::default() };
    let disk = Disk::new(Arc::clone(&gate), SECTOR, Chain::new(), &setup);
    let before = disk.start(Operation::write(1, vec![1; 512]));
    assert!(!disk.unit().hold(), "one is under way");
    let waits = disk.start(Operation::write(2, vec![2; 512]));
    let withdrawn = disk.start(Operation::write(3, vec![3; 512]));
    assert!(withdrawn.cancel(), "who waits can be withdrawn");
    assert!(gate.release_oldest());
    assert_eq!(before.wait().0.status, Status::OK);
    assert_eq!((gate.held(), waits.answer().is_none()), (0, true), "it has begun");
    disk.unit().release();
    eventually("it begins", || gate.held() == 1);
    gate.open();
    assert_eq!(waits.wait().0.status, Status::OK);
    assert_eq!(withdrawn.wait().0.status, Status::CANCELLED);
}
