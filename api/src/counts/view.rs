//! A view: one state, and everything that one request reads from it.
//!
//! A view begins with the state in memory, and reads it without a lock. What is not in memory is loaded by statements
//! that also return, from the same snapshot, which commits the view's state lacks. If none of them affects what was
//! already read, the view continues as a view of that snapshot. Otherwise it fails with [`ReadError::Moved`], and the
//! reader starts again with a view of the database ([`View::of_database`]), which reads everything in one transaction
//! and never moves. So a reader starts again at most once.
//!
//! Before loaded data is returned, memory has caught up with the snapshot that it was loaded from.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use entity::Instant;
use entity::dpu::Reports;
use futures::FutureExt;
use sea_orm::{DatabaseTransaction, DbErr};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};

use super::basis::{Basis, Reached};
use super::budget::{Budget, Work};
use super::error::ReadError;
use super::heavy::{Heavy, Turn};
use crate::database::{Changes, Position};
use crate::floor_plan::{self, FloorPlan};
use crate::state::State;
use crate::telemetry::metrics::{CACHE_HITS, CACHE_MISSES};
use crate::timelines::{self, Days, Extent, Lacking, Loaded, PageKey, Version};
use counting::{Account, Crossings, Interval, Reading};

/// Maximum number of DPUs whose days one statement reads.
const DAYS_DPUS_MAX: usize = 1_000;

/// Maximum number of pages that are loaded before their lengths are known.
const UNPRICED_PAGES_MAX: usize = 100;

/// One state, and what was read from it so far.
#[derive(Debug)]
pub struct View {
    state: Arc<State>,
    plan: Arc<FloorPlan>,
    basis: Basis,
    snapshot: Mutex<Snapshot>,
    budget: Budget,
    heavy: Arc<Heavy>,
    /// Whether it reads through the connections for long histories.
    is_long: AtomicBool,
    /// The turn, if it has had one from the beginning.
    turn: Option<Turn>,
}

/// The snapshot of the database that a view shows.
#[derive(Debug)]
struct Snapshot {
    reached: Reached,
    /// The transaction on it, once it has begun.
    transaction: Option<DatabaseTransaction>,
}

impl View {
    /// Returns a view of the state in memory, whose reader may spend `budget`.
    pub async fn of_memory(
        state: &Arc<State>,
        budget: Budget,
        heavy: &Arc<Heavy>,
    ) -> Result<Self, ReadError> {
        let head = state.newest().await?;
        Ok(Self::new(state, Arc::clone(&head.plan), head.version, head.position.clone(), budget, heavy))
    }

    /// Returns a view of the database's state, which never moves. With `is_long`, waits for a turn first.
    pub async fn of_database(
        state: &Arc<State>,
        budget: Budget,
        heavy: &Arc<Heavy>,
        is_long: bool,
    ) -> Result<Self, ReadError> {
        let turn = if is_long { Some(heavy.turn().await?) } else { None };
        let head = state.newest().await?;
        let database = state.database();
        let reading = async {
            let transaction = database.begin_reading_by(is_long).await?;
            let changes = Changes::read(&transaction, &head.position).await?;
            let is_newest = changes.revision == head.plan.revision();
            let newer = if is_newest { None } else { Some(Arc::new(floor_plan::load(&transaction).await?)) };
            Ok::<_, DbErr>((transaction, changes, newer))
        };
        let (transaction, changes, newer) = database.in_time(reading).await?;
        let caught_up = state.catch_up(&changes, newer.clone()).await?;
        let plan = newer.unwrap_or_else(|| Arc::clone(&head.plan));
        let mut view = Self::new(state, plan, head.version, head.position.clone(), budget, heavy);
        let snapshot = view.snapshot.get_mut();
        view.basis.go_on(&mut snapshot.reached, &changes, caught_up)?;
        snapshot.transaction = Some(transaction);
        (view.is_long, view.turn) = (AtomicBool::new(is_long), turn);
        Ok(view)
    }

    fn new(
        state: &Arc<State>,
        plan: Arc<FloorPlan>,
        version: Version,
        position: Position,
        budget: Budget,
        heavy: &Arc<Heavy>,
    ) -> Self {
        let basis = Basis::new(version, plan.revision(), plan.digested());
        let snapshot = Mutex::new(Snapshot { reached: Reached::new(position), transaction: None });
        let (is_long, turn) = (AtomicBool::new(false), None);
        Self {
            state: Arc::clone(state),
            plan,
            basis,
            snapshot,
            budget,
            heavy: Arc::clone(heavy),
            is_long,
            turn,
        }
    }

