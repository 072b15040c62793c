//! Questions to the disk below while it is being identified: what it is, how large, what lies at an offset.
//!
//! PASSIVE_LEVEL, one at a time, with IRPs that are allocated for the purpose. Nothing here runs on the path of
//! an I/O.

use alloc::vec::Vec;
use core::ptr::{self, NonNull};

use sluice_shim::{
    scsi::{
        answers::page,
        cdb::{BlockRange, Form},
        encode::Cdb,
        provisioning,
    },
    storport::{
        SrbFlags, SrbKind,
        srb::{SrbRequest, SrbStorage},
    },
};
use wdk_sys::{
    DEVICE_OBJECT, IO_STATUS_BLOCK, IRP_MJ_SCSI, NTSTATUS, PDEVICE_OBJECT, PIRP, PVOID,
    STATUS_DEVICE_NOT_READY, STATUS_INSUFFICIENT_RESOURCES, STATUS_IO_DEVICE_ERROR,
    STATUS_MORE_PROCESSING_REQUIRED, STATUS_PENDING,
    ntddk::{IoAllocateIrp, IoBuildDeviceIoControlRequest, IoFreeIrp, IofCallDriver},
};

use crate::nt::{
    event::{Event, pause},
    irp::{next, on_completion},
    irql::Passive,
    is_success,
    mdl::{self, OwnMdl},
};
use crate::verdict::{Verdict, judge};

/// Seconds that the disk has for an answer; as long as disk.sys gives it by default.
pub(crate) const TIME_OUT: u32 = 60;

/// Why a question got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// There is no medium in it.
    NoMedium,
    /// The disk, or something on the way, failed.
    Failed(NTSTATUS),
}

/// What the adapter above the disk takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Adapter {
    /// Which SRBs.
    pub(crate) kind: SrbKind,
    /// Most bytes that one of them may move.
    pub(crate) most_bytes: u32,
    /// Bits of a buffer's address that must be zero.
    pub(crate) alignment: u32,
}

impl Silence {
    /// Whether nothing is known of the disk: the question could not be asked for want of memory.
    pub(crate) fn is_ours(self) -> bool {
        self == Self::Failed(STATUS_INSUFFICIENT_RESOURCES)
    }
}

impl Adapter {
    /// What any adapter takes: legacy SRBs, 64 KiB, and what memory from the pool has.
    pub(crate) const LEAST: Self = Self { kind: SrbKind::Legacy, most_bytes: 64 << 10, alignment: 0 };
}

/// The disk below, to be asked.
pub(crate) struct Probe<'a> {
    lower: NonNull<DEVICE_OBJECT>,
    adapter: Adapter,
    /// Beside what each command needs.
    flags: SrbFlags,
    at: Passive<'a>,
}

/// How large a disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capacity {
    pub(crate) sector_size: u32,
    pub(crate) sectors: u64,
    /// A physical sector has 2 to the power of so many of these.
    pub(crate) physical_exponent: u8,
    /// The first of them that begins a physical sector.
    pub(crate) lowest_aligned: u16,
    /// LBPME: it can forget blocks.
    pub(crate) provisioned: bool,
}

impl Capacity {
    /// In bytes; saturates.
    pub(crate) fn bytes(self) -> u64 {
        self.sectors.saturating_mul(u64::from(self.sector_size))
    }
}

impl<'a> Probe<'a> {
    /// A way to ask the device `lower`. Asks it first what its adapter takes.
    pub(crate) fn new(lower: NonNull<DEVICE_OBJECT>, at: Passive<'a>) -> Self {
        let mut probe = Self::with(lower, Adapter::LEAST, at);
        probe.adapter = probe.ask_adapter();
        probe
    }

    /// A way to ask it again, later.
    pub(crate) fn with(lower: NonNull<DEVICE_OBJECT>, adapter: Adapter, at: Passive<'a>) -> Self {
        Self { lower, adapter, flags: SrbFlags::NONE, at }
    }

