//! The CDBs that we send ourselves.

use super::{
    cdb::{BlockRange, Form},
    opcode::{self, service},
};

/// A CDB with its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cdb {
    bytes: [u8; 16],
    length: u8,
}

impl Cdb {
    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&[])
    }

    const fn new(operation: u8, length: u8) -> Self {
        let mut bytes = [0; 16];
        bytes[0] = operation;
        Self { bytes, length }
    }

    fn put<const N: usize>(&mut self, at: usize, value: [u8; N]) {
        for (to, from) in self.bytes.iter_mut().skip(at).zip(value) {
            *to = from;
        }
    }

    /// READ in the shortest of 10 and 16 that holds the range, or in 16 if `form` is that long already.
    #[must_use]
    pub fn read(range: BlockRange, fua: bool, dpo: bool, form: Form) -> Self {
        Self::access([opcode::READ_10, opcode::READ_16], range, flags(fua, dpo), form)
    }

    /// WRITE, likewise.
    #[must_use]
    pub fn write(range: BlockRange, fua: bool, dpo: bool, form: Form) -> Self {
        Self::access([opcode::WRITE_10, opcode::WRITE_16], range, flags(fua, dpo), form)
    }

    /// WRITE AND VERIFY, likewise: the medium with itself, or `with_data` with what was written (BYTCHK 00b, 01b).
    #[must_use]
    pub fn write_and_verify(range: BlockRange, with_data: bool, dpo: bool, form: Form) -> Self {
        const BYTE_CHECK: u8 = 0x02;
        let flags = flags(false, dpo) | if with_data { BYTE_CHECK } else { 0 };
        Self::access([opcode::WRITE_AND_VERIFY_10, opcode::WRITE_AND_VERIFY_16], range, flags, form)
    }

    /// VERIFY of the medium with itself (BYTCHK 00b), likewise.
    #[must_use]
    pub fn verify(range: BlockRange, dpo: bool, form: Form) -> Self {
        Self::access([opcode::VERIFY_10, opcode::VERIFY_16], range, flags(false, dpo), form)
    }

    /// SYNCHRONIZE CACHE that returns when done, likewise. A count of zero means all up to the end.
    #[must_use]
    pub fn synchronize_cache(range: BlockRange, form: Form) -> Self {
        Self::access([opcode::SYNCHRONIZE_CACHE_10, opcode::SYNCHRONIZE_CACHE_16], range, 0, form)
    }

    fn access(operation: [u8; 2], range: BlockRange, flags: u8, form: Form) -> Self {
        let short = u32::try_from(range.lba).ok().zip(u16::try_from(range.blocks).ok());
        let mut cdb = match short {
            Some((lba, blocks)) if form < Form::Sixteen => {
                let mut cdb = Self::new(operation[0], 10);
                cdb.put(2, lba.to_be_bytes());
                cdb.put(7, blocks.to_be_bytes());
                cdb
            }
            _ => {
                let mut cdb = Self::new(operation[1], 16);
                cdb.put(2, range.lba.to_be_bytes());
                cdb.put(10, range.blocks.to_be_bytes());
                cdb
            }
        };
        cdb.bytes[1] = flags;
        cdb
    }

    /// READ CAPACITY(10): 8 bytes come.
    #[must_use]
    pub fn read_capacity_10() -> Self {
        Self::new(opcode::READ_CAPACITY_10, 10)
    }

    /// READ CAPACITY(16): at most `allocation` of 32 bytes come.
    #[must_use]
    pub fn read_capacity_16(allocation: u32) -> Self {
        let mut cdb = Self::new(opcode::SERVICE_ACTION_IN_16, 16);
        cdb.bytes[1] = service::READ_CAPACITY_16;
        cdb.put(10, allocation.to_be_bytes());
        cdb
    }

    /// GET LBA STATUS from `lba` on: at most `allocation` bytes come.
    #[must_use]
    pub fn get_lba_status(lba: u64, allocation: u32) -> Self {
        let mut cdb = Self::new(opcode::SERVICE_ACTION_IN_16, 16);
        cdb.bytes[1] = service::GET_LBA_STATUS;
        cdb.put(2, lba.to_be_bytes());
        cdb.put(10, allocation.to_be_bytes());
        cdb
    }

    /// UNMAP of a parameter list of `length` bytes.
    #[must_use]
    pub fn unmap(length: u16) -> Self {
        let mut cdb = Self::new(opcode::UNMAP, 10);
        cdb.put(7, length.to_be_bytes());
        cdb
    }

    /// INQUIRY for standard data or a page.
    #[must_use]
    pub fn inquiry(page: Option<u8>, allocation: u16) -> Self {
        let mut cdb = Self::new(opcode::INQUIRY, 6);
        cdb.bytes[1] = u8::from(page.is_some());
        cdb.bytes[2] = page.unwrap_or(0);
        cdb.put(3, allocation.to_be_bytes());
        cdb
    }

    /// REPORT LUNS of a target: all but well-known ones (SELECT REPORT 00h), at most `allocation` bytes.
    #[must_use]
    pub fn report_luns(allocation: u32) -> Self {
        let mut cdb = Self::new(opcode::REPORT_LUNS, 12);
        cdb.put(6, allocation.to_be_bytes());
        cdb
    }

    /// TEST UNIT READY.
    #[must_use]
    pub fn test_unit_ready() -> Self {
        Self::new(opcode::TEST_UNIT_READY, 6)
    }
}

const fn flags(fua: bool, dpo: bool) -> u8 {
    (fua as u8) << 3 | (dpo as u8) << 4
}
