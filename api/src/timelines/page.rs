//! Pages: what one DPU saw on one UTC day, in order: crossings, or intervals with their people.

use std::sync::Arc;

use entity::Instant;

use super::days::Extent;
use super::packed::Packed;
use super::step::{Step, ms_of_day};
use super::sums::{Sums, SumsAt};
use counting::{Crossings, Interval};

/// Maximum number of crossings beside the packed ones before all are packed again.
const LOOSE_MAX: usize = 64;

/// What a DPU saw during one UTC day.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    seen: Seen,
    /// How often crossings of the day were replaced before it was read, instead of added to.
    edition: i32,
    /// Whether the events of the day are pruned, so that the page is made from their sums.
    is_pruned: bool,
}

#[derive(Clone, Debug)]
enum Seen {
    Crossings {
        packed: Packed,
        /// Crossings that were added after packing, in the order of their commits. Adding one does not repack the day,
        /// and a reader of an earlier state leaves the last ones out.
        loose: Arc<[Step]>,
    },
    Intervals(Sums),
}

/// A page as it was when it had some number of crossings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageAt<'a>(SeenAt<'a>);

#[derive(Clone, Copy, Debug)]
enum SeenAt<'a> {
    Crossings { packed: &'a Packed, loose: &'a [Step] },
    Intervals(SumsAt<'a>),
}

impl Default for Page {
    fn default() -> Self {
        Self::of_crossings([])
    }
}

impl Page {
    /// Builds a page from crossings in any order.
    pub(crate) fn of_crossings(steps: impl IntoIterator<Item = Step>) -> Self {
        let mut steps: Vec<_> = steps.into_iter().collect();
        // They are usually nearly sorted, which is fast with the stable sort.
        steps.sort();
        Self::new(Seen::Crossings { packed: Packed::new(&steps), loose: Arc::default() })
    }

    /// Builds a page from the intervals that are counted on `day`, in any order.
    pub(crate) fn of_intervals(day: Instant, intervals: impl IntoIterator<Item = Interval>) -> Self {
        Self::new(Seen::Intervals(Sums::new(day, intervals)))
    }

    fn new(seen: Seen) -> Self {
        Self { seen, edition: 0, is_pruned: false }
    }

    pub(crate) fn len(&self) -> i64 {
        match &self.seen {
            Seen::Crossings { packed, loose } => count(packed.len() + loose.len()),
            Seen::Intervals(sums) => sums.len(),
        }
    }

    /// Returns what a day must have for the page to be current.
    pub(crate) fn extent(&self) -> Extent {
        Extent { len: self.len(), edition: self.edition }
    }

    pub(super) fn is_pruned(&self) -> bool {
        self.is_pruned
    }

    /// Returns the page, marked as made from sums or from events.
    #[must_use]
    pub(super) fn pruned(self, is_pruned: bool) -> Self {
        Self { is_pruned, ..self }
    }

    /// Returns the page as one of this edition.
    #[must_use]
    pub(crate) fn of_edition(self, edition: i32) -> Self {
        Self { edition, ..self }
    }

