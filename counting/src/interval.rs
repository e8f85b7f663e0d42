//! Intervals: people who crossed at an unknown instant of a known stretch of time.

use values::Instant;

use crate::Crossings;

/// People who crossed under a DPU during `[starts, ends)`. A count includes them from the last millisecond on.
///
/// Intervals are reported by a device, derived from two readings of its totals ([`totals`](crate::totals)), or left of
/// events that were pruned. No two intervals of a DPU overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Start, inclusive.
    pub starts: Instant,
    /// End, exclusive.
    pub ends: Instant,
    /// The people who crossed.
    pub people: Crossings,
}

impl Interval {
    /// Returns the instant from which counts include the interval: its last millisecond.
    pub const fn counted_at(&self) -> Instant {
        self.ends.just_before()
    }

    /// Returns whether some of its people may have crossed by `at`, and others not yet.
    pub fn is_open_at(&self, at: Instant) -> bool {
        self.starts <= at && at < self.counted_at() && self.people.count() > 0
    }
}

/// The lowest and the highest number of people that the reports allow. They are equal where the count is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountRange {
    /// The lowest.
    pub low: i64,
    /// The highest.
    pub high: i64,
}
