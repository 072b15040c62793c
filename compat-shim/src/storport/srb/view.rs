//! A checked view of an SRB that somebody sent us.

use core::{ffi::c_void, mem::offset_of, mem::size_of, ptr::NonNull};

use super::{MAX_CDB, SrbError, SrbKind, storage::ExtendedSrb};
use crate::storport::{
    codes::{QueueAction, ScsiStatus, SrbFlags, SrbFunction, SrbStatus},
    extended::{
        EX_DATA_HEAD, SRB_SIGNATURE, STOR_ADDR_BTL8_ADDRESS_LENGTH, STOR_ADDRESS_TYPE_BTL8,
        STORAGE_REQUEST_BLOCK_VERSION_1, SrbExData, SrbExDataCdb, SrbExDataCdbVar, StorAddressBtl8,
        StorageRequestBlock, data_type,
    },
    legacy::ScsiRequestBlock,
};

/// Most extended data blocks in one SRB. No function is documented with more than three.
const MAX_BLOCKS: u32 = 8;
/// Where the array of offsets begins.
const OFFSETS: usize = offset_of!(StorageRequestBlock, srb_ex_data_offset);

/// Bus, target and unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// Bus.
    pub path: u8,
    /// Target on the bus.
    pub target: u8,
    /// Unit of the target.
    pub lun: u8,
}

/// Where the SCSI part of an SRB lies.
#[derive(Clone, Copy, Debug)]
enum ScsiPart {
    /// In the legacy SRB itself.
    Legacy,
    /// An [`SrbExDataCdb`] (16 or 32: they differ in their last field only).
    Fixed(usize),
    /// An [`SrbExDataCdbVar`].
    Variable(usize),
    /// There is none: the function is not EXECUTE_SCSI.
    None,
}

/// A checked view of an SRB of either kind. What the checks depend on (offsets, the CDB) is copied when it is
/// made, so nothing that changes afterwards can lead outside.
#[derive(Clone, Debug)]
pub struct SrbView {
    srb: NonNull<u8>,
    kind: SrbKind,
    scsi: ScsiPart,
    address: Address,
    cdb: [u8; MAX_CDB],
    cdb_length: u8,
}

/// The part of an SRB that may be touched.
#[derive(Clone, Copy)]
struct Block {
    start: NonNull<u8>,
    length: usize,
}

/// The fields of [`StorageRequestBlock`] of the same names.
struct Front {
    length: u16,
    signature: u32,
    version: u32,
    srb_length: u32,
    function: u32,
    address: u32,
    blocks: u32,
}

impl Block {
    /// # Safety
    /// `length` bytes at `start` are readable while the block is used.
    unsafe fn new(start: NonNull<u8>, length: usize) -> Self {
        Self { start, length }
    }

    /// The same, shorter.
    fn cut(self, length: usize) -> Self {
        Self { length: length.min(self.length), ..self }
    }

    /// What every extended SRB has, and the check depends on.
    #[inline(always)] // every I/O
    fn front(self) -> Result<Front, SrbError> {
        if self.length < OFFSETS {
            return Err(SrbError::Length);
        }
        let srb: *const StorageRequestBlock = self.start.as_ptr().cast();
        // SAFETY: all of these lie before `OFFSETS`, so inside the block, which is readable and aligned (`parse_bounded`).
        Ok(unsafe {
            Front {
                length: (&raw const (*srb).length).read(),
                signature: (&raw const (*srb).signature).read(),
                version: (&raw const (*srb).version).read(),
                srb_length: (&raw const (*srb).srb_length).read(),
                function: (&raw const (*srb).srb_function).read(),
                address: (&raw const (*srb).address_offset).read(),
                blocks: (&raw const (*srb).num_srb_ex_data).read(),
            }
        })
    }

