//! What every handler shares.

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
    /// What is in memory of the database.
    pub state: Arc<State>,
    /// Answers questions about counts.
    pub counts: Counts,
    /// Who watches the counts.
    pub feed: Arc<Feed>,
    /// The tokens.
    pub tokens: Arc<Tokens>,
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
    /// Starts the background tasks.
    pub tasks: Tasks,
    /// How consuming goes, once this process consumes.
    pub broker: OnceLock<watch::Receiver<broker::Status>>,
}

/// What a service is started with.
#[derive(Debug)]
pub struct Options {
    /// How many bytes of timelines are kept in memory.
    pub memory_bytes: u64,
    /// The time of one core that the answer to a request may take.
    pub work_max: Duration,
    /// The first instant of events; older ones are rejected.
    pub earliest_event: Instant,
    /// What rows are called outside.
    pub ids: PublicIds,
    /// Who is let in.
    pub auth: Settings,
    /// Starts the background tasks.
    pub tasks: Tasks,
}

impl Options {
    /// So many bytes, rows called by their own ids, and everybody let in until there is a token.
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
    /// Starts the service over a database whose schema is up to date, with so many bytes of timelines in memory and
    /// rows called by their own ids.
    ///
    /// The handle ends once the last clone of the app is gone and everything handed over is recorded.
    pub fn start(database: Database, clock: Clock, memory_bytes: u64) -> (Arc<Self>, JoinHandle<()>) {
        Self::start_with(database, clock, Options::new(memory_bytes))
    }

    /// The same, as the options say.
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

    /// Who watches the counts.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// The floor plan as it is now.
    pub async fn floor_plan(&self) -> Result<Arc<FloorPlan>, DbErr> {
        Ok(Arc::clone(&self.state.newest().await?.plan))
    }

    /// Changes the floor plan: what `work` does in its transaction is done whole, or not at all.
    ///
    /// `work` is told the present instant, for `created` and `modified`.
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
                // A task of its own: the client may go away, and memory must have the change all the same. It is refreshed
                // after a failed commit, too: where the connection was lost, the database may have committed.
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
                // The reason is the answer, whether or not the connection can be used again.
                if let Err(error) = self.database.in_turn(transaction.rollback()).await.flatten() {
                    tracing::warn!(%error, "a change that was refused could not be rolled back");
                }
                Err(error)
            }
        }
    }
}
