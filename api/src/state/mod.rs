//! The state that this process answers from, and how it moves on.
//!
//! A state is a set of whole commits and the floor plan that belongs to it. Memory holds one: its parts are the floor plan
//! and the [`Timelines`], its name is a version, and its place in the change log is a [`Position`]. It moves on by a commit of
//! this process ([`State::committed`]), and by what others have committed, as one snapshot of the database shows it
//! ([`State::refresh`]). Each move is published whole, as the next version, after everything that it changes is in place.
//! So a reader that takes the [`Head`] once reads one state, without a lock.
//!
//! What a reader loads from the database may be of a later state. The same snapshot says by how much ([`Changes`]), and
//! memory catches up with it before the reader answers ([`State::catch_up`]). So states never go back.

mod log;
mod memory;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sea_orm::DbErr;
use tokio::sync::watch;
use tokio::time::Instant as Tick;

pub use self::log::{Changes, CommitId, KEPT, LoggedCommit, Position, changes_sql, log_commit, tidy};
pub use self::memory::Head;
pub(crate) use self::memory::Memory;
use crate::database::Database;
use crate::floor_plan::{self, FloorPlan};
use crate::telemetry::metrics;
use crate::timelines::{Loaded, Patch, Since, Timelines, Version};

/// The memory of this process, and how it moves from one state to the next.
#[derive(Debug)]
pub struct State {
    database: Database,
    memory: Memory,
    /// Whether somebody refreshes the state soon after others have committed.
    is_followed: AtomicBool,
    /// Held while the state is refreshed: since when memory is known to lack nothing.
    refreshing: tokio::sync::Mutex<Option<Tick>>,
}

impl State {
    /// Returns a memory of about `memory_bytes` bytes, with nothing read from the database yet.
    pub fn new(database: Database, memory_bytes: u64) -> Self {
        let memory = Memory::new(memory_bytes, database.standby().cloned());
        Self {
            database,
            memory,
            is_followed: AtomicBool::new(false),
            refreshing: tokio::sync::Mutex::default(),
        }
    }

    /// Returns the timelines.
    pub fn timelines(&self) -> &Timelines {
        self.memory.timelines()
    }

    /// Returns the database.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Returns the newest version, for those who wait for the next one.
    pub fn versions(&self) -> watch::Receiver<Version> {
        self.memory.versions()
    }

    /// Returns the floor plan of the state in memory, once it is in one.
    pub fn plan(&self) -> Option<Arc<FloorPlan>> {
        self.memory.head().map(|head| Arc::clone(&head.plan))
    }

    /// Returns the newest state, read from the database first where nobody follows what others commit.
    ///
    /// It has all that this process acknowledged before the call. Takes no lock and does not wait while it is followed.
    pub async fn newest(&self) -> Result<Arc<Head>, DbErr> {
        if self.is_followed()
            && let Some(head) = self.memory.head()
        {
            return Ok(head);
        }
        self.refresh().await?;
        self.memory.head().ok_or_else(|| DbErr::RecordNotFound("the floor plan".to_owned()))
    }

    /// Returns whether what others commit is heard of.
    pub fn is_followed(&self) -> bool {
        self.is_followed.load(Ordering::SeqCst)
    }

    /// Says whether somebody calls [`refresh`](Self::refresh) soon after others have committed.
    pub fn set_followed(&self, is_followed: bool) {
        self.is_followed.store(is_followed, Ordering::SeqCst);
    }

    /// Moves on to what the database holds at some moment after the call.
    pub async fn refresh(&self) -> Result<(), DbErr> {
        let asked = Tick::now();
        let mut lacks_nothing_since = self.database.in_turn(self.refreshing.lock()).await?;
        if lacks_nothing_since.is_some_and(|since| since > asked) {
            return Ok(());
        }
        let begun = Tick::now();
        // Rows of the log may be gone before they were read.
        let has_gap = lacks_nothing_since.is_none_or(|since| begun - since > KEPT / 2);
        self.database.in_time(self.look(has_gap)).await?;
        *lacks_nothing_since = Some(begun);
        Ok(())
    }

    /// Says that nobody else had written to the database since the last time, when somebody began to look at `since`.
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

    /// Returns the commit that this process makes next.
    pub fn next_commit(&self) -> CommitId {
        self.memory.head().map_or_else(CommitId::new_writer, |head| head.position.own).next()
    }

    /// Moves on by a commit of this process.
    pub fn committed(&self, id: CommitId, patch: Patch) {
        self.memory.committed(id, patch);
    }

    /// Goes on under another writer's name: nobody knows whether the last commit was made, or will be.
    pub fn change_writer(&self) {
        self.memory.change_writer();
    }

    /// Forgets all timelines: somebody has changed tallies without a word in the log.
    pub fn forget_all(&self) {
        self.memory.forget_all();
    }

    /// Caches what was loaded, where nothing has changed it since.
    pub(crate) fn keep(&self, since: Since, loaded: &Loaded) {
        self.memory.keep(since, loaded);
    }

    /// Moves on to a snapshot of the database of which these are the changes, and waits until a commit of this process is in
    /// memory that the snapshot has already. `plan` is the snapshot's floor plan, if it was read.
    ///
    /// Returns the version that has the changes, if it was this call that made all of them.
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
        // Where the writer was changed meanwhile, its commits are others'.
        self.memory.advance(changes, None, false);
        Ok(None)
    }
}
