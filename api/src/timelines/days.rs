//! The daily totals of a DPU, by UTC day.

use std::sync::Arc;

use entity::Instant;

use counting::Crossings;

/// The odometer's reading at the end of each day with crossings.
///
/// A DPU that reports changes its last day, so that day is stored separately: changing it copies nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Days {
    /// All days but the last, ascending.
    past: Arc<[DayEnd]>,
    last: Option<DayEnd>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DayEnd {
    /// The start of the day.
    day: Instant,
    seen: Crossings,
}

impl Days {
    /// Returns the reading at the start of the day, and the crossings during the day.
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

    /// Returns the first and last day with crossings.
    pub(crate) fn ends(&self) -> Option<(Instant, Instant)> {
        let last = self.last?;
        Some((self.past.first().map_or(last.day, |end| end.day), last.day))
    }

    /// Returns the newest day with crossings at or before `day`.
    pub(crate) fn newest(&self, day: Instant) -> Option<Instant> {
        if let Some(last) = self.last.filter(|last| last.day <= day) {
            return Some(last.day);
        }
        let after = self.past.partition_point(|end| end.day <= day);
        after.checked_sub(1).map(|index| self.past[index].day)
    }

    /// Returns the last day before which `count` was at most `most`. `None`: it never was.
    pub(crate) fn last_before(&self, most: i64, count: impl Fn(Crossings) -> i64) -> Option<Instant> {
        let last = self.last.filter(|_| most >= 0)?;
        let after = self.past.partition_point(|end| count(end.seen) <= most);
        Some(self.past.get(after).map_or(last.day, |end| end.day))
    }

    /// Returns the first day by whose end `count` was at least `number`. `None`: it is still less.
    pub(crate) fn first_until(&self, number: i64, count: impl Fn(Crossings) -> i64) -> Option<Instant> {
        let after = self.past.partition_point(|end| count(end.seen) < number);
        let last = self.last.as_ref().filter(|end| count(end.seen) >= number);
        self.past.get(after).or(last).map(|end| end.day)
    }

    /// Returns the number of days with crossings.
    pub(crate) fn len(&self) -> usize {
        self.past.len() + usize::from(self.last.is_some())
    }

    /// Returns the totals with `added` crossings on a day.
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

    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.past)
    }
}

impl FromIterator<(Instant, Crossings)> for Days {
    /// Builds the readings from the totals of days, in ascending order.
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