    /// The same, past a queue that is locked.
    pub(crate) fn past_locks(self) -> Self {
        Self { flags: self.flags | SrbFlags::BYPASS_LOCKED_QUEUE, ..self }
    }

    /// What its adapter takes.
    pub(crate) fn adapter(&self) -> Adapter {
        self.adapter
    }

    /// READ CAPACITY(16), or (10) if the disk does not know it (SBC-4 5.15, 5.16).
    pub(crate) fn capacity(&self) -> Result<Capacity, Silence> {
        // Up to the end of the alignment fields; older disks may send no more than the sizes.
        const SIZES: usize = 12;
        let mut answer = [0; 32];
        match self.data_in(&Cdb::read_capacity_16(32), &mut answer) {
            Ok(length) if length >= SIZES => Ok(Capacity {
                sectors: be64(&answer, 0).saturating_add(1),
                sector_size: be32(&answer, 8),
                physical_exponent: answer[13] & 0x0f,
                lowest_aligned: u16::from_be_bytes([answer[14], answer[15]]) & 0x3fff,
                provisioned: answer[14] & 0x80 != 0,
            }),
            Err(Silence::NoMedium) => Err(Silence::NoMedium),
            _ => {
                let mut answer = [0; 8];
                self.whole(&Cdb::read_capacity_10(), &mut answer)?;
                let (sectors, sector_size) = (u64::from(be32(&answer, 0)) + 1, be32(&answer, 4));
                let (physical_exponent, lowest_aligned, provisioned) = (0, 0, false);
                Ok(Capacity { sectors, sector_size, physical_exponent, lowest_aligned, provisioned })
            }
        }
    }

    /// Reads `into.len()` bytes at byte `offset`, both multiples of the sector size.
    pub(crate) fn read(&self, capacity: Capacity, offset: u64, into: &mut [u8]) -> Result<(), Silence> {
        let size = u64::from(capacity.sector_size);
        let range = BlockRange { lba: offset / size, blocks: (into.len() as u64 / size) as u32 };
        self.whole(&Cdb::read(range, false, false, Form::Ten), into)
    }

    /// Most blocks of one UNMAP of one range; 0 if the disk does not say that it takes it.
    pub(crate) fn most_unmapped(&self) -> u32 {
        let (mut limits, mut thin) = ([0; provisioning::PAGE], [0; provisioning::PAGE]);
        if !provisioning::tells(self.vital(page::SUPPORTED, &mut limits)) {
            return 0;
        }
        let limits = self.vital(page::LIMITS, &mut limits);
        provisioning::most_unmapped(limits, self.vital(page::PROVISIONING, &mut thin))
    }

