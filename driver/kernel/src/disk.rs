//! A filtered disk: the device object, what is known of the disk below, and its volume while it is unlocked.

use alloc::boxed::Box;
use core::{
    ptr::{self, NonNull},
    sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering},
};

use sluice_chain::rundown::Inside;
use sluice_engine::volume::InPlace;
use sluice_shim::{
    queue::Waiting,
    request::Incoming,
    scsi::{edit, policy::VolumeState, sense::Refusal},
    storport::SrbFunction,
};
use wdk_sys::{DEVICE_OBJECT, DO_POWER_PAGABLE, NTSTATUS, PDRIVER_OBJECT, PVOID, ntddk::IoDetachDevice};

use crate::{
    completion::Served,
    gated::Gated,
    nt::{device, event::Turn, irp::Irp, irql::Passive, remove_lock::RemoveLock},
    probe::Capacity,
    registry, requests,
    role::Role,
    volume::{MAX_TRANSFER, Volume},
};

/// What a disk is to us.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiskState {
    /// Not a Sluice disk (or not started yet): everything passes untouched.
    Plain = 0,
    /// A Sluice disk whose key has not arrived.
    Locked = 1,
    /// A Sluice disk in use.
    Unlocked = 2,
    /// A Sluice disk whose header has no valid copy.
    Damaged = 3,
    /// The header could not be read: it may be a Sluice disk, so nothing is written.
    Unreadable = 4,
    /// The device has gone.
    Removed = 5,
}

/// The extension of a filter device object.
pub(crate) struct Disk {
    pub(crate) next: AtomicPtr<Disk>,
    pub(crate) id: u32,
    pub(crate) device: NonNull<DEVICE_OBJECT>,
    /// The device below. Null until attached; see [`Self::lower`].
    lower: AtomicPtr<DEVICE_OBJECT>,
    pub(crate) pdo: NonNull<DEVICE_OBJECT>,
    pub(crate) remove_lock: RemoveLock,
    state: AtomicU32,
    paging_files: AtomicI32,
    sectors: AtomicU64,
    first_sector: AtomicU64,
    sector_size: AtomicU32,
    /// The volume's. Physical exponent in the upper half, lowest aligned sector in the lower.
    alignment: AtomicU32,
    mapped: AtomicBool,
    /// The device below says that it is thinly provisioned (LBPME).
    provisioned: AtomicBool,
    /// The port's queue is locked: nobody may wait for requests in it.
    pub(crate) queue_locked: AtomicBool,
    /// There while the disk is unlocked.
    volume: Gated<Volume>,
    /// Identifying, unlocking and locking happen one at a time.
    pub(crate) turn: Turn,
    /// What identifying found; touched by whoever has the turn.
    pub(crate) identity: crate::identity::IdentityCell,
}

// SAFETY: the fields are atomic, synchronised by the kernel, or (identity) behind the turn.
unsafe impl Sync for Disk {}

impl Disk {
    /// AddDevice: creates a filter device object and attaches it above `pdo`'s stack.
    ///
    /// # Errors
    /// What the I/O manager says; nothing is left behind.
    ///
    /// # Safety
    /// `driver` is this driver, `pdo` a live physical device object.
    pub(crate) unsafe fn attach(
        driver: PDRIVER_OBJECT,
        pdo: NonNull<DEVICE_OBJECT>,
        _at: Passive<'_>,
    ) -> Result<(), NTSTATUS> {
        // SAFETY: the caller's contract. The type is the stack's, so that it looks the same with the filter.
        let device = unsafe { device::create::<Role>(driver, None, (*pdo.as_ptr()).DeviceType)? };
        let disk = Self {
            next: AtomicPtr::new(ptr::null_mut()),
            id: registry::next_id(),
            device,
            lower: AtomicPtr::new(ptr::null_mut()),
            pdo,
            remove_lock: RemoveLock::uninit(),
            state: AtomicU32::new(DiskState::Plain as u32),
            paging_files: AtomicI32::new(0),
            sectors: AtomicU64::new(0),
            first_sector: AtomicU64::new(0),
            sector_size: AtomicU32::new(512),
            alignment: AtomicU32::new(0),
            mapped: AtomicBool::new(false),
            provisioned: AtomicBool::new(false),
            queue_locked: AtomicBool::new(false),
            volume: Gated::uninit(),
            turn: Turn::uninit(),
            identity: crate::identity::IdentityCell::new(),
        };
        // SAFETY: the device has just been made for a role; the locks are initialized where they stay.
        let Role::Filter(disk) = (unsafe { Role::Filter(disk).put(device) }) else {
            return Err(wdk_sys::STATUS_UNSUCCESSFUL);
        };
        // SAFETY: as above.
        unsafe {
            disk.remove_lock.initialize();
            disk.volume.initialize();
            disk.turn.initialize();
        }
        // Only now: from the moment it is attached, requests may come, and they look at the extension.
        // SAFETY: both are live, the extension is complete, and the new device is not attached to anything.
        if let Err(status) = unsafe { device::attach(device, pdo, disk.lower.as_ptr()) } {
            // SAFETY: not attached, never seen by anybody.
            unsafe { Role::delete(device) };
            return Err(status);
        }
        disk.follow_lower();
        registry::DISKS.remember(disk);
        // SAFETY: attached, known, complete.
        unsafe { device::open(device) };
        Ok(())
    }

