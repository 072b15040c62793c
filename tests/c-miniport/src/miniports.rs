//! The builds of the miniports, as `build.rs` makes them.

use std::ffi::c_void;

use sluice_shim::storport::SrbKind;

/// `DriverEntry`.
pub type Entry = unsafe extern "system" fn(driver: *mut c_void, path: *mut c_void) -> u32;

/// One build of a miniport.
#[derive(Clone, Copy, Debug)]
pub struct Miniport {
    /// For messages.
    pub name: &'static str,
    /// Where it begins.
    pub entry: Entry,
    /// The SRBs that it was built for.
    pub kind: SrbKind,
}

macro_rules! builds {
    ($(#[doc = $text:literal] $list:ident: $($name:ident $kind:ident,)*)*) => {
        unsafe extern "system" {
            $($(fn $name(driver: *mut c_void, path: *mut c_void) -> u32;)*)*
        }
        $(
            #[doc = $text]
            pub const $list: &[Miniport] =
                &[$(Miniport { name: stringify!($name), entry: $name, kind: SrbKind::$kind },)*];
        )*
    };
}

builds! {
    /// An adapter with queues, or a disk in memory.
    PLAIN:
        plain_legacy_gcc Legacy,
        plain_extended_gcc Extended,
        plain_legacy_clang Legacy,
        plain_extended_clang Extended,
    /// See `torture/torments.h`.
    TORTURE:
        torture_legacy_gcc Legacy,
        torture_extended_gcc Extended,
        torture_legacy_clang Legacy,
        torture_extended_clang Extended,
}
