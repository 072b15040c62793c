//! What a miniport in C may hand to its port: a registration of any bytes, a configuration with any fields, WMI requests of
//! any bytes with callbacks that say anything, and calls and notifications by any code with numbers that are any.
#![no_main]

use std::{
    alloc::{Layout, alloc, dealloc},
    cell::{Cell, RefCell},
    ffi::c_void,
    mem::offset_of,
    ptr,
    sync::{Arc, OnceLock},
};

use libfuzzer_sys::fuzz_target;
use sluice_port::{command::Special, port::Timing, registration::Registration};
use sluice_port_host::{Adapter, Hardware};
use sluice_shim::storport::{HwInitializationData, PortConfigurationInformation, SrbRequest};

fuzz_target!(|bytes: &[u8]| {
    match bytes.split_first() {
        Some((0, bytes)) => register(bytes),
        Some((1, bytes)) => wmi(bytes),
        Some((2, bytes)) => configure(bytes),
        Some((3, bytes)) => notify(bytes),
        Some((_, bytes)) => call(bytes),
        None => {}
    }
});

/// `bytes` in memory that ends exactly where they end.
fn exactly<R>(bytes: &[u8], with: impl FnOnce(*mut u8) -> R) -> R {
    let layout = Layout::from_size_align(bytes.len().max(1), 8).unwrap();
    // SAFETY: the layout is not empty; the block is filled, lent and freed once.
    unsafe {
        let block = alloc(layout);
        block.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        let result = with(block);
        dealloc(block, layout);
        result
    }
}

fn register(bytes: &[u8]) {
    let Some(size) = bytes.first_chunk::<4>() else { return };
    if u32::from_le_bytes(*size) as usize > bytes.len() {
        return; // a miniport's structure is there
    }
    exactly(bytes, |block| {
        // SAFETY: readable for as many bytes as it says.
        if let Ok(registration) = unsafe { Registration::capture(block.cast(), ptr::null_mut()) } {
            assert!(registration.data().device_extension_size <= 16 << 20);
            let _ = (registration.srb_kind(), registration.is_virtual());
        }
    });
}

#[repr(C)]
struct Context {
    words: [u64; 4],
}

#[repr(C)]
struct GuidInfo {
    guid: *const [u8; 16],
    instances: u32,
    flags: u32,
}

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
    fn StorPortExtendedFunction(code: u32, extension: *mut c_void, ...) -> u32;
    fn StorPortNotification(kind: u32, extension: *mut c_void, ...);
}

thread_local! {
    /// What callbacks say: status, and bytes used.
    static ANSWER: Cell<(u8, u32)> = const { Cell::new((1, 0)) };
}

/// # Safety
/// `data` has `room` bytes; `lengths` has `count` places or is null.
unsafe fn answer(context: *mut Context, data: *mut u8, room: u32, lengths: *mut u32, count: u32) -> u8 {
    let (status, used) = ANSWER.get();
    // SAFETY: the library says so, and the sanitizer looks.
    unsafe {
        data.write_bytes(0x5A, room as usize);
        for number in 0..if lengths.is_null() { 0 } else { count as usize } {
            lengths.add(number).write_unaligned(used.wrapping_add(number as u32));
        }
        if status != 0 {
            ScsiPortWmiPostProcess(context, status, used);
        }
    }
    u8::from(status == 0)
}

unsafe extern "system" fn query(
    _: *mut c_void,
    context: *mut Context,
    _: u32,
    _: u32,
    count: u32,
    lengths: *mut u32,
    room: u32,
    data: *mut u8,
) -> u8 {
    // SAFETY: the library's.
    unsafe { answer(context, data, room, lengths, count) }
}

unsafe extern "system" fn set(
    _: *mut c_void,
    context: *mut Context,
    _: u32,
    _: u32,
    size: u32,
    data: *mut u8,
) -> u8 {
    // SAFETY: the library's.
    unsafe { answer(context, data, size, ptr::null_mut(), 0) }
}

