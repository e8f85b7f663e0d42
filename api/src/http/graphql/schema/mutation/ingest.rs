//! The mutations that record what DPUs report.

use async_graphql::{Context, InputObject, Object, SimpleObject};

use crate::http::graphql::limits::{DeclaredEntries, Entries};
use crate::http::graphql::request::error::Result;
use crate::http::graphql::request::scope::Scope;
use crate::http::graphql::schema::enums::{Direction, RejectionCode};
use crate::http::graphql::schema::scalars::DateTime;
use crate::ingest::report::TOTAL_MAX;
use crate::ingest::{
    Batch, Crossing, IntervalReport, Outcome, Rejection, RejectionCode as Code, Report, TotalsReport,
};

/// How many entries the mutations of this file have.
pub(in crate::http::graphql) const ENTRIES: DeclaredEntries = &[
    ("ingest", Entries::Events("events")),
    ("ingestIntervals", Entries::Events("intervals")),
    ("ingestTotals", Entries::Events("totals")),
];
/// How many entries the fields of a payload have: the batch has been counted already.
pub(in crate::http::graphql) const PAYLOAD_ENTRIES: DeclaredEntries = &[("rejected", Entries::Fixed(1))];

#[derive(Default)]
pub(in crate::http::graphql) struct IngestMutation;

/// Input for recording a crossing.
#[derive(InputObject)]
struct EventInput {
    /// The serial of the DPU.
    dpu: String,
    /// When it happened, by the DPU's clock. Without `Z` or an offset, it is in the DPU's time zone.
    ts: DateTime,
    /// The direction in which the person walked.
    direction: Direction,
    /// Distinguishes people who crossed in the same millisecond: 0 or more. Default, also for null: 0.
    #[graphql(default = 0)]
    seq: Option<i32>,
}

/// Input for recording how many people crossed in an interval.
#[derive(InputObject)]
struct IntervalInput {
    /// The serial of the DPU, which must report intervals.
    dpu: String,
    /// Start, inclusive. Without `Z` or an offset, it is in the DPU's time zone.
    from: DateTime,
    /// End, exclusive: at most 24 hours later. Without `Z` or an offset, it is in the DPU's time zone.
    to: DateTime,
    /// Number of people who walked towards the DPU: 0 to 1000000.
    toward: i32,
    /// Number of people who walked away from it: 0 to 1000000.
    away: i32,
    /// Replace the numbers that are stored for the same interval.
    #[graphql(default)]
    revise: bool,
}

/// Input for recording the running totals of a DPU.
#[derive(InputObject)]
struct TotalInput {
    /// The serial of the DPU, which must report totals.
    dpu: String,
    /// When they were read, by the DPU's clock. Without `Z` or an offset, it is in the DPU's time zone.
    ts: DateTime,
    /// Number of people who walked towards the DPU since it was started: a whole number from 0 to 9007199254740991.
    total_toward: f64,
    /// Number of people who walked away from it: a whole number from 0 to 9007199254740991.
    total_away: f64,
    /// Store totals that are implausible, and count on from them: nobody is counted since the reading before.
    #[graphql(default)]
    force: bool,
}

/// Result of recording a batch. Everything that is not rejected is stored.
#[derive(SimpleObject)]
struct IngestPayload {
    /// Number of entries that are stored now and were not before.
    accepted: usize,
    /// Number of entries that were already stored, or are repeated in the batch. They count once.
    duplicates: usize,
    /// The entries that are not stored, with the reasons.
    rejected: Vec<RejectedEvent>,
}

/// An entry that is not stored.
#[derive(SimpleObject)]
struct RejectedEvent {
    /// Its position in the batch, starting at 0.
    index: usize,
    /// Kind of reason.
    code: RejectionCode,
    /// What is wrong and what is accepted.
    message: String,
}

#[Object]
impl IngestMutation {
    /// Records crossings. Any batch may be sent again: events that are already stored are duplicates and count once. A
    /// rejected event does not keep others from being stored. The answer is sent once the stored events are durable.
    async fn ingest(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The crossings, in any order.")] events: Vec<EventInput>,
    ) -> Result<IngestPayload> {
        record(context, events.into_iter().map(EventInput::into_report).collect()).await
    }

    /// Records how many people crossed in intervals, for DPUs that report intervals. Intervals of a DPU may come in any order,
    /// and be sent again, but must not overlap. Intervals without people are facts, too: the DPU was alive.
    async fn ingest_intervals(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The intervals, in any order.")] intervals: Vec<IntervalInput>,
    ) -> Result<IngestPayload> {
        record(context, intervals.into_iter().map(IntervalInput::into_report).collect()).await
    }

    /// Records running totals, for DPUs that report totals. The people between two readings are their difference. Readings may
    /// come in any order, and be sent again; a late one adds nobody.
    async fn ingest_totals(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The readings, in any order.")] totals: Vec<TotalInput>,
    ) -> Result<IngestPayload> {
        record(context, totals.into_iter().map(TotalInput::into_report).collect()).await
    }
}

async fn record(context: &Context<'_>, batch: Batch) -> Result<IngestPayload> {
    let scope = Scope::of(context)?;
    let batch = scope.access().reports(&*scope.app().state.floor_plan().await?, batch);
    let outcomes = scope.app().recorder.record(batch).await?;
    let mut payload = IngestPayload { accepted: 0, duplicates: 0, rejected: Vec::new() };
    for (index, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Outcome::Accepted => payload.accepted += 1,
            Outcome::Duplicate => payload.duplicates += 1,
            Outcome::Rejected(Rejection { code, message }) => {
                payload.rejected.push(RejectedEvent { index, code: code.into(), message });
            }
        }
    }
    Ok(payload)
}

impl EventInput {
    fn into_report(self) -> std::result::Result<Report, Rejection> {
        Ok(Report::Crossing(Crossing {
            serial: self.dpu,
            ts: self.ts.written()?,
            direction: self.direction.into(),
            seq: self.seq.unwrap_or_default(),
        }))
    }
}

impl IntervalInput {
    fn into_report(self) -> std::result::Result<Report, Rejection> {
        Ok(Report::Interval(IntervalReport {
            serial: self.dpu,
            from: self.from.written()?,
            to: self.to.written()?,
            toward: self.toward.into(),
            away: self.away.into(),
            revise: self.revise,
        }))
    }
}

impl TotalInput {
    fn into_report(self) -> std::result::Result<Report, Rejection> {
        Ok(Report::Totals(TotalsReport {
            serial: self.dpu,
            ts: self.ts.written()?,
            toward: total("totalToward", self.total_toward)?,
            away: total("totalAway", self.total_away)?,
            force: self.force,
        }))
    }
}

/// Returns a total, which GraphQL's `Int` could not hold.
fn total(name: &str, given: f64) -> std::result::Result<i64, Rejection> {
    #[expect(clippy::cast_precision_loss, reason = "numbers up to the maximum are exact")]
    let is_whole = given.fract() == 0.0 && (0.0..=TOTAL_MAX as f64).contains(&given);
    #[expect(clippy::cast_possible_truncation, reason = "it is a whole number within the range")]
    if is_whole {
        return Ok(given as i64);
    }
    let message = format!("invalid {name} {given}: use a whole number from 0 to {TOTAL_MAX}");
    Err(Rejection::new(Code::BadTotal, message))
}
