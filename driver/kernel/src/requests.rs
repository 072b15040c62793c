//! SRBs from the class driver: what the policy says about each, and what the unit is asked.

use sluice_chain::{
    Direction, Flags, Segment,
    bytes::{Source, Target},
    rundown::Inside,
};
use sluice_shim::{
    request::{Carry, Incoming},
    scsi::{
        answers::Capacity,
        cdb::{Command, Form, Transfer},
        miniport::{self, MiniportControl},
        mode,
        policy::{Answer, Inspect, RequestKind, Treatment, VolumeState, treatment},
        sense::Refusal,
    },
    storport::{SrbFlags, SrbFunction, SrbStatus, srb::SrbView},
    unit::{Checked, Unit},
};
use wdk_sys::{NTSTATUS, STATUS_INVALID_PARAMETER, STATUS_PENDING, STATUS_SUCCESS};

use crate::{
    completion::{self, Served},
    disk::{Disk, DiskState},
    nt::{irp::Irp, mdl},
    volume::Volume,
};

/// IRP_MJ_SCSI (also called IRP_MJ_INTERNAL_DEVICE_CONTROL). Up to DISPATCH_LEVEL.
pub(crate) fn dispatch(disk: &'static Disk, irp: Irp) -> NTSTATUS {
    let tag = irp.tag();
    if let Err(status) = disk.remove_lock.acquire(tag) {
        return irp.complete(status, 0);
    }
    if disk.state() == DiskState::Plain {
        let status = irp.pass(disk.lower());
        disk.remove_lock.release(tag);
        return status;
    }
    match view(&irp) {
        Some(view) => treat(disk, irp, view),
        None => {
            // Nothing that can be understood reaches a disk that holds a volume.
            let status = irp.complete(STATUS_INVALID_PARAMETER, 0);
            disk.remove_lock.release(tag);
            status
        }
    }
}

/// The IRP's SRB.
pub(crate) fn view(irp: &Irp) -> Option<SrbView> {
    // SAFETY: the class driver's SRB is in non-paged memory, at least as long as its kind says, and this
    // driver's while the IRP is. Everything it says is checked.
    unsafe { SrbView::parse(irp.stack().Parameters.Scsi.Srb.cast()) }.ok()
}

/// Does what the policy's table says. The remove lock is held, and released here or when the unit has finished.
fn treat(disk: &'static Disk, irp: Irp, mut view: SrbView) -> NTSTATUS {
    let tag = irp.tag();
    let state = match disk.state() {
        DiskState::Removed => return refuse(disk, irp, &mut view, Refusal::NoDevice),
        DiskState::Plain => VolumeState::Plain,
        DiskState::Locked => VolumeState::Locked,
        DiskState::Damaged => VolumeState::Damaged,
        DiskState::Unreadable => VolumeState::Unreadable,
        DiskState::Unlocked => VolumeState::InPlace { read_only: false, discards: true },
    };
    let treatment = match decide(&irp, &view, state) {
        // Power transitions: the port's queue is locked, and requests of ours may sit in it. Whoever may pass the
        // lock must not wait for them.
        Treatment::Drain if view.flags().contains(SrbFlags::BYPASS_LOCKED_QUEUE) => Treatment::PassUnqueued,
        other => other,
    };
    match treatment {
        // In place the chain holds nothing back, so there is nothing to quiesce and no queue to jump.
        Treatment::Pass | Treatment::PassUnqueued | Treatment::Quiesce | Treatment::Edit(_) => {
            let status = irp.pass(disk.lower());
            disk.remove_lock.release(tag);
            status
        }
        Treatment::Transform | Treatment::Discard | Treatment::Drain => submit(disk, irp, view),
        Treatment::Answer(what) => answer(disk, irp, view, what),
        Treatment::Refuse(refusal) => refuse(disk, irp, &mut view, refusal),
        Treatment::Inspect(_) => refuse(disk, irp, &mut view, Refusal::InvalidOpcode),
    }
}

/// Looks as close as the policy wants to.
pub(crate) fn decide(irp: &Irp, view: &SrbView, state: VolumeState) -> Treatment {
    let mut answer = treatment(&RequestKind::Function(view.function()), state);
    if answer == Treatment::Inspect(Inspect::Cdb) {
        answer = match Command::parse(view.cdb()) {
            Ok(command) => treatment(&RequestKind::Command(command), state),
            Err(_) => Treatment::Refuse(Refusal::InvalidField),
        };
    }
    match answer {
        Treatment::Inspect(Inspect::ModeParameters) => mode_select(irp, view),
        Treatment::Inspect(Inspect::Miniport) => {
            let mut front = [0; miniport::FRONT];
            let length = copy_data(irp, view, &mut front);
            match front.get(..length).and_then(MiniportControl::parse) {
                Some(control) => treatment(&RequestKind::MiniportControl(control), state),
                None => Treatment::Refuse(Refusal::InvalidField),
            }
        }
        Treatment::Inspect(_) => Treatment::Refuse(Refusal::InvalidOpcode),
        other => other,
    }
}

