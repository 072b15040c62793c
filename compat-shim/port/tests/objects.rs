//! What the port does for a miniport besides its requests: lists, MDLs, DPCs that are cancelled, power that is not there.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

use std::{
    ffi::c_void,
    ptr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    thread,
};

use sluice_port::{
    services::Event,
    types::{ListEntry, RequestInfo, SingleEntry, SingleHead, StorDpc, WatchdogInformation},
};
use sluice_port_host::{Adapter, DEVICE_LEVEL, raised};
use sluice_shim::storport::{
    SrbFlags, SrbRequest, SrbStatus, configuration::AccessRange, extended::StorAddressBtl8,
};
use support::{Ext, PATIENCE, Script, SrbAt, c, start, succeed};

/// StorPortExtendedFunction with an adapter's extension.
macro_rules! call {
    ($adapter:expr, $code:literal $(, $argument:expr)*) => {
        // SAFETY: as C would.
        unsafe { c::StorPortExtendedFunction($code, $adapter $(, $argument)*) }
    };
}

fn nothing<T>() -> *mut T {
    ptr::null_mut()
}

#[test]
fn a_singly_linked_list_is_last_in_first_out() {
    let adapter = start(Script::default());
    let ext = adapter.port().extension();
    let mut head = SingleHead { first: ptr::dangling_mut(), depth: 9 };
    let mut entries = [SingleEntry { next: nothing() }; 3];
    let head = &raw mut head;
    assert_eq!(call!(ext, 35, head), c::SUCCESS);
    let mut found: *mut SingleEntry = ptr::dangling_mut();
    assert_eq!(call!(ext, 37, head, &raw mut found), c::SUCCESS);
    assert!(found.is_null());
    let places = [&raw mut entries[0], &raw mut entries[1], &raw mut entries[2]];
    let mut before = nothing();
    for entry in places {
        assert_eq!(call!(ext, 38, head, entry, &raw mut found), c::SUCCESS);
        assert_eq!(found, before);
        before = entry;
    }
    let mut depth = 0u16;
    assert_eq!(call!(ext, 39, head, &raw mut depth), c::SUCCESS);
    assert_eq!(depth, 3);
    assert_eq!(call!(ext, 37, head, &raw mut found), c::SUCCESS);
    assert_eq!(found, places[2]);
    raised(DEVICE_LEVEL, || assert_eq!(call!(ext, 37, head, &raw mut found), c::INVALID_IRQL));
    assert_eq!(call!(ext, 36, head, &raw mut found), c::SUCCESS);
    // SAFETY: the test's entries.
    assert_eq!((found, unsafe { (*found).next }), (places[1], places[0]));
    assert_eq!(call!(ext, 39, head, &raw mut depth), c::SUCCESS);
    assert_eq!(depth, 0);
    assert_eq!(call!(ext, 38, head.wrapping_byte_add(8), places[0], nothing::<u8>()), c::INVALID_PARAMETER);
}

#[test]
fn singly_linked_lists_keep_everything_under_load() {
    let adapter = start(Script::default());
    let (mut head, popped) = (SingleHead { first: nothing(), depth: 0 }, AtomicU32::new(0));
    let (at, ext) = ((&raw mut head) as usize, Ext(adapter.port().extension()));
    thread::scope(|scope| {
        for _ in 0..4 {
            let popped = &popped;
            scope.spawn(move || {
                let ext = { ext }.0;
                for _ in 0..2000 {
                    let entry = Box::into_raw(Box::new(SingleEntry { next: nothing() }));
                    assert_eq!(call!(ext, 38, at, entry, 0usize), c::SUCCESS);
                    let mut found: *mut SingleEntry = nothing();
                    assert_eq!(call!(ext, 37, at, &raw mut found), c::SUCCESS);
                    if !found.is_null() {
                        popped.fetch_add(1, SeqCst);
                        // SAFETY: popped by this thread alone.
                        drop(unsafe { Box::from_raw(found) });
                    }
                }
            });
        }
    });
    assert_eq!((popped.load(SeqCst), head.depth), (8000, 0));
}

