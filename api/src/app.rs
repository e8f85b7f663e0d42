//! What every handler shares.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use entity::Instant;
use entity::event::{self, Direction};
use futures::FutureExt;
use futures::future::BoxFuture;
use sea_orm::{DatabaseTransaction, DbErr};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::auth::{Door, Settings, Tokens};
use crate::broker;
use crate::clock::Clock;
use crate::coherence::{Coherence, Kept, Node, Teller};
use crate::counting::{Bucket, Crossings, Reading, Stretch};
use crate::database::Database;
use crate::feed::Feed;
use crate::floor_plan::{ChangeError, FloorPlan, FloorPlans, Space, changes};
use crate::ids::PublicIds;
use crate::ingest::{Recorder, Writer};
use crate::readiness::Readiness;
use crate::telemetry::metrics;
use crate::timelines::{self, EventPage, EventRange, Timelines};

/// The running service, without any interface to it.
#[derive(Debug)]
pub struct App {
    /// The database.
    pub database: Database,
    /// What is in memory of the database.
    pub kept: Kept,
    /// The only writer of events.
    pub recorder: Recorder,
    /// What other processes commit.
    pub coherence: Coherence,
    /// What time it is.
    pub clock: Clock,
    /// Who is let in.
    pub door: Door,
    /// What rows are called outside.
    pub ids: PublicIds,
    /// What must hold for the service to be ready.
    pub readiness: Readiness,
    /// How consuming goes, once this process consumes.
    pub broker: OnceLock<watch::Receiver<broker::Status>>,
}

/// What a service is started with.
#[derive(Debug)]
pub struct Options {
    /// How many bytes of timelines are kept in memory.
    pub memory_bytes: u64,
    /// What rows are called outside.
    pub ids: PublicIds,
    /// Who is let in.
    pub auth: Settings,
}

impl Options {
    /// So many bytes, rows called by their own ids, and everybody let in until there is a token.
    pub fn new(memory_bytes: u64) -> Self {
        Self { memory_bytes, ids: PublicIds::plain(), auth: Settings::default() }
    }
}

impl App {
    /// Starts the service over a database whose schema is up to date, with so many bytes of timelines in memory and
    /// rows called by their own ids.
    ///
    /// The handle ends once the last clone of the app is gone and everything handed over is recorded.
    pub fn start(database: Database, clock: Clock, memory_bytes: u64) -> (Arc<Self>, JoinHandle<()>) {
        Self::start_with(database, clock, Options::new(memory_bytes))
    }

    /// The same, as the options say.
    pub fn start_with(database: Database, clock: Clock, options: Options) -> (Arc<Self>, JoinHandle<()>) {
        let Options { memory_bytes, ids, auth } = options;
        metrics::start();
        let kept = Kept {
            floor_plans: Arc::new(FloorPlans::new()),
            timelines: Arc::new(Timelines::new(memory_bytes).with_standby(database.standby().cloned())),
            feed: Arc::new(Feed::new()),
            tokens: Arc::new(Tokens::new(auth.token_rate)),
        };
        let node = Node::new();
        let writer = Writer {
            database: database.clone(),
            kept: kept.clone(),
            clock: clock.clone(),
            teller: Teller::start(&database, node),
            partitions: Arc::default(),
        };
        let coherence = Coherence::start(&database, kept.clone(), node);
        let (recorder, recording) = Recorder::start(writer);
        let readiness = Readiness::default();
        database.add_checks(&readiness);
        coherence.add_check(&readiness);
        let (door, broker) = (Door::new(auth, &database), OnceLock::new());
        let app = Self { database, kept, recorder, coherence, clock, door, ids, readiness, broker };
        (Arc::new(app), recording)
    }