/// MODE SELECT passes if it changes nothing but caching; judged on a copy, since the list is short and a class
/// driver's own.
fn mode_select(irp: &Irp, view: &SrbView) -> Treatment {
    let Ok(Command::ModeSelect { length, form }) = Command::parse(view.cdb()) else {
        return Treatment::Refuse(Refusal::InvalidField);
    };
    let mut list = [0; 255];
    let Some(list) = list.get_mut(..usize::from(length)) else {
        return Treatment::Refuse(Refusal::ParameterLength);
    };
    let complete = copy_data(irp, view, list) == list.len();
    if complete && mode::changes_only_caching(list, form) {
        Treatment::Pass
    } else {
        Treatment::Refuse(Refusal::InvalidParameter)
    }
}

/// Copies the front of an SRB's data; answers how much there was.
fn copy_data(irp: &Irp, view: &SrbView, into: &mut [u8]) -> usize {
    let length = (view.data_transfer_length() as usize).min(into.len());
    match payload(irp, view, length as u32) {
        Ok(segment) if length > 0 => {
            // SAFETY: `payload` has checked that so many bytes are mapped there.
            let source = unsafe { Source::from_raw(segment.address, length) };
            Target::from(into).copy_from(source)
        }
        _ => 0,
    }
}

/// Where the first `length` bytes of an SRB's data are mapped: `MmGetSystemAddressForMdlSafe` of the IRP's MDL
/// and the distance of the SRB's address from the MDL's.
///
/// # Errors
/// `InvalidField` if that does not hold together, or if there is no MDL: an address alone says nothing about whose
/// memory it is. `NoMemory` if system addresses have run out.
pub(crate) fn payload(irp: &Irp, view: &SrbView, length: u32) -> Result<Segment, Refusal> {
    let (length, buffer) = (length as usize, view.data_buffer());
    if length == 0 {
        return Ok(Segment::EMPTY);
    }
    let list = irp.mdl();
    if list.is_null() {
        return Err(Refusal::InvalidField);
    }
    // SAFETY: the IRP's MDL describes locked memory while the IRP is ours.
    let (start, described) = unsafe { mdl::described(list) };
    let offset = buffer.addr().checked_sub(start).ok_or(Refusal::InvalidField)?;
    if offset.checked_add(length).is_none_or(|end| end > described) {
        return Err(Refusal::InvalidField);
    }
    // SAFETY: as above; the offset lies inside.
    let address = unsafe { mdl::system_address(list).ok_or(Refusal::NoMemory)?.add(offset) };
    Ok(Segment { address: address.as_ptr(), length })
}

/// What the unit is asked for a request that the policy lets through the chain. Called again when a queued
/// request's turn has come; its SRB has not changed meanwhile, as it is this driver's.
pub(crate) fn describe(irp: &Irp, sector_size: u32) -> Result<Incoming, Refusal> {
    let view = view(irp).ok_or(Refusal::InvalidField)?;
    let mut flags = if view.is_paging() { Flags::PAGING } else { Flags::default() };
    if view.function() != SrbFunction::EXECUTE_SCSI {
        return Ok(incoming(Direction::FLUSH, flags, 0, Segment::EMPTY, Carry::of(&view, Form::Ten, false)));
    }
    let blocks = |direction: Direction, transfer: Transfer, flags: Flags| {
        let length = transfer.range.bytes(sector_size).ok_or(Refusal::InvalidField)?;
        let carry = Carry::of(&view, transfer.form, transfer.dpo);
        if direction == Direction::VERIFY {
            let range = Segment { address: core::ptr::null_mut(), length: length as usize };
            return Ok(incoming(direction, flags, transfer.range.lba, range, carry));
        }
        // A sender that names more blocks than it brings memory for would have us write past its end; one whose
        // memory is not what it says, or whose direction is another, has made a mistake somewhere else too.
        let promised = view.data_transfer_length();
        let towards = if direction == Direction::READ { SrbFlags::DATA_IN } else { SrbFlags::DATA_OUT };
        if promised < length || (length > 0 && !view.flags().contains(towards)) {
            return Err(Refusal::InvalidField);
        }
        let whole = payload(irp, &view, promised)?;
        let segment = Segment { length: length as usize, ..whole };
        Ok(incoming(direction, flags, transfer.range.lba, segment, carry))
    };
    match Command::parse(view.cdb()).map_err(|_| Refusal::InvalidField)? {
        Command::Read(transfer) => blocks(Direction::READ, transfer, flags),
        Command::Write(transfer) => {
            if transfer.fua {
                flags = flags.with(Flags::FUA);
            }
            blocks(Direction::WRITE, transfer, flags)
        }
        Command::Verify(transfer, _) => blocks(Direction::VERIFY, transfer, flags),
        Command::Unmap { length, .. } => {
            let length = u32::from(length);
            if view.data_transfer_length() < length {
                return Err(Refusal::ParameterLength);
            }
            let list = payload(irp, &view, length)?;
            Ok(incoming(Direction::DISCARD, flags, 0, list, Carry::of(&view, Form::Ten, false)))
        }
        Command::SynchronizeCache { form, .. } => {
            Ok(incoming(Direction::FLUSH, flags, 0, Segment::EMPTY, Carry::of(&view, form, false)))
        }
        _ => Err(Refusal::InvalidOpcode),
    }
}

