//! From DriverEntry to a request and back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod support;

use std::{
    ffi::c_void,
    ptr::NonNull,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use sluice_chain::{Chain, Flags};
use sluice_port::{
    command::Special,
    port::Phase,
    services::{Event, PASSIVE_LEVEL},
    status::NtStatus,
};
use sluice_port_host::{Adapter, Hardware, current};
use sluice_shim::storport::{
    SrbFunction, SrbKind, SrbRequest, SrbStatus,
    initialization::{HwFindAdapter, STOR_FEATURE_VIRTUAL_MINIPORT},
    notification::{adapter_control, found, unit_control},
    srb::Address,
};
use sluice_user_host::Setup;
use support::{PATIENCE, Script, SrbAt, TIMING, c, fault, load, start, succeed};

const KINDS: [SrbKind; 2] = [SrbKind::Legacy, SrbKind::Extended];

#[test]
fn a_command_goes_to_the_miniport_and_comes_back() {
    for kind in KINDS {
        let adapter = start(Script {
            kind,
            start: Box::new(|ext, srb| {
                let mut view = srb.view();
                assert_eq!(view.function(), SrbFunction::EXECUTE_SCSI);
                assert_eq!(view.address(), Address { path: 0, target: 1, lun: 2 });
                assert!(!view.miniport_context().is_null());
                view.set_data_transfer_length(7);
                succeed(ext, srb);
                true
            }),
            ..Script::default()
        });
        let unit = adapter.add_unit(0, 1, 2).unwrap();
        let reply = adapter.command(unit, &SrbRequest::command(&[0; 6]), Special::None);
        assert_eq!(reply.answer.srb_status, SrbStatus::SUCCESS);
        assert_eq!(reply.answer.data_transfer_length, 7);
        assert_eq!(unit.outstanding(), 0);
    }
    assert_eq!(sluice_port_host::violations(), Vec::<String>::new());
}

/// What a RAM disk does with a READ or WRITE (10).
fn transfer(memory: &mut [u8], srb: SrbAt) {
    let view = srb.view();
    let cdb = view.cdb();
    let lba = u32::from_be_bytes([cdb[2], cdb[3], cdb[4], cdb[5]]) as usize;
    let length = view.data_transfer_length() as usize;
    // SAFETY: the SRB's data is mapped while the miniport has it.
    let data = unsafe { std::slice::from_raw_parts_mut(view.data_buffer().cast::<u8>(), length) };
    let place = &mut memory[lba * 512..][..length];
    match cdb[0] {
        0x28 => data.copy_from_slice(place),
        0x2A => place.copy_from_slice(data),
        other => panic!("command {other:#x}"),
    }
}

#[test]
fn a_disk_over_a_miniport_reads_and_writes() {
    for kind in KINDS {
        let memory = Arc::new(Mutex::new(vec![0u8; 1 << 20]));
        let disk = Arc::clone(&memory);
        let adapter = start(Script {
            kind,
            start: Box::new(move |ext, srb| {
                transfer(&mut disk.lock().unwrap(), srb);
                succeed(ext, srb);
                true
            }),
            ..Script::default()
        });
        let disk = adapter.disk(Address::default(), 512, Chain::default(), &Setup::default()).unwrap();
        let bytes: Vec<u8> = (0..8192u32).map(|n| n as u8 ^ (n >> 8) as u8).collect();
        assert_eq!(disk.write(16, &bytes, Flags::default()).transferred, 8192);
        let mut read = vec![0; 8192];
        assert_eq!(disk.read(16, &mut read).transferred, 8192);
        assert_eq!(read, bytes);
        assert_eq!(&memory.lock().unwrap()[16 * 512..][..8192], &bytes[..]);
    }
}

fn send(adapter: &Adapter) -> SrbStatus {
    let unit = adapter.port().unit(Address::default()).unwrap();
    adapter.command(unit, &SrbRequest::command(&[0; 6]), Special::None).answer.srb_status
}

#[test]
fn what_find_adapter_answers_becomes_a_status() {
    for (answer, status) in [
        (found::NOT_FOUND, NtStatus::NO_SUCH_DEVICE),
        (found::ERROR, NtStatus::ADAPTER_HARDWARE_ERROR),
        (found::BAD_CONFIG, NtStatus::DEVICE_CONFIGURATION_ERROR),
        (77, NtStatus::ADAPTER_HARDWARE_ERROR),
    ] {
        let script = Script { find: Box::new(move |_, _| answer), ..Script::default() };
        let result = Adapter::start(&load(script).unwrap(), Hardware::default(), TIMING);
        assert_eq!(result.err(), Some(status));
    }
}

#[test]
fn a_configuration_that_cannot_be_is_refused() {
    type Change = fn(&mut sluice_shim::storport::PortConfigurationInformation);
    let changes: [Change; 7] = [
        |it| it.srb_extension_size = u32::MAX,
        |it| it.specific_lu_extension_size = u32::MAX,
        |it| it.maximum_transfer_length = 0,
        |it| it.number_of_physical_breaks = 0,
        |it| it.number_of_buses = 0,
        |it| it.alignment_mask = 6,
        |it| it.alignment_mask = u32::MAX,
    ];
    for change in changes {
        let find = move |_, it: &mut sluice_shim::storport::PortConfigurationInformation| {
            change(it);
            found::FOUND
        };
        let script = Script { find: Box::new(find), ..Script::default() };
        let result = Adapter::start(&load(script).unwrap(), Hardware::default(), TIMING);
        assert_eq!(result.err(), Some(NtStatus::DEVICE_CONFIGURATION_ERROR));
    }
}

#[test]
fn the_configuration_is_proposed_and_read_back() {
    let adapter = start(Script {
        kind: SrbKind::Extended,
        find: Box::new(|ext, it| {
            assert_eq!(current(), PASSIVE_LEVEL);
            assert_eq!((it.length, it.adapter_interface_type, it.slot_number), (224, 5, 3));
            assert_eq!((it.srb_type, it.srb_extension_size, it.specific_lu_extension_size), (1, 96, 64));
            // SAFETY: the extension has 256 bytes, of which the test uses one word.
            let rest = unsafe { std::slice::from_raw_parts(ext.0.cast::<u64>().add(1), 31) };
            assert_eq!(rest, [0; 31]);
            it.maximum_transfer_length = 128 << 10;
            it.number_of_physical_breaks = 17;
            it.maximum_number_of_targets = 3;
            it.srb_extension_size = 5000;
            it.max_number_of_io = 7;
            it.initial_lun_queue_depth = 5;
            it.caches_data = 1;
            found::FOUND
        }),
        ..Script::default()
    });
    let settings = adapter.port().settings().unwrap();
    assert_eq!((settings.max_transfer, settings.max_elements), (64 << 10, 17));
    assert_eq!((settings.targets, settings.requests, settings.depth), (3, 7, 5));
    assert_eq!((settings.srb_extension, settings.caches_data), (5000, true));
    assert_eq!(adapter.port().unit(Address::default()).unwrap().depth(), 5);
    assert!(adapter.add_unit(0, 3, 0).is_err());
}

#[test]
fn an_adapter_that_does_not_initialize_is_not_started() {
    let script = Script { initialize: Box::new(|_| false), ..Script::default() };
    let result = Adapter::start(&load(script).unwrap(), Hardware::default(), TIMING);
    assert_eq!(result.err(), Some(NtStatus::ADAPTER_HARDWARE_ERROR));
}

fn enable_passive(ext: support::Ext) -> bool {
    let mut done = 0u32;
    // SAFETY: as C would.
    unsafe {
        c::StorPortNotification(
            c::ENABLE_PASSIVE_INITIALIZATION,
            ext.0,
            support::passive_initialize as *const c_void,
            &raw mut done,
        );
    }
    done != 0
}

#[test]
fn passive_initialization_comes_after_the_other_one() {
    for succeeds in [true, false] {
        let levels = Arc::new(Mutex::new(Vec::new()));
        let (one, two) = (Arc::clone(&levels), Arc::clone(&levels));
        let script = Script {
            initialize: Box::new(move |ext| {
                one.lock().unwrap().push(current());
                enable_passive(ext)
            }),
            passive: Box::new(move |_| {
                two.lock().unwrap().push(current());
                succeeds
            }),
            ..Script::default()
        };
        let result = Adapter::start(&load(script).unwrap(), Hardware::default(), TIMING);
        assert_eq!(*levels.lock().unwrap(), [5, 0]);
        match result {
            Ok(adapter) => {
                assert!(succeeds && !enable_passive(support::Ext(adapter.port().extension())), "too late");
                assert_eq!(fault(&adapter, "wrong_moment"), 1);
            }
            Err(status) => assert!(!succeeds && status == NtStatus::ADAPTER_HARDWARE_ERROR),
        }
    }
}

/// A list of the control types that a miniport knows.
fn supports(parameters: *mut c_void, kinds: &[usize]) -> u32 {
    // SAFETY: a SCSI_SUPPORTED_CONTROL_TYPE_LIST.
    unsafe {
        let most = parameters.cast::<u32>().read() as usize;
        let list = parameters.cast::<u8>().add(4);
        kinds.iter().filter(|kind| **kind < most).for_each(|kind| list.add(*kind).write(1));
    }
    0
}

#[test]
fn controls_reach_the_miniport_if_it_knows_them() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (note, unit_note) = (Arc::clone(&asked), Arc::clone(&asked));
    let adapter = start(Script {
        control: Box::new(move |_, kind, parameters| match kind {
            adapter_control::QUERY_SUPPORTED_CONTROL_TYPES => supports(parameters, &[1, 2, 6]),
            _ => {
                note.lock().unwrap().push(("adapter", kind));
                u32::from(kind == adapter_control::RESTART_ADAPTER)
            }
        }),
        unit_control: Box::new(move |_, kind, parameters| match kind {
            unit_control::QUERY_SUPPORTED_CONTROL_TYPES => supports(parameters, &[2, 3]),
            _ => {
                unit_note.lock().unwrap().push(("unit", kind));
                0
            }
        }),
        ..Script::default()
    });
    let (port, unit) = (adapter.port(), adapter.add_unit(0, 1, 0).unwrap());
    assert_eq!(port.adapter_power(0, 1), Ok(()));
    assert_eq!(port.unit_control(unit, unit_control::START), Ok(()));
    assert_eq!(port.unit_power(unit, 0, 4), Ok(()));
    assert_eq!(port.unit_control(unit, unit_control::REMOVE), Err(NtStatus::NOT_SUPPORTED));
    assert_eq!(port.suspend(), Ok(()));
    assert_eq!(port.restart(), Err(NtStatus::UNSUCCESSFUL));
    let wanted = [("adapter", 6), ("unit", 2), ("unit", 3), ("adapter", 1), ("adapter", 2)];
    assert_eq!(*asked.lock().unwrap(), wanted);
}

