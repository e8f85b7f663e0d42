//! The basis of a view: a version of memory, and what differs between it and the view's state. No I/O.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use entity::Instant;

use super::error::ReadError;
use crate::database::{Changes, Position};
use crate::timelines::{Days, Extent, Lacking, Loaded, Page, PageAt, PageKey, Since, Timelines, Version};
use counting::{Crossings, Interval, Reading};

/// A version of memory, and the DPUs that differ from it in the view's state.
#[derive(Debug)]
pub(super) struct Basis {
    /// The version that is read from memory.
    pub(super) version: Version,
    revision: i64,
    /// Events before this instant are pruned.
    digested: Option<Instant>,
    /// Whether the view keeps its floor plan even if there is a newer one, and reads everything in one transaction.
    keeps_plan: bool,
    /// Lowest bit: whether anything was taken from memory or loaded. Other bits: how often the view has moved.
    phase: AtomicUsize,
    changed: RwLock<Changed>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Phase(usize);

/// The bit that says that the basis is used.
const USED: usize = 1;
/// Added to a phase by each move.
const MOVE: usize = 2;

/// The DPUs that have changed between a view's version and its state. Memory is not valid for them.
#[derive(Debug, Default)]
struct Changed {
    dpus: HashSet<i64>,
    all: bool,
}

/// The snapshot of the database that a view has reached.
#[derive(Debug)]
pub(super) struct Reached {
    pub(super) position: Position,
    /// The version of memory that caught up with it, if it directly follows the version that the view began with.
    caught_up: Option<Version>,
}

impl Basis {
    pub(super) fn new(version: Version, revision: i64, digested: Option<Instant>) -> Self {
        Self {
            version,
            revision,
            digested,
            keeps_plan: false,
            phase: AtomicUsize::default(),
            changed: RwLock::default(),
        }
    }

    /// Returns the same basis, but keeps its floor plan.
    pub(super) fn keeping_its_plan(self) -> Self {
        Self { keeps_plan: true, ..self }
    }

    pub(super) fn keeps_plan(&self) -> bool {
        self.keeps_plan
    }

    /// Moves on to a snapshot of the database with these changes, which memory has caught up with. Fails if they affect
    /// what was already read.
    pub(super) fn go_on(
        &self,
        reached: &mut Reached,
        changes: &Changes,
        caught_up: Option<Version>,
    ) -> Result<(), ReadError> {
        if changes.revision != self.revision && !self.keeps_plan {
            return Err(ReadError::Moved);
        }
        if changes.commits.is_empty() {
            self.phase.fetch_or(USED, Ordering::SeqCst);
            return Ok(());
        }
        self.note(changes);
        let go_on = |phase: usize| (phase & USED == 0).then_some((phase + MOVE) | USED);
        self.phase.fetch_update(Ordering::SeqCst, Ordering::SeqCst, go_on).map_err(|_| ReadError::Moved)?;
        reached.go_on(changes, caught_up.filter(|caught_up| *caught_up == self.version + 1));
        Ok(())
    }

    /// Returns the version from which on loaded data is valid.
    pub(super) fn since(&self, reached: &Reached) -> Since {
        Since { begun: self.version, caught_up: reached.caught_up }
    }

    /// Records which DPUs have changed since the version.
    fn note(&self, changes: &Changes) {
        let mut known = self.changed.write().unwrap_or_else(PoisonError::into_inner);
        for commit in &changes.commits {
            match &commit.dpus {
                Some(dpus) => known.dpus.extend(dpus),
                None => known.all = true,
            }
        }
    }

    pub(super) fn is_pruned(&self, day: Instant) -> bool {
        self.digested.is_some_and(|digested| day < digested)
    }

    pub(super) fn remembered(&self, timelines: &Timelines, reading: Reading) -> Option<Crossings> {
        if !self.is_remembered(reading.dpu) {
            return None;
        }
        timelines.show(self.version, reading, self.is_pruned(PageKey::of(reading).day))
    }

    pub(super) fn remembered_days(&self, timelines: &Timelines, dpu: i64) -> Option<Days> {
        if self.is_remembered(dpu) { timelines.days(dpu, self.version) } else { None }
    }

    /// Returns the readings found in `loaded` and in memory, and what must be loaded for the others.
    pub(super) fn show(
        &self,
        timelines: &Timelines,
        readings: &[Reading],
        loaded: &Loaded,
    ) -> (HashMap<Reading, Crossings>, Lacking) {
        let mut shown = HashMap::with_capacity(readings.len());
        let mut lacking = Lacking::default();
        for reading in readings {
            match self.shown(timelines, *reading, loaded) {
                Some(crossings) => drop(shown.insert(*reading, crossings)),
                None => self.list_lacking(timelines, *reading, loaded, &mut lacking),
            }
        }
        lacking.sort();
        (shown, lacking)
    }

