//! Arguments that cannot be: no function follows them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

use std::{ffi::c_void, ptr};

use sluice_port::exports::{Coverage, EXTENDED, NOTIFICATIONS};
use support::{Script, c, fault, start};

/// A buffer that is no device extension, though it is aligned like one.
#[repr(C, align(64))]
struct Stranger([u64; 64]);

fn strangers(stranger: &Stranger) -> [*mut c_void; 3] {
    let inside = ptr::from_ref(&stranger.0[8]).cast_mut();
    [ptr::null_mut(), inside.cast(), inside.wrapping_byte_add(8).cast()]
}

#[test]
fn every_function_refuses_an_extension_that_is_none() {
    let stranger = Stranger([0; 64]);
    let (mut length, mut bytes, name) = (4u32, [0u8; 8], c"Name".as_ptr().cast::<u8>());
    let data = bytes.as_mut_ptr();
    let place: *mut c_void = data.cast();
    let nothing: *mut c_void = ptr::null_mut();
    for ext in strangers(&stranger) {
        // SAFETY: as C would, but for the extension.
        unsafe {
            assert_eq!(c::StorPortGetBusData(ext, 4, 0, 0, place, 8), 0);
            assert_eq!(c::StorPortSetBusDataByOffset(ext, 4, 0, 0, place, 0, 8), 0);
            assert!(c::StorPortGetDeviceBase(ext, 5, 0, 0xF000_0000, 16, 0).is_null());
            c::StorPortFreeDeviceBase(ext, place);
            assert_eq!(c::StorPortValidateRange(ext, 5, 0, 0xF000_0000, 16, 0), 0);
            assert!(c::StorPortGetUncachedExtension(ext, nothing, 16).is_null());
            assert_eq!(c::StorPortGetPhysicalAddress(ext, nothing, place, &mut length), 0);
            assert!(c::StorPortGetVirtualAddress(ext, 0).is_null());
            c::StorPortCompleteRequest(ext, 0, 0, 0, 1);
            assert!(c::StorPortGetScatterGatherList(ext, place).is_null());
            assert!(c::StorPortGetLogicalUnit(ext, 0, 0, 0).is_null());
            assert!(c::StorPortGetSrb(ext, 0, 0, 0, 1).is_null());
            assert_eq!(c::StorPortSynchronizeAccess(ext, None, nothing), 0);
            assert_eq!(c::StorPortPause(ext, 1), 0);
            assert_eq!(c::StorPortResume(ext), 0);
            assert_eq!(c::StorPortPauseDevice(ext, 0, 0, 0, 1), 0);
            assert_eq!(c::StorPortResumeDevice(ext, 0, 0, 0), 0);
            assert_eq!(c::StorPortBusy(ext, 1), 0);
            assert_eq!(c::StorPortReady(ext), 0);
            assert_eq!(c::StorPortDeviceBusy(ext, 0, 0, 0, 1), 0);
            assert_eq!(c::StorPortDeviceReady(ext, 0, 0, 0), 0);
            assert_eq!(c::StorPortSetDeviceQueueDepth(ext, 0, 0, 0, 1), 0);
            assert!(c::StorPortAllocateRegistryBuffer(ext, &mut length).is_null());
            c::StorPortFreeRegistryBuffer(ext, data);
            assert_eq!(c::StorPortRegistryRead(ext, name, 0, 3, data, &mut length), 0);
            assert_eq!(c::StorPortRegistryWrite(ext, name, 0, 3, data, 4), 0);
            c::StorPortLogError(ext, nothing, 0, 0, 0, 0, 0);
        }
    }
}

#[test]
fn every_code_refuses_an_extension_that_is_none() {
    let stranger = Stranger([0; 64]);
    for ext in strangers(&stranger) {
        for row in EXTENDED {
            // SAFETY: no argument is looked at without a port.
            let status = unsafe { c::StorPortExtendedFunction(row.code, ext, 0usize, 0usize, 0usize) };
            assert_eq!(status, c::INVALID_PARAMETER, "{}", row.name);
        }
        for row in NOTIFICATIONS {
            // SAFETY: as above.
            unsafe { c::StorPortNotification(row.code, ext, 0usize, 0usize, 0usize) };
        }
    }
}

#[test]
fn every_code_bears_null_in_all_its_arguments() {
    let adapter = start(Script::default());
    let ext = adapter.port().extension();
    for row in EXTENDED {
        // SAFETY: null where a pointer is asked for is an argument that can be.
        let status = unsafe {
            c::StorPortExtendedFunction(
                row.code, ext, 0usize, 0usize, 0usize, 0usize, 0usize, 0usize, 0usize, 0usize, 0usize,
                0usize, 0usize, 0usize, 0usize, 0usize, 0usize, 0usize, 0usize, 0usize, 0usize, 0usize,
                0usize, 0usize, 0usize, 0usize,
            )
        };
        match row.coverage {
            Coverage::Answers("STOR_STATUS_NOT_IMPLEMENTED") => {
                assert_eq!(status, c::NOT_IMPLEMENTED, "{}", row.name);
            }
            Coverage::Answers("STOR_STATUS_INVALID_DEVICE_REQUEST") => {
                assert_eq!(status, c::INVALID_DEVICE_REQUEST, "{}", row.name);
            }
            Coverage::Accepted => assert_eq!(status, c::SUCCESS, "{}", row.name),
            // A delay of nothing is a delay.
            _ if row.name == "ExtFunctionDelayExecution" => assert_eq!(status, c::SUCCESS),
            _ if row.name == "ExtFunctionGetDeviceObjects" => assert_eq!(status, c::NOT_IMPLEMENTED),
            _ => assert_eq!(status, c::INVALID_PARAMETER, "{}", row.name),
        }
    }
    for row in NOTIFICATIONS {
        // SAFETY: as above.
        unsafe { c::StorPortNotification(row.code, ext, 0usize, 0usize, 0usize, 0usize, 0usize, 0usize) };
    }
    adapter.settle();
}

#[test]
fn codes_that_do_not_exist_are_answered() {
    let adapter = start(Script::default());
    let ext = adapter.port().extension();
    let last = EXTENDED.last().unwrap().code;
    for code in [last + 1, 1000, i32::MAX as u32, u32::MAX] {
        // SAFETY: as C would.
        unsafe { assert_eq!(c::StorPortExtendedFunction(code, ext, 1usize, 2usize), c::NOT_IMPLEMENTED) };
    }
    for kind in [4, 5, 16, 0x0FFF, 0x1011, u32::MAX] {
        // SAFETY: as C would.
        unsafe { c::StorPortNotification(kind, ext, 1usize) };
    }
    assert_eq!(fault(&adapter, "argument"), 6);
}

#[test]
fn misaligned_places_are_not_written() {
    let adapter = start(Script::default());
    let (ext, mut words) = (adapter.port().extension(), [0u64; 4]);
    let odd = words.as_mut_ptr().wrapping_byte_add(1);
    for code in [0u32, 18, 20, 22, 29, 32, 47] {
        // SAFETY: inside the array.
        let status = unsafe { c::StorPortExtendedFunction(code, ext, odd, odd, odd) };
        assert_eq!(status, c::INVALID_PARAMETER, "code {code}");
    }
    assert_eq!(words, [0; 4]);
}