#[test]
fn a_doubly_linked_list_has_two_ends() {
    let adapter = start(Script::default());
    let ext = adapter.port().extension();
    let (mut head, mut lock) = (ListEntry { next: nothing(), before: nothing() }, 0xFFusize);
    let mut entries = [head; 3];
    let head = &raw mut head;
    // SAFETY: the test's own.
    unsafe { head.write(ListEntry { next: head, before: head }) };
    let lock = &raw mut lock;
    assert_eq!(call!(ext, 75, lock), c::SUCCESS);
    let [one, two, three] = [&raw mut entries[0], &raw mut entries[1], &raw mut entries[2]];
    let mut found: *mut ListEntry = one;
    assert_eq!(call!(ext, 74, head, &raw mut found, lock), c::SUCCESS);
    assert!(found.is_null());
    let wanted = [(72, one, nothing()), (72, two, one), (73, three, one)];
    for (code, entry, before) in wanted {
        // SAFETY: as C would.
        let status = unsafe { c::StorPortExtendedFunction(code, ext, head, entry, &raw mut found, lock) };
        assert_eq!((status, found), (c::SUCCESS, before));
    }
    let mut order = Vec::new();
    for _ in 0..4 {
        assert_eq!(call!(ext, 74, head, &raw mut found, lock), c::SUCCESS);
        order.push(found);
    }
    assert_eq!(order, [two, one, three, nothing()]);
    raised(DEVICE_LEVEL, || assert_eq!(call!(ext, 74, head, &raw mut found, lock), c::INVALID_IRQL));
}

/// An MDL's fields that macros of Windows look at.
unsafe fn mdl_of(mdl: *mut c_void) -> (usize, usize, u32, u32, i16) {
    let bytes = mdl.cast::<u8>();
    // SAFETY: the caller's contract.
    unsafe {
        (
            bytes.add(24).cast::<usize>().read(),
            bytes.add(32).cast::<usize>().read(),
            bytes.add(40).cast::<u32>().read(),
            bytes.add(44).cast::<u32>().read(),
            bytes.add(10).cast::<i16>().read(),
        )
    }
}

#[test]
fn an_mdl_describes_memory() {
    let adapter = start(Script::default());
    let ext = adapter.port().extension();
    let (mut mdl, mut pool) = (nothing::<c_void>(), nothing::<c_void>());
    assert_eq!(call!(ext, 0, 20_000u32, 7u32, &raw mut pool), c::SUCCESS);
    let inside = pool.wrapping_byte_add(100);
    assert_eq!(call!(ext, 2, inside, 9000u32, &raw mut mdl), c::SUCCESS);
    let offset = (inside as usize % 4096) as u32;
    // SAFETY: an MDL.
    assert_eq!(unsafe { mdl_of(mdl) }, (0, inside as usize - offset as usize, 9000, offset, 0));
    assert_eq!(call!(ext, 4, mdl), c::SUCCESS);
    // SAFETY: as above.
    let (mapped, .., flags) = unsafe { mdl_of(mdl) };
    assert_eq!((mapped, flags), (inside as usize, 4));
    assert_eq!(call!(ext, 4, pool), c::INVALID_PARAMETER);
    // A miniport that makes it longer than its room is not followed.
    // SAFETY: as above.
    unsafe { mdl.cast::<u8>().add(40).cast::<u32>().write(1 << 20) };
    assert_eq!(call!(ext, 4, mdl), c::INVALID_PARAMETER);
    assert_eq!(call!(ext, 3, pool), c::INVALID_PARAMETER);
    assert_eq!(call!(ext, 3, mdl), c::SUCCESS);
    assert_eq!(call!(ext, 3, mdl), c::INVALID_PARAMETER);
    assert_eq!(call!(ext, 2, nothing::<u8>(), 1u32, &raw mut mdl), c::INVALID_PARAMETER);
    assert!(mdl.is_null());
    raised(DEVICE_LEVEL, || {
        assert_eq!(call!(ext, 2, inside, 1u32, &raw mut mdl), c::INVALID_IRQL);
    });
}

fn asked(
    ask: impl Fn(*mut c_void, *mut c_void) + Send + Sync + 'static,
    length: usize,
    flags: SrbFlags,
) -> Arc<Adapter> {
    let adapter = start(Script {
        start: Box::new(move |ext, srb| {
            ask(ext.0, srb.0);
            succeed(ext, srb);
            true
        }),
        ..Script::default()
    });
    let mut data = vec![0u8; length];
    let request = SrbRequest {
        flags,
        data_buffer: data.as_mut_ptr().cast(),
        data_transfer_length: length as u32,
        ..SrbRequest::command(&[0; 6])
    };
    let unit = adapter.add_unit(0, 0, 0).unwrap();
    for _ in 0..2 {
        let reply = adapter.command(unit, &request, sluice_port::command::Special::None);
        assert_eq!(reply.answer.srb_status, SrbStatus::SUCCESS);
    }
    adapter
}

