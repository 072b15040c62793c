//! What passes between a volume and its host: requests in, device I/O out, completions both ways.
//!
//! Buffers move: whoever holds one owns it, so nothing is shared and nothing is locked.

use alloc::{boxed::Box, sync::Arc, vec::Vec};

/// Bytes on their way to or from the device. Its owner may do with it as it likes.
pub type Buffer = Box<[u8]>;

/// What a volume is asked to do. Offsets and lengths are in bytes, multiples of 512.
#[derive(Debug)]
pub enum Request {
    /// Fill `buffer` from `offset` on.
    Read {
        /// First byte.
        offset: u64,
        /// Its length is the request's. It comes back with the answer, and what it has room for with it.
        buffer: Vec<u8>,
    },
    /// Write `buffer` from `offset` on.
    Write {
        /// First byte.
        offset: u64,
        /// The data. It comes back likewise.
        buffer: Vec<u8>,
        /// Whether it must be durable when it is acknowledged.
        fua: bool,
    },
    /// Forget the whole blocks of 4096 bytes in a range: they read as zeros afterwards. The edges keep their data.
    Discard {
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u64,
    },
    /// Say of each block from `offset`, a multiple of 4096, on whether it holds data: a byte of `buffer` becomes 1, or 0 if it
    /// is a hole, which reads as zeros. As many blocks as the buffer has bytes.
    Status {
        /// First byte.
        offset: u64,
        /// A byte for each block.
        buffer: Vec<u8>,
    },
    /// Everything acknowledged before becomes durable.
    Flush,
    /// A checkpoint is made: the volume then opens without replaying anything, and what was freed can be filled.
    Checkpoint,
    /// The volume is about to be closed: a checkpoint is made, and the index of de-duplication kept. No other request
    /// should be under way, and none should follow; if one does, nothing but the index is lost.
    Close,
    /// What is stored is put together, so that as many segments as possible become free; the device is told of all that
    /// are, if the volume is to. Other requests go on meanwhile.
    Compact,
}

/// How a request ended.
#[derive(Debug)]
pub struct Done {
    /// As given to [`crate::Volume::submit`].
    pub user: u64,
    /// Success, or why not.
    pub result: Result<(), Error>,
    /// The request's buffer, if it had one; after a successful read, filled.
    pub buffer: Option<Vec<u8>>,
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// It does not lie on the volume, or is no multiple of 512 bytes.
    Range,
    /// The device has no room for new data. Discard something, or grow the device.
    NoSpace,
    /// What is stored there is damaged, or the device could not read it.
    Medium,
    /// The device could not write. The volume takes no more writes until it is opened again.
    Write,
}

/// Names a device I/O between [`crate::Volume::next_io`] and [`crate::Volume::complete`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IoId(pub u32);

/// What the volume asks of the device. Offsets and lengths are multiples of the device's sector.
#[derive(Debug)]
pub struct DeviceIo {
    /// Its name.
    pub id: IoId,
    /// What is to be done.
    pub op: DeviceOp,
}

/// See [`DeviceIo`].
#[derive(Debug)]
pub enum DeviceOp {
    /// Fill the first `length` bytes of the buffer, and give it back with the completion.
    Read {
        /// First byte.
        offset: u64,
        /// Bytes.
        length: usize,
        /// At least so long.
        buffer: Buffer,
    },
    /// Write the first `length` bytes of `data`. To be dropped before the completion is told.
    Write {
        /// First byte.
        offset: u64,
        /// Bytes.
        length: usize,
        /// At least so long. The volume reads it meanwhile.
        data: Arc<[u8]>,
    },
    /// Make every write completed so far durable.
    Flush,
    /// The range's contents are no longer needed.
    Discard {
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u64,
    },
}

/// How a device I/O ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceError;
