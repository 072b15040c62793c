//! Requests: who has them, where their data lies, and completions that are none.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

use std::{
    ffi::c_void,
    ptr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use sluice_chain::{Chain, Flags};
use sluice_port::command::Special;
use sluice_port_host::Adapter;
use sluice_shim::storport::{
    SrbFlags, SrbFunction, SrbKind, SrbRequest, SrbStatus, SrbStorage, srb::Address,
};
use sluice_user_host::{Operation, Setup};
use support::{Ext, PATIENCE, Script, SrbAt, c, complete, fault, finish, start, succeed};

const KINDS: [SrbKind; 2] = [SrbKind::Legacy, SrbKind::Extended];

fn command(adapter: &Adapter) -> SrbStatus {
    let unit = adapter.port().unit(Address::default()).unwrap();
    adapter.command(unit, &SrbRequest::command(&[0; 6]), Special::None).answer.srb_status
}

#[test]
fn a_second_completion_changes_nothing() {
    for kind in KINDS {
        let adapter = start(Script {
            kind,
            start: Box::new(|ext, srb| {
                succeed(ext, srb);
                complete(ext, srb);
                complete(ext, srb);
                true
            }),
            ..Script::default()
        });
        assert_eq!(command(&adapter), SrbStatus::SUCCESS);
        adapter.settle();
        assert_eq!(fault(&adapter, "completed_twice"), 2);
        assert_eq!(command(&adapter), SrbStatus::SUCCESS);
    }
}

#[test]
fn srbs_of_nobody_are_not_followed() {
    let adapter = start(Script {
        start: Box::new(|ext, srb| {
            let mut strange = SrbStorage::new();
            for wrong in [
                ptr::null_mut(),
                strange.as_mut_ptr(),
                ptr::without_provenance_mut::<c_void>(0x10),
                srb.0.wrapping_byte_add(8),
                srb.0.wrapping_byte_sub(64),
            ] {
                complete(ext, SrbAt(wrong));
            }
            succeed(ext, srb);
            true
        }),
        ..Script::default()
    });
    assert_eq!(command(&adapter), SrbStatus::SUCCESS);
    assert_eq!(fault(&adapter, "foreign_srb"), 5);
}

#[test]
fn a_refused_request_is_started_over_until_there_is_room() {
    let turn = Arc::new(AtomicU32::new(0));
    let turns = Arc::clone(&turn);
    let adapter = start(Script {
        start: Box::new(move |ext, srb| {
            if turns.fetch_add(1, SeqCst) < 3 {
                return false;
            }
            succeed(ext, srb);
            true
        }),
        ..Script::default()
    });
    assert_eq!(command(&adapter), SrbStatus::SUCCESS);
    assert_eq!(turn.load(SeqCst), 4);
}

#[test]
fn one_that_is_completed_and_refused_is_completed() {
    let adapter = start(Script {
        start: Box::new(|ext, srb| {
            succeed(ext, srb);
            false
        }),
        ..Script::default()
    });
    for _ in 0..100 {
        assert_eq!(command(&adapter), SrbStatus::SUCCESS);
    }
    assert_eq!(fault(&adapter, "completed_twice"), 0);
}

#[test]
fn build_io_may_complete_it() {
    let started = Arc::new(AtomicU32::new(0));
    let starts = Arc::clone(&started);
    let adapter = start(Script {
        build: Box::new(|ext, srb| {
            finish(ext, srb, SrbStatus::INVALID_REQUEST);
            false
        }),
        start: Box::new(move |_, _| {
            starts.fetch_add(1, SeqCst);
            true
        }),
        ..Script::default()
    });
    assert_eq!(command(&adapter), SrbStatus::INVALID_REQUEST);
    assert_eq!(started.load(SeqCst), 0);
}

#[test]
fn what_build_io_has_completed_is_not_started_though_it_says_so() {
    let started = Arc::new(AtomicU32::new(0));
    let starts = Arc::clone(&started);
    let adapter = start(Script {
        build: Box::new(|ext, srb| {
            succeed(ext, srb);
            true
        }),
        start: Box::new(move |ext, srb| {
            starts.fetch_add(1, SeqCst);
            complete(ext, srb);
            true
        }),
        ..Script::default()
    });
    for _ in 0..100 {
        assert_eq!(command(&adapter), SrbStatus::SUCCESS);
    }
    assert_eq!(started.load(SeqCst), 0);
    assert_eq!(fault(&adapter, "completed_twice"), 0);
}

#[test]
fn a_status_that_says_nothing_is_an_error() {
    let adapter = start(Script {
        start: Box::new(|ext, srb| {
            complete(ext, srb);
            true
        }),
        ..Script::default()
    });
    assert_eq!(command(&adapter), SrbStatus::ERROR);
}

type Kept = Arc<Mutex<Vec<(Ext, SrbAt)>>>;

/// A miniport that keeps what it gets.
fn keeper(kind: SrbKind) -> (Arc<Adapter>, Kept) {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    let adapter = start(Script {
        kind,
        start: Box::new(move |ext, srb| {
            keep.lock().unwrap().push((ext, srb));
            true
        }),
        ..Script::default()
    });
    (adapter, kept)
}

#[test]
fn any_order_and_any_thread_will_do() {
    for kind in KINDS {
        let (adapter, kept) = keeper(kind);
        // SAFETY: nothing wrong about it.
        unsafe { c::StorPortSetDeviceQueueDepth(adapter.port().extension(), 0, 0, 0, 64) };
        let disk = adapter.disk(Address::default(), 512, Chain::default(), &Setup::default()).unwrap();
        let tickets: Vec<_> = (0..32).map(|n| disk.start(Operation::read(n, 512))).collect();
        assert!(adapter.wait_until(PATIENCE, |_| kept.lock().unwrap().len() == 32));
        let mut all = std::mem::take(&mut *kept.lock().unwrap());
        all.reverse();
        let workers: Vec<_> = all
            .chunks(8)
            .map(|part| {
                let part = part.to_vec();
                thread::spawn(move || part.into_iter().for_each(|(ext, srb)| succeed(ext, srb)))
            })
            .collect();
        for worker in workers {
            worker.join().unwrap();
        }
        for ticket in tickets {
            assert_eq!(ticket.wait().0.transferred, 512);
        }
        assert_eq!(adapter.port().outstanding_requests(), 0);
    }
}

#[test]
fn get_srb_finds_what_the_miniport_has() {
    for kind in KINDS {
        let (adapter, kept) = keeper(kind);
        let sender = Arc::clone(&adapter);
        let thread = thread::spawn(move || command(&sender));
        assert!(adapter.wait_until(PATIENCE, |_| !kept.lock().unwrap().is_empty()));
        let (ext, srb) = kept.lock().unwrap()[0];
        let tag = srb.view().queue_tag() as i32;
        // SAFETY: as C would.
        unsafe {
            assert_eq!(c::StorPortGetSrb(ext.0, 0, 0, 0, tag), srb.0);
            assert!(c::StorPortGetSrb(ext.0, 0, 0, 1, tag).is_null());
            assert!(c::StorPortGetSrb(ext.0, 0, 0, 0, tag + 1).is_null());
            assert!(c::StorPortGetSrb(ext.0, 0, 0, 0, -1).is_null());
            succeed(ext, srb);
            assert_eq!(thread.join().unwrap(), SrbStatus::SUCCESS);
            assert!(c::StorPortGetSrb(ext.0, 0, 0, 0, tag).is_null());
        }
    }
}

#[test]
fn complete_request_takes_all_that_match() {
    let (adapter, kept) = keeper(SrbKind::Extended);
    adapter.add_unit(0, 1, 0).unwrap();
    let threads: Vec<_> = [0u8, 0, 1]
        .into_iter()
        .map(|target| {
            let adapter = Arc::clone(&adapter);
            thread::spawn(move || {
                let unit = adapter.port().unit(Address { path: 0, target, lun: 0 }).unwrap();
                adapter.command(unit, &SrbRequest::command(&[0; 6]), Special::None).answer.srb_status
            })
        })
        .collect();
    assert!(adapter.wait_until(PATIENCE, |_| kept.lock().unwrap().len() == 3));
    let ext = adapter.port().extension();
    // SAFETY: as C would.
    unsafe { c::StorPortCompleteRequest(ext, 0, 0, 0xFF, SrbStatus::BUS_RESET.0) };
    adapter.settle();
    assert_eq!(adapter.port().outstanding_requests(), 1);
    // SAFETY: as C would.
    unsafe { c::StorPortCompleteRequest(ext, 0xFF, 0xFF, 0xFF, SrbStatus::ABORTED.0) };
    let mut answers: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap().0).collect();
    answers.sort_unstable();
    assert_eq!(answers, [SrbStatus::ABORTED.0, SrbStatus::BUS_RESET.0, SrbStatus::BUS_RESET.0]);
}

