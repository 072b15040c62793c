//! A command descriptor block, taken apart and put together.
//!
//! Formats: SBC-4 clause 5 (block commands), SPC-5 clause 6 (all devices), SAT-4 clause 12 (ATA PASS-THROUGH).
//! All numbers are big-endian. [`Command::parse`] is total: every byte string gives a command or an error.
//! It says what is asked, not whether it is allowed: that is [`super::policy`].

use super::opcode::{self, service};

/// The blocks that a command is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockRange {
    /// First logical block.
    pub lba: u64,
    /// Number of blocks. May be zero.
    pub blocks: u32,
}

impl BlockRange {
    /// One past the last block, or `None` where that exceeds 64 bits.
    #[must_use]
    pub const fn end(self) -> Option<u64> {
        self.lba.checked_add(self.blocks as u64)
    }

    /// Whether it lies within a medium of `capacity` blocks. An empty range may lie at the very end.
    #[must_use]
    pub const fn fits(self, capacity: u64) -> bool {
        match self.end() {
            Some(end) => end <= capacity,
            None => false,
        }
    }

    /// Length in bytes of `block_size` each, or `None` if 32 bits do not hold it: no SRB can transfer as much.
    #[must_use]
    pub const fn bytes(self, block_size: u32) -> Option<u32> {
        self.blocks.checked_mul(block_size)
    }
}

/// How long the command's CDB is. Answering in the same form keeps to what the device below is known to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// 6 bytes: 21-bit addresses.
    Six,
    /// 10 bytes: 32-bit addresses, 16-bit lengths.
    #[default]
    Ten,
    /// 12 bytes: 32-bit addresses and lengths.
    Twelve,
    /// 16 bytes: 64-bit addresses.
    Sixteen,
    /// 32 bytes: with an expected reference tag.
    ThirtyTwo,
}

/// READ, WRITE and their kin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transfer {
    /// The blocks.
    pub range: BlockRange,
    /// Length of the CDB.
    pub form: Form,
    /// Force unit access: reach the medium.
    pub fua: bool,
    /// Disable page out: do not keep it in a cache.
    pub dpo: bool,
    /// RDPROTECT, WRPROTECT, VRPROTECT: with a value other than 0 the data carries protection information.
    pub protect: u8,
}

/// VERIFY, WRITE AND VERIFY: compare with what?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ByteCheck {
    /// 00b: the medium with itself; there is no data.
    #[default]
    Medium,
    /// 01b: the data, block by block.
    Data,
    /// 10b: reserved.
    Reserved,
    /// 11b: one block of data with every block of the medium.
    OneBlock,
}

/// WRITE SAME.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteSame {
    /// The blocks. A count of zero means all up to the end, where the device allows it.
    pub transfer: Transfer,
    /// Unmap instead of writing where that reads the same.
    pub unmap: bool,
    /// With `unmap`: anchor.
    pub anchor: bool,
    /// There is no data: the block is zeros (16 and 32 only).
    pub no_data: bool,
    /// PBDATA, LBDATA: the obsolete forms that write addresses into the blocks (10 and 16).
    pub patterned: bool,
}

/// INQUIRY (SPC-5 6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inquiry {
    /// The vital product data page, or `None` for standard data.
    pub page: Option<u8>,
    /// EVPD is 0 but the page code is not: an invalid field.
    pub stray_page: bool,
    /// Most bytes to answer.
    pub allocation: u16,
}

/// MODE SENSE (SPC-5 6.14, 6.15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModeSense {
    /// Page code; 3Fh for all.
    pub page: u8,
    /// Subpage code; FFh for all.
    pub subpage: u8,
    /// 0 current, 1 changeable, 2 default, 3 saved.
    pub control: u8,
    /// Leave the block descriptors out.
    pub no_descriptors: bool,
    /// Form of the CDB, and so of the header: [`Form::Six`] or [`Form::Ten`].
    pub form: Form,
    /// Most bytes to answer.
    pub allocation: u16,
}

