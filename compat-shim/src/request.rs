//! The shim's context for one call of a miniport: the I/O as stages see it, and the SRB as the miniport sees it.

use core::{
    mem::offset_of,
    ops::{Deref, DerefMut},
    ptr::{self, NonNull},
    sync::atomic::{AtomicU32, Ordering},
};

use sluice_chain::{Direction, Flags, Io, Segment, Status};

use crate::{
    discard,
    queue::Waiting,
    retired::{is_untouched, retire},
    same,
    scsi::{
        cdb::{BlockRange, ByteCheck, Form},
        encode::Cdb,
        sense::{Sense, key},
    },
    spare::Held,
    storport::{
        QueueAction, ScsiStatus, SrbFlags, SrbFunction, SrbKind, SrbStatus,
        srb::{SrbAnswer, SrbRequest, SrbStorage, SrbView},
    },
    unit::{Finished, Unit},
};

/// Sense bytes kept per request: the most that fixed-format sense data can be (SPC-5 4.4.3).
pub const SENSE_BYTES: usize = 252;

/// What a caller asks of a unit, as the host has understood it. Sector numbers count on the volume.
#[derive(Clone, Copy, Debug)]
pub struct Incoming {
    /// What to do.
    pub direction: Direction,
    /// How.
    pub flags: Flags,
    /// First sector.
    pub sector: u64,
    /// Length in bytes of the payload, or of the range for VERIFY. For DISCARD the length of the parameter list.
    pub length: u32,
    /// The payload in system addresses; for DISCARD the UNMAP parameter list (SBC-4 5.35). May change under us.
    pub payload: Segment,
    /// WRITE: the payload is one sector, to be written to each (WRITE SAME); without a payload it is zeros.
    pub same: bool,
    /// What the miniport's SRB takes over from the caller's.
    pub carry: Carry,
}

impl Incoming {
    /// In [`Self::direction`]: a command that is not about blocks (INQUIRY, MODE SENSE, a reset). Stages have no word for it
    /// and do not see it. The miniport gets the CDB of the caller's SRB ([`crate::unit::Host::asked`]), `carry` as
    /// [`Carry::whole`] makes it, and the caller's memory.
    pub const COMMAND: Direction = Direction(u32::MAX - 1);

    /// Nothing that can be done: for a host that finds a waiting request changed beyond understanding. It ends
    /// with [`Status::INTERNAL`].
    pub const IMPOSSIBLE: Self = Self {
        direction: Direction(u32::MAX),
        flags: Flags(0),
        sector: 0,
        length: 0,
        payload: Segment::EMPTY,
        same: false,
        carry: Carry::NONE,
    };
}

/// The parts of a caller's SRB that pass through to the miniport's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Carry {
    /// What a flush is: EXECUTE_SCSI (SYNCHRONIZE CACHE), FLUSH or SHUTDOWN. All else is EXECUTE_SCSI.
    pub function: SrbFunction,
    /// Time-out in seconds.
    pub timeout: u32,
    /// Flags that concern tagging, paging and power ([`Self::FLAGS`]).
    pub flags: SrbFlags,
    /// Tag action.
    pub queue_action: QueueAction,
    /// Priority (extended SRBs).
    pub priority: u16,
    /// Length of the caller's CDB: the miniport's is as long if the addresses allow it.
    pub form: Form,
    /// DPO: the device should not keep the data in its cache.
    pub dpo: bool,
    /// WRITE that the device verifies (WRITE AND VERIFY): the medium with itself, or with the data.
    pub verified: Option<ByteCheck>,
}

impl Carry {
    /// An untagged command without a time-out.
    pub const NONE: Self = Self {
        function: SrbFunction::EXECUTE_SCSI,
        timeout: 0,
        flags: SrbFlags(0),
        queue_action: QueueAction(0),
        priority: 0,
        form: Form::Ten,
        dpo: false,
        verified: None,
    };