#[test]
fn units_have_their_memory() {
    let adapter = start(Script::default());
    let (unit, ext) = (adapter.add_unit(0, 3, 1).unwrap(), adapter.port().extension());
    // SAFETY: as C would.
    unsafe {
        let memory = c::StorPortGetLogicalUnit(ext, 0, 3, 1);
        assert_eq!(memory, unit.extension());
        assert_eq!(std::slice::from_raw_parts(memory.cast::<u8>(), 64), [0; 64]);
        assert!(c::StorPortGetLogicalUnit(ext, 0, 3, 2).is_null());
    }
    adapter.port().remove_unit(unit);
    // SAFETY: as C would.
    assert!(unsafe { c::StorPortGetLogicalUnit(ext, 0, 3, 1) }.is_null());
    let answer = adapter.command(unit, &SrbRequest::command(&[0; 6]), Special::None).answer;
    assert_eq!(answer.srb_status, SrbStatus::NO_DEVICE);
    assert!(ptr::eq(adapter.add_unit(0, 3, 1).unwrap(), unit), "it comes back as it was");
    assert!(adapter.add_unit(0, 8, 0).is_err(), "more targets than the adapter has");
}

#[repr(C)]
struct List {
    count: u32,
    reserved: usize,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Element {
    physical: u64,
    length: u32,
    reserved: usize,
}

/// The elements of an SRB's list.
fn elements(ext: Ext, srb: SrbAt) -> Vec<Element> {
    // SAFETY: as C would.
    unsafe {
        let list = c::StorPortGetScatterGatherList(ext.0, srb.0).cast::<List>();
        if list.is_null() {
            return Vec::new();
        }
        assert_eq!(c::StorPortGetScatterGatherList(ext.0, srb.0), list.cast(), "the same when asked again");
        std::slice::from_raw_parts(list.add(1).cast::<Element>(), (*list).count as usize).to_vec()
    }
}

#[test]
fn scatter_lists_lead_to_all_of_the_data() {
    for kind in KINDS {
        let (adapter, kept) = keeper(kind);
        let disk = adapter.disk(Address::default(), 512, Chain::default(), &Setup::default()).unwrap();
        let bytes: Vec<u8> = (0..40_960u32).map(|n| (n * 7 + (n >> 8)) as u8).collect();
        let ticket = disk.start(Operation::write(8, bytes.clone()));
        assert!(adapter.wait_until(PATIENCE, |_| !kept.lock().unwrap().is_empty()));
        let (ext, srb) = kept.lock().unwrap()[0];
        let list = elements(ext, srb);
        assert!(list.len() >= 10, "{} elements", list.len());
        let mut seen = Vec::new();
        for element in &list {
            // SAFETY: the data is there while the miniport has the SRB.
            let part = unsafe {
                let memory = adapter.device_view(element.physical, element.length as usize).unwrap();
                std::slice::from_raw_parts(memory.as_ptr(), element.length as usize)
            };
            seen.extend_from_slice(part);
        }
        assert_eq!(seen, bytes);
        // The same by way of StorPortGetPhysicalAddress, and the system address.
        let (mut length, mut address) = (0u32, ptr::null_mut::<c_void>());
        // SAFETY: as C would.
        unsafe {
            let data = srb.view().data_buffer();
            let physical = c::StorPortGetPhysicalAddress(ext.0, srb.0, data, &mut length);
            assert_eq!((physical, length), (list[0].physical, list[0].length));
            assert_eq!(c::StorPortExtendedFunction(5, ext.0, srb.0, &raw mut address), c::SUCCESS);
            assert_eq!(address, data);
        }
        succeed(ext, srb);
        assert_eq!(ticket.wait().0.transferred, 40_960);
        // It is the miniport's no more.
        assert!(elements(ext, srb).is_empty());
    }
}

#[test]
fn without_data_there_is_no_list() {
    let asked = Arc::new(AtomicUsize::new(1));
    let answer = Arc::clone(&asked);
    let adapter = start(Script {
        start: Box::new(move |ext, srb| {
            answer.store(elements(ext, srb).len(), SeqCst);
            succeed(ext, srb);
            true
        }),
        ..Script::default()
    });
    assert_eq!(command(&adapter), SrbStatus::SUCCESS);
    assert_eq!(asked.load(SeqCst), 0);
}

#[test]
fn physical_addresses_of_what_the_port_gave_and_of_nothing_else() {
    let adapter = start(Script {
        find: Box::new(|ext, _| {
            // SAFETY: as C would.
            unsafe {
                let block = c::StorPortGetUncachedExtension(ext.0, ptr::null_mut(), 3 * 4096);
                assert!(!block.is_null());
                assert!(c::StorPortGetUncachedExtension(ext.0, ptr::null_mut(), 4 * 4096).is_null());
                ext.0.cast::<*mut c_void>().add(1).write(block);
                let mut length = 0;
                let physical =
                    c::StorPortGetPhysicalAddress(ext.0, ptr::null_mut(), block.byte_add(100), &mut length);
                assert_eq!(length, 3 * 4096 - 100, "in one piece");
                assert_eq!(c::StorPortGetVirtualAddress(ext.0, physical), block.byte_add(100));
            }
            1
        }),
        start: Box::new(|ext, srb| {
            let mut length = 0;
            let context = srb.view().miniport_context();
            // SAFETY: as C would.
            let physical = unsafe { c::StorPortGetPhysicalAddress(ext.0, srb.0, context, &mut length) };
            assert!(physical.is_multiple_of(128) && length >= 96, "an SrbExtension is in one piece");
            succeed(ext, srb);
            true
        }),
        ..Script::default()
    });
    assert_eq!(command(&adapter), SrbStatus::SUCCESS);
    let (ext, mut length, local) = (adapter.port().extension(), 5u32, 0u64);
    // SAFETY: as C would.
    unsafe {
        assert!(c::StorPortGetUncachedExtension(ext, ptr::null_mut(), 4096).is_null(), "too late");
        let nothing = ptr::null_mut();
        let stranger = (&raw const local).cast_mut().cast();
        assert_eq!(c::StorPortGetPhysicalAddress(ext, nothing, stranger, &mut length), 0);
        assert_eq!(length, 0);
        assert!(c::StorPortGetVirtualAddress(ext, 0x1234_5678).is_null());
    }
    assert_eq!(fault(&adapter, "wrong_moment"), 1);
}

#[test]
fn functions_without_data_are_sent_in_both_forms() {
    for kind in KINDS {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let see = Arc::clone(&seen);
        let adapter = start(Script {
            kind,
            start: Box::new(move |ext, srb| {
                // SAFETY: the SRB has at least 88 bytes; an extended one's block is where its offset says.
                let (small, first) = unsafe {
                    let bytes = srb.0.cast::<u8>();
                    match srb.view().kind() {
                        SrbKind::Legacy => (bytes.add(4).read(), bytes.add(8).cast::<u32>().read()),
                        SrbKind::Extended => {
                            let block = bytes.add(bytes.add(120).cast::<u32>().read() as usize);
                            (block.add(8).read(), block.add(12).cast::<u32>().read())
                        }
                    }
                };
                see.lock().unwrap().push((srb.view().function(), small, first));
                succeed(ext, srb);
                true
            }),
            ..Script::default()
        });
        let unit = adapter.port().adapter_unit().unwrap();
        let pnp = Special::Pnp { minor: 9, action: 0x123, flags: 1 };
        let power = Special::Power { flags: 3, state: 4, action: 5 };
        adapter.command(unit, &SrbRequest::function(SrbFunction::PNP), pnp);
        adapter.command(unit, &SrbRequest::function(SrbFunction::POWER), power);
        let wanted = [(SrbFunction::PNP, 9, 0x123), (SrbFunction::POWER, 3, 4)];
        assert_eq!(*seen.lock().unwrap(), wanted, "{kind:?}");
    }
}

#[test]
fn an_io_control_has_its_buffer() {
    let adapter = start(Script {
        start: Box::new(|ext, srb| {
            let view = srb.view();
            assert_eq!(view.function(), SrbFunction::IO_CONTROL);
            // SAFETY: the data is mapped.
            unsafe {
                view.data_buffer().cast::<u8>().write_bytes(0xA5, view.data_transfer_length() as usize)
            };
            succeed(ext, srb);
            true
        }),
        ..Script::default()
    });
    let mut data = [0u8; 100];
    let request = SrbRequest::function(SrbFunction::IO_CONTROL).with_data(
        SrbFlags::DATA_IN,
        data.as_mut_ptr().cast(),
        100,
    );
    let unit = adapter.port().adapter_unit().unwrap();
    let reply = adapter.command(unit, &request, Special::None);
    assert_eq!(reply.answer.srb_status, SrbStatus::SUCCESS);
    assert_eq!(data, [0xA5; 100]);
}

#[test]
fn sense_data_reaches_the_sender() {
    for kind in KINDS {
        let adapter = start(Script {
            kind,
            start: Box::new(|ext, srb| {
                let mut view = srb.view();
                let (sense, size) = view.sense_buffer().unwrap();
                let mut length = 0;
                // SAFETY: as C would.
                let physical = unsafe {
                    c::StorPortGetPhysicalAddress(ext.0, srb.0, sense.as_ptr().cast(), &mut length)
                };
                assert!(physical != 0 && length >= 1 && length <= u32::from(size));
                // SAFETY: the port's SRBs have their sense buffer.
                unsafe { sluice_shim::scsi::sense::Refusal::InvalidField.write(&mut view) };
                complete(ext, srb);
                true
            }),
            ..Script::default()
        });
        let unit = adapter.port().unit(Address::default()).unwrap();
        let reply = adapter.command(unit, &SrbRequest::command(&[0; 6]), Special::None);
        assert!(reply.answer.srb_status.has_sense());
        assert_eq!(reply.sense[2] & 0xF, 5, "ILLEGAL REQUEST");
    }
}

#[test]
fn a_short_transfer_is_no_error() {
    let adapter = start(Script {
        start: Box::new(|ext, srb| {
            srb.view().set_data_transfer_length(512);
            finish(ext, srb, SrbStatus::DATA_OVERRUN);
            true
        }),
        ..Script::default()
    });
    let disk = adapter.disk(Address::default(), 512, Chain::default(), &Setup::default()).unwrap();
    assert_eq!(disk.read(0, &mut [0; 4096]).transferred, 512);
    assert_eq!(disk.write(0, &[0; 4096], Flags::default()).transferred, 512);
}
