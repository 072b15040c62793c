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

    /// Adds the pages that memory at `start` lies on, as `translate` finds each of them; neighbours become one stretch.
    /// `false`: there are too many, or one cannot be found.
    pub fn add_pages(
        &mut self,
        start: usize,
        length: usize,
        translate: impl Fn(usize) -> Option<u64>,
    ) -> bool {
        const PAGE: usize = 4096;
        let (mut at, mut rest, mut run) = (start, length, None::<(u64, u64)>);
        while rest > 0 {
            let take = rest.min(PAGE - at % PAGE);
            let Some(found) = translate(at) else { return false };
            run = match run {
                Some((first, bytes)) if first.checked_add(bytes) == Some(found) => {
                    Some((first, bytes + take as u64))
                }
                Some((first, bytes)) if !self.add(first, bytes) => return false,
                _ => Some((found, take as u64)),
            };
            (at, rest) = (at.wrapping_add(take), rest - take);
        }
        run.is_none_or(|(first, bytes)| self.add(first, bytes))
    }

    /// Whether what was added from `begun` on is `bytes` long.
    pub(crate) fn covers(&self, begun: usize, bytes: u32) -> bool {
        let added = self.list.iter().skip(begun).map(|piece| u64::from(piece.length)).sum::<u64>();
        added == u64::from(bytes)
    }
}

#[cfg(test)]
mod tests {
    use alloc::{vec, vec::Vec};

    use super::*;

    fn pages(start: usize, length: usize, most: usize, frames: &[Option<u64>]) -> Option<Vec<(u64, u32)>> {
        let mut list = Vec::new();
        let mut pieces = Pieces { list: &mut list, most, longest: u32::MAX, writable: true };
        let found = |at: usize| frames[at / 4096].map(|frame| frame * 4096 + at as u64 % 4096);
        pieces
            .add_pages(start, length, found)
            .then(|| list.iter().map(|piece| (piece.address.0, piece.length)).collect())
    }

    #[test]
    fn neighbouring_pages_are_one_piece() {
        let frames = [Some(7), Some(8), Some(3), Some(9)];
        assert_eq!(pages(100, 10, 1, &frames), Some(vec![(7 * 4096 + 100, 10)]));
        assert_eq!(pages(4000, 200, 1, &frames), Some(vec![(7 * 4096 + 4000, 200)]));
        let scattered = vec![(7 * 4096 + 512, 8192 - 512), (3 * 4096, 4096), (9 * 4096, 1)];
        assert_eq!(pages(512, 3 * 4096 - 511, 3, &frames), Some(scattered));
        assert_eq!(pages(512, 3 * 4096 - 511, 2, &frames), None, "too many");
        assert_eq!(pages(0, 0, 0, &frames), Some(vec![]));
    }

    #[test]
    fn a_page_that_is_not_found_is_not_guessed() {
        assert_eq!(pages(0, 8192, 2, &[Some(1), None]), None);
        assert_eq!(pages(0, 8192, 2, &[None, Some(1)]), None);
    }
}
