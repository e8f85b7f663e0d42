//! The recorder: gathers the batches of all senders into shared commits (group commit).
//!
//! It never waits for a batch to fill: the batches that arrive during one commit make up the next one. So a lone event
//! takes one commit, and many senders share commits.

use std::sync::Arc;
use std::time::{Duration, Instant as Tick};

use ahash::AHashMap;
use entity::{Instant, Timestamp};
use sea_orm::{DatabaseBackend, DbErr};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::{Instrument, Span};

use super::check::{Intake, Unrecorded};
use super::event::{Outcome, OutcomeCounts};
use super::record::{Recorded, record};
use super::report::{Batch, Heartbeat, Report};
use crate::clock::Clock;
use crate::database::{self, Failure, Notifier, Partitions};
use crate::floor_plan::FloorPlan;
use crate::health::{Heard, Hearings};
use crate::state::State;
use crate::tasks::{self, Tasks};
use crate::telemetry::{SPANS, metrics};

/// Maximum number of waiting batches; further senders wait until there is room.
const WAITING_BATCHES_MAX: usize = 1024;
/// A commit takes no further batch once it has this many events.
const COMMIT_EVENTS_MAX: usize = 20_000;
/// Maximum number of attempts at a commit while the floor plan keeps changing.
const ATTEMPTS_MAX: usize = 10;
/// Maximum time at the end for storing when DPUs were last heard of.
const HEARINGS_MAX: Duration = Duration::from_millis(250);

#[derive(Clone, Debug)]
pub struct Recorder {
    waiting: mpsc::Sender<Submission>,
}

struct Submission {
    batch: Batch,
    answer: oneshot::Sender<Result<Vec<Outcome>, RecordError>>,
    /// Span of the request that sent it, for traces.
    cause: Span,
}

/// Reasons why a batch was not recorded, or is not known to be. It may be sent again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RecordError {
    #[error("the events could not be recorded: {0}")]
    Database(Arc<DbErr>),
    #[error("the server is stopping: send the events again")]
    Stopping,
}

impl RecordError {
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database(cause) => Failure::of(cause).is_transient(),
            Self::Stopping => true,
        }
    }
}

impl Recorder {
    /// Starts the recorder. It ends when its last clone has been dropped and all batches are recorded.
    pub fn start(writer: Writer, tasks: &Tasks) -> (Self, JoinHandle<()>) {
        let (waiting, submissions) = mpsc::channel(WAITING_BATCHES_MAX);
        (Self { waiting }, tasks.spawn("recorder", writer.run(submissions)))
    }

    /// Records a batch. Returns the outcome of each event, in the batch's order, after the commit.
    pub async fn record(&self, batch: Batch) -> Result<Vec<Outcome>, RecordError> {
        let (answer, outcomes) = oneshot::channel();
        self.waiting
            .send(Submission { batch, answer, cause: Span::current() })
            .await
            .map_err(|_| RecordError::Stopping)?;
        outcomes.await.map_err(|_| RecordError::Stopping)?
    }
}

#[derive(Debug)]
pub struct Writer {
    pub state: Arc<State>,
    pub clock: Clock,
    pub earliest: Instant,
    pub notifier: Notifier,
    pub partitions: Arc<Partitions>,
    pub hearings: Hearings,
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
            // The commit is in the trace of its first request, and linked to those of the others.
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
            tasks::ran();
            match committed {
                // A sender that has disconnected gets no answer; its events are stored all the same.
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
        // Reports matter more: a database that is busy does not delay the end of the process.
        tokio::time::timeout(HEARINGS_MAX, self.hearings.write()).await.ok();
        self.notifier.finish().await;
    }

    /// Deletes the rows of the change log that are no longer needed.
    async fn tidy(&self) {
        let database = self.state.database();
        if let Err(error) = database.in_time(database::tidy(database.writer())).await {
            tracing::warn!(%error, "old rows of the change log could not be deleted");
        }
    }

