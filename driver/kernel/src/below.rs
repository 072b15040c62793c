//! The disk below a mapped volume: many I/Os at once, each in pieces that its adapter takes, with IRPs and MDLs that were
//! allocated when the volume was unlocked.
//!
//! One thread uses it. A completion routine only says which IRP is back, and wakes that thread.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::{
    ptr::{self, NonNull},
    sync::atomic::{AtomicU32, Ordering},
};

use sluice_chain::try_box;
use sluice_mapped::{
    disk::Disk as Medium,
    io::{Buffer, DeviceError, DeviceIo, DeviceOp, IoId},
};
use sluice_miniport_mapped::{Device, Ended};
use sluice_shim::{
    scsi::{
        cdb::{BlockRange, Form},
        encode::Cdb,
        unmap,
    },
    storport::{
        SrbFlags,
        srb::{SrbRequest, SrbStorage},
    },
};
use wdk_sys::{
    DEVICE_OBJECT, IRP, IRP_MJ_SCSI, NTSTATUS, PDEVICE_OBJECT, PIRP, PVOID, STATUS_MORE_PROCESSING_REQUIRED,
    STATUS_NOT_SUPPORTED,
    ntddk::{IoAllocateIrp, IoFreeIrp, IoReuseIrp, IofCallDriver},
};

use crate::{
    nt::{
        event::{Event, pause},
        irp::{next, on_completion},
        irql::Passive,
        mdl::{self, OwnMdl},
    },
    probe::Adapter,
    verdict::{Verdict, judge},
};

/// IRPs on their way at once.
const SLOTS: usize = 32;
const _: () = assert!(SLOTS <= u32::BITS as usize); // `Returns::back`
/// I/Os of the engine at once; those that find no IRP wait here for one.
const OPERATIONS: usize = 64;
/// Most bytes of a piece, whatever the adapter takes: as many as an MDL is made for.
const MOST: u32 = 1 << 20;
/// Seconds that the disk has for an answer; as long as disk.sys gives it by default.
const TIME_OUT: u32 = 60;
/// How often a piece is asked for again that the disk was not ready for, and how long it is given each time: it has
/// fifteen seconds, as when it starts.
const TRIES: u8 = 60;
const PAUSE_MS: u32 = 250;
/// The same for UNMAP: two seconds. All else waits meanwhile, and it is advice.
const UNMAP_TRIES: u8 = 8;
const SENSE: usize = 64;
/// Bytes of UNMAP's parameter list with one range.
const LIST: usize = unmap::HEADER + unmap::DESCRIPTOR;
/// Most bytes that one UNMAP names, whatever the disk takes: as many as a piece's length can say, and sectors come out even.
const MOST_UNMAPPED: u32 = 1 << 30;

/// What completion routines touch. It stays until the last of them has returned.
pub(crate) struct Returns {
    /// A bit for each slot whose IRP is back.
    back: AtomicU32,
    /// IRPs whose completion routine has not returned.
    out: AtomicU32,
    /// Wakes the thread.
    pub(crate) bell: Event,
}

impl Returns {
    /// The bell is to be initialized where it stays.
    pub(crate) fn new() -> Self {
        Self { back: AtomicU32::new(0), out: AtomicU32::new(0), bell: Event::uninit() }
    }

    /// A slot whose IRP is back, once for each time.
    fn next_back(&self) -> Option<usize> {
        let back = self.back.load(Ordering::Acquire);
        let index = back.trailing_zeros();
        (back != 0).then(|| {
            self.back.fetch_and(!(1 << index), Ordering::AcqRel);
            index as usize
        })
    }
}

/// An IRP with all that it takes with it. It does not move.
struct Slot {
    index: usize,
    returns: &'static Returns,
    irp: NonNull<IRP>,
    mdl: OwnMdl,
    srb: SrbStorage,
    sense: [u8; SENSE],
    list: List,
    piece: Piece,
}

/// What is to be unmapped, aligned as all memory that the device gets.
#[repr(align(16))]
struct List([u8; LIST]);

#[derive(Clone, Copy, Default)]
struct Piece {
    operation: usize,
    /// From the operation's start, in bytes.
    at: usize,
    length: u32,
    tries: u8,
}

/// Memory that an operation keeps until it has ended.
enum Memory {
    Read(*mut [u8]),
    Write(Arc<[u8]>),
    /// A flush has none.
    Flush,
    /// What a piece names lies in its slot.
    Unmap,
}

struct Operation {
    id: IoId,
    direction: SrbFlags,
    memory: Memory,
    offset: u64,
    length: usize,
    /// Bytes for which a piece has been sent.
    sent: usize,
    /// Pieces under way.
    left: u32,
    /// Of a flush, which has no bytes.
    flush_sent: bool,
    failed: bool,
}