    /// The flags that are taken over: those about the queue, the urgency, the bus, and whether the adapter may keep
    /// the data in its cache (class drivers leave that one out to write through). Not those about memory that is not
    /// the miniport's, nor those by which a class driver keeps its own books.
    pub const FLAGS: SrbFlags = SrbFlags(
        SrbFlags::QUEUE_ACTION_ENABLE.0
            | SrbFlags::DISABLE_DISCONNECT.0
            | SrbFlags::DISABLE_SYNCH_TRANSFER.0
            | SrbFlags::ADAPTER_CACHE_ENABLE.0
            | SrbFlags::CLASS_LOW_PRIORITY.0
            | SrbFlags::BYPASS_FROZEN_QUEUE.0
            | SrbFlags::BYPASS_LOCKED_QUEUE.0
            | SrbFlags::D3_PROCESSING.0
            | SrbFlags::NO_KEEP_AWAKE.0
            | SrbFlags::CLASS_PAGING.0,
    );

    /// What passes through of the SRB behind `view`.
    pub fn of(view: &SrbView, form: Form, dpo: bool) -> Self {
        Self {
            function: view.function(),
            timeout: view.timeout(),
            flags: SrbFlags(view.flags().0 & Self::FLAGS.0),
            queue_action: view.queue_action(),
            priority: view.priority(),
            form,
            dpo,
            verified: None,
        }
    }

    /// As [`Self::of`] for [`Incoming::COMMAND`]: the direction of its data passes through too, and whether it wants sense.
    pub fn whole(view: &SrbView) -> Self {
        let more = SrbFlags::DATA_IN.0 | SrbFlags::DATA_OUT.0 | SrbFlags::DISABLE_AUTOSENSE.0;
        let carry = Self::of(view, Form::Six, false);
        Self { flags: SrbFlags(carry.flags.0 | view.flags().0 & more), ..carry }
    }
}

/// In [`Request::holder`]: the miniport has it. Else it is the shim's: in the chain, between two calls, or free.
const MINIPORTS: u32 = 1;
/// The rest of it counts the times that it was given to the miniport.
const TURN: u32 = 2;

/// One handing over of a request to the miniport.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given(u32);

/// One request. A unit owns a fixed number of them; none is allocated per I/O.
#[repr(C)]
#[derive(Debug)]
pub struct Request {
    /// The I/O as the chain sees it. First, so that a stage's `Io` leads back to its request.
    pub(crate) io: Io,
    /// The payload's one segment, as it came.
    pub(crate) segment: Segment,
    /// What the miniport transfers.
    pub(crate) transfer: Segment,
    /// The spare memory that this request holds, to be given back.
    pub(crate) held: Option<Held>,
    /// In the unit's free list or the adapter's list of completed requests.
    pub(crate) next: *mut Request,
    /// Whose request it is.
    pub(crate) waiting: *mut Waiting,
    pub(crate) carry: Carry,
    /// What the device has answered, if the request got that far.
    answer: Option<SrbAnswer>,
    pub(crate) started: u64,
    pub(crate) unit: *const Unit,
    /// Who has it. Catches completions that come twice.
    holder: AtomicU32,
    /// What the miniport is given. Its address leads back to the request.
    pub(crate) srb: SrbStorage,
    /// Where the miniport's SRB points for sense data.
    pub(crate) sense: [u8; SENSE_BYTES],
    /// Storage of the host (on Windows its IRP and MDL for the device below). The shim never looks at it.
    host: [usize; 4],
}

// SAFETY: a request moves between threads as a whole; `holder` says who may touch it.
unsafe impl Send for Request {}
// SAFETY: as above.
unsafe impl Sync for Request {}

impl Request {
    /// A free request. `host` is for the host's own use.
    pub fn new(host: [usize; 4]) -> Self {
        let mut new = Self {
            io: Io::idle(ptr::null()),
            segment: Segment::EMPTY,
            transfer: Segment::EMPTY,
            held: None,
            answer: None,
            next: ptr::null_mut(),
            waiting: ptr::null_mut(),
            carry: Carry::default(),
            started: 0,
            unit: ptr::null(),
            holder: AtomicU32::new(0),
            srb: SrbStorage::new(),
            sense: [0; SENSE_BYTES],
            host,
        };
        retire(new.srb.bytes_mut());
        retire(&mut new.sense);
        new
    }

