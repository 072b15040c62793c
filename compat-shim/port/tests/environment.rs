//! The bus, the registry, processors, clocks, and what is written down.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

use std::{
    ffi::c_void,
    ptr,
    sync::{Arc, Mutex},
};

use sluice_port::{command::Special, services::Event};
use sluice_port_host::{Adapter, DEVICE_LEVEL, Hardware, raised};
use sluice_shim::storport::{SrbRequest, SrbStatus, extended::StorAddressBtl8, srb::Address};
use support::{Script, c, fault, start, start_on, succeed};

const PCI_CONFIGURATION: u32 = 4;

#[test]
fn configuration_space_is_read_and_written() {
    let adapter = start(Script::default());
    let (ext, mut bytes) = (adapter.port().extension(), [0u8; 64]);
    let data: *mut c_void = bytes.as_mut_ptr().cast();
    // SAFETY: as C would.
    unsafe {
        assert_eq!(c::StorPortGetBusData(ext, PCI_CONFIGURATION, 0, 3, data, 64), 64);
        assert_eq!(bytes[..4], [0x34, 0x12, 0x78, 0x56]);
        bytes[..2].copy_from_slice(&[0xAB, 0xCD]);
        assert_eq!(c::StorPortSetBusDataByOffset(ext, PCI_CONFIGURATION, 0, 3, data, 0x40, 2), 2);
        assert_eq!(adapter.hardware().configuration[0x40..0x42], [0xAB, 0xCD]);
        assert_eq!(c::StorPortGetBusData(ext, 0, 0, 3, data, 64), 0, "another kind of bus");
        assert_eq!(c::StorPortGetBusData(ext, PCI_CONFIGURATION, 0, 3, ptr::null_mut(), 64), 0);
        assert_eq!(c::StorPortGetBusData(ext, PCI_CONFIGURATION, 0, 3, data, u32::MAX), 0);
        for offset in [4095, u32::MAX] {
            assert_eq!(c::StorPortSetBusDataByOffset(ext, PCI_CONFIGURATION, 0, 3, data, offset, 2), 0);
        }
    }
    assert_eq!(fault(&adapter, "argument"), 5);
}

#[test]
fn address_ranges_are_mapped() {
    let adapter = start(Script {
        find: Box::new(|ext, configuration| {
            assert_eq!(configuration.number_of_access_ranges, 1);
            // SAFETY: the port's array, of one.
            let range = unsafe { *configuration.access_ranges };
            assert_eq!((range.length, range.in_memory), (64 << 10, 1));
            // SAFETY: as C would.
            unsafe {
                let base = c::StorPortGetDeviceBase(ext.0, 5, 0, range.start, range.length, 0);
                base.cast::<u32>().add(2).write_volatile(0xC0DE);
            }
            1
        }),
        ..Script::default()
    });
    // SAFETY: the range has 64 KiB.
    let seen = unsafe { adapter.range(0).unwrap().cast::<u32>().add(2).read_volatile() };
    assert_eq!(seen, 0xC0DE);
    let (ext, start) = (adapter.port().extension(), 0xF000_0000);
    // SAFETY: as C would.
    unsafe {
        let part = c::StorPortGetDeviceBase(ext, 5, 0, start + 0x1000, 0x100, 0);
        assert_eq!(part, adapter.range(0).unwrap().as_ptr().wrapping_byte_add(0x1000));
        c::StorPortFreeDeviceBase(ext, part);
        c::StorPortFreeDeviceBase(ext, part);
        assert_eq!(fault(&adapter, "freed_wrongly"), 1);
        assert_eq!(c::StorPortValidateRange(ext, 5, 0, start, 64 << 10, 0), 1);
        for (start, bytes, io) in
            [(start, (64 << 10) + 1, 0), (start - 1, 16, 0), (start, 16, 1), (u64::MAX, u32::MAX, 0)]
        {
            assert_eq!(c::StorPortValidateRange(ext, 5, 0, start, bytes, io), 0);
            assert!(c::StorPortGetDeviceBase(ext, 5, 0, start, bytes, io).is_null());
        }
        assert!(c::StorPortGetDeviceBase(ext, 5, 0, start, 0, 0).is_null());
        raised(2, || assert!(c::StorPortGetDeviceBase(ext, 5, 0, start, 16, 0).is_null()));
    }
}

