//! One UTC day of one DPU: its crossings in order, each in four bytes.

use entity::Instant;
use entity::event::Direction;

use crate::counting::Crossings;

/// After how many crossings the running sum is written down.
const BLOCK: usize = 64;

/// A DPU's crossings during one UTC day, with a running sum.
///
/// A crossing takes four bytes, since what it is ordered by and which way it went fit into them. The
/// running sum is written down once a block; what lies between is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// In ascending order.
    steps: Box<[Step]>,
    /// How many steps went toward the DPU before each block, and before the end.
    toward: Box<[u32]>,
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

    /// 1 for a crossing toward the DPU, 0 for one away from it.
    fn toward(self) -> u32 {
        self.0 & 1
    }
}

impl Page {
    /// How many crossings there were. Since none ever goes, two pages of one day that are as long are equal.
    pub(super) fn len(&self) -> i64 {
        count(self.steps.len())
    }

    /// What was seen from the beginning of the day, `day`, until `ts`, crossings at `ts` included.
    pub(super) fn until(&self, day: Instant, ts: Instant) -> Crossings {
        let after = Step::after(day, ts);
        let seen = self.steps.partition_point(|step| *step < after);
        let block = seen / BLOCK;
        let within: u32 = self.steps[block * BLOCK..seen].iter().map(|step| step.toward()).sum();
        let toward = i64::from(self.toward[block] + within);
        Crossings { toward, away: count(seen) - toward }
    }

    /// The page with more crossings on it.
    pub(super) fn with(&self, added: impl IntoIterator<Item = Step>) -> Self {
        self.steps.iter().copied().chain(added).collect()
    }

    /// How many bytes it takes beside itself.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.steps) + size_of_val(&*self.toward)
    }
}

impl FromIterator<Step> for Page {
    /// From crossings in any order.
    fn from_iter<I: IntoIterator<Item = Step>>(steps: I) -> Self {
        let mut steps: Vec<_> = steps.into_iter().collect();
        // Nearly in order, as a rule, which the stable sort is quick with.
        steps.sort();
        let mut toward = vec![0];
        let mut sum = 0;
        for block in steps.chunks(BLOCK) {
            sum += block.iter().map(|step| step.toward()).sum::<u32>();
            toward.push(sum);
        }
        Self { steps: steps.into(), toward: toward.into() }
    }
}

/// A length as the database counts.
pub(super) fn count(steps: usize) -> i64 {
    i64::try_from(steps).unwrap_or(i64::MAX)
}
