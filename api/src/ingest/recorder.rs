//! The recorder: gathers the batches of all senders into shared commits (group commit).
//!
//! It never waits for a batch to fill: whatever has come in while one commit was under way makes the
//! next one. So a lone event costs one commit, and a crowd of senders shares them.

use sea_orm::DbErr;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::event::{Batch, Outcome};
use super::partitions::Partitions;
use super::record::record;
use crate::clock::Clock;
use crate::coherence::{Kept, Teller};
use crate::database::Database;
use crate::floor_plan::FloorPlan;

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
        self.waiting.send(Submission { batch, answer }).await.map_err(|_| RecordError::Stopping)?;
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
    pub partitions: Partitions,
}

impl Writer {
    async fn run(self, mut submissions: mpsc::Receiver<Submission>) {
        while let Some(first) = submissions.recv().await {
            let (mut batches, mut answers) = (vec![first.batch], vec![first.answer]);
            let mut events = batches[0].len();
            while events < COMMIT_EVENTS_MAX
                && let Ok(next) = submissions.try_recv()
            {
                events += next.batch.len();
                batches.push(next.batch);
                answers.push(next.answer);
            }
            match self.commit(&batches).await {
                // A sender that has gone away hears nothing; its events are stored all the same.
                Ok(outcomes) => answers.into_iter().zip(outcomes).for_each(|(answer, outcomes)| {
                    answer.send(Ok(outcomes)).ok();
                }),
                Err(error) => {
                    self.partitions.forget();
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

    async fn commit(&self, batches: &[Batch]) -> Result<Vec<Vec<Outcome>>, DbErr> {
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
        let transaction = self.database.begin().await?;
        let recorded = record(&transaction, &self.partitions, &plan, self.clock.now(), batches).await?;
        let committed = transaction.commit().await;
        self.teller.recorded(recorded.commit.dpus());
        match &committed {
            Ok(()) => timelines.patch(recorded.commit),
            // It may have been done all the same: where the connection was lost, nobody can say.
            Err(_) => timelines.forget(recorded.commit.dpus()),
        }
        feed.changed();
        committed.map(|()| recorded.outcomes)
    }
}