#[test]
fn a_request_has_an_mdl_and_its_pages() {
    let ask = |ext: *mut c_void, srb: *mut c_void| {
        let (mut mdl, mut again) = (nothing::<c_void>(), nothing::<c_void>());
        assert_eq!(call!(ext, 6, srb, &raw mut mdl), c::SUCCESS);
        assert_eq!(call!(ext, 6, srb, &raw mut again), c::SUCCESS);
        assert_eq!(mdl, again);
        // SAFETY: an MDL.
        let (mapped, start, bytes, offset, _) = unsafe { mdl_of(mdl) };
        assert_eq!((bytes, mapped), (70_000, start + offset as usize));
        let (mut numbers, mut count, mut first) = (nothing::<u64>(), 0u32, 0u32);
        let status = call!(ext, 76, srb, mdl, &raw mut numbers, &raw mut count, &raw mut first);
        assert_eq!((status, first), (c::SUCCESS, offset));
        assert_eq!(count as usize, (offset as usize + 70_000).div_ceil(4096));
        let list = call_list(ext, srb);
        // SAFETY: the port's list: its first element behind the head, and the pages' numbers.
        unsafe { assert_eq!(list.add(2).cast::<u64>().read() / 4096, numbers.read()) };
        let mut data_in = nothing::<c_void>();
        assert_eq!(call!(ext, 42, srb, &raw mut data_in), c::INVALID_PARAMETER);
        let not_its_own = call!(ext, 76, srb, srb, &raw mut numbers, &raw mut count, &raw mut first);
        assert_eq!(not_its_own, c::INVALID_PARAMETER);
    };
    let adapter = asked(ask, 70_000, SrbFlags::DATA_IN);
    let mut mdl = nothing::<c_void>();
    assert_eq!(call!(adapter.port().extension(), 6, 64usize, &raw mut mdl), c::INVALID_PARAMETER);
}

fn call_list(ext: *mut c_void, srb: *mut c_void) -> *const u64 {
    // SAFETY: as C would.
    let list = unsafe { c::StorPortGetScatterGatherList(ext, srb) };
    assert!(!list.is_null());
    list.cast()
}

#[test]
fn a_request_tells_its_length_and_direction() {
    let ask = |ext: *mut c_void, srb: *mut c_void| {
        for (version, size) in [(1u16, 24u16), (2, 40)] {
            // SAFETY: integers and pointers, for which any bytes are valid.
            let mut info: RequestInfo = unsafe { std::mem::zeroed() };
            (info.version, info.process) = (version, 77);
            assert_eq!(call!(ext, 28, srb, &raw mut info), c::SUCCESS);
            assert_eq!((info.size, info.priority, info.length, info.is_write), (size, 2, 1024, 1));
            assert_eq!(info.process, if version == 1 { 77 } else { 0 }, "only what the version has");
            info.version = 3;
            assert_eq!(call!(ext, 28, srb, &raw mut info), c::UNSUPPORTED_VERSION);
            let mut id = [0u32; 4];
            assert_eq!(call!(ext, 40, srb, &raw mut id), c::UNSUCCESSFUL);
        }
    };
    asked(ask, 1024, SrbFlags::DATA_OUT);
}

#[test]
fn a_device_gets_memory_for_itself() {
    let adapter = start(Script::default());
    let ext = adapter.port().extension();
    let (mut ranges, mut count) = ([AccessRange::default(); 4], 4u32);
    let (place, number) = (ranges.as_mut_ptr(), &raw mut count);
    let ask = |least: usize, wanted: usize, alignment: u32| {
        call!(ext, 69, least, wanted, 8192u64, alignment, 0u64, u64::MAX, 0u64, place, number)
    };
    assert_eq!(ask(8192, 100_000, 4096), c::SUCCESS);
    // SAFETY: the arrays are the test's.
    unsafe {
        assert_eq!((number.read(), (*place).length), (1, 98_304));
        assert!((*place).start != 0);
    }
    assert_eq!(call!(ext, 70, place, 2u32), c::INVALID_PARAMETER);
    assert_eq!(call!(ext, 70, place, 1u32), c::SUCCESS);
    assert_eq!(call!(ext, 70, place, 1u32), c::INVALID_PARAMETER);
    assert_eq!(ask(8192, 4096, 4096), c::INVALID_PARAMETER);
    assert_eq!(ask(0, 4096, 4096), c::INVALID_PARAMETER);
    assert_eq!(ask(8192, 8192, 1 << 20), c::INSUFFICIENT_RESOURCES);
}

fn cancel(ext: *mut c_void, dpc: *mut StorDpc) -> bool {
    let mut waited = 9u8;
    assert_eq!(call!(ext, 95, dpc, &raw mut waited), c::SUCCESS);
    assert!(waited <= 1);
    waited == 1
}