    /// Returns the page as of an extent. `None`: it is another edition, has fewer crossings, or later ones are packed with
    /// the earlier ones.
    pub(crate) fn at(&self, extent: Extent) -> Option<PageAt<'_>> {
        if extent.edition != self.edition {
            return None;
        }
        Some(PageAt(match &self.seen {
            Seen::Crossings { packed, loose } => {
                let until = usize::try_from(extent.len).ok()?.checked_sub(packed.len())?;
                SeenAt::Crossings { packed, loose: loose.get(..until)? }
            }
            Seen::Intervals(sums) => SeenAt::Intervals(sums.at(extent.len)?),
        }))
    }

    /// Returns a copy of the page as of an extent, as [`at`](Self::at) finds it.
    pub(super) fn cut(&self, extent: Extent) -> Option<Self> {
        if extent.edition != self.edition {
            return None;
        }
        let seen = match &self.seen {
            Seen::Crossings { packed, loose } => {
                let until = usize::try_from(extent.len).ok()?.checked_sub(packed.len())?;
                let loose = if until == loose.len() { Arc::clone(loose) } else { loose.get(..until)?.into() };
                Seen::Crossings { packed: packed.clone(), loose }
            }
            Seen::Intervals(sums) => Seen::Intervals(sums.cut(extent.len)?),
        };
        Some(Self { seen, ..*self })
    }

    /// Returns the page with more crossings. `None`: it has intervals.
    pub(super) fn with(&self, added: impl IntoIterator<Item = Step>) -> Option<Self> {
        let Seen::Crossings { packed, loose } = &self.seen else { return None };
        let loose: Vec<_> = loose.iter().copied().chain(added).collect();
        if loose.len() <= LOOSE_MAX {
            let seen = Seen::Crossings { packed: packed.clone(), loose: loose.into() };
            return Some(Self { seen, ..*self });
        }
        Some(Self { seen: Self::of_crossings(packed.steps().chain(loose)).seen, ..*self })
    }

    /// Returns the page of `day` with more intervals. `None`: it has crossings.
    pub(super) fn with_intervals(
        &self,
        day: Instant,
        added: impl IntoIterator<Item = Interval>,
    ) -> Option<Self> {
        match &self.seen {
            Seen::Intervals(sums) => Some(Self { seen: Seen::Intervals(sums.with(day, added)), ..*self }),
            Seen::Crossings { .. } => None,
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        match &self.seen {
            Seen::Crossings { packed, loose } => packed.heap_bytes() + size_of_val(&**loose),
            Seen::Intervals(sums) => sums.heap_bytes(),
        }
    }
}

impl<'a> PageAt<'a> {
    /// Returns the crossings from the start of the day, `day`, up to and including `ts`.
    pub(crate) fn until(self, day: Instant, ts: Instant) -> Crossings {
        let (packed, loose) = match self.0 {
            SeenAt::Crossings { packed, loose } => (packed, loose),
            SeenAt::Intervals(sums) => return sums.until(day, ts),
        };
        let end = ms_of_day(day, ts) as usize + 1;
        let (mut seen, mut toward) = packed.before(end);
        for step in loose {
            let is_seen = (step.ms() as usize) < end;
            seen += usize::from(is_seen);
            toward += u64::from(is_seen) & step.toward();
        }
        let toward = i64::try_from(toward).unwrap_or(i64::MAX);
        Crossings { toward, away: count(seen) - toward }
    }

