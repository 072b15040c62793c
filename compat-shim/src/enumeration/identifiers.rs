//! The strings by which Plug and Play knows a unit ("Identifiers for SCSI Devices" in the Windows driver
//! documentation): `SCSI\`, the type, then vendor, product and revision with what is not a plain character underlined.

use super::profile::Profile;
use crate::storport::srb::Address;

/// Room for the longest list, the hardware identifiers, in UTF-16 units.
const ROOM: usize = 192;

/// A string, or a list of strings, in UTF-16 as REG_SZ and REG_MULTI_SZ have it, zeros included.
#[derive(Clone, Debug)]
pub struct Text {
    units: [u16; ROOM],
    length: usize,
}

impl Text {
    const fn new() -> Self {
        Self { units: [0; ROOM], length: 0 }
    }

    /// The units, the last one a zero.
    #[must_use]
    pub fn as_units(&self) -> &[u16] {
        self.units.get(..self.length).unwrap_or(&[])
    }

    fn push(&mut self, unit: u16) {
        // The last two stay zero whatever comes, so that the text always ends.
        if self.length < ROOM - 2 {
            if let Some(place) = self.units.get_mut(self.length) {
                *place = unit;
            }
            self.length += 1;
        }
    }

    fn plain(mut self, text: &str) -> Self {
        text.bytes().for_each(|byte| self.push(u16::from(byte)));
        self
    }

    /// Identifiers hold no spaces, commas, backslashes, or bytes that are no characters: each becomes an underscore.
    fn underlined(mut self, text: &[u8]) -> Self {
        for byte in text {
            let kept = byte.is_ascii_graphic() && !matches!(byte, b',' | b'\\');
            self.push(u16::from(if kept { *byte } else { b'_' }));
        }
        self
    }

    /// Text for people: without the spaces at the end.
    fn readable(mut self, text: &[u8]) -> Self {
        for byte in text.trim_ascii() {
            self.push(u16::from(if byte.is_ascii_graphic() { *byte } else { b' ' }));
        }
        self
    }

    fn number(mut self, number: u8) -> Self {
        let digits = [number / 100, number / 10 % 10, number % 10];
        let skip = digits.iter().take(2).take_while(|digit| **digit == 0).count();
        digits.iter().skip(skip).for_each(|digit| self.push(u16::from(b'0' + digit)));
        self
    }

    fn hexadecimal(mut self, number: u8) -> Self {
        for digit in [number >> 4, number & 0x0F] {
            let first = if digit < 10 { b'0' } else { b'a' - 10 };
            self.push(u16::from(first + digit));
        }
        self
    }

    /// Ends a string.
    fn end(mut self) -> Self {
        self.length = (self.length + 1).min(ROOM);
        self
    }
}

/// Type and generic type, by peripheral device type.
const TYPES: [(&str, &str); 18] = [
    ("Disk", "GenDisk"),
    ("Sequential", ""),
    ("Printer", "GenPrinter"),
    ("Processor", ""),
    ("Worm", "GenWorm"),
    ("CdRom", "GenCdRom"),
    ("Scanner", "GenScanner"),
    ("Optical", "GenOptical"),
    ("Changer", "ScsiChanger"),
    ("Net", "ScsiNet"),
    ("ASCIT8", "ScsiASCIT8"),
    ("ASCIT8", "ScsiASCIT8"),
    ("Array", "ScsiArray"),
    ("Enclosure", "ScsiEnclosure"),
    ("RBC", "ScsiRBC"),
    ("CardReader", "ScsiCardReader"),
    ("Bridge", "ScsiBridge"),
    ("Other", "ScsiOther"),
];

fn types(unit: &Profile) -> (&'static str, &'static str) {
    TYPES.get(usize::from(unit.device_type())).copied().unwrap_or(("Other", "ScsiOther"))
}

/// `BusQueryDeviceID`.
#[must_use]
pub fn device(unit: &Profile) -> Text {
    full(Text::new(), unit).end()
}

fn full(text: Text, unit: &Profile) -> Text {
    let text = text.plain("SCSI\\").plain(types(unit).0);
    text.underlined(unit.vendor()).underlined(unit.product()).underlined(unit.revision())
}

/// `BusQueryHardwareIDs`: from this very revision to any disk.
#[must_use]
pub fn hardware(unit: &Profile) -> Text {
    let (kind, generic) = types(unit);
    let first = unit.revision().get(..1).unwrap_or(&[]);
    let mut text = full(Text::new(), unit).end();
    text = text.plain("SCSI\\").plain(kind).underlined(unit.vendor()).underlined(unit.product()).end();
    text = text.plain("SCSI\\").plain(kind).underlined(unit.vendor()).end();
    text = text.plain("SCSI\\").underlined(unit.vendor()).underlined(unit.product()).underlined(first).end();
    text = text.underlined(unit.vendor()).underlined(unit.product()).underlined(first).end();
    if !generic.is_empty() {
        text = text.plain(generic).end();
    }
    text.end()
}

/// `BusQueryCompatibleIDs`.
#[must_use]
pub fn compatible(unit: &Profile) -> Text {
    Text::new().plain("SCSI\\").plain(types(unit).0).end().plain("SCSI\\RAW").end().end()
}

/// `BusQueryInstanceID`: where it is on its adapter. Plug and Play puts the adapter's own name before it.
#[must_use]
pub fn instance(address: Address) -> Text {
    Text::new().hexadecimal(address.path).hexadecimal(address.target).hexadecimal(address.lun).end()
}

/// `DeviceTextDescription`.
#[must_use]
pub fn description(unit: &Profile) -> Text {
    let text = Text::new().readable(unit.vendor()).plain(" ").readable(unit.product());
    text.plain(" SCSI ").plain(types(unit).0).plain(" Device").end()
}

/// `DeviceTextLocationInformation`.
#[must_use]
pub fn location(address: Address) -> Text {
    let text = Text::new().plain("Bus Number ").number(address.path);
    text.plain(", Target Id ").number(address.target).plain(", LUN ").number(address.lun).end()
}