    /// The device below. Attaching sets it before the first request can come, so that the physical device, which is
    /// below as well, never has to stand in for it.
    pub(crate) fn lower(&self) -> NonNull<DEVICE_OBJECT> {
        NonNull::new(self.lower.load(Ordering::Acquire)).unwrap_or(self.pdo)
    }

    /// Detaches and deletes the device object.
    ///
    /// # Safety
    /// The disk is out of the registry, its remove lock has been drained, its volume closed.
    pub(crate) unsafe fn destroy(disk: &'static Self) {
        let (device, lower) = (disk.device, disk.lower());
        // SAFETY: the caller's contract: this is the last use.
        unsafe {
            IoDetachDevice(lower.as_ptr());
            Role::delete(device);
        }
    }

    pub(crate) fn state(&self) -> DiskState {
        match self.state.load(Ordering::Acquire) {
            0 => DiskState::Plain,
            1 => DiskState::Locked,
            2 => DiskState::Unlocked,
            3 => DiskState::Damaged,
            4 => DiskState::Unreadable,
            _ => DiskState::Removed,
        }
    }

    /// Enters a new state, unless the device has gone.
    pub(crate) fn set_state(&self, state: DiskState) {
        let removed = DiskState::Removed as u32;
        let _ = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
            (now != removed).then_some(state as u32)
        });
    }

    /// The device has gone. A disk that was never ours stays plain: the device below answers for itself.
    pub(crate) fn gone(&self) {
        let (plain, removed) = (DiskState::Plain as u32, DiskState::Removed as u32);
        let _ = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| (now != plain).then_some(removed));
    }

    /// Goes into the volume, if the disk is unlocked; it stays until [`Self::leave_volume`].
    pub(crate) fn enter_volume(&self) -> Option<Inside> {
        self.volume.enter()
    }

    /// The volume, for whoever is inside.
    pub(crate) fn volume_while<'a>(&'a self, inside: &'a Inside) -> Option<&'a Volume> {
        self.volume.value(inside)
    }

    /// Done with the volume.
    pub(crate) fn leave_volume(&self, inside: Inside) {
        self.volume.leave(inside);
    }

    /// Puts `volume` to use. Only with the turn, and only when there is none.
    pub(crate) fn open_volume(&self, volume: Box<Volume>) {
        self.set_state(DiskState::Unlocked);
        self.volume.open(volume);
    }

    /// Takes the volume out of use: waits for all that is under way, and frees it with its keys. Only with the
    /// turn, or when nobody can take it any more.
    pub(crate) fn close_volume(&self, at: Passive<'_>) {
        if let Some(volume) = self.volume.close(at) {
            volume.settle(at);
        }
    }

    /// Size of the volume in sectors, and of a sector in bytes.
    pub(crate) fn volume_size(&self) -> (u64, u32) {
        (self.sectors.load(Ordering::Acquire), self.sector_size.load(Ordering::Acquire))
    }

    /// First sector of the volume on the disk.
    pub(crate) fn first_sector(&self) -> u64 {
        self.first_sector.load(Ordering::Acquire)
    }

    /// What the table of requests calls the state; `None` once the device has gone.
    pub(crate) fn volume_state(&self) -> Option<VolumeState> {
        Some(match self.state() {
            DiskState::Plain => VolumeState::Plain,
            DiskState::Locked => VolumeState::Locked,
            DiskState::Damaged => VolumeState::Damaged,
            DiskState::Unreadable => VolumeState::Unreadable,
            DiskState::Unlocked if self.is_mapped() => VolumeState::Mapped { read_only: false },
            DiskState::Unlocked => VolumeState::InPlace { read_only: false, discards: true },
            DiskState::Removed => return None,
        })
    }

    /// Whether its volume is a mapped one, open or not.
    pub(crate) fn is_mapped(&self) -> bool {
        self.mapped.load(Ordering::Acquire)
    }

    /// Whether the volume takes UNMAP, as READ CAPACITY says it.
    pub(crate) fn is_provisioned(&self) -> bool {
        self.is_mapped() || self.provisioned.load(Ordering::Acquire)
    }

    /// What edits of the device's answers have to know.
    pub(crate) fn edited(&self) -> edit::Volume {
        let (_, sector_size) = self.volume_size();
        edit::Volume { mapped: self.is_mapped(), discards: true, sector_size, longest: MAX_TRANSFER }
    }

    /// Sets where the volume lies. Only with the turn.
    pub(crate) fn set_place(&self, place: InPlace, mapped: bool, disk: Capacity) {
        self.mapped.store(mapped, Ordering::Release);
        self.provisioned.store(disk.provisioned, Ordering::Release);
        self.sectors.store(place.sectors, Ordering::Release);
        self.sector_size.store(place.sector_size, Ordering::Release);
        self.first_sector.store(place.first_sector, Ordering::Release);
        let alignment = if mapped {
            (edit::MAPPED_BLOCK / place.sector_size.max(1)).checked_ilog2().unwrap_or(0) << 16
        } else {
            u32::from(disk.physical_exponent) << 16 | u32::from(disk.lowest_aligned)
        };
        self.alignment.store(alignment, Ordering::Release);
    }

    /// The volume's physical exponent and lowest aligned sector: in place those of the disk, since it begins at 1 MiB,
    /// a multiple of any physical sector; of a mapped volume its blocks.
    pub(crate) fn alignment(&self) -> (u8, u16) {
        let alignment = self.alignment.load(Ordering::Acquire);
        ((alignment >> 16) as u8, alignment as u16)
    }

    /// Takes over the lower device's flags; they may have changed while it started.
    pub(crate) fn follow_lower(&self) {
        // SAFETY: attached.
        unsafe { device::follow(self.device, self.lower()) };
    }

    /// Counts page files that come and go; answers how many there were before.
    pub(crate) fn count_paging(&self, arrives: bool) -> i32 {
        self.paging_files.fetch_add(if arrives { 1 } else { -1 }, Ordering::AcqRel)
    }

    /// Whether a page file lies on the disk.
    pub(crate) fn holds_paging_file(&self) -> bool {
        self.paging_files.load(Ordering::Acquire) > 0
    }

    /// Whether power IRPs for this device must come at PASSIVE_LEVEL.
    pub(crate) fn set_power_pagable(&self, pagable: bool) {
        // SAFETY: this driver's device object; PnP requests, which alone change this flag, come one at a time.
        unsafe {
            let flags = &mut (*self.device.as_ptr()).Flags;
            *flags = if pagable { *flags | DO_POWER_PAGABLE } else { *flags & !DO_POWER_PAGABLE };
        }
    }
}

impl Served for Disk {
    fn describe(&self, irp: &Irp) -> Result<Incoming, Refusal> {
        let asked = requests::Asked::of(irp).ok_or(Refusal::InvalidField)?;
        requests::describe(irp, &asked, self.volume_size().1)
    }

    fn withdraw(&self, waiting: NonNull<Waiting>, inside: &Inside) {
        self.volume_while(inside).map(|volume| volume.unit().withdraw(waiting));
    }

    fn leave(&self, inside: Inside) {
        self.leave_volume(inside);
    }

    fn done(&self, tag: PVOID) {
        self.remove_lock.release(tag);
    }

    fn quiesced(&self, irp: Irp, function: SrbFunction) -> Option<Irp> {
        requests::quiesced(self, irp, function);
        None
    }

    fn moved_by(&self) -> u64 {
        self.first_sector()
    }
}