    /// Reads a `T`. Unaligned, because offsets inside come from the sender.
    #[inline]
    fn read<T: Copy>(self, offset: usize) -> Result<T, SrbError> {
        let end = offset.checked_add(size_of::<T>()).ok_or(SrbError::Length)?;
        if end > self.length {
            return Err(SrbError::Length);
        }
        // SAFETY: the range is inside the block, which is readable (`new`); `T` is used with plain integers,
        // arrays of them and structures of them only, for which any bytes are valid.
        Ok(unsafe { self.start.add(offset).cast::<T>().read_unaligned() })
    }

    /// Copies `length` bytes to the front of `into`.
    fn copy(self, offset: usize, into: &mut [u8], length: usize) -> Result<(), SrbError> {
        let (end, into) = (offset.checked_add(length), into.get_mut(..length).ok_or(SrbError::Length)?);
        if end.is_none_or(|end| end > self.length) {
            return Err(SrbError::Length);
        }
        // SAFETY: as in `read`; `into` is nobody else's.
        unsafe { into.as_mut_ptr().copy_from_nonoverlapping(self.start.add(offset).as_ptr(), length) };
        Ok(())
    }
}

impl SrbView {
    /// Checks the SRB at `srb`. Any IRQL.
    ///
    /// # Errors
    /// See [`SrbError`]. The SRB is left as it was.
    ///
    /// # Safety
    /// `srb` is null or points at an SRB that stays readable and writable, and that nobody else uses, while the
    /// view is used: 88 bytes if its third byte is not 0x28, else 24 bytes and as many as its `SrbLength` says.
    /// All else may be wrong.
    pub unsafe fn parse(srb: *mut c_void) -> Result<Self, SrbError> {
        let start = NonNull::new(srb.cast::<u8>()).ok_or(SrbError::Address)?;
        // SAFETY: the caller promises 24 bytes.
        let head = unsafe { Block::new(start, 24) };
        let function: u8 = head.read(offset_of!(StorageRequestBlock, function))?;
        let available = if function == SrbFunction::STORAGE_REQUEST_BLOCK.0 {
            let signature: u32 = head.read(offset_of!(StorageRequestBlock, signature))?;
            if signature != SRB_SIGNATURE {
                return Err(SrbError::Signature); // then its SrbLength means nothing either
            }
            head.read::<u32>(offset_of!(StorageRequestBlock, srb_length))? as usize
        } else {
            size_of::<ScsiRequestBlock>()
        };
        // SAFETY: the caller's promise.
        unsafe { Self::parse_bounded(srb, available) }
    }

    /// Checks the SRB at `srb`, of which only `available` bytes exist.
    ///
    /// # Errors
    /// See [`SrbError`].
    ///
    /// # Safety
    /// As for [`Self::parse`], but with `available` bytes whatever they say.
    pub unsafe fn parse_bounded(srb: *mut c_void, available: usize) -> Result<Self, SrbError> {
        let start = NonNull::new(srb.cast::<u8>()).ok_or(SrbError::Address)?;
        if !start.cast::<u64>().is_aligned() {
            return Err(SrbError::Address);
        }
        // SAFETY: the caller's promise.
        let block = unsafe { Block::new(start, available) };
        let function: u8 = block.read(offset_of!(StorageRequestBlock, function))?;
        if function == SrbFunction::STORAGE_REQUEST_BLOCK.0 {
            parse_extended(block)
        } else {
            parse_legacy(block)
        }
    }

