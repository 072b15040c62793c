//! How long things took: counts of durations that lie close together.
//!
//! Four buckets for each power of two: what is read from them is at most a quarter too long.

use serde::{Deserialize, Serialize};

/// Buckets; the last takes everything from half an hour on.
pub const BUCKETS: usize = 160;

/// The bucket of a duration in nanoseconds.
pub fn bucket_of(nanoseconds: u64) -> usize {
    let Some(shift) = nanoseconds.max(1).ilog2().checked_sub(2) else { return nanoseconds as usize };
    let bucket = (shift as usize + 1) * 4 + (nanoseconds >> shift & 3) as usize;
    bucket.min(BUCKETS - 1)
}

/// The first duration, in nanoseconds, that is too long for a bucket.
pub fn end_of(bucket: usize) -> u64 {
    let next = bucket as u64 + 1;
    if next < 4 { next } else { (4 + next % 4) << (next / 4 - 1) }
}

/// Durations, counted: pairs of the first duration in nanoseconds that is too long, and how many were shorter than that but
/// not than the pair before. In order; pairs that count nothing are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Latency(pub Vec<(u64, u64)>);

impl Latency {
    /// How many.
    pub fn count(&self) -> u64 {
        self.0.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Nanoseconds within which this share of them ended, from 0 to 1. `None` without any.
    pub fn within(&self, share: f64) -> Option<u64> {
        let wanted = (self.count() as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0_u64;
        let pair = self.0.iter().find(|(_, count)| {
            seen = seen.saturating_add(*count);
            seen >= wanted
        })?;
        Some(pair.0)
    }

    /// Those that came since an earlier look. `None` if this is no later look at the same.
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        let mut left = earlier.0.iter().peekable();
        let mut new = Vec::new();
        for &(end, count) in &self.0 {
            let before = left.next_if(|pair| pair.0 == end).map_or(0, |pair| pair.1);
            let more = count.checked_sub(before)?;
            if more > 0 {
                new.push((end, more));
            }
        }
        left.next().is_none().then_some(Self(new))
    }

    /// These and those.
    pub fn with(mut self, other: &Self) -> Self {
        self.0.extend(&other.0);
        self.0.sort_unstable();
        self.0.dedup_by(|next, pair| {
            let same = next.0 == pair.0;
            if same {
                pair.1 = pair.1.saturating_add(next.1);
            }
            same
        });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_in_its_bucket() {
        let mut at = 0_u64;
        while at < 1 << 41 {
            let bucket = bucket_of(at);
            if bucket < BUCKETS - 1 {
                assert!(at < end_of(bucket), "{at}");
            }
            assert!(bucket == 0 || at >= end_of(bucket - 1), "{at}");
            at += 1 + at / 37;
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        assert!((0..BUCKETS - 1).all(|bucket| bucket_of(end_of(bucket)) == bucket + 1));
        // What is read is at most a quarter too long.
        assert!((4..BUCKETS).all(|bucket| end_of(bucket) * 4 <= end_of(bucket - 1) * 5));
    }

    #[test]
    fn shares_are_found() {
        let latency = Latency(vec![(10, 50), (20, 49), (1000, 1)]);
        let found = [0.0, 0.5, 0.51, 0.99, 1.0].map(|share| latency.within(share));
        assert_eq!(found, [10, 10, 20, 20, 1000].map(Some));
        assert_eq!(Latency::default().within(0.5), None);
    }

    #[test]
    fn what_came_between_two_looks_is_their_difference() {
        let (one, two) = (Latency(vec![(10, 5), (20, 1)]), Latency(vec![(5, 2), (10, 5), (20, 4)]));
        assert_eq!(two.since(&one), Some(Latency(vec![(5, 2), (20, 3)])));
        assert_eq!(one.since(&two), None, "the server was started anew");
        assert_eq!(one.since(&Latency(vec![(7, 1)])), None);
        assert_eq!(one.with(&two), Latency(vec![(5, 2), (10, 10), (20, 5)]));
    }
}