#[test]
fn parameters_are_read_and_written() {
    let mut hardware = Hardware::default();
    hardware.registry.insert("adapter/Depth".into(), (4, vec![9, 0, 0, 0]));
    hardware.registry.insert("all/Name".into(), (1, b"sluice\0".to_vec()));
    let adapter = start_on(Script::default(), hardware);
    let ext = adapter.port().extension();
    // SAFETY: as C would.
    unsafe {
        let mut length = 16u32;
        let buffer = c::StorPortAllocateRegistryBuffer(ext, &mut length);
        let read = |name: &str, global: u32, kind: u32, length: &mut u32| {
            let name = std::ffi::CString::new(name).unwrap();
            c::StorPortRegistryRead(ext, name.as_ptr().cast(), global, kind, buffer, length)
        };
        assert_eq!(read("Depth", 0, 4, &mut length), 1);
        assert_eq!((length, buffer.cast::<u32>().read_unaligned()), (4, 9));
        length = 16;
        assert_eq!(read("Name", 1, 1, &mut length), 1);
        assert_eq!(std::slice::from_raw_parts(buffer, length as usize), b"sluice\0");
        length = 3;
        assert_eq!((read("Name", 1, 1, &mut length), length), (0, 7), "too small, and how large");
        for (name, global, kind) in [("Name", 0, 1), ("Depth", 0, 1), ("", 0, 4), ("\u{e4}", 0, 4)] {
            length = 16;
            assert_eq!(read(name, global, kind, &mut length), 0, "{name}");
        }
        let value = [1u8, 2, 3];
        assert_eq!(c::StorPortRegistryWrite(ext, c"Blob".as_ptr().cast(), 0, 3, value.as_ptr(), 3), 1);
        assert_eq!(adapter.hardware().registry["adapter/Blob"], (3, value.to_vec()));
        assert_eq!(c::StorPortRegistryWrite(ext, ptr::null(), 0, 3, value.as_ptr(), 3), 0);
        raised(2, || {
            length = 16;
            assert_eq!(read("Depth", 0, 4, &mut length), 0);
        });
        c::StorPortFreeRegistryBuffer(ext, buffer);
        assert_eq!(fault(&adapter, "freed_wrongly"), 0);
        c::StorPortFreeRegistryBuffer(ext, buffer);
        assert_eq!(fault(&adapter, "freed_wrongly"), 1);
        for wrong in [0, u32::MAX] {
            length = wrong;
            assert!(c::StorPortAllocateRegistryBuffer(ext, &mut length).is_null());
        }
        assert!(c::StorPortAllocateRegistryBuffer(ext, ptr::null_mut()).is_null());
    }
}

#[test]
fn the_adapters_own_key_is_read_and_written() {
    let adapter = start(Script::default());
    let (ext, mut buffer, mut length) = (adapter.port().extension(), [0u8; 8], 8u32);
    let data = &mut buffer.as_mut_ptr();
    let (key, name) = (c"StorPort".as_ptr(), c"Idle".as_ptr());
    // SAFETY: as C would.
    unsafe {
        let written =
            c::StorPortExtendedFunction(63, ext, key, name, 4u32, 5u32.to_le_bytes().as_ptr(), 4u32);
        assert_eq!(written, c::SUCCESS);
        assert_eq!(adapter.hardware().registry["hardware/StorPort/Idle"], (4, vec![5, 0, 0, 0]));
        let mut read = |name: *const std::ffi::c_char, room: u32| {
            length = room;
            (c::StorPortExtendedFunction(62, ext, key, name, 4u32, &raw mut *data, &raw mut length), length)
        };
        assert_eq!(read(name, 8), (c::SUCCESS, 4));
        assert_eq!(read(name, 2), (c::BUFFER_TOO_SMALL, 4));
        assert_eq!(read(c"Other".as_ptr(), 8), (c::UNSUCCESSFUL, 0));
        assert_eq!(read(ptr::null(), 8).0, c::INVALID_PARAMETER);
        raised(2, || assert_eq!(read(name, 8).0, c::INVALID_IRQL));
    }
    assert_eq!(buffer[..4], [5, 0, 0, 0]);
}

/// `STOR_LOG_EVENT_DETAILS`.
#[repr(C)]
struct Details {
    numbers: [u32; 7],
    specific: u8,
    error: u32,
    unique: u32,
    dump_size: u32,
    dump: *const u8,
    strings: u32,
    list: *const c_void,
}

