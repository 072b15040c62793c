//! SRBs from the class driver: what the policy says about each, and what the unit is asked.

use core::{ptr::NonNull, sync::atomic::Ordering};

use sluice_chain::{
    Direction, Flags, Segment,
    bytes::{Source, Target},
    rundown::Inside,
};
use sluice_shim::{
    request::{Carry, Incoming},
    scsi::{
        answers::{Capacity, Limits, page},
        cdb::{CdbError, Command, Form, Transfer, WriteSame},
        edit,
        miniport::{self, MiniportControl},
        mode,
        policy::{Answer, Inspect, RequestKind, Treatment, VolumeState, treatment},
        sense::Refusal,
        unmap,
    },
    storport::{SrbFlags, SrbFunction, SrbStatus, srb::SrbView},
    unit::{Checked, Unit},
};
use wdk_sys::{
    NTSTATUS, PDEVICE_OBJECT, PIRP, PVOID, STATUS_INVALID_PARAMETER, STATUS_PENDING, STATUS_SUCCESS,
};

use crate::{
    completion::{self, Served},
    disk::{Disk, DiskState},
    edited,
    nt::{irp::Irp, mdl},
    volume::{MAX_TRANSFER, Volume},
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
    match Asked::of(&irp) {
        Some(mut asked) => treat(disk, irp, &mut asked),
        None => {
            // Nothing that can be understood reaches a disk that holds a volume.
            let status = irp.complete(STATUS_INVALID_PARAMETER, 0);
            disk.remove_lock.release(tag);
            status
        }
    }
}

/// What is asked of a device: an SRB and its command, each looked at once.
pub(crate) struct Asked {
    pub(crate) view: SrbView,
    /// Of an EXECUTE_SCSI; for any other function there is none.
    pub(crate) command: Result<Command, CdbError>,
}

impl Asked {
    /// What an IRP asks; `None` if that cannot be understood.
    #[inline]
    pub(crate) fn of(irp: &Irp) -> Option<Self> {
        view(irp).map(Self::new)
    }

    /// What an SRB asks.
    pub(crate) fn new(view: SrbView) -> Self {
        Self { command: Command::parse(view.cdb()), view }
    }
}

/// The IRP's SRB.
pub(crate) fn view(irp: &Irp) -> Option<SrbView> {
    // SAFETY: the class driver's SRB is in non-paged memory, at least as long as its kind says, and this
    // driver's while the IRP is. Everything it says is checked.
    unsafe { SrbView::parse(irp.stack().Parameters.Scsi.Srb.cast()) }.ok()
}

/// The SRB of an IRP that [`enter`] has taken, for its answer. Not looked at again.
pub(crate) fn to_answer(irp: &Irp) -> Option<SrbView> {
    // SAFETY: `enter` has noted where an SRB that was checked has its fields; it has been this driver's since.
    unsafe {
        let srb = NonNull::new(irp.stack().Parameters.Scsi.Srb)?;
        Some(SrbView::to_answer(srb.cast(), irp.noted()))
    }
}