#[test]
fn a_dpc_that_waits_can_be_cancelled_and_others_go_on() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let see = Arc::clone(&seen);
    let adapter = start(Script {
        dpc: Box::new(move |_, _, one, _| see.lock().unwrap().push(one)),
        ..Script::default()
    });
    let ext = adapter.port().extension();
    // SAFETY: integers and pointers, for which any bytes are valid.
    let dpcs: &'static mut [StorDpc; 3] = Box::leak(Box::new(unsafe { std::mem::zeroed() }));
    let [one, two, three] = dpcs.each_mut().map(std::ptr::from_mut);
    for (dpc, kind) in [(one, 0x1001u32), (two, 0x100A), (three, 0x1001)] {
        // SAFETY: as C would.
        unsafe { c::StorPortNotification(kind, ext, dpc, support::dpc as *const c_void) };
    }
    let issue = |dpc: *mut StorDpc, argument: usize| {
        // SAFETY: as C would.
        unsafe { c::StorPortNotification(c::ISSUE_DPC, ext, dpc, argument, 0usize, 0usize) };
    };
    assert!(!cancel(ext, one), "it does not wait");
    // Held up by a request's lock they could still run: so it is tried until one was caught waiting.
    let mut caught = 0;
    let mut wanted = Vec::new();
    for round in 1..2000usize {
        issue(one, round * 4);
        issue(two, round * 4 + 1);
        issue(three, round * 4 + 2);
        if cancel(ext, two) {
            caught += 1;
        } else {
            wanted.push(round * 4 + 1);
        }
        wanted.extend([round * 4, round * 4 + 2]);
        assert!(adapter.wait_until(PATIENCE, |_| seen.lock().unwrap().len() == wanted.len()));
    }
    let mut seen = seen.lock().unwrap().clone();
    seen.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(seen, wanted);
    assert!(caught > 0);
    assert_eq!(call!(ext, 95, ext, &raw mut caught), c::INVALID_PARAMETER);
}

#[test]
fn a_lock_can_be_taken_with_an_answer() {
    let adapter = start(Script::default());
    let ext = adapter.port().extension();
    let (mut handle, mut second) = ([0u64; 4], [0u64; 4]);
    // SAFETY: integers and pointers, for which any bytes are valid.
    let mut dpc: StorDpc = unsafe { std::mem::zeroed() };
    // SAFETY: as C would.
    unsafe { c::StorPortNotification(0x100A, ext, &raw mut dpc, support::dpc as *const c_void) };
    for kind in [1u32, 2, 3, 4, 5] {
        assert_eq!(call!(ext, 93, kind, &raw mut dpc, &raw mut handle), c::SUCCESS, "{kind}");
        if kind == 2 {
            assert_eq!(call!(ext, 93, kind, &raw mut dpc, &raw mut second), c::INVALID_PARAMETER);
        }
        // SAFETY: as C would.
        unsafe { c::StorPortNotification(c::RELEASE_SPIN_LOCK, ext, &raw mut handle) };
    }
    assert_eq!(call!(ext, 93, 0u32, &raw mut dpc, &raw mut handle), c::INVALID_PARAMETER);
    assert_eq!(call!(ext, 93, 6u32, &raw mut dpc, &raw mut handle), c::INVALID_PARAMETER);
}

#[test]
fn there_is_no_power_framework() {
    let adapter = start(Script::default());
    let ext = adapter.port().extension();
    let unit = StorAddressBtl8 { kind: 1, address_length: 4, ..StorAddressBtl8::default() };
    let elsewhere = StorAddressBtl8 { target: 9, ..unit };
    let (device, mut cold) = ([1u32, 32, 1, 0, 0, 0, 0, 0], 7u8);
    for address in [ptr::null(), &raw const unit] {
        assert_eq!(call!(ext, 48, address, device.as_ptr(), &raw mut cold), c::UNSUCCESSFUL);
        assert_eq!(cold, 0);
        assert_eq!(call!(ext, 49, address, 0usize, 0u32, 0u32), c::INVALID_DEVICE_REQUEST);
        assert_eq!(call!(ext, 57, address, 1000u32), c::INVALID_DEVICE_REQUEST);
    }
    assert_eq!(call!(ext, 50, &raw const elsewhere, 0usize, 0u32, 0u32), c::INVALID_PARAMETER);
    let none = [1u32, 32, 0, 0];
    assert_eq!(call!(ext, 48, 0usize, none.as_ptr(), &raw mut cold), c::INVALID_PARAMETER);
    raised(2, || {
        assert_eq!(call!(ext, 48, 0usize, device.as_ptr(), &raw mut cold), c::INVALID_IRQL);
    });
    raised(DEVICE_LEVEL, || assert_eq!(call!(ext, 50, 0usize, 0usize, 0u32, 0u32), c::INVALID_IRQL));
}