    fn shown(&self, timelines: &Timelines, reading: Reading, loaded: &Loaded) -> Option<Crossings> {
        let key = PageKey::of(reading);
        let (days, page) = (loaded.days.get(&key.dpu), loaded.pages.get(&key));
        if days.is_none() && page.is_none() {
            return self.remembered(timelines, reading);
        }
        let (before, during) = match days {
            Some(days) => days.day(key.day),
            None => self.remembered_days(timelines, key.dpu)?.day(key.day),
        };
        if during.people == Crossings::default() {
            return Some(before);
        }
        let until = |page: PageAt<'_>| page.until(key.day, reading.at);
        let until = self.look_at_page(timelines, key, during.extent(), page, until);
        until.map(|until| before + until)
    }

    /// Applies `look` to a page: to the loaded one, or else to that in memory, if it is there.
    fn look_at_page<R>(
        &self,
        timelines: &Timelines,
        key: PageKey,
        extent: Extent,
        loaded: Option<&Page>,
        look: impl FnOnce(PageAt<'_>) -> R,
    ) -> Option<R> {
        match loaded {
            Some(page) => {
                if page.extent() != extent {
                    warn_of_tally(key);
                }
                page.at(page.extent()).map(look)
            }
            None => timelines.look_at_page(key, extent, self.is_pruned(key.day), look),
        }
    }

    /// Returns the intervals that are open at the readings, and what must be loaded to know the others'.
    pub(super) fn open_intervals(
        &self,
        timelines: &Timelines,
        readings: &[Reading],
        loaded: &Loaded,
    ) -> (HashMap<Reading, Interval>, Lacking) {
        let mut open = HashMap::new();
        let mut lacking = Lacking::default();
        for reading in readings {
            let known = loaded.days.get(&reading.dpu).cloned();
            let Some(days) = known.or_else(|| self.remembered_days(timelines, reading.dpu)) else {
                lacking.days.push(reading.dpu);
                continue;
            };
            // An open interval is the first that ends later, so it is on the same day or on the next with people.
            let today = PageKey::of(*reading).day;
            for day in [Some(today), days.next(today)].into_iter().flatten() {
                let (key, extent) = (PageKey { dpu: reading.dpu, day }, days.extent(day));
                if extent.len == 0 {
                    continue;
                }
                let first = |page: PageAt<'_>| page.first_from(day, reading.at);
                match self.look_at_page(timelines, key, extent, loaded.pages.get(&key), first) {
                    Some(None) => {}
                    Some(Some(interval)) => {
                        if interval.is_open_at(reading.at) {
                            open.insert(*reading, interval);
                        }
                        break;
                    }
                    None => {
                        lacking.pages.push(key);
                        break;
                    }
                }
            }
        }
        lacking.sort();
        (open, lacking)
    }

    fn list_lacking(&self, timelines: &Timelines, reading: Reading, loaded: &Loaded, lacking: &mut Lacking) {
        let key = PageKey::of(reading);
        if !loaded.days.contains_key(&key.dpu) && self.remembered_days(timelines, key.dpu).is_none() {
            lacking.days.push(key.dpu);
        }
        if !loaded.pages.contains_key(&key) {
            lacking.pages.push(key);
        }
    }

    /// Returns whether memory is valid for the DPU in the view's state.
    fn is_remembered(&self, dpu: i64) -> bool {
        let Phase(phase) = self.phase();
        if self.keeps_plan && phase & USED == 0 {
            // Memory must not be read before it is known what has changed since.
            return false;
        }
        if phase < MOVE {
            return true;
        }
        let changed = self.changed.read().unwrap_or_else(PoisonError::into_inner);
        !changed.all && !changed.dpus.contains(&dpu)
    }

    /// Returns the current phase. Pass it to [`use_it`](Self::use_it) after reading something.
    pub(super) fn phase(&self) -> Phase {
        Phase(self.phase.load(Ordering::SeqCst))
    }

    /// Marks the basis as used. Returns false if the view has moved since `phase`: read again.
    pub(super) fn use_it(&self, Phase(phase): Phase) -> bool {
        // Usually it is marked already, and then the view no longer moves.
        phase & USED != 0
            || match self.phase.compare_exchange(phase, phase | USED, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => true,
                Err(now) => now == phase | USED,
            }
    }
}

impl Reached {
    /// Starts at the state that memory is in.
    pub(super) fn new(position: Position) -> Self {
        Self { position, caught_up: None }
    }

    fn go_on(&mut self, changes: &Changes, caught_up: Option<Version>) {
        self.position = self.position.after(&changes.commits);
        self.caught_up = self.caught_up.or(caught_up);
    }
}

/// Warns that a page and its day's tally have different numbers of crossings.
pub(super) fn warn_of_tally(key: PageKey) {
    tracing::warn!(
        dpu = key.dpu, day = %key.day, "a day's tally differs from its events: run `headcount verify`"
    );
}