    /// The view of an SRB that [`SrbStorage::fill`] has made. Everything is where that has put it, whatever a miniport may
    /// have written since, so there is nothing to be checked.
    ///
    /// # Safety
    /// `srb` is the address of an [`SrbStorage`] filled as one of this `kind`, that stays there while the view is used.
    pub(crate) unsafe fn filled(srb: NonNull<u8>, kind: SrbKind) -> Self {
        let mut view = Self {
            srb,
            kind,
            scsi: ScsiPart::None,
            address: Address::default(),
            cdb: [0; MAX_CDB],
            cdb_length: 0,
        };
        let is_scsi = view.function() == SrbFunction::EXECUTE_SCSI;
        // SAFETY: the storage is as large as either structure, and aligned (asserted beside it).
        unsafe {
            match kind {
                SrbKind::Legacy => {
                    let srb = view.legacy();
                    let (path, target, lun) = ((*srb).path_id, (*srb).target_id, (*srb).lun);
                    view.address = Address { path, target, lun };
                    if is_scsi {
                        view.cdb[..16].copy_from_slice(&(*srb).cdb);
                        (view.scsi, view.cdb_length) = (ScsiPart::Legacy, (*srb).cdb_length);
                    }
                }
                SrbKind::Extended => {
                    let srb: *const ExtendedSrb = srb.as_ptr().cast_const().cast();
                    let StorAddressBtl8 { path, target, lun, .. } = (*srb).address;
                    view.address = Address { path, target, lun };
                    if is_scsi {
                        view.cdb = (*srb).command.cdb;
                        view.scsi = ScsiPart::Fixed(offset_of!(ExtendedSrb, command));
                        view.cdb_length = (*srb).command.cdb_length;
                    }
                }
            }
        }
        view
    }

    /// Where this SRB has the fields that an answer is written to, in one number, for [`Self::to_answer`].
    #[must_use]
    pub fn place(&self) -> usize {
        let (part, offset) = match self.scsi {
            ScsiPart::None => (0, 0),
            ScsiPart::Legacy => (1, 0),
            ScsiPart::Fixed(offset) => (2, offset),
            ScsiPart::Variable(offset) => (3, offset),
        };
        offset << 3 | part << 1 | usize::from(self.kind == SrbKind::Extended)
    }

    /// A view to write the answer with, of an SRB that has been checked before: it shows neither address nor command.
    ///
    /// # Safety
    /// `place` is that of a view of the SRB at `srb`, which has been there since, with all of its memory; else as for
    /// [`Self::parse`].
    #[must_use]
    pub unsafe fn to_answer(srb: NonNull<c_void>, place: usize) -> Self {
        let scsi = match place >> 1 & 3 {
            0 => ScsiPart::None,
            1 => ScsiPart::Legacy,
            2 => ScsiPart::Fixed(place >> 3),
            _ => ScsiPart::Variable(place >> 3),
        };
        let kind = if place & 1 == 0 { SrbKind::Legacy } else { SrbKind::Extended };
        Self { srb: srb.cast(), kind, scsi, address: Address::default(), cdb: [0; MAX_CDB], cdb_length: 0 }
    }

    /// Which structure it is.
    #[must_use]
    pub fn kind(&self) -> SrbKind {
        self.kind
    }

    /// The SRB itself.
    #[must_use]
    pub fn as_ptr(&self) -> *mut c_void {
        self.srb.as_ptr().cast()
    }

    fn legacy(&self) -> *mut ScsiRequestBlock {
        self.srb.as_ptr().cast()
    }

    fn extended(&self) -> *mut StorageRequestBlock {
        self.srb.as_ptr().cast()
    }

    /// The extended data with the CDB. Sense and status fields lie alike in 16 and 32.
    fn fixed(&self, offset: usize) -> *mut SrbExDataCdb<16> {
        self.srb.as_ptr().wrapping_add(offset).cast()
    }

    fn variable(&self, offset: usize) -> *mut SrbExDataCdbVar {
        self.srb.as_ptr().wrapping_add(offset).cast()
    }

    /// The command's bytes: at most [`MAX_CDB`], a copy made by the check. Empty if the function is not
    /// EXECUTE_SCSI.
    #[must_use]
    pub fn cdb(&self) -> &[u8] {
        self.cdb.get(..usize::from(self.cdb_length)).unwrap_or(&[])
    }

    /// Bus, target and unit.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address
    }
}

