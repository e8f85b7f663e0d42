//! What devices report that count people, and report the numbers of each period: intervals or totals.
//!
//! Numbers of periods without people are reported, too. Some reports are lost, and the counters of one DPU are restarted
//! twice. The first and the last totals of each DPU always arrive, so that totals tell of all people but those between
//! the last totals before a restart and the restart.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, Write};

use entity::Instant;
use entity::event::Direction;

use super::building::Building;
use super::people::{Crossing, Hour};
use super::random::Random;
use super::underway::Underway;
use super::{DAY_MS, HOUR_MS, SECOND_MS};

/// Number of people a minute and direction that the server accepts of a DPU unless the plan says otherwise.
const MAX_PER_MINUTE: u64 = 240;
/// Lowest value from which counters start that do not roll over.
const COUNTERS_FROM: u64 = 10_000;
/// Counters that roll over start at most this much before they do so.
const ROLLOVER_WITHIN: u64 = 500;
/// Minimum number of periods in which counters are restarted.
const RESTARTS_PERIODS_MIN: i64 = 4;

/// How people are reported by period.
#[derive(Clone, Copy, Debug)]
pub(super) struct Periods {
    pub(super) content: Content,
    pub(super) every_ms: i64,
    /// Part of the reports that never arrives.
    pub(super) lost: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// The people who crossed in the period.
    People,
    /// What the counters show at its end. `None`: they never roll over.
    Totals { counter_bits: Option<u32> },
}

/// The rows of all reports, written in the order of their arrival.
pub(super) struct Rows<'a, W> {
    building: &'a Building,
    periods: &'a Periods,
    random: Random,
    /// What each DPU has counted: in the present period, or since it was started.
    counts: Vec<Counts>,
    /// The end of the present period.
    ends_ms: i64,
    /// When the counters of one DPU will be restarted.
    restarts: VecDeque<i64>,
    underway: Underway<Report>,
    rows: u64,
    csv: &'a mut W,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Counts {
    toward: u64,
    away: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Report {
    ends_ms: i64,
    dpu: u32,
    counts: Counts,
}

impl Periods {
    /// Returns the keys of a DPU's table in the plan. `busiest_minute` is the number of people under it in a minute.
    pub(super) fn dpu_keys(&self, busiest_minute: u64) -> String {
        let kind = if self.is_totals() { "totals" } else { "intervals" };
        let mut keys = format!("reports = \"{kind}\"\nexpected_every = {}\n", self.every_ms / SECOND_MS);
        let Content::Totals { counter_bits } = self.content else { return keys };
        if let Some(bits) = counter_bits {
            // Writing to a string cannot fail.
            let _ = writeln!(keys, "counter_bits = {bits}");
        }
        // Minutes and doors differ.
        let most = busiest_minute.saturating_mul(4).saturating_add(60);
        if most > MAX_PER_MINUTE {
            let _ = writeln!(keys, "max_per_minute = {}", most.min(i32::MAX.unsigned_abs().into()));
        }
        keys
    }

    fn is_totals(&self) -> bool {
        matches!(self.content, Content::Totals { .. })
    }

    /// Returns the number of values that a counter has, if it rolls over.
    fn values(&self) -> Option<u64> {
        match self.content {
            Content::Totals { counter_bits: Some(bits) } => Some(1 << bits),
            _ => None,
        }
    }

    /// Returns the DPU whose counters are restarted: not the one that is offline, if there is another.
    pub(super) fn restarting(building: &Building) -> u32 {
        building.dpus.min(2) - 1
    }

    /// Returns the two instants at which counters are restarted: in the middle of periods in which people cross.
    pub(super) fn restarts(&self, building: &Building) -> VecDeque<i64> {
        let days = i64::from(building.days);
        if !self.is_totals() || days * (DAY_MS / self.every_ms) < RESTARTS_PERIODS_MIN {
            return VecDeque::new();
        }
        let middle = |day, hour| {
            let periods = (day * DAY_MS + hour * HOUR_MS) / self.every_ms;
            building.start_ms + periods * self.every_ms + self.every_ms / 2
        };
        [middle(days / 4, 8), middle(days * 3 / 4, 17)].into()
    }

    /// Returns what the counters of a DPU show before anybody crosses. Those that are restarted start low, so that a
    /// restart does not look as if they rolled over.
    fn first_counts(&self, building: &Building, dpu: u32, random: &mut Random) -> Counts {
        let mut count = || match self.values() {
            Some(values) if dpu != Self::restarting(building) => values - 1 - random.below(ROLLOVER_WITHIN),
            _ => COUNTERS_FROM + random.below(1000),
        };
        if self.is_totals() { Counts { toward: count(), away: count() } } else { Counts::default() }
    }
}

