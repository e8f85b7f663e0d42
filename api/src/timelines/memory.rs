//! The in-memory cache of timelines, as of any recent state. No I/O; readers take no lock.
//!
//! For each DPU the cache holds its daily totals ([`Days`]) and, for each day that was requested, a [`Page`] with the
//! crossings of that day. For each space it holds summaries of its days. Two rules keep it correct:
//!
//! - **Days belong to versions.** A change of the cache creates the next version, which is published to readers only
//!   when the change is complete. A reader looks for the days of its own version, and also finds recently replaced
//!   ones. So a commit is seen whole or not at all, no matter how many DPUs it affects.
//! - **Pages are identified by their lengths and editions.** Crossings are nearly always added. So a page is current if
//!   and only if it has as many crossings as the day's total says, and is made of sums where the events of its day are
//!   pruned. Where crossings were replaced instead (by a revised interval, a late reading, a void), the total says which
//!   edition of the day it is. Pages never need to be invalidated, and a page that has grown can still be read at its
//!   earlier lengths.
//!
//! One caller at a time makes changes: [`State`](crate::state::State) holds the lock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use entity::Instant;
use entity::event::Direction;
use entity::tally::TallyLength;

use super::cache::Cache;
use super::days::{Days, Extent};
use super::page::{Page, PageAt};
use super::step::Step;
use super::summary::{Summary, SummaryKey};
use counting::{Crossings, Interval, Reading};

/// The number of a state of this process. Each change increments it.
pub type Version = u64;

/// Number of marks of the last change of DPUs. Several DPUs share a mark, which sometimes causes an unnecessary read.
const MARKS: usize = 1 << 14;
/// Number of replaced versions of a DPU's days that are kept for readers of earlier versions.
const REPLACED_MAX: usize = 2;
/// Size of an entry without its days or crossings: the key, the slot in the map and the one in the eviction queue.
/// Measured by the test of the memory limit.
const ENTRY_BYTES: usize = 200;

/// The cached timelines of all DPUs, in a limited number of bytes.
#[derive(Debug)]
pub struct Timelines {
    cache: Cache<Key, CacheEntry>,
    /// The version of the last change, by DPU id.
    changed: Box<[AtomicU64]>,
    /// Days of earlier versions than this are invalid.
    forgotten: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Days(i64),
    Page(PageKey),
    Summary(SummaryKey),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageKey {
    pub dpu: i64,
    /// The start of the day.
    pub day: Instant,
}

/// Most entries are pages, so days are boxed, to keep the entries small.
#[derive(Debug)]
enum CacheEntry {
    Days(Box<Known>),
    Page(Page),
    Summary(Arc<Summary>),
}

/// The days of a DPU from some version on.
#[derive(Clone, Debug)]
struct Known {
    since: Version,
    /// `None`: another process has changed them, and they have not been read since.
    days: Option<Days>,
    /// The values that it replaced, newest first.
    replaced: Vec<(Version, Option<Days>)>,
}

/// Data read from the database, all of one state.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The days, by DPU id.
    pub(crate) days: BTreeMap<i64, Days>,
    pub(crate) pages: BTreeMap<PageKey, Page>,
}

/// What a commit of this process changes, by DPU id.
#[derive(Debug, Default)]
pub struct Patch(BTreeMap<i64, Change>);

/// What a commit changes of one DPU.
#[derive(Debug)]
enum Change {
    /// Crossings were added, by day.
    Crossings(BTreeMap<Instant, Vec<Step>>),
    /// Intervals were added, by day.
    Intervals(BTreeMap<Instant, Vec<Interval>>),
    /// Some were replaced: the days must be read again.
    Replaced,
}

/// The version from which on loaded data is valid.
#[derive(Clone, Copy, Debug)]
pub struct Since {
    /// The version that the reader started with.
    pub begun: Version,
    /// The next version, if memory caught up with the reader's snapshot in that version.
    pub caught_up: Option<Version>,
}

/// What can be added to a day.
trait Added {
    fn people(&self) -> Crossings;
}

impl Added for Step {
    fn people(&self) -> Crossings {
        self.crossings()
    }
}

impl Added for Interval {
    fn people(&self) -> Crossings {
        self.people
    }
}

impl PageKey {
    pub fn of(reading: Reading) -> Self {
        Self { dpu: reading.dpu, day: TallyLength::Day.bucket(reading.at) }
    }
}

impl Loaded {
    /// Adds data that was loaded later, from the same state.
    pub(crate) fn append(&mut self, mut more: Self) {
        self.days.append(&mut more.days);
        self.pages.append(&mut more.pages);
    }
}