/// Reads the field that is called `$legacy` in one kind and `$extended` in the other.
macro_rules! read {
    ($view:ident, $legacy:ident, $extended:ident, $type:ty) => {
        // SAFETY: the check found the structure's head inside the SRB, which is aligned and readable.
        unsafe {
            match $view.kind {
                SrbKind::Legacy => (&raw const (*$view.legacy()).$legacy).read() as $type,
                SrbKind::Extended => (&raw const (*$view.extended()).$extended).read() as $type,
            }
        }
    };
}

/// Writes it.
macro_rules! write {
    ($view:ident, $legacy:ident, $extended:ident, $value:expr) => {
        // SAFETY: the check found the structure's head inside the SRB, which is aligned and writable.
        unsafe {
            match $view.kind {
                SrbKind::Legacy => (&raw mut (*$view.legacy()).$legacy).write($value),
                SrbKind::Extended => (&raw mut (*$view.extended()).$extended).write($value),
            }
        }
    };
}

impl SrbView {
    /// What it does.
    #[must_use]
    pub fn function(&self) -> SrbFunction {
        SrbFunction(read!(self, function, srb_function, u8))
    }

    /// SRB_FLAGS_*.
    #[must_use]
    pub fn flags(&self) -> SrbFlags {
        SrbFlags(read!(self, srb_flags, srb_flags, u32))
    }

    /// How it went.
    #[must_use]
    pub fn srb_status(&self) -> SrbStatus {
        SrbStatus(read!(self, srb_status, srb_status, u8))
    }

    /// The data's address as the sender wrote it. Behind an MDL it is not a mapped address.
    #[must_use]
    pub fn data_buffer(&self) -> *mut c_void {
        read!(self, data_buffer, data_buffer, *mut c_void)
    }

    /// Bytes to transfer; after completion, bytes transferred.
    #[must_use]
    pub fn data_transfer_length(&self) -> u32 {
        read!(self, data_transfer_length, data_transfer_length, u32)
    }

    /// Time-out in seconds.
    #[must_use]
    pub fn timeout(&self) -> u32 {
        read!(self, time_out_value, time_out_value, u32)
    }

    /// Tag.
    #[must_use]
    pub fn queue_tag(&self) -> u32 {
        read!(self, queue_tag, request_tag, u32)
    }

    /// The tag action; meaningful with `SRB_FLAGS_QUEUE_ACTION_ENABLE`.
    #[must_use]
    pub fn queue_action(&self) -> QueueAction {
        QueueAction(read!(self, queue_action, request_attribute, u8))
    }

    /// The IRP.
    #[must_use]
    pub fn original_request(&self) -> *mut c_void {
        read!(self, original_request, original_request, *mut c_void)
    }

    /// The miniport's memory for this request.
    #[must_use]
    pub fn miniport_context(&self) -> *mut c_void {
        read!(self, srb_extension, miniport_context, *mut c_void)
    }

    /// NTSTATUS behind SRB_STATUS_INTERNAL_ERROR.
    #[must_use]
    pub fn internal_status(&self) -> u32 {
        read!(self, internal_status, system_status, u32)
    }

    /// Sets the bytes transferred.
    pub fn set_data_transfer_length(&mut self, bytes: u32) {
        write!(self, data_transfer_length, data_transfer_length, bytes);
    }

    /// Sets the data's address, as the receiver is to see it.
    #[expect(clippy::not_unsafe_ptr_arg_deref, reason = "the address is stored, not followed")]
    pub fn set_data_buffer(&mut self, address: *mut c_void) {
        write!(self, data_buffer, data_buffer, address);
    }

    /// Sets the IRP that carries it.
    #[expect(clippy::not_unsafe_ptr_arg_deref, reason = "the address is stored, not followed")]
    pub fn set_original_request(&mut self, irp: *mut c_void) {
        write!(self, original_request, original_request, irp);
    }

    /// Sets the NTSTATUS behind SRB_STATUS_INTERNAL_ERROR.
    pub fn set_internal_status(&mut self, ntstatus: u32) {
        write!(self, internal_status, system_status, ntstatus);
    }