    /// Who watches the counts.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.kept.feed
    }

    /// The floor plan as it is now.
    pub async fn floor_plan(&self) -> Result<Arc<FloorPlan>, DbErr> {
        if !self.coherence.hears() {
            self.kept.floor_plans.forget();
        }
        let plan = self.kept.floor_plans.newest(&self.database).await?;
        if let Some(until) = plan.digested() {
            self.kept.timelines.digested(until);
        }
        Ok(plan)
    }

    /// Changes the floor plan: what `work` does in its transaction is done whole, or not at all.
    ///
    /// `work` is told the present instant, for `created` and `modified`.
    pub async fn change<T: Send>(
        &self,
        work: impl for<'t> FnOnce(&'t DatabaseTransaction, Instant) -> BoxFuture<'t, Result<T, ChangeError>>,
    ) -> Result<T, ChangeError> {
        let transaction = self.database.begin().await?;
        let changing = async {
            changes::take_turn(&transaction).await?;
            work(&transaction, self.clock.now()).await
        };
        match self.database.in_time(changing).await {
            Ok(done) => {
                let kept = self.kept.clone();
                // A task of its own: whoever asked may go away, and the plan is forgotten all the same. So it is if
                // the commit fails, which may have been done where the connection was lost.
                let committing = tokio::spawn(async move {
                    let committed = transaction.commit().await;
                    kept.floor_plans.forget();
                    kept.feed.changed();
                    committed
                });
                let committed = self.database.answered(committing).await?;
                committed.map_err(|error| DbErr::Custom(error.to_string()))??;
                Ok(done)
            }
            Err(error) => {
                self.database.in_turn(transaction.rollback()).await??;
                Err(error)
            }
        }
    }

    /// What the odometer shows, if that is in memory.
    pub fn odometer(&self, reading: Reading) -> Option<Crossings> {
        if self.coherence.hears() { self.kept.timelines.show(reading) } else { None }
    }

    /// Reads odometers.
    pub async fn odometers(&self, readings: &[Reading]) -> Result<HashMap<Reading, Crossings>, DbErr> {
        if !self.coherence.hears() {
            self.kept.timelines.forget_all();
        }
        self.kept.timelines.read(&self.database, readings).await
    }

    /// Reads the crossings of stretches of odometers, in ascending order of their instants.
    pub async fn crossings(
        &self,
        stretches: &[Stretch],
    ) -> Result<HashMap<Stretch, Vec<(Instant, Direction)>>, DbErr> {
        let dpus = stretches.iter().map(|stretch| stretch.dpu);
        self.database.read(dpus, |connection| timelines::crossings(connection, stretches).boxed()).await
    }

    /// Reads the last event of stretches of odometers, where there is one.
    pub async fn last_events(&self, stretches: &[Stretch]) -> Result<HashMap<Stretch, event::Model>, DbErr> {
        let dpus = stretches.iter().map(|stretch| stretch.dpu);
        self.database.read(dpus, |connection| timelines::last_events(connection, stretches).boxed()).await
    }

    /// Reads pages of events.
    pub async fn events(&self, pages: &[EventPage]) -> Result<HashMap<EventPage, Vec<event::Model>>, DbErr> {
        let dpus = pages.iter().map(|page| page.range.dpu);
        self.database.read(dpus, |connection| timelines::event_pages(connection, pages).boxed()).await
    }

    /// Counts events.
    pub async fn event_counts(&self, ranges: &[EventRange]) -> Result<HashMap<EventRange, i64>, DbErr> {
        let dpus = ranges.iter().map(|range| range.dpu);
        self.database.read(dpus, |connection| timelines::event_counts(connection, ranges).boxed()).await
    }

    /// The history of a space in the buckets between the edges, as the space wants counts answered.
    pub async fn history(&self, space: &Space, edges: Vec<Instant>) -> Result<Vec<Bucket>, DbErr> {
        let history = space.history(edges);
        let readings: Vec<_> = history.before().readings().collect();
        let odometers = self.odometers(&readings).await?;
        let stretches: Vec<_> = history.stretches().collect();
        let crossings = self.crossings(&stretches).await?;
        let before = history.before().net(|reading| odometers[&reading]);
        Ok(history.buckets(before, |stretch| &crossings[&stretch], |net| space.answer(net)))
    }

    /// How many people are in the space at `at`, as the space wants it answered.
    pub async fn count(&self, space: &Space, at: Instant) -> Result<i64, DbErr> {
        let account = space.account(at);
        if let Some(net) = account.try_net(|reading| self.odometer(reading)) {
            return Ok(space.answer(net));
        }
        let readings: Vec<_> = account.readings().collect();
        let odometers = self.odometers(&readings).await?;
        Ok(space.answer(account.net(|reading| odometers[&reading])))
    }
}