    /// Returns the single crossings: first the packed ones in order, then the others in any order.
    pub(crate) fn steps(self) -> impl Iterator<Item = Step> + use<'a> {
        let (packed, loose) = match self.0 {
            SeenAt::Crossings { packed, loose } => (Some(packed), loose),
            SeenAt::Intervals(_) => (None, [].as_slice()),
        };
        packed.into_iter().flat_map(Packed::steps).chain(loose.iter().copied())
    }

    /// Returns the intervals of the day: first the sorted ones in order, then the others in any order.
    pub(crate) fn intervals(self, day: Instant) -> impl Iterator<Item = Interval> + use<'a> {
        let sums = if let SeenAt::Intervals(sums) = self.0 { Some(sums) } else { None };
        sums.into_iter().flat_map(move |sums| sums.intervals(day))
    }

    /// Returns the first interval of the day that is counted at `ts` or later.
    pub(crate) fn first_from(self, day: Instant, ts: Instant) -> Option<Interval> {
        if let SeenAt::Intervals(sums) = self.0 { sums.first_from(day, ts) } else { None }
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
        let page = Page::of_crossings(steps(0, 100));
        let later = page.with(steps(100, 110)).unwrap();
        let extent = |len| Extent { len, edition: 0 };
        let seen = |page: &Page, len| page.at(extent(len)).map(|page| page.until(DAY, DAY.plus_ms(500)).away);
        assert_eq!(
            [99, 100, 105, 110, 111].map(|len| seen(&later, len)),
            [None, Some(100), Some(105), Some(110), None]
        );
        let packed = later.with(steps(110, 200)).unwrap();
        assert_eq!([110, 199, 200].map(|len| seen(&packed, len)), [None, None, Some(200)]);
    }

    fn interval(starts: i64, ms: i64, toward: i64, away: i64) -> Interval {
        let starts = DAY.plus_ms(starts);
        Interval { starts, ends: starts.plus_ms(ms), people: Crossings { toward, away } }
    }

    #[test]
    fn a_page_of_another_edition_is_not_the_same() {
        let page = Page::of_intervals(DAY, [interval(0, 10, 3, 1)]).of_edition(2);
        assert!(page.at(Extent { len: 4, edition: 2 }).is_some());
        assert!(page.at(Extent { len: 4, edition: 1 }).is_none());
        assert!(page.cut(Extent { len: 4, edition: 3 }).is_none());
    }

    #[test]
    fn intervals_can_be_read_at_earlier_lengths_until_later_ones_are_sorted() {
        let intervals = |from: i64, until: i64| (from..until).map(|place| interval(place * 10, 10, 2, 0));
        let page = Page::of_intervals(DAY, intervals(0, 3));
        let later = page.with_intervals(DAY, intervals(3, 6)).unwrap();
        let seen = |page: &Page, len| {
            page.at(Extent { len, edition: 0 }).map(|page| page.until(DAY, DAY.plus_ms(1_000)).toward)
        };
        assert_eq!(
            [4, 6, 7, 8, 12, 14].map(|len| seen(&later, len)),
            [None, Some(6), None, Some(8), Some(12), None]
        );
        let sorted = later.with_intervals(DAY, intervals(6, 80)).unwrap();
        assert_eq!([12, 160].map(|len| seen(&sorted, len)), [None, Some(160)]);
    }

    proptest! {
        #[test]
        fn intervals_added_one_by_one_are_all_found(
            people in vec((0..3_i64, 0..3_i64, any::<bool>()), 0..90),
            asked in vec(0..1_000_i64, 10),
        ) {
            let all: Vec<_> = (0..).zip(&people).map(|(place, (toward, away, _))| interval(place * 10, 8, *toward, *away)).collect();
            let (first, added): (Vec<_>, Vec<_>) = all.iter().zip(&people).partition(|(_, (.., first))| *first);
            let page = Page::of_intervals(DAY, first.into_iter().map(|(interval, _)| *interval));
            let page = added.into_iter().fold(page, |page, (interval, _)| page.with_intervals(DAY, [*interval]).unwrap());
            let at = page.at(page.extent()).unwrap();
            prop_assert_eq!(page.len(), all.iter().map(|interval| interval.people.count()).sum::<i64>());
            for ts in asked.into_iter().map(|ms| DAY.plus_ms(ms)) {
                let counted = all.iter().filter(|interval| interval.counted_at() <= ts);
                prop_assert_eq!(at.until(DAY, ts), counted.map(|interval| interval.people).sum());
                let first = all.iter().find(|interval| interval.counted_at() >= ts && interval.people.count() > 0);
                prop_assert_eq!(at.first_from(DAY, ts), first.copied());
            }
            let with_people = all.iter().filter(|interval| interval.people.count() > 0).count();
            prop_assert_eq!(at.intervals(DAY).count(), with_people);
        }

        #[test]
        fn crossings_added_one_by_one_are_all_found(
            parts in vec(vec((0..3_000_i64, any::<bool>()), 0..70), 0..6),
            asked in vec(0..3_000_i64, 10),
        ) {
            let direction = |toward| if toward { Direction::Toward } else { Direction::Away };
            let page = parts.iter().fold(Page::default(), |page, part| {
                let steps = part.iter().map(|(ms, toward)| Step::new(DAY, DAY.plus_ms(*ms), direction(*toward)));
                page.with(steps).unwrap()
            });
            let all = parts.concat();
            prop_assert_eq!(page.len(), count(all.len()));
            for at in asked {
                let seen = all.iter().filter(|(ms, _)| *ms <= at);
                let walked = seen.map(|(_, toward)| Crossings::from(direction(*toward))).sum::<Crossings>();
                prop_assert_eq!(page.at(page.extent()).unwrap().until(DAY, DAY.plus_ms(at)), walked);
            }
        }
    }
}