    /// Sets how it went. Never sets the queue-frozen flag, which is the port's alone.
    pub fn set_srb_status(&mut self, status: SrbStatus) {
        write!(self, srb_status, srb_status, status.0 & !SrbStatus::QUEUE_FROZEN);
    }

    /// Priority (extended SRBs; else 0).
    #[must_use]
    pub fn priority(&self) -> u16 {
        match self.kind {
            SrbKind::Legacy => 0,
            // SAFETY: the check found the structure's head inside the SRB, which is aligned and readable.
            SrbKind::Extended => unsafe { (&raw const (*self.extended()).request_priority).read() },
        }
    }

    /// Whether all requests before it must be done first, and it before all after it: ORDERED and untagged ones.
    #[must_use]
    pub fn is_barrier(&self) -> bool {
        !self.flags().contains(SrbFlags::QUEUE_ACTION_ENABLE) || self.queue_action() == QueueAction::ORDERED
    }

    /// Whether it is paging I/O, which must make progress without allocating.
    #[must_use]
    pub fn is_paging(&self) -> bool {
        self.flags().contains(SrbFlags::CLASS_PAGING)
    }

    /// The SCSI status byte; GOOD if the function has none.
    #[must_use]
    pub fn scsi_status(&self) -> ScsiStatus {
        self.status_field().map_or(ScsiStatus::GOOD, |field| {
            // SAFETY: inside the SRB.
            ScsiStatus(unsafe { field.as_ptr().read() })
        })
    }

    /// Sets the SCSI status byte, if the function has one.
    pub fn set_scsi_status(&mut self, status: ScsiStatus) {
        if let Some(field) = self.status_field() {
            // SAFETY: inside the SRB.
            unsafe { field.as_ptr().write(status.0) };
        }
    }

    fn status_field(&self) -> Option<NonNull<u8>> {
        // SAFETY: the check found these structures inside the SRB.
        let field = unsafe {
            match self.scsi {
                ScsiPart::Legacy => &raw mut (*self.legacy()).scsi_status,
                ScsiPart::Fixed(at) => &raw mut (*self.fixed(at)).scsi_status,
                ScsiPart::Variable(at) => &raw mut (*self.variable(at)).scsi_status,
                ScsiPart::None => return None,
            }
        };
        NonNull::new(field)
    }

    /// Addresses of the sense buffer's pointer and length.
    fn sense_fields(&self) -> Option<(*mut *mut c_void, *mut u8)> {
        // SAFETY: the check found these structures inside the SRB, at aligned offsets.
        unsafe {
            match self.scsi {
                ScsiPart::Legacy => {
                    let srb = self.legacy();
                    Some((&raw mut (*srb).sense_info_buffer, &raw mut (*srb).sense_info_buffer_length))
                }
                ScsiPart::Fixed(at) => {
                    let data = self.fixed(at);
                    Some((&raw mut (*data).sense_info_buffer, &raw mut (*data).sense_info_buffer_length))
                }
                ScsiPart::Variable(at) => {
                    let data = self.variable(at);
                    Some((&raw mut (*data).sense_info_buffer, &raw mut (*data).sense_info_buffer_length))
                }
                ScsiPart::None => None,
            }
        }
    }

    /// The sense buffer and its length, if there is one.
    #[must_use]
    pub fn sense_buffer(&self) -> Option<(NonNull<u8>, u8)> {
        let (pointer, length) = self.sense_fields()?;
        // SAFETY: inside the SRB, aligned.
        let (pointer, length) = unsafe { (pointer.read(), length.read()) };
        let pointer = NonNull::new(pointer.cast::<u8>())?;
        (length != 0).then_some((pointer, length))
    }