#[test]
fn processors_timers_and_the_watchdog_are_told() {
    let adapter = start(Script::default());
    let ext = adapter.port().extension();
    let (mut count, mut tick, mut wanted, mut mask) = (0u32, 0u32, 0u16, [0usize; 2]);
    assert_eq!(call!(ext, 94, &raw mut count), c::SUCCESS);
    assert!(count > 0);
    assert_eq!(call!(ext, 107, &raw mut tick), c::SUCCESS);
    assert_eq!(tick, 156_250);
    assert_eq!(call!(ext, 117, 0u32, nothing::<u8>(), 0u32, &raw mut wanted), c::BUFFER_TOO_SMALL);
    assert_eq!(wanted, 1);
    assert_eq!(call!(ext, 117, 0u32, &raw mut mask, 1u32, &raw mut wanted), c::SUCCESS);
    assert!(mask[0] != 0);
    assert_eq!(call!(ext, 117, 7u32, &raw mut mask, 1u32, &raw mut wanted), c::INVALID_PARAMETER);
    let mut watchdog = WatchdogInformation { time_limit: 9, ..WatchdogInformation::default() };
    assert_eq!(call!(ext, 106, &raw mut watchdog), c::INVALID_IRQL);
    raised(2, || assert_eq!(call!(ext, 106, &raw mut watchdog), c::SUCCESS));
    assert_eq!(watchdog, WatchdogInformation::default(), "there is none in user mode");
    let mut message = 9u32;
    assert_eq!(call!(ext, 116, 0u32, &raw mut message), c::INVALID_PARAMETER, "it has no messages");
    let mut base = nothing::<c_void>();
    let status = call!(ext, 121, 5u32, 0u32, 0xF000_0000_u64, 16u32, 0u32, 0u32, &raw mut base);
    assert!(status == c::SUCCESS && !base.is_null());
    // SAFETY: as C would.
    unsafe { c::StorPortFreeDeviceBase(ext, base) };
    let status = call!(ext, 121, 5u32, 0u32, 0x1000_u64, 16u32, 0u32, 0u32, &raw mut base);
    assert_eq!((status, base), (c::UNSUCCESSFUL, nothing()), "not the adapter's");
}

#[test]
fn an_overrun_is_told_to_the_host() {
    let adapter = start(Script::default());
    // SAFETY: as C would.
    unsafe { c::StorPortNotification(13, adapter.port().extension()) };
    assert_eq!(adapter.record().events, [Event::MarkedFailed(None)]);
}

#[test]
fn a_work_item_is_queued_to_a_node() {
    let done = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&done);
    let adapter = start(Script {
        work: Box::new(move |_, context, _| {
            count.fetch_add(context as u32, SeqCst);
        }),
        ..Script::default()
    });
    let ext = adapter.port().extension();
    let mut worker = nothing::<c_void>();
    assert_eq!(call!(ext, 29, &raw mut worker), c::SUCCESS);
    let routine = support::work as *const c_void;
    assert_eq!(call!(ext, 136, routine, worker, 5usize, 9u32), c::INVALID_PARAMETER);
    assert_eq!(call!(ext, 136, routine, worker, 5usize, 0u32), c::SUCCESS);
    assert!(adapter.wait_until(PATIENCE, |_| done.load(SeqCst) == 5));
    assert_eq!(call!(ext, 31, worker), c::SUCCESS);
}

#[test]
fn a_stray_request_has_no_mdl() {
    let kept: Arc<Mutex<Vec<SrbAt>>> = Arc::default();
    let keep = Arc::clone(&kept);
    let adapter = start(Script {
        start: Box::new(move |ext, srb| {
            keep.lock().unwrap().push(srb);
            succeed(ext, srb);
            true
        }),
        ..Script::default()
    });
    let unit = adapter.add_unit(0, 0, 0).unwrap();
    let _ = adapter.command(unit, &SrbRequest::command(&[0; 6]), sluice_port::command::Special::None);
    let (srb, mut mdl) = (kept.lock().unwrap()[0].0, nothing::<c_void>());
    assert_eq!(call!(adapter.port().extension(), 6, srb, &raw mut mdl), c::INVALID_PARAMETER);
}
