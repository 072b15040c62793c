//! DPCs, timers, work items, interrupts and locks.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

use std::{
    ffi::c_void,
    ptr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use sluice_port_host::{Adapter, DEVICE_LEVEL, Hardware, current, raised};
use sluice_shim::storport::{SrbRequest, SrbStatus, srb::Address};
use support::{Ext, PATIENCE, Script, SrbAt, c, fault, start, start_on, succeed};

/// A STOR_DPC's room.
#[repr(C, align(8))]
struct Dpc([u8; 72]);

/// A STOR_LOCK_HANDLE.
#[repr(C, align(8))]
struct Handle([u8; 32]);

const DPC_LOCK: u32 = 1;
const START_IO_LOCK: u32 = 2;
const INTERRUPT_LOCK: u32 = 3;

fn none() -> *mut c_void {
    ptr::null_mut()
}

fn issue(ext: Ext, dpc: *mut Dpc, one: usize, two: usize) -> bool {
    let mut queued = 0u32; // a LONG in some headers
    // SAFETY: as C would.
    unsafe { c::StorPortNotification(c::ISSUE_DPC, ext.0, dpc, one, two, &raw mut queued) };
    assert!(queued <= 1);
    queued == 1
}

#[test]
fn a_dpc_runs_once_for_each_time_it_is_queued() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (see, gate) = (Arc::clone(&seen), Arc::new(Mutex::new(())));
    let wait = Arc::clone(&gate);
    let adapter = start(Script {
        dpc: Box::new(move |_, _, one, two| {
            drop(wait.lock().unwrap());
            see.lock().unwrap().push((one, two, current()));
        }),
        ..Script::default()
    });
    let ext = Ext(adapter.port().extension());
    let dpc: &'static mut Dpc = Box::leak(Box::new(Dpc([0xAA; 72])));
    assert!(!issue(ext, dpc, 1, 2), "not initialized");
    // SAFETY: as C would.
    unsafe {
        c::StorPortNotification(c::INITIALIZE_DPC, ext.0, &raw mut *dpc, support::dpc as *const c_void)
    };
    let held = gate.lock().unwrap();
    assert!(issue(ext, dpc, 1, 2));
    // Until the routine begins, it is queued already; it may have begun by now, and then once more is right.
    let again = (0..2).filter(|_| raised(DEVICE_LEVEL, || issue(ext, dpc, 3, 4))).count();
    assert!(again <= 1);
    drop(held);
    assert!(adapter.wait_until(PATIENCE, |_| seen.lock().unwrap().len() == 1 + again));
    adapter.settle();
    assert_eq!(seen.lock().unwrap()[0], (1, 2, 2), "arguments and IRQL");
    assert!(issue(ext, dpc, 5, 6));
    assert!(adapter.wait_until(PATIENCE, |_| seen.lock().unwrap().last() == Some(&(5, 6, 2))));
    for wrong in [ptr::null_mut(), ptr::from_mut(dpc).wrapping_byte_add(4)] {
        assert!(!issue(ext, wrong, 0, 0));
    }
}

#[test]
fn hw_timer_goes_off_once_and_can_be_stopped() {
    let times = Arc::new(AtomicU32::new(0));
    let level = Arc::new(AtomicU32::new(9));
    let (count, at) = (Arc::clone(&times), Arc::clone(&level));
    let adapter = start(Script {
        timer: Box::new(move |_| {
            at.store(u32::from(current()), SeqCst);
            count.fetch_add(1, SeqCst);
        }),
        ..Script::default()
    });
    let ext = adapter.port().extension();
    let call = |microseconds: u32| {
        // SAFETY: as C would.
        raised(DEVICE_LEVEL, || unsafe {
            c::StorPortNotification(
                c::REQUEST_TIMER_CALL,
                ext,
                support::timer as *const c_void,
                microseconds,
            );
        });
    };
    let began = Instant::now();
    call(30_000);
    assert!(adapter.wait_until(PATIENCE, |_| times.load(SeqCst) == 1));
    assert!(began.elapsed() >= Duration::from_millis(30));
    assert_eq!(level.load(SeqCst), 2);
    call(50_000);
    call(0);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(times.load(SeqCst), 1, "stopped");
    call(20_000);
    call(60_000); // a later call replaces the earlier
    let began = Instant::now();
    assert!(adapter.wait_until(PATIENCE, |_| times.load(SeqCst) == 2));
    assert!(began.elapsed() >= Duration::from_millis(50));
}

