//! Memory for what requests carry, all taken at the beginning: few sizes, few of the large ones. Whoever finds none waits.

use alloc::vec::Vec;

use sluice_mapped::limits::REQUEST;

/// Bytes of each size: a block, nearly every request and every list of ranges, and the longest request.
const SIZES: [usize; 3] = [4 << 10, 64 << 10, REQUEST];
/// Buffers for the longest requests: as many as keep a disk busy.
const LONGEST: usize = 4;

const _: () = assert!(SIZES[1] >= u16::MAX as usize);

/// Buffers of each size that nobody has.
pub(crate) struct Buffers([Vec<Vec<u8>>; SIZES.len()]);

impl Buffers {
    /// For so many requests at once: each can have one of the smallest, half of them one of the middle size. `None` when
    /// memory has run out.
    pub(crate) fn new(requests: usize) -> Option<Self> {
        let counts = [requests, requests.div_ceil(2), LONGEST];
        let mut all = Self([const { Vec::new() }; SIZES.len()]);
        for ((place, size), count) in all.0.iter_mut().zip(SIZES).zip(counts) {
            place.try_reserve_exact(count).ok()?;
            for _ in 0..count {
                let mut buffer = Vec::new();
                buffer.try_reserve_exact(size).ok()?;
                place.push(buffer);
            }
        }
        Some(all)
    }

    /// One of `length` bytes, whatever they are: the smallest that is free. `None` until another comes back.
    pub(crate) fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        let fitting = self.0.iter_mut().zip(SIZES).filter(|(_, size)| *size >= length);
        let mut buffer = fitting.filter_map(|(free, _)| free.pop()).next()?;
        buffer.resize(length, 0);
        Some(buffer)
    }

    /// Takes one back.
    pub(crate) fn give_back(&mut self, buffer: Vec<u8>) {
        let place = SIZES.iter().rposition(|size| *size <= buffer.capacity());
        let place = place.and_then(|place| self.0.get_mut(place));
        if let Some(free) = place.filter(|free| free.len() < free.capacity()) {
            free.push(buffer);
        }
    }
}
