//! The state that this process answers from, and how it advances.
//!
//! A state is a set of whole commits, and the floor plan that belongs to it. Memory holds one state: the floor plan and
//! the [`Timelines`], identified by a version, with a [`Position`] in the change log. It advances by a commit of this
//! process ([`State::committed`]), and by the commits of others that one snapshot of the database shows
//! ([`State::refresh`]). Each step is published as the next version, after everything that it changes is in place.
//! So a reader that takes the [`Head`] once reads one state, without a lock.
//!
//! Data that a reader loads from the database may be from a later state. The same snapshot tells the difference
//! ([`Changes`]), and memory catches up before the reader answers ([`State::catch_up`]). So states never go back.

mod change;
mod memory;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sea_orm::DbErr;
use tokio::sync::watch;
use tokio::time::Instant as Tick;

pub use self::memory::Head;
pub(crate) use self::memory::Memory;
use crate::database::{Changes, CommitId, Database, KEPT, Position};
use crate::floor_plan::{self, FloorPlan};
use crate::telemetry::metrics;
use crate::timelines::{Loaded, Patch, Since, Timelines, Version};

/// The memory of this process, and the database that it is read from.
#[derive(Debug)]
pub struct State {
    database: Database,
    memory: Memory,
    /// Whether the state is refreshed soon after other processes commit.
    is_followed: AtomicBool,
    /// Held during a refresh. The value is the instant at which memory was last known to be current.
    refreshing: tokio::sync::Mutex<Option<Tick>>,
}

impl State {
    /// Creates a memory of about `memory_bytes` bytes, with nothing read from the database yet.
    pub fn new(database: Database, memory_bytes: u64) -> Self {
        let memory = Memory::new(memory_bytes, database.standby().cloned());
        Self {
            database,
            memory,
            is_followed: AtomicBool::new(false),
            refreshing: tokio::sync::Mutex::default(),
        }
    }

    pub fn timelines(&self) -> &Timelines {
        self.memory.timelines()
    }

    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Returns a channel with the newest version, to wait for the next one.
    pub fn versions(&self) -> watch::Receiver<Version> {
        self.memory.versions()
    }

    pub async fn floor_plan(&self) -> Result<Arc<FloorPlan>, DbErr> {
        Ok(Arc::clone(&self.newest().await?.plan))
    }

    /// `None` before the first read.
    pub fn plan(&self) -> Option<Arc<FloorPlan>> {
        self.memory.head().map(|head| Arc::clone(&head.plan))
    }

    /// Returns the newest state. Reads the database first if commits of other processes are not followed.
    ///
    /// It has everything that this process acknowledged before. While followed, takes no lock and does not wait.
    pub async fn newest(&self) -> Result<Arc<Head>, DbErr> {
        if self.is_followed()
            && let Some(head) = self.memory.head()
        {
            return Ok(head);
        }
        self.refresh().await?;
        self.memory.head().ok_or_else(|| DbErr::RecordNotFound("the floor plan".to_owned()))
    }

    pub fn is_followed(&self) -> bool {
        self.is_followed.load(Ordering::SeqCst)
    }

    /// Sets whether [`refresh`](Self::refresh) is called soon after other processes commit.
    pub fn set_followed(&self, is_followed: bool) {
        self.is_followed.store(is_followed, Ordering::SeqCst);
    }

    /// Advances to the state of the database at some instant after the call.
    pub async fn refresh(&self) -> Result<(), DbErr> {
        let asked = Tick::now();
        let mut lacks_nothing_since = self.database.in_turn(self.refreshing.lock()).await?;
        if lacks_nothing_since.is_some_and(|since| since > asked) {
            return Ok(());
        }
        let begun = Tick::now();
        // Rows of the log may have been deleted before they were read.
        let has_gap = lacks_nothing_since.is_none_or(|since| begun - since > KEPT / 2);
        self.database.in_time(self.look(has_gap)).await?;
        *lacks_nothing_since = Some(begun);
        Ok(())
    }

    /// Records that no other process had written to the database by `since`, when the check started.
    pub async fn nothing_came(&self, since: Tick) {
        let mut lacks_nothing_since = self.refreshing.lock().await;
        *lacks_nothing_since = lacks_nothing_since.map(|known| known.max(since));
    }

    async fn look(&self, has_gap: bool) -> Result<(), DbErr> {
        let head = self.memory.head();
        let position = match &head {
            Some(head) => head.position.clone(),
            None => Position::start(CommitId::new_writer()),
        };
        let changes = Changes::read(self.database.background(), &position).await?;
        if head.is_some_and(|head| head.plan.revision() == changes.revision) {
            self.memory.advance(&changes, None, has_gap);
            return Ok(());
        }
        let transaction = self.database.begin_reading().await?;
        let changes = Changes::read(&transaction, &position).await?;
        let plan = Arc::new(floor_plan::load(&transaction).await?);
        metrics::floor_plan_read();
        transaction.commit().await?;
        self.memory.begin(Arc::clone(&plan), position.after(&changes.commits));
        self.memory.advance(&changes, Some(plan), has_gap);
        Ok(())
    }

    pub fn next_commit(&self) -> CommitId {
        self.memory.head().map_or_else(CommitId::new_writer, |head| head.position.own).next()
    }

    pub fn committed(&self, id: CommitId, patch: Patch) {
        self.memory.committed(id, patch);
    }

    /// Continues as another writer: it is unknown whether the last commit was made, or will be.
    pub fn change_writer(&self) {
        self.memory.change_writer();
    }

    /// Forgets all timelines: tallies were changed without a row in the change log.
    pub fn forget_all(&self) {
        self.memory.forget_all();
    }

    pub(crate) fn keep(&self, since: Since, loaded: &Loaded) {
        self.memory.keep(since, loaded);
    }

    /// Advances to the snapshot of the database with these changes. Waits for commits of this process that are in the
    /// snapshot but not in memory yet. `plan` is the snapshot's floor plan, if it was read.
    ///
    /// Returns the version that has the changes, if this call made all of them.
    pub async fn catch_up(
        &self,
        changes: &Changes,
        plan: Option<Arc<FloorPlan>>,
    ) -> Result<Option<Version>, DbErr> {
        let caught_up = self.memory.advance(changes, plan, false);
        if changes.commits.iter().all(|commit| self.memory.has(commit.id)) {
            return Ok(caught_up);
        }
        let mut moved = self.memory.versions();
        let own = self.memory.writer();
        let applied = |_: &Version| {
            self.memory.writer() != own || changes.commits.iter().all(|commit| self.memory.has(commit.id))
        };
        self.database.answered(moved.wait_for(applied)).await?.map(drop).ok();
        // If the writer was changed in the meantime, its commits count as another writer's.
        self.memory.advance(changes, None, false);
        Ok(None)
    }
}
