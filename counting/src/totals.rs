//! Running totals: how many people crossed between two readings of a device's counters.
//!
//! A device counts each direction since it was started, and reports the sums. Readings are stored as they were read;
//! the people between two neighbouring readings are their difference. So a lost reading loses nobody, and a late one
//! splits an interval and adds nobody.

use std::fmt;

use values::Instant;

use crate::{Crossings, Interval};

/// People a minute and direction that a DPU may report, unless its own limit is set.
pub const MAX_PER_MINUTE: i64 = 240;
const MINUTE_MS: i64 = 60_000;

/// A reading of a device's counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// When they were read, by the device's clock.
    pub ts: Instant,
    /// The totals of both directions since the device was started.
    pub read: Crossings,
    /// Whether counting begins again here: what was counted since the reading before is not known.
    pub is_baseline: bool,
}

/// What is known of a device's counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Their width: after 2^bits - 1 they show 0. `None`: they never roll over.
    pub bits: Option<u32>,
    /// The highest plausible number of people a minute and direction.
    pub max_per_minute: i64,
}

/// What two neighbouring readings tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The people between them: in `[earlier + 1 ms, later + 1 ms)`.
    pub interval: Interval,
    /// Whether people were lost: a counter was restarted, or counting began again with the later reading.
    pub is_gap: bool,
}

/// A counter rose by more than can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Implausible {
    /// By how much it rose.
    pub people: i64,
    /// By how much it can have risen.
    pub most: i64,
    /// The time between the readings, in milliseconds.
    pub ms: i64,
}

/// How one counter got from one value to the next.
enum Step {
    /// This many people crossed.
    Counted(i64),
    /// The counter was restarted, and this many people crossed since.
    Restarted(i64),
}

impl Counters {
    /// Returns what two neighbouring readings tell of the time between them.
    pub fn difference(&self, earlier: &Totals, later: &Totals) -> Result<Difference, Implausible> {
        let (starts, ends) = (earlier.ts.plus_ms(1), later.ts.plus_ms(1));
        if later.is_baseline {
            let interval = Interval { starts, ends, people: Crossings::default() };
            return Ok(Difference { interval, is_gap: true });
        }
        let ms = later.ts.ms() - earlier.ts.ms();
        let most = self.most(ms);
        let mut is_gap = false;
        let mut people = |from, to| {
            let people = match self.step(from, to, most) {
                Step::Counted(people) => people,
                Step::Restarted(people) => {
                    is_gap = true;
                    people
                }
            };
            if people > most { Err(Implausible { people, most, ms }) } else { Ok(people) }
        };
        let toward = people(earlier.read.toward, later.read.toward)?;
        let away = people(earlier.read.away, later.read.away)?;
        Ok(Difference { interval: Interval { starts, ends, people: Crossings { toward, away } }, is_gap })
    }

    /// Returns the highest plausible number of people in one direction, in a time of at least a minute.
    fn most(&self, ms: i64) -> i64 {
        let minutes = (ms + MINUTE_MS - 1).max(MINUTE_MS) / MINUTE_MS;
        self.max_per_minute.saturating_mul(minutes)
    }

    fn step(&self, from: i64, to: i64, most: i64) -> Step {
        if to >= from {
            return Step::Counted(to - from);
        }
        if let Some(bits) = self.bits {
            let (values, half) = (1_i64 << bits, 1_i64 << (bits - 1));
            let people = to + values - from;
            // From the upper half of its values to the lower one.
            if (half..values).contains(&from) && to < half && people <= most {
                return Step::Counted(people);
            }
        }
        Step::Restarted(to)
    }
}

impl fmt::Display for Implausible {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { people, most, ms } = self;
        let seconds = ms / 1000;
        write!(formatter, "{people} people in {seconds} s are more than the {most} that can be")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(minute: i64, toward: i64, away: i64) -> Totals {
        Totals {
            ts: Instant::from_ms(minute * MINUTE_MS),
            read: Crossings { toward, away },
            is_baseline: false,
        }
    }

    /// Returns the people each way and whether some were lost. `None`: implausible.
    fn between(bits: Option<u32>, earlier: Totals, later: Totals) -> Option<(i64, i64, bool)> {
        let counters = Counters { bits, max_per_minute: MAX_PER_MINUTE };
        let Difference { interval, is_gap } = counters.difference(&earlier, &later).ok()?;
        Some((interval.people.toward, interval.people.away, is_gap))
    }

    #[test]
    fn the_difference_is_counted_until_the_later_reading() {
        let counters = Counters { bits: None, max_per_minute: MAX_PER_MINUTE };
        let Difference { interval, is_gap } =
            counters.difference(&totals(1, 100, 50), &totals(2, 103, 51)).unwrap();
        assert!(!is_gap);
        assert_eq!(interval.counted_at(), totals(2, 0, 0).ts);
        assert_eq!(interval.starts, totals(1, 0, 0).ts.plus_ms(1));
        assert_eq!(interval.people, Crossings { toward: 3, away: 1 });
    }

    #[test]
    fn a_lower_value_is_a_rollover_or_a_restart() {
        let before = totals(0, 65_500, 65_500);
        assert_eq!(between(Some(16), before, totals(1, 20, 65_510)), Some((56, 10, false)));
        // Only one of them was restarted.
        assert_eq!(between(None, before, totals(1, 20, 65_510)), Some((20, 10, true)));
        // As a rollover this would be 45,536 people in ten minutes.
        assert_eq!(
            between(Some(16), totals(0, 40_000, 0), totals(10, 20_000 - 19_990, 0)),
            Some((10, 0, true))
        );
        // From the lower half no counter rolls over.
        assert_eq!(between(Some(16), totals(0, 300, 0), totals(1, 200, 0)), Some((200, 0, true)));
        assert_eq!(between(Some(32), totals(0, u32::MAX.into(), 7), totals(1, 0, 7)), Some((1, 0, false)));
    }

    #[test]
    fn a_rise_beyond_the_limit_is_implausible() {
        assert_eq!(between(None, totals(0, 0, 0), totals(1, 240, 240)), Some((240, 240, false)));
        assert_eq!(between(None, totals(0, 0, 0), totals(1, 241, 0)), None);
        assert_eq!(between(None, totals(0, 0, 0), totals(10, 2_400, 0)), Some((2_400, 0, false)));
        // People since a restart are limited, too.
        assert_eq!(between(None, totals(0, 900, 0), totals(1, 800, 0)), None);
        let baseline = Totals { is_baseline: true, ..totals(1, 9_000, 9_000) };
        assert_eq!(between(None, totals(0, 0, 0), baseline), Some((0, 0, true)));
    }
}