#[test]
fn requests_wait_while_the_adapter_sleeps() {
    let adapter = start(Script {
        control: Box::new(|_, kind, parameters| if kind == 0 { supports(parameters, &[1, 2]) } else { 0 }),
        ..Script::default()
    });
    adapter.port().suspend().unwrap();
    let sender = Arc::clone(&adapter);
    let thread = thread::spawn(move || send(&sender));
    thread::sleep(Duration::from_millis(30));
    assert!(!thread.is_finished());
    adapter.port().restart().unwrap();
    assert_eq!(thread.join().unwrap(), SrbStatus::SUCCESS);
}

#[test]
fn an_adapter_that_is_pulled_out_answers_everything() {
    let heard = Arc::new(AtomicU32::new(0));
    let hear = Arc::clone(&heard);
    let adapter = start(Script {
        start: Box::new(|_, _| true),
        control: Box::new(move |_, kind, parameters| match kind {
            0 => supports(parameters, &[1, 16]),
            kind => {
                hear.fetch_add(kind, SeqCst);
                0
            }
        }),
        ..Script::default()
    });
    let unit = adapter.add_unit(0, 0, 0).unwrap();
    thread::scope(|scope| {
        let send = || adapter.command(unit, &SrbRequest::command(&[0; 6]), Special::None).answer.srb_status;
        let threads: Vec<_> = (0..30).map(|_| scope.spawn(send)).collect();
        assert!(adapter.wait_until(PATIENCE, |adapter| adapter.port().outstanding_requests() == 20));
        adapter.port().surprise_remove();
        assert_eq!((heard.load(SeqCst), adapter.port().outstanding_requests()), (16, 20));
        for thread in threads {
            let status = thread.join().unwrap();
            assert!(matches!(status, SrbStatus::NO_HBA | SrbStatus::NO_DEVICE), "{status:?}");
        }
    });
    assert!(adapter.record().events.contains(&Event::AdapterFailed));
    adapter.port().stop();
    assert_eq!((adapter.port().phase(), heard.load(SeqCst)), (Phase::Stopped, 17));
}