    /// INQUIRY: standard data, or a VPD page, or as much of it as fits.
    pub(crate) fn inquiry<'b>(&self, page: Option<u8>, into: &'b mut [u8]) -> Result<&'b [u8], Silence> {
        let length = self.data_in(&Cdb::inquiry(page, into.len() as u16), into)?;
        Ok(into.get(..length).unwrap_or(&[]))
    }

    /// REPORT LUNS, likewise.
    pub(crate) fn report_luns<'b>(&self, into: &'b mut [u8]) -> Result<&'b [u8], Silence> {
        let length = self.data_in(&Cdb::report_luns(into.len() as u32), into)?;
        Ok(into.get(..length).unwrap_or(&[]))
    }

    /// A VPD page, or as much of it as fits; nothing if the disk does not answer.
    fn vital<'b>(&self, page: u8, into: &'b mut [u8; provisioning::PAGE]) -> &'b [u8] {
        self.inquiry(Some(page), into).unwrap_or(&[])
    }

    /// Asks for exactly so much: a part of a header would look like none.
    fn whole(&self, cdb: &Cdb, into: &mut [u8]) -> Result<(), Silence> {
        let wanted = into.len();
        match self.data_in(cdb, into)? {
            length if length == wanted => Ok(()),
            _ => Err(Silence::Failed(STATUS_IO_DEVICE_ERROR)),
        }
    }

    /// Asks, and asks again while the answer may be another next time; answers how much came. A disk has fifteen
    /// seconds to become ready, and two to get over a reset.
    fn data_in(&self, cdb: &Cdb, into: &mut [u8]) -> Result<usize, Silence> {
        const PAUSE_MS: u32 = 250;
        const BECOMING: u32 = 60;
        const AGAIN: u32 = 8;
        let mut tries = 0;
        loop {
            let (most, status) = match self.data_in_once(cdb, into) {
                Ok(length) => return Ok(length),
                Err(Verdict::NoMedium) => return Err(Silence::NoMedium),
                Err(Verdict::Becoming) => (BECOMING, STATUS_DEVICE_NOT_READY),
                Err(Verdict::Again) => (AGAIN, STATUS_IO_DEVICE_ERROR),
                Err(Verdict::Failed(status)) => (0, status),
                Err(Verdict::Unknown | Verdict::Done(_)) => (0, STATUS_IO_DEVICE_ERROR),
            };
            tries += 1;
            if tries > most {
                return Err(Silence::Failed(status));
            }
            // The report of a reset (SAM-5 5.14) is over once it is made.
            if tries > 1 {
                pause(PAUSE_MS, self.at);
            }
        }
    }

    fn data_in_once(&self, cdb: &Cdb, into: &mut [u8]) -> Result<usize, Verdict> {
        // The answer is transferred to pool memory: `into` may lie on a stack that is not mapped for a device.
        let no_memory = Verdict::Failed(STATUS_INSUFFICIENT_RESOURCES);
        let mut buffer: Vec<u8> = Vec::new();
        buffer.try_reserve_exact(into.len()).map_err(|_| no_memory)?;
        buffer.resize(into.len(), 0);
        let (mut sense, mut storage) = ([0u8; 64], SrbStorage::new());
        let length = into.len() as u32;
        let command = SrbRequest {
            timeout: TIME_OUT,
            sense_buffer: sense.as_mut_ptr(),
            sense_length: sense.len() as u8,
            ..SrbRequest::command(cdb.as_bytes()).with_data(
                self.flags | SrbFlags::DATA_IN,
                buffer.as_mut_ptr().cast(),
                length,
            )
        };
        let failed = Verdict::Failed(STATUS_IO_DEVICE_ERROR);
        storage.fill(self.adapter.kind, &command).map_err(|_| failed)?;
        let memory = NonNull::new(buffer.as_mut_ptr()).ok_or(no_memory)?;
        let status = self.send(&mut storage, memory, length);
        let view = storage.view().map_err(|_| failed)?;
        match judge(&view, &sense, status) {
            Verdict::Done(moved) => {
                into.copy_from_slice(&buffer);
                Ok(moved.min(length) as usize)
            }
            other => Err(other),
        }
    }

    /// Sends an SRB and waits. `memory` is non-paged, of `length` bytes.
    pub(crate) fn send(&self, srb: &mut SrbStorage, memory: NonNull<u8>, length: u32) -> NTSTATUS {
        let Some(mdl) = OwnMdl::new(length) else { return STATUS_INSUFFICIENT_RESOURCES };
        // SAFETY: attached, so the device is alive.
        let irp = NonNull::new(unsafe { IoAllocateIrp((*self.lower.as_ptr()).StackSize, 0) });
        let Some(irp) = irp else { return STATUS_INSUFFICIENT_RESOURCES };
        let (mdl, done) = (mdl.into_raw(), Event::uninit());
        // SAFETY: everything the IRP points at stays here until the completion routine has run: this function
        // waits for it. The memory is non-paged pool of `length` bytes.
        unsafe {
            done.initialize();
            if length > 0 {
                mdl::point_at(mdl, memory, length);
                (*irp.as_ptr()).MdlAddress = mdl.as_ptr();
            }
            if let Ok(mut view) = srb.view() {
                view.set_original_request(irp.as_ptr().cast());
            }
            let location = next(irp);
            (*location).MajorFunction = IRP_MJ_SCSI as u8;
            (*location).MinorFunction = 1;
            (*location).Parameters.Scsi.Srb = srb.as_mut_ptr().cast();
            on_completion(irp, Some(signal), ptr::from_ref(&done).cast_mut().cast());
            let _ = IofCallDriver(self.lower.as_ptr(), irp.as_ptr());
            done.wait(self.at);
            let status = (*irp.as_ptr()).IoStatus.__bindgen_anon_1.Status;
            IoFreeIrp(irp.as_ptr());
            drop(OwnMdl::from_raw(mdl));
            status
        }
    }

    /// IOCTL_STORAGE_QUERY_PROPERTY for the adapter. Drivers from before Windows 8 answer with a shorter descriptor and
    /// take legacy SRBs.
    fn ask_adapter(&self) -> Adapter {
        const IOCTL_STORAGE_QUERY_PROPERTY: u32 = 0x002d_1400;
        const STORAGE_ADAPTER_PROPERTY: u32 = 1;
        let mut query = [STORAGE_ADAPTER_PROPERTY, 0, 0];
        let (mut answer, done) = ([0u8; 64], Event::uninit());
        let mut status = IO_STATUS_BLOCK::default();
        // SAFETY: buffers, event and status block stay here until the event is set. The I/O manager frees the IRP.
        let (result, length) = unsafe {
            done.initialize();
            let irp = IoBuildDeviceIoControlRequest(
                IOCTL_STORAGE_QUERY_PROPERTY,
                self.lower.as_ptr(),
                query.as_mut_ptr().cast(),
                size_of_val(&query) as u32,
                answer.as_mut_ptr().cast(),
                size_of_val(&answer) as u32,
                0,
                done.as_ptr(),
                &raw mut status,
            );
            if irp.is_null() {
                return Adapter::LEAST;
            }
            let result = IofCallDriver(self.lower.as_ptr(), irp);
            if result == STATUS_PENDING {
                done.wait(self.at);
            }
            let result = if result == STATUS_PENDING { status.__bindgen_anon_1.Status } else { result };
            (result, status.Information as usize)
        };
        if is_success(result) { described(answer.get(..length).unwrap_or(&answer)) } else { Adapter::LEAST }
    }
}