impl Operation {
    fn is_flush(&self) -> bool {
        matches!(self.memory, Memory::Flush)
    }

    fn all_sent(&self) -> bool {
        match self.memory {
            Memory::Flush => self.flush_sent,
            // Where one piece was refused, the others would be as well.
            Memory::Unmap => self.failed || self.sent == self.length,
            Memory::Read(_) | Memory::Write(_) => self.sent == self.length,
        }
    }

    /// How often a piece is asked for again.
    fn tries(&self) -> u8 {
        if matches!(self.memory, Memory::Unmap) { UNMAP_TRIES } else { TRIES }
    }

    /// Whether a piece is done with which the disk has moved so many bytes.
    fn is_done(&self, piece: Piece, moved: u32) -> bool {
        match self.memory {
            Memory::Flush | Memory::Unmap => true,
            Memory::Read(_) | Memory::Write(_) => moved >= piece.length,
        }
    }

    fn address(&self, at: usize) -> *mut u8 {
        match &self.memory {
            Memory::Read(bytes) => bytes.cast::<u8>().wrapping_add(at),
            Memory::Write(bytes) => bytes.as_ptr().cast_mut().wrapping_add(at),
            Memory::Flush | Memory::Unmap => ptr::null_mut(),
        }
    }
}

/// The disk.
pub(crate) struct Below {
    lower: NonNull<DEVICE_OBJECT>,
    adapter: Adapter,
    sector: u32,
    /// Most bytes that one UNMAP may name.
    unmapped: u32,
    returns: &'static Returns,
    slots: Vec<NonNull<Slot>>,
    free: Vec<usize>,
    operations: Vec<Option<Operation>>,
}

// SAFETY: device objects may be called on any thread; the slots are this value's own.
unsafe impl Send for Below {}

impl Below {
    /// Allocates everything. `sector` in bytes; `unmapped`: the most blocks of one UNMAP, of which none comes if they are 0.
    /// `None` when memory has run out.
    ///
    /// # Safety
    /// `lower` lives as long as the value does.
    pub(crate) unsafe fn new(
        lower: NonNull<DEVICE_OBJECT>,
        adapter: Adapter,
        [sector, unmapped]: [u32; 2],
        returns: &'static Returns,
    ) -> Option<Self> {
        let mut below = Self {
            lower,
            adapter: Adapter { most_bytes: adapter.most_bytes.min(MOST) / sector * sector, ..adapter },
            sector,
            // At least one: what has no end must not be asked for.
            unmapped: unmapped.max(1).saturating_mul(sector).min(MOST_UNMAPPED),
            returns,
            slots: Vec::new(),
            free: Vec::new(),
            operations: Vec::new(),
        };
        below.slots.try_reserve_exact(SLOTS).ok()?;
        below.free.try_reserve_exact(SLOTS).ok()?;
        below.operations.try_reserve_exact(OPERATIONS).ok()?;
        below.operations.resize_with(OPERATIONS, || None);
        for index in 0..SLOTS {
            let mdl = OwnMdl::new(MOST)?;
            // SAFETY: the caller's contract; no quota.
            let irp = NonNull::new(unsafe { IoAllocateIrp((*lower.as_ptr()).StackSize, 0) })?;
            let slot = Slot {
                index,
                returns,
                irp,
                mdl,
                srb: SrbStorage::new(),
                sense: [0; SENSE],
                list: List([0; LIST]),
                piece: Piece::default(),
            };
            let Some(slot) = try_box(slot) else {
                // SAFETY: allocated above, never used.
                unsafe { IoFreeIrp(irp.as_ptr()) };
                return None;
            };
            below.slots.push(NonNull::from(Box::leak(slot)));
            below.free.push(index);
        }
        Some(below)
    }

    /// Sends pieces while there are some and IRPs for them.
    fn pump(&mut self) {
        for index in 0..self.operations.len() {
            while let Some(operation) = self.operations[index].as_mut().filter(|one| !one.all_sent()) {
                let Some(slot) = self.free.pop() else { return };
                let most = match operation.memory {
                    Memory::Unmap => self.unmapped,
                    _ => self.adapter.most_bytes,
                };
                let length = (operation.length - operation.sent).min(most as usize) as u32;
                let piece = Piece { operation: index, at: operation.sent, length, tries: 0 };
                operation.sent += length as usize;
                operation.flush_sent = true;
                operation.left += 1;
                self.send(slot, piece);
            }
        }
    }

