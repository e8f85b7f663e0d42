//! One UTC day of one DPU: its crossings in order.

use std::sync::Arc;

use entity::Instant;
use entity::event::Direction;

use super::packed::Packed;
use crate::counting::Crossings;

/// How many crossings may stand beside those that are packed, before all are packed anew.
const LOOSE_MAX: usize = 64;

/// A DPU's crossings during one UTC day.
#[derive(Clone, Debug, Default)]
pub(super) struct Page {
    packed: Packed,
    /// Those that were added since, in any order: a crossing is added without packing the day again.
    loose: Arc<[Step]>,
}

/// A crossing within a day: twice the millisecond of the day, plus one if it went toward the DPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Step(u32);

impl Step {
    /// The crossing at `ts` on the day that began at `day`.
    pub(super) fn new(day: Instant, ts: Instant, direction: Direction) -> Self {
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

    /// The millisecond of the day.
    pub(super) fn ms(self) -> usize {
        self.0 as usize >> 1
    }

    /// One, if it went toward the DPU; else zero.
    pub(super) fn toward(self) -> u64 {
        u64::from(self.0 & 1)
    }
}

/// A day has fewer milliseconds than half of what `u32` holds.
fn ms_of_day(day: Instant, ts: Instant) -> u32 {
    u32::try_from(ts.ms() - day.ms()).unwrap_or(u32::MAX >> 2)
}

impl Page {
    /// How many crossings there were. Since none ever goes, two pages of one day that are as long are equal.
    pub(super) fn len(&self) -> i64 {
        count(self.packed.len() + self.loose.len())
    }

    /// What was seen from the beginning of the day, `day`, until `ts`, crossings at `ts` included.
    pub(super) fn until(&self, day: Instant, ts: Instant) -> Crossings {
        let end = ms_of_day(day, ts) as usize + 1;
        let (mut seen, mut toward) = self.packed.before(end);
        for step in &*self.loose {
            let is_seen = step.ms() < end;
            seen += usize::from(is_seen);
            toward += u64::from(is_seen) & step.toward();
        }
        let toward = i64::try_from(toward).unwrap_or(i64::MAX);
        Crossings { toward, away: count(seen) - toward }
    }

    /// The page with more crossings on it.
    pub(super) fn with(&self, added: impl IntoIterator<Item = Step>) -> Self {
        let loose: Vec<_> = self.loose.iter().copied().chain(added).collect();
        if loose.len() <= LOOSE_MAX {
            return Self { packed: self.packed.clone(), loose: loose.into() };
        }
        self.packed.steps().chain(loose).collect()
    }

    /// How many bytes it takes beside itself.
    pub(super) fn heap_bytes(&self) -> usize {
        self.packed.heap_bytes() + size_of_val(&*self.loose)
    }
}

impl FromIterator<Step> for Page {
    /// From crossings in any order.
    fn from_iter<I: IntoIterator<Item = Step>>(steps: I) -> Self {
        let mut steps: Vec<_> = steps.into_iter().collect();
        // Nearly in order, as a rule, which the stable sort is quick with.
        steps.sort();
        Self { packed: Packed::new(&steps), loose: Arc::default() }
    }
}

/// A length as the database counts.
pub(super) fn count(steps: usize) -> i64 {
    i64::try_from(steps).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const DAY: Instant = Instant::from_ms(1_700_000_000_000 / 86_400_000 * 86_400_000);

    proptest! {
        #[test]
        fn crossings_that_are_added_bit_by_bit_are_all_there(
            parts in vec(vec((0..3_000_i64, any::<bool>()), 0..70), 0..6),
            asked in vec(0..3_000_i64, 10),
        ) {
            let direction = |toward| if toward { Direction::Toward } else { Direction::Away };
            let page = parts.iter().fold(Page::default(), |page, part| {
                page.with(part.iter().map(|(ms, toward)| Step::new(DAY, DAY.plus_ms(*ms), direction(*toward))))
            });
            let all = parts.concat();
            prop_assert_eq!(page.len(), count(all.len()));
            for at in asked {
                let seen = all.iter().filter(|(ms, _)| *ms <= at);
                let walked = seen.map(|(_, toward)| Crossings::from(direction(*toward))).sum::<Crossings>();
                prop_assert_eq!(page.until(DAY, DAY.plus_ms(at)), walked);
            }
        }
    }
}
