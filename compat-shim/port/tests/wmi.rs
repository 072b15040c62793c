//! WMI requests through the library, as a miniport's StartIo would.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

use std::{ffi::c_void, ptr, sync::Mutex};

use sluice_port_host::{DEVICE_LEVEL, raised};
use support::{Script, fault, start};

/// `SCSIWMI_REQUEST_CONTEXT`.
#[repr(C)]
struct Context {
    user: *mut c_void,
    size: u32,
    buffer: *mut u8,
    minor: u8,
    status: u8,
    returned: u32,
}

#[repr(C)]
struct GuidInfo {
    guid: *const [u8; 16],
    instances: u32,
    flags: u32,
}

/// `SCSI_WMILIB_CONTEXT`, with its callbacks by address.
#[repr(C)]
struct Library {
    count: u32,
    guids: *const GuidInfo,
    callbacks: [*const c_void; 6],
}

unsafe extern "C" {
    fn ScsiPortWmiDispatchFunction(
        library: *const Library,
        minor: u8,
        device: *mut c_void,
        context: *mut Context,
        path: *const [u8; 16],
        size: u32,
        buffer: *mut u8,
    ) -> u8;
    fn ScsiPortWmiPostProcess(context: *mut Context, status: u8, used: u32);
    fn ScsiPortWmiFireLogicalUnitEvent(
        ext: *mut c_void,
        path: u8,
        target: u8,
        lun: u8,
        guid: *const [u8; 16],
        instance: u32,
        size: u32,
        data: *const u8,
    );
}

static GUIDS: [[u8; 16]; 2] = [[0x11; 16], [0x22; 16]];
const UNKNOWN: [u8; 16] = [0x33; 16];
const SUCCESS: u8 = 1;
const ERROR: u8 = 4;
const INVALID_REQUEST: u8 = 6;
const DATA_OVERRUN: u8 = 0x12;

/// What the callbacks were asked.
static CALLS: Mutex<Vec<(String, Vec<u32>)>> = Mutex::new(Vec::new());

fn note(name: &str, numbers: &[u32]) {
    CALLS.lock().unwrap().push((name.to_owned(), numbers.to_vec()));
}

unsafe extern "system" fn reg_info(_: *mut c_void, _: *mut Context, name: *mut *const u16) -> u8 {
    static NAME: [u16; 4] = [b'M' as u16, b'o' as u16, b'f' as u16, 0];
    // SAFETY: the library's.
    unsafe { name.write(NAME.as_ptr()) };
    SUCCESS
}

/// Two instances: of 4 and of 9 bytes.
unsafe extern "system" fn query(
    device: *mut c_void,
    context: *mut Context,
    guid: u32,
    instance: u32,
    count: u32,
    lengths: *mut u32,
    room: u32,
    buffer: *mut u8,
) -> u8 {
    note("query", &[guid, instance, count, room]);
    let data: [&[u8]; 2] = [b"four", b"nine byte"];
    let wanted = &data[instance as usize..][..count as usize];
    let used = wanted.iter().fold(0usize, |used, part| used.next_multiple_of(8) + part.len());
    // SAFETY: the library's.
    unsafe {
        if used as u32 > room {
            ScsiPortWmiPostProcess(context, DATA_OVERRUN, used as u32);
            return 0;
        }
        let mut at = 0usize;
        for (number, part) in wanted.iter().enumerate() {
            at = at.next_multiple_of(8);
            lengths.add(number).write_unaligned(part.len() as u32);
            ptr::copy_nonoverlapping(part.as_ptr(), buffer.add(at), part.len());
            at += part.len();
        }
        if !device.is_null() {
            return 1; // pending
        }
        ScsiPortWmiPostProcess(context, SUCCESS, used as u32);
    }
    0
}

unsafe extern "system" fn set(
    _: *mut c_void,
    context: *mut Context,
    guid: u32,
    instance: u32,
    size: u32,
    data: *mut u8,
) -> u8 {
    // SAFETY: the library's.
    unsafe {
        note("set", &[guid, instance, size, u32::from(data.read())]);
        ScsiPortWmiPostProcess(context, SUCCESS, 0);
    }
    0
}

unsafe extern "system" fn set_item(
    _: *mut c_void,
    context: *mut Context,
    guid: u32,
    instance: u32,
    item: u32,
    size: u32,
    data: *mut u8,
) -> u8 {
    // SAFETY: the library's.
    unsafe {
        note("item", &[guid, instance, item, size, u32::from(data.read())]);
        ScsiPortWmiPostProcess(context, ERROR, 0);
    }
    0
}

unsafe extern "system" fn execute(
    _: *mut c_void,
    context: *mut Context,
    guid: u32,
    instance: u32,
    method: u32,
    input: u32,
    output: u32,
    data: *mut u8,
) -> u8 {
    note("execute", &[guid, instance, method, input, output]);
    // SAFETY: the library's.
    unsafe {
        data.write_bytes(0x77, 6);
        ScsiPortWmiPostProcess(context, SUCCESS, 6);
    }
    0
}

