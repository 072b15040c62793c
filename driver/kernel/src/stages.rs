//! Stages of other drivers: the interface by which they are registered, and their ways into chains and out again.
//!
//! ```text
//!   register ──► STAGES ──► each disk that is unlocked, each unit of an adapter: held, drained, changed, released
//!   unlock ────► STAGES ──► the new chain; likewise of a unit that is found
//!   unregister ► STAGES ──► each as above; detach
//! ```
//!
//! A registration is in [`STAGES`] before disks are visited, and marked as leaving before they are visited again; unlocking
//! looks there with the disk's turn, which each visit takes. So whichever comes second sees what the other has done.
//!
//! Lock order: a disk's or a unit's turn, then [`STAGES`], which is held for a look only.

use alloc::boxed::Box;
use core::ptr::NonNull;

use sluice_chain::{
    Chain, Slot,
    abi::ABI_VERSION,
    registration::{
        EVERY_DISK, GET_INTERFACE, Kind, Outside, Place, Refused, Registered, Registration, StageInterface,
    },
    registry::Registry,
};
use sluice_control::Refusal;
use sluice_engine::format::ForeignStage;
use wdk_sys::{
    NTSTATUS, STATUS_BUFFER_TOO_SMALL, STATUS_INFO_LENGTH_MISMATCH, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_REVISION_MISMATCH, STATUS_SUCCESS, ntddk::KeGetCurrentIrql,
};

use crate::{
    disk::Disk,
    function::pdo::Pdo,
    nt::{
        event::{CriticalRegion, pause},
        irp::Irp,
        irql::Passive,
        spin::Spin,
    },
    registry::{DISKS, List, Member, Next, UNITS},
};

/// What is registered.
static STAGES: Spin<Registry> = Spin::new(Registry::new());

static INTERFACE: StageInterface = StageInterface {
    size: size_of::<StageInterface>() as u32,
    version: ABI_VERSION,
    register,
    unregister,
    list,
};

/// Whether nothing is registered.
pub(crate) fn are_gone() -> bool {
    STAGES.with(|stages| stages.is_empty())
}

/// IRP_MJ_INTERNAL_DEVICE_CONTROL of the control device.
pub(crate) fn interface(irp: Irp) -> NTSTATUS {
    // SAFETY: the union member of this major function.
    let control = unsafe { irp.stack().Parameters.DeviceIoControl };
    let buffer =
        NonNull::new(irp.system_buffer()).filter(|buffer| buffer.cast::<StageInterface>().is_aligned());
    let (input, output) = (control.InputBufferLength as usize, control.OutputBufferLength as usize);
    if control.IoControlCode != GET_INTERFACE {
        return irp.complete(STATUS_INVALID_DEVICE_REQUEST, 0);
    }
    if input != size_of::<u32>() {
        return irp.complete(STATUS_INFO_LENGTH_MISMATCH, 0);
    }
    let Some(buffer) = buffer.filter(|_| output >= size_of::<StageInterface>()) else {
        return irp.complete(STATUS_BUFFER_TOO_SMALL, 0);
    };
    // SAFETY: METHOD_BUFFERED: a buffer as long as the longer of the two, checked above.
    unsafe {
        if buffer.cast::<u32>().read() >> 16 != ABI_VERSION >> 16 {
            return irp.complete(STATUS_REVISION_MISMATCH, 0);
        }
        buffer.cast::<StageInterface>().write(INTERFACE);
    }
    irp.complete(STATUS_SUCCESS, size_of::<StageInterface>())
}

/// [`StageInterface::register`].
unsafe extern "C" fn register(registration: *const Registration, handle: *mut u64) -> NTSTATUS {
    at_passive(|at| {
        if handle.is_null() || !handle.is_aligned() {
            return Err(Refused::Pointer);
        }
        // SAFETY: the caller's contract, which is that of `read`; the handle is the caller's to be written.
        unsafe {
            let outside = Outside::read(registration)?;
            handle.write(add(&outside, at)?);
        }
        Ok(())
    })
}