impl<'a, W: Write> Rows<'a, W> {
    pub(super) fn new(building: &'a Building, periods: &'a Periods, seed: u64, csv: &'a mut W) -> Self {
        let mut random = Random::independent(seed);
        let first = |dpu| periods.first_counts(building, dpu, &mut random);
        let counts = (0..building.dpus).map(first).collect();
        // The first totals are read before anybody crosses.
        let first_ms = if periods.is_totals() { -periods.every_ms } else { periods.every_ms };
        Self {
            building,
            periods,
            random,
            counts,
            ends_ms: building.start_ms + first_ms,
            restarts: periods.restarts(building),
            underway: Underway::new(),
            rows: 0,
            csv,
        }
    }

    /// Writes all rows. Returns their number.
    pub(super) fn write(mut self, hours: impl Iterator<Item = Hour>) -> io::Result<u64> {
        let header = if self.periods.is_totals() {
            "timestamp,total_toward,total_away,dpu_id"
        } else {
            "from,to,toward,away,dpu_id"
        };
        writeln!(self.csv, "{header}")?;
        for hour in hours {
            for crossing in hour.people {
                self.advance(crossing.ts_ms)?;
                self.count(&crossing);
            }
            self.advance(hour.ends_ms)?;
        }
        self.advance(self.building.end_ms() + 1)?;
        self.deliver(i64::MAX)?;
        Ok(self.rows)
    }

    /// Ends the periods that are over at `ts_ms`, and restarts counters.
    fn advance(&mut self, ts_ms: i64) -> io::Result<()> {
        // Totals include who crosses at their very instant, an interval does not include its end.
        let last_ms = |rows: &Self| rows.ends_ms - i64::from(!rows.periods.is_totals());
        while last_ms(self) < ts_ms {
            self.restart(last_ms(self));
            self.end_period()?;
        }
        self.restart(ts_ms);
        Ok(())
    }

    /// Restarts counters if this is due, but waits while they are in the upper half of their values, from where the
    /// server would take it for a rollover.
    fn restart(&mut self, ts_ms: i64) {
        let counts = &mut self.counts[Periods::restarting(self.building) as usize];
        let upper_half = self.periods.values().map_or(u64::MAX, |values| values / 2);
        let is_due = self.restarts.front().is_some_and(|restart_ms| *restart_ms <= ts_ms);
        if is_due && counts.toward.max(counts.away) < upper_half {
            *counts = Counts::default();
            self.restarts.pop_front();
        }
    }

    fn count(&mut self, crossing: &Crossing) {
        let Counts { toward, away } = &mut self.counts[crossing.dpu as usize];
        let count = if crossing.direction == Direction::Toward { toward } else { away };
        *count = (*count + 1) % self.periods.values().unwrap_or(u64::MAX);
    }

    /// Sends what all DPUs counted, and begins the next period.
    fn end_period(&mut self) -> io::Result<()> {
        let ends_ms = self.ends_ms;
        let is_between = (self.building.start_ms..self.building.end_ms()).contains(&ends_ms);
        for (dpu, counts) in (0..).zip(&mut self.counts) {
            let report = Report { ends_ms, dpu, counts: *counts };
            if !self.periods.is_totals() {
                *counts = Counts::default();
            }
            let arrives_ms = self.building.arrival(dpu, ends_ms, &mut self.random);
            let is_lost = self.random.chance(self.periods.lost);
            if !is_lost || (self.periods.is_totals() && !is_between) {
                self.underway.send(report, arrives_ms, &mut self.random);
            }
        }
        self.ends_ms += self.periods.every_ms;
        self.deliver(self.ends_ms)
    }

    /// Writes what has arrived before `until_ms`.
    fn deliver(&mut self, until_ms: i64) -> io::Result<()> {
        while let Some(Report { ends_ms, dpu, counts: Counts { toward, away } }) =
            self.underway.next_before(until_ms)
        {
            let (serial, to) = (Building::serial(dpu), Instant::from_ms(ends_ms));
            if self.periods.is_totals() {
                writeln!(self.csv, "{to},{toward},{away},{serial}")?;
            } else {
                let from = Instant::from_ms(ends_ms - self.periods.every_ms);
                writeln!(self.csv, "{from},{to},{toward},{away},{serial}")?;
            }
            self.rows += 1;
        }
        Ok(())
    }
}