/// Does what the policy's table says. The remove lock is held, and released here or when the unit has finished.
fn treat(disk: &'static Disk, irp: Irp, asked: &mut Asked) -> NTSTATUS {
    let Some(state) = disk.volume_state() else {
        return refuse(disk, irp, &mut asked.view, Refusal::NoDevice);
    };
    let bypasses = asked.view.flags().contains(SrbFlags::BYPASS_LOCKED_QUEUE);
    let treatment = match decide(&irp, asked, state) {
        // Power transitions: the port's queue is locked, and requests of ours may sit in it. Whoever may pass the
        // lock must not wait for them.
        Treatment::Drain if bypasses && disk.queue_locked.load(Ordering::Acquire) => Treatment::PassUnqueued,
        // In place the chain holds nothing back, so there is nothing to quiesce.
        Treatment::Quiesce if !disk.is_mapped() || disk.queue_locked.load(Ordering::Acquire) => {
            Treatment::PassUnqueued
        }
        other => other,
    };
    match treatment {
        Treatment::Pass | Treatment::PassUnqueued => {
            let tag = irp.tag();
            follow_queue(disk, asked.view.function());
            let status = irp.pass(disk.lower());
            disk.remove_lock.release(tag);
            status
        }
        Treatment::Edit(_) => edited::pass_srb(disk, irp, &mut asked.view),
        Treatment::Transform | Treatment::Discard | Treatment::Drain | Treatment::Quiesce => {
            submit(disk, irp, asked)
        }
        Treatment::Answer(what) => answer(disk, irp, asked, what),
        Treatment::Refuse(refusal) => refuse(disk, irp, &mut asked.view, refusal),
        Treatment::Inspect(_) => refuse(disk, irp, &mut asked.view, Refusal::InvalidOpcode),
    }
}

/// Remembers whether the port's queue is locked.
fn follow_queue(disk: &Disk, function: SrbFunction) {
    match function {
        SrbFunction::LOCK_QUEUE | SrbFunction::QUIESCE_DEVICE => {
            disk.queue_locked.store(true, Ordering::Release)
        }
        SrbFunction::UNLOCK_QUEUE => disk.queue_locked.store(false, Ordering::Release),
        _ => {}
    }
}

/// Passes a LOCK_QUEUE or QUIESCE_DEVICE before which the engine has been flushed, and releases the remove lock. That
/// flush failing changes nothing: power goes anyway.
pub(crate) fn quiesced(disk: &Disk, irp: Irp, function: SrbFunction) {
    follow_queue(disk, function);
    // Not skipped: this driver's location is marked pending, and the device below may answer at once.
    // SAFETY: the routine takes the disk, which the remove lock holds until it has run.
    unsafe {
        irp.pass_and_see(disk.lower(), Some(let_go), core::ptr::from_ref(disk).cast_mut().cast());
    }
}