/// START STOP UNIT (SBC-4 5.31).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartStop {
    /// Start (or load) rather than stop (or eject).
    pub start: bool,
    /// Load or eject.
    pub load_eject: bool,
    /// POWER CONDITION; 0 for the START bit's meaning.
    pub power_condition: u8,
}

/// SECURITY PROTOCOL IN and OUT (SPC-5 6.40, 6.41).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityProtocol {
    /// 0: what is supported; 1 to 6: TCG; EFh: ATA passwords.
    pub protocol: u8,
    /// Its sub-address.
    pub specific: u16,
    /// Length, in units of 512 bytes if `in_512`.
    pub length: u32,
    /// See `length`.
    pub in_512: bool,
}

/// ATA PASS-THROUGH (SAT-4 12.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtaPassThrough {
    /// PROTOCOL: 3 non-data, 4 PIO in, 5 PIO out, 6 DMA, 12 FPDMA (NCQ), 15 return response.
    pub protocol: u8,
    /// The registers hold 48-bit values.
    pub extended: bool,
    /// T_DIR: from the device.
    pub from_device: bool,
    /// The ATA command.
    pub command: u8,
    /// FEATURES; the low byte is SMART's subcommand.
    pub features: u16,
}

/// What a CDB asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// READ 6, 10, 12, 16, 32.
    Read(Transfer),
    /// WRITE 6, 10, 12, 16, 32.
    Write(Transfer),
    /// WRITE AND VERIFY 10, 12, 16, 32.
    WriteAndVerify(Transfer, ByteCheck),
    /// VERIFY 10, 12, 16, 32.
    Verify(Transfer, ByteCheck),
    /// COMPARE AND WRITE: twice the blocks of data.
    CompareAndWrite(Transfer),
    /// ORWRITE, XDREAD, XDWRITE, XPWRITE, XDWRITEREAD and WRITE STREAM: data in other ways.
    Xor,
    /// READ LONG 10, 16: raw sectors with their ECC.
    ReadLong,
    /// WRITE LONG 10, 16.
    WriteLong,
    /// WRITE SAME 10, 16, 32.
    WriteSame(WriteSame),
    /// UNMAP.
    Unmap {
        /// Bytes of the parameter list; see [`super::unmap`].
        length: u16,
        /// Anchor instead of deallocating.
        anchor: bool,
    },
    /// GET LBA STATUS.
    GetLbaStatus {
        /// From this block on.
        lba: u64,
        /// Most bytes to answer.
        allocation: u32,
    },
    /// POPULATE TOKEN.
    PopulateToken,
    /// WRITE USING TOKEN.
    WriteUsingToken,
    /// EXTENDED COPY and the other third-party copies, with RECEIVE COPY RESULTS.
    ExtendedCopy,
    /// SYNCHRONIZE CACHE 10, 16.
    SynchronizeCache {
        /// The blocks; a count of zero means all up to the end.
        range: BlockRange,
        /// Return before it is done.
        immediate: bool,
        /// Length of the CDB.
        form: Form,
    },
    /// READ CAPACITY 10.
    ReadCapacity10,
    /// READ CAPACITY 16.
    ReadCapacity16 {
        /// Most bytes to answer.
        allocation: u32,
    },
    /// INQUIRY.
    Inquiry(Inquiry),
    /// MODE SENSE 6, 10.
    ModeSense(ModeSense),
    /// MODE SELECT 6, 10.
    ModeSelect {
        /// Bytes of the parameter list.
        length: u16,
        /// Form of the CDB, and so of the header.
        form: Form,
    },
    /// REPORT LUNS.
    ReportLuns {
        /// SELECT REPORT.
        select: u8,
        /// Most bytes to answer.
        allocation: u32,
    },
    /// TEST UNIT READY.
    TestUnitReady,
    /// REQUEST SENSE.
    RequestSense {
        /// Descriptor format rather than fixed.
        descriptor: bool,
        /// Most bytes to answer.
        allocation: u8,
    },
    /// PERSISTENT RESERVE IN, and READ RESERVATION's old kin.
    PersistentReserveIn,
    /// PERSISTENT RESERVE OUT, RESERVE and RELEASE 6 and 10.
    PersistentReserveOut,
    /// FORMAT UNIT.
    FormatUnit,
    /// SANITIZE.
    Sanitize,
    /// REASSIGN BLOCKS.
    ReassignBlocks,
    /// SECURITY PROTOCOL IN.
    SecurityProtocolIn(SecurityProtocol),
    /// SECURITY PROTOCOL OUT.
    SecurityProtocolOut(SecurityProtocol),
    /// READ BUFFER.
    ReadBuffer,
    /// WRITE BUFFER: firmware, among others.
    WriteBuffer,
    /// ATA PASS-THROUGH 12, 16.
    AtaPassThrough(AtaPassThrough),
    /// START STOP UNIT.
    StartStopUnit(StartStop),
    /// PREVENT ALLOW MEDIUM REMOVAL.
    PreventAllow {
        /// Whether removal is prevented.
        prevent: bool,
    },
    /// Anything else, by its operation code.
    Other(u8),
}

