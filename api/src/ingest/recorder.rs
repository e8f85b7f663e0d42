//! The recorder: gathers the batches of all senders into shared commits (group commit).
//!
//! It never waits for a batch to fill: whatever has come in while one commit was under way makes the
//! next one. So a lone event costs one commit, and a crowd of senders shares them.

use std::sync::Arc;
use std::time::{Duration, Instant as Tick};

use entity::{Instant, Timestamp};
use sea_orm::{DatabaseBackend, DbErr};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::{Instrument, Span};

use super::event::{Batch, Outcome, Summary};
use super::record::{Intake, Recorded, Unrecorded, instant, record};
use crate::clock::Clock;
use crate::database::{self, Failure, Notifier, Partitions};
use crate::floor_plan::FloorPlan;
use crate::state::State;
use crate::tasks::Tasks;
use crate::telemetry::{SPANS, metrics};

/// How many batches may wait; further senders wait to hand theirs over.
const WAITING_BATCHES_MAX: usize = 1024;
/// A commit takes no further batch once it has this many events.
const COMMIT_EVENTS_MAX: usize = 20_000;
/// How often a commit is tried again because the floor plan has changed while it was made.
const ATTEMPTS_MAX: usize = 10;

/// Where batches are handed over.
#[derive(Clone, Debug)]
pub struct Recorder {
    waiting: mpsc::Sender<Submission>,
}

/// A batch and who waits to hear about it.
struct Submission {
    batch: Batch,
    answer: oneshot::Sender<Result<Vec<Outcome>, RecordError>>,
    /// On whose behalf it is recorded, for traces.
    cause: Span,
}

/// Why a batch was not recorded. Nothing of it is stored; it may be sent again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RecordError {
    /// The database failed.
    #[error("the events could not be recorded: {0}")]
    Database(Arc<DbErr>),
    /// The server is stopping.
    #[error("the server is stopping: send the events again")]
    Stopping,
}

impl RecordError {
    /// Whether the same batch may be recorded a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database(cause) => Failure::of(cause).is_transient(),
            Self::Stopping => true,
        }
    }
}

impl Recorder {
    /// Starts recording. It ends, after what was handed over, when the last clone of the recorder is gone.
    pub fn start(writer: Writer, tasks: &Tasks) -> (Self, JoinHandle<()>) {
        let (waiting, submissions) = mpsc::channel(WAITING_BATCHES_MAX);
        (Self { waiting }, tasks.spawn("recorder", writer.run(submissions)))
    }

    /// Records a batch and says what became of each event, in the batch's order, after the commit.
    pub async fn record(&self, batch: Batch) -> Result<Vec<Outcome>, RecordError> {
        let (answer, outcomes) = oneshot::channel();
        self.waiting
            .send(Submission { batch, answer, cause: Span::current() })
            .await
            .map_err(|_| RecordError::Stopping)?;
        outcomes.await.map_err(|_| RecordError::Stopping)?
    }
}

/// What the recorder works with.
#[derive(Debug)]
pub struct Writer {
    /// Where events go, and what gains them.
    pub state: Arc<State>,
    /// By which events are received.
    pub clock: Clock,
    /// The first instant of events; older ones are rejected.
    pub earliest: Instant,
    /// Notifies other processes.
    pub notifier: Notifier,
    /// Where events can go.
    pub partitions: Arc<Partitions>,
}

impl Writer {
    async fn run(self, mut submissions: mpsc::Receiver<Submission>) {
        let mut tidied = Tick::now();
        while let Some(first) = submissions.recv().await {
            if tidied.elapsed() > database::KEPT / 3 {
                tidied = Tick::now();
                self.tidy().await;
            }
            let (mut batches, mut answers) = (vec![first.batch], vec![first.answer]);
            // In the trace of the first of those who share it; the others' traces point to it.
            let span = tracing::info_span!(target: SPANS, parent: &first.cause, "commit");
            let mut events = batches[0].len();
            while events < COMMIT_EVENTS_MAX
                && let Ok(next) = submissions.try_recv()
            {
                events += next.batch.len();
                span.follows_from(&next.cause);
                batches.push(next.batch);
                answers.push(next.answer);
            }
            let committed = self.commit(&Arc::new(batches)).instrument(span).await;
            self.state.database().commit_ended(committed.is_ok());
            match committed {
                // A sender that has gone away hears nothing; its events are stored all the same.
                Ok(outcomes) => answers.into_iter().zip(outcomes).for_each(|(answer, outcomes)| {
                    answer.send(Ok(outcomes)).ok();
                }),
                Err(error) => {
                    self.partitions.forget();
                    metrics::commit_failed();
                    let error = Arc::new(error);
                    tracing::error!(%error, events, "a commit of events failed");
                    for answer in answers {
                        answer.send(Err(RecordError::Database(Arc::clone(&error)))).ok();
                    }
                }
            }
        }
        self.notifier.finish().await;
    }

    /// Deletes the rows of the change log that nobody needs any more.
    async fn tidy(&self) {
        let database = self.state.database();
        if let Err(error) = database.in_time(database::tidy(database.writer())).await {
            tracing::warn!(%error, "old rows of the change log could not be deleted");
        }
    }