#[test]
fn errors_go_to_the_event_log() {
    let adapter = start(Script::default());
    let ext = adapter.port().extension();
    let dump = [7u8; 12];
    let mut details = Details {
        numbers: [1, 72, 0, 2, 0, 3, 1],
        specific: 0,
        error: 0xE0,
        unique: 0x42,
        dump_size: 12,
        dump: dump.as_ptr(),
        strings: 0,
        list: ptr::null(),
    };
    let mut most = 0u32;
    // SAFETY: as C would.
    unsafe {
        raised(DEVICE_LEVEL, || c::StorPortLogError(ext, ptr::null_mut(), 0, 1, 2, 11, 12));
        let mut log =
            |details: &Details| c::StorPortExtendedFunction(16, ext, ptr::from_ref(details), &raw mut most);
        assert_eq!(log(&details), c::SUCCESS);
        details.dump_size = 4096;
        assert_eq!(log(&details), 0xC100_000A);
        details.numbers[1] = 71;
        assert_eq!(log(&details), c::INVALID_PARAMETER);
        assert_eq!(c::StorPortExtendedFunction(16, ext, 0usize, 0usize), c::INVALID_PARAMETER);
    }
    assert_eq!(most, 240);
    let log = adapter.record().log;
    assert_eq!(log[0], (Some(Address { path: 0, target: 1, lun: 2 }), 11, 12, vec![]));
    assert_eq!(log[1], (Some(Address { path: 0, target: 3, lun: 1 }), 0xE0, 0x42, vec![7; 12]));
    assert_eq!(log.len(), 2);
}

fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

#[test]
fn trace_events_of_all_sizes_are_written() {
    let adapter = start(Script::default());
    let ext = adapter.port().extension();
    let (title, long) = (wide("Started"), wide(&"x".repeat(40)));
    let names: Vec<Vec<u16>> = (0..8).map(|n| wide(&format!("p{n}"))).collect();
    let name = |n: usize| names[n].as_ptr();
    let nothing: *const c_void = ptr::null();
    let (title, long, words) = (title.as_ptr(), long.as_ptr(), 5u64);
    // SAFETY: as C would: every argument of its own type.
    unsafe {
        let two = c::StorPortExtendedFunction(
            58,
            ext,
            nothing,
            1u32,
            title,
            words,
            4u32,
            0u32,
            nothing,
            name(0),
            10u64,
            nothing,
            11u64,
        );
        let four = c::StorPortExtendedFunction(
            59,
            ext,
            nothing,
            2u32,
            title,
            words,
            4u32,
            0u32,
            nothing,
            name(0),
            10u64,
            name(1),
            11u64,
            name(2),
            12u64,
            name(3),
            13u64,
        );
        let eight = c::StorPortExtendedFunction(
            60,
            ext,
            nothing,
            3u32,
            title,
            words,
            4u32,
            0u32,
            nothing,
            name(0),
            20u64,
            name(1),
            21u64,
            name(2),
            22u64,
            name(3),
            23u64,
            name(4),
            24u64,
            name(5),
            25u64,
            name(6),
            26u64,
            name(7),
            u64::MAX,
        );
        let channel = c::StorPortExtendedFunction(
            87,
            ext,
            nothing,
            1u32,
            4u32,
            title,
            words,
            4u32,
            0u32,
            nothing,
            name(0),
            30u64,
            name(1),
            31u64,
            name(2),
            32u64,
            name(3),
            33u64,
            name(4),
            34u64,
            name(5),
            35u64,
            name(6),
            36u64,
            name(7),
            37u64,
        );
        assert_eq!([two, four, eight, channel], [c::SUCCESS; 4]);
        for (title, parameter) in [(long, name(0)), (ptr::null(), name(0)), (title, long)] {
            let status = c::StorPortExtendedFunction(
                58, ext, nothing, 9u32, title, words, 4u32, 0u32, nothing, parameter, 0u64, nothing, 0u64,
            );
            assert_eq!(status, c::INVALID_PARAMETER);
        }
    }
    let traces = adapter.record().traces;
    let sizes: Vec<_> = traces.iter().map(|(id, title, named)| (*id, &title[..], named.len())).collect();
    assert_eq!(sizes, [(1, "Started", 1), (2, "Started", 4), (3, "Started", 8), (4, "Started", 8)]);
    assert_eq!(traces[2].2[7], ("p7".to_owned(), u64::MAX));
    assert_eq!(traces[3].2[7], ("p7".to_owned(), 37));
}

