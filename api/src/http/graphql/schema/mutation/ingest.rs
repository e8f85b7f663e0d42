//! Events: recorded.

use async_graphql::{Context, InputObject, Object, SimpleObject};

use crate::http::graphql::request::error::Result;
use crate::http::graphql::request::scope::Scope;
use crate::http::graphql::schema::enums::{Direction, RejectionCode};
use crate::http::graphql::schema::scalars::DateTime;
use crate::ingest::{Crossing, Outcome, Rejection};

#[derive(Default)]
pub(in crate::http::graphql) struct IngestMutation;

/// A crossing that a DPU saw.
#[derive(InputObject)]
struct EventInput {
    /// The serial of the DPU.
    dpu: String,
    /// When it happened, by the DPU's clock. Without `Z` or an offset, it is in the DPU's time zone.
    ts: DateTime,
    /// Which way the person walked.
    direction: Direction,
    /// Tells apart people who crossed in the same millisecond: 0 or more. Default, also for null: 0.
    #[graphql(default = 0)]
    seq: Option<i32>,
}

/// What became of a batch of events. Whatever is not rejected is stored.
#[derive(SimpleObject)]
struct IngestPayload {
    /// How many events are stored and were not before.
    accepted: usize,
    /// How many events were stored already, or came twice in the batch; they count once.
    duplicates: usize,
    /// The events that are not stored, and why.
    rejected: Vec<RejectedEvent>,
}

/// An event that is not stored.
#[derive(SimpleObject)]
struct RejectedEvent {
    /// Its place in the batch, the first being 0.
    index: usize,
    /// The kind of reason.
    code: RejectionCode,
    /// What was wrong and what is accepted.
    message: String,
}

#[Object]
impl IngestMutation {
    /// Records crossings. Any batch may be sent again: what is stored already is a duplicate, and counts once. One bad
    /// event does not keep the others from being stored. The answer comes after all that it says is durable.
    async fn ingest(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The crossings, in any order.")] events: Vec<EventInput>,
    ) -> Result<IngestPayload> {
        let (batch, scope) =
            (events.into_iter().map(EventInput::into_crossing).collect(), Scope::of(context)?);
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