/// [`StageInterface::unregister`].
unsafe extern "C" fn unregister(handle: u64) -> NTSTATUS {
    at_passive(|at| {
        let outside = STAGES.with(|stages| stages.part(handle))?;
        if let Err(refused) = withdraw(handle, at) {
            STAGES.with(|stages| stages.stay(handle));
            return Err(refused);
        }
        STAGES.with(|stages| stages.remove(handle));
        // SAFETY: it is in no chain any more and comes into none: the last use of the context.
        unsafe { (outside.table.detach)(outside.context) };
        Ok(())
    })
}

/// [`StageInterface::list`].
unsafe extern "C" fn list(lines: *mut Registered, room: u32, count: *mut u32) -> NTSTATUS {
    at_passive(|_| {
        let usable = room == 0 || !lines.is_null() && lines.is_aligned();
        if !usable || count.is_null() || !count.is_aligned() {
            return Err(Refused::Pointer);
        }
        STAGES.with(|stages| {
            let mut there = 0;
            for line in stages.lines() {
                if there < room {
                    // SAFETY: the caller has room for so many, in memory that is not paged.
                    unsafe { lines.add(there as usize).write(line) };
                }
                there += 1;
            }
            // SAFETY: the caller's, checked above.
            unsafe { count.write(there) };
        });
        Ok(())
    })
}

