//! A crossing as a page has it.

use entity::Instant;
use entity::event::Direction;

use counting::Crossings;

/// A crossing within a day: the millisecond of the day × 2, plus 1 if it went toward the DPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Step(u32);

impl Step {
    pub(crate) fn new(day: Instant, ts: Instant, direction: Direction) -> Self {
        Self(ms_of_day(day, ts) << 1 | u32::from(direction == Direction::Toward))
    }

    /// Creates it from the number that the database computes, below 172,800,000.
    pub(super) fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// Creates the crossing at a millisecond of the day. `toward` is 1 if it went toward the DPU, otherwise 0.
    pub(super) fn from_parts(ms: u64, toward: u64) -> Self {
        Self(u32::try_from(ms << 1 | toward).unwrap_or(u32::MAX))
    }

    pub(super) fn crossings(self) -> Crossings {
        let toward = i64::from(self.0 & 1);
        Crossings { toward, away: 1 - toward }
    }

    pub(crate) fn ms(self) -> u32 {
        self.0 >> 1
    }

    pub(crate) fn is_toward(self) -> bool {
        self.0 & 1 == 1
    }

    /// Returns 1 if it went toward the DPU, otherwise 0.
    pub(super) fn toward(self) -> u64 {
        u64::from(self.0 & 1)
    }
}

/// Returns the millisecond of the day, which is less than half of what `u32` can hold.
pub(super) fn ms_of_day(day: Instant, ts: Instant) -> u32 {
    u32::try_from(ts.ms() - day.ms()).unwrap_or(u32::MAX >> 2)
}
