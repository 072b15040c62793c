//! The index of de-duplication: from a tag to chunks that may have it, in memory of a fixed size.
//!
//! It is a table of buckets, each one cache line of eight entries. A tag names two buckets and an entry may lie in
//! either: nothing is lost up to 70 % of the table, 0.02 % at 80, 0.7 % at 90, 4 % at 100. An entry is 40 bits of chunk
//! number and 24 bits of the tag that had no part in naming the bucket; so one look-up in a million finds a wrong chunk,
//! and nothing here is more than a hint: the chunk table knows.
//!
//! One tag in 32 is a *hook*. When both buckets are full, the oldest entry that is no hook goes, and hooks give way to hooks
//! only once they have three quarters of a bucket. So an index that is too small for all chunks still knows every 32nd
//! of 24 times as many as it has entries, and what was written together is found together: whoever finds a hook's chunk
//! notes its neighbours in the table, too (`neighbours`), for which there is always a quarter.

use alloc::vec::Vec;

use crate::units::{Chunk, Tag};

/// Entries of a bucket.
const WIDE: usize = 8;
/// Bytes of a bucket.
pub(crate) const BUCKET_BYTES: usize = 8 * WIDE;
/// Bits of a chunk number in an entry; the rest is of the tag.
const CHUNK_BITS: u32 = 40;
const CHUNK_MASK: u64 = (1 << CHUNK_BITS) - 1;
/// One tag in so many is a hook: 256 MiB for each TiB of chunks know all of them and leave three quarters for what is new
/// or beside it, 64 MiB know most. Of blocks that are written again, those before the first hook are not recognised.
const HOOK_RATE: u64 = 32;
/// Entries of a full bucket that may be hooks.
const HOOKS_MOST: usize = 6;

/// An entry that is none. Chunk numbers are stored with 1 added.
const EMPTY: u64 = 0;

/// Newest entry first.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Bucket([u64; WIDE]);

/// The index.
pub struct Index {
    buckets: Vec<Bucket>,
    used: usize,
    displaced: u64,
}

/// Where a tag's entries lie, and what they look like but for the chunk.
struct Home {
    buckets: [usize; 2],
    high: u64,
}

/// Whether a tag is one of the few that stay when memory is short.
#[must_use]
pub fn is_hook(tag: &Tag) -> bool {
    is_hook_entry(high(tag))
}

fn is_hook_entry(entry: u64) -> bool {
    (entry >> CHUNK_BITS).is_multiple_of(HOOK_RATE)
}

fn halves(tag: &Tag) -> (u64, u64) {
    let both = u128::from_le_bytes(tag.0);
    (both as u64, (both >> 64) as u64)
}

/// The lowest 24 bits of the upper half, above a chunk number.
fn high(tag: &Tag) -> u64 {
    halves(tag).1 << CHUNK_BITS
}

impl Bucket {
    fn is_full(&self) -> bool {
        !self.0.contains(&EMPTY)
    }

    fn free(&self) -> usize {
        self.0.iter().filter(|entry| **entry == EMPTY).count()
    }

    /// Puts an entry in front; what is at `place` makes room.
    fn push(&mut self, entry: u64, place: usize) {
        self.0.copy_within(..place, 1);
        self.0[0] = entry;
    }

    /// Takes the entry at `place` out.
    fn pull(&mut self, place: usize) {
        self.0.copy_within(place + 1.., place);
        self.0[WIDE - 1] = EMPTY;
    }

    fn find(&self, entry: u64) -> Option<usize> {
        self.0.iter().position(|other| *other == entry)
    }

    /// Which entry of a full bucket makes room for a new one, and whether that is a hook.
    fn victim(&self, for_hook: bool) -> (usize, bool) {
        let hooks = self.0.iter().filter(|entry| is_hook_entry(**entry)).count();
        let of_hooks = if for_hook { hooks >= HOOKS_MOST } else { hooks == WIDE };
        let oldest = self.0.iter().rposition(|entry| is_hook_entry(*entry) == of_hooks);
        (oldest.unwrap_or(WIDE - 1), of_hooks)
    }
}

impl Index {
    /// An index of at most `bytes`. `None` when memory has run out. With less than 64 bytes, it knows nothing.
    #[must_use]
    pub fn new(bytes: usize) -> Option<Self> {
        let count = bytes / size_of::<Bucket>();
        let mut buckets = Vec::new();
        buckets.try_reserve_exact(count).ok()?;
        buckets.resize(count, Bucket([EMPTY; WIDE]));
        Some(Self { buckets, used: 0, displaced: 0 })
    }