fn incoming(direction: Direction, flags: Flags, sector: u64, payload: Segment, carry: Carry) -> Incoming {
    Incoming { direction, flags, sector, length: payload.length as u32, payload, carry }
}

/// Hands a request to the volume's unit.
fn submit(disk: &'static Disk, irp: Irp, mut view: SrbView) -> NTSTATUS {
    // Twice inside: once for the request, until it is finished, and once for this call, so that the unit is
    // still there when `submit` returns after another processor has finished the request.
    let Some(here) = disk.enter_volume() else {
        return refuse(disk, irp, &mut view, Refusal::NotAuthorised);
    };
    let status = match (disk.volume_while(&here), disk.enter_volume()) {
        (Some(volume), Some(inside)) => submit_inside(disk, irp, view, volume, inside),
        (_, inside) => {
            if let Some(inside) = inside {
                disk.leave_volume(inside);
            }
            refuse(disk, irp, &mut view, Refusal::NotAuthorised)
        }
    };
    disk.leave_volume(here);
    status
}

fn submit_inside(
    disk: &'static Disk,
    irp: Irp,
    mut view: SrbView,
    volume: &Volume,
    inside: Inside,
) -> NTSTATUS {
    let unit = volume.unit();
    let checked = describe(&irp, unit.sector_size()).and_then(|incoming| check(disk, unit, &incoming));
    match checked {
        // No sectors are read or written at once, if they lie on the volume (SBC-4 5.16).
        Ok(None) => {
            disk.leave_volume(inside);
            answer(disk, irp, view, Answer::Done)
        }
        Ok(Some(checked)) => enter(disk, irp, unit, &checked, inside),
        Err(refusal) => {
            disk.leave_volume(inside);
            refuse(disk, irp, &mut view, refusal)
        }
    }
}

/// Gives a request into the keeping of the unit, which finishes it.
pub(crate) fn enter(
    device: &dyn Served,
    irp: Irp,
    unit: &Unit,
    checked: &Checked,
    inside: Inside,
) -> NTSTATUS {
    inside.forget();
    let irp = irp.keep();
    if unit.submit_checked(Irp::waiting(irp), checked).is_err() {
        completion::withdrawn(device, irp, Refusal::Cancelled);
    }
    STATUS_PENDING
}

/// What the unit makes of a request; `None` if there is nothing to do.
fn check(disk: &Disk, unit: &Unit, incoming: &Incoming) -> Result<Option<Checked>, Refusal> {
    let moves = matches!(incoming.direction, Direction::READ | Direction::WRITE | Direction::VERIFY);
    if moves && incoming.length == 0 {
        let (sectors, _) = disk.volume_size();
        return if incoming.sector <= sectors { Ok(None) } else { Err(Refusal::OutOfRange) };
    }
    unit.check(incoming).map(Some).map_err(|_| Refusal::InvalidField)
}

/// Refuses a request; it is done with.
pub(crate) fn refuse(device: &dyn Served, irp: Irp, view: &mut SrbView, refusal: Refusal) -> NTSTATUS {
    let tag = irp.tag();
    // SAFETY: the class driver's sense buffer is non-paged and as long as its SRB says.
    let status = unsafe { refusal.write(view) };
    let status = irp.complete(status.cast_signed(), 0);
    device.done(tag);
    status
}

/// Answers without asking the device, and releases the remove lock.
fn answer(disk: &'static Disk, irp: Irp, mut view: SrbView, what: Answer) -> NTSTATUS {
    let (tag, mut data) = (irp.tag(), [0; 32]);
    let (sectors, sector_size) = disk.volume_size();
    let (physical_exponent, lowest_aligned) = disk.alignment();
    let capacity = Capacity {
        blocks: sectors,
        block_size: sector_size,
        physical_exponent,
        lowest_aligned,
        provisioned: false,
        reads_zeros: false,
    };
    let length = match what {
        Answer::Done => 0,
        Answer::Capacity10 => capacity.write_10(&mut data),
        Answer::Capacity16 => {
            let allocation = match Command::parse(view.cdb()) {
                Ok(Command::ReadCapacity16 { allocation }) => allocation,
                _ => 0,
            };
            capacity.write_16(&mut data, allocation)
        }
    };
    let length = length.min(view.data_transfer_length() as usize);
    let segment = match payload(&irp, &view, length as u32) {
        Ok(segment) => segment,
        Err(refusal) => return refuse(disk, irp, &mut view, refusal),
    };
    if length > 0 {
        // SAFETY: `payload` has checked that so many bytes are mapped there.
        let mut target = unsafe { Target::from_raw(segment.address, length) };
        target.copy_from(Source::from(&data[..length]));
    }
    view.set_data_transfer_length(length as u32);
    view.set_scsi_status(sluice_shim::storport::ScsiStatus::GOOD);
    view.set_srb_status(SrbStatus::SUCCESS);
    let status = irp.complete(STATUS_SUCCESS, length);
    disk.remove_lock.release(tag);
    status
}