fn extended(code: u32, ext: *mut c_void, arguments: [usize; 5]) -> u32 {
    let [a, b, c, d, e] = arguments;
    // SAFETY: as C would.
    unsafe { c::StorPortExtendedFunction(code, ext, a, b, c, d, e) }
}

fn handle_of(code: u32, ext: *mut c_void) -> usize {
    let mut handle = 0usize;
    assert_eq!(extended(code, ext, [(&raw mut handle).expose_provenance(), 0, 0, 0, 0]), c::SUCCESS);
    assert_ne!(handle, 0);
    handle
}

#[test]
fn timers_are_the_miniports_own() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let see = Arc::clone(&seen);
    let adapter = start(Script {
        timer_ex: Box::new(move |ext, context| {
            see.lock().unwrap().push((context, current()));
            if context > 0xFFFF {
                // One that sets itself again, and frees itself in the end.
                let turn = see.lock().unwrap().iter().filter(|(of, _)| *of == context).count();
                let callback = (support::timer_ex as *const c_void).expose_provenance();
                if turn < 5 {
                    assert_eq!(extended(33, ext.0, [context, callback, context, 500, 0]), c::SUCCESS);
                } else {
                    assert_eq!(extended(34, ext.0, [context, 0, 0, 0, 0]), c::SUCCESS);
                }
            }
        }),
        ..Script::default()
    });
    let ext = adapter.port().extension();
    let turning = handle_of(32, ext);
    let callback = (support::timer_ex as *const c_void).expose_provenance();
    assert_eq!(extended(33, ext, [turning, callback, turning, 500, 0]), c::SUCCESS);
    assert!(adapter.wait_until(PATIENCE, |_| seen.lock().unwrap().len() == 5));
    adapter.settle();
    seen.lock().unwrap().clear();
    assert_eq!(extended(33, ext, [turning, callback, turning, 500, 0]), c::INVALID_PARAMETER);
    let (one, two) = (handle_of(32, ext), handle_of(32, ext));
    assert_eq!(extended(33, ext, [one, callback, 1, 60_000, 0]), c::SUCCESS);
    assert_eq!(extended(33, ext, [two, callback, 2, 20_000, 0]), c::SUCCESS);
    assert!(adapter.wait_until(PATIENCE, |_| seen.lock().unwrap().len() == 2));
    assert_eq!(*seen.lock().unwrap(), [(2, 2), (1, 2)], "the shorter first, at DISPATCH_LEVEL");
    assert_eq!(extended(33, ext, [one, callback, 3, 40_000, 0]), c::SUCCESS);
    assert_eq!(extended(33, ext, [one, callback, 3, 0, 0]), c::SUCCESS, "stopped");
    assert_eq!(extended(33, ext, [two, callback, 4, 40_000, 0]), c::SUCCESS);
    assert_eq!(extended(34, ext, [two, 0, 0, 0, 0]), c::SUCCESS, "freed");
    std::thread::sleep(Duration::from_millis(80));
    assert_eq!(seen.lock().unwrap().len(), 2);
    assert_eq!(extended(34, ext, [two, 0, 0, 0, 0]), c::INVALID_PARAMETER, "twice");
    assert_eq!(extended(33, ext, [two, callback, 0, 1, 0]), c::INVALID_PARAMETER);
    assert_eq!(extended(33, ext, [one, 0, 0, 1, 0]), c::INVALID_PARAMETER, "without a callback");
    raised(DEVICE_LEVEL, || {
        assert_eq!(extended(33, ext, [one, callback, 0, 1, 0]), c::INVALID_IRQL);
    });
    assert_eq!((fault(&adapter, "freed_wrongly"), fault(&adapter, "irql")), (1, 1));
}