fn ask<T: Default>(adapter: &Adapter, code: u32) -> T {
    let mut answer = T::default();
    // SAFETY: as C would.
    let status = unsafe { c::StorPortExtendedFunction(code, adapter.port().extension(), &raw mut answer) };
    assert_eq!(status, c::SUCCESS, "code {code}");
    answer
}

#[test]
fn processors_groups_and_nodes_are_told() {
    let adapter = start(Script::default());
    let ext = adapter.port().extension();
    let here = ask::<u32>(&adapter, 17); // group, and number in the third byte
    assert_eq!(here, ask::<u32>(&adapter, 92) << 16);
    assert_eq!(ask::<u16>(&adapter, 18), 1);
    assert_eq!(ask::<u32>(&adapter, 20), 1);
    assert_eq!(ask::<u32>(&adapter, 22), 0);
    let mut unit = StorAddressBtl8 { kind: 1, port: 9, address_length: 4, ..StorAddressBtl8::default() };
    // SAFETY: as C would.
    assert_eq!(unsafe { c::StorPortExtendedFunction(41, ext, &raw mut unit) }, c::SUCCESS);
    assert_eq!((unit.port, unit.kind), (0, 1));
    unit.kind = 2;
    // SAFETY: as C would.
    assert_eq!(unsafe { c::StorPortExtendedFunction(41, ext, &raw mut unit) }, c::INVALID_PARAMETER);
    raised(2, || assert_eq!(ask::<u8>(&adapter, 109), 2));
    let (mut mask, mut affinity, mut index, number) = (0usize, [0usize; 2], 9u32, 0u32);
    // SAFETY: as C would.
    unsafe {
        assert_eq!(c::StorPortExtendedFunction(19, ext, 0u32, &raw mut mask), c::SUCCESS);
        assert_eq!(c::StorPortExtendedFunction(19, ext, 1u32, &raw mut mask), c::INVALID_PARAMETER);
        assert_eq!(c::StorPortExtendedFunction(21, ext, 0u32, &raw mut affinity), c::SUCCESS);
        assert_eq!(c::StorPortExtendedFunction(21, ext, 1u32, &raw mut affinity), c::INVALID_PARAMETER);
        assert_eq!(c::StorPortExtendedFunction(56, ext, &raw const number, &raw mut index), c::SUCCESS);
    }
    assert!(mask & 1 == 1 && affinity == [mask, 0] && index == 0);
    let far = 63u32 << 16;
    // SAFETY: as C would.
    let status = unsafe { c::StorPortExtendedFunction(56, ext, &raw const far, &raw mut index) };
    assert_eq!(status, c::INVALID_PARAMETER);
}

#[test]
fn clocks_go() {
    let adapter = start(Script::default());
    let ext = adapter.port().extension();
    let (mut one, mut two, mut frequency) = (0i64, 0i64, 0i64);
    // SAFETY: as C would.
    unsafe {
        c::StorPortQuerySystemTime(&mut one);
        c::StorPortStallExecution(2000);
        c::StorPortQuerySystemTime(&mut two);
        assert!(two - one >= 19_000 && one > 133_000_000_000_000_000, "100 ns since 1601");
        c::StorPortQuerySystemTime(ptr::null_mut());
        assert_eq!(c::StorPortExtendedFunction(47, ext, &raw mut frequency, &raw mut one), c::SUCCESS);
        c::StorPortStallExecution(1000);
        assert_eq!(c::StorPortExtendedFunction(47, ext, 0usize, &raw mut two), c::SUCCESS);
        assert!((two - one) * 1000 / frequency >= 1, "milliseconds");
        c::StorPortNotification(c::QUERY_TICK_COUNT, ext, &raw mut one);
        assert_eq!(c::StorPortExtendedFunction(81, ext, 1500u32), c::SUCCESS);
        c::StorPortNotification(c::QUERY_TICK_COUNT, ext, &raw mut two);
        assert!(two - one >= 14_000);
        raised(2, || assert_eq!(c::StorPortExtendedFunction(81, ext, 1u32), c::INVALID_IRQL));
        c::StorPortDebugPrint(0, c"a line".as_ptr().cast(), 1u32);
        c::StorPortDebugPrint(0, ptr::null());
    }
}

