//! What StorPortInitialize takes, and what it refuses.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

use std::{ffi::c_void, ptr};

use sluice_port::{registration::Registration, status::NtStatus};
use sluice_shim::storport::{HwInitializationData, SrbKind, initialization::STOR_FEATURE_VIRTUAL_MINIPORT};
use support::{Script, c, initialization_data, load};

fn status_of(change: impl Fn(&mut HwInitializationData) + Send + Sync + 'static) -> NtStatus {
    let script = Script { data: Box::new(change), ..Script::default() };
    load(script).map_or_else(|status| status, |_| NtStatus::SUCCESS)
}

#[test]
fn what_is_in_order_is_taken() {
    let registration = load(Script { kind: SrbKind::Extended, ..Script::default() }).unwrap();
    assert_eq!(registration.srb_kind(), SrbKind::Extended);
    assert_eq!(registration.data().srb_extension_size, 96);
    assert!(!registration.context().is_null());
    assert_eq!(load(Script::default()).unwrap().srb_kind(), SrbKind::Legacy);
}

#[test]
fn the_sizes_of_all_versions_are_taken_and_no_others() {
    for (size, wanted) in [
        (0, NtStatus::INFO_LENGTH_MISMATCH),
        (8, NtStatus::INFO_LENGTH_MISMATCH),
        (135, NtStatus::INFO_LENGTH_MISMATCH),
        (136, NtStatus::SUCCESS),
        (144, NtStatus::REVISION_MISMATCH),
        (176, NtStatus::INVALID_PARAMETER), // a virtual miniport's, and it has no HwFreeAdapterResources
        (184, NtStatus::SUCCESS),
        (192, NtStatus::REVISION_MISMATCH),
        (200, NtStatus::SUCCESS),
        (208, NtStatus::SUCCESS),
        (216, NtStatus::REVISION_MISMATCH),
        (u32::MAX, NtStatus::REVISION_MISMATCH),
    ] {
        assert_eq!(status_of(move |data| data.size = size), wanted, "{size}");
    }
}

#[test]
fn a_virtual_miniports_own_size_says_that_it_is_one() {
    unsafe extern "system" fn free(_: *mut c_void) {}
    let script = |size| Script {
        data: Box::new(move |data| {
            data.size = size;
            data.hw_free_adapter_resources = Some(free);
        }),
        ..Script::default()
    };
    assert!(load(script(176)).unwrap().is_virtual());
    assert!(!load(script(184)).unwrap().is_virtual());
}

#[test]
fn what_a_short_version_does_not_have_is_not_looked_at() {
    // Extended SRBs came with Windows 8: what lies behind a shorter structure is somebody else's memory.
    let script =
        Script { kind: SrbKind::Extended, data: Box::new(|data| data.size = 184), ..Script::default() };
    let registration = load(script).unwrap();
    assert_eq!(registration.srb_kind(), SrbKind::Legacy);
    assert!(registration.data().hw_unit_control.is_none());
}

#[test]
fn callbacks_that_every_miniport_has_must_be_there() {
    type Change = fn(&mut HwInitializationData);
    let without: [Change; 4] = [
        |data| data.hw_initialize = None,
        |data| data.hw_start_io = None,
        |data| data.hw_find_adapter = None,
        |data| data.hw_reset_bus = None,
    ];
    for change in without {
        assert_eq!(status_of(change), NtStatus::INVALID_PARAMETER);
    }
    for optional in [(|data| data.hw_interrupt = None) as Change, |data| data.hw_build_io = None] {
        assert_eq!(status_of(optional), NtStatus::SUCCESS);
    }
    let endless = |data: &mut HwInitializationData| data.feature_support = STOR_FEATURE_VIRTUAL_MINIPORT;
    assert_eq!(status_of(endless), NtStatus::INVALID_PARAMETER);
}

#[test]
fn sizes_that_no_miniport_needs_are_refused() {
    type Change = fn(&mut HwInitializationData);
    let huge: [Change; 4] = [
        |data| data.device_extension_size = u32::MAX,
        |data| data.srb_extension_size = u32::MAX,
        |data| data.specific_lu_extension_size = 2 << 20,
        |data| data.number_of_access_ranges = 17,
    ];
    for change in huge {
        assert_eq!(status_of(change), NtStatus::INVALID_PARAMETER);
    }
}

#[test]
fn null_and_unaligned_are_refused() {
    let data = initialization_data(&Script::default());
    let start = (&raw const data).cast::<u8>();
    // SAFETY: null, and inside the structure.
    unsafe {
        let null = Registration::capture(ptr::null(), ptr::null_mut());
        assert_eq!(null.unwrap_err(), NtStatus::INVALID_PARAMETER);
        let unaligned = Registration::capture(start.add(4).cast(), ptr::null_mut());
        assert_eq!(unaligned.unwrap_err(), NtStatus::INVALID_PARAMETER);
        let none = c::StorPortInitialize(ptr::null_mut(), ptr::null_mut(), ptr::null(), ptr::null_mut());
        assert!(!NtStatus(none).is_success());
    }
}
