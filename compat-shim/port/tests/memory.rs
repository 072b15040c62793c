//! Memory of a miniport's: pool, contiguous, DMA; and what is left of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

use std::{
    ffi::c_void,
    ptr,
    sync::{Mutex, PoisonError},
};

use sluice_port::status::NtStatus;
use sluice_port_host::{Adapter, DEVICE_LEVEL, Hardware, allocations, fail_allocation, left, raised};
use support::{Script, TIMING, c, fault, load, start};

/// Allocations are counted, and made to fail, for the whole process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn allocate(ext: *mut c_void, bytes: u32) -> (u32, *mut c_void) {
    let mut memory = ptr::without_provenance_mut(1);
    // SAFETY: as C would.
    let status = unsafe { c::StorPortExtendedFunction(0, ext, bytes, 0x7453_4554u32, &raw mut memory) };
    (status, memory)
}

fn free(ext: *mut c_void, memory: *mut c_void) -> u32 {
    // SAFETY: as C would.
    unsafe { c::StorPortExtendedFunction(1, ext, memory) }
}

#[test]
fn pool_is_zeroed_and_freed_once() {
    let _alone = alone();
    let adapter = start(Script::default());
    let ext = adapter.port().extension();
    let (status, memory) = allocate(ext, 1000);
    assert_eq!(status, c::SUCCESS);
    assert!(memory.cast::<u128>().is_aligned());
    // SAFETY: just allocated.
    unsafe {
        assert_eq!(std::slice::from_raw_parts(memory.cast::<u8>(), 1000), [0; 1000]);
        memory.write_bytes(0xFF, 1000);
    }
    assert_eq!(free(ext, memory.wrapping_byte_add(16)), c::INVALID_PARAMETER);
    assert_eq!(free(ext, memory), c::SUCCESS);
    assert_eq!(free(ext, memory), c::INVALID_PARAMETER);
    assert_eq!(free(ext, ptr::null_mut()), c::INVALID_PARAMETER);
    assert_eq!(fault(&adapter, "freed_wrongly"), 3);
    assert_eq!(allocate(ext, 0), (c::INVALID_PARAMETER, ptr::null_mut()));
    raised(DEVICE_LEVEL, || assert_eq!(allocate(ext, 16).0, c::INVALID_IRQL));
    raised(2, || {
        let (status, memory) = allocate(ext, 16);
        assert_eq!((status, free(ext, memory)), (c::SUCCESS, c::SUCCESS));
    });
    fail_allocation(Some(0));
    assert_eq!(allocate(ext, 16), (0xC100_0003, ptr::null_mut()));
    fail_allocation(None);
}

struct Asked {
    bytes: usize,
    lowest: u64,
    highest: u64,
    boundary: u64,
}

fn allocate_dma(ext: *mut c_void, asked: &Asked) -> (u32, *mut c_void, u64) {
    let (mut memory, mut physical) = (ptr::null_mut(), 0u64);
    // SAFETY: as C would.
    let status = unsafe {
        c::StorPortExtendedFunction(
            82,
            ext,
            asked.bytes,
            asked.lowest,
            asked.highest,
            asked.boundary,
            1u32,
            u32::MAX,
            &raw mut memory,
            &raw mut physical,
        )
    };
    (status, memory, physical)
}

