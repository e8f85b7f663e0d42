//! The daily totals of a DPU, by UTC day, and the edition of each day.

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
    /// The start of the day, in days since 1970. Some DPUs have thousands of days, so it is small.
    day: i32,
    edition: i32,
    seen: Crossings,
}

/// What a day's page must have to be current.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The number of people who crossed.
    pub(crate) len: i64,
    /// How often crossings of the day were replaced, instead of added to.
    pub(crate) edition: i32,
}

/// A day's total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DayTotal {
    pub(crate) people: Crossings,
    pub(crate) edition: i32,
}

const DAY_MS: i64 = 86_400_000;

fn number(day: Instant) -> i32 {
    // Instants lie within ten thousand years.
    i32::try_from(day.ms().div_euclid(DAY_MS)).unwrap_or(i32::MAX)
}

impl DayEnd {
    fn start(&self) -> Instant {
        Instant::from_ms(i64::from(self.day) * DAY_MS)
    }
}

impl Days {
    /// Returns the reading at the start of the day, and the crossings during the day.
    pub(crate) fn around(&self, day: Instant) -> (Crossings, Crossings) {
        let (before, during) = self.day(day);
        (before, during.people)
    }

    /// Returns the reading at the start of the day, and the day's total.
    pub(crate) fn day(&self, day: Instant) -> (Crossings, DayTotal) {
        let day = number(day);
        if let Some(last) = self.last
            && last.day <= day
        {
            let before = self.past.last().map_or(Crossings::default(), |end| end.seen);
            return if last.day == day {
                (before, DayTotal { people: last.seen - before, edition: last.edition })
            } else {
                (last.seen, DayTotal::default())
            };
        }
        let after = self.past.partition_point(|end| end.day < day);
        let before = after.checked_sub(1).map_or(Crossings::default(), |index| self.past[index].seen);
        match self.past.get(after) {
            Some(end) if end.day == day => {
                (before, DayTotal { people: end.seen - before, edition: end.edition })
            }
            _ => (before, DayTotal::default()),
        }
    }

    /// Returns what the page of a day must have.
    pub(crate) fn extent(&self, day: Instant) -> Extent {
        self.day(day).1.extent()
    }

    /// Returns the first and last day with crossings.
    pub(crate) fn ends(&self) -> Option<(Instant, Instant)> {
        let last = self.last?;
        Some((self.past.first().unwrap_or(&last).start(), last.start()))
    }

    /// Returns the newest day with crossings at or before `day`.
    pub(crate) fn newest(&self, day: Instant) -> Option<Instant> {
        let number = number(day);
        let until = self.past.partition_point(|end| end.day <= number);
        let past = (0..until).rev().map(|index| (self.seen_before(index), self.past[index]));
        let last = self.last.filter(|last| last.day <= number);
        let last = last.map(|last| (self.seen_before(self.past.len()), last));
        last.into_iter().chain(past).find(|(before, end)| *before != end.seen).map(|(_, end)| end.start())
    }

    /// Returns the first day with crossings after `day`.
    pub(crate) fn next(&self, day: Instant) -> Option<Instant> {
        let number = number(day);
        let after = self.past.partition_point(|end| end.day <= number);
        let past = (after..self.past.len()).map(|index| (self.seen_before(index), self.past[index]));
        let last = self.last.filter(|last| last.day > number);
        let last = last.map(|last| (self.seen_before(self.past.len()), last));
        past.chain(last).find(|(before, end)| *before != end.seen).map(|(_, end)| end.start())
    }

    /// Returns the reading before a day, by its place among the days.
    fn seen_before(&self, place: usize) -> Crossings {
        place.checked_sub(1).map_or(Crossings::default(), |index| self.past[index].seen)
    }

    /// Returns the last day before which `count` was at most `most`. `None`: it never was.
    pub(crate) fn last_before(&self, most: i64, count: impl Fn(Crossings) -> i64) -> Option<Instant> {
        let last = self.last.filter(|_| most >= 0)?;
        let after = self.past.partition_point(|end| count(end.seen) <= most);
        Some(self.past.get(after).unwrap_or(&last).start())
    }

    /// Returns the first day by whose end `count` was at least `number`. `None`: it is still less.
    pub(crate) fn first_until(&self, number: i64, count: impl Fn(Crossings) -> i64) -> Option<Instant> {
        let after = self.past.partition_point(|end| count(end.seen) < number);
        let last = self.last.as_ref().filter(|end| count(end.seen) >= number);
        self.past.get(after).or(last).map(DayEnd::start)
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
        let (before, DayTotal { people, edition }) = self.day(day);
        let day = number(day);
        let raised = DayEnd { day, edition, seen: before + people + added };
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

impl DayTotal {
    pub(crate) fn extent(self) -> Extent {
        Extent { len: self.people.count(), edition: self.edition }
    }
}

impl FromIterator<(Instant, DayTotal)> for Days {
    /// Builds the readings from the totals of days, in ascending order. A day without crossings is left out, unless there
    /// were some: its edition must be known.
    fn from_iter<I: IntoIterator<Item = (Instant, DayTotal)>>(totals: I) -> Self {
        let totals = totals.into_iter().filter(|(_, total)| *total != DayTotal::default());
        let ends = totals.scan(Crossings::default(), |seen, (day, DayTotal { people, edition })| {
            *seen += people;
            Some(DayEnd { day: number(day), edition, seen: *seen })
        });
        let mut ends: Vec<_> = ends.collect();
        let last = ends.pop();
        Self { past: ends.into(), last }
    }
}