/// Why a byte string is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CdbError {
    /// No bytes.
    Empty,
    /// Fewer bytes than the operation code's group has.
    Short,
    /// A variable-length CDB whose own length is not that of its service action.
    Length,
}

/// A CDB's bytes with the length checked against the operation code. Reads past the end give zeros: does not happen, and
/// need not panic.
struct Fields<'a, const N: usize>(&'a [u8; N]);

impl<'a, const N: usize> Fields<'a, N> {
    fn new(cdb: &'a [u8]) -> Result<Self, CdbError> {
        cdb.first_chunk().map(Self).ok_or(CdbError::Short)
    }

    #[inline]
    fn u8(&self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or(0)
    }

    fn bit(&self, at: usize, bit: u8) -> bool {
        self.u8(at) >> bit & 1 != 0
    }

    #[inline]
    fn bytes<const M: usize>(&self, at: usize) -> [u8; M] {
        self.0.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; M])
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_be_bytes(self.bytes(at))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.bytes(at))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_be_bytes(self.bytes(at))
    }

    /// Addresses and flags as every 10-, 12-, 16- and 32-byte medium access command has them.
    fn transfer(&self, form: Form) -> Transfer {
        let (flags, range) = match form {
            Form::Six => return self.transfer6(),
            Form::Ten => (1, BlockRange { lba: self.u32(2).into(), blocks: u32::from(self.u16(7)) }),
            Form::Twelve => (1, BlockRange { lba: self.u32(2).into(), blocks: self.u32(6) }),
            Form::Sixteen => (1, BlockRange { lba: self.u64(2), blocks: self.u32(10) }),
            Form::ThirtyTwo => (10, BlockRange { lba: self.u64(12), blocks: self.u32(28) }),
        };
        Transfer {
            range,
            form,
            fua: self.bit(flags, 3),
            dpo: self.bit(flags, 4),
            protect: self.u8(flags) >> 5,
        }
    }

    /// READ(6), WRITE(6): no flags, and a length of 0 means 256 (SBC-4 5.15).
    fn transfer6(&self) -> Transfer {
        let blocks = match self.u8(4) {
            0 => 256,
            blocks => u32::from(blocks),
        };
        let lba = u64::from(self.u32(0) & 0x1F_FFFF);
        Transfer { range: BlockRange { lba, blocks }, form: Form::Six, ..Transfer::default() }
    }

    fn byte_check(&self, at: usize) -> ByteCheck {
        match self.u8(at) >> 1 & 3 {
            0 => ByteCheck::Medium,
            1 => ByteCheck::Data,
            2 => ByteCheck::Reserved,
            _ => ByteCheck::OneBlock,
        }
    }

    fn write_same(&self, form: Form) -> WriteSame {
        let flags = if form == Form::ThirtyTwo { 10 } else { 1 };
        let mut transfer = self.transfer(form);
        // Bits 3 and 4, FUA and DPO elsewhere, are UNMAP and ANCHOR here.
        (transfer.fua, transfer.dpo) = (false, false);
        WriteSame {
            transfer,
            unmap: self.bit(flags, 3),
            anchor: self.bit(flags, 4),
            no_data: form != Form::Ten && self.bit(flags, 0),
            patterned: self.u8(flags) & 0b110 != 0,
        }
    }

    /// COMPARE AND WRITE: an 8-bit length in byte 13.
    fn compare_and_write(&self) -> Transfer {
        let range = BlockRange { lba: self.u64(2), blocks: u32::from(self.u8(13)) };
        Transfer { range, ..self.transfer(Form::Sixteen) }
    }

    fn security(&self) -> SecurityProtocol {
        SecurityProtocol {
            protocol: self.u8(1),
            specific: self.u16(2),
            length: self.u32(6),
            in_512: self.bit(4, 7),
        }
    }

    fn ata12(&self) -> AtaPassThrough {
        AtaPassThrough {
            protocol: self.u8(1) >> 1 & 0xF,
            extended: false,
            from_device: self.bit(2, 3),
            command: self.u8(9),
            features: u16::from(self.u8(3)),
        }
    }

    fn ata16(&self) -> AtaPassThrough {
        let extended = self.bit(1, 0);
        AtaPassThrough {
            protocol: self.u8(1) >> 1 & 0xF,
            extended,
            from_device: self.bit(2, 3),
            command: self.u8(14),
            features: if extended { self.u16(3) } else { u16::from(self.u8(4)) },
        }
    }

    fn inquiry(&self) -> Inquiry {
        let page = self.u8(2);
        let vital = self.bit(1, 0);
        Inquiry { page: vital.then_some(page), stray_page: !vital && page != 0, allocation: self.u16(3) }
    }

    fn mode_sense(&self, form: Form) -> ModeSense {
        ModeSense {
            page: self.u8(2) & 0x3F,
            subpage: self.u8(3),
            control: self.u8(2) >> 6,
            no_descriptors: self.bit(1, 3),
            form,
            allocation: if form == Form::Six { u16::from(self.u8(4)) } else { self.u16(7) },
        }
    }

    fn start_stop(&self) -> StartStop {
        StartStop { start: self.bit(4, 0), load_eject: self.bit(4, 1), power_condition: self.u8(4) >> 4 }
    }
}

