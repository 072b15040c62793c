//! What a miniport in C may hand to its port: a registration of any bytes, WMI requests of any bytes with callbacks that
//! say anything, and calls by any code with numbers that are any.
#![no_main]

use std::{
    alloc::{Layout, alloc, dealloc},
    cell::Cell,
    ffi::c_void,
    ptr,
    sync::{Arc, OnceLock},
};

use libfuzzer_sys::fuzz_target;
use sluice_port::{port::Timing, registration::Registration};
use sluice_port_host::{Adapter, Hardware};
use sluice_shim::storport::{HwInitializationData, PortConfigurationInformation};

fuzz_target!(|bytes: &[u8]| {
    match bytes.split_first() {
        Some((0, bytes)) => register(bytes),
        Some((1, bytes)) => wmi(bytes),
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

unsafe extern "system" fn start_io(_: *mut c_void, _: *mut c_void) -> u8 {
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
    _: *mut PortConfigurationInformation,
    _: *mut u8,
) -> u32 {
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