    /// Copies `sense` into the sender's buffer, cut to its length, sets its length to what was copied and sets
    /// the AUTOSENSE flag. Does nothing if the sender wants no sense data. Returns the bytes copied.
    ///
    /// # Safety
    /// The sense buffer that the SRB names is writable for the length it names.
    pub unsafe fn write_sense(&mut self, sense: &[u8]) -> usize {
        if self.flags().contains(SrbFlags::DISABLE_AUTOSENSE) {
            return 0;
        }
        let (Some((buffer, room)), Some((_, length))) = (self.sense_buffer(), self.sense_fields()) else {
            return 0;
        };
        let count = sense.len().min(usize::from(room));
        if count == 0 {
            return 0;
        }
        // SAFETY: the caller vouches for the buffer; `length` is inside the SRB; `count` fits into a byte.
        unsafe {
            core::ptr::copy_nonoverlapping(sense.as_ptr(), buffer.as_ptr(), count);
            length.write(count as u8);
        }
        let status = self.srb_status().with_sense();
        self.set_srb_status(status);
        count
    }
}

fn parse_legacy(block: Block) -> Result<SrbView, SrbError> {
    let length: u16 = block.read(offset_of!(ScsiRequestBlock, length))?;
    if usize::from(length) < size_of::<ScsiRequestBlock>() || block.length < size_of::<ScsiRequestBlock>() {
        return Err(SrbError::Length);
    }
    let address: [u8; 3] = block.read(offset_of!(ScsiRequestBlock, path_id))?;
    let mut view = SrbView {
        srb: block.start,
        kind: SrbKind::Legacy,
        scsi: ScsiPart::None,
        address: Address { path: address[0], target: address[1], lun: address[2] },
        cdb: [0; MAX_CDB],
        cdb_length: 0,
    };
    if view.function() == SrbFunction::EXECUTE_SCSI {
        let cdb_length: u8 = block.read(offset_of!(ScsiRequestBlock, cdb_length))?;
        view.scsi = ScsiPart::Legacy;
        view.cdb_length = self::cdb_length(cdb_length.into(), 16)?;
        view.cdb[..16].copy_from_slice(&block.read::<[u8; 16]>(offset_of!(ScsiRequestBlock, cdb))?);
    }
    Ok(view)
}

fn parse_extended(block: Block) -> Result<SrbView, SrbError> {
    let Front { length: head, signature, version, srb_length, function, address, blocks } = block.front()?;
    if signature != SRB_SIGNATURE {
        return Err(SrbError::Signature);
    }
    if version != STORAGE_REQUEST_BLOCK_VERSION_1 {
        return Err(SrbError::Version);
    }
    // The first field says where the signature is, for readers of legacy SRBs.
    if usize::from(head) != offset_of!(StorageRequestBlock, signature) {
        return Err(SrbError::Length);
    }
    let length = srb_length as usize;
    if length > block.length || length < OFFSETS {
        return Err(SrbError::Length);
    }
    let block = block.cut(length);
    if blocks > MAX_BLOCKS {
        return Err(SrbError::TooManyBlocks);
    }
    let head = OFFSETS + 4 * blocks as usize;
    if head > length {
        return Err(SrbError::Length);
    }
    if function >= u32::from(SrbFunction::STORAGE_REQUEST_BLOCK.0)
        && function != u32::from(SrbFunction::CRYPTO_OPERATION.0)
    {
        return Err(SrbError::Function);
    }
    let address = read_address(block, address as usize, head)?;
    let mut command = None;
    for index in 0..blocks as usize {
        let offset = block.read::<u32>(OFFSETS + 4 * index)?;
        if has_command(block, offset as usize, head)? && command.replace(offset).is_some() {
            return Err(SrbError::Command);
        }
    }
    let (kind, scsi) = (SrbKind::Extended, ScsiPart::None);
    let mut view = SrbView { srb: block.start, kind, scsi, address, cdb: [0; MAX_CDB], cdb_length: 0 };
    // A stray CDB is not another function's.
    if function == u32::from(SrbFunction::EXECUTE_SCSI.0) {
        take_command(&mut view, block, command.ok_or(SrbError::Command)? as usize)?;
    }
    Ok(view)
}

