//! Every function that a miniport finds in its port driver, and what becomes of it.
//!
//! Each table here is the only place that names its functions: the exported symbols, the dispatch by code, the list for
//! the import library ([`document::definitions`]) and `docs/storport.md` ([`document::coverage`]) are made from it.
//!
//! ```text
//!   setup      StorPortInitialize               registry   parameters
//!   bus        configuration space, BARs        events     event log, debugger, trace events
//!   memory     addresses, the uncached extension  time     clocks
//!   requests   completion, lists, units         wmi        ScsiPortWmi*
//!   flow       pauses, busy, depth              notification, extended: the two that dispatch by a code
//! ```
//!
//! On 64-bit Windows (and on the systems that we test on) integer and pointer arguments of a variadic function travel
//! as those of any other, so the variadic ones are written with as many parameters as the longest call has. Only those
//! that a code's row names are looked at.

use core::ffi::c_void;

use sluice_shim::storport::{
    extended::{STOR_ADDR_BTL8_ADDRESS_LENGTH, STOR_ADDRESS_TYPE_BTL8, StorAddressBtl8},
    srb::Address,
};

use crate::{extension::port_of, faults::count, port::Port};

pub mod document;

mod buffers;
pub mod bus;
mod codes;
pub mod events;
pub mod extended;
pub mod flow;
mod inline;
mod lists;
pub mod memory;
pub mod notification;
mod performance;
mod power;
pub mod registry;
pub mod requests;
pub mod setup;
pub mod time;
mod topology;
pub mod wmi;
mod work;

pub use setup::install;

/// How far a function goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// It does what is documented.
    Done,
    /// It answers so, always.
    Answers(&'static str),
    /// It is accepted and changes nothing, which is allowed.
    Accepted,
    /// It is code in the header, over another function or none.
    Inline,
}

/// One exported function.
#[derive(Clone, Copy, Debug)]
pub struct Export {
    /// Its name.
    pub name: &'static str,
    /// Which part of the interface it belongs to.
    pub group: &'static str,
    /// What it does here.
    pub text: &'static str,
}

/// One code of StorPortExtendedFunction or StorPortNotification.
#[derive(Clone, Copy)]
pub struct Code {
    /// Its number.
    pub code: u32,
    /// The WDK's name.
    pub name: &'static str,
    /// The function of the header that sends it; empty if there is none.
    pub function: &'static str,
    /// Arguments after the extension.
    pub(crate) arguments: usize,
    /// How far it goes.
    pub coverage: Coverage,
    pub(crate) handler: Handler,
}

/// What carries a code out. The result is StorPortExtendedFunction's; notifications have none.
///
/// # Safety
/// The arguments are what the code's documentation says.
pub(crate) type Handler = unsafe fn(&Port, &Arguments<'_>) -> sluice_shim::storport::status::StorStatus;

/// The arguments of a variadic call. Those that were not passed are zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arguments<'a>(pub(crate) &'a [usize]);

impl Arguments<'_> {
    /// As wide as it comes.
    pub(crate) fn word(&self, index: usize) -> usize {
        self.0.get(index).copied().unwrap_or(0)
    }

    /// A ULONG: the upper half of its place means nothing.
    pub(crate) fn long(&self, index: usize) -> u32 {
        self.word(index) as u32
    }

    /// A USHORT.
    pub(crate) fn short(&self, index: usize) -> u16 {
        self.word(index) as u16
    }

    /// A UCHAR or BOOLEAN.
    pub(crate) fn byte(&self, index: usize) -> u8 {
        self.word(index) as u8
    }

    pub(crate) fn pointer<T>(&self, index: usize) -> *mut T {
        self.word(index) as *mut T
    }

    /// Where a result goes; `None` if it is null or not aligned.
    pub(crate) fn place<T>(&self, index: usize) -> Option<*mut T> {
        let pointer = self.pointer::<T>(index);
        (!pointer.is_null() && pointer.is_aligned()).then_some(pointer)
    }
}

/// A function pointer that came as an address.
pub(crate) fn routine<F: Copy>(address: *mut c_void) -> Option<F> {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: used with function pointer types only; the miniport says that there is a routine of that type.
    (!address.is_null()).then(|| unsafe { core::mem::transmute_copy::<*mut c_void, F>(&address) })
}

/// Bus, target and unit of a STOR_ADDRESS; `None` for null and for other types.
///
/// # Safety
/// `address` is null or points at a STOR_ADDRESS.
pub(crate) unsafe fn address_at(address: *const StorAddressBtl8) -> Option<Address> {
    if address.is_null() || !address.cast::<u16>().is_aligned() {
        return None;
    }
    // SAFETY: the caller's contract: type and length are there.
    let (kind, length) = unsafe {
        let bytes = address.cast::<u8>();
        (bytes.cast::<u16>().read(), bytes.add(4).cast::<u32>().read_unaligned())
    };
    if kind != STOR_ADDRESS_TYPE_BTL8 || length < STOR_ADDR_BTL8_ADDRESS_LENGTH {
        return None;
    }
    // SAFETY: of this type and length, so three bytes follow.
    let [path, target, lun] = unsafe { address.cast::<u8>().add(8).cast::<[u8; 3]>().read() };
    Some(Address { path, target, lun })
}

/// Calls `then` with the port of `extension`; null and foreign ones give `otherwise`.
///
/// # Safety
/// See [`port_of`].
unsafe fn with_port<R>(extension: *mut c_void, otherwise: R, then: impl FnOnce(&Port) -> R) -> R {
    // SAFETY: the caller's contract.
    match unsafe { port_of(extension) } {
        Some(port) => then(port),
        None => otherwise,
    }
}

/// Whether the caller is at PASSIVE_LEVEL; counted if not.
fn is_passive(port: &Port) -> bool {
    let passive = port.system().irql() == crate::services::PASSIVE_LEVEL;
    if !passive {
        count(&port.faults().irql);
    }
    passive
}

/// Defines exported functions, and the table that lists them.
macro_rules! exports {
    ($group:literal; $(
        $(#[doc = $text:literal])*
        fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block
    )*) => {
        $(
            $(#[doc = $text])*
            ///
            /// # Safety
            /// The arguments are what StorPort's documentation says.
            #[allow(non_snake_case, clippy::too_many_arguments, reason = "C's names and arguments")]
            #[unsafe(no_mangle)]
            pub unsafe extern "system" fn $name($($argument: $type),*) $(-> $result)? $body
        )*

        /// What this part exports.
        pub(super) const EXPORTS: &[super::Export] = &[$(super::Export {
            name: stringify!($name),
            group: $group,
            text: concat!($($text),*),
        },)*];
    };
}
pub(crate) use exports;

/// Every exported function.
pub fn all() -> impl Iterator<Item = &'static Export> {
    let groups: [&'static [Export]; 11] = [
        setup::EXPORTS,
        bus::EXPORTS,
        memory::EXPORTS,
        requests::EXPORTS,
        flow::EXPORTS,
        registry::EXPORTS,
        events::EXPORTS,
        time::EXPORTS,
        notification::EXPORTS,
        extended::EXPORTS,
        wmi::EXPORTS,
    ];
    groups.into_iter().flatten()
}

pub use codes::{EXTENDED, NOTIFICATIONS};
pub use inline::INLINE;