#[test]
fn dma_memory_is_where_it_was_wanted() {
    let _alone = alone();
    let adapter = start(Script::default());
    let ext = adapter.port().extension();
    let low = Asked { bytes: 3 * 4096, lowest: 0x100_0000, highest: 0xFFFF_FFFF, boundary: 0x4000 };
    let mut all = Vec::new();
    for _ in 0..5 {
        let (status, memory, physical) = allocate_dma(ext, &low);
        assert_eq!(status, c::SUCCESS);
        assert!(physical >= low.lowest && physical + 3 * 4096 - 1 <= low.highest);
        assert_eq!(physical / low.boundary, (physical + 3 * 4096 - 1) / low.boundary);
        // SAFETY: as C would.
        unsafe {
            let mut length = 0;
            assert_eq!(c::StorPortGetPhysicalAddress(ext, ptr::null_mut(), memory, &mut length), physical);
            assert_eq!(length, 3 * 4096);
            assert_eq!(c::StorPortGetVirtualAddress(ext, physical + 8), memory.byte_add(8));
        }
        all.push((memory, physical));
    }
    // SAFETY: as C would.
    let free = |memory: *mut c_void, bytes: usize, physical: u64| unsafe {
        c::StorPortExtendedFunction(83, ext, memory, bytes, 1u32, physical)
    };
    assert_eq!(free(all[0].0, 4096, all[0].1), c::INVALID_PARAMETER, "a part of it");
    for (memory, physical) in all.drain(..) {
        assert_eq!(free(memory, 3 * 4096, physical), c::SUCCESS);
    }
    for wrong in
        [Asked { bytes: 0, ..low }, Asked { lowest: 2, highest: 1, ..low }, Asked { boundary: 3000, ..low }]
    {
        assert_eq!(allocate_dma(ext, &wrong).0, c::INVALID_PARAMETER);
    }
    let nowhere = Asked { bytes: 8192, lowest: 0, highest: 4095, boundary: 0 };
    assert_eq!(allocate_dma(ext, &nowhere).0, 0xC100_0003);
    raised(2, || assert_eq!(allocate_dma(ext, &low).0, c::INVALID_IRQL));
}

#[test]
fn contiguous_memory_is_in_one_piece() {
    let _alone = alone();
    let adapter = start(Script::default());
    let (ext, mut memory) = (adapter.port().extension(), ptr::null_mut::<c_void>());
    // SAFETY: as C would.
    unsafe {
        let status = c::StorPortExtendedFunction(
            24,
            ext,
            20_000usize,
            0u64,
            u64::MAX,
            0u64,
            0u32,
            0u32,
            &raw mut memory,
        );
        assert_eq!(status, c::SUCCESS);
        let mut length = 0;
        c::StorPortGetPhysicalAddress(ext, ptr::null_mut(), memory, &mut length);
        assert_eq!(length, 20_000);
        assert_eq!(c::StorPortExtendedFunction(25, ext, memory, 20_000usize, 0u32), c::SUCCESS);
        assert_eq!(c::StorPortExtendedFunction(25, ext, memory, 20_000usize, 0u32), c::INVALID_PARAMETER);
    }
}

#[test]
fn nothing_is_left_and_what_the_miniport_left_is_told() {
    let _alone = alone();
    let registration = load(Script {
        find: Box::new(|ext, _| {
            // SAFETY: as C would.
            assert!(!unsafe { c::StorPortGetUncachedExtension(ext.0, ptr::null_mut(), 8192) }.is_null());
            1
        }),
        ..Script::default()
    })
    .unwrap();
    let before = allocations();
    let adapter = Adapter::start(&registration, Hardware::default(), TIMING).unwrap();
    adapter.add_unit(0, 0, 0).unwrap();
    let ext = adapter.port().extension();
    allocate(ext, 100);
    let mut handle = ptr::null_mut::<c_void>();
    // SAFETY: as C would.
    unsafe {
        assert_eq!(c::StorPortExtendedFunction(32, ext, &raw mut handle), c::SUCCESS);
        assert!(!c::StorPortGetDeviceBase(ext, 5, 0, 0xF000_0000, 4096, 0).is_null());
    }
    let left = left();
    adapter.port().stop();
    drop(adapter);
    assert_eq!((allocations(), sluice_port_host::left()), (before, left + 3));
}

#[test]
fn every_allocation_that_fails_ends_in_an_error_and_leaves_nothing() {
    let _alone = alone();
    let registration = load(Script::default()).unwrap();
    let before = allocations();
    let mut failures = 0;
    for n in 0.. {
        fail_allocation(Some(n));
        let result = Adapter::start(&registration, Hardware::default(), TIMING)
            .and_then(|adapter| adapter.add_unit(0, 0, 0).map(|_| ()));
        let failed = allocations() == before;
        fail_allocation(None);
        assert!(failed, "allocation {n}: {} are left", allocations() - before);
        match result {
            Err(status) => assert_eq!(status, NtStatus::INSUFFICIENT_RESOURCES, "allocation {n}"),
            Ok(()) => break,
        }
        failures += 1;
    }
    assert!(failures >= 6, "{failures} allocations only");
}