    /// The host's words.
    pub fn host(&self) -> &[usize; 4] {
        &self.host
    }

    /// Whose request it is.
    pub fn waiting(&self) -> *mut Waiting {
        self.waiting
    }

    /// The memory that the miniport transfers, in system addresses.
    pub fn transfer(&self) -> Segment {
        self.transfer
    }

    /// Whether that is the caller's own memory (and not private memory of the request).
    pub fn transfers_callers_memory(&self) -> bool {
        !self.transfer.address.is_null() && self.transfer.address == self.segment.address
    }

    /// The SRB inside, as the miniport gets it.
    pub(crate) fn srb_of(request: NonNull<Self>) -> NonNull<u8> {
        // SAFETY: a field of a live request.
        unsafe { request.byte_add(offset_of!(Self, srb)).cast() }
    }

    /// Says which time this is, for [`Self::take_back`]. Only for whoever has the request.
    pub(crate) fn give_to_miniport(&self) -> Given {
        let given = self.holder.load(Ordering::Relaxed).wrapping_add(TURN) | MINIPORTS;
        self.holder.store(given, Ordering::Release);
        Given(given)
    }

    /// The miniport completes it; `false` if it does not have it.
    pub(crate) fn take_from_miniport(&self) -> bool {
        let now = self.holder.load(Ordering::Relaxed);
        now & MINIPORTS != 0 && self.take_back(Given(now))
    }

    /// The miniport has not taken it; `false` if it has completed it nevertheless, and it may be another's by now.
    pub(crate) fn take_back(&self, given: Given) -> bool {
        let to = given.0 & !MINIPORTS;
        self.holder.compare_exchange(given.0, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// The request around a miniport's SRB.
    ///
    /// # Safety
    /// `srb` must be an SRB that this shim gave to a miniport.
    pub(crate) unsafe fn of_srb(srb: NonNull<u8>) -> NonNull<Self> {
        // SAFETY: the shim's SRBs are the `srb` field of a request.
        unsafe { srb.sub(offset_of!(Request, srb)).cast() }
    }
}

/// What the device said.
#[derive(Clone, Copy, Debug)]
pub struct DeviceResult<'a> {
    /// SRB status, without the queue-frozen flag.
    pub srb_status: SrbStatus,
    /// SCSI status byte.
    pub scsi_status: ScsiStatus,
    /// Sense data; empty if there is none.
    pub sense: &'a [u8],
    /// The NTSTATUS behind SRB_STATUS_INTERNAL_ERROR.
    pub internal_status: u32,
}

/// A request, and the right to do something with it. There is one for each request that is not free, with the
/// miniport, kept by a stage, or in a list; each of those takes it and gives it back.
#[derive(Debug)]
#[must_use = "a request that is dropped hangs its caller"]
pub(crate) struct Owned(NonNull<Request>);

impl Owned {
    /// # Safety
    /// The caller has the right to the request, and gives it up to this value.
    pub(crate) unsafe fn taken(request: NonNull<Request>) -> Self {
        Self(request)
    }

    /// Gives the right into the keeping of a list or the miniport.
    pub(crate) fn forget_into(self) -> NonNull<Request> {
        self.0
    }

    /// A stage keeps the I/O: the right is its own until it resumes.
    pub(crate) fn forget(self) {}

    /// The I/O.
    pub(crate) fn io(&mut self) -> &mut Io {
        &mut self.io
    }