unsafe extern "C" fn signal(_device: PDEVICE_OBJECT, _irp: PIRP, context: PVOID) -> NTSTATUS {
    // SAFETY: `send` passes its event, and waits for it in any case.
    unsafe { (*context.cast::<Event>()).set() };
    STATUS_MORE_PROCESSING_REQUIRED
}

/// STORAGE_ADAPTER_DESCRIPTOR (ntddstor.h): five u32, five u8, padding, two u16, SrbType.
fn described(answer: &[u8]) -> Adapter {
    const MAXIMUM_TRANSFER_LENGTH: usize = 8;
    const MAXIMUM_PHYSICAL_PAGES: usize = 12;
    const ALIGNMENT_MASK: usize = 16;
    const SRB_TYPE: usize = 5 * 4 + 5 + 1 + 2 * 2;
    const PAGE: u32 = 4096;
    let word =
        |at: usize| answer.get(at..).and_then(<[u8]>::first_chunk).copied().map_or(0, u32::from_le_bytes);
    // A buffer need not begin on a page, and then lies on one more. Zero pages: no limit is told.
    let by_pages = match word(MAXIMUM_PHYSICAL_PAGES) {
        0 => u32::MAX,
        pages => (pages - 1).saturating_mul(PAGE),
    };
    Adapter {
        kind: if answer.get(SRB_TYPE) == Some(&1) { SrbKind::Extended } else { SrbKind::Legacy },
        most_bytes: word(MAXIMUM_TRANSFER_LENGTH).min(by_pages).max(PAGE),
        alignment: word(ALIGNMENT_MASK),
    }
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().map_or(0, u32::from_be_bytes)
}

fn be64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().map_or(0, u64::from_be_bytes)
}