unsafe extern "system" fn control(
    _: *mut c_void,
    context: *mut Context,
    guid: u32,
    function: u32,
    enable: u8,
) -> u8 {
    note("control", &[guid, function, u32::from(enable)]);
    // SAFETY: the library's.
    unsafe { ScsiPortWmiPostProcess(context, SUCCESS, 0) };
    0
}

/// One request. Answers pending, status, size.
fn ask(minor: u8, guid: &[u8; 16], buffer: &mut [u8]) -> (u8, u8, u32) {
    ask_as(ptr::null_mut(), minor, guid, buffer).0
}

fn ask_as(device: *mut c_void, minor: u8, guid: &[u8; 16], buffer: &mut [u8]) -> ((u8, u8, u32), Context) {
    let infos = GUIDS.each_ref().map(|guid| GuidInfo { guid, instances: 2, flags: 0x20 });
    let callbacks = [
        reg_info as *const c_void,
        query as *const c_void,
        set as *const c_void,
        set_item as *const c_void,
        execute as *const c_void,
        control as *const c_void,
    ];
    let library = Library { count: 2, guids: infos.as_ptr(), callbacks };
    let mut context = Context {
        user: ptr::null_mut(),
        size: 0,
        buffer: ptr::null_mut(),
        minor: 99,
        status: 99,
        returned: 99,
    };
    // SAFETY: as C would.
    let pending = unsafe {
        let (size, place) = (buffer.len() as u32, buffer.as_mut_ptr());
        ScsiPortWmiDispatchFunction(&library, minor, device, &mut context, guid, size, place)
    };
    ((pending, context.status, context.returned), context)
}

fn put(buffer: &mut [u8], numbers: &[u32]) {
    for (number, value) in numbers.iter().enumerate() {
        buffer[48 + 4 * number..][..4].copy_from_slice(&value.to_le_bytes());
    }
}

fn get(buffer: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(buffer[offset..][..4].try_into().unwrap())
}

/// The callbacks' notes are everybody's: one test at a time looks at them.
static ALONE: Mutex<()> = Mutex::new(());

fn calls() -> Vec<(String, Vec<u32>)> {
    std::mem::take(&mut *CALLS.lock().unwrap())
}

#[test]
fn registration_lists_the_guids_and_the_resource() {
    let mut buffer = [0xEE; 200];
    let whole = 24 + 2 * 32 + 2 + 6;
    assert_eq!(ask(8, &UNKNOWN, &mut buffer), (0, SUCCESS, whole));
    assert_eq!([get(&buffer, 0), get(&buffer, 12), get(&buffer, 16)], [whole, 88, 2]);
    assert_eq!(buffer[24..40], GUIDS[0]);
    assert_eq!(buffer[56..72], GUIDS[1]);
    assert_eq!([get(&buffer, 40), get(&buffer, 44)], [0x20, 2]);
    assert_eq!(buffer[88..96], [6, 0, b'M', 0, b'o', 0, b'f', 0]);
    assert_eq!(buffer[96..], [0xEE; 104]);
    let mut small = [0; 40];
    assert_eq!(ask(8, &UNKNOWN, &mut small), (0, DATA_OVERRUN, whole));
    assert_eq!(get(&small, 0), whole);
}

#[test]
fn all_instances_are_queried() {
    let _alone = ALONE.lock().unwrap();
    let mut buffer = [0; 128];
    let data = (60 + 16usize).next_multiple_of(8);
    assert_eq!(ask(0, &GUIDS[1], &mut buffer), (0, SUCCESS, (data + 17) as u32));
    assert_eq!(calls(), [("query".to_owned(), vec![1, 0, 2, (128 - data) as u32])]);
    assert_eq!([get(&buffer, 0), get(&buffer, 48), get(&buffer, 52)], [(data + 17) as u32, data as u32, 2]);
    let pairs = [get(&buffer, 60), get(&buffer, 64), get(&buffer, 68), get(&buffer, 72)];
    assert_eq!(pairs, [data as u32, 4, data as u32 + 8, 9]);
    assert_eq!(&buffer[data..data + 4], b"four");
    assert_eq!(&buffer[data + 8..data + 17], b"nine byte");
    // Too small: a WNODE that says how large.
    for size in [90, 70, 52] {
        let mut small = vec![0; size];
        assert_eq!(ask(0, &GUIDS[1], &mut small), (0, SUCCESS, 52), "{size}");
        assert_eq!(get(&small, 44), 0x20);
        if size > 52 {
            assert_eq!(get(&small, 48), (data + 17) as u32, "{size}");
        }
    }
    assert_eq!(ask(0, &GUIDS[1], &mut [0; 20]).1, DATA_OVERRUN);
    calls();
}

