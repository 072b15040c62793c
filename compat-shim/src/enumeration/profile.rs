//! What a unit says of itself: standard INQUIRY data and the pages that tell it from others.

/// Bytes of standard INQUIRY data that are kept (SPC-5 6.7.2, up to the revision).
pub const STANDARD: usize = 36;
/// Bytes of a VPD page that are kept: as many as one byte's length can say.
pub const PAGE: usize = 255;

/// A unit's own words. All fields may hold anything.
#[derive(Clone, Debug)]
pub struct Profile {
    standard: [u8; STANDARD],
    serial: Page,
    identification: Page,
}

#[derive(Clone, Debug)]
struct Page {
    bytes: [u8; PAGE],
    length: usize,
}

impl Page {
    /// The body of `page` if it is the page `code` (SPC-5 7.7.1: code at 1, length at 2); else nothing.
    fn of(page: &[u8], code: u8) -> Self {
        let mut kept = Self { bytes: [0; PAGE], length: 0 };
        if let Some((&[_, found, high, low], body)) = page.split_first_chunk::<4>()
            && found == code
        {
            let length = usize::from(u16::from_be_bytes([high, low])).min(body.len()).min(PAGE);
            for (to, from) in kept.bytes.iter_mut().zip(body).take(length) {
                *to = *from;
            }
            kept.length = length;
        }
        kept
    }

    fn body(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }
}

impl Profile {
    /// From standard INQUIRY data and the VPD pages 80h and 83h, which may be empty. `None` if no unit is there: too little
    /// data, or a peripheral qualifier that says so (SPC-5 table 149).
    #[must_use]
    pub fn new(standard: &[u8], serial: &[u8], identification: &[u8]) -> Option<Self> {
        use crate::scsi::answers::page;
        let standard: [u8; STANDARD] = *standard.first_chunk()?;
        (standard[0] >> 5 == 0 && standard[0] & 0x1F != NO_TYPE).then(|| Self {
            standard,
            serial: Page::of(serial, page::SERIAL),
            identification: Page::of(identification, page::IDENTIFICATION),
        })
    }

    /// The standard data.
    #[must_use]
    pub fn standard(&self) -> &[u8; STANDARD] {
        &self.standard
    }

    /// Peripheral device type: 0 is a disk.
    #[must_use]
    pub fn device_type(&self) -> u8 {
        self.standard[0] & 0x1F
    }

    /// Whether its medium can be taken out.
    #[must_use]
    pub fn is_removable(&self) -> bool {
        self.standard[1] & 0x80 != 0
    }

    /// Whether it takes more than one command at a time.
    #[must_use]
    pub fn queues(&self) -> bool {
        self.standard[7] & 0x02 != 0
    }

    /// Vendor, 8 characters.
    #[must_use]
    pub fn vendor(&self) -> &[u8] {
        &self.standard[8..16]
    }

    /// Product, 16 characters.
    #[must_use]
    pub fn product(&self) -> &[u8] {
        &self.standard[16..32]
    }

    /// Revision, 4 characters.
    #[must_use]
    pub fn revision(&self) -> &[u8] {
        &self.standard[32..36]
    }

    /// Serial number; empty if it has none.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        self.serial.body()
    }

    /// Its designators (SPC-5 7.7.6), each whole.
    pub fn designators(&self) -> impl Iterator<Item = Designator<'_>> {
        let mut rest = self.identification.body();
        core::iter::from_fn(move || {
            let (&[code_set, kind, _, length], body) = rest.split_first_chunk()?;
            let (identifier, after) = body.split_at_checked(usize::from(length))?;
            rest = after;
            Some(Designator {
                code_set: code_set & 0x0F,
                kind: kind & 0x0F,
                association: kind >> 4 & 0x03,
                identifier,
            })
        })
    }

    /// Whether it is still the same unit: same make, same name.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.standard == other.standard
            && self.serial.body() == other.serial.body()
            && self.identification.body() == other.identification.body()
    }
}

/// Peripheral device type 1Fh: unknown or none.
const NO_TYPE: u8 = 0x1F;

/// One name of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Designator<'a> {
    /// 1 binary, 2 ASCII, 3 UTF-8.
    pub code_set: u8,
    /// 1 vendor, 2 EUI-64, 3 NAA, ...
    pub kind: u8,
    /// 0 the unit, 1 the target port, 2 the target device.
    pub association: u8,
    /// The name itself.
    pub identifier: &'a [u8],
}
