//! What is kept of timelines in memory, and how it stays true. No I/O, no waiting.
//!
//! A DPU's [`Days`] say how many crossings each day had, and a [`Page`] has those of one day. Events are
//! only ever added, so a page is up to date exactly if it is as long as its DPU's days say: pages need no
//! care of their own, whoever commits what, and only days must be kept true.
//!
//! - What this process commits raises the days that are in memory ([`Memory::patch`]). To raise is to take
//!   the greater of two totals, so it does no harm where they were read with the commit in them already.
//! - What was read while its DPU was patched may lack that commit, and is not kept. A generation a DPU tells.
//! - What another process commits makes its DPUs' days forgotten ([`Memory::forget`]), or those of all DPUs
//!   ([`Memory::forget_all`]): days belong to an era, and only those of this era are true.
//!
//! Who reads takes no lock. Who changes what is kept holds the lock of the DPU, and never while waiting.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use entity::Instant;
use entity::tally::Resolution;

use super::days::Days;
use super::page::{Page, Step, count};
use super::shelf::Shelf;
use crate::counting::{Crossings, Reading};

/// How many locks there are for all DPUs; some share one, and then now and then read again in vain.
const LOCKS: usize = 1024;
/// What an entry takes beside its days or its crossings: its key, its place in the map and in the queue by
/// which it is let go. Measured by the test of the memory's bound.
const ENTRY_BYTES: usize = 200;
/// The era of days that are not true any more.
const NO_ERA: u64 = u64::MAX;

/// Days and pages, as many as fit into so many bytes.
#[derive(Debug)]
pub(super) struct Memory {
    shelf: Shelf<Key, Entry>,
    /// By a DPU's id, how often what is known of it was changed.
    generations: Box<[Mutex<u64>]>,
    era: AtomicU64,
    /// Days before it have digests instead of events, in milliseconds.
    digested_ms: AtomicI64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Days(i64),
    Page(PageKey),
}

/// Which page: of this DPU, of the day that begins then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PageKey {
    pub(super) dpu: i64,
    pub(super) day: Instant,
}

/// Most entries are pages, so days stand apart and do not make them larger.
#[derive(Debug)]
enum Entry {
    Days(Box<Known>),
    Page(Page),
    /// A page that was, until its events were pruned.
    Gone,
}

/// Days, and the era in which they are true.
#[derive(Debug)]
struct Known {
    era: u64,
    days: Days,
}

/// What the memory lacks for some readings, to be read from the database all at once.
#[derive(Debug, Default)]
pub(super) struct Lacking {
    /// The DPUs whose days are asked for.
    pub(super) days: Vec<i64>,
    /// The pages that are asked for.
    pub(super) pages: Vec<PageKey>,
    /// The generation of every DPU that is asked about, from before the database was asked.
    generations: BTreeMap<i64, u64>,
    /// The era, from before the database was asked.
    era: u64,
    /// Which days were digested before the database was asked.
    digested_ms: i64,
}

/// What the database held when it was asked, all at one instant.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) days: BTreeMap<i64, Days>,
    pub(super) pages: BTreeMap<PageKey, Page>,
}

/// What one commit has added to one DPU's timeline.
#[derive(Debug, Default)]
pub(super) struct Added {
    /// What its days have seen with the commit in them.
    pub(super) totals: BTreeMap<Instant, Crossings>,
    /// The crossings that the commit added.
    pub(super) steps: BTreeMap<Instant, Vec<Step>>,
}

impl PageKey {
    fn of(reading: Reading) -> Self {
        Self { dpu: reading.dpu, day: Resolution::Day.bucket(reading.at) }
    }
}

impl Lacking {
    /// The DPUs that it is about.
    pub(super) fn dpus(&self) -> impl Iterator<Item = i64> {
        self.generations.keys().copied()
    }
}