    async fn commit(&self, batches: &Arc<Vec<Batch>>) -> Result<Vec<Vec<Outcome>>, DbErr> {
        let mut plan = Arc::clone(&self.state.newest().await?.plan);
        let mut serials = batches.iter().flatten().flatten().map(Report::serial);
        if serials.any(|serial| plan.dpu_id(serial).is_none()) {
            // Another process may have created the DPU a moment ago.
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
            // The partitions that the transaction has created were rolled back.
            self.partitions.forget();
            self.state.refresh().await?;
            plan = Arc::clone(&self.state.newest().await?.plan);
            attempt = self.attempt(&plan, batches, now).await;
        }
        let Recorded { outcomes, id, patch, told } = attempt?;
        if let Some(id) = id {
            self.notifier.recorded();
            self.state.committed(id, patch);
        }
        if outcomes.iter().flatten().any(|outcome| matches!(outcome, Outcome::Duplicate)) {
            // Another process may have stored them a moment ago. Counts must include them before the sender gets its
            // answer.
            self.state.refresh().await?;
        }
        self.hearings.hear(hear(now, &plan, batches, &told));
        observe(now, &outcomes, &told, begun.elapsed());
        Ok(outcomes)
    }

    /// Tries to record the batches within the time limit for answers of the database.
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
        // A separate task: a commit that has begun is finished even after the time limit.
        let mut committing = tokio::spawn(committing.in_current_span());
        match state.database().answered(&mut committing).await {
            Ok(Ok(Err(Unrecorded::OldPlan))) => Err(Unrecorded::OldPlan),
            Ok(Ok(Ok(recorded))) => Ok(recorded),
            Ok(Ok(Err(error))) => {
                // It may have been committed all the same: after a lost connection this is not known.
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

    /// Refreshes the state in the background, since the events may have been committed.
    fn refresh_soon(state: Arc<State>) {
        tokio::spawn(async move {
            if let Err(error) = state.refresh().await {
                tracing::warn!(%error, "cannot check whether a failed commit was made");
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
    // PostgreSQL records crossings by one statement, which needs no transaction if the partition of every event exists.
    let are_crossings = || {
        let mut reports = batches.iter().flatten().flatten();
        reports.all(|report| matches!(report, Report::Crossing(_) | Report::Heartbeat(_)))
    };
    if database.backend() == DatabaseBackend::Postgres
        && are_crossings()
        && partitions.hold(timestamps(&batches))
    {
        return record(database.writer(), &partitions, &plan, intake, &batches).await;
    }
    let transaction = database.begin().await?;
    let recorded = record(&transaction, &partitions, &plan, intake, &batches).await?;
    transaction.commit().await?;
    Ok(recorded)
}

/// The timestamps of the events that can be recorded.
fn timestamps(batches: &[Batch]) -> impl Iterator<Item = Timestamp> {
    batches.iter().flatten().flatten().filter_map(Report::ts)
}

/// The DPU of each report, and the instant until which it tells what happened; `None`: the report is invalid.
type Told = [Option<(i64, Option<Instant>)>];

fn observe(now: Instant, outcomes: &[Vec<Outcome>], told: &Told, took: Duration) {
    let mut summary = OutcomeCounts::default();
    for (outcome, told) in outcomes.iter().flatten().zip(told) {
        summary.add(outcome);
        match (outcome, told) {
            (Outcome::Accepted, Some((_, Some(ts)))) => metrics::received(now.ms().saturating_sub(ts.ms())),
            (Outcome::Rejected(rejection), _) => metrics::rejected(rejection.code.name()),
            _ => {}
        }
    }
    metrics::committed(summary.accepted, summary.duplicates, summary.rejected, took);
}

/// Returns what was heard of DPUs.
fn hear(now: Instant, plan: &FloorPlan, batches: &[Batch], told: &Told) -> AHashMap<i64, Heard> {
    let mut all: AHashMap<i64, Heard> = AHashMap::new();
    for (sent, told) in batches.iter().flatten().zip(told) {
        let Ok(report) = sent else { continue };
        // An invalid report is a sign of life, too, but its time is worth nothing.
        let (dpu, ts) = match told {
            Some((dpu, ts)) => (*dpu, *ts),
            None => match plan.dpu_id(report.serial()) {
                Some(dpu) => (dpu, None),
                None => continue,
            },
        };
        let heard = all.entry(dpu).or_insert_with(|| Heard::at(now));
        heard.known_until = heard.known_until.max(ts);
        heard.clock_offset_ms = heard.clock_offset_ms.max(ts.map(|ts| ts.ms().saturating_sub(now.ms())));
        if let Report::Heartbeat(Heartbeat { clock, battery, faults, .. }) = report {
            (heard.battery, heard.faults) = (*battery, faults.clone());
            // What a device sends may count by another clock than its own.
            let offset_ms = clock.map(|clock| clock.ms().saturating_sub(now.ms()));
            heard.clock_offset_ms = offset_ms.or(heard.clock_offset_ms);
        }
    }
    all
}
