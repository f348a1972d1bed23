//! Random numbers, equal for equal seeds.

use std::ops::{Range, RangeInclusive};

/// SplitMix64, as published by Steele, Lea and Flood in "Fast splittable pseudorandom number generators"
/// (2014): eight lines, and good enough to choose what happens next.
pub struct Random(u64);

impl Random {
    pub const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `end`, which must not be 0. Some numbers are slightly more frequent.
    pub const fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }

    pub const fn within(&mut self, range: RangeInclusive<usize>) -> usize {
        *range.start() + self.below(*range.end() - *range.start() + 1)
    }

    pub const fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub const fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.number() as u8).collect()
    }
}

/// Returns the seeds to run: `HUBBUB_SEED` alone, or the first `HUBBUB_SEEDS`, or the first `default`.
pub fn seeds(default: u64) -> Range<u64> {
    match number_from("HUBBUB_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number_from("HUBBUB_SEEDS").unwrap_or(default),
    }
}

/// Returns the number in an environment variable, or `None` if it is not set.
#[track_caller]
pub fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|why| panic!("{variable}={text}: {why}")))
}