impl Loaded {
    /// What the odometer shows by what was loaded alone.
    pub(super) fn show(&self, reading: Reading) -> Crossings {
        let key = PageKey::of(reading);
        let (before, during) = self.days.get(&key.dpu).map(|days| days.around(key.day)).unwrap_or_default();
        let page = self.pages.get(&key);
        if page.map_or(0, Page::len) != during.count() {
            tracing::warn!(
                dpu = key.dpu, day = %key.day,
                "a day's tally differs from its events: run `headcount verify`"
            );
        }
        before + page.map(|page| page.until(key.day, reading.at)).unwrap_or_default()
    }
}

impl Entry {
    fn bytes(&self) -> usize {
        let beside = match self {
            Self::Days(known) => size_of::<Known>() + known.days.heap_bytes(),
            Self::Page(page) => page.heap_bytes(),
            Self::Gone => 0,
        };
        ENTRY_BYTES + beside
    }
}

impl Memory {
    pub(super) fn new(bytes: u64) -> Self {
        let generations = (0..LOCKS).map(|_| Mutex::default()).collect();
        let digested_ms = AtomicI64::new(i64::MIN);
        Self { shelf: Shelf::new(bytes), generations, era: AtomicU64::default(), digested_ms }
    }

    /// What the odometer shows, if that is known.
    pub(super) fn show(&self, reading: Reading) -> Option<Crossings> {
        self.show_with(reading, &Loaded::default())
    }

    /// What the odometer shows by what was loaded, and by what is known of the rest.
    pub(super) fn show_with(&self, reading: Reading, loaded: &Loaded) -> Option<Crossings> {
        let key = PageKey::of(reading);
        let (before, during) = match loaded.days.get(&key.dpu) {
            Some(days) => days.around(key.day),
            None => self.days(key.dpu, |days| days.around(key.day))?,
        };
        if during == Crossings::default() {
            return Some(before);
        }
        let until =
            |page: &Page| (page.len() == during.count()).then(|| before + page.until(key.day, reading.at));
        match loaded.pages.get(&key) {
            Some(page) => until(page),
            None => self.page(key, until)?,
        }
    }

    /// What is to be loaded for the readings. Those that turn out to be known by now need nothing.
    pub(super) fn lacking(&self, readings: &[Reading]) -> Lacking {
        self.lacking_by(readings, |reading| {
            let days = self.days(reading.dpu, |_| ()).is_none();
            // With the days known, and no answer, the page is not there or is too short.
            let page = !days || self.page(PageKey::of(reading), |_| ()).is_none();
            self.show(reading).is_none().then_some((days, page))
        })
    }

    /// All days and pages that the readings need, known or not.
    pub(super) fn lacking_all(&self, readings: &[Reading]) -> Lacking {
        self.lacking_by(readings, |_| Some((true, true)))
    }

    /// `lacks` says whether days, and whether a page, are to be loaded for a reading; `None` if it needs nothing.
    fn lacking_by(&self, readings: &[Reading], lacks: impl Fn(Reading) -> Option<(bool, bool)>) -> Lacking {
        let digested_ms = self.digested_ms.load(Ordering::SeqCst);
        let mut lacking = Lacking { era: self.era(), digested_ms, ..Lacking::default() };
        for reading in readings {
            let key = PageKey::of(*reading);
            // Whoever patches the DPU just now is waited for: what it has half done would look as if it lacked.
            let generation = self.generation(key.dpu);
            if let Some((days, page)) = lacks(*reading) {
                lacking.generations.insert(key.dpu, *generation);
                lacking.days.extend(days.then_some(key.dpu));
                lacking.pages.extend(page.then_some(key));
            }
        }
        lacking.days.sort_unstable();
        lacking.days.dedup();
        lacking.pages.sort_unstable();
        lacking.pages.dedup();
        lacking
    }

    /// Keeps what was loaded, except of DPUs whose timeline was changed meanwhile.
    pub(super) fn keep(&self, lacking: &Lacking, loaded: &Loaded) {
        for (dpu, before) in &lacking.generations {
            let generation = self.generation(*dpu);
            if *generation != *before {
                continue;
            }
            if let Some(days) = loaded.days.get(dpu) {
                self.keep_days(*dpu, lacking.era, days.clone());
            }
            let all = PageKey { dpu: *dpu, day: Instant::MIN }..=PageKey { dpu: *dpu, day: Instant::MAX };
            for (key, page) in loaded.pages.range(all).filter(|(_, page)| page.len() > 0) {
                self.put(Key::Page(*key), Entry::Page(page.clone()));
                // It may be of events that are gone by now, and be as long as its digest.
                if self.digested_ms.load(Ordering::SeqCst) != lacking.digested_ms {
                    self.put(Key::Page(*key), Entry::Gone);
                }
            }
        }
    }

