//! Compression: what comes back, what is left alone, what is refused.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use proptest::prelude::*;
use sluice_mapped::{
    codec::{Compressor, Damaged, Decompressor, LEVELS, LONGEST, NoMemory},
    units::BLOCK,
};

type Page = [u8; BLOCK];

/// The same bytes for the same seed.
struct Random(fastrand::Rng);

impl Random {
    fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    fn noise(&mut self) -> Page {
        core::array::from_fn(|_| self.0.u8(..))
    }

    /// Noise of which `percent` is copied from earlier.
    fn repeats(&mut self, percent: usize) -> Page {
        let mut page = self.noise();
        let mut at = 64;
        while at < BLOCK {
            let end = (at + 24).min(BLOCK);
            if self.0.usize(..100) < percent {
                let back = 1 + self.0.usize(..at);
                (at..end).for_each(|i| page[i] = page[i - back]);
            }
            at = end;
        }
        page
    }

    /// Bytes of the first `symbols` values, all equally often.
    fn alphabet(&mut self, symbols: usize) -> Page {
        core::array::from_fn(|_| self.0.usize(..symbols) as u8)
    }
}

fn size(compressor: &mut Compressor, page: &Page) -> usize {
    let mut out = [0; BLOCK];
    let Some(length) = compressor.compress(page, &mut out) else { return BLOCK };
    assert!(length <= LONGEST);
    let mut back = [0; BLOCK];
    Decompressor::new().unwrap().decompress(&out[..length], &mut back).unwrap();
    assert_eq!(&back, page);
    length
}

#[test]
fn what_can_be_shortened_is_at_every_level_and_comes_back() {
    let mut random = Random::new(1);
    for level in LEVELS {
        let mut compressor = Compressor::new(level).unwrap();
        assert!(size(&mut compressor, &[0; BLOCK]) < 32);
        assert!(size(&mut compressor, &random.repeats(60)) < BLOCK * 3 / 4, "level {level}");
        let mut half = random.noise();
        half[..BLOCK / 2].fill(7);
        assert!(size(&mut compressor, &half) < BLOCK / 2 + 32, "level {level}");
        if level > 0 {
            assert!(size(&mut compressor, &random.alphabet(16)) < BLOCK * 53 / 100, "level {level}");
        }
        assert_eq!(size(&mut compressor, &random.noise()), BLOCK);
    }
}

#[test]
fn levels_that_are_none_are_refused() {
    for level in [*LEVELS.start() - 1, *LEVELS.end() + 1, i32::MIN, i32::MAX] {
        assert_eq!(Compressor::new(level).err(), Some(NoMemory));
    }
}

#[test]
fn what_saves_less_than_a_sixteenth_stays_as_it_is() {
    let mut compressor = Compressor::new(3).unwrap();
    let mut random = Random::new(2);
    let mut page = random.noise();
    page[..BLOCK / 20].fill(0);
    assert_eq!(compressor.compress(&page, &mut [0; BLOCK]), None);
    page[..BLOCK / 12].fill(0);
    assert!(compressor.compress(&page, &mut [0; BLOCK]).is_some());
    // A short output is a lower bound on what is worth it.
    assert_eq!(compressor.compress(&page, &mut [0; 100]), None);
}

/// The worst for the sample: a byte's entropy just worth coding, and repeats just worth finding.
#[test]
fn looking_for_noise_first_costs_no_more_than_a_hundredth_of_the_space() {
    let mut random = Random::new(3);
    for level in [1, 3, 9, 19] {
        let mut compressor = Compressor::new(level).unwrap();
        for (name, pages) in [
            ("bytes", [256, 224, 192, 176, 160, 128].map(|symbols| random.alphabet(symbols)).to_vec()),
            ("repeats", (0..100).step_by(4).map(|percent| random.repeats(percent)).collect::<Vec<_>>()),
        ] {
            let ours: usize = pages.iter().map(|page| size(&mut compressor, page)).sum();
            let plain: usize = pages.iter().map(|page| without_sample(level, page)).sum();
            println!("level {level}, {name}: {ours}, without {plain}");
            assert!(ours * 100 <= plain * 101, "level {level}, {name}: {ours} instead of {plain}");
        }
    }
}

/// What zstd makes of a page by itself.
fn without_sample(level: i32, page: &Page) -> usize {
    // The frame has a magic number, and a content size of two bytes in place of one for its window.
    zstd_safe::compress(&mut vec![0; 2 * BLOCK][..], page, level)
        .map(|length| length - 5)
        .ok()
        .filter(|length| *length <= LONGEST)
        .unwrap_or(BLOCK)
}

#[test]
fn memory_does_not_grow_with_what_is_compressed() {
    let mut random = Random::new(4);
    for level in LEVELS {
        let mut compressor = Compressor::new(level).unwrap();
        let before = compressor.memory();
        for round in 0..400 {
            let page = match round % 4 {
                0 => random.noise(),
                1 => random.repeats(50),
                2 => random.alphabet(20),
                _ => [round as u8; BLOCK],
            };
            size(&mut compressor, &page);
        }
        assert_eq!(compressor.memory(), before, "level {level}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn garbage_is_refused_or_makes_a_block(frame in prop::collection::vec(any::<u8>(), 0..5000)) {
        let mut out = [0; BLOCK];
        let _ = Decompressor::new().unwrap().decompress(&frame, &mut out);
    }

    #[test]
    fn a_changed_frame_is_refused_or_makes_a_block_and_the_next_one_is_read(
        seed: u64, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(), level in LEVELS,
    ) {
        let mut random = Random::new(seed);
        let page = if seed % 2 == 0 { random.repeats(60) } else { random.alphabet(40) };
        let mut frame = vec![0; BLOCK];
        let mut decompressor = Decompressor::new().unwrap();
        let mut out = [0; BLOCK];
        if let Some(length) = Compressor::new(level).unwrap().compress(&page, &mut frame) {
            frame.truncate(length);
            let mut changed = frame.clone();
            changes.iter().for_each(|(at, byte)| changed[at.index(length)] = *byte);
            let _ = decompressor.decompress(&changed, &mut out);
            prop_assert_eq!(decompressor.decompress(&frame[..cut.index(length)], &mut out), Err(Damaged));
            changed = frame.clone();
            changed.push(0);
            prop_assert_eq!(decompressor.decompress(&changed, &mut out), Err(Damaged));
            prop_assert_eq!(decompressor.decompress(&frame, &mut out), Ok(()));
            prop_assert_eq!(out, page);
        }
    }
}