/// The address, or zeros if the SRB has none (functions for the whole adapter).
#[inline(always)] // every I/O
fn read_address(block: Block, at: usize, head: usize) -> Result<Address, SrbError> {
    if at == 0 {
        return Ok(Address::default());
    }
    if at < head {
        return Err(SrbError::Block);
    }
    const USED: usize = offset_of!(StorAddressBtl8, reserved);
    let [k0, k1, _, _, l0, l1, l2, l3, path, target, lun] = block.read::<[u8; USED]>(at)?;
    let (kind, length) = (u16::from_le_bytes([k0, k1]), u32::from_le_bytes([l0, l1, l2, l3]));
    if kind != STOR_ADDRESS_TYPE_BTL8 || length < STOR_ADDR_BTL8_ADDRESS_LENGTH {
        return Err(SrbError::AddressType);
    }
    Ok(Address { path, target, lun })
}

/// Checks one extended data block; answers whether there is a CDB in it.
#[inline(always)] // every I/O
fn has_command(block: Block, offset: usize, head: usize) -> Result<bool, SrbError> {
    if offset == 0 {
        return Ok(false); // a slot of the array that is not in use
    }
    if offset < head || !offset.is_multiple_of(8) {
        return Err(SrbError::Block);
    }
    let data: SrbExData = block.read(offset).map_err(|_| SrbError::Block)?;
    let size = EX_DATA_HEAD + data.length as usize;
    let least = match data.kind {
        data_type::SCSI_CDB16 => size_of::<SrbExDataCdb<16>>(),
        data_type::SCSI_CDB32 => size_of::<SrbExDataCdb<32>>(),
        data_type::SCSI_CDB_VAR => size_of::<SrbExDataCdbVar>(),
        data_type::BIDIRECTIONAL => return Err(SrbError::Bidirectional),
        _ => EX_DATA_HEAD,
    };
    if size < least || offset + size > block.length {
        return Err(SrbError::Block);
    }
    Ok(least > EX_DATA_HEAD)
}

/// Takes the CDB out of the data block at `offset`, which [`has_command`] has checked. Bytes beyond the command's length
/// are never shown, so whole fields are copied.
#[inline(always)] // every I/O
fn take_command(view: &mut SrbView, block: Block, offset: usize) -> Result<(), SrbError> {
    let data: SrbExData = block.read(offset)?;
    let fixed = offset + offset_of!(SrbExDataCdb<16>, cdb);
    (view.scsi, view.cdb_length) = match data.kind {
        data_type::SCSI_CDB_VAR => {
            let at = size_of::<SrbExDataCdbVar>();
            let length: u32 = block.read(offset + offset_of!(SrbExDataCdbVar, cdb_length))?;
            let room = (EX_DATA_HEAD + data.length as usize).saturating_sub(at);
            let length = cdb_length(length, room.min(MAX_CDB))?;
            block.copy(offset + at, &mut view.cdb, length.into())?;
            (ScsiPart::Variable(offset), length)
        }
        kind => {
            let length: u8 = block.read(offset + offset_of!(SrbExDataCdb<16>, cdb_length))?;
            if kind == data_type::SCSI_CDB16 {
                view.cdb[..16].copy_from_slice(&block.read::<[u8; 16]>(fixed)?);
                (ScsiPart::Fixed(offset), cdb_length(length.into(), 16)?)
            } else {
                view.cdb = block.read(fixed)?;
                (ScsiPart::Fixed(offset), cdb_length(length.into(), 32)?)
            }
        }
    };
    Ok(())
}

#[inline(always)] // every I/O
fn cdb_length(length: u32, room: usize) -> Result<u8, SrbError> {
    match length as usize {
        0 => Err(SrbError::Command),
        length if length > room => Err(SrbError::CdbLength),
        length => Ok(length as u8), // at most MAX_CDB
    }
}