#[test]
fn work_is_done_at_passive_level() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (see, gate) = (Arc::clone(&seen), Arc::new(Mutex::new(())));
    let wait = Arc::clone(&gate);
    let adapter = start(Script {
        work: Box::new(move |ext, context, worker| {
            drop(wait.lock().unwrap());
            see.lock().unwrap().push((context, current()));
            if context == 3 {
                assert_eq!(extended(31, ext.0, [worker.expose_provenance(), 0, 0, 0, 0]), c::SUCCESS);
            }
        }),
        ..Script::default()
    });
    let ext = adapter.port().extension();
    let callback = (support::work as *const c_void).expose_provenance();
    let (one, two) = (handle_of(29, ext), handle_of(29, ext));
    let held = gate.lock().unwrap();
    raised(2, || assert_eq!(extended(30, ext, [callback, one, 1, 0, 0]), c::SUCCESS));
    assert_eq!(extended(30, ext, [callback, two, 2, 0, 0]), c::SUCCESS);
    // The first may have begun; the second waits for it.
    assert_eq!(extended(30, ext, [callback, two, 2, 0, 0]), c::BUSY);
    assert_eq!(extended(31, ext, [two, 0, 0, 0, 0]), c::BUSY);
    drop(held);
    assert!(adapter.wait_until(PATIENCE, |_| seen.lock().unwrap().len() == 2));
    assert_eq!(*seen.lock().unwrap(), [(1, 0), (2, 0)]);
    assert_eq!(extended(30, ext, [callback, one, 3, 0, 0]), c::SUCCESS, "one that frees itself");
    assert!(adapter.wait_until(PATIENCE, |_| seen.lock().unwrap().len() == 3));
    adapter.settle();
    assert_eq!(extended(30, ext, [callback, one, 4, 0, 0]), c::INVALID_PARAMETER);
    assert_eq!(extended(30, ext, [0, two, 4, 0, 0]), c::INVALID_PARAMETER);
    assert_eq!(extended(31, ext, [two, 0, 0, 0, 0]), c::SUCCESS);
    let mut handle = 7usize;
    let place = (&raw mut handle).expose_provenance();
    raised(DEVICE_LEVEL, || assert_eq!(extended(29, ext, [place, 0, 0, 0, 0]), c::INVALID_IRQL));
    assert_eq!(handle, 0);
}

#[test]
fn an_interrupt_completes_what_was_started() {
    let kept: Arc<Mutex<Option<SrbAt>>> = Arc::default();
    let (keep, give) = (Arc::clone(&kept), Arc::clone(&kept));
    let adapter = start(Script {
        start: Box::new(move |_, srb| {
            *keep.lock().unwrap() = Some(srb);
            true
        }),
        interrupt: Box::new(move |ext| {
            assert_eq!(current(), DEVICE_LEVEL);
            give.lock().unwrap().take().is_some_and(|srb| {
                succeed(ext, srb);
                true
            })
        }),
        ..Script::default()
    });
    assert!(!adapter.interrupt(), "not ours");
    let sender = Arc::clone(&adapter);
    let thread = std::thread::spawn(move || status(&sender));
    assert!(adapter.wait_until(PATIENCE, |_| kept.lock().unwrap().is_some()));
    assert!(adapter.interrupt());
    assert_eq!(thread.join().unwrap(), SrbStatus::SUCCESS);
    assert_eq!(sluice_port_host::violations(), Vec::<String>::new());
}

fn status(adapter: &Adapter) -> SrbStatus {
    let unit = adapter.port().unit(Address::default()).unwrap();
    adapter
        .command(unit, &SrbRequest::command(&[0; 6]), sluice_port::command::Special::None)
        .answer
        .srb_status
}

/// `MESSAGE_INTERRUPT_INFORMATION`.
#[repr(C)]
#[derive(Debug, Default)]
struct Information {
    id: u32,
    data: u32,
    address: u64,
    vector: u32,
    level: u32,
    mode: u32,
}