#[test]
fn one_instance_is_queried_and_set() {
    let _alone = ALONE.lock().unwrap();
    let mut buffer = [0; 100];
    put(&mut buffer, &[0, 1, 72, 0]); // name, instance, data, size
    assert_eq!(ask(1, &GUIDS[0], &mut buffer), (0, SUCCESS, 81));
    assert_eq!([get(&buffer, 0), get(&buffer, 60)], [81, 9]);
    assert_eq!(&buffer[72..81], b"nine byte");
    put(&mut buffer, &[0, 1, 80, 20]);
    buffer[80] = 0x5A;
    assert_eq!(ask(2, &GUIDS[0], &mut buffer), (0, SUCCESS, 0));
    put(&mut buffer, &[0, 1, 7, 90, 10]);
    buffer[90] = 0x5B;
    assert_eq!(ask(3, &GUIDS[0], &mut buffer), (0, ERROR, 0));
    put(&mut buffer, &[0, 1, 8, 72, 5]);
    assert_eq!(ask(9, &GUIDS[0], &mut buffer), (0, SUCCESS, 78));
    assert_eq!((get(&buffer, 64), &buffer[72..78]), (6, &[0x77; 6][..]));
    for (minor, function, enable) in [(4, 0, 1), (5, 0, 0), (6, 1, 1), (7, 1, 0)] {
        assert_eq!(ask(minor, &GUIDS[1], &mut buffer), (0, SUCCESS, 0));
        assert_eq!(calls().last().unwrap(), &("control".to_owned(), vec![1, function, enable]));
    }
}

#[test]
fn offsets_and_lengths_that_lead_outside_are_refused() {
    let _alone = ALONE.lock().unwrap();
    let mut buffer = [0; 100];
    for (minor, numbers) in [
        (1, vec![0, 1, 101, 0]),
        (1, vec![0, 1, u32::MAX, 0]),
        (2, vec![0, 1, 80, 21]),
        (2, vec![0, 1, 100, 1]),
        (2, vec![0, 1, 72, u32::MAX]),
        (3, vec![0, 1, 7, 90, 11]),
        (9, vec![0, 1, 8, 101, 0]),
        (9, vec![0, 1, 8, 72, 29]),
        (10, vec![]),
        (200, vec![]),
    ] {
        put(&mut buffer, &numbers);
        assert_eq!(ask(minor, &GUIDS[0], &mut buffer), (0, INVALID_REQUEST, 0), "{minor} {numbers:?}");
    }
    for minor in [1, 2, 3, 9] {
        assert_eq!(ask(minor, &GUIDS[0], &mut [0; 50]), (0, INVALID_REQUEST, 0));
        assert_eq!(ask(minor, &GUIDS[0], &mut []), (0, INVALID_REQUEST, 0));
    }
    assert_eq!(calls(), []);
    assert_eq!(ask(1, &UNKNOWN, &mut buffer), (0, ERROR, 0));
    // SAFETY: null is what is tried.
    unsafe {
        let nothing = ptr::null_mut();
        assert_eq!(
            ScsiPortWmiDispatchFunction(
                ptr::null(),
                1,
                nothing,
                ptr::null_mut(),
                ptr::null(),
                9,
                ptr::null_mut()
            ),
            0
        );
        ScsiPortWmiPostProcess(ptr::null_mut(), SUCCESS, 1);
    }
}

#[test]
fn a_request_may_stay_pending() {
    let _alone = ALONE.lock().unwrap();
    let mut buffer = [0; 100];
    put(&mut buffer, &[0, 0, 64, 0]);
    let place = buffer.as_mut_ptr();
    let ((pending, status, _), mut context) = ask_as(place.cast(), 1, &GUIDS[0], &mut buffer);
    assert_eq!((pending, status), (1, 0));
    // SAFETY: the context is the one that was given.
    unsafe { ScsiPortWmiPostProcess(&mut context, SUCCESS, 4) };
    assert_eq!((context.status, context.returned), (SUCCESS, 68));
    calls();
}

#[test]
fn events_are_sent() {
    let adapter = start(Script::default());
    let (ext, data) = (adapter.port().extension(), [1u8, 2, 3]);
    // SAFETY: as C would.
    unsafe {
        ScsiPortWmiFireLogicalUnitEvent(ext, 0xFF, 0, 0, &GUIDS[0], 5, 3, data.as_ptr());
        ScsiPortWmiFireLogicalUnitEvent(ext, 0, 0, 0, ptr::null(), 5, 3, data.as_ptr());
        ScsiPortWmiFireLogicalUnitEvent(ext, 0, 0, 0, &GUIDS[0], 5, u32::MAX, data.as_ptr());
        ScsiPortWmiFireLogicalUnitEvent(ptr::null_mut(), 0, 0, 0, &GUIDS[0], 5, 3, data.as_ptr());
        raised(DEVICE_LEVEL, || {
            ScsiPortWmiFireLogicalUnitEvent(ext, 0, 0, 0, &GUIDS[0], 5, 3, data.as_ptr())
        });
    }
    let events = adapter.record().wmi;
    assert_eq!(events.len(), 1);
    let event = &events[0];
    assert_eq!((get(event, 0), event.len(), &event[24..40]), (67, 67, &GUIDS[0][..]));
    assert_eq!([get(event, 44), get(event, 52), get(event, 56), get(event, 60)], [0xA, 5, 64, 3]);
    assert_eq!(event[64..], data);
    assert_eq!((fault(&adapter, "argument"), fault(&adapter, "irql")), (2, 1));
}