    /// Fills in a fresh I/O. The I/O points into the request, which is pinned in its unit.
    pub(crate) fn prepare(&mut self, incoming: &Incoming, waiting: *mut Waiting, unit: &Unit) {
        let pointer = self.0.as_ptr();
        let request = &mut **self;
        if request.held.as_mut().is_some_and(|held| !is_untouched(held.rest())) {
            unit.adapter().faults().touched.fetch_add(1, Ordering::Relaxed);
        }
        request.segment = Segment { address: incoming.payload.address, length: incoming.length as usize };
        request.transfer = Segment::EMPTY;
        request.waiting = waiting;
        request.carry = incoming.carry;
        request.unit = unit;
        request.answer = None;
        let io = &mut request.io;
        io.direction = incoming.direction;
        io.flags = incoming.flags;
        io.status = Status::OK;
        io.sector = incoming.sector;
        io.sector_size = unit.sector_size();
        io.length = incoming.length;
        io.transferred = 0;
        io.position = 0;
        io.segment_count =
            u32::from(matches!(incoming.direction, Direction::READ | Direction::WRITE | Direction::STATUS));
        // SAFETY: fields of the live request. Not through `request`, whose borrow ends with this function.
        let (whole, private) = unsafe { (&raw const (*pointer).segment, &raw const (*pointer).io.private) };
        io.segments = whole;
        io.spare = Segment::EMPTY;
        io.host = unit.services();
        match &mut request.held {
            Some(held) if incoming.direction == Direction::DISCARD => {
                match discard::unpack(request.segment, held) {
                    Some(extents) => io.private = extents,
                    None => io.status = Status::INVALID,
                }
                io.segments = private;
                io.segment_count = 1;
            }
            Some(held) if incoming.same => {
                io.private = same::expand(incoming.payload, unit.sector_size(), incoming.length, held);
                io.segments = private;
            }
            Some(held) => io.spare = Segment { address: held.address().as_ptr(), length: held.size() },
            None => {}
        }
    }

    /// Whether the chain is not asked about it.
    pub(crate) fn is_command(&self) -> bool {
        self.io.direction == Incoming::COMMAND
    }

    /// Makes the SRB for the miniport out of the I/O as the chain has left it, or of a command as it came.
    ///
    /// # Errors
    /// If no SRB can say it.
    pub(crate) fn build_srb(&mut self, unit: &Unit) -> Result<(), Status> {
        let request = &mut **self;
        if !is_untouched(request.srb.bytes()) || !is_untouched(&request.sense) {
            unit.adapter().faults().touched.fetch_add(1, Ordering::Relaxed);
        }
        request.transfer = request.find_transfer()?;
        let (asked, made);
        let cdb = if request.io.direction == Incoming::COMMAND {
            asked = unit.asked(request.waiting).ok_or(Status::INTERNAL)?;
            asked.cdb()
        } else {
            made = request.cdb()?;
            made.as_ref().map_or(&[][..], Cdb::as_bytes)
        };
        let (io, carry) = (&request.io, request.carry);
        let flags = SrbFlags(carry.flags.0 | SrbFlags::NO_QUEUE_FREEZE.0 | data_flags(io.direction).0);
        let command = SrbRequest {
            function: carry.function,
            cdb,
            flags,
            data_buffer: request.transfer.address.cast(),
            data_transfer_length: request.transfer.length as u32,
            timeout: carry.timeout,
            sense_buffer: request.sense.as_mut_ptr(),
            sense_length: SENSE_BYTES as u8,
            queue_action: carry.queue_action,
            priority: carry.priority,
            address: unit.address(),
            ..SrbRequest::command(&[])
        };
        request.srb.fill(unit.adapter().srb_kind(), &command).map_err(|_| Status::INTERNAL)
    }

    /// Takes the device's answer out of the SRB.
    pub(crate) fn take_result(&mut self, kind: SrbKind) {
        let request = &mut **self;
        let answer = request.srb.answer(kind);
        request.retire();
        let good = matches!(answer.srb_status.code(), SrbStatus::SUCCESS | SrbStatus::DATA_OVERRUN)
            || request.has_recovered(&answer);
        request.answer = Some(answer);
        request.io.transferred = if good { answer.data_transfer_length.min(request.io.length) } else { 0 };
        request.io.status = if good { Status::OK } else { Status::DEVICE };
    }

    /// The last of a request: what it held goes back to where nobody may touch it.
    pub(crate) fn end(&mut self) {
        let request = &mut **self;
        request.waiting = ptr::null_mut();
        retire(&mut request.sense);
        if let Some(held) = &mut request.held {
            retire(held.rest());
        }
    }

