//! Where the device's registers lie: vendor-specific capabilities (4.1.4).

use super::Function;
use crate::transport::Failure;

/// PCI Local Bus Specification 3.0, 6.1, 6.7: STATUS with its capabilities bit, the list's head, a vendor's capability.
const STATUS: u8 = 0x04;
const HAS_LIST: u32 = 1 << 20;
const LIST: u8 = 0x34;
const VENDOR: u32 = 0x09;
/// Most capabilities that 256 bytes hold behind the header, at 4 each: a list that is longer runs in a circle.
const MOST: usize = (256 - 64) / 4;

/// A structure's type (4.1.4).
const COMMON: u8 = 1;
const NOTIFY: u8 = 2;
const ISR: u8 = 3;
const DEVICE: u8 = 4;

/// A structure inside a BAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which BAR.
    pub bar: u8,
    /// Its first byte there.
    pub offset: u32,
    /// Its length.
    pub length: u32,
}

/// Where everything lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// The common configuration.
    pub common: Place,
    /// Notifications, and the bytes between those of two queues.
    pub notify: (Place, u32),
    /// The interrupt status.
    pub isr: Place,
    /// The device's configuration.
    pub device: Place,
}

impl Places {
    /// Finds them; the first of each type that lies inside its BAR counts (4.1.4.1).
    ///
    /// # Errors
    /// [`Failure::Legacy`] if one is missing: the device is older, or says what cannot be.
    pub fn find<F: Function>(function: &F) -> Result<Self, Failure> {
        let mut found: [Option<Place>; 5] = [None; 5];
        let mut multiplier = 0;
        let mut at =
            if function.config(STATUS) & HAS_LIST == 0 { 0 } else { function.config(LIST) as u8 & 0xFC };
        for _ in 0..MOST {
            if at < 64 {
                break;
            }
            let head = function.config(at);
            let [id, next, length, kind] = head.to_le_bytes();
            let known = u32::from(id) == VENDOR && (COMMON..=DEVICE).contains(&kind);
            let needed = if kind == NOTIFY { 20 } else { 16 };
            let slot = &mut found[usize::from(kind.min(DEVICE))];
            if known && slot.is_none() && length >= needed && at <= 0_u8.wrapping_sub(needed) {
                *slot = place(function, at, least(kind));
                if kind == NOTIFY && slot.is_some() {
                    multiplier = function.config(at + 16);
                }
            }
            at = next & 0xFC;
        }
        let [_, Some(common), Some(notify), Some(isr), Some(device)] = found else {
            return Err(Failure::Legacy);
        };
        Ok(Self { common, notify: (notify, multiplier), isr, device })
    }
}

/// Least bytes of a structure that is of use.
fn least(kind: u8) -> u32 {
    match kind {
        COMMON => 56,
        NOTIFY => 2,
        ISR => 1,
        _ => 8, // the capacity
    }
}

fn place<F: Function>(function: &F, at: u8, least: u32) -> Option<Place> {
    let bar = function.config(at + 4) as u8;
    let (offset, length) = (function.config(at + 8), function.config(at + 12));
    let end = u64::from(offset) + u64::from(length);
    let fits = bar <= 5 && length >= least && end <= function.bar_length(bar);
    (fits && offset.is_multiple_of(4)).then_some(Place { bar, offset, length })
}
