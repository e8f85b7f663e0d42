//! Timelines: what odometers show at any instant, from memory where it is known and else from the database.
//!
//! An odometer at any age is what it showed at the end of the day before, and the crossings of one part of a
//! day. Both are kept in a memory of a bounded size (the module `memory` says how they stay true), so a count of
//! five years ago costs what one of now does. What a request lacks is loaded by one statement.

mod days;
mod events;
mod load;
mod memory;
mod packed;
mod page;
#[cfg(test)]
mod properties;
mod shelf;
mod stretch;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use entity::Instant;
use entity::event::Direction;
use entity::tally::Resolution;
pub use events::{EventKey, EventPage, EventRange, counts as event_counts, pages as event_pages};
use futures::FutureExt;
use memory::{Added, Lacking, Loaded, Memory};
use page::Step;
use sea_orm::DbErr;
pub use stretch::{crossings, last_events};

use crate::counting::{Crossings, Reading};
use crate::database::Database;
use crate::standby::Standby;
use crate::telemetry::metrics::{CACHE_HITS, CACHE_MISSES};

/// The timelines of all DPUs.
#[derive(Debug)]
pub struct Timelines {
    memory: Memory,
    standby: Option<Arc<Standby>>,
}

/// What one commit added to the timelines.
#[derive(Debug, Default)]
pub struct Commit(BTreeMap<i64, Added>);

impl Timelines {
    /// Timelines of which about as many bytes as these are kept in memory.
    pub fn new(memory_bytes: u64) -> Self {
        Self { memory: Memory::new(memory_bytes), standby: None }
    }

    /// The same, where the database has this standby: it is told of each change.
    #[must_use]
    pub fn with_standby(self, standby: Option<Arc<Standby>>) -> Self {
        Self { standby, ..self }
    }

    /// What the odometer shows, if that is in memory. Takes no lock and does not wait.
    pub fn show(&self, reading: Reading) -> Option<Crossings> {
        self.memory.show(reading).inspect(|_| CACHE_HITS.add(1))
    }

    /// Reads the odometers. Every reading has an entry in the answer; two that are equal have one.
    ///
    /// What this process had committed before the call is in the answer.
    pub async fn read(
        &self,
        database: &Database,
        readings: &[Reading],
    ) -> Result<HashMap<Reading, Crossings>, DbErr> {
        let mut shown = HashMap::with_capacity(readings.len());
        let mut missing = readings.to_vec();
        let mut settle = |missing: &mut Vec<Reading>, show: &dyn Fn(Reading) -> Option<Crossings>| {
            missing.retain(|reading| {
                let found = show(*reading);
                shown.extend(found.map(|crossings| (*reading, crossings)));
                found.is_none()
            });
        };
        settle(&mut missing, &|reading| self.show(reading));
        CACHE_MISSES.add(missing.len() as u64);
        if !missing.is_empty() {
            let lacking = self.memory.lacking(&missing);
            let loaded = self.load(database, &lacking).await?;
            settle(&mut missing, &|reading| self.memory.show_with(reading, &loaded));
        }
        // A commit came between what was known and what was loaded: what is loaded together fits together.
        if !missing.is_empty() {
            let lacking = self.memory.lacking_all(&missing);
            let loaded = self.load(database, &lacking).await?;
            settle(&mut missing, &|reading| Some(loaded.show(reading)));
        }
        Ok(shown)
    }

    async fn load(&self, database: &Database, lacking: &Lacking) -> Result<Loaded, DbErr> {
        let loaded =
            database.read(lacking.dpus(), |connection| load::load(connection, lacking).boxed()).await?;
        self.memory.keep(lacking, &loaded);
        Ok(loaded)
    }

    /// Adds to the memory what a commit of this process has added to the database.
    pub fn patch(&self, commit: Commit) {
        self.standby_lacks(commit.dpus());
        for (dpu, added) in commit.0 {
            self.memory.patch(dpu, added);
        }
    }

    /// Says that events before `until` are gone, and that digests stand for them.
    pub fn digested(&self, until: Instant) {
        if self.memory.is_digested(until) {
            return;
        }
        self.standby_lacks_all();
        self.memory.digested(until);
    }

    /// How many bytes of timelines are in memory.
    pub fn bytes(&self) -> u64 {
        self.memory.bytes()
    }

    /// Forgets how much these DPUs have seen: another process has recorded events of theirs.
    pub fn forget(&self, dpus: impl IntoIterator<Item = i64>) {
        let dpus: Vec<i64> = dpus.into_iter().collect();
        self.standby_lacks(dpus.iter().copied());
        for dpu in dpus {
            self.memory.forget(dpu);
        }
    }

    /// Forgets how much any DPU has seen: another process has written who knows what.
    pub fn forget_all(&self) {
        self.standby_lacks_all();
        self.memory.forget_all();
    }

    // Before memory changes: who reads looks at memory first, and then for what the standby lacks.

    fn standby_lacks(&self, dpus: impl IntoIterator<Item = i64>) {
        if let Some(standby) = &self.standby {
            standby.changed(dpus);
        }
    }

    fn standby_lacks_all(&self) {
        if let Some(standby) = &self.standby {
            standby.changed_all();
        }
    }
}

impl Commit {
    /// The commit that inserted these events, of which `totals` says what their days have seen with them:
    /// a DPU, when the day began, and the total.
    pub fn new(
        inserted: impl IntoIterator<Item = (i64, Instant, Direction)>,
        totals: impl IntoIterator<Item = (i64, Instant, Crossings)>,
    ) -> Self {
        let mut commit = Self::default();
        for (dpu, day, total) in totals {
            commit.0.entry(dpu).or_default().totals.insert(day, total);
        }
        for (dpu, ts, direction) in inserted {
            let day = Resolution::Day.bucket(ts);
            let added = commit.0.entry(dpu).or_default();
            added.steps.entry(day).or_default().push(Step::new(day, ts, direction));
        }
        commit
    }

    /// The DPUs whose timelines it changed.
    pub fn dpus(&self) -> impl Iterator<Item = i64> {
        self.0.keys().copied()
    }
}
