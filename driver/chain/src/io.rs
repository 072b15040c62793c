//! What a stage may do with an I/O, safely.

use core::{marker::PhantomData, slice};

use crate::{
    abi::{Direction, Extent, Flags, Io, STAGE_WORDS, Segment, Status, Verdict},
    bytes::{Source, Target},
};

/// An [`Io`] for the duration of one call into a stage.
#[derive(Debug)]
pub struct StageIo<'a> {
    io: *mut Io,
    _life: PhantomData<&'a mut Io>,
}

/// A write's payload, as a stage that must change it gets it.
#[derive(Debug)]
pub enum Payload<'a> {
    /// It still lies in the caller's memory, in segments of any length: read it there and write the result to
    /// `private`, which is the payload from now on.
    Caller {
        /// Where the bytes are.
        segments: Segments<'a>,
        /// Where the changed bytes must go; as long as the segments together.
        private: Target<'a>,
    },
    /// A stage above has already moved it to private memory: change it there.
    Private(Target<'a>),
}

impl<'a> StageIo<'a> {
    /// # Safety
    /// `io` must be valid, and nobody else may use it, for `'a`. Its pointers must satisfy what [`Io`] says.
    pub unsafe fn new(io: *mut Io) -> Self {
        Self { io, _life: PhantomData }
    }

    fn io(&self) -> &Io {
        // SAFETY: `new`'s contract.
        unsafe { &*self.io }
    }

    fn io_mut(&mut self) -> &mut Io {
        // SAFETY: `new`'s contract.
        unsafe { &mut *self.io }
    }

    /// What it does.
    pub fn direction(&self) -> Direction {
        self.io().direction
    }

    /// How.
    pub fn flags(&self) -> Flags {
        self.io().flags
    }

    /// First sector.
    pub fn sector(&self) -> u64 {
        self.io().sector
    }

    /// Moves the I/O to another first sector.
    pub fn set_sector(&mut self, sector: u64) {
        self.io_mut().sector = sector;
    }

    /// Size of a sector in bytes.
    pub fn sector_size(&self) -> u32 {
        self.io().sector_size
    }

    /// Length in bytes.
    pub fn length(&self) -> u32 {
        self.io().length
    }

    /// Bytes moved, on the way up. Never more than [`Self::length`], whatever the device says.
    pub fn transferred(&self) -> u32 {
        self.io().transferred.min(self.io().length)
    }

    /// How it went, on the way up.
    pub fn status(&self) -> Status {
        self.io().status
    }

    /// Ends the I/O with `status`: `return io.finish(Status::...)`.
    #[must_use]
    pub fn finish(&mut self, status: Status) -> Verdict {
        self.io_mut().status = status;
        Verdict::DONE
    }

    /// This stage's own words, kept between its two calls.
    pub fn state(&mut self) -> &mut [u64; STAGE_WORDS] {
        let io = self.io_mut();
        &mut io.state[io.position as usize % crate::abi::MAX_STAGES]
    }

    /// The segments of a read's payload, to be changed on the way up.
    pub fn read_targets(&mut self) -> Segments<'_> {
        Segments { rest: segments(self.io()) }
    }

    /// A write's payload, to be changed on the way down. `None` if the host gave no private memory though this
    /// stage must have asked for it.
    pub fn write_payload(&mut self) -> Option<Payload<'_>> {
        let io = self.io_mut();
        if core::ptr::eq(io.segments, &raw const io.private) {
            let Segment { address, length } = io.private;
            // SAFETY: `private` is memory of this I/O alone, set below.
            return Some(Payload::Private(unsafe { Target::from_raw(address, length) }));
        }
        if io.spare.address.is_null() || io.spare.length < io.length as usize {
            return None;
        }
        io.private = Segment { address: io.spare.address, length: io.length as usize };
        io.spare = Segment::EMPTY;
        // SAFETY: the host's spare memory is private to this I/O and at least `length` bytes long. The segments
        // are the caller's and are only read.
        let (rest, private) = unsafe {
            let rest = slice::from_raw_parts(io.segments, io.segment_count as usize);
            (rest, Target::from_raw(io.private.address, io.private.length))
        };
        io.segments = &raw const io.private;
        io.segment_count = 1;
        Some(Payload::Caller { segments: Segments { rest }, private })
    }

    /// The ranges of a DISCARD. They lie in the host's memory and may be changed.
    pub fn extents(&mut self) -> &mut [Extent] {
        let io = self.io_mut();
        let [segment] = segments(io) else { return &mut [] };
        if io.direction != Direction::DISCARD || !segment.address.cast::<Extent>().is_aligned() {
            return &mut [];
        }
        let count = segment.length / size_of::<Extent>();
        // SAFETY: a DISCARD's only segment is the host's array of extents, exclusive to this I/O.
        unsafe { slice::from_raw_parts_mut(segment.address.cast(), count) }
    }
}

fn segments(io: &Io) -> &[Segment] {
    if io.segment_count == 0 {
        return &[];
    }
    // SAFETY: the host points `segments` at `segment_count` of them for as long as the I/O lasts.
    unsafe { slice::from_raw_parts(io.segments, io.segment_count as usize) }
}

/// Walks a payload's segments.
#[derive(Debug)]
pub struct Segments<'a> {
    rest: &'a [Segment],
}

impl<'a> Segments<'a> {
    /// The next segment, to be read.
    pub fn next_source(&mut self) -> Option<Source<'a>> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        // SAFETY: segments are mapped for as long as the I/O lasts; see `Segment`.
        Some(unsafe { Source::from_raw(first.address, first.length) })
    }

    /// The next segment, to be written. Meaningful for reads: a write's segments belong to the caller.
    pub fn next_target(&mut self) -> Option<Target<'a>> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        // SAFETY: as above; each segment is handed out once because `rest` moves on.
        Some(unsafe { Target::from_raw(first.address, first.length) })
    }
}
