//! Deliberate mistakes, for the simulator to find: each takes one of the promises' supports away. They are only there
//! with the feature `mutants`, which no product has.
//!
//! Not among them, because the simulator takes longer than a minute to find them: a journal freed before the checkpoint is
//! done (the journal must go round once within it), a volume opened without a flush (a recovery must fail to write one
//! copy of its root record, another one follow at once, and power fail during that), and a dead segment filled again when
//! the frame in which it died is durable, without a durable frame that says so (three minutes). What is lost of a damaged leaf of
//! the map taken for holes: `tests/repair/salvaged.rs` finds it.

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A request for durability is answered without a flush.
    FlushLeftOut,
    /// A FUA write is an ordinary write.
    FuaIgnored,
    /// A frame counts when it is written, whatever became of those before it.
    FramesOutOfOrder,
    /// The root record is written without waiting for the pages, or flushing them.
    RootBeforePages,
    /// The root record counts without having been flushed.
    RootNotFlushed,
    /// Both slots are one: a torn root record is the only one.
    OneRootSlot,
    /// A dead segment is filled again before the checkpoint.
    SegmentFreedEarly,
    /// A dead segment is filled again while recovery could still read what was in it.
    ReusedUnproven,
    /// The cleaner reads a segment while its end is still being written.
    CleanedTooSoon,
    /// A frozen page is changed where it is.
    FrozenPageChanged,
    /// A chunk that another block shares counts no reference for it.
    ReferenceForgotten,
    /// A chunk that a block leaves keeps its reference.
    ReferenceKept,
    /// The cleaner moves a chunk and makes no record of it.
    MoveNotRecorded,
    /// The index is believed without asking the table, and not told of chunks that are gone.
    IndexBelieved,
    /// What is read is not checked.
    ChunkUnchecked,
    /// A page that is read is not checked.
    PageUnchecked,
    /// Recovery applies frames whose data is not there.
    DataNotVerified,
    /// Requests that overlap are not kept in order.
    OverlapsUnordered,
    /// A discard leaves the last block.
    DiscardShort,
    /// A block that is written in part loses the rest.
    MergeForgotten,
    /// A tree that becomes deeper loses what it held.
    TreeNotLinked,
    /// The device is told of a segment that a recovery would need.
    DiscardedDead,
    /// A segment is filled while the device is being told that it is free.
    DiscardNotAwaited,
}

/// All of them, with their names.
pub const MUTANTS: &[(&str, Mutant)] = &[
    ("flush left out", Mutant::FlushLeftOut),
    ("FUA ignored", Mutant::FuaIgnored),
    ("frames out of order", Mutant::FramesOutOfOrder),
    ("root before pages", Mutant::RootBeforePages),
    ("root not flushed", Mutant::RootNotFlushed),
    ("one root slot", Mutant::OneRootSlot),
    ("segment freed early", Mutant::SegmentFreedEarly),
    ("reused unproven", Mutant::ReusedUnproven),
    ("cleaned too soon", Mutant::CleanedTooSoon),
    ("frozen page changed", Mutant::FrozenPageChanged),
    ("reference forgotten", Mutant::ReferenceForgotten),
    ("reference kept", Mutant::ReferenceKept),
    ("move not recorded", Mutant::MoveNotRecorded),
    ("index believed", Mutant::IndexBelieved),
    ("chunk unchecked", Mutant::ChunkUnchecked),
    ("page unchecked", Mutant::PageUnchecked),
    ("data not verified", Mutant::DataNotVerified),
    ("overlaps unordered", Mutant::OverlapsUnordered),
    ("discard short", Mutant::DiscardShort),
    ("merge forgotten", Mutant::MergeForgotten),
    ("tree not linked", Mutant::TreeNotLinked),
    ("discarded dead", Mutant::DiscardedDead),
    ("discard not awaited", Mutant::DiscardNotAwaited),
];

impl crate::Options {
    /// Whether the volume makes a mistake.
    #[cfg(feature = "mutants")]
    pub(crate) fn errs(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// It makes none.
    #[cfg(not(feature = "mutants"))]
    #[inline(always)]
    pub(crate) fn errs(&self, _mutant: Mutant) -> bool {
        false
    }
}

impl crate::Volume {
    /// Whether this volume makes a mistake.
    #[inline(always)]
    pub(crate) fn errs(&self, mutant: Mutant) -> bool {
        self.options.errs(mutant)
    }
}
