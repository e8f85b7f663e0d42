//! A random generator with the same results on every machine and in every version.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A random generator.
pub(crate) struct Random(ChaCha8Rng);

/// What a generator is for. Those of one seed are independent of each other.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// The people, and the reports of single crossings.
    World = 0,
    /// The instants at which counts are compared.
    Check = 1,
    /// The reports of intervals and totals.
    Periods = 2,
}

impl Random {
    pub(crate) fn new(seed: u64, purpose: Purpose) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(purpose as u64);
        Self(random)
    }

    /// Returns a number from 0 up to, but not including, `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        // The upper half of the product is as uniform as 64 bits allow, without a division.
        u64::try_from((u128::from(self.0.next_u64()) * u128::from(end)) >> 64).unwrap_or_default()
    }

    /// Returns a duration from 0 up to, but not including, `end_ms`.
    pub(crate) fn within(&mut self, end_ms: i64) -> i64 {
        i64::try_from(self.below(end_ms.unsigned_abs())).unwrap_or_default()
    }

    pub(crate) fn one_in(&mut self, number: u64) -> bool {
        self.below(number) == 0
    }

    pub(crate) fn chance(&mut self, share: f64) -> bool {
        const PARTS: u32 = 1_000_000;
        let part = u32::try_from(self.below(PARTS.into())).unwrap_or_default();
        f64::from(part) < share * f64::from(PARTS)
    }
}
