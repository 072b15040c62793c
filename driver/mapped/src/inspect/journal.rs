//! The journal's ring as it lies on the disk.

use alloc::vec::Vec;
use core::ops::ControlFlow;

use super::{Health, Inspector};
use crate::{
    journal::{self, EXTENTS, HEADER},
    layout::JOURNAL_START,
    limits::EXTENT,
    memory::{list, zeros},
    record::Record,
    recover::{OpenError, find_frames, frame_at, is_there},
    units::{Address, Lsn},
};

/// What recovery would do with the journal.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Where the frames lie that it would apply, in bytes from the ring's start, in order.
    pub frames: Vec<u64>,
    /// Where the extents lie that those frames speak of, in ascending order: the trees do not know yet what is in them.
    pub extents: Vec<Address>,
    /// Frames up to this one are known to have been durable.
    pub durable: Lsn,
}

/// A frame, or what looks like the head of one.
pub struct Frame {
    /// Where it lies, in bytes from the ring's start.
    pub ring: u64,
    /// Its first byte on the device.
    pub address: Address,
    /// Its number.
    pub lsn: Lsn,
    /// The number of the root record when the volume was opened.
    pub epoch: u64,
    /// Frames up to this one were durable when it was written.
    pub durable: Lsn,
    /// Its length.
    pub bytes: u64,
    /// What is in it; `None` if it is not whole: damaged, torn, or written over in part.
    pub body: Option<FrameBody>,
}

/// What is in a frame.
pub struct FrameBody {
    /// The extents it speaks of.
    pub extents: [Option<Mentioned>; EXTENTS],
    frame: journal::Frame,
}

/// An extent that a frame speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mentioned {
    /// Its first byte.
    pub address: Address,
    /// Its length.
    pub bytes: u32,
    /// Whether it still is what the frame was written with. It need not be when the segment was filled again since.
    pub health: Health,
}

/// Records by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Blocks that became holes.
    pub hole: u64,
    /// Blocks that share a chunk.
    pub share: u64,
    /// Blocks with a new chunk.
    pub store: u64,
    /// Chunks that were moved.
    pub moved: u64,
}

impl FrameBody {
    /// Its records, in order.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        self.frame.records()
    }

    /// How many there are.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for record in self.records() {
            *match record {
                Record::Hole { .. } => &mut counts.hole,
                Record::Share { .. } => &mut counts.share,
                Record::Store { .. } => &mut counts.store,
                Record::Move { .. } => &mut counts.moved,
            } += 1;
        }
        counts
    }
}

/// Numbers and epochs stay far below this in a volume's life: what is above is no frame's head.
const LARGEST: u64 = 1 << 56;

/// The head that a sector begins with, if it looks like one.
fn head(sector: &[u8]) -> Option<(Lsn, u64, Lsn, u64)> {
    let number = |at: usize| sector.get(at..at + 8)?.try_into().map(u64::from_le_bytes).ok();
    let (lsn, epoch, durable) = (number(16)?, number(24)?, number(32)?);
    let total = journal::Frame::length(sector)?;
    let body = (number(40)? >> 32) as usize;
    let ordinary = (1..LARGEST).contains(&lsn) && (1..LARGEST).contains(&epoch) && durable < lsn;
    let fits = total.is_multiple_of(sector.len()) && (16..=total - HEADER).contains(&body);
    (ordinary && fits).then_some((Lsn(lsn), epoch, Lsn(durable), total as u64))
}

impl Inspector<'_> {
    /// Which frames recovery would apply.
    ///
    /// # Errors
    /// Why it would not get that far: see [`OpenError`].
    pub fn applied(&mut self) -> Result<Applied, OpenError> {
        let trees = self.trees.as_ref().map_err(|error| *error)?;
        let (found, durable) = find_frames(self.disk, &self.layout, &self.sealer, &trees.root, true)?;
        let mut frames = list(found.len()).ok_or(OpenError::NoMemory)?;
        frames.extend(found.iter().map(|frame| frame.at));
        let mut extents = list(found.len() * EXTENTS).ok_or(OpenError::NoMemory)?;
        extents.extend(found.iter().flat_map(|frame| frame.mentions.iter().flatten()).map(|one| one.address));
        extents.sort_unstable();
        Ok(Applied { frames, extents, durable })
    }

    /// Every frame in the ring, in the order in which they lie there.
    ///
    /// # Errors
    /// [`OpenError::NoMemory`].
    pub fn journal<B>(
        &mut self,
        mut see: impl FnMut(&Frame) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, OpenError> {
        let sector = self.layout.sector as usize;
        let mut bytes = zeros(EXTENT).ok_or(OpenError::NoMemory)?;
        let (mut start, mut behind) = (0, 0);
        while start < self.layout.journal_bytes {
            let length = (bytes.len() as u64).min(self.layout.journal_bytes - start) as usize;
            if self.disk.read(JOURNAL_START + start, &mut bytes[..length]).is_err() {
                // Sector by sector, without those that cannot be read.
                for (i, one) in bytes[..length].chunks_mut(sector).enumerate() {
                    if self.disk.read(JOURNAL_START + start + (i * sector) as u64, one).is_err() {
                        one.fill(0);
                    }
                }
            }
            for (i, one) in bytes[..length].chunks_exact(sector).enumerate() {
                let at = start + (i * sector) as u64;
                // Inside a frame none begins.
                let Some(found) = head(one).filter(|_| at >= behind) else { continue };
                let frame = self.frame(at, found);
                if frame.body.is_some() {
                    behind = at + frame.bytes;
                }
                if let ControlFlow::Break(value) = see(&frame) {
                    return Ok(ControlFlow::Break(value));
                }
            }
            start += length as u64;
        }
        Ok(ControlFlow::Continue(()))
    }

    fn frame(&mut self, ring: u64, (lsn, epoch, durable, bytes): (Lsn, u64, Lsn, u64)) -> Frame {
        let Self { disk, layout, sealer, .. } = self;
        let whole = frame_at(&mut **disk, layout, sealer, ring).ok().flatten();
        let body = whole.map(|frame| {
            let mut extents = [None; EXTENTS];
            for (place, mention) in extents.iter_mut().zip(frame.mentions()) {
                let health = match is_there(&mut **disk, layout, sealer, &mention) {
                    Ok(true) => Health::Good,
                    Ok(false) => Health::Damaged,
                    Err(_) => Health::Unreadable,
                };
                *place = Some(Mentioned { address: mention.address, bytes: mention.bytes, health });
            }
            FrameBody { extents, frame }
        });
        Frame { ring, address: Address(JOURNAL_START + ring), lsn, epoch, durable, bytes, body }
    }
}
