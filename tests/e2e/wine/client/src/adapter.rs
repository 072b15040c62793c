//! The adapter on the bench's bus that the driver under test is the function driver of.

use zerocopy::{FromBytes, FromZeros, IntoBytes};

use crate::{
    device::{Error, TIMED_OUT},
    disk::{self, Bench, Disk, fill, word},
    interface::*,
};

pub(crate) mod minor {
    pub(crate) const START: u32 = 0;
    pub(crate) const QUERY_REMOVE: u32 = 1;
    pub(crate) const REMOVE: u32 = 2;
    pub(crate) const STOP: u32 = 4;
    pub(crate) const QUERY_STOP: u32 = 5;
    pub(crate) const CAPABILITIES: u32 = 9;
    pub(crate) const DEVICE_TEXT: u32 = 0x0c;
    pub(crate) const QUERY_ID: u32 = 0x13;
    pub(crate) const BUS_INFORMATION: u32 = 0x15;
    pub(crate) const SURPRISE: u32 = 0x17;
}

/// The adapter; there is one at a time.
pub(crate) struct Adapter {
    pub(crate) bench: Bench,
}

impl Adapter {
    pub(crate) fn new(bench: Bench) -> Adapter {
        Adapter { bench }
    }

    /// Puts an adapter with this hardware identifier on the bus, and the driver on it.
    pub(crate) fn add(&self, hardware: &str) -> Result<AdapterCreated, Error> {
        self.add_for("sluice", hardware)
    }

    /// The same with another driver on it.
    pub(crate) fn add_for(&self, service: &str, hardware: &str) -> Result<AdapterCreated, Error> {
        let mut c = AdapterCreate::new_zeroed();
        fill(&mut c.service, service);
        fill(&mut c.hardware, hardware);
        let out = self.bench.0.control(ADAPTER, c.as_bytes(), size_of::<AdapterCreated>())?;
        AdapterCreated::read_from_bytes(&out).map_err(|_| TIMED_OUT)
    }

    pub(crate) fn pnp(&self, minor: u32) -> Result<u32, Error> {
        word(self.bench.0.control(ADAPTER_PNP, &minor.to_le_bytes(), 8)?.get(..4).unwrap_or(&[]))
    }

    pub(crate) fn power(&self, state: u32) -> Result<u32, Error> {
        self.power_seen(state).map(|(status, _)| status)
    }

    /// The same, and the device's state that the bus below has been told last. With [`ADAPTER_SYSTEM`] it is the machine's state
    /// that changes, with [`ADAPTER_QUERY`] it is only asked for.
    pub(crate) fn power_seen(&self, state: u32) -> Result<(u32, u32), Error> {
        let out = self.bench.0.control(ADAPTER_POWER, &state.to_le_bytes(), 8)?;
        let (status, seen) = out.split_at_checked(4).ok_or(TIMED_OUT)?;
        Ok((word(status)?, word(seen)?))
    }

    /// Sets one of its registry values.
    pub(crate) fn set(&self, name: &str, value: u32) -> Result<u32, Error> {
        let mut s = Setting::new_zeroed();
        fill(&mut s.name, name);
        s.value = value;
        word(self.bench.0.control(ADAPTER_SETTING, s.as_bytes(), 8)?.get(..4).unwrap_or(&[]))
    }

    /// Asks what is on its bus; disks are built on what is new, with `filter` below the class driver.
    pub(crate) fn scan(&self, filter: &str) -> Result<Scanned, Error> {
        let mut name = [0u16; 32];
        fill(&mut name, filter);
        let out = self.bench.0.control(ADAPTER_SCAN, name.as_bytes(), size_of::<Scanned>())?;
        Scanned::read_from_bytes(&out).map_err(|_| TIMED_OUT)
    }

    /// A control to the adapter itself: its status, how often its relations have been invalidated, what it answers.
    pub(crate) fn control(&self, code: u32, input: &[u8], room: usize) -> Result<(u32, u32, Vec<u8>), Error> {
        let whole = [&code.to_le_bytes()[..], &[0; 4], input].concat();
        let out = self.bench.0.control(ADAPTER_CONTROL, &whole, room + 8)?;
        let (head, rest) = out.split_at_checked(8).ok_or(TIMED_OUT)?;
        Ok((word(&head[..4])?, word(&head[4..])?, rest.to_vec()))
    }

    /// A disk that has just arrived, if it is the only one.
    pub(crate) fn only(&self, scanned: &Scanned) -> Result<Disk, Error> {
        if (scanned.status, scanned.arrived_count) != (0, 1) {
            return Err(scanned.status);
        }
        Disk::open(scanned.arrived[0], 512)
    }

    /// A PnP query of a disk's stack: its status, and the answer.
    pub(crate) fn query(&self, disk: &Disk, minor: u32, argument: u32) -> Result<(u32, Vec<u8>), Error> {
        let q = Pnp { disk: disk.number, minor, argument };
        let out = self.bench.0.control(QUERY, q.as_bytes(), 2048)?;
        let (head, rest) = out.split_at_checked(8).ok_or(TIMED_OUT)?;
        Ok((word(&head[..4])?, rest.to_vec()))
    }

    /// Takes a disk away as the PnP manager does: the device is closed, then removed.
    pub(crate) fn remove(&self, disk: Disk) -> Result<u32, Error> {
        let number = disk.number;
        drop(disk);
        disk::pnp(&self.bench, number, minor::REMOVE, 0)
    }

    /// Takes a disk's stack away as when it is disabled: the PnP manager holds on to the device.
    pub(crate) fn disable(&self, disk: Disk) -> Result<u32, Error> {
        const DISABLED: u32 = 1;
        let number = disk.number;
        drop(disk);
        disk::pnp(&self.bench, number, minor::REMOVE, DISABLED)
    }
}
