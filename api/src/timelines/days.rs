//! All that a DPU has seen, by UTC day.

use std::sync::Arc;

use entity::Instant;

use crate::counting::Crossings;

/// What a DPU's odometer showed at the end of each day on which somebody crossed.
///
/// A DPU that reports changes its last day, so that one is kept apart: to raise it copies nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Days {
    /// All but the last, in ascending order.
    past: Arc<[DayEnd]>,
    last: Option<DayEnd>,
}

/// What an odometer showed at the end of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DayEnd {
    /// When the day began.
    day: Instant,
    seen: Crossings,
}

impl Days {
    /// Returns what the odometer showed when the day began, and what was seen during the day.
    pub(crate) fn around(&self, day: Instant) -> (Crossings, Crossings) {
        if let Some(last) = self.last
            && last.day <= day
        {
            let before = self.past.last().map_or(Crossings::default(), |end| end.seen);
            return if last.day == day {
                (before, last.seen - before)
            } else {
                (last.seen, Crossings::default())
            };
        }
        let after = self.past.partition_point(|end| end.day < day);
        let before = after.checked_sub(1).map_or(Crossings::default(), |index| self.past[index].seen);
        match self.past.get(after) {
            Some(end) if end.day == day => (before, end.seen - before),
            _ => (before, Crossings::default()),
        }
    }

    /// Returns the first day and the last on which somebody crossed.
    pub(crate) fn ends(&self) -> Option<(Instant, Instant)> {
        let last = self.last?;
        Some((self.past.first().map_or(last.day, |end| end.day), last.day))
    }

    /// Returns the newest day at or before `day` on which somebody crossed.
    pub(crate) fn newest(&self, day: Instant) -> Option<Instant> {
        if let Some(last) = self.last.filter(|last| last.day <= day) {
            return Some(last.day);
        }
        let after = self.past.partition_point(|end| end.day <= day);
        after.checked_sub(1).map(|index| self.past[index].day)
    }

    /// The last day before which no more than `most` were seen, counted by `count`; `None`: there were more from the beginning.
    pub(crate) fn last_before(&self, most: i64, count: impl Fn(Crossings) -> i64) -> Option<Instant> {
        let last = self.last.filter(|_| most >= 0)?;
        let after = self.past.partition_point(|end| count(end.seen) <= most);
        Some(self.past.get(after).map_or(last.day, |end| end.day))
    }

    /// The first day by whose end at least `number` were seen, counted by `count`; `None`: it is not yet reached.
    pub(crate) fn first_until(&self, number: i64, count: impl Fn(Crossings) -> i64) -> Option<Instant> {
        let after = self.past.partition_point(|end| count(end.seen) < number);
        let last = self.last.as_ref().filter(|end| count(end.seen) >= number);
        self.past.get(after).or(last).map(|end| end.day)
    }

    /// Returns the number of days on which somebody crossed.
    pub(crate) fn len(&self) -> usize {
        self.past.len() + usize::from(self.last.is_some())
    }

    /// Returns the same with more crossings on a day.
    #[must_use]
    pub(super) fn plus(self, day: Instant, added: Crossings) -> Self {
        if added == Crossings::default() {
            return self;
        }
        let (before, seen) = self.around(day);
        let raised = DayEnd { day, seen: before + seen + added };
        match self.last {
            None => Self { last: Some(raised), ..self },
            Some(last) if last.day == day => Self { last: Some(raised), ..self },
            Some(last) if last.day < day => {
                Self { past: self.past.iter().copied().chain([last]).collect(), last: Some(raised) }
            }
            Some(last) => {
                let later = |end: &DayEnd| DayEnd { seen: end.seen + added, ..*end };
                let index = self.past.partition_point(|end| end.day < day);
                let (earlier, from) = self.past.split_at(index);
                let after = if from.first().is_some_and(|end| end.day == day) { &from[1..] } else { from };
                let past = earlier.iter().copied().chain([raised]).chain(after.iter().map(later));
                Self { past: past.collect(), last: Some(later(&last)) }
            }
        }
    }

    /// Returns how many bytes it takes beside itself.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.past)
    }
}

impl FromIterator<(Instant, Crossings)> for Days {
    /// From the totals of days, in ascending order.
    fn from_iter<I: IntoIterator<Item = (Instant, Crossings)>>(totals: I) -> Self {
        let ends = totals.into_iter().scan(Crossings::default(), |seen, (day, total)| {
            *seen += total;
            Some(DayEnd { day, seen: *seen })
        });
        let mut ends: Vec<_> = ends.collect();
        let last = ends.pop();
        Self { past: ends.into(), last }
    }
}