unsafe extern "system" fn set_item(
    _: *mut c_void,
    context: *mut Context,
    _: u32,
    _: u32,
    _: u32,
    size: u32,
    data: *mut u8,
) -> u8 {
    // SAFETY: the library's.
    unsafe { answer(context, data, size, ptr::null_mut(), 0) }
}

unsafe extern "system" fn execute(
    _: *mut c_void,
    context: *mut Context,
    _: u32,
    _: u32,
    _: u32,
    input: u32,
    output: u32,
    data: *mut u8,
) -> u8 {
    assert!(input <= output);
    // SAFETY: the library's.
    unsafe { answer(context, data, output, ptr::null_mut(), 0) }
}

fn wmi(bytes: &[u8]) {
    let Some((&[minor, instances, status, used0, used1, used2], buffer)) = bytes.split_first_chunk::<6>()
    else {
        return;
    };
    let used = u32::from_le_bytes([used0, used1, used2, used2]);
    ANSWER.set((status, used));
    let guid = [7; 16];
    let infos = [GuidInfo { guid: &guid, instances: u32::from(instances) * u32::from(instances), flags: 0 }];
    let callbacks = [
        ptr::null(),
        query as *const c_void,
        set as *const c_void,
        set_item as *const c_void,
        execute as *const c_void,
        ptr::null(),
    ];
    let library = Library { count: 1, guids: infos.as_ptr(), callbacks };
    let mut context = Context { words: [0; 4] };
    exactly(buffer, |block| {
        // SAFETY: everything is what it says.
        unsafe {
            let size = buffer.len() as u32;
            let nothing = ptr::null_mut();
            ScsiPortWmiDispatchFunction(&library, minor, nothing, &mut context, &guid, size, block);
            ScsiPortWmiPostProcess(&mut context, status, used);
        }
    });
}

thread_local! {
    /// What HwFindAdapter does to its configuration: where, and to what.
    static CHANGES: RefCell<Vec<(usize, u8)>> = const { RefCell::new(Vec::new()) };
}

/// Fields that are addresses, of which a miniport's own are right ones.
const ADDRESSES: [(usize, usize); 3] = [
    (offset_of!(PortConfigurationInformation, access_ranges), 8),
    (offset_of!(PortConfigurationInformation, miniport_dump_data), 8),
    (offset_of!(PortConfigurationInformation, hw_ms_interrupt_routine), 8),
];

/// An adapter whose miniport answers with a configuration of its own: it is refused, or a request of it is answered.
fn configure(bytes: &[u8]) {
    let size = size_of::<PortConfigurationInformation>();
    let changes = bytes
        .chunks_exact(3)
        .map(|part| (usize::from(u16::from_le_bytes([part[0], part[1]])) % size, part[2]));
    let allowed = |at: usize| !ADDRESSES.iter().any(|(start, length)| at.wrapping_sub(*start) < *length);
    CHANGES.set(changes.filter(|(at, _)| allowed(*at)).collect());
    // SAFETY: a miniport's.
    let registration = unsafe { sluice_port_host::load(driver_entry) }.unwrap();
    let timing = Timing { tick: 10_000, step: 10_000, reset_hold: 1000 };
    if let Ok(adapter) = Adapter::start(&registration, Hardware::default(), timing) {
        if let Ok(unit) = adapter.add_unit(0, 0, 0) {
            let _ = adapter.command(unit, &SrbRequest::command(&[0; 6]), Special::None);
        }
        adapter.port().stop();
    }
    CHANGES.take();
}