/// CDB length by the operation code's top three bits (SPC-5 4.2.5.1). `None` for variable length (group 3) and
/// vendor-specific codes.
#[must_use]
pub const fn length_of(operation: u8) -> Option<usize> {
    match operation >> 5 {
        0 => Some(6),
        1 | 2 => Some(10),
        4 => Some(16),
        5 => Some(12),
        _ => None,
    }
}

impl Command {
    /// Takes a CDB apart. Bytes after the command's own length are ignored, as devices do.
    ///
    /// # Errors
    /// See [`CdbError`].
    pub fn parse(cdb: &[u8]) -> Result<Self, CdbError> {
        let operation = *cdb.first().ok_or(CdbError::Empty)?;
        match length_of(operation) {
            Some(6) => Ok(six(operation, &Fields::new(cdb)?)),
            Some(10) => Ok(ten(operation, &Fields::new(cdb)?)),
            Some(12) => Ok(twelve(operation, &Fields::new(cdb)?)),
            Some(_) => Ok(sixteen(operation, &Fields::new(cdb)?)),
            None if operation == opcode::VARIABLE_LENGTH => variable(cdb),
            None => Ok(Self::Other(operation)),
        }
    }
}

fn six(operation: u8, cdb: &Fields<'_, 6>) -> Command {
    match operation {
        opcode::TEST_UNIT_READY => Command::TestUnitReady,
        opcode::REQUEST_SENSE => Command::RequestSense { descriptor: cdb.bit(1, 0), allocation: cdb.u8(4) },
        opcode::FORMAT_UNIT => Command::FormatUnit,
        opcode::REASSIGN_BLOCKS => Command::ReassignBlocks,
        opcode::READ_6 => Command::Read(cdb.transfer(Form::Six)),
        opcode::WRITE_6 => Command::Write(cdb.transfer(Form::Six)),
        opcode::INQUIRY => Command::Inquiry(cdb.inquiry()),
        opcode::MODE_SELECT_6 => Command::ModeSelect { length: u16::from(cdb.u8(4)), form: Form::Six },
        opcode::RESERVE_6 | opcode::RELEASE_6 => Command::PersistentReserveOut,
        opcode::MODE_SENSE_6 => Command::ModeSense(cdb.mode_sense(Form::Six)),
        opcode::START_STOP_UNIT => Command::StartStopUnit(cdb.start_stop()),
        opcode::PREVENT_ALLOW => Command::PreventAllow { prevent: cdb.u8(4) & 3 != 0 },
        _ => Command::Other(operation),
    }
}