#[test]
fn memory_is_moved_and_addresses_converted() {
    let mut bytes = *b"0123456789";
    // SAFETY: as C would.
    unsafe {
        let start: *mut c_void = bytes.as_mut_ptr().cast();
        c::StorPortMoveMemory(start.byte_add(2), start, 8);
        c::StorPortMoveMemory(ptr::null_mut(), start, 8);
        assert_eq!(c::StorPortConvertPhysicalAddressToUlong(0x1_2345_6789), 0x2345_6789);
        assert_eq!(c::StorPortConvertUlongToPhysicalAddress(0x2345), 0x2345);
        assert_eq!(c::StorPortConvertPhysicalAddressToUlong64(u64::MAX - 1), u64::MAX - 1);
        assert_eq!(c::StorPortConvertUlong64ToPhysicalAddress(77), 77);
    }
    assert_eq!(&bytes, b"0101234567");
}

unsafe extern "system" fn state_changed(
    ext: *mut c_void,
    context: *mut c_void,
    _kind: u32,
    _address: *mut c_void,
    status: u32,
) {
    // SAFETY: the test's.
    unsafe { (*context.cast::<Vec<(*mut c_void, u32)>>()).push((ext, status)) };
}

#[test]
fn what_happens_is_told_to_the_host() {
    let adapter = start(Script::default());
    let ext = adapter.port().extension();
    let address = StorAddressBtl8 { kind: 1, address_length: 4, target: 2, ..StorAddressBtl8::default() };
    let place = &raw const address;
    let (mut calls, mut status) = (Vec::<(*mut c_void, u32)>::new(), 77u32);
    let mut wnode = [0u8; 48];
    wnode[0] = 48;
    // SAFETY: as C would.
    raised(DEVICE_LEVEL, || unsafe {
        c::StorPortNotification(c::BUS_CHANGE_DETECTED, ext, 3u32);
        c::StorPortNotification(c::LINK_UP, ext);
        c::StorPortNotification(c::LINK_DOWN, ext);
        c::StorPortNotification(c::ASYNC_NOTIFICATION, ext, place, 5u64, &raw mut status);
        c::StorPortNotification(c::MARK_DEVICE_FAILED, ext, 0usize, 1u32, 0usize);
        c::StorPortNotification(c::WMI_EVENT, ext, wnode.as_ptr(), 0xFFu32, 0u32, 0u32);
        c::StorPortNotification(c::WMI_EVENT, ext, 0usize, 0xFFu32, 0u32, 0u32);
        c::StorPortNotification(
            c::STATE_CHANGE_DETECTED,
            ext,
            4u32,
            place,
            8u32,
            state_changed as *const c_void,
            &raw mut calls,
            &raw mut status,
        );
    });
    let at = Address { path: 0, target: 2, lun: 0 };
    let record = adapter.record();
    assert_eq!(
        record.events,
        [
            Event::BusChanged(Some(3)),
            Event::Link(true),
            Event::Link(false),
            Event::Notification(Some(at), 5),
            Event::MarkedFailed(None),
            Event::UnitChanged(at, 8),
        ]
    );
    assert_eq!(record.wmi, [wnode.to_vec()]);
    assert_eq!((calls, status), (vec![(ext, 0)], 0));
    let other = StorAddressBtl8 { kind: 2, ..address };
    // SAFETY: as C would.
    unsafe {
        let nothing = ptr::null_mut::<c_void>();
        c::StorPortNotification(
            c::STATE_CHANGE_DETECTED,
            ext,
            4u32,
            &raw const other,
            8u32,
            nothing,
            nothing,
            &raw mut status,
        );
        assert_eq!(status, c::INVALID_PARAMETER, "an address of another type");
        assert_eq!(c::StorPortExtendedFunction(46, ext, place, 3u32), c::INVALID_PARAMETER, "no such unit");
        let unit = adapter.add_unit(0, 2, 0).unwrap();
        assert_eq!(c::StorPortExtendedFunction(46, ext, place, 3u32), c::SUCCESS);
        assert_eq!(unit.attributes(), 3);
    }
}

/// `PERF_CONFIGURATION_DATA`, version 4.
#[repr(C)]
#[derive(Default)]
struct Performance {
    version: u32,
    size: u32,
    flags: u32,
    channels: u32,
    first: u32,
    last: u32,
    node: u32,
    reserved: u32,
    targets: usize,
}

