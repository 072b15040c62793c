//! Which stages other drivers have registered: the rules, without locks and without waiting.
//!
//! ```text
//!   add ──► there ──► part ──► leaving ──► remove
//!             ▲                   │
//!             └────── stay ◄──────┘     a volume that it is part of could not be locked
//! ```
//!
//! A stage that is leaving enters no chain any more, and still holds its name and its place.

use crate::registration::{EVERY_DISK, Kind, Outside, Place, Refused, Registered};

/// Registrations at once, at most.
pub const MAX_REGISTRATIONS: usize = 16;

/// Stages of other drivers in one chain, at most: half of what a chain takes.
pub const MAX_OUTSIDE: usize = crate::abi::MAX_STAGES / 2;

/// The registrations. Takes no memory beside its own.
#[derive(Debug)]
pub struct Registry {
    entries: [Option<Entry>; MAX_REGISTRATIONS],
    last: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    handle: u64,
    leaving: bool,
    outside: Outside,
}

impl Entry {
    /// Whether it can be in a chain together with stages for `disk`.
    fn meets(&self, disk: u32) -> bool {
        let own = self.outside.disk;
        own == disk || own == EVERY_DISK || disk == EVERY_DISK
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// Nothing is registered.
    pub const fn new() -> Self {
        Self { entries: [const { None }; MAX_REGISTRATIONS], last: 0 }
    }

    /// Whether nothing is registered.
    pub fn is_empty(&self) -> bool {
        self.entries().next().is_none()
    }

    /// Adds a registration; answers its handle, which is never used again.
    ///
    /// # Errors
    /// [`Refused::SameName`], [`Refused::SameAltitude`], [`Refused::TooMany`].
    pub fn add(&mut self, outside: &Outside) -> Result<u64, Refused> {
        for other in self.entries().filter(|entry| entry.meets(outside.disk)).map(|entry| &entry.outside) {
            if other.table.name == outside.table.name {
                return Err(Refused::SameName);
            }
            if (other.place, other.altitude) == (outside.place, outside.altitude) {
                return Err(Refused::SameAltitude);
            }
        }
        if self.most_together(outside.disk) >= MAX_OUTSIDE {
            return Err(Refused::TooMany);
        }
        let handle = self.last + 1;
        let place = self.entries.iter_mut().find(|place| place.is_none()).ok_or(Refused::TooMany)?;
        *place = Some(Entry { handle, leaving: false, outside: *outside });
        self.last = handle;
        Ok(handle)
    }

    /// The most registrations that any disk has that one for `disk` would be for.
    fn most_together(&self, disk: u32) -> usize {
        let on = |disk: u32| {
            self.entries().filter(|entry| [disk, EVERY_DISK].contains(&entry.outside.disk)).count()
        };
        match disk {
            EVERY_DISK => self.entries().map(|entry| on(entry.outside.disk)).max().unwrap_or(0),
            disk => on(disk),
        }
    }

    /// Begins to take a registration away; nobody else can from now on.
    ///
    /// # Errors
    /// [`Refused::NotRegistered`].
    pub fn part(&mut self, handle: u64) -> Result<Outside, Refused> {
        let entry = self.entries.iter_mut().flatten().find(|entry| entry.handle == handle && !entry.leaving);
        let entry = entry.ok_or(Refused::NotRegistered)?;
        entry.leaving = true;
        Ok(entry.outside)
    }

    /// It could not leave.
    pub fn stay(&mut self, handle: u64) {
        if let Some(entry) = self.entries.iter_mut().flatten().find(|entry| entry.handle == handle) {
            entry.leaving = false;
        }
    }

    /// It has left: its name and place are free.
    pub fn remove(&mut self, handle: u64) {
        for place in &mut self.entries {
            if place.as_ref().is_some_and(|entry| entry.handle == handle) {
                *place = None;
            }
        }
    }

    /// The stages that look at disk number `disk`, and their handles.
    pub fn observers(&self, disk: u32) -> [Option<(u64, Outside)>; MAX_OUTSIDE] {
        let mut all = [None; MAX_OUTSIDE];
        let observe = self.staying(disk).filter(|entry| entry.outside.kind == Kind::OBSERVER);
        for (place, entry) in all.iter_mut().zip(observe) {
            *place = Some((entry.handle, entry.outside));
        }
        all
    }

    /// The stage that changes data on disk number `disk` under this name, and its handle.
    pub fn transformer(&self, disk: u32, name: &[u8; 16], place: Place) -> Option<(u64, Outside)> {
        let wanted = |entry: &&Entry| {
            let Outside { kind, place: there, table, .. } = &entry.outside;
            *kind == Kind::TRANSFORMER && *there == place && table.name == *name
        };
        self.staying(disk).find(wanted).map(|entry| (entry.handle, entry.outside))
    }

    /// The list, for whoever asks.
    pub fn lines(&self) -> impl Iterator<Item = Registered> {
        self.entries().map(|entry| {
            let Outside { disk, kind, place, altitude, table, .. } = entry.outside;
            Registered { handle: entry.handle, disk, kind, place, altitude, name: table.name }
        })
    }

    fn staying(&self, disk: u32) -> impl Iterator<Item = &Entry> {
        self.entries().filter(move |entry| !entry.leaving && entry.meets(disk))
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().flatten()
    }
}