fn ten(operation: u8, cdb: &Fields<'_, 10>) -> Command {
    let transfer = cdb.transfer(Form::Ten);
    match operation {
        opcode::READ_CAPACITY_10 => Command::ReadCapacity10,
        opcode::READ_10 => Command::Read(transfer),
        opcode::WRITE_10 => Command::Write(transfer),
        opcode::WRITE_AND_VERIFY_10 => Command::WriteAndVerify(without_fua(transfer), cdb.byte_check(1)),
        opcode::VERIFY_10 => Command::Verify(without_fua(transfer), cdb.byte_check(1)),
        opcode::SYNCHRONIZE_CACHE_10 => {
            Command::SynchronizeCache { range: transfer.range, immediate: cdb.bit(1, 1), form: Form::Ten }
        }
        opcode::WRITE_BUFFER => Command::WriteBuffer,
        opcode::READ_BUFFER_10 => Command::ReadBuffer,
        opcode::READ_LONG_10 => Command::ReadLong,
        opcode::WRITE_LONG_10 => Command::WriteLong,
        opcode::WRITE_SAME_10 => Command::WriteSame(cdb.write_same(Form::Ten)),
        opcode::UNMAP => Command::Unmap { length: cdb.u16(7), anchor: cdb.bit(1, 0) },
        opcode::SANITIZE => Command::Sanitize,
        opcode::XDWRITE_10 | opcode::XPWRITE_10 | opcode::XDREAD_10 | opcode::XDWRITEREAD_10 => Command::Xor,
        opcode::MODE_SELECT_10 => Command::ModeSelect { length: cdb.u16(7), form: Form::Ten },
        opcode::RESERVE_10 | opcode::RELEASE_10 => Command::PersistentReserveOut,
        opcode::MODE_SENSE_10 => Command::ModeSense(cdb.mode_sense(Form::Ten)),
        opcode::PERSISTENT_RESERVE_IN => Command::PersistentReserveIn,
        opcode::PERSISTENT_RESERVE_OUT => Command::PersistentReserveOut,
        _ => Command::Other(operation),
    }
}

fn twelve(operation: u8, cdb: &Fields<'_, 12>) -> Command {
    let transfer = cdb.transfer(Form::Twelve);
    match operation {
        opcode::REPORT_LUNS => Command::ReportLuns { select: cdb.u8(2), allocation: cdb.u32(6) },
        opcode::ATA_PASS_THROUGH_12 => Command::AtaPassThrough(cdb.ata12()),
        opcode::SECURITY_PROTOCOL_IN => Command::SecurityProtocolIn(cdb.security()),
        opcode::SECURITY_PROTOCOL_OUT => Command::SecurityProtocolOut(cdb.security()),
        opcode::READ_12 => Command::Read(transfer),
        opcode::WRITE_12 => Command::Write(transfer),
        opcode::WRITE_AND_VERIFY_12 => Command::WriteAndVerify(without_fua(transfer), cdb.byte_check(1)),
        opcode::VERIFY_12 => Command::Verify(without_fua(transfer), cdb.byte_check(1)),
        _ => Command::Other(operation),
    }
}

