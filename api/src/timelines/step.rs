//! A crossing as a page has it.

use entity::Instant;
use entity::event::Direction;

use crate::counting::Crossings;

/// A crossing within a day: twice the millisecond of the day, plus one if it went toward the DPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Step(u32);

impl Step {
    /// The crossing at `ts` on the day that began at `day`.
    pub(crate) fn new(day: Instant, ts: Instant, direction: Direction) -> Self {
        Self(ms_of_day(day, ts) << 1 | u32::from(direction == Direction::Toward))
    }

    /// As the database computes it: a number below 172,800,000.
    pub(super) fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// The crossing at a millisecond of the day, and whether it went toward the DPU: one, or zero.
    pub(super) fn from_parts(ms: u64, toward: u64) -> Self {
        Self(u32::try_from(ms << 1 | toward).unwrap_or(u32::MAX))
    }

    /// The crossing, counted.
    pub(super) fn crossings(self) -> Crossings {
        let toward = i64::from(self.0 & 1);
        Crossings { toward, away: 1 - toward }
    }

    /// The millisecond of the day.
    pub(crate) fn ms(self) -> u32 {
        self.0 >> 1
    }

    /// Whether it went toward the DPU.
    pub(crate) fn is_toward(self) -> bool {
        self.0 & 1 == 1
    }

    /// One, if it went toward the DPU; else zero.
    pub(super) fn toward(self) -> u64 {
        u64::from(self.0 & 1)
    }
}

/// A day has fewer milliseconds than half of what `u32` holds.
pub(super) fn ms_of_day(day: Instant, ts: Instant) -> u32 {
    u32::try_from(ts.ms() - day.ms()).unwrap_or(u32::MAX >> 2)
}