    /// How it went, for the caller.
    pub(crate) fn finished(&mut self) -> Finished<'_> {
        let request = &mut **self;
        let device = request.answer.map(|answer| {
            let status = answer.srb_status;
            let sense: &[u8] = if status.has_sense() {
                request.sense.get(..usize::from(answer.sense_length)).unwrap_or(&[])
            } else {
                &[]
            };
            DeviceResult {
                srb_status: SrbStatus(status.0 & !SrbStatus::QUEUE_FROZEN),
                scsi_status: answer.scsi_status,
                sense,
                internal_status: answer.internal_status,
            }
        });
        Finished { status: request.io.status, transferred: request.io.transferred, device }
    }
}

impl Deref for Owned {
    type Target = Request;
    fn deref(&self) -> &Request {
        // SAFETY: `taken`'s contract: this value is the only right to the request, whose unit is alive.
        unsafe { self.0.as_ref() }
    }
}

impl DerefMut for Owned {
    fn deref_mut(&mut self) -> &mut Request {
        // SAFETY: as above.
        unsafe { self.0.as_mut() }
    }
}

impl Request {
    /// The SRB is the miniport's no more.
    pub(crate) fn retire(&mut self) {
        retire(self.srb.bytes_mut());
    }

    /// Whether the device reports an error that it has overcome: the data has moved, and class drivers take it for a
    /// success (SPC-5 4.4.8, RECOVERED ERROR).
    fn has_recovered(&self, answer: &SrbAnswer) -> bool {
        let sense = self.sense.get(..usize::from(answer.sense_length)).unwrap_or(&[]);
        let sense = Sense::parse(sense);
        answer.srb_status.code() == SrbStatus::ERROR
            && answer.srb_status.has_sense()
            && sense.is_some_and(|sense| sense.key == key::RECOVERED_ERROR)
    }

    /// The one stretch of memory that an SRB can name.
    fn find_transfer(&mut self) -> Result<Segment, Status> {
        match self.io.direction {
            Direction::READ | Direction::WRITE | Direction::STATUS if self.io.segment_count == 1 => {
                // SAFETY: points at `segment`, at `io.private`, or where a stage has put one segment.
                Ok(unsafe { *self.io.segments })
            }
            // Scatter lists reach miniports that ask for them later; a stage that splits a payload is refused.
            Direction::READ | Direction::WRITE | Direction::STATUS => Err(Status::INTERNAL),
            Incoming::COMMAND => Ok(self.segment),
            Direction::DISCARD => {
                let held = self.held.as_mut().ok_or(Status::INTERNAL)?;
                discard::pack(self.io.private, held, self.segment.length).ok_or(Status::INTERNAL)
            }
            _ => Ok(Segment::EMPTY),
        }
    }

    /// The command, or `None` for SRB functions that are none.
    fn cdb(&self) -> Result<Option<Cdb>, Status> {
        let (io, form, dpo) = (&self.io, self.carry.form, self.carry.dpo);
        let range = BlockRange { lba: io.sector, blocks: io.length.checked_div(io.sector_size).unwrap_or(0) };
        let fua = io.flags.contains(Flags::FUA);
        Ok(Some(match io.direction {
            Direction::READ => Cdb::read(range, fua, dpo, form),
            Direction::WRITE => match self.carry.verified {
                None => Cdb::write(range, fua, dpo, form),
                Some(check) => Cdb::write_and_verify(range, check == ByteCheck::Data, dpo, form),
            },
            Direction::VERIFY => Cdb::verify(range, dpo, form),
            Direction::DISCARD => {
                Cdb::unmap(u16::try_from(self.transfer.length).map_err(|_| Status::INVALID)?)
            }
            Direction::STATUS => Cdb::get_lba_status(io.sector, io.length),
            Direction::FLUSH if self.carry.function != SrbFunction::EXECUTE_SCSI => return Ok(None),
            // All of the cache, whatever range the caller named: more than asked is allowed.
            Direction::FLUSH => Cdb::synchronize_cache(BlockRange::default(), form),
            _ => return Err(Status::INTERNAL),
        }))
    }
}

fn data_flags(direction: Direction) -> SrbFlags {
    match direction {
        Direction::READ | Direction::STATUS => SrbFlags::DATA_IN,
        Direction::WRITE | Direction::DISCARD => SrbFlags::DATA_OUT,
        _ => SrbFlags(0),
    }
}