/// Does a caller's work if the caller may wait. What it has hold of must not be held up by a suspended thread.
fn at_passive(work: impl FnOnce(Passive<'_>) -> Result<(), Refused>) -> NTSTATUS {
    // SAFETY: callable at any IRQL.
    if unsafe { KeGetCurrentIrql() } != 0 {
        return Refused::Irql.nt_status();
    }
    // SAFETY: just looked.
    let at = unsafe { Passive::assume() };
    let _region = CriticalRegion::enter(at);
    match work(at) {
        Ok(()) => STATUS_SUCCESS,
        Err(refused) => refused.nt_status(),
    }
}

fn add(outside: &Outside, at: Passive<'_>) -> Result<u64, Refused> {
    if outside.disk != EVERY_DISK {
        let disk = DISKS.find(|disk| disk.id == outside.disk).ok_or(Refused::NoSuchDisk)?;
        if outside.place == Place::BELOW && disk.is_mapped() {
            return Err(Refused::NoSuchPlace);
        }
    }
    let handle = STAGES.with(|stages| stages.add(outside))?;
    // Who changes data enters no volume that is in use, and a unit's data belong to whoever is above.
    if outside.kind == Kind::OBSERVER {
        let admitted = each(&DISKS, at, |disk| disk.admit(handle, outside, at))
            .and_then(|()| each(&UNITS, at, |unit| unit.admit(handle, outside, at)));
        if let Err(refused) = admitted {
            // Nobody knows the handle yet, and what observes can always be taken out.
            let _ = STAGES.with(|stages| stages.part(handle));
            let _ = withdraw(handle, at);
            STAGES.with(|stages| stages.remove(handle));
            return Err(refused);
        }
    }
    Ok(handle)
}

/// Takes registration `handle` out of every chain.
fn withdraw(handle: u64, at: Passive<'_>) -> Result<(), Refused> {
    each(&DISKS, at, |disk| disk.expel(handle, at))?;
    each(&UNITS, at, |unit| {
        unit.expel(handle, at);
        Ok(())
    })
}

/// Visits every member, until one fails. One that comes meanwhile has no chain yet, or is visited. One that is being
/// removed lets nobody in, and its chain may still be in use: it is waited for.
fn each<T: Member + Sync>(
    list: &List<T>,
    at: Passive<'_>,
    mut visit: impl FnMut(&'static T) -> Result<(), Refused>,
) -> Result<(), Refused> {
    const PAUSE_MS: u32 = 10;
    let mut after = 0;
    while let Some(next) = list.next_after(after) {
        match next {
            Next::Here(held) => {
                after = held.id();
                visit(held.member())?;
            }
            Next::Going(_) => pause(PAUSE_MS, at),
        }
    }
    Ok(())
}

/// Puts the stages of other drivers into the chain of a volume that is being unlocked, or of a unit that is made: with the
/// disk's turn, or the unit's.
///
/// # Errors
/// [`Refusal::NoStage`], [`Refusal::NoMemory`].
pub(crate) fn join(
    disk: u32,
    wanted: Option<ForeignStage>,
    mapped: bool,
    chain: &mut Chain,
) -> Result<(), Refusal> {
    if let Some(wanted) = wanted {
        let found = STAGES.with(|stages| stages.transformer(disk, &wanted.name, wanted.place));
        let (handle, outside) = found.ok_or(Refusal::NoStage)?;
        put(chain, handle, &outside)?;
    }
    let observers = STAGES.with(|stages| stages.observers(disk));
    for (handle, outside) in observers.into_iter().flatten() {
        if outside.place == Place::ABOVE || !mapped {
            put(chain, handle, &outside)?;
        }
    }
    Ok(())
}

fn put(chain: &mut Chain, handle: u64, outside: &Outside) -> Result<(), Refusal> {
    let slot = new_slot(handle, outside).ok_or(Refusal::NoMemory)?;
    // There is room: a volume's own stages are two, and the registry allows four.
    chain.insert(slot).map_err(|_| Refusal::NoMemory)
}

fn new_slot(handle: u64, outside: &Outside) -> Option<Box<Slot>> {
    // SAFETY: registered: the context stays until the stage is detached, which is after it has left every chain.
    unsafe { Slot::outside(handle, outside) }
}

impl Pdo {
    /// Puts a stage that is for every disk into the chain, if it is not there already.
    fn admit(&self, handle: u64, outside: &Outside, at: Passive<'_>) -> Result<(), Refused> {
        if outside.disk != EVERY_DISK {
            return Ok(());
        }
        let _turn = self.turn(at);
        self.with_line(|line| {
            if line.unit().chain().holds(handle).is_some() {
                return Ok(());
            }
            let slot = new_slot(handle, outside).ok_or(Refused::NoMemory)?;
            line.change_chain(at, |chain| chain.insert(slot)).map_err(|_| Refused::TooMany)
        })
        .unwrap_or(Ok(()))
    }

    /// Takes a stage out of the chain, if it is there.
    fn expel(&self, handle: u64, at: Passive<'_>) {
        let _turn = self.turn(at);
        self.with_line(|line| {
            if line.unit().chain().holds(handle).is_some() {
                drop(line.change_chain(at, |chain| chain.remove(handle)));
            }
        });
    }
}

impl Disk {
    /// Puts a stage into the chain, if the disk is unlocked and it is not there already.
    fn admit(&self, handle: u64, outside: &Outside, at: Passive<'_>) -> Result<(), Refused> {
        let outside =
            if outside.disk == EVERY_DISK || outside.disk == self.id { outside } else { return Ok(()) };
        let _turn = self.turn.take(at);
        let Some(inside) = self.enter_volume() else { return Ok(()) };
        let result = match self.volume_while(&inside) {
            Some(volume) if outside.place == Place::BELOW && volume.is_mapped() => Ok(()),
            Some(volume) if volume.unit().chain().holds(handle).is_none() => {
                match new_slot(handle, outside) {
                    Some(slot) => {
                        volume.change_chain(at, |chain| chain.insert(slot)).map_err(|_| Refused::TooMany)
                    }
                    None => Err(Refused::NoMemory),
                }
            }
            _ => Ok(()),
        };
        self.leave_volume(inside);
        result
    }

    /// Takes a stage out of the chain, if it is there. Without one that changes data the volume is locked.
    fn expel(&self, handle: u64, at: Passive<'_>) -> Result<(), Refused> {
        let turn = self.turn.take(at);
        let Some(inside) = self.enter_volume() else { return Ok(()) };
        let volume = self.volume_while(&inside);
        let held = volume.and_then(|volume| volume.unit().chain().holds(handle)).map(|ticket| ticket.kind);
        if let (Some(volume), Some(Kind::OBSERVER)) = (volume, held) {
            drop(volume.change_chain(at, |chain| chain.remove(handle)));
        }
        self.leave_volume(inside);
        if held == Some(Kind::TRANSFORMER) {
            self.lock_now(&turn, at).map_err(|_| Refused::InUse)?;
        }
        Ok(())
    }
}
