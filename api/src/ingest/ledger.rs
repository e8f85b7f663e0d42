//! A ledger: what is stored of a DPU that reports intervals or totals, and what new reports change of it. No I/O.
//!
//! A ledger holds only the stored rows next to the new reports, which is enough: intervals do not overlap, so a new one
//! can overlap the stored ones only if it overlaps the first that ends after its start; and a reading concerns only its
//! two neighbours.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use counting::totals::{Counters, Difference, Totals};
use counting::{Crossings, Interval};
use entity::Instant;
use entity::interval::IntervalSource;

use super::event::{Outcome, Rejection, RejectionCode};

#[derive(Debug)]
pub(super) struct Ledger {
    counters: Counters,
    /// Where the numbers of its intervals come from.
    source: IntervalSource,
    /// By end.
    intervals: BTreeMap<Instant, LedgerInterval>,
    /// By instant.
    readings: BTreeMap<Instant, LedgerReading>,
    /// Stored intervals that are replaced or deleted.
    removed: Vec<Interval>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct LedgerInterval {
    pub(super) interval: Interval,
    pub(super) is_gap: bool,
    pub(super) is_void: bool,
    pub(super) is_new: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct LedgerReading {
    pub(super) totals: Totals,
    pub(super) is_void: bool,
    pub(super) is_new: bool,
}

/// What new reports change of what is stored.
#[derive(Debug)]
pub(super) struct Changes {
    /// Where the numbers of the added intervals come from.
    pub(super) source: IntervalSource,
    /// Intervals to delete, before others are added.
    pub(super) removed: Vec<Interval>,
    pub(super) added: Vec<Difference>,
    pub(super) readings: Vec<Totals>,
}

impl Ledger {
    pub(super) fn new(counters: Counters, source: IntervalSource) -> Self {
        Self { counters, source, intervals: BTreeMap::new(), readings: BTreeMap::new(), removed: Vec::new() }
    }

    /// Enters a stored interval.
    pub(super) fn enter(&mut self, interval: Interval, is_gap: bool, is_void: bool) {
        let entry = LedgerInterval { interval, is_gap, is_void, is_new: false };
        self.intervals.insert(interval.ends, entry);
    }

    /// Enters a stored reading.
    pub(super) fn enter_reading(&mut self, totals: Totals, is_void: bool) {
        self.readings.insert(totals.ts, LedgerReading { totals, is_void, is_new: false });
    }

    /// Adds a reported interval, whose first stored successor must have been entered.
    pub(super) fn add_interval(&mut self, interval: Interval, revise: bool) -> Outcome {
        let Interval { starts, ends, people } = interval;
        let next = self.intervals.range((Excluded(starts), Unbounded)).next().map(|(_, next)| *next);
        let Some(known) = next.filter(|next| next.interval.starts < ends) else {
            self.put(Difference { interval, is_gap: false });
            return Outcome::Accepted;
        };
        let Interval { starts: from, ends: to, people: stored } = known.interval;
        if (from, to) != (starts, ends) {
            let void = if known.is_void { ", which is voided" } else { "" };
            let message = format!(
                "the interval from {starts} to {ends} overlaps the stored one from {from} to {to}{void}: no two \
                 intervals of a DPU may overlap"
            );
            return rejected(RejectionCode::Overlap, message);
        }
        if known.is_void || stored == people {
            return Outcome::Duplicate;
        }
        if !revise {
            let Crossings { toward, away } = stored;
            let message = format!(
                "the interval from {from} to {to} is stored with {toward} toward and {away} away: send it with revise \
                 to replace these numbers"
            );
            return rejected(RejectionCode::Conflict, message);
        }
        self.take(to);
        self.put(Difference { interval, is_gap: false });
        Outcome::Accepted
    }

    /// Adds a reading, whose stored neighbours must have been entered. With `force`, an implausible one counts nobody.
    pub(super) fn add_totals(&mut self, totals: Totals, force: bool) -> Outcome {
        let Totals { ts, read, .. } = totals;
        if let Some(known) = self.readings.get(&ts) {
            let Crossings { toward, away } = known.totals.read;
            if known.is_void || known.totals.read == read {
                return Outcome::Duplicate;
            }
            let message = format!(
                "the reading at {ts} is stored with {toward} toward and {away} away: it cannot change"
            );
            return rejected(RejectionCode::Conflict, message);
        }
        let (before, after) = self.neighbours(ts);
        let is_baseline = match self.doubt(before, totals, after) {
            None => false,
            Some(_) if force => true,
            Some(doubt) => {
                let message = format!(
                    "the totals {} toward and {} away at {ts} are implausible: {doubt}. Check the device, or send them \
                     with force to count on from them",
                    read.toward, read.away
                );
                return rejected(RejectionCode::Implausible, message);
            }
        };
        self.insert(Totals { is_baseline, ..totals });
        Outcome::Accepted
    }

    /// Takes back a reading: its neighbours become neighbours of each other.
    pub(super) fn void_reading(&mut self, ts: Instant) {
        let (before, after) = self.neighbours(ts);
        if before.is_some() {
            self.take(ts.plus_ms(1));
        }
        if let Some(after) = after {
            self.take(after.ts.plus_ms(1));
            if let Some(before) = before {
                let joined = self.difference(&before, &after);
                self.put(joined);
            }
        }
        if let Some(reading) = self.readings.get_mut(&ts) {
            reading.is_void = true;
        }
    }

    /// Counts a voided reading again.
    pub(super) fn unvoid_reading(&mut self, ts: Instant) {
        if let Some(reading) = self.readings.get(&ts).copied() {
            self.insert(reading.totals);
            if let Some(entry) = self.readings.get_mut(&ts) {
                entry.is_new = reading.is_new;
            }
        }
    }

    /// Returns what the reports change of what is stored.
    pub(super) fn changes(self) -> Changes {
        let new = self.intervals.into_values().filter(|entry| entry.is_new);
        let added = new.map(|LedgerInterval { interval, is_gap, .. }| Difference { interval, is_gap });
        let readings = self.readings.into_values().filter(|entry| entry.is_new).map(|entry| entry.totals);
        Changes {
            source: self.source,
            removed: self.removed,
            added: added.collect(),
            readings: readings.collect(),
        }
    }

    /// Returns the readings before and after an instant.
    fn neighbours(&self, ts: Instant) -> (Option<Totals>, Option<Totals>) {
        let live = |(_, entry): (&Instant, &LedgerReading)| (!entry.is_void).then_some(entry.totals);
        let before = self.readings.range(..ts).rev().find_map(live);
        (before, self.readings.range((Excluded(ts), Unbounded)).find_map(live))
    }

    /// Returns why a new reading cannot be right, if so.
    fn doubt(&self, before: Option<Totals>, new: Totals, after: Option<Totals>) -> Option<String> {
        let first = before.map(|before| self.counters.difference(&before, &new)).transpose();
        let second = after.map(|after| self.counters.difference(&new, &after)).transpose();
        let (first, second) = match (first, second) {
            (Ok(first), Ok(second)) => (first, second),
            (Err(implausible), _) | (_, Err(implausible)) => return Some(implausible.to_string()),
        };
        // A late reading adds nobody, unless a restart had hidden them.
        let (first, second, after) = (first?, second?, after?);
        let joined = self.intervals.get(&after.ts.plus_ms(1)).filter(|joined| !joined.is_gap)?;
        let people = first.interval.people + second.interval.people;
        if people == joined.interval.people && !first.is_gap && !second.is_gap {
            return None;
        }
        Some(format!(
            "they are not between those that were read before and after, at {} and {}",
            first.interval.starts.just_before(),
            after.ts
        ))
    }

    /// Inserts a reading, and splits the interval that it lies in.
    fn insert(&mut self, totals: Totals) {
        let (before, after) = self.neighbours(totals.ts);
        if let Some(after) = after {
            if before.is_some() {
                self.take(after.ts.plus_ms(1));
            }
            let second = self.difference(&totals, &after);
            self.put(second);
        }
        if let Some(before) = before {
            let first = self.difference(&before, &totals);
            self.put(first);
        }
        self.readings.insert(totals.ts, LedgerReading { totals, is_void: false, is_new: true });
    }

    /// Returns what two neighbouring readings tell. An implausible difference counts nobody.
    fn difference(&self, earlier: &Totals, later: &Totals) -> Difference {
        self.counters.difference(earlier, later).unwrap_or_else(|_| {
            let (starts, ends) = (earlier.ts.plus_ms(1), later.ts.plus_ms(1));
            Difference { interval: Interval { starts, ends, people: Crossings::default() }, is_gap: true }
        })
    }

    fn put(&mut self, Difference { interval, is_gap }: Difference) {
        let entry = LedgerInterval { interval, is_gap, is_void: false, is_new: true };
        self.intervals.insert(interval.ends, entry);
    }

    /// Removes the interval with this end.
    fn take(&mut self, ends: Instant) {
        let taken = self.intervals.remove(&ends).filter(|taken| !taken.is_new);
        self.removed.extend(taken.map(|taken| taken.interval));
    }
}

fn rejected(code: RejectionCode, message: String) -> Outcome {
    Outcome::Rejected(Rejection::new(code, message))
}

#[cfg(test)]
mod tests {
    use counting::totals::MAX_PER_MINUTE;

    use super::*;

    fn at(minute: i64) -> Instant {
        Instant::from_ms(minute * 60_000)
    }

    fn interval(from: i64, to: i64, toward: i64, away: i64) -> Interval {
        Interval { starts: at(from), ends: at(to), people: Crossings { toward, away } }
    }

    fn totals(minute: i64, toward: i64, away: i64) -> Totals {
        Totals { ts: at(minute), read: Crossings { toward, away }, is_baseline: false }
    }

    fn ledger() -> Ledger {
        let counters = Counters { bits: Some(16), max_per_minute: MAX_PER_MINUTE };
        Ledger::new(counters, IntervalSource::Derived)
    }

    fn code(outcome: &Outcome) -> &'static str {
        match outcome {
            Outcome::Accepted => "ACCEPTED",
            Outcome::Duplicate => "DUPLICATE",
            Outcome::Rejected(rejection) => rejection.code.name(),
        }
    }

    #[test]
    fn an_interval_is_stored_once_and_never_beside_one_that_it_overlaps() {
        let mut ledger = ledger();
        ledger.enter(interval(0, 10, 3, 1), false, false);
        ledger.enter(interval(20, 30, 5, 5), false, true);
        let add =
            |ledger: &mut Ledger, interval, revise| code(&ledger.add_interval(interval, revise)).to_owned();
        for (given, revise, expected) in [
            (interval(0, 10, 3, 1), false, "DUPLICATE"),
            (interval(0, 10, 4, 1), false, "CONFLICT"),
            (interval(0, 11, 3, 1), true, "OVERLAP"),
            (interval(9, 10, 3, 1), true, "OVERLAP"),
            (interval(10, 20, 0, 0), false, "ACCEPTED"),
            (interval(10, 20, 0, 0), false, "DUPLICATE"),
            (interval(10, 20, 1, 0), true, "ACCEPTED"),
            (interval(0, 10, 4, 1), true, "ACCEPTED"),
            (interval(0, 10, 3, 1), false, "CONFLICT"),
            // What was voided stays so.
            (interval(20, 30, 6, 5), true, "DUPLICATE"),
            (interval(25, 35, 6, 5), true, "OVERLAP"),
        ] {
            assert_eq!(add(&mut ledger, given, revise), expected, "{given:?}");
        }
        let Changes { removed, added, .. } = ledger.changes();
        assert_eq!(removed, [interval(0, 10, 3, 1)]);
        let added: Vec<_> = added.into_iter().map(|added| added.interval).collect();
        assert_eq!(added, [interval(0, 10, 4, 1), interval(10, 20, 1, 0)]);
    }

    #[test]
    fn a_late_reading_splits_an_interval_and_adds_nobody() {
        let mut ledger = ledger();
        let between = |from: i64, to: i64, toward, away| Interval {
            starts: at(from).plus_ms(1),
            ends: at(to).plus_ms(1),
            people: Crossings { toward, away },
        };
        assert_eq!(code(&ledger.add_totals(totals(0, 100, 100), false)), "ACCEPTED");
        assert_eq!(code(&ledger.add_totals(totals(10, 130, 110), false)), "ACCEPTED");
        for (given, expected) in [
            (totals(5, 131, 105), "IMPLAUSIBLE"),
            (totals(5, 99, 105), "IMPLAUSIBLE"),
            (totals(5, 120, 105), "ACCEPTED"),
            (totals(5, 120, 105), "DUPLICATE"),
            (totals(5, 120, 106), "CONFLICT"),
            // More than 240 people in a minute.
            (totals(11, 371, 110), "IMPLAUSIBLE"),
        ] {
            assert_eq!(code(&ledger.add_totals(given, false)), expected, "{given:?}");
        }
        assert_eq!(code(&ledger.add_totals(totals(11, 371, 110), true)), "ACCEPTED");
        let Changes { removed, added, readings, .. } = ledger.changes();
        assert_eq!((removed.len(), readings.len()), (0, 4));
        let added: Vec<_> = added.into_iter().map(|added| (added.interval, added.is_gap)).collect();
        assert_eq!(
            added,
            [(between(0, 5, 20, 5), false), (between(5, 10, 10, 5), false), (between(10, 11, 0, 0), true)]
        );
    }

    #[test]
    fn a_late_reading_shows_people_that_a_restart_had_hidden() {
        let mut ledger = ledger();
        for (given, expected) in [
            (totals(0, 1_000, 0), "ACCEPTED"),
            (totals(20, 7, 0), "ACCEPTED"),
            (totals(10, 1_050, 0), "ACCEPTED"),
        ] {
            assert_eq!(code(&ledger.add_totals(given, false)), expected, "{given:?}");
        }
        let people: i64 = ledger.changes().added.iter().map(|added| added.interval.people.toward).sum();
        assert_eq!(people, 57);
    }

    #[test]
    fn a_voided_reading_joins_its_neighbours_until_it_counts_again() {
        let readings = [totals(0, 10, 0), totals(1, 200, 0), totals(2, 15, 0)];
        let build = || {
            let mut ledger = ledger();
            for reading in readings {
                assert_eq!(code(&ledger.add_totals(reading, false)), "ACCEPTED");
            }
            ledger
        };
        let people = |ledger: Ledger| {
            ledger.changes().added.iter().map(|added| added.interval.people.toward).collect::<Vec<_>>()
        };
        assert_eq!(people(build()), [190, 15]);
        let mut ledger = build();
        ledger.void_reading(at(1));
        assert_eq!(code(&ledger.add_totals(readings[1], false)), "DUPLICATE");
        ledger.unvoid_reading(at(1));
        assert_eq!(people(ledger), [190, 15]);
        let mut ledger = build();
        ledger.void_reading(at(1));
        assert_eq!(people(ledger), [5]);
    }
}
