//! The mutation that records events.

use async_graphql::{Context, InputObject, Object, SimpleObject};

use crate::graphql::enums::{Direction, RejectionCode};
use crate::graphql::error::Result;
use crate::graphql::scalars::DateTime;
use crate::graphql::scope::Scope;
use crate::ingest::{Crossing, Outcome, Rejection};

#[derive(Default)]
pub(super) struct IngestMutation;

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

/// Result of recording a batch of events. Every event that is not rejected is stored.
#[derive(SimpleObject)]
struct IngestPayload {
    /// Number of events that are stored now and were not before.
    accepted: usize,
    /// Number of events that were already stored, or are repeated in the batch. They count once.
    duplicates: usize,
    /// The events that are not stored, with the reasons.
    rejected: Vec<RejectedEvent>,
}

/// An event that is not stored.
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
        let (batch, scope) =
            (events.into_iter().map(EventInput::into_crossing).collect(), Scope::of(context)?);
        let batch = scope.access().reports(scope.app(), batch).await?;
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
}

impl EventInput {
    fn into_crossing(self) -> std::result::Result<Crossing, Rejection> {
        Ok(Crossing {
            serial: self.dpu,
            ts: self.ts.written()?,
            direction: self.direction.into(),
            seq: self.seq.unwrap_or_default(),
        })
    }
}