    /// Returns the same view, but it keeps its floor plan and never moves.
    #[must_use]
    pub fn keeping_its_plan(self) -> Self {
        Self { basis: self.basis.keeping_its_plan(), ..self }
    }

    pub fn plan(&self) -> &Arc<FloorPlan> {
        &self.plan
    }

    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Returns the odometer's reading, if it is in memory. Takes no lock and does not wait.
    pub fn odometer(&self, reading: Reading) -> Option<Crossings> {
        loop {
            let phase = self.basis.phase();
            let shown = self.basis.remembered(self.state.timelines(), reading)?;
            if self.basis.use_it(phase) {
                CACHE_HITS.add(1);
                return Some(shown);
            }
        }
    }

    pub fn net_in_memory(&self, account: &Account<'_>) -> Option<i64> {
        account.try_net(|reading| self.odometer(reading))
    }

    pub async fn net(&self, account: &Account<'_>) -> Result<i64, ReadError> {
        if let Some(net) = self.net_in_memory(account) {
            return Ok(net);
        }
        let readings: Vec<_> = account.readings().collect();
        let odometers = self.odometers(&readings).await?;
        Ok(account.net(|reading| odometers[&reading]))
    }

    /// Reads odometers; loads those that are not in memory with few statements. The result has all readings.
    pub async fn odometers(&self, readings: &[Reading]) -> Result<HashMap<Reading, Crossings>, ReadError> {
        let mut loaded = Loaded::default();
        loop {
            // Start over after each load: it may have shown that DPUs in memory have changed.
            let phase = self.basis.phase();
            let (shown, mut lacking) = self.basis.show(self.state.timelines(), readings, &loaded);
            if lacking.is_empty() {
                if self.basis.use_it(phase) {
                    return Ok(shown);
                }
                continue;
            }
            CACHE_MISSES.add(lacking.pages.len().max(lacking.days.len()) as u64);
            if lacking.pages.len() > UNPRICED_PAGES_MAX && !lacking.days.is_empty() {
                // So many pages are loaded only once their lengths are known.
                lacking.pages.clear();
            }
            loaded.append(self.load_within_budget(&lacking, &loaded).await?);
        }
    }

    /// Returns whether an interval can be open at a reading. False: every crossing is known by itself.
    pub fn may_be_open(&self, reading: Reading) -> bool {
        self.is_pruned(PageKey::of(reading).day)
            || self.plan.dpu(reading.dpu).is_some_and(|dpu| dpu.row.reports != Reports::Crossings)
    }

    /// Finds the intervals that are open at the readings; loads what is not in memory with few statements.
    pub async fn open_intervals(
        &self,
        readings: &[Reading],
    ) -> Result<HashMap<Reading, Interval>, ReadError> {
        let mut loaded = Loaded::default();
        loop {
            let phase = self.basis.phase();
            let (open, lacking) = self.basis.open_intervals(self.state.timelines(), readings, &loaded);
            if lacking.is_empty() {
                if self.basis.use_it(phase) {
                    return Ok(open);
                }
                continue;
            }
            loaded.append(self.load_within_budget(&lacking, &loaded).await?);
        }
    }

    /// Loads what is lacking, if the request may cause that work.
    async fn load_within_budget(&self, lacking: &Lacking, loaded: &Loaded) -> Result<Loaded, ReadError> {
        self.budget.spend(self.work_of(lacking, loaded))?;
        let more = self.load(lacking).await?;
        let days = more.days.values().map(|days| days.len() as u64).sum();
        self.budget.spend(Work { days, ..Work::default() })?;
        Ok(more)
    }

    /// Returns the work of loading what is lacking, as far as the lengths of its pages are known.
    fn work_of(&self, lacking: &Lacking, loaded: &Loaded) -> Work {
        let length = |page: &PageKey| {
            let days = loaded.days.get(&page.dpu).cloned();
            let days = days.or_else(|| self.basis.remembered_days(self.state.timelines(), page.dpu));
            days.map_or(0, |days| days.around(page.day).1.count().unsigned_abs())
        };
        let loaded = lacking.pages.iter().map(length).sum();
        Work { pages: lacking.pages.len() as u64, loaded, ..Work::default() }
    }

