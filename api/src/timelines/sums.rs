//! The intervals of one DPU that are counted on one UTC day: reported, derived or pruned.

use std::sync::Arc;

use entity::Instant;

use super::step::ms_of_day;
use counting::{Crossings, Interval};

/// Maximum number of intervals beside the sorted ones before all are sorted again.
const LOOSE_MAX: usize = 64;

/// The intervals of a day with people. Those without make no difference to a count.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    sorted: Arc<[Sum]>,
    /// Intervals that were added after sorting, in the order of their commits, so that a reader of an earlier state can
    /// leave the last ones out.
    loose: Arc<[Interval]>,
}

/// An interval, and the people of the day until its end.
#[derive(Clone, Copy, Debug)]
struct Sum {
    starts: Instant,
    /// The millisecond of the day from which counts include it.
    at: u32,
    until: Crossings,
}

/// The intervals as they were when the day had some number of people.
#[derive(Clone, Copy, Debug)]
pub(super) struct SumsAt<'a> {
    sorted: &'a [Sum],
    loose: &'a [Interval],
}

impl Sums {
    /// Sorts intervals that are counted on `day`.
    pub(super) fn new(day: Instant, intervals: impl IntoIterator<Item = Interval>) -> Self {
        let mut intervals: Vec<_> = intervals.into_iter().filter(|one| one.people.count() > 0).collect();
        intervals.sort_by_key(|interval| interval.ends);
        let sums = intervals.iter().scan(Crossings::default(), |until, interval| {
            *until += interval.people;
            let at = ms_of_day(day, interval.counted_at());
            Some(Sum { starts: interval.starts, at, until: *until })
        });
        Self { sorted: sums.collect(), loose: Arc::default() }
    }

    /// Returns the number of people.
    pub(super) fn len(&self) -> i64 {
        self.sorted_len() + self.loose.iter().map(|interval| interval.people.count()).sum::<i64>()
    }

    fn sorted_len(&self) -> i64 {
        self.sorted.last().map_or(0, |sum| sum.until.count())
    }

    /// Returns the intervals as of `len` people. `None`: there are fewer, or later ones are sorted among the earlier ones.
    pub(super) fn at(&self, len: i64) -> Option<SumsAt<'_>> {
        Some(SumsAt { sorted: &self.sorted, loose: &self.loose[..self.loose_until(len)?] })
    }

    fn loose_until(&self, len: i64) -> Option<usize> {
        let mut seen = self.sorted_len();
        let mut places = self.loose.iter().enumerate();
        while seen < len {
            let (place, interval) = places.next()?;
            seen += interval.people.count();
            if seen == len {
                return Some(place + 1);
            }
        }
        (seen == len).then_some(0)
    }

    /// Returns a copy as of `len` people, as [`at`](Self::at) finds it.
    pub(super) fn cut(&self, len: i64) -> Option<Self> {
        let until = self.loose_until(len)?;
        let loose =
            if until == self.loose.len() { Arc::clone(&self.loose) } else { self.loose[..until].into() };
        Some(Self { sorted: Arc::clone(&self.sorted), loose })
    }

    pub(super) fn with(&self, day: Instant, added: impl IntoIterator<Item = Interval>) -> Self {
        let added = added.into_iter().filter(|interval| interval.people.count() > 0);
        let loose: Vec<_> = self.loose.iter().copied().chain(added).collect();
        if loose.len() <= LOOSE_MAX {
            return Self { sorted: Arc::clone(&self.sorted), loose: loose.into() };
        }
        Self::new(day, intervals(day, &self.sorted).chain(loose))
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.sorted) + size_of_val(&*self.loose)
    }
}

impl<'a> SumsAt<'a> {
    /// Returns the people from the start of the day up to and including `ts`.
    pub(super) fn until(self, day: Instant, ts: Instant) -> Crossings {
        let ms = ms_of_day(day, ts);
        let after = self.sorted.partition_point(|sum| sum.at <= ms);
        let sorted = after.checked_sub(1).map_or(Crossings::default(), |index| self.sorted[index].until);
        let counted = self.loose.iter().filter(|interval| interval.counted_at() <= ts);
        sorted + counted.map(|interval| interval.people).sum::<Crossings>()
    }

    /// Returns the first interval that is counted at `ts` or later.
    pub(super) fn first_from(self, day: Instant, ts: Instant) -> Option<Interval> {
        let at = if ts < day { 0 } else { ms_of_day(day, ts) };
        let place = self.sorted.partition_point(|sum| sum.at < at);
        let sorted = self.sorted.get(place).map(|_| interval(day, self.sorted, place));
        let loose = self.loose.iter().copied().filter(|interval| interval.counted_at() >= ts);
        sorted.into_iter().chain(loose).min_by_key(|interval| interval.ends)
    }

    /// Returns the intervals: first the sorted ones in order, then the others in any order.
    pub(super) fn intervals(self, day: Instant) -> impl Iterator<Item = Interval> + use<'a> {
        intervals(day, self.sorted).chain(self.loose.iter().copied())
    }
}

fn intervals(day: Instant, sorted: &[Sum]) -> impl Iterator<Item = Interval> {
    (0..sorted.len()).map(move |place| interval(day, sorted, place))
}

fn interval(day: Instant, sorted: &[Sum], place: usize) -> Interval {
    let before = place.checked_sub(1).map_or(Crossings::default(), |index| sorted[index].until);
    let Sum { starts, at, until } = sorted[place];
    Interval { starts, ends: day.plus_ms(i64::from(at) + 1), people: until - before }
}
