//! SRBs of both kinds through one door: [`SrbView`] reads and answers somebody's SRB, [`SrbStorage`] holds one
//! of our own.

mod answer;
mod fill;
mod storage;
mod view;

#[cfg(test)]
mod tests;

pub use answer::SrbAnswer;
pub use fill::SrbRequest;
pub use storage::SrbStorage;
pub use view::{Address, SrbView};

/// Longest CDB we take. Longer ones exist only as `SRBEX_DATA_SCSI_CDB_VAR`, which no Windows class driver sends
/// to a disk.
pub const MAX_CDB: usize = 32;

/// Which of the two structures an SRB is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SrbKind {
    /// `SCSI_REQUEST_BLOCK`.
    #[default]
    Legacy,
    /// `STORAGE_REQUEST_BLOCK`.
    Extended,
}

/// Why an SRB cannot be taken as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SrbError {
    /// Null, or not aligned to 8 bytes.
    Address,
    /// It, or something it points at, does not fit into its length.
    Length,
    /// An extended SRB without its signature.
    Signature,
    /// An extended SRB of a version we do not know.
    Version,
    /// A function beyond those that exist: cut to eight bits it could pass for another.
    Function,
    /// Its address is not bus, target and unit.
    AddressType,
    /// More extended data blocks than any function has.
    TooManyBlocks,
    /// An extended data block lies outside, over the head, or unaligned.
    Block,
    /// EXECUTE_SCSI with no CDB, or with two.
    Command,
    /// A CDB that is longer than its field or than [`MAX_CDB`].
    CdbLength,
    /// It has a second data buffer, which no stage would see.
    Bidirectional,
}