/// Notifications whose arguments are places or numbers. Those that follow an address of a DPC or of code are left to the
/// tests; what is held is let go.
fn notify(bytes: &[u8]) {
    const KINDS: &[(u32, &str)] = &[
        (0x0000, "p"),
        (0x0003, ""),
        (0x0006, "zn"),
        (0x0007, "n"),
        (0x000A, ""),
        (0x000B, ""),
        (0x000C, "p"),
        (0x000D, ""),
        (0x000E, "pp"),
        (0x1000, "zp"),
        (0x1002, "pnnp"),
        (0x1003, "npp"),
        (0x1004, "p"),
        (0x1005, "npnznp"),
        (0x1006, "nn"),
        (0x1007, "pnp"),
        (0x1008, "p"),
        (0x100C, "pnp"),
        (0x100D, "pnpn"),
    ];
    let Some((&[kind, how], rest)) = bytes.split_first_chunk::<2>() else { return };
    let ext = adapter().port().extension();
    drop(adapter().take_record());
    let mut places = [[0u64; 16]; 8];
    for (place, part) in places.iter_mut().zip(rest.chunks(16)) {
        for (byte, from) in place.as_mut_slice().iter_mut().zip(part) {
            *byte = u64::from(*from) * 0x0101;
        }
    }
    let (kind, kinds) = KINDS[usize::from(kind) % KINDS.len()];
    let mut words = [0usize; 8];
    for (number, of) in kinds.bytes().enumerate() {
        let place = places[number].as_mut_ptr() as usize;
        words[number] = match (of, how >> number & 1) {
            (b'n', _) => rest.get(number).map_or(0, |byte| usize::from(*byte)),
            (b'p', 0) => place,
            (b'p', _) => place + 1,
            _ => 0,
        };
    }
    let [a, b, c, d, e, f, g, h] = words;
    // SAFETY: places have 128 bytes, more than any notification looks at; a lock that was taken is released by the handle
    // that it was taken with, while everything is still there.
    unsafe {
        StorPortNotification(kind, ext, a, b, c, d, e, f, g, h);
        if kind == 0x1003 {
            StorPortNotification(0x1004, ext, c, 0usize, 0usize, 0usize);
        }
    }
    assert_eq!(sluice_port_host::current(), 0, "what was taken is given back");
}

/// One adapter for all calls.
fn adapter() -> &'static Arc<Adapter> {
    static ADAPTER: OnceLock<Arc<Adapter>> = OnceLock::new();
    ADAPTER.get_or_init(|| {
        // SAFETY: a miniport's.
        let registration = unsafe { sluice_port_host::load(driver_entry) }.unwrap();
        let adapter = Adapter::start(&registration, Hardware::default(), Timing::default()).unwrap();
        adapter.add_unit(0, 0, 0).unwrap();
        adapter
    })
}