impl Patch {
    pub fn new(inserted: impl IntoIterator<Item = (i64, Instant, Direction)>) -> Self {
        let mut added: BTreeMap<i64, BTreeMap<Instant, Vec<Step>>> = BTreeMap::new();
        for (dpu, ts, direction) in inserted {
            let day = TallyLength::Day.bucket(ts);
            let days = added.entry(dpu).or_default();
            days.entry(day).or_default().push(Step::new(day, ts, direction));
        }
        Self(added.into_iter().map(|(dpu, days)| (dpu, Change::Crossings(days))).collect())
    }

    /// Adds the intervals that were added to what is stored of a DPU, which reports no crossings.
    pub fn add_intervals(&mut self, dpu: i64, added: impl IntoIterator<Item = Interval>) {
        let mut days: BTreeMap<Instant, Vec<Interval>> = BTreeMap::new();
        for interval in added {
            days.entry(TallyLength::Day.bucket(interval.counted_at())).or_default().push(interval);
        }
        self.0.insert(dpu, Change::Intervals(days));
    }

    /// Adds what another part of the commit changes, of other DPUs.
    pub fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// Adds that crossings or intervals of a DPU were replaced.
    pub fn replace(&mut self, dpu: i64) {
        self.0.insert(dpu, Change::Replaced);
    }

    pub fn dpus(&self) -> impl Iterator<Item = i64> + Clone {
        self.0.keys().copied()
    }
}

impl Known {
    /// Returns the days at `version`, if they are known and not older than `forgotten`.
    fn at(&self, version: Version, forgotten: Version) -> Option<&Days> {
        let replaced = self.replaced.iter().map(|(since, days)| (*since, days));
        let (since, days) =
            [(self.since, &self.days)].into_iter().chain(replaced).find(|(since, _)| *since <= version)?;
        days.as_ref().filter(|_| since >= forgotten)
    }

    /// Returns the entry that replaces this one from `version` on.
    fn replace(&self, version: Version, days: Option<Days>) -> Self {
        let newest = [(self.since, self.days.clone())].into_iter();
        let replaced = newest.chain(self.replaced.iter().cloned()).take(REPLACED_MAX).collect();
        Self { since: version, days, replaced }
    }

    fn bytes(&self) -> usize {
        let days = self.days.as_ref().map_or(0, Days::heap_bytes);
        size_of::<Self>() + days + size_of_val(&*self.replaced)
    }
}

impl CacheEntry {
    fn bytes(&self) -> usize {
        let beside = match self {
            Self::Days(known) => known.bytes(),
            Self::Page(page) => page.heap_bytes(),
            Self::Summary(summary) => summary.bytes(),
        };
        ENTRY_BYTES + beside
    }
}

impl Timelines {
    pub fn new(bytes: u64) -> Self {
        let changed = (0..MARKS).map(|_| AtomicU64::default()).collect();
        Self { cache: Cache::new(bytes), changed, forgotten: AtomicU64::default() }
    }

    /// Returns the odometer's reading at `version`, if it is in memory. `is_pruned` is whether the events of the
    /// reading's day are pruned.
    pub fn show(&self, version: Version, reading: Reading, is_pruned: bool) -> Option<Crossings> {
        let key = PageKey::of(reading);
        let (before, during) = self.look_at_days(key.dpu, version, |days| days.day(key.day))?;
        let extent = during.extent();
        if extent.len == 0 {
            return Some(before);
        }
        let until = |page: PageAt<'_>| before + page.until(key.day, reading.at);
        self.look_at_page(key, extent, is_pruned, until)
    }

    pub(crate) fn days(&self, dpu: i64, version: Version) -> Option<Days> {
        self.look_at_days(dpu, version, Clone::clone)
    }