    fn send(&mut self, index: usize, piece: Piece) {
        let Some(operation) = self.operations[piece.operation].as_ref() else { return };
        let sector = u64::from(self.sector);
        let range = BlockRange {
            lba: (operation.offset + piece.at as u64) / sector,
            blocks: piece.length / self.sector,
        };
        let cdb = match &operation.memory {
            Memory::Read(_) => Cdb::read(range, false, false, Form::Ten),
            Memory::Write(_) => Cdb::write(range, false, false, Form::Ten),
            Memory::Flush => Cdb::synchronize_cache(BlockRange::default(), Form::Ten),
            Memory::Unmap => Cdb::unmap(LIST as u16),
        };
        let (mut address, mut length) = (operation.address(piece.at), piece.length);
        let (direction, is_unmap) = (operation.direction, matches!(operation.memory, Memory::Unmap));
        let mut place = self.slots[index];
        // SAFETY: the slot is free: nobody else has it.
        let slot = unsafe { place.as_mut() };
        slot.piece = piece;
        slot.sense = [0; SENSE];
        if is_unmap {
            // There is room for one.
            let _ = unmap::write([range], &mut slot.list.0);
            (address, length) = (slot.list.0.as_mut_ptr(), LIST as u32);
        }
        let command = SrbRequest {
            timeout: TIME_OUT,
            sense_buffer: slot.sense.as_mut_ptr(),
            sense_length: SENSE as u8,
            ..SrbRequest::command(cdb.as_bytes())
        };
        let flags = SrbFlags(direction.0 | SrbFlags::NO_QUEUE_FREEZE.0);
        let command = command.with_data(flags, address.cast(), length);
        let filled = slot.srb.fill(self.adapter.kind, &command).is_ok();
        let irp = slot.irp;
        self.returns.out.fetch_add(1, Ordering::AcqRel);
        if !filled {
            // No SRB, and so no answer to one: what the last one said is not about this.
            slot.srb = SrbStorage::new();
            // SAFETY: never sent; as if it had failed below.
            unsafe { came_back(place) };
            return;
        }
        // SAFETY: the slot's IRP, MDL and SRB are idle, and stay where they are until the completion routine has run. The
        // memory is non-paged pool that the operation keeps until then.
        unsafe {
            IoReuseIrp(irp.as_ptr(), STATUS_NOT_SUPPORTED);
            (*irp.as_ptr()).MdlAddress = ptr::null_mut();
            if let Some(address) = NonNull::new(address) {
                mdl::point_at(slot.mdl.raw(), address, length);
                (*irp.as_ptr()).MdlAddress = slot.mdl.raw().as_ptr();
            }
            if let Ok(mut view) = slot.srb.view() {
                view.set_original_request(irp.as_ptr().cast());
            }
            let location = next(irp);
            (*location).MajorFunction = IRP_MJ_SCSI as u8;
            (*location).MinorFunction = 1;
            (*location).Parameters.Scsi.Srb = slot.srb.as_mut_ptr().cast();
            on_completion(irp, Some(back), place.as_ptr().cast());
            let _ = IofCallDriver(self.lower.as_ptr(), irp.as_ptr());
        }
    }

    /// An IRP is back: what has become of its operation, if that has ended.
    fn take(&mut self, index: usize) -> Option<Ended> {
        // SAFETY: its completion routine has said that it is back: nobody else has it.
        let slot = unsafe { self.slots[index].as_mut() };
        // SAFETY: as above.
        let status = unsafe { slot.irp.as_ref().IoStatus.__bindgen_anon_1.Status };
        let (piece, sense) = (slot.piece, slot.sense);
        let verdict = slot
            .srb
            .view()
            .map_or(Verdict::Failed(STATUS_NOT_SUPPORTED), |view| judge(&view, &sense, status));
        let operation = self.operations[piece.operation].as_mut()?;
        let good = match verdict {
            Verdict::Done(moved) => operation.is_done(piece, moved),
            // Without the command it has no cache that could be written.
            Verdict::Unknown => operation.is_flush(),
            Verdict::Again | Verdict::Becoming if piece.tries < operation.tries() => {
                // The report of a reset (SAM-5 5.14) is over once it is made.
                if piece.tries > 0 {
                    // SAFETY: the thread that has this value runs at PASSIVE_LEVEL.
                    pause(PAUSE_MS, unsafe { Passive::assume() });
                }
                self.send(index, Piece { tries: piece.tries + 1, ..piece });
                return None;
            }
            _ => false,
        };
        operation.failed |= !good;
        operation.left -= 1;
        let ended = operation.left == 0 && operation.all_sent();
        self.free.push(index);
        let ended = if ended { self.operations[piece.operation].take() } else { None };
        self.pump();
        ended.map(|Operation { id, memory, failed, .. }| Ended {
            id,
            result: if failed { Err(DeviceError) } else { Ok(()) },
            buffer: match memory {
                // SAFETY: `start` made it from a box, and no IRP has it any more.
                Memory::Read(bytes) => Some(unsafe { Box::from_raw(bytes) }),
                Memory::Write(_) | Memory::Flush | Memory::Unmap => None,
            },
        })
    }

