//! Every bound of a mapped volume, with its reason.

use crate::units::{BLOCK, Chunk, SECTOR};

/// Bytes of the largest extent, and so of one device write: large enough that a disk streams, small enough that
/// a dozen in flight fit the smallest memory budget.
pub const EXTENT: usize = 256 * 1024;
/// Bytes of the largest journal frame.
pub const FRAME: usize = 32 * 1024;
/// Frames that may be on their way to the device at once.
pub const FRAMES: usize = 8;
/// Requests that may be under way at once; more wait in order.
pub const OPS: usize = 256;
/// Requests that a host may have in a volume, with those that wait and the answers it has not taken.
pub const REQUESTS: usize = 1024;
/// Blocks that are put together at once, for writes of parts of them: more writes wait for one.
pub const MERGED: usize = 64;
/// Buffers for reading metadata pages and short runs of chunks, and for long runs: more requests wait for one.
pub const SMALL: usize = 256;
/// See [`SMALL`].
pub const LARGE: usize = 32;
/// Chunks of one device read: as many as do not compress in the longest. More are read apart.
pub const PIECES: usize = EXTENT / BLOCK;
/// Buffers for extents: two of each frame on its way, two of the frame being gathered, a checkpoint's.
pub const EXTENT_BUFFERS: usize = 2 * FRAMES + 8;
/// Extents that are filled at once: one of each stream, and one in spare.
pub const LISTS: usize = STREAMS + 1;
/// Bytes of an extent's list of items: of each a frame has a record, of 12 bytes at least, and the list 8 at most.
pub const LIST: usize = FRAME;
/// Device I/Os that can be under way at once: a read for each buffer, a write for each extent and each frame, two root
/// records or a flush of the checkpoint, a flush for requests, a segment for the cleaner, discards.
pub const IOS: usize = SMALL + LARGE + EXTENT_BUFFERS + FRAMES + 2 + 1 + 1 + DISCARDS;
/// Damaged pages that are remembered until the next request comes: whoever asked for one learns of it before as many
/// others can have been read, which is once for each buffer.
pub const BAD_PAGES: usize = 2 * SMALL;
/// Chunks that were found damaged and are not marked in the table yet: as many as a request has blocks. The index has forgotten
/// more, too.
pub const SUSPECTS: usize = REQUEST / BLOCK;
/// Bytes of the longest request.
pub const REQUEST: usize = 1 << 20;
/// Device reads of one request at once.
pub const RUNS: usize = 16;
/// Most chunks of a volume: their numbers have 40 bits in the map, where the first is a hole and the last a block that is lost.
pub const CHUNKS: u64 = Chunk::LOST.0;
/// Smallest and largest segment.
pub const SEGMENT: core::ops::RangeInclusive<u64> = 64 * 1024..=64 * 1024 * 1024;
/// Segments that new data may not take, beside those for a checkpoint's pages: what the cleaner fills.
pub const RESERVE_SEGMENTS: usize = 6;
/// Leaves that a step can change, twice: of its record, and of one that is under way beside it.
pub const CHANGED: usize = 10;
/// Of a hundred pages in the cache, how many may be changed: then changes wait for the checkpoint.
pub const DIRTY_MOST_PERCENT: usize = 60;
/// Of a hundred pages that may be changed, how many are before it begins.
pub const DIRTY_PERCENT: usize = 60;
/// Of a hundred bytes of the journal, how many may be needed before a checkpoint begins.
pub const JOURNAL_PERCENT: u64 = 40;
/// Segments that are being filled at once: with new data, with cleaned data, with pages.
pub const STREAMS: usize = 3;
/// Of a hundred bytes that segments can hold, how many may be live with the volume taking new data,
pub const FULL_PERCENT: u64 = 92;
/// and how many in a segment that is still worth cleaning: more than the above, so that there is always one.
pub const WORTH_PERCENT: u64 = 96;
/// Of a hundred segments that can hold pages, how many may before those with few are cleaned although there is room,
pub const PAGE_SEGMENTS_PERCENT: usize = 75;
/// and before new data is refused.
pub const PAGE_SEGMENTS_FULL_PERCENT: usize = 93;
/// The same for a segment of pages.
pub const PAGES_WORTH_PERCENT: u64 = 70;
/// Segments beyond the reserve that are always to be free for new data: with fewer, dead ones are made free.
pub const AHEAD: usize = 2;
/// The cleaner works ahead of that, so that many segments become free at once: by this share of all segments,
pub const CLEANED_SHARE: usize = 64;
/// and by so many at most.
pub const CLEANED_MOST: usize = 64;
/// Dead segments that can become free without a checkpoint: many more than the cleaner works ahead.
pub const WAITING: usize = 1024;
/// Segments of which the device is being told at once that they are free.
pub const DISCARDS: usize = 4;
/// Of a hundred bytes that a segment can hold, how many may be live for a compaction to clean it.
pub const SPARSE_PERCENT: u64 = 90;
/// Leaves of the table of which it is known that their tags have been put into the index lately.
pub const NEIGHBOURS: usize = 512;
/// Pages of metadata the cache holds at least: each of a request's records needs at most eight at once, and a
/// checkpoint a path.
pub const PAGES_LEAST: usize = 64;

const _: () = {
    assert!(EXTENT.is_multiple_of(BLOCK) && FRAME.is_multiple_of(BLOCK) && BLOCK.is_multiple_of(SECTOR));
    assert!(EXTENT as u64 <= *SEGMENT.end());
    assert!(OPS < REQUESTS && PIECES * RUNS > REQUEST / BLOCK);
};