#[test]
fn a_stopped_adapter_answers_everything_too() {
    let adapter = start(Script { start: Box::new(|_, _| true), ..Script::default() });
    let unit = adapter.add_unit(0, 0, 0).unwrap();
    let sender = Arc::clone(&adapter);
    let thread = thread::spawn(move || send(&sender));
    assert!(adapter.wait_until(PATIENCE, |adapter| adapter.port().outstanding_requests() == 1));
    adapter.port().stop();
    assert_eq!(thread.join().unwrap(), SrbStatus::NO_HBA);
    let reply = adapter.command(unit, &SrbRequest::command(&[0; 6]), Special::None);
    assert_eq!(reply.answer.srb_status, SrbStatus::NO_HBA);
    assert!(!adapter.interrupt());
    assert_eq!(adapter.port().start(), Err(NtStatus::INVALID_DEVICE_STATE));
}

unsafe extern "system" fn virtual_find(
    extension: *mut c_void,
    context: *mut c_void,
    _bus: *mut c_void,
    lower: *mut c_void,
    _argument: *mut std::ffi::c_char,
    configuration: *mut sluice_shim::storport::PortConfigurationInformation,
    _again: *mut u8,
) -> u32 {
    assert!(lower.is_null());
    // SAFETY: as in `support`.
    unsafe {
        extension.cast::<*mut c_void>().write(context);
        assert_eq!((*configuration).virtual_device, 1);
    }
    found::FOUND
}

