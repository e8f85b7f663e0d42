//! The service that all handlers share.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use entity::Instant;
use futures::future::BoxFuture;
use sea_orm::{DatabaseTransaction, DbErr};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::auth::{Door, Settings, Tokens};
use crate::broker;
use crate::clock::Clock;
use crate::coherence::{Coherence, Notifier};
use crate::counts::{self, Counts};
use crate::database::Database;
use crate::feed::Feed;
use crate::floor_plan::changes::Turn;
use crate::floor_plan::{ChangeError, FloorPlan};
use crate::ids::PublicIds;
use crate::ingest::{EARLIEST, Recorder, Writer};
use crate::readiness::Readiness;
use crate::state::State;
use crate::tasks::Tasks;
use crate::telemetry::metrics;

/// The running service, without any interface to it.
#[derive(Debug)]
pub struct App {
    /// The database.
    pub database: Database,
    /// What is cached of the database.
    pub state: Arc<State>,
    /// Answers questions about counts.
    pub counts: Counts,
    /// Live counts for subscribers.
    pub feed: Arc<Feed>,
    /// The tokens.
    pub tokens: Arc<Tokens>,
    /// The only writer of events.
    pub recorder: Recorder,
    /// Commits of other processes.
    pub coherence: Coherence,
    /// The clock.
    pub clock: Clock,
    /// Authentication of requests.
    pub door: Door,
    /// Public ids.
    pub ids: PublicIds,
    /// Readiness checks.
    pub readiness: Readiness,
    /// Starts the background tasks.
    pub tasks: Tasks,
    /// Status of the consumer, once this process consumes.
    pub broker: OnceLock<watch::Receiver<broker::Status>>,
}

/// Options of a service.
#[derive(Debug)]
pub struct Options {
    /// Maximum size of the cache of timelines, in bytes.
    pub memory_bytes: u64,
    /// Maximum time of one core for the answer to a request.
    pub work_max: Duration,
    /// Earliest accepted instant; older events are rejected.
    pub earliest_event: Instant,
    /// Public ids.
    pub ids: PublicIds,
    /// Settings of authentication.
    pub auth: Settings,
    /// Starts the background tasks.
    pub tasks: Tasks,
}

impl Options {
    /// Returns options with a cache of this many bytes, rows' own ids, and access for everyone until there is a token.
    pub fn new(memory_bytes: u64) -> Self {
        Self {
            memory_bytes,
            work_max: counts::WORK_DEFAULT,
            earliest_event: EARLIEST,
            ids: PublicIds::plain(),
            auth: Settings::default(),
            tasks: Tasks::default(),
        }
    }
}

impl App {
    /// Starts the service on a database whose schema is up to date, with this many bytes of timelines in memory, and
    /// rows' own ids.
    ///
    /// The handle ends once the last clone of the app has been dropped and all received events are recorded.
    pub fn start(database: Database, clock: Clock, memory_bytes: u64) -> (Arc<Self>, JoinHandle<()>) {
        Self::start_with(database, clock, Options::new(memory_bytes))
    }

    /// Starts the service with options.
    pub fn start_with(database: Database, clock: Clock, options: Options) -> (Arc<Self>, JoinHandle<()>) {
        let Options { memory_bytes, work_max, earliest_event, ids, auth, tasks } = options;
        metrics::start();
        let state = Arc::new(State::new(database.clone(), memory_bytes));
        let counts = Counts::new(Arc::clone(&state), work_max);
        let tokens = Arc::new(Tokens::new(auth.token_rate));
        let writer = Writer {
            state: Arc::clone(&state),
            clock: clock.clone(),
            earliest: earliest_event,
            notifier: Notifier::start(&database, &tasks),
            partitions: Arc::default(),
        };
        let coherence = Coherence::start(&state, Arc::clone(&tokens), &tasks);
        let (recorder, recording) = Recorder::start(writer, &tasks);
        let readiness = Readiness::default();
        database.add_checks(&readiness);
        coherence.add_check(&readiness);
        tasks.add_check(&readiness);
        let feed = Arc::new(Feed::new(&state));
        let (door, broker) = (Door::new(auth, &database, &tasks), OnceLock::new());
        let app = Self {
            database,
            state,
            counts,
            feed,
            tokens,
            recorder,
            coherence,
            clock,
            door,
            ids,
            readiness,
            tasks,
            broker,
        };
        (Arc::new(app), recording)
    }

    /// Returns the live counts.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// Returns the floor plan as it is now.
    pub async fn floor_plan(&self) -> Result<Arc<FloorPlan>, DbErr> {
        Ok(Arc::clone(&self.state.newest().await?.plan))
    }

    /// Changes the floor plan: what `work` does in its transaction is done completely or not at all.
    ///
    /// `work` gets the present instant, for `created` and `modified`.
    pub async fn change<T: Send>(
        &self,
        work: impl for<'t> FnOnce(&'t DatabaseTransaction, Instant) -> BoxFuture<'t, Result<T, ChangeError>>,
    ) -> Result<T, ChangeError> {
        let transaction = self.database.in_time(self.database.begin()).await?;
        let changing = async {
            let turn = Turn::take(&transaction).await?;
            let done = work(&transaction, self.clock.now()).await?;
            turn.end(&transaction).await?;
            Ok(done)
        };
        match self.database.in_time(changing).await {
            Ok(done) => {
                let state = Arc::clone(&self.state);
                // A separate task: the client may disconnect, but memory must get the change. It is also refreshed
                // after a failed commit: if the connection was lost, the database may have committed.
                let committing = tokio::spawn(async move {
                    let committed = transaction.commit().await;
                    let refreshed = state.refresh().await;
                    committed.and(refreshed)
                });
                let committed = self.database.answered(committing).await?;
                committed.map_err(|error| DbErr::Custom(error.to_string()))??;
                Ok(done)
            }
            Err(error) => {
                // The client gets the reason, whether or not the connection can be used again.
                if let Err(error) = self.database.in_turn(transaction.rollback()).await.flatten() {
                    tracing::warn!(%error, "a change that was refused could not be rolled back");
                }
                Err(error)
            }
        }
    }
}