#[test]
fn messages_are_heard_and_have_their_locks() {
    let heard = Arc::new(AtomicU32::new(0));
    let hear = Arc::clone(&heard);
    let adapter = start_on(
        Script {
            find: Box::new(|_, configuration| {
                configuration.hw_ms_interrupt_routine = Some(support::message_interrupt);
                configuration.interrupt_synchronization_mode = 1; // each its own
                1
            }),
            message: Box::new(move |ext, id| {
                assert_eq!(current(), DEVICE_LEVEL);
                // Its own lock it has; another one's it may take.
                let mut old = 99u32;
                let own = extended(11, ext.0, [id as usize, (&raw mut old).expose_provenance(), 0, 0, 0]);
                assert_eq!(own, c::INVALID_PARAMETER);
                let other = (id as usize + 1) % 4;
                let place = (&raw mut old).expose_provenance();
                assert_eq!(extended(11, ext.0, [other, place, 0, 0, 0]), c::SUCCESS);
                assert_eq!(extended(12, ext.0, [other, old as usize, 0, 0, 0]), c::SUCCESS);
                assert_eq!(extended(12, ext.0, [other, old as usize, 0, 0, 0]), c::INVALID_PARAMETER);
                hear.fetch_or(1 << id, SeqCst);
                true
            }),
            ..Script::default()
        },
        Hardware { messages: 4, ..Hardware::default() },
    );
    assert_eq!(adapter.port().messages(), 4);
    assert!(adapter.message_interrupt(0) && adapter.message_interrupt(3));
    assert!(!adapter.message_interrupt(4), "there are four");
    assert_eq!(heard.load(SeqCst), 0b1001);
    assert_eq!(fault(&adapter, "lock_order"), 2);
    let (ext, mut info) = (adapter.port().extension(), Information::default());
    let place = (&raw mut info).expose_provenance();
    assert_eq!(extended(13, ext, [2, place, 0, 0, 0]), c::SUCCESS);
    assert_eq!((info.id, info.data, info.mode), (2, 0x52, 1));
    assert_eq!(extended(13, ext, [4, place, 0, 0, 0]), c::INVALID_PARAMETER);
}

fn acquire(ext: *mut c_void, kind: u32, context: *mut c_void, handle: &mut Handle) {
    // SAFETY: as C would.
    unsafe { c::StorPortNotification(c::ACQUIRE_SPIN_LOCK, ext, kind, context, &raw mut *handle) };
}

fn release(ext: *mut c_void, handle: &mut Handle) {
    // SAFETY: as C would.
    unsafe { c::StorPortNotification(c::RELEASE_SPIN_LOCK, ext, &raw mut *handle) };
}

#[test]
fn locks_raise_and_exclude() {
    let adapter = start(Script::default());
    let ext = adapter.port().extension();
    let dpc: &'static mut Dpc = Box::leak(Box::new(Dpc([0; 72])));
    // SAFETY: as C would.
    unsafe { c::StorPortNotification(c::INITIALIZE_DPC, ext, &raw mut *dpc, support::dpc as *const c_void) };
    let context: *mut c_void = ptr::from_mut(dpc).cast();
    let mut handles = [const { Handle([0xEE; 32]) }; 3];
    let [one, two, three] = &mut handles;
    acquire(ext, DPC_LOCK, context, one);
    assert_eq!(current(), 2);
    acquire(ext, START_IO_LOCK, none(), two);
    acquire(ext, INTERRUPT_LOCK, none(), three);
    assert_eq!(current(), DEVICE_LEVEL);
    // Somebody else has to wait for the StartIo lock.
    let (other, there) = (Arc::clone(&adapter), Arc::new(AtomicBool::new(false)));
    let flag = Arc::clone(&there);
    let thread = std::thread::spawn(move || {
        let (ext, mut handle) = (other.port().extension(), Handle([0; 32]));
        acquire(ext, START_IO_LOCK, none(), &mut handle);
        flag.store(true, SeqCst);
        release(ext, &mut handle);
    });
    std::thread::sleep(Duration::from_millis(20));
    assert!(!there.load(SeqCst));
    release(ext, three);
    assert_eq!(current(), 2);
    release(ext, two);
    thread.join().unwrap();
    release(ext, one);
    assert_eq!(current(), 0);
    assert_eq!((fault(&adapter, "lock_order"), fault(&adapter, "lock_release")), (0, 0));
    assert_eq!(sluice_port_host::violations(), Vec::<String>::new());
}

