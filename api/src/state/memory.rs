//! The memory of a process: one state, and how it advances to the next. No I/O; readers take no lock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use tokio::sync::watch;

use crate::database::{Changes, CommitId, LoggedCommit, Position, Standby};
use crate::floor_plan::FloorPlan;
use crate::timelines::{Loaded, Patch, Since, Timelines, Version};

/// A state, identified by its version.
#[derive(Clone, Debug)]
pub struct Head {
    pub version: Version,
    pub plan: Arc<FloorPlan>,
    pub position: Position,
}

/// The timelines and the floor plan, as of one state at a time.
#[derive(Debug)]
pub(crate) struct Memory {
    timelines: Timelines,
    /// `None` before the database was read for the first time.
    head: ArcSwapOption<Head>,
    /// Held while memory advances.
    moving: Mutex<()>,
    moved: watch::Sender<Version>,
    standby: Option<Arc<Standby>>,
}

impl Memory {
    /// Creates an empty memory of about `bytes` bytes. Each change is reported to the standby before readers see it.
    pub(crate) fn new(bytes: u64, standby: Option<Arc<Standby>>) -> Self {
        Self {
            timelines: Timelines::new(bytes),
            head: ArcSwapOption::empty(),
            moving: Mutex::default(),
            moved: watch::Sender::new(0),
            standby,
        }
    }

    pub(crate) fn timelines(&self) -> &Timelines {
        &self.timelines
    }

    /// `None` before the first read.
    pub(crate) fn head(&self) -> Option<Arc<Head>> {
        self.head.load_full()
    }

    pub(crate) fn versions(&self) -> watch::Receiver<Version> {
        self.moved.subscribe()
    }

    pub(crate) fn has(&self, id: CommitId) -> bool {
        self.head.load().as_ref().is_some_and(|head| head.position.has(id))
    }

    pub(crate) fn writer(&self) -> Option<i64> {
        self.head.load().as_ref().map(|head| head.position.own.writer)
    }

    /// Starts with the floor plan and the position of a snapshot of the database.
    pub(crate) fn begin(&self, plan: Arc<FloorPlan>, position: Position) {
        let _moving = self.moving();
        if self.head.load().is_none() {
            self.publish(Head { version: 1, plan, position });
        }
    }

    /// Advances by a commit of this process.
    pub(crate) fn committed(&self, id: CommitId, patch: Patch) {
        let _moving = self.moving();
        let Some(head) = self.head.load_full() else { return };
        let version = head.version + 1;
        self.standby_lacks(patch.dpus());
        self.timelines.apply(version, patch);
        let position = Position { own: id, ..head.position.clone() };
        self.publish(Head { version, position, plan: Arc::clone(&head.plan) });
    }

    /// Continues as another writer, because it is unknown whether the last commit succeeded or will. If it does, the
    /// log reports it as another writer's.
    pub(crate) fn change_writer(&self) {
        let _moving = self.moving();
        let Some(head) = self.head.load_full() else { return };
        let mut position = head.position.clone();
        let CommitId { writer, number } = position.own;
        Arc::make_mut(&mut position.others).insert(writer, number);
        position.own = CommitId::new_writer();
        self.publish(Head { version: head.version + 1, position, plan: Arc::clone(&head.plan) });
    }

    /// Caches loaded data, unless it has changed since.
    pub(crate) fn keep(&self, since: Since, loaded: &Loaded) {
        let _moving = self.moving();
        self.timelines.keep(since, loaded);
    }

    /// Forgets all timelines, because tallies were changed without an entry in the log.
    pub(crate) fn forget_all(&self) {
        let _moving = self.moving();
        let Some(head) = self.head.load_full() else { return };
        let version = head.version + 1;
        self.standby_lacks_all();
        self.timelines.forget_all(version);
        self.publish(Head { version, ..Head::clone(&head) });
    }

    /// Advances by the commits of others. Commits of this process are left to [`committed`](Self::committed).
    pub(crate) fn advance(
        &self,
        changes: &Changes,
        plan: Option<Arc<FloorPlan>>,
        has_gap: bool,
    ) -> Option<Version> {
        let _moving = self.moving();
        let head = self.head.load_full()?;
        let is_new = |commit: &&LoggedCommit| {
            commit.id.writer != head.position.own.writer && !head.position.has(commit.id)
        };
        let new: Vec<&LoggedCommit> = changes.commits.iter().filter(is_new).collect();
        let plan = plan.filter(|plan| plan.revision() > head.plan.revision());
        if new.is_empty() && plan.is_none() && !has_gap {
            return None;
        }
        let version = head.version + 1;
        if has_gap || new.iter().any(|commit| commit.dpus.is_none()) {
            self.standby_lacks_all();
            self.timelines.forget_all(version);
        } else {
            let dpus = new.iter().flat_map(|commit| commit.dpus.iter().flatten().copied());
            self.standby_lacks(dpus.clone());
            self.timelines.forget(version, dpus);
        }
        let is_all = new.len() == changes.commits.len();
        let foreign: Vec<_> = new.iter().map(|commit| LoggedCommit { id: commit.id, dpus: None }).collect();
        self.publish(Head {
            version,
            plan: plan.unwrap_or_else(|| Arc::clone(&head.plan)),
            position: head.position.after(&foreign),
        });
        is_all.then_some(version)
    }

    fn publish(&self, head: Head) {
        let version = head.version;
        self.head.store(Some(Arc::new(head)));
        self.moved.send_replace(version);
    }

    // Called before memory changes: a reader reads memory first, and then what the standby lacks.

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

    fn moving(&self) -> MutexGuard<'_, ()> {
        self.moving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