/// Calls by numbers: places are memory of the caller's (argument by argument its own), null, or not aligned; what is no
/// place for any code is any number. Codes that follow pointers inside of a structure are left to the tests.
fn call(bytes: &[u8]) {
    /// Code, and of each argument whether it is a place.
    const CODES: &[(u32, &str)] = &[
        (0, "nnp"),
        (1, "p"),
        (5, "pp"),
        (11, "np"),
        (12, "nn"),
        (13, "np"),
        (15, "pp"),
        (17, "p"),
        (18, "p"),
        (19, "np"),
        (20, "p"),
        (21, "np"),
        (22, "p"),
        (24, "nnnnnnp"),
        (25, "pnn"),
        (29, "p"),
        (31, "p"),
        (32, "p"),
        (33, "pznnn"),
        (34, "p"),
        (41, "p"),
        (46, "pn"),
        (47, "pp"),
        (56, "pp"),
        (58, "pnpnnnpznzn"),
        (82, "nnnnnnpp"),
        (83, "pnnn"),
        (92, "p"),
        (109, "p"),
        (2, "nnp"),
        (3, "p"),
        (4, "p"),
        (6, "pp"),
        (28, "pp"),
        (40, "pp"),
        (42, "pp"),
        (48, "ppp"),
        (49, "ppnn"),
        (57, "pn"),
        (69, "nnnnnnnpp"),
        (70, "pn"),
        (75, "p"),
        (76, "ppppp"),
        (94, "p"),
        (95, "pp"),
        (106, "p"),
        (107, "p"),
        (116, "np"),
        (117, "npnp"),
        (121, "nnnnnnp"),
    ];
    let ext = adapter().port().extension();
    drop(adapter().take_record());
    let mut places = [[0u64; 16]; 12];
    for (place, part) in places.iter_mut().zip(bytes.chunks(32)) {
        for (word, byte) in place.iter_mut().take(12).zip(part) {
            *word = u64::from(*byte) * 0x0101;
        }
    }
    let Some((&[code, how], numbers)) = bytes.split_first_chunk::<2>() else { return };
    if code == 0xFF {
        places[0][0] %= 129; // an event is as long as it says
        // SAFETY: numbers only, or places of their own.
        unsafe { StorPortNotification(u32::from(how), ext, places.as_mut_ptr(), 0usize, 0usize, 0usize) };
        return;
    }
    let (code, kinds) = CODES[usize::from(code) % CODES.len()];
    let mut words = [0usize; 24];
    for (number, kind) in kinds.bytes().enumerate() {
        let raw = numbers.get(8 * number..8 * number + 8).and_then(|raw| raw.try_into().ok());
        let place = places[number].as_mut_ptr() as usize;
        words[number] = match (kind, how >> (number % 8) & 1) {
            (b'n', _) => raw.map_or(0, |raw| usize::from_le_bytes(raw) & 0x00FF_FFFF),
            (b'p', 0) => place,
            (b'p', _) => place + 1,
            _ => 0,
        };
    }
    let w = words;
    // SAFETY: places have 128 bytes, which is more than any code writes or reads of one.
    unsafe {
        StorPortExtendedFunction(
            code, ext, w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8], w[9], w[10], w[11], w[12],
            w[13], w[14], w[15], w[16], w[17], w[18], w[19], w[20], w[21], w[22], w[23],
        );
        // What was given is taken back, or a run would end with the machine's memory.
        match code {
            0 => StorPortExtendedFunction(1, ext, places[2][0]),
            2 => {
                StorPortExtendedFunction(4, ext, places[2][0]);
                StorPortExtendedFunction(3, ext, places[2][0])
            }
            69 => StorPortExtendedFunction(70, ext, w[7], 1u32),
            24 => StorPortExtendedFunction(25, ext, places[6][0], w[0], 0usize),
            82 => StorPortExtendedFunction(83, ext, places[6][0], w[0], 0usize, places[7][0]),
            29 => StorPortExtendedFunction(31, ext, places[0][0]),
            32 => StorPortExtendedFunction(34, ext, places[0][0]),
            11 => StorPortExtendedFunction(12, ext, w[0], places[1][0] & 0xFF),
            _ => 0,
        };
    }
}

unsafe extern "system" fn yes(_: *mut c_void) -> u8 {
    1
}

unsafe extern "system" fn start_io(extension: *mut c_void, srb: *mut c_void) -> u8 {
    // SAFETY: as C would.
    unsafe { StorPortNotification(0, extension, srb, 0usize, 0usize, 0usize) };
    1
}

unsafe extern "system" fn reset_bus(_: *mut c_void, _: u32) -> u8 {
    1
}

unsafe extern "system" fn find_adapter(
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut std::ffi::c_char,
    configuration: *mut PortConfigurationInformation,
    _: *mut u8,
) -> u32 {
    for (at, byte) in CHANGES.with_borrow(Clone::clone) {
        // SAFETY: inside of the structure, and not of an address.
        unsafe { configuration.cast::<u8>().add(at).write(byte) };
    }
    1
}

unsafe extern "system" fn driver_entry(driver: *mut c_void, path: *mut c_void) -> u32 {
    let mut data = HwInitializationData::new();
    data.hw_initialize = Some(yes);
    data.hw_start_io = Some(start_io);
    data.hw_find_adapter = Some(find_adapter);
    data.hw_reset_bus = Some(reset_bus);
    data.device_extension_size = 64;
    let data = (&raw const data).cast();
    // SAFETY: as C would.
    unsafe { sluice_port::exports::setup::StorPortInitialize(driver, path, data, ptr::null_mut()) }
}
