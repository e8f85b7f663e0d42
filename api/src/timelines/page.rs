//! Pages: the crossings of one DPU on one UTC day, in order.

use std::sync::Arc;

use entity::Instant;

use super::packed::Packed;
use super::step::{Step, ms_of_day};
use counting::Crossings;

/// Maximum number of crossings beside the packed ones before all are packed again.
const LOOSE_MAX: usize = 64;

/// A DPU's crossings during one UTC day.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    packed: Packed,
    /// Crossings that were added after packing, in the order of their commits. Adding one does not repack the day,
    /// and a reader of an earlier state leaves the last ones out.
    loose: Arc<[Step]>,
    /// Whether the events of the day are pruned, so that the page is made from their digests.
    is_pruned: bool,
}

/// A page as it was when it had some number of crossings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageAt<'a> {
    packed: &'a Packed,
    loose: &'a [Step],
}

impl Page {
    pub(crate) fn len(&self) -> i64 {
        count(self.packed.len() + self.loose.len())
    }

    pub(super) fn is_pruned(&self) -> bool {
        self.is_pruned
    }

    /// Returns the page, marked as made from digests or from events.
    #[must_use]
    pub(super) fn pruned(self, is_pruned: bool) -> Self {
        Self { is_pruned, ..self }
    }

    /// Returns the page as of `len` crossings. `None`: it has fewer, or later ones are packed with the earlier ones.
    pub(crate) fn at(&self, len: i64) -> Option<PageAt<'_>> {
        let loose = usize::try_from(len).ok()?.checked_sub(self.packed.len())?;
        Some(PageAt { packed: &self.packed, loose: self.loose.get(..loose)? })
    }

    /// Returns a copy of the page as of `len` crossings, as [`at`](Self::at) finds it.
    pub(super) fn cut(&self, len: i64) -> Option<Self> {
        let loose = self.at(len)?.loose;
        let loose = if loose.len() == self.loose.len() { Arc::clone(&self.loose) } else { loose.into() };
        Some(Self { packed: self.packed.clone(), loose, is_pruned: self.is_pruned })
    }

    pub(super) fn with(&self, added: impl IntoIterator<Item = Step>) -> Self {
        let loose: Vec<_> = self.loose.iter().copied().chain(added).collect();
        if loose.len() <= LOOSE_MAX {
            return Self { packed: self.packed.clone(), loose: loose.into(), is_pruned: self.is_pruned };
        }
        self.packed.steps().chain(loose).collect::<Self>().pruned(self.is_pruned)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.packed.heap_bytes() + size_of_val(&*self.loose)
    }
}

impl<'a> PageAt<'a> {
    /// Returns the crossings from the start of the day, `day`, up to and including `ts`.
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

    /// Returns the crossings: first the packed ones in order, then the others in any order.
    pub(crate) fn steps(self) -> impl Iterator<Item = Step> + use<'a> {
        self.packed.steps().chain(self.loose.iter().copied())
    }
}

impl FromIterator<Step> for Page {
    /// Builds a page from crossings in any order.
    fn from_iter<I: IntoIterator<Item = Step>>(steps: I) -> Self {
        let mut steps: Vec<_> = steps.into_iter().collect();
        // They are usually nearly sorted, which is fast with the stable sort.
        steps.sort();
        Self { packed: Packed::new(&steps), loose: Arc::default(), is_pruned: false }
    }
}

pub(super) fn count(steps: usize) -> i64 {
    i64::try_from(steps).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use entity::event::Direction;

    use super::*;

    const DAY: Instant = Instant::from_ms(1_700_000_000_000 / 86_400_000 * 86_400_000);

    #[test]
    fn earlier_lengths_can_be_read_until_later_crossings_are_packed() {
        let steps = |from: u32, until: u32| (from..until).map(|ms| Step::from_number(ms << 1));
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
        fn crossings_added_one_by_one_are_all_found(
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