    /// Applies `look` to a page of this extent, if it is in memory.
    pub(crate) fn look_at_page<R>(
        &self,
        key: PageKey,
        extent: Extent,
        is_pruned: bool,
        look: impl FnOnce(PageAt<'_>) -> R,
    ) -> Option<R> {
        let look = |entry: &CacheEntry| match entry {
            CacheEntry::Page(page) if page.is_pruned() == is_pruned => page.at(extent).map(look),
            _ => None,
        };
        self.cache.get(&Key::Page(key), look).flatten()
    }

    /// Returns the page, if it is in memory and can be read at this extent.
    pub(crate) fn page(&self, key: PageKey, extent: Extent, is_pruned: bool) -> Option<Page> {
        let look = |entry: &CacheEntry| match entry {
            CacheEntry::Page(page) if page.is_pruned() == is_pruned => page.cut(extent),
            _ => None,
        };
        self.cache.get(&Key::Page(key), look).flatten()
    }

    /// Returns the cached summary of a space's day, whatever it was made from.
    pub(crate) fn summary(&self, key: SummaryKey) -> Option<Arc<Summary>> {
        let look = |entry: &CacheEntry| match entry {
            CacheEntry::Summary(summary) => Some(Arc::clone(summary)),
            _ => None,
        };
        self.cache.get(&Key::Summary(key), look).flatten()
    }

    pub(crate) fn keep_summary(&self, key: SummaryKey, summary: Arc<Summary>) {
        self.put(Key::Summary(key), CacheEntry::Summary(summary));
    }

    pub fn bytes(&self) -> u64 {
        self.cache.weight()
    }

    // Changes of the cache. One caller at a time.

    /// Applies what a commit of this process changes, from `version` on.
    pub fn apply(&self, version: Version, patch: Patch) {
        for (dpu, change) in patch.0 {
            match change {
                Change::Crossings(days) => self.add(dpu, version, days, |page, _, steps| page.with(steps)),
                Change::Intervals(days) => self.add(dpu, version, days, Page::with_intervals),
                Change::Replaced => self.forget(version, [dpu]),
            }
        }
    }

    /// Adds to the days of a DPU. `longer` returns a page of a day with what was added to it.
    fn add<T: Added>(
        &self,
        dpu: i64,
        version: Version,
        added: BTreeMap<Instant, Vec<T>>,
        longer: impl Fn(&Page, Instant, Vec<T>) -> Option<Page>,
    ) {
        self.mark(dpu, version);
        let Some(known) = self.known(dpu) else { return };
        let Some(mut days) = known.days.clone() else { return };
        for (day, added) in added {
            let (extent, people) = (days.extent(day), added.iter().map(Added::people).sum());
            self.replace_page(PageKey { dpu, day }, |page| {
                if page.extent() == extent { longer(page, day, added) } else { None }
            });
            days = days.plus(day, people);
        }
        self.put_days(dpu, known.replace(version, Some(days)));
    }

    /// Forgets the days of these DPUs from `version` on, because another process has changed them.
    pub fn forget(&self, version: Version, dpus: impl IntoIterator<Item = i64>) {
        for dpu in dpus {
            self.mark(dpu, version);
            if let Some(known) = self.known(dpu).filter(|known| known.days.is_some()) {
                self.put_days(dpu, known.replace(version, None));
            }
        }
    }

    pub fn forget_all(&self, version: Version) {
        for changed in &self.changed {
            changed.store(version, Ordering::SeqCst);
        }
        self.forgotten.store(version, Ordering::SeqCst);
    }

    /// Caches loaded data, except for DPUs that have changed since the reader started.
    pub(crate) fn keep(&self, since: Since, loaded: &Loaded) {
        let holds_since = |dpu: i64| {
            let changed = self.mark_of(dpu).load(Ordering::SeqCst);
            (changed <= since.begun || Some(changed) == since.caught_up).then_some(changed)
        };
        for (dpu, days) in &loaded.days {
            if let Some(version) = holds_since(*dpu) {
                self.put_days(*dpu, Known { since: version, days: Some(days.clone()), replaced: Vec::new() });
            }
        }
        for (key, page) in loaded.pages.iter().filter(|(_, page)| page.len() > 0) {
            if holds_since(key.dpu).is_some() {
                self.put(Key::Page(*key), CacheEntry::Page(page.clone()));
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn evict(&self) {
        self.cache.clear();
    }

    /// Applies `look` to the days of a DPU at `version`, if they are in memory.
    fn look_at_days<R>(&self, dpu: i64, version: Version, look: impl FnOnce(&Days) -> R) -> Option<R> {
        let look = |entry: &CacheEntry| match entry {
            CacheEntry::Days(known) => known.at(version, self.forgotten.load(Ordering::SeqCst)).map(look),
            _ => None,
        };
        self.cache.get(&Key::Days(dpu), look).flatten()
    }

    /// Returns the newest known days of a DPU.
    fn known(&self, dpu: i64) -> Option<Known> {
        let forgotten = self.forgotten.load(Ordering::SeqCst);
        let look = |entry: &CacheEntry| match entry {
            CacheEntry::Days(known) if known.since >= forgotten => Some(Known::clone(known)),
            _ => None,
        };
        self.cache.get(&Key::Days(dpu), look).flatten()
    }

    fn replace_page(&self, key: PageKey, change: impl FnOnce(&Page) -> Option<Page>) {
        let look = |entry: &CacheEntry| match entry {
            CacheEntry::Page(page) => change(page),
            _ => None,
        };
        if let Some(page) = self.cache.get(&Key::Page(key), look).flatten() {
            self.put(Key::Page(key), CacheEntry::Page(page));
        }
    }

    fn put_days(&self, dpu: i64, known: Known) {
        self.put(Key::Days(dpu), CacheEntry::Days(Box::new(known)));
    }

    fn put(&self, key: Key, entry: CacheEntry) {
        let bytes = entry.bytes();
        self.cache.put(key, entry, bytes);
    }

    fn mark(&self, dpu: i64, version: Version) {
        self.mark_of(dpu).store(version, Ordering::SeqCst);
    }

    fn mark_of(&self, dpu: i64) -> &AtomicU64 {
        let place = dpu.unsigned_abs() % MARKS as u64;
        &self.changed[usize::try_from(place).unwrap_or_default()]
    }
}
