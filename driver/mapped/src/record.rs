//! What changes a volume: one record a change, applied alike when made and when replayed.

use alloc::vec::Vec;

use crate::{
    leaf,
    units::{Address, Block, Chunk, Place, Tag},
};

/// Most bytes of a record on the disk.
pub(crate) const MOST: usize = 35;

/// A change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// The block is nothing but zeros.
    Hole {
        /// It.
        block: Block,
    },
    /// The block's contents are those of a chunk that exists.
    Share {
        /// It.
        block: Block,
        /// That chunk.
        chunk: Chunk,
    },
    /// The block's contents are a new chunk.
    Store {
        /// It.
        block: Block,
        /// Its new chunk,
        chunk: Chunk,
        /// which lies here,
        place: Place,
        /// with this tag.
        tag: Tag,
    },
    /// A chunk lies elsewhere now.
    Move {
        /// It.
        chunk: Chunk,
        /// Its first byte.
        address: Address,
    },
}

fn put<const N: usize>(to: &mut Vec<u8>, value: u64) {
    to.extend_from_slice(&value.to_le_bytes()[..N]);
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<u64> {
    let (bytes, rest) = from.split_at_checked(N)?;
    *from = rest;
    let mut wide = [0; 8];
    wide[..N].copy_from_slice(bytes);
    Some(u64::from_le_bytes(wide))
}

impl Record {
    /// Appends it as it lies in a frame.
    pub(crate) fn encode(&self, to: &mut Vec<u8>) {
        match *self {
            Self::Hole { block } => {
                to.push(1);
                put::<5>(to, block.0);
            }
            Self::Share { block, chunk } => {
                to.push(2);
                put::<5>(to, block.0);
                put::<5>(to, chunk.0);
            }
            Self::Store { block, chunk, place, tag } => {
                to.push(3);
                put::<5>(to, block.0);
                put::<5>(to, chunk.0);
                put::<6>(to, place.address.0);
                put::<2>(to, u64::from(leaf::pack(&place)));
                to.extend_from_slice(&tag.0);
            }
            Self::Move { chunk, address } => {
                to.push(4);
                put::<5>(to, chunk.0);
                put::<6>(to, address.0);
            }
        }
    }

    /// Takes one off the front. `None` if there is none.
    pub(crate) fn decode(from: &mut &[u8]) -> Option<Self> {
        let kind = take::<1>(from)?;
        if kind == 4 {
            return Some(Self::Move { chunk: Chunk(take::<5>(from)?), address: Address(take::<6>(from)?) });
        }
        let block = Block(take::<5>(from)?);
        match kind {
            1 => Some(Self::Hole { block }),
            2 => Some(Self::Share { block, chunk: Chunk(take::<5>(from)?) }),
            3 => {
                let chunk = Chunk(take::<5>(from)?);
                let place = leaf::unpack(take::<6>(from)?, take::<2>(from)? as u16);
                let (tag, rest) = from.split_at_checked(16)?;
                *from = rest;
                Some(Self::Store { block, chunk, place, tag: Tag(tag.try_into().ok()?) })
            }
            _ => None,
        }
    }
}