    /// Adds what a commit of this process has added. To be called after the commit.
    pub(super) fn patch(&self, dpu: i64, added: Added) {
        let mut generation = self.generation(dpu);
        *generation += 1;
        for (day, steps) in added.steps {
            let key = PageKey { dpu, day };
            let total = added.totals.get(&day).map_or(0, |total| total.count());
            // One that has the commit already, or lacks another one too, is left as it is.
            let before = total - count(steps.len());
            let patched = self.page(key, |page| (page.len() == before).then(|| page.with(steps))).flatten();
            if let Some(page) = patched {
                self.put(Key::Page(key), Entry::Page(page));
            }
        }
        let era = self.era();
        if let Some(days) = self.days(dpu, |days| days.raised(added.totals)) {
            self.keep_days(dpu, era, days);
        }
    }

    /// Forgets how much the DPU has seen: another process has written of it.
    pub(super) fn forget(&self, dpu: i64) {
        let mut generation = self.generation(dpu);
        *generation += 1;
        if self.days(dpu, |_| ()).is_some() {
            self.keep_days(dpu, NO_ERA, Days::default());
        }
    }

    /// Forgets how much each DPU has seen.
    pub(super) fn forget_all(&self) {
        self.era.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether it knows that the events of days before `until` are gone.
    pub(super) fn is_digested(&self, until: Instant) -> bool {
        self.digested_ms.load(Ordering::SeqCst) >= until.ms()
    }

    /// Lets go of the pages of days before `until`: their events are gone, and digests stand for them.
    pub(super) fn digested(&self, until: Instant) {
        if self.digested_ms.fetch_max(until.ms(), Ordering::SeqCst) < until.ms() {
            for key in self.shelf.keys() {
                if matches!(key, Key::Page(PageKey { day, .. }) if day < until) {
                    self.put(key, Entry::Gone);
                }
            }
        }
    }

    /// How many bytes are kept.
    pub(super) fn bytes(&self) -> u64 {
        self.shelf.weight()
    }

    /// Lets everything go, as if there were no room for it.
    #[cfg(test)]
    pub(super) fn evict(&self) {
        self.shelf.clear();
    }

    fn era(&self) -> u64 {
        self.era.load(Ordering::SeqCst)
    }

    fn keep_days(&self, dpu: i64, era: u64, days: Days) {
        self.put(Key::Days(dpu), Entry::Days(Box::new(Known { era, days })));
    }

    fn put(&self, key: Key, entry: Entry) {
        let bytes = entry.bytes();
        self.shelf.put(key, entry, bytes);
    }

    /// What `look` finds in the DPU's days; `None` if they are not known, or not true any more.
    fn days<R>(&self, dpu: i64, look: impl FnOnce(&Days) -> R) -> Option<R> {
        let look = |entry: &Entry| match entry {
            Entry::Days(known) => (known.era == self.era()).then(|| look(&known.days)),
            Entry::Page(_) | Entry::Gone => None,
        };
        self.shelf.get(&Key::Days(dpu), look).flatten()
    }

    /// What `look` finds in the page; `None` if it is not kept.
    fn page<R>(&self, key: PageKey, look: impl FnOnce(&Page) -> R) -> Option<R> {
        let look = |entry: &Entry| match entry {
            Entry::Page(page) => Some(look(page)),
            Entry::Days(_) | Entry::Gone => None,
        };
        self.shelf.get(&Key::Page(key), look).flatten()
    }

    fn generation(&self, dpu: i64) -> MutexGuard<'_, u64> {
        let place = dpu.unsigned_abs() % LOCKS as u64;
        let place = usize::try_from(place).unwrap_or_default();
        self.generations[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
