//! `sluicestage.sys`: the mirror of `../stage/probe.h`, and its stages as the suites use them.

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::{
    device::{Device, Error, TIMED_OUT},
    disk::Bench,
    interface::{LOAD, Service, UNLOAD},
};

const fn code(n: u32) -> u32 {
    (0x22 << 16) | ((0xA00 + n) << 2) // FILE_DEVICE_UNKNOWN, METHOD_BUFFERED, FILE_ANY_ACCESS
}
const REGISTER: u32 = code(0);
const UNREGISTER: u32 = code(1);
const LIST: u32 = code(2);
const MODE: u32 = code(3);
const SEEN: u32 = code(4);
const INTERFACE: u32 = code(5);

pub(crate) const NULL_TABLE: u32 = 1;
pub(crate) const NULL_FUNCTION: u32 = 2;
pub(crate) const MISALIGNED: u32 = 4;
pub(crate) const NULL_HANDLE: u32 = 8;
pub(crate) const AT_DISPATCH: u32 = 0x10;
pub(crate) const NULL: u32 = 0x20;

pub(crate) const ABI_VERSION: u32 = 0x0001_0000;
pub(crate) const OBSERVER: u32 = 1;
pub(crate) const TRANSFORMER: u32 = 2;
pub(crate) const ABOVE: u32 = 1;
pub(crate) const BELOW: u32 = 2;
pub(crate) const EVERY_DISK: u32 = 0;
pub(crate) const SPARE_ON_WRITE: u32 = 1;

/// What a probe does with an I/O.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Pass,
    Keep,
    KeepEarly,
    End,
    Pretend,
    Garbage,
    GarbageUp,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, FromZeros, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Registration {
    pub(crate) probe: u32,
    pub(crate) flags: u32,
    pub(crate) size: u32,
    pub(crate) kind: u32,
    pub(crate) place: u32,
    pub(crate) altitude: u32,
    pub(crate) disk: u32,
    pub(crate) reserved: u32,
    pub(crate) table_size: u32,
    pub(crate) version: u32,
    pub(crate) needs: u32,
    pub(crate) table_reserved: u32,
    pub(crate) name: [u8; 16],
}

impl Registration {
    /// Probe number `probe`, which looks at `disk` from above, at an altitude and under a name of its own.
    pub(crate) fn observer(probe: u32, disk: u32) -> Registration {
        let mut r = Registration {
            probe,
            flags: 0,
            size: 40,
            kind: OBSERVER,
            place: ABOVE,
            altitude: 100 * (probe + 1),
            disk,
            reserved: 0,
            table_size: 56,
            version: ABI_VERSION,
            needs: 0,
            table_reserved: 0,
            name: [0; 16],
        };
        r.name[..5].copy_from_slice(b"probe");
        r.name[5] = b'0' + probe as u8;
        r
    }

    /// The same, which changes data; called `probe`.
    pub(crate) fn transformer(place: u32) -> Registration {
        let mut r = Registration::observer(0, 0);
        (r.kind, r.place, r.needs) = (TRANSFORMER, place, SPARE_ON_WRITE);
        r.name[5] = 0;
        r
    }
}

/// A stage as the driver lists it.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
pub(crate) struct Line {
    pub(crate) handle: u64,
    pub(crate) disk: u32,
    pub(crate) kind: u32,
    pub(crate) place: u32,
    pub(crate) altitude: u32,
    pub(crate) name: [u8; 16],
}

/// What a probe has seen.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
pub(crate) struct Seen {
    pub(crate) requests: u64,
    pub(crate) completions: u64,
    pub(crate) bytes: u64,
    pub(crate) detached: u64,
    pub(crate) after_detach: u64,
    pub(crate) at_detach: u64,
}

/// Loads or unloads a driver beside the disks; answers its NTSTATUS.
pub(crate) fn service(bench: &Bench, name: &str, load: bool) -> Result<u32, Error> {
    let mut s = Service::new_zeroed();
    for (slot, unit) in s.name[..31].iter_mut().zip(name.encode_utf16()) {
        *slot = unit;
    }
    number(&bench.control(if load { LOAD } else { UNLOAD }, s.as_bytes(), 4)?)
}

/// `\\.\SluiceStage`.
pub(crate) struct Probes(Device);

impl Probes {
    /// Loads the driver, unless it is, and opens it.
    pub(crate) fn open(bench: &Bench) -> Result<Probes, Error> {
        const ALREADY: u32 = 0xc000_010e;
        let status = service(bench, "sluicestage", true)?;
        if status != 0 && status != ALREADY {
            return Err(status);
        }
        Device::open("SluiceStage").map(Probes)
    }

    /// Registers; the NTSTATUS and the handle.
    pub(crate) fn register(&self, r: &Registration) -> Result<(u32, u64), Error> {
        let answer = self.0.control(REGISTER, r.as_bytes(), 16)?;
        let handle = answer.get(8..16).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
        Ok((number(&answer)?, handle.ok_or(TIMED_OUT)?))
    }

    /// Registers what must be accepted.
    pub(crate) fn accept(&self, r: &Registration) -> Result<u64, Error> {
        match self.register(r)? {
            (0, handle) => Ok(handle),
            (status, _) => Err(status),
        }
    }

    pub(crate) fn unregister(&self, handle: u64, flags: u32) -> Result<u32, Error> {
        let input = [handle.to_le_bytes(), u64::from(flags).to_le_bytes()].concat();
        number(&self.0.control(UNREGISTER, &input, 4)?)
    }

    /// What is registered, as far as there is `room`; and how much there is.
    pub(crate) fn list(&self, room: u32) -> Result<(u32, Vec<Line>), Error> {
        let answer = self.0.control(LIST, &room.to_le_bytes(), 8 + room as usize * size_of::<Line>())?;
        let lines = answer.get(8..).unwrap_or_default().chunks_exact(size_of::<Line>());
        let lines = lines.filter_map(|line| Line::read_from_bytes(line).ok()).collect();
        match number(&answer)? {
            0 => Ok((number(answer.get(4..8).unwrap_or_default())?, lines)),
            status => Err(status),
        }
    }

    pub(crate) fn mode(&self, probe: u32, action: Action, xor: [u8; 2]) -> Result<(), Error> {
        let words = [probe, action as u32, xor[0].into(), xor[1].into()];
        self.0.control(MODE, words.as_bytes(), 0).map(|_| ())
    }

    pub(crate) fn seen(&self, probe: u32) -> Result<Seen, Error> {
        let answer = self.0.control(SEEN, &probe.to_le_bytes(), size_of::<Seen>())?;
        Seen::read_from_bytes(&answer).map_err(|_| TIMED_OUT)
    }

    /// Asks the control device for the interface: control code, bytes of input, version, room.
    pub(crate) fn interface(&self, words: [u32; 4]) -> Result<u32, Error> {
        number(&self.0.control(INTERFACE, words.as_bytes(), 16)?)
    }
}

fn number(bytes: &[u8]) -> Result<u32, Error> {
    let four = bytes.get(..4).and_then(|b| b.try_into().ok());
    four.map(u32::from_le_bytes).ok_or(TIMED_OUT)
}