#[test]
fn locks_out_of_order_are_refused_and_counted() {
    let adapter = start(Script::default());
    let ext = adapter.port().extension();
    let mut handles = [const { Handle([0; 32]) }; 2];
    let [one, two] = &mut handles;
    for (first, second) in [
        (START_IO_LOCK, START_IO_LOCK),
        (INTERRUPT_LOCK, INTERRUPT_LOCK),
        (INTERRUPT_LOCK, START_IO_LOCK),
        (START_IO_LOCK, DPC_LOCK),
    ] {
        let before = fault(&adapter, "lock_order");
        acquire(ext, first, none(), one);
        acquire(ext, second, none(), two);
        assert_eq!(fault(&adapter, "lock_order"), before + 1, "{first} then {second}");
        release(ext, two); // of one that was refused: nothing
        release(ext, one);
        assert_eq!(current(), 0);
    }
    assert_eq!(fault(&adapter, "lock_release"), 0);
    release(ext, one); // a second time
    assert_eq!(fault(&adapter, "lock_release"), 1);
    let arguments = fault(&adapter, "argument");
    acquire(ext, 17, none(), one);
    acquire(ext, DPC_LOCK, none(), one);
    // SAFETY: as C would.
    unsafe { c::StorPortNotification(c::ACQUIRE_SPIN_LOCK, ext, START_IO_LOCK, none(), none()) };
    assert_eq!(fault(&adapter, "argument"), arguments + 3);
    assert_eq!(current(), 0);
}

#[test]
fn start_io_has_its_lock_already() {
    let adapter = start(Script {
        start: Box::new(|ext, srb| {
            assert_eq!(current(), 2);
            let mut handle = Handle([0; 32]);
            acquire(ext.0, START_IO_LOCK, none(), &mut handle);
            release(ext.0, &mut handle);
            succeed(ext, srb);
            true
        }),
        ..Script::default()
    });
    assert_eq!(status(&adapter), SrbStatus::SUCCESS);
    assert_eq!(fault(&adapter, "lock_order"), 1);
}

#[test]
fn half_duplex_excludes_the_interrupt() {
    let inside = Arc::new(AtomicUsize::new(0));
    let (one, two) = (Arc::clone(&inside), Arc::clone(&inside));
    let adapter = start(Script {
        find: Box::new(|_, configuration| {
            configuration.synchronization_model = 0;
            1
        }),
        start: Box::new(move |ext, srb| {
            assert_eq!(current(), DEVICE_LEVEL);
            one.fetch_add(1, SeqCst);
            std::thread::sleep(Duration::from_micros(200));
            assert_eq!(one.fetch_sub(1, SeqCst), 1);
            succeed(ext, srb);
            true
        }),
        interrupt: Box::new(move |_| {
            assert_eq!(two.fetch_add(1, SeqCst), 0);
            assert_eq!(two.fetch_sub(1, SeqCst), 1);
            true
        }),
        ..Script::default()
    });
    let (other, stop) = (Arc::clone(&adapter), Arc::new(AtomicBool::new(false)));
    let ended = Arc::clone(&stop);
    let thread = std::thread::spawn(move || {
        while !ended.load(SeqCst) {
            assert!(other.interrupt());
            std::thread::yield_now();
        }
    });
    for _ in 0..50 {
        assert_eq!(status(&adapter), SrbStatus::SUCCESS);
    }
    stop.store(true, SeqCst);
    thread.join().unwrap();
}

unsafe extern "system" fn synchronized(_ext: *mut c_void, context: *mut c_void) -> u8 {
    // SAFETY: the test's.
    unsafe { context.cast::<u8>().write(current()) };
    1
}

unsafe extern "system" fn says_no(_ext: *mut c_void, _context: *mut c_void) -> u8 {
    0
}

#[test]
fn synchronize_access_is_at_device_level() {
    let adapter = start(Script::default());
    let (ext, mut level) = (adapter.port().extension(), 0u8);
    // SAFETY: as C would.
    unsafe {
        assert_eq!(c::StorPortSynchronizeAccess(ext, Some(synchronized), (&raw mut level).cast()), 1);
        assert_eq!(level, DEVICE_LEVEL);
        assert_eq!(c::StorPortSynchronizeAccess(ext, Some(says_no), none()), 0);
        assert_eq!(c::StorPortSynchronizeAccess(ext, None, none()), 0);
    }
    assert_eq!(current(), 0);
    assert_eq!(fault(&adapter, "argument"), 1);
}
