//! The index of de-duplication, as it was kept when the volume was closed.

use core::ops::ControlFlow;

use super::{Inspector, NoRecord};
use crate::{
    index::BUCKET_BYTES,
    kept::{PIECE, open_piece},
    memory::zeros,
    recover::OpenError,
    units::Address,
};

/// A place for a piece of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieceLine {
    /// Its number.
    pub number: u64,
    /// Where it lies.
    pub address: Address,
    /// What lies there.
    pub found: Result<PieceInfo, NoRecord>,
}

/// A piece of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieceInfo {
    /// The number of the root record for which it is complete: the volume had learned all that it has room for.
    pub complete_for: Option<u64>,
    /// Bytes of the whole index. An opening with another has no use for it.
    pub index_bytes: u64,
    /// Chunks of which it knows.
    pub entries: u64,
}

impl Inspector<'_> {
    /// Every place for a piece, in order.
    ///
    /// # Errors
    /// [`OpenError::NoMemory`] alone.
    pub fn index<B>(
        &mut self,
        mut tell: impl FnMut(&PieceLine) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, OpenError> {
        let mut bytes = zeros(PIECE).ok_or(OpenError::NoMemory)?;
        let start = self.layout.index_start();
        for number in 0..self.layout.index_area / PIECE as u64 {
            let address = Address(start + number * PIECE as u64);
            let found = match self.disk.read(address.0, &mut bytes) {
                Err(_) => Err(NoRecord::Unreadable),
                Ok(()) if bytes.iter().all(|&byte| byte == 0) => Err(NoRecord::Empty),
                Ok(()) => self.piece(number, &mut bytes).ok_or(NoRecord::Damaged),
            };
            let flow = tell(&PieceLine { number, address, found });
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn piece(&self, number: u64, bytes: &mut [u8]) -> Option<PieceInfo> {
        let piece = open_piece(&self.sealer, number, bytes)?;
        let entries = piece.held.as_chunks::<8>().0.iter().filter(|entry| **entry != [0; 8]).count();
        Some(PieceInfo {
            complete_for: (piece.complete_for != 0).then_some(piece.complete_for),
            index_bytes: piece.buckets.saturating_mul(BUCKET_BYTES as u64),
            entries: entries as u64,
        })
    }
}
