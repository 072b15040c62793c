//! A payload as the device is to find it.

use alloc::vec::Vec;

use crate::{memory::DeviceAddress, transport::Piece};

/// The pieces of a payload, as they are found.
#[derive(Debug)]
pub struct Pieces<'a> {
    pub(crate) list: &'a mut Vec<Piece>,
    pub(crate) most: usize,
    pub(crate) longest: u32,
    pub(crate) writable: bool,
}

impl Pieces<'_> {
    /// Adds a stretch that is contiguous for the device, cut to what it takes. `false`: there are too many.
    pub fn add(&mut self, mut address: u64, mut length: u64) -> bool {
        while length > 0 {
            let take = length.min(u64::from(self.longest));
            if self.list.len() >= self.most || take == 0 {
                return false;
            }
            let piece =
                Piece { address: DeviceAddress(address), length: take as u32, writable: self.writable };
            self.list.push(piece);
            (address, length) = (address.wrapping_add(take), length - take);
        }
        true
    }

    /// Whether what was added from `begun` on is `bytes` long.
    pub(crate) fn covers(&self, begun: usize, bytes: u32) -> bool {
        let added = self.list.iter().skip(begun).map(|piece| u64::from(piece.length)).sum::<u64>();
        added == u64::from(bytes)
    }
}