unsafe extern "system" fn virtual_free(_extension: *mut c_void) {
    FREED.fetch_add(1, SeqCst);
}

static FREED: AtomicU32 = AtomicU32::new(0);

#[test]
fn a_virtual_miniport_has_no_locks_and_takes_service_requests() {
    let adapter = start(Script {
        data: Box::new(|data| {
            data.feature_support = STOR_FEATURE_VIRTUAL_MINIPORT;
            let find = virtual_find as *const ();
            // SAFETY: the port calls it as what it is, since the feature is set.
            data.hw_find_adapter = Some(unsafe { std::mem::transmute::<*const (), HwFindAdapter>(find) });
            data.hw_interrupt = None;
            data.hw_free_adapter_resources = Some(virtual_free);
            data.hw_process_service_request = Some(support::service);
        }),
        initialize: Box::new(|_| current() == PASSIVE_LEVEL),
        start: Box::new(|ext, srb| {
            assert_eq!(current(), PASSIVE_LEVEL, "no lock, and so no higher than its caller");
            succeed(ext, srb);
            true
        }),
        service: Box::new(|ext, irp| {
            // SAFETY: as C would.
            assert_eq!(unsafe { c::StorPortExtendedFunction(7, ext.0, irp) }, c::SUCCESS);
        }),
        ..Script::default()
    });
    assert_eq!(send(&adapter), SrbStatus::SUCCESS);
    let irp = NonNull::without_provenance(std::num::NonZero::new(0x1230).unwrap());
    adapter.port().process_service_request(irp).unwrap();
    assert_eq!(adapter.record().completed_irps, [0x1230]);
    assert!(!adapter.interrupt());
    drop(adapter);
    assert_eq!(FREED.load(SeqCst), 1);
}

#[test]
fn a_stop_and_a_removal_at_any_moment_lose_nothing() {
    for turn in 0..60u64 {
        let kept: Arc<Mutex<Vec<(support::Ext, SrbAt)>>> = Arc::default();
        let (keep, give) = (Arc::clone(&kept), Arc::clone(&kept));
        let gone = Arc::new(AtomicU32::new(0));
        let (is_gone, goes) = (Arc::clone(&gone), Arc::clone(&gone));
        let adapter = start(Script {
            start: Box::new(move |ext, srb| {
                assert_eq!(is_gone.load(SeqCst), 0, "started after the end");
                match srb.0 as usize / 4096 % 3 {
                    0 => return false,
                    1 => keep.lock().unwrap().push((ext, srb)),
                    _ => succeed(ext, srb),
                }
                true
            }),
            control: Box::new(move |_, kind, parameters| {
                if kind == 0 {
                    return supports(parameters, &[1, 16]);
                }
                goes.store(1, SeqCst);
                let all = std::mem::take(&mut *give.lock().unwrap());
                all.into_iter().for_each(|(ext, srb)| support::finish(ext, srb, SrbStatus::NO_HBA));
                0
            }),
            ..Script::default()
        });
        let unit = adapter.add_unit(0, 0, 0).unwrap();
        thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        adapter.command(unit, &SrbRequest::command(&[0; 6]), Special::None);
                    }
                });
            }
            thread::sleep(Duration::from_micros(turn * 37));
            match turn % 3 {
                0 => adapter.port().surprise_remove(),
                1 => adapter.port().stop(),
                _ => {
                    adapter.port().remove_unit(unit);
                    adapter.port().stop();
                }
            }
        });
        assert_eq!(adapter.port().outstanding_requests(), 0);
        let faults: Vec<_> = adapter.port().faults().iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(faults, [], "turn {turn}");
    }
}