    /// Makes one I/O and waits for it. Only while nothing else is under way.
    fn wait_for(&mut self, op: DeviceOp, at: Passive<'_>) -> Ended {
        let refused = self.start(DeviceIo { id: IoId(0), op }).is_err();
        debug_assert!(!refused);
        loop {
            self.returns.bell.clear();
            if let Some(ended) = self.ended() {
                return ended;
            }
            self.returns.bell.wait(at);
        }
    }
}

impl Device for Below {
    fn start(&mut self, io: DeviceIo) -> Result<(), DeviceIo> {
        let Some(place) = self.operations.iter().position(Option::is_none) else { return Err(io) };
        let DeviceIo { id, op } = io;
        let (direction, memory, offset, length) = match op {
            DeviceOp::Read { offset, length, buffer } => {
                (SrbFlags::DATA_IN, Memory::Read(Box::into_raw(buffer)), offset, length)
            }
            DeviceOp::Write { offset, length, data } => {
                (SrbFlags::DATA_OUT, Memory::Write(data), offset, length)
            }
            DeviceOp::Flush => (SrbFlags(0), Memory::Flush, 0, 0),
            // A disk that refuses it is not asked again while the volume is open.
            DeviceOp::Discard { offset, length } => {
                (SrbFlags::DATA_OUT, Memory::Unmap, offset, length as usize)
            }
        };
        self.operations[place] = Some(Operation {
            id,
            direction,
            memory,
            offset,
            length,
            sent: 0,
            left: 0,
            flush_sent: false,
            failed: false,
        });
        self.pump();
        Ok(())
    }

    fn ended(&mut self) -> Option<Ended> {
        while let Some(index) = self.returns.next_back() {
            if let Some(ended) = self.take(index) {
                return Some(ended);
            }
        }
        None
    }

    fn is_idle(&self) -> bool {
        self.free.len() == self.slots.len()
    }
}

impl Drop for Below {
    fn drop(&mut self) {
        // A routine that has said what it has to say may still be about to wake this thread.
        while self.returns.out.load(Ordering::Acquire) > 0 {
            // SAFETY: the thread that has this value runs at PASSIVE_LEVEL.
            pause(1, unsafe { Passive::assume() });
        }
        for slot in &self.slots {
            // SAFETY: `new` leaked it; nothing is under way.
            unsafe {
                let slot = Box::from_raw(slot.as_ptr());
                IoFreeIrp(slot.irp.as_ptr());
            }
        }
    }
}

/// A way to use the disk one I/O after the other, for opening.
pub(crate) struct OneByOne<'a> {
    pub(crate) below: &'a mut Below,
    pub(crate) at: Passive<'a>,
}

/// `bytes` zeros from the pool: what is transferred must not lie on a stack.
fn from_pool(bytes: usize) -> Result<Buffer, DeviceError> {
    let mut memory = Vec::new();
    memory.try_reserve_exact(bytes).map_err(|_| DeviceError)?;
    memory.resize(bytes, 0);
    Ok(memory.into_boxed_slice())
}

impl Medium for OneByOne<'_> {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        let read = DeviceOp::Read { offset, length: buffer.len(), buffer: from_pool(buffer.len())? };
        let ended = self.below.wait_for(read, self.at);
        ended.result?;
        buffer.copy_from_slice(&ended.buffer.ok_or(DeviceError)?);
        Ok(())
    }

    fn write(&mut self, offset: u64, buffer: &[u8]) -> Result<(), DeviceError> {
        let mut copy = from_pool(buffer.len())?;
        copy.copy_from_slice(buffer);
        // What can have several owners cannot be asked for: that there is memory is found out by asking for as much.
        drop(from_pool(buffer.len() + 64)?);
        let write = DeviceOp::Write { offset, length: buffer.len(), data: Arc::from(copy) };
        self.below.wait_for(write, self.at).result
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        self.below.wait_for(DeviceOp::Flush, self.at).result
    }
}

/// Completion routine. Up to DISPATCH_LEVEL.
unsafe extern "C" fn back(_device: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> NTSTATUS {
    if let Some(slot) = NonNull::new(context.cast::<Slot>()) {
        // SAFETY: `send` passes its slot, which stays until `out` is zero again. The MDL is the slot's.
        unsafe {
            (*irp).MdlAddress = ptr::null_mut();
            came_back(slot);
        }
    }
    STATUS_MORE_PROCESSING_REQUIRED
}

/// # Safety
/// Once for each piece that was counted as out; the slot is not used after.
unsafe fn came_back(slot: NonNull<Slot>) {
    // SAFETY: these two never change; the rest of the slot belongs to whoever takes it from the queue.
    let (index, returns) = unsafe { ((*slot.as_ptr()).index, (*slot.as_ptr()).returns) };
    returns.back.fetch_or(1 << index, Ordering::Release);
    returns.bell.set();
    returns.out.fetch_sub(1, Ordering::AcqRel);
}
