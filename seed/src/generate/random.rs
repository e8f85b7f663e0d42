//! Random numbers, the same on every machine and in every version.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A generator of random numbers.
pub(super) struct Random(ChaCha8Rng);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Returns a generator whose numbers are independent of those of `new` with the same seed.
    pub(super) fn independent(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(1);
        Self(random)
    }

    /// Returns a number from 0 up to but not including `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        // The upper half of the product: as even as 64 bits allow, and without a division.
        u64::try_from((u128::from(self.0.next_u64()) * u128::from(end)) >> 64).unwrap_or_default()
    }

    /// Returns a duration from 0 up to but not including `end_ms`.
    pub(super) fn within(&mut self, end_ms: i64) -> i64 {
        i64::try_from(self.below(end_ms.unsigned_abs())).unwrap_or_default()
    }

    /// Returns true with this probability, from 0 to 1.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        const PARTS: u32 = 1_000_000;
        let part = u32::try_from(self.below(PARTS.into())).unwrap_or_default();
        f64::from(part) < probability * f64::from(PARTS)
    }
}
