//! The recorder: gathers the batches of all senders into shared commits (group commit).
//!
//! It never waits for a batch to fill: whatever has come in while one commit was under way makes the
//! next one. So a lone event costs one commit, and a crowd of senders shares them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant as Tick;

use entity::Instant;
use sea_orm::{DatabaseBackend, DbErr};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::{Instrument, Span};

use super::event::{Batch, Outcome};
use super::partitions::Partitions;
use super::record::{Recorded, Unrecorded, record};
use crate::clock::Clock;
use crate::coherence::{Kept, Teller};
use crate::database::Database;
use crate::floor_plan::FloorPlan;
use crate::telemetry::{SPANS, metrics};

/// How many batches may wait; further senders wait to hand theirs over.
const WAITING_BATCHES_MAX: usize = 1024;
/// A commit takes no further batch once it has this many events.
const COMMIT_EVENTS_MAX: usize = 20_000;

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

impl Recorder {
    /// Starts recording. It ends, after what was handed over, when the last clone of the recorder is gone.
    pub fn start(writer: Writer) -> (Self, JoinHandle<()>) {
        let (waiting, submissions) = mpsc::channel(WAITING_BATCHES_MAX);
        (Self { waiting }, tokio::spawn(writer.run(submissions)))
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
    /// Where events go.
    pub database: Database,
    /// By which DPUs are known, and which gains what is recorded.
    pub kept: Kept,
    /// By which events are received.
    pub clock: Clock,
    /// Who tells other processes.
    pub teller: Teller,
    /// Where events can go.
    pub partitions: Arc<Partitions>,
}

impl Writer {
    async fn run(self, mut submissions: mpsc::Receiver<Submission>) {
        while let Some(first) = submissions.recv().await {
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
            match self.commit(&Arc::new(batches)).instrument(span).await {
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
        self.teller.finish().await;
    }

    async fn commit(&self, batches: &Arc<Vec<Batch>>) -> Result<Vec<Vec<Outcome>>, DbErr> {
        let Kept { floor_plans, timelines, feed, .. } = &self.kept;
        let mut plan = floor_plans.newest(&self.database).await?;
        let unknown = |plan: &FloorPlan| {
            batches.iter().flatten().flatten().any(|crossing| plan.dpu_id(&crossing.serial).is_none())
        };
        if unknown(&plan) {
            // Another process may have made the DPU a moment ago.
            floor_plans.check(&self.database).await?;
            plan = floor_plans.newest(&self.database).await?;
        }
        let begun = Tick::now();
        let now = self.clock.now();
        let mut attempt = self.attempt(&plan, batches, now).await;
        if matches!(attempt, Err(Unrecorded::OldPlan)) {
            floor_plans.check(&self.database).await?;
            plan = floor_plans.newest(&self.database).await?;
            attempt = self.attempt(&plan, batches, now).await;
        }
        match attempt {
            Ok(Recorded { outcomes, commit }) => {
                let again = self.stored_before(&plan, batches, &outcomes);
                self.teller.recorded(commit.dpus().chain(again.iter().copied()));
                timelines.patch(commit);
                timelines.forget(again);
                feed.changed();
                metrics::committed(now, batches, &outcomes, begun.elapsed());
                Ok(outcomes)
            }
            Err(error) => {
                // It may have been done all the same: where the connection was lost, nobody can say.
                let dpus = dpus_of(&plan, batches);
                self.teller.recorded(dpus.iter().copied());
                timelines.forget(dpus);
                feed.changed();
                Err(error.into())
            }
        }
    }

    /// The DPUs with events that were stored before. PostgreSQL may have finished a commit whose connection was lost long
    /// after everybody was told that it may have been done; its senders send it again, and here it is.
    fn stored_before(&self, plan: &FloorPlan, batches: &[Batch], outcomes: &[Vec<Outcome>]) -> BTreeSet<i64> {
        if self.database.backend() != DatabaseBackend::Postgres {
            return BTreeSet::new();
        }
        let events = batches.iter().flatten().zip(outcomes.iter().flatten());
        let again = events.filter(|(_, outcome)| matches!(outcome, Outcome::Duplicate));
        again.filter_map(|(event, _)| plan.dpu_id(&event.as_ref().ok()?.serial)).collect()
    }

    /// Records and commits. Where the database does not answer in time, that comes to its end all the same, and what it
    /// may have changed is forgotten then.
    async fn attempt(
        &self,
        plan: &Arc<FloorPlan>,
        batches: &Arc<Vec<Batch>>,
        now: Instant,
    ) -> Result<Recorded, Unrecorded> {
        let (database, partitions) = (self.database.clone(), Arc::clone(&self.partitions));
        let mut commit = Box::pin(commit(database, partitions, Arc::clone(plan), Arc::clone(batches), now));
        match self.database.answered(&mut commit).await {
            Ok(recorded) => recorded,
            Err(late) => {
                let (kept, tells) = (self.kept.clone(), self.teller.tells());
                let dpus = dpus_of(plan, batches);
                tokio::spawn(async move {
                    commit.await.ok();
                    kept.timelines.forget(dpus.iter().copied());
                    tells.recorded(dpus);
                    kept.feed.changed();
                });
                Err(late.into())
            }
        }
    }
}

async fn commit(
    database: Database,
    partitions: Arc<Partitions>,
    plan: Arc<FloorPlan>,
    batches: Arc<Vec<Batch>>,
    now: Instant,
) -> Result<Recorded, Unrecorded> {
    // PostgreSQL records by one statement, which where there is a place for each event is a commit by itself.
    if database.backend() == DatabaseBackend::Postgres && partitions.hold(&batches) {
        return record(database.writer(), &partitions, &plan, now, &batches).await;
    }
    let transaction = database.begin().await?;
    let recorded = record(&transaction, &partitions, &plan, now, &batches).await?;
    transaction.commit().await?;
    Ok(recorded)
}

/// The DPUs that events are of, as far as they are known.
fn dpus_of(plan: &FloorPlan, batches: &[Batch]) -> BTreeSet<i64> {
    let serials = batches.iter().flatten().flatten().map(|crossing| &crossing.serial);
    serials.filter_map(|serial| plan.dpu_id(serial)).collect()
}