    async fn commit(&self, batches: &Arc<Vec<Batch>>) -> Result<Vec<Vec<Outcome>>, DbErr> {
        let mut plan = Arc::clone(&self.state.newest().await?.plan);
        let mut serials = batches.iter().flatten().flatten().map(|crossing| &crossing.serial);
        if serials.any(|serial| plan.dpu_id(serial).is_none()) {
            // Another process may have made the DPU a moment ago.
            self.state.refresh().await?;
            plan = Arc::clone(&self.state.newest().await?.plan);
        }
        let begun = Tick::now();
        let now = self.clock.now();
        let mut attempt = self.attempt(&plan, batches, now).await;
        for _ in 1..ATTEMPTS_MAX {
            if !matches!(attempt, Err(Unrecorded::OldPlan)) {
                break;
            }
            // None that the transaction has made is there.
            self.partitions.forget();
            self.state.refresh().await?;
            plan = Arc::clone(&self.state.newest().await?.plan);
            attempt = self.attempt(&plan, batches, now).await;
        }
        let Recorded { outcomes, id, patch } = attempt?;
        if let Some(id) = id {
            self.notifier.recorded();
            self.state.committed(id, patch);
        }
        if outcomes.iter().flatten().any(|outcome| matches!(outcome, Outcome::Duplicate)) {
            // Another process may have stored them a moment ago, and the sender is told that they are stored.
            self.state.refresh().await?;
        }
        observe(now, &plan, batches, &outcomes, begun.elapsed());
        Ok(outcomes)
    }

    /// Tries to record the batches within the time that the database has to answer.
    async fn attempt(
        &self,
        plan: &Arc<FloorPlan>,
        batches: &Arc<Vec<Batch>>,
        now: Instant,
    ) -> Result<Recorded, Unrecorded> {
        let Self { state, partitions, .. } = self;
        let intake = Intake { id: state.next_commit(), now, earliest: self.earliest };
        let committing =
            commit(Arc::clone(state), Arc::clone(partitions), Arc::clone(plan), intake, Arc::clone(batches));
        // A task of its own: what was begun goes on to its end, whether it is in time or not.
        let mut committing = tokio::spawn(committing.in_current_span());
        match state.database().answered(&mut committing).await {
            Ok(Ok(Err(Unrecorded::OldPlan))) => Err(Unrecorded::OldPlan),
            Ok(Ok(Ok(recorded))) => Ok(recorded),
            Ok(Ok(Err(error))) => {
                // It may have been done all the same: where the connection was lost, nobody can say.
                state.change_writer();
                Self::refresh_soon(Arc::clone(state));
                Err(error)
            }
            Ok(Err(panicked)) => {
                state.change_writer();
                Err(DbErr::Custom(panicked.to_string()).into())
            }
            Err(late) => {
                state.change_writer();
                let state = Arc::clone(state);
                tokio::spawn(async move {
                    committing.await.ok();
                    Self::refresh_soon(state);
                });
                Err(late.into())
            }
        }
    }

    /// Makes what may have been committed known.
    fn refresh_soon(state: Arc<State>) {
        tokio::spawn(async move {
            if let Err(error) = state.refresh().await {
                tracing::warn!(%error, "whether a commit was made is not known yet");
            }
        });
    }
}

async fn commit(
    state: Arc<State>,
    partitions: Arc<Partitions>,
    plan: Arc<FloorPlan>,
    intake: Intake,
    batches: Arc<Vec<Batch>>,
) -> Result<Recorded, Unrecorded> {
    let database = state.database();
    // PostgreSQL records by one statement, which where there is a place for each event is a commit by itself.
    if database.backend() == DatabaseBackend::Postgres && partitions.hold(timestamps(&batches)) {
        return record(database.writer(), &partitions, &plan, intake, &batches).await;
    }
    let transaction = database.begin().await?;
    let recorded = record(&transaction, &partitions, &plan, intake, &batches).await?;
    transaction.commit().await?;
    Ok(recorded)
}

/// The timestamps of the events that can be recorded.
fn timestamps(batches: &[Batch]) -> impl Iterator<Item = Timestamp> {
    batches.iter().flatten().flatten().map(|crossing| crossing.ts)
}

/// Counts a commit for the metrics.
fn observe(now: Instant, plan: &FloorPlan, batches: &[Batch], outcomes: &[Vec<Outcome>], took: Duration) {
    let mut summary = Summary::default();
    for (sent, outcome) in batches.iter().flatten().zip(outcomes.iter().flatten()) {
        summary.add(outcome);
        match (sent, outcome) {
            (Ok(crossing), Outcome::Accepted) => {
                if let Ok(ts) = instant(plan, crossing) {
                    metrics::received(now.ms().saturating_sub(ts.ms()));
                }
            }
            (_, Outcome::Rejected(rejection)) => metrics::rejected(rejection.code.name()),
            _ => {}
        }
    }
    metrics::committed(summary.accepted, summary.duplicates, summary.rejected, took);
}