    /// Entries it has room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.buckets.len() * WIDE
    }

    /// Entries it holds.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used
    }

    /// How many entries have had to make room for others.
    #[must_use]
    pub fn displaced(&self) -> u64 {
        self.displaced
    }

    /// `None` if there are no buckets.
    fn home(&self, tag: &Tag) -> Option<Home> {
        let count = self.buckets.len();
        let scaled = |half: u64| ((u128::from(half) * count as u128) >> 64) as usize;
        let (low, up) = halves(tag);
        let (one, other) = (scaled(low), scaled(up));
        let other = if other == one { (one + 1).checked_rem(count)? } else { other };
        Some(Home { buckets: [one, other], high: high(tag) })
    }

    /// Chunks that may have this tag, newest first in each bucket. They may also have another, or none, or not exist.
    pub fn candidates(&self, tag: &Tag) -> impl Iterator<Item = Chunk> + '_ {
        let home = self.home(tag);
        let high = home.as_ref().map_or(0, |home| home.high);
        // An index of one bucket has it twice.
        let distinct = self.buckets.len().min(2);
        home.into_iter()
            .flat_map(move |home| home.buckets.into_iter().take(distinct))
            .flat_map(|bucket| self.buckets[bucket].0)
            .filter(move |entry| *entry != EMPTY && (entry ^ high) & !CHUNK_MASK == 0)
            .filter_map(|entry| (entry & CHUNK_MASK).checked_sub(1))
            .map(Chunk)
    }

    /// Notes that a chunk has a tag. If it was noted, it becomes the newest.
    pub fn insert(&mut self, tag: &Tag, chunk: Chunk) {
        let Some(home) = self.home(tag) else { return };
        let entry = home.high | (chunk.0 + 1) & CHUNK_MASK;
        for bucket in home.buckets {
            let bucket = &mut self.buckets[bucket];
            if let Some(place) = bucket.find(entry) {
                return bucket.push(entry, place);
            }
        }
        let (bucket, place) = self.place(&home);
        let bucket = &mut self.buckets[bucket];
        match bucket.0[place] {
            EMPTY => self.used += 1,
            _ => self.displaced += 1,
        }
        bucket.push(entry, place);
    }

    /// Which bucket a new entry goes to, and which place in it is given up.
    fn place(&self, home: &Home) -> (usize, usize) {
        let [one, other] = home.buckets;
        let (first, second) = (&self.buckets[one], &self.buckets[other]);
        if !(first.is_full() && second.is_full()) {
            let emptier = if first.free() >= second.free() { one } else { other };
            return (emptier, self.buckets[emptier].find(EMPTY).unwrap_or(WIDE - 1));
        }
        let for_hook = is_hook_entry(home.high);
        let ((at, hook), (other_at, other_hook)) = (first.victim(for_hook), second.victim(for_hook));
        // Rather no hook, and rather an old one.
        let second_is_better = (hook, other_at) > (other_hook, at);
        if second_is_better { (other, other_at) } else { (one, at) }
    }

    /// Forgets that a chunk has a tag.
    pub fn remove(&mut self, tag: &Tag, chunk: Chunk) {
        let Some(home) = self.home(tag) else { return };
        let entry = home.high | (chunk.0 + 1) & CHUNK_MASK;
        for bucket in home.buckets {
            let bucket = &mut self.buckets[bucket];
            if let Some(place) = bucket.find(entry) {
                bucket.pull(place);
                self.used -= 1;
                return;
            }
        }
    }

    /// Forgets every chunk that may have a tag.
    pub fn forget(&mut self, tag: &Tag) {
        let Some(home) = self.home(tag) else { return };
        for bucket in home.buckets {
            let bucket = &mut self.buckets[bucket];
            while let Some(place) =
                bucket.0.iter().position(|&entry| entry != EMPTY && (entry ^ home.high) & !CHUNK_MASK == 0)
            {
                bucket.pull(place);
                self.used -= 1;
            }
        }
    }

    /// Buckets it has.
    #[must_use]
    pub fn buckets(&self) -> usize {
        self.buckets.len()
    }

    /// Copies buckets from number `first` on to `out`, to be kept: 64 bytes each, as many as fit. Answers how many.
    pub fn keep(&self, first: usize, out: &mut [u8]) -> usize {
        let buckets = self.buckets.get(first..).unwrap_or(&[]);
        let (places, _) = out.as_chunks_mut::<BUCKET_BYTES>();
        for (place, bucket) in places.iter_mut().zip(buckets) {
            for (bytes, entry) in place.as_chunks_mut().0.iter_mut().zip(bucket.0) {
                *bytes = entry.to_le_bytes();
            }
        }
        places.len().min(buckets.len())
    }

    /// Takes kept buckets back, into an index with as many buckets as the one that they are of: in another they are not
    /// found. What has been noted meanwhile is newer, and stays in front. Nothing is checked, since nothing depends on it.
    pub fn restore(&mut self, first: usize, kept: &[u8]) {
        let buckets = self.buckets.get_mut(first..).unwrap_or(&mut []);
        for (bucket, bytes) in buckets.iter_mut().zip(kept.as_chunks::<BUCKET_BYTES>().0) {
            let entries = bytes.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
            for entry in entries.filter(|entry| *entry != EMPTY) {
                if let (None, Some(free)) = (bucket.find(entry), bucket.find(EMPTY)) {
                    bucket.0[free] = entry;
                    self.used += 1;
                }
            }
        }
    }
}