#[test]
fn channels_start_requests_at_once_and_a_reset_stops_them_all() {
    let (inside, most) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
    let (enter, reached, resetting) = (Arc::clone(&inside), Arc::clone(&most), Arc::clone(&inside));
    let adapter = start(Script {
        initialize: Box::new(|ext| {
            let mut data =
                Performance { version: 4, size: 40, flags: 2, channels: 64, ..Performance::default() };
            // SAFETY: as C would.
            unsafe { c::StorPortExtendedFunction(14, ext.0, 0u32, &raw mut data) == c::SUCCESS }
        }),
        start: Box::new(move |ext, srb| {
            *enter.lock().unwrap() += 1;
            std::thread::sleep(std::time::Duration::from_millis(2));
            let mut inside = enter.lock().unwrap();
            let mut most = reached.lock().unwrap();
            *most = (*most).max(*inside);
            *inside -= 1;
            succeed(ext, srb);
            true
        }),
        reset_bus: Box::new(move |_, _| {
            assert_eq!(*resetting.lock().unwrap(), 0, "nothing is being started");
            true
        }),
        ..Script::default()
    });
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let unit = adapter.port().unit(Address::default()).unwrap();
                for _ in 0..20 {
                    adapter.command(unit, &SrbRequest::command(&[0; 6]), Special::None);
                }
            });
        }
        for _ in 0..20 {
            raised(2, || assert!(adapter.port().reset_bus(0)));
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    });
    if std::thread::available_parallelism().unwrap().get() > 1 {
        assert!(*most.lock().unwrap() > 1, "never two at once");
    }
}

#[test]
fn performance_is_asked_for_at_its_time() {
    let seen = Arc::new(Mutex::new((0, 0, [9u32; 4])));
    let (see, start_seen) = (Arc::clone(&seen), Arc::clone(&seen));
    let adapter = start_on(
        Script {
            find: Box::new(|_, configuration| {
                configuration.hw_ms_interrupt_routine = Some(support::message_interrupt);
                1
            }),
            initialize: Box::new(move |ext| {
                let mut data = Performance { version: 4, size: 40, ..Performance::default() };
                let call = |query: u32, data: &mut Performance| {
                    // SAFETY: as C would.
                    unsafe { c::StorPortExtendedFunction(14, ext.0, query, ptr::from_mut(data)) }
                };
                assert_eq!(call(1, &mut data), c::SUCCESS);
                see.lock().unwrap().0 = data.flags;
                (data.channels, data.last) = (2, 3);
                see.lock().unwrap().1 = call(0, &mut data);
                data.last = 4; // one message too many
                assert_eq!(call(0, &mut data), c::UNSUCCESSFUL);
                data.flags = 0x8000_0000;
                assert_eq!(call(0, &mut data), c::UNSUCCESSFUL);
                data.size = 20;
                assert_eq!(call(0, &mut data), c::INVALID_PARAMETER);
                true
            }),
            start: Box::new(move |ext, srb| {
                let mut parameters = [1u32, 16, 9, 9];
                // SAFETY: as C would.
                let status = unsafe { c::StorPortExtendedFunction(15, ext.0, srb.0, &raw mut parameters) };
                assert_eq!(status, c::SUCCESS);
                start_seen.lock().unwrap().2 = parameters;
                succeed(ext, srb);
                true
            }),
            ..Script::default()
        },
        Hardware { messages: 4, ..Hardware::default() },
    );
    let unit = adapter.port().unit(Address::default()).unwrap();
    let answer = adapter.command(unit, &SrbRequest::command(&[0; 6]), Special::None).answer;
    assert_eq!(answer.srb_status, SrbStatus::SUCCESS);
    let (flags, status, parameters) = *seen.lock().unwrap();
    assert_eq!(flags & 0x27, 0x27, "redirection, channels, messages");
    assert_eq!(status, c::SUCCESS);
    assert!(parameters[2] < 4 && parameters[3] < 2, "{parameters:?}");
    let (ext, mut data) =
        (adapter.port().extension(), Performance { version: 4, size: 40, ..Performance::default() });
    // SAFETY: as C would.
    unsafe {
        assert_eq!(c::StorPortExtendedFunction(14, ext, 0u32, &raw mut data), c::UNSUCCESSFUL, "too late");
        assert_eq!(c::StorPortExtendedFunction(14, ext, 0u32, 0usize), c::INVALID_PARAMETER);
        assert_eq!(c::StorPortExtendedFunction(15, ext, 0usize, &raw mut data), c::INVALID_PARAMETER);
    }
}