/// Completion routine of [`quiesced`]. Up to DISPATCH_LEVEL.
unsafe extern "C" fn let_go(_device: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> NTSTATUS {
    // SAFETY: `quiesced` gave the disk.
    unsafe { (*context.cast::<Disk>()).remove_lock.release(irp.cast()) };
    // STATUS_CONTINUE_COMPLETION
    STATUS_SUCCESS
}

/// Whether it is a request that waits for the engine before it goes down.
pub(crate) fn quiesces(function: SrbFunction) -> bool {
    matches!(function, SrbFunction::LOCK_QUEUE | SrbFunction::QUIESCE_DEVICE)
}

/// Looks as close as the policy wants to.
pub(crate) fn decide(irp: &Irp, asked: &Asked, state: VolumeState) -> Treatment {
    let Asked { view, command } = asked;
    let mut answer = treatment(&RequestKind::Function(view.function()), state);
    if answer == Treatment::Inspect(Inspect::Cdb) {
        answer = match *command {
            Ok(command) => treatment(&RequestKind::Command(command), state),
            Err(_) => Treatment::Refuse(Refusal::InvalidField),
        };
    }
    match answer {
        Treatment::Inspect(Inspect::ModeParameters) => mode_select(irp, asked),
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
fn mode_select(irp: &Irp, asked: &Asked) -> Treatment {
    let Ok(Command::ModeSelect { length, form }) = asked.command else {
        return Treatment::Refuse(Refusal::InvalidField);
    };
    let mut list = [0; 255];
    let Some(list) = list.get_mut(..usize::from(length)) else {
        return Treatment::Refuse(Refusal::ParameterLength);
    };
    let complete = copy_data(irp, &asked.view, list) == list.len();
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
pub(crate) fn describe(irp: &Irp, asked: &Asked, sector_size: u32) -> Result<Incoming, Refusal> {
    let Asked { view, command } = asked;
    let mut flags = if view.is_paging() { Flags::PAGING } else { Flags::default() };
    if view.function() != SrbFunction::EXECUTE_SCSI {
        let mut carry = Carry::of(view, Form::Ten, false);
        if quiesces(carry.function) {
            carry.function = SrbFunction::FLUSH;
        }
        return Ok(incoming(Direction::FLUSH, flags, 0, Segment::EMPTY, carry));
    }
    let blocks = |direction: Direction, transfer: Transfer, flags: Flags| {
        let length = transfer.range.bytes(sector_size).ok_or(Refusal::InvalidField)?;
        let carry = Carry::of(view, transfer.form, transfer.dpo);
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
        let whole = payload(irp, view, promised)?;
        let segment = Segment { length: length as usize, ..whole };
        Ok(incoming(direction, flags, transfer.range.lba, segment, carry))
    };
    match command.map_err(|_| Refusal::InvalidField)? {
        Command::Read(transfer) => blocks(Direction::READ, transfer, flags),
        Command::Write(transfer) => {
            if transfer.fua {
                flags = flags.with(Flags::FUA);
            }
            blocks(Direction::WRITE, transfer, flags)
        }
        Command::WriteAndVerify(transfer, check) => {
            let write = blocks(Direction::WRITE, transfer, flags)?;
            Ok(Incoming { carry: Carry { verified: Some(check), ..write.carry }, ..write })
        }
        Command::WriteSame(same) => write_same(irp, view, &same, sector_size),
        Command::GetLbaStatus { lba, allocation } => {
            if !view.flags().contains(SrbFlags::DATA_IN) {
                return Err(Refusal::InvalidField);
            }
            let list = payload(irp, view, view.data_transfer_length().min(allocation))?;
            Ok(incoming(Direction::STATUS, flags, lba, list, Carry::of(view, Form::Sixteen, false)))
        }
        Command::Verify(transfer, _) => blocks(Direction::VERIFY, transfer, flags),
        Command::Unmap { length, .. } => {
            let length = u32::from(length);
            if view.data_transfer_length() < length {
                return Err(Refusal::ParameterLength);
            }
            let list = payload(irp, view, length)?;
            Ok(incoming(Direction::DISCARD, flags, 0, list, Carry::of(view, Form::Ten, false)))
        }
        Command::SynchronizeCache { form, .. } => {
            Ok(incoming(Direction::FLUSH, flags, 0, Segment::EMPTY, Carry::of(view, form, false)))
        }
        _ => Err(Refusal::InvalidOpcode),
    }
}

fn incoming(direction: Direction, flags: Flags, sector: u64, payload: Segment, carry: Carry) -> Incoming {
    Incoming { direction, flags, sector, length: payload.length as u32, payload, same: false, carry }
}

/// WRITE SAME: one sector, for as many as it names. Page B0 says how many that can be.
fn write_same(irp: &Irp, view: &SrbView, same: &WriteSame, sector_size: u32) -> Result<Incoming, Refusal> {
    let WriteSame { transfer, no_data, .. } = same;
    let length = transfer.range.bytes(sector_size).filter(|&length| length <= MAX_TRANSFER);
    let length = length.ok_or(Refusal::InvalidField)?;
    let sector = if *no_data { 0 } else { sector_size };
    if view.data_transfer_length() < sector || (sector > 0 && !view.flags().contains(SrbFlags::DATA_OUT)) {
        return Err(Refusal::InvalidField);
    }
    let payload = payload(irp, view, sector)?;
    let carry = Carry::of(view, transfer.form, transfer.dpo);
    let all = incoming(Direction::WRITE, Flags::default(), transfer.range.lba, payload, carry);
    Ok(Incoming { length, same: true, ..all })
}

/// Hands a request to the volume's unit.
fn submit(disk: &'static Disk, irp: Irp, asked: &mut Asked) -> NTSTATUS {
    // Twice inside: once for the request, until it is finished, and once for this call, so that the unit is
    // still there when `submit` returns after another processor has finished the request.
    let Some(here) = disk.enter_volume() else {
        return refuse(disk, irp, &mut asked.view, Refusal::NotAuthorised);
    };
    let status = match (disk.volume_while(&here), disk.enter_volume()) {
        (Some(volume), Some(inside)) => submit_inside(disk, irp, asked, volume, inside),
        (_, inside) => {
            if let Some(inside) = inside {
                disk.leave_volume(inside);
            }
            refuse(disk, irp, &mut asked.view, Refusal::NotAuthorised)
        }
    };
    disk.leave_volume(here);
    status
}

fn submit_inside(
    disk: &'static Disk,
    irp: Irp,
    asked: &mut Asked,
    volume: &Volume,
    inside: Inside,
) -> NTSTATUS {
    let unit = volume.unit();
    let checked = describe(&irp, asked, unit.sector_size()).and_then(|incoming| check(disk, unit, &incoming));
    match checked {
        // No sectors are read or written at once, if they lie on the volume (SBC-4 5.16).
        Ok(None) => {
            disk.leave_volume(inside);
            answer(disk, irp, asked, Answer::Done)
        }
        Ok(Some(checked)) => enter(disk, irp, &asked.view, unit, &checked, inside),
        Err(refusal) => {
            disk.leave_volume(inside);
            refuse(disk, irp, &mut asked.view, refusal)
        }
    }
}

/// Gives a request into the keeping of the unit, which finishes it.
pub(crate) fn enter(
    device: &dyn Served,
    irp: Irp,
    view: &SrbView,
    unit: &Unit,
    checked: &Checked,
    inside: Inside,
) -> NTSTATUS {
    inside.forget();
    irp.note(view.place());
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

/// What a mapped volume takes.
fn limits(sector_size: u32) -> Limits {
    Limits {
        max_transfer: MAX_TRANSFER / sector_size.max(1),
        max_unmap_blocks: u32::MAX,
        max_unmap_descriptors: unmap::MAX_DESCRIPTORS as u32,
        unmap_granularity: (edit::MAPPED_BLOCK / sector_size.max(1)).max(1),
        max_write_same: MAX_TRANSFER / sector_size.max(1),
        reads_zeros: true,
    }
}

/// Answers without asking the device, and releases the remove lock.
fn answer(disk: &'static Disk, irp: Irp, asked: &mut Asked, what: Answer) -> NTSTATUS {
    let Asked { view, command } = asked;
    let (tag, mut data) = (irp.tag(), [0; 64]);
    let (sectors, sector_size) = disk.volume_size();
    let (physical_exponent, lowest_aligned) = disk.alignment();
    let capacity = Capacity {
        blocks: sectors,
        block_size: sector_size,
        physical_exponent,
        lowest_aligned,
        provisioned: disk.is_provisioned(),
        reads_zeros: disk.is_mapped(),
    };
    let allocation = match *command {
        Ok(Command::ReadCapacity16 { allocation }) => allocation,
        Ok(Command::Inquiry(inquiry)) => inquiry.allocation.into(),
        _ => 0,
    };
    let length = match what {
        Answer::Done => 0,
        Answer::Capacity10 => capacity.write_10(&mut data),
        Answer::Capacity16 => capacity.write_16(&mut data, allocation),
        Answer::Limits => limits(sector_size).write(page::LIMITS, &mut data, allocation as u16),
        Answer::Provisioning => limits(sector_size).write(page::PROVISIONING, &mut data, allocation as u16),
    };
    let length = length.min(view.data_transfer_length() as usize);
    // The memory of a sender that means to send is only read.
    if length > 0 && !view.flags().contains(SrbFlags::DATA_IN) {
        return refuse(disk, irp, view, Refusal::InvalidField);
    }
    let segment = match payload(&irp, view, length as u32) {
        Ok(segment) => segment,
        Err(refusal) => return refuse(disk, irp, view, refusal),
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
