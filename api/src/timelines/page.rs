//! One UTC day of one DPU: its crossings in order, each in four bytes.

use std::sync::Arc;

use entity::Instant;
use entity::event::Direction;

use crate::counting::Crossings;

/// How many words a line has: as many as a processor fetches from memory at a time.
const LINE: usize = 16;
/// How many steps are on a line.
const STEPS: usize = LINE - 1;
/// What fills up the last line; later than every step.
const NONE: u32 = u32::MAX;

/// A DPU's crossings during one UTC day, with a running sum.
///
/// A crossing takes four bytes, since what it is ordered by and which way it went fit into them. They stand in
/// lines: a word that says how many steps before the line went toward the DPU, and the steps. So an odometer is found
/// by a search over lines, and all the rest is on one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    lines: Arc<[[u32; LINE]]>,
    len: usize,
}

/// A crossing within a day: twice the millisecond of the day, plus one if it went toward the DPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Step(u32);

impl Step {
    /// The crossing at `ts` on the day that began at `day`.
    pub(super) fn new(day: Instant, ts: Instant, direction: Direction) -> Self {
        Self(Self::ms_of_day(day, ts) << 1 | u32::from(direction == Direction::Toward))
    }

    /// As the database computes it: a number below 172,800,000.
    pub(super) fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// Past every crossing at `ts` and before every later one.
    fn after(day: Instant, ts: Instant) -> Self {
        Self((Self::ms_of_day(day, ts) + 1) << 1)
    }

    /// A day has fewer milliseconds than half of what `u32` holds.
    fn ms_of_day(day: Instant, ts: Instant) -> u32 {
        u32::try_from(ts.ms() - day.ms()).unwrap_or(u32::MAX >> 2)
    }
}

impl Page {
    /// How many crossings there were. Since none ever goes, two pages of one day that are as long are equal.
    pub(super) fn len(&self) -> i64 {
        count(self.len)
    }

    /// What was seen from the beginning of the day, `day`, until `ts`, crossings at `ts` included.
    pub(super) fn until(&self, day: Instant, ts: Instant) -> Crossings {
        let Step(after) = Step::after(day, ts);
        let Some(index) = self.lines.partition_point(|line| line[1] < after).checked_sub(1) else {
            return Crossings::default();
        };
        let [before, steps @ ..] = &self.lines[index];
        let (mut seen, mut toward) = (0, *before);
        for step in steps {
            let is_seen = u32::from(*step < after);
            seen += is_seen;
            toward += is_seen & step;
        }
        let toward = i64::from(toward);
        Crossings { toward, away: count(index * STEPS) + i64::from(seen) - toward }
    }

    /// The page with more crossings on it.
    pub(super) fn with(&self, added: impl IntoIterator<Item = Step>) -> Self {
        let steps = self.lines.iter().flat_map(|line| &line[1..]).filter(|step| **step != NONE);
        steps.map(|step| Step(*step)).chain(added).collect()
    }

    /// How many bytes it takes beside itself.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.lines)
    }
}

impl FromIterator<Step> for Page {
    /// From crossings in any order.
    fn from_iter<I: IntoIterator<Item = Step>>(steps: I) -> Self {
        let mut steps: Vec<_> = steps.into_iter().collect();
        // Nearly in order, as a rule, which the stable sort is quick with.
        steps.sort();
        let mut toward = 0;
        let lines = steps.chunks(STEPS).map(|steps| {
            let mut line = [NONE; LINE];
            line[0] = toward;
            for (word, step) in line[1..].iter_mut().zip(steps) {
                *word = step.0;
                toward += step.0 & 1;
            }
            line
        });
        Self { lines: lines.collect(), len: steps.len() }
    }
}

/// A length as the database counts.
pub(super) fn count(steps: usize) -> i64 {
    i64::try_from(steps).unwrap_or(i64::MAX)
}