    /// Reads the daily totals of DPUs; loads those that are not in memory with few statements.
    pub(super) async fn days(
        &self,
        dpus: impl IntoIterator<Item = i64>,
    ) -> Result<BTreeMap<i64, Days>, ReadError> {
        let mut wanted: Vec<i64> = dpus.into_iter().collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut loaded: BTreeMap<i64, Days> = BTreeMap::new();
        loop {
            // Start over after each load: it may have shown that DPUs in memory have changed.
            let phase = self.basis.phase();
            let (mut found, mut lacking) = (BTreeMap::new(), Vec::new());
            for dpu in &wanted {
                let known = loaded.get(dpu).cloned();
                match known.or_else(|| self.basis.remembered_days(self.state.timelines(), *dpu)) {
                    Some(days) => drop(found.insert(*dpu, days)),
                    None => lacking.push(*dpu),
                }
            }
            if lacking.is_empty() && self.basis.use_it(phase) {
                return Ok(found);
            }
            for days in lacking.chunks(DAYS_DPUS_MAX) {
                let mut more = self.load(&Lacking { days: days.to_vec(), pages: Vec::new() }).await?;
                let days = more.days.values().map(|days| days.len() as u64).sum();
                self.budget.spend(Work { days, ..Work::default() })?;
                loaded.append(&mut more.days);
            }
        }
    }

    /// Loads days and pages, all of the view's state.
    pub(super) async fn load(&self, lacking: &Lacking) -> Result<Loaded, ReadError> {
        let mut snapshot = self.snapshot.lock().await;
        let database = self.state.database();
        if self.basis.keeps_plan() {
            self.begin(&mut snapshot, lacking.dpus()).await?;
        }
        let position = snapshot.reached.position.clone();
        let (loaded, changes) = if let Some(transaction) = &snapshot.transaction {
            database.in_time(timelines::load(transaction, lacking, &position)).await?
        } else {
            let load = |connection| timelines::load(connection, lacking, &position).boxed();
            let is_new_enough = |(_, changes): &(_, Changes)| changes.revision >= self.plan.revision();
            database.read(self.is_long(), lacking.dpus(), load, is_new_enough).await?
        };
        self.go_on(&mut snapshot.reached, &changes).await?;
        self.state.keep(self.basis.since(&snapshot.reached), &loaded);
        Ok(loaded)
    }

    /// Returns the transaction on the view's state, for the caller's own statements about these DPUs.
    pub(super) async fn transaction(
        &self,
        dpus: impl IntoIterator<Item = i64>,
    ) -> Result<MappedMutexGuard<'_, DatabaseTransaction>, ReadError> {
        let mut snapshot = self.snapshot.lock().await;
        self.begin(&mut snapshot, dpus).await?;
        MutexGuard::try_map(snapshot, |snapshot| snapshot.transaction.as_mut())
            .map_err(|_| DbErr::Custom("the transaction is missing".to_owned()).into())
    }

    /// Reads everything in one transaction from now on, so that the view no longer moves.
    pub(super) async fn hold(&self, dpus: impl IntoIterator<Item = i64>) -> Result<(), ReadError> {
        let mut snapshot = self.snapshot.lock().await;
        self.begin(&mut snapshot, dpus).await
    }

    async fn begin(
        &self,
        snapshot: &mut Snapshot,
        dpus: impl IntoIterator<Item = i64>,
    ) -> Result<(), ReadError> {
        if snapshot.transaction.is_some() {
            return Ok(());
        }
        let (position, revision) = (snapshot.reached.position.clone(), self.plan.revision());
        let (transaction, changes) = self
            .state
            .database()
            .begin_reading_of(
                self.is_long(),
                dpus,
                |transaction| {
                    let position = position.clone();
                    async move { Changes::read(transaction, &position).await }.boxed()
                },
                |changes| changes.revision >= revision,
            )
            .await?;
        self.go_on(&mut snapshot.reached, &changes).await?;
        snapshot.transaction = Some(transaction);
        Ok(())
    }

    /// Moves on to the snapshot that these changes lead to, once memory has caught up with it.
    async fn go_on(&self, reached: &mut Reached, changes: &Changes) -> Result<(), ReadError> {
        let caught_up = self.state.catch_up(changes, None).await?;
        self.basis.go_on(reached, changes, caught_up)
    }

    pub(super) fn is_pruned(&self, day: Instant) -> bool {
        self.basis.is_pruned(day)
    }

    pub(super) fn page(&self, key: PageKey, extent: Extent) -> Option<timelines::Page> {
        self.state.timelines().page(key, extent, self.is_pruned(key.day))
    }

    pub fn is_long(&self) -> bool {
        self.is_long.load(Ordering::SeqCst)
    }

    /// Runs long work on the thread for long histories, when its turn comes.
    pub(super) async fn run_long<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, ReadError>> + Send + 'static,
    ) -> Result<T, ReadError> {
        self.is_long.store(true, Ordering::SeqCst);
        let _turn = if self.turn.is_none() { Some(self.heavy.turn().await?) } else { None };
        self.heavy.run(work).await
    }

    pub(super) fn state(&self) -> &Arc<State> {
        &self.state
    }
}