fn sixteen(operation: u8, cdb: &Fields<'_, 16>) -> Command {
    let transfer = cdb.transfer(Form::Sixteen);
    match operation {
        opcode::THIRD_PARTY_COPY_OUT => match cdb.u8(1) & 0x1F {
            service::POPULATE_TOKEN => Command::PopulateToken,
            service::WRITE_USING_TOKEN => Command::WriteUsingToken,
            _ => Command::ExtendedCopy,
        },
        opcode::THIRD_PARTY_COPY_IN => Command::ExtendedCopy,
        opcode::ATA_PASS_THROUGH_16 => Command::AtaPassThrough(cdb.ata16()),
        opcode::READ_16 => Command::Read(transfer),
        opcode::WRITE_16 => Command::Write(transfer),
        opcode::COMPARE_AND_WRITE => Command::CompareAndWrite(cdb.compare_and_write()),
        opcode::ORWRITE_16 | opcode::WRITE_STREAM_16 => Command::Xor,
        opcode::WRITE_AND_VERIFY_16 => Command::WriteAndVerify(without_fua(transfer), cdb.byte_check(1)),
        opcode::VERIFY_16 => Command::Verify(without_fua(transfer), cdb.byte_check(1)),
        opcode::SYNCHRONIZE_CACHE_16 => {
            Command::SynchronizeCache { range: transfer.range, immediate: cdb.bit(1, 1), form: Form::Sixteen }
        }
        opcode::WRITE_SAME_16 => Command::WriteSame(cdb.write_same(Form::Sixteen)),
        opcode::SERVICE_ACTION_IN_16 => match cdb.u8(1) & 0x1F {
            service::READ_CAPACITY_16 => Command::ReadCapacity16 { allocation: cdb.u32(10) },
            service::READ_LONG_16 => Command::ReadLong,
            service::GET_LBA_STATUS => Command::GetLbaStatus { lba: cdb.u64(2), allocation: cdb.u32(10) },
            _ => Command::Other(operation),
        },
        opcode::SERVICE_ACTION_OUT_16 if cdb.u8(1) & 0x1F == service::WRITE_LONG_16 => Command::WriteLong,
        _ => Command::Other(operation),
    }
}

/// Operation code 7Fh: the service action in bytes 8 and 9 says which command, byte 7 how many bytes follow.
fn variable(cdb: &[u8]) -> Result<Command, CdbError> {
    let head = Fields::<10>::new(cdb)?;
    let known = match head.u16(8) {
        service::READ_32
        | service::WRITE_32
        | service::VERIFY_32
        | service::WRITE_AND_VERIFY_32
        | service::WRITE_SAME_32
        | service::ORWRITE_32
        | service::XDREAD_32
        | service::XDWRITE_32
        | service::XPWRITE_32
        | service::XDWRITEREAD_32 => head.u16(8),
        _ => return Ok(Command::Other(opcode::VARIABLE_LENGTH)),
    };
    if head.u8(7) != 32 - 8 {
        return Err(CdbError::Length);
    }
    let cdb = Fields::<32>::new(cdb)?;
    let transfer = cdb.transfer(Form::ThirtyTwo);
    Ok(match known {
        service::READ_32 => Command::Read(transfer),
        service::WRITE_32 => Command::Write(transfer),
        service::VERIFY_32 => Command::Verify(without_fua(transfer), cdb.byte_check(10)),
        service::WRITE_AND_VERIFY_32 => Command::WriteAndVerify(without_fua(transfer), cdb.byte_check(10)),
        service::WRITE_SAME_32 => Command::WriteSame(cdb.write_same(Form::ThirtyTwo)),
        _ => Command::Xor,
    })
}

/// VERIFY and WRITE AND VERIFY have no FUA bit: they reach the medium anyway.
fn without_fua(transfer: Transfer) -> Transfer {
    Transfer { fua: false, ..transfer }
}
