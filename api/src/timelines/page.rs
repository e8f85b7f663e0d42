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
pub(crate) struct Page {
    packed: Packed,
    /// The crossings that were added after packing, in the order of their commits: a crossing is added without packing
    /// the day again, and a reader of an earlier state leaves the last ones out.
    loose: Arc<[Step]>,
    /// Whether the events of the day are pruned, so that the page is made of their digests.
    is_pruned: bool,
}

/// A page as it was when it had a given number of crossings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageAt<'a> {
    packed: &'a Packed,
    loose: &'a [Step],
}

/// A crossing within a day: twice the millisecond of the day, plus one if it went toward the DPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Step(u32);

impl Step {
    /// Returns the crossing at `ts` on the day that began at `day`.
    pub(crate) fn new(day: Instant, ts: Instant, direction: Direction) -> Self {
        Self(ms_of_day(day, ts) << 1 | u32::from(direction == Direction::Toward))
    }

    /// As the database computes it: a number below 172,800,000.
    pub(super) fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// Returns the crossing at a millisecond of the day, and whether it went toward the DPU: one, or zero.
    pub(super) fn from_parts(ms: u64, toward: u64) -> Self {
        Self(u32::try_from(ms << 1 | toward).unwrap_or(u32::MAX))
    }

    /// Returns the crossing, counted.
    pub(super) fn crossings(self) -> Crossings {
        let toward = i64::from(self.0 & 1);
        Crossings { toward, away: 1 - toward }
    }

    /// Returns the millisecond of the day.
    pub(crate) fn ms(self) -> u32 {
        self.0 >> 1
    }

    /// Returns whether it went toward the DPU.
    pub(crate) fn is_toward(self) -> bool {
        self.0 & 1 == 1
    }

    /// One, if it went toward the DPU; else zero.
    pub(super) fn toward(self) -> u64 {
        u64::from(self.0 & 1)
    }
}

/// Returns a day has fewer milliseconds than half of what `u32` holds.
fn ms_of_day(day: Instant, ts: Instant) -> u32 {
    u32::try_from(ts.ms() - day.ms()).unwrap_or(u32::MAX >> 2)
}

impl Page {
    /// Returns the number of crossings on it.
    pub(crate) fn len(&self) -> i64 {
        count(self.packed.len() + self.loose.len())
    }

    /// Returns whether it is made of digests.
    pub(super) fn is_pruned(&self) -> bool {
        self.is_pruned
    }

    /// Returns the same page, made of digests or of events.
    #[must_use]
    pub(super) fn pruned(self, is_pruned: bool) -> Self {
        Self { is_pruned, ..self }
    }

    /// The page as it was when it had `len` crossings. `None` where it has fewer, or where later ones are packed with them.
    pub(crate) fn at(&self, len: i64) -> Option<PageAt<'_>> {
        let loose = usize::try_from(len).ok()?.checked_sub(self.packed.len())?;
        Some(PageAt { packed: &self.packed, loose: self.loose.get(..loose)? })
    }

    /// Returns the page that it was when it had `len` crossings, as [`at`](Self::at) finds it.
    pub(super) fn cut(&self, len: i64) -> Option<Self> {
        let loose = self.at(len)?.loose;
        let loose = if loose.len() == self.loose.len() { Arc::clone(&self.loose) } else { loose.into() };
        Some(Self { packed: self.packed.clone(), loose, is_pruned: self.is_pruned })
    }

    /// Returns the page with more crossings on it.
    pub(super) fn with(&self, added: impl IntoIterator<Item = Step>) -> Self {
        let loose: Vec<_> = self.loose.iter().copied().chain(added).collect();
        if loose.len() <= LOOSE_MAX {
            return Self { packed: self.packed.clone(), loose: loose.into(), is_pruned: self.is_pruned };
        }
        self.packed.steps().chain(loose).collect::<Self>().pruned(self.is_pruned)
    }

    /// Returns how many bytes it takes beside itself.
    pub(super) fn heap_bytes(&self) -> usize {
        self.packed.heap_bytes() + size_of_val(&*self.loose)
    }
}

impl<'a> PageAt<'a> {
    /// Returns what was seen from the beginning of the day, `day`, until `ts`, crossings at `ts` included.
    pub(crate) fn until(self, day: Instant, ts: Instant) -> Crossings {
        let end = ms_of_day(day, ts) as usize + 1;
        let (mut seen, mut toward) = self.packed.before(end);
        for step in self.loose {
            let is_seen = (step.ms() as usize) < end;
            seen += usize::from(is_seen);
            toward += u64::from(is_seen) & step.toward();
        }
        let toward = i64::try_from(toward).unwrap_or(i64::MAX);
        Crossings { toward, away: count(seen) - toward }
    }

    /// Returns its crossings: those that are packed in order, and then the others in any.
    pub(crate) fn steps(self) -> impl Iterator<Item = Step> + use<'a> {
        self.packed.steps().chain(self.loose.iter().copied())
    }
}

impl FromIterator<Step> for Page {
    /// From crossings in any order.
    fn from_iter<I: IntoIterator<Item = Step>>(steps: I) -> Self {
        let mut steps: Vec<_> = steps.into_iter().collect();
        // Nearly in order, as a rule, which the stable sort is quick with.
        steps.sort();
        Self { packed: Packed::new(&steps), loose: Arc::default(), is_pruned: false }
    }
}

/// Returns a length as the database counts.
pub(super) fn count(steps: usize) -> i64 {
    i64::try_from(steps).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const DAY: Instant = Instant::from_ms(1_700_000_000_000 / 86_400_000 * 86_400_000);

    #[test]
    fn an_earlier_length_is_found_until_it_is_packed_with_later_crossings() {
        let steps = |from: u32, until: u32| (from..until).map(|ms| Step(ms << 1));
        let page: Page = steps(0, 100).collect();
        let later = page.with(steps(100, 110));
        let seen = |page: &Page, len| page.at(len).map(|page| page.until(DAY, DAY.plus_ms(500)).away);
        assert_eq!(
            [99, 100, 105, 110, 111].map(|len| seen(&later, len)),
            [None, Some(100), Some(105), Some(110), None]
        );
        let packed = later.with(steps(110, 200));
        assert_eq!([110, 199, 200].map(|len| seen(&packed, len)), [None, None, Some(200)]);
    }

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
                prop_assert_eq!(page.at(page.len()).unwrap().until(DAY, DAY.plus_ms(at)), walked);
            }
        }
    }
}
