//! Mutations that take back what should never have counted.

use async_graphql::{Context, ID, Object, SimpleObject};

use super::{Outcome, UserError, change, id, readable};
use crate::floor_plan::Refusal;
use crate::http::graphql::request::error::{Fault, Result};
use crate::http::graphql::request::scope::Scope;
use crate::http::graphql::schema::enums::Direction;
use crate::http::graphql::schema::event::Event;
use crate::http::graphql::schema::report::{DpuInterval, DpuReading};
use crate::http::graphql::schema::scalars::DateTime;
use crate::ids::Kind;
use crate::ingest::voids::{self, Reason, Stored, Voidable};

#[derive(Default)]
pub(in crate::http::graphql) struct VoidMutation;

/// Result of voiding an event, or of letting it count again.
#[derive(SimpleObject, Default)]
struct EventVoidPayload {
    /// The event after the change. Null if the change was refused.
    event: Option<Event>,
    /// Reasons why the change was refused. Empty on success.
    user_errors: Vec<UserError>,
}

/// Result of voiding an interval, or of letting it count again.
#[derive(SimpleObject, Default)]
struct IntervalVoidPayload {
    /// The interval after the change. Null if the change was refused.
    interval: Option<DpuInterval>,
    /// Reasons why the change was refused. Empty on success.
    user_errors: Vec<UserError>,
}

/// Result of voiding a reading, or of using it again.
#[derive(SimpleObject, Default)]
struct ReadingVoidPayload {
    /// The reading after the change. Null if the change was refused.
    reading: Option<DpuReading>,
    /// Reasons why the change was refused. Empty on success.
    user_errors: Vec<UserError>,
}

type Asked = std::result::Result<Voidable, Refusal>;

#[Object]
impl VoidMutation {
    /// Takes back an event that never happened: it no longer counts, at any instant. If it is sent again, it is a duplicate
    /// and stays voided. `Dpu.events(voided: true)` lists it.
    async fn event_void(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The DPU that reported it.")] dpu: ID,
        #[graphql(desc = "When it is said to have happened.")] ts: DateTime,
        #[graphql(desc = "Its direction.")] direction: Direction,
        #[graphql(desc = "Its seq.", default)] seq: i32,
        #[graphql(desc = "Why it never happened, for others to read. At most 2000 characters.")]
        reason: String,
    ) -> Result<EventVoidPayload> {
        let event = event(context, &dpu, ts, direction, seq);
        EventVoidPayload::of(voided(context, event, Some(reason)).await?)
    }

    /// Lets a voided event count again.
    async fn event_unvoid(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The DPU that reported it.")] dpu: ID,
        #[graphql(desc = "When it happened.")] ts: DateTime,
        #[graphql(desc = "Its direction.")] direction: Direction,
        #[graphql(desc = "Its seq.", default)] seq: i32,
    ) -> Result<EventVoidPayload> {
        let event = event(context, &dpu, ts, direction, seq);
        EventVoidPayload::of(voided(context, event, None).await?)
    }

    /// Takes back an interval that a DPU reported: its people no longer count. If it is sent again, it is a duplicate and stays
    /// voided. `Dpu.intervals(voided: true)` lists it.
    async fn interval_void(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The DPU that reported it.")] dpu: ID,
        #[graphql(desc = "Its start.")] from: DateTime,
        #[graphql(desc = "Its end.")] to: DateTime,
        #[graphql(desc = "Why it is wrong, for others to read. At most 2000 characters.")] reason: String,
    ) -> Result<IntervalVoidPayload> {
        let interval = interval(context, &dpu, from, to);
        IntervalVoidPayload::of(voided(context, interval, Some(reason)).await?)
    }

    /// Lets a voided interval count again.
    async fn interval_unvoid(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The DPU that reported it.")] dpu: ID,
        #[graphql(desc = "Its start.")] from: DateTime,
        #[graphql(desc = "Its end.")] to: DateTime,
    ) -> Result<IntervalVoidPayload> {
        let interval = interval(context, &dpu, from, to);
        IntervalVoidPayload::of(voided(context, interval, None).await?)
    }

    /// Takes back a reading of totals: the people between its neighbours are then the difference of these. If it is sent again,
    /// it is a duplicate and stays voided. `Dpu.readings(voided: true)` lists it.
    async fn reading_void(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The DPU that reported it.")] dpu: ID,
        #[graphql(desc = "When it was read.")] ts: DateTime,
        #[graphql(desc = "Why it is wrong, for others to read. At most 2000 characters.")] reason: String,
    ) -> Result<ReadingVoidPayload> {
        let reading = reading(context, &dpu, ts);
        ReadingVoidPayload::of(voided(context, reading, Some(reason)).await?)
    }

    /// Uses a voided reading again.
    async fn reading_unvoid(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The DPU that reported it.")] dpu: ID,
        #[graphql(desc = "When it was read.")] ts: DateTime,
    ) -> Result<ReadingVoidPayload> {
        let reading = reading(context, &dpu, ts);
        ReadingVoidPayload::of(voided(context, reading, None).await?)
    }
}

fn event(context: &Context<'_>, dpu: &ID, ts: DateTime, direction: Direction, seq: i32) -> Asked {
    let dpu_id = id(context, "dpu", Kind::Dpu, dpu)?;
    Ok(Voidable::Event { dpu_id, ts: readable("ts", ts.parsed())?, direction: direction.into(), seq })
}

fn interval(context: &Context<'_>, dpu: &ID, from: DateTime, to: DateTime) -> Asked {
    let dpu_id = id(context, "dpu", Kind::Dpu, dpu)?;
    let (from, to) = (readable("from", from.parsed())?, readable("to", to.parsed())?);
    Ok(Voidable::Interval { dpu_id, from, to })
}

fn reading(context: &Context<'_>, dpu: &ID, ts: DateTime) -> Asked {
    let dpu_id = id(context, "dpu", Kind::Dpu, dpu)?;
    Ok(Voidable::Reading { dpu_id, ts: readable("ts", ts.parsed())? })
}

/// Voids something for a reason, or without one lets it count again.
async fn voided(context: &Context<'_>, asked: Asked, reason: Option<String>) -> Result<Outcome<Stored>> {
    let by = Scope::of(context)?.access().token().map(|token| token.name.clone());
    let reason = reason.map(|text| Reason { text, by });
    let outcome = change(context, asked, |t, thing, now| {
        Box::pin(async move {
            match reason {
                Some(reason) => voids::void(t, thing, reason, now).await,
                None => voids::unvoid(t, thing, now).await,
            }
        })
    });
    Ok(outcome.await?.map_err(|errors| errors.into_iter().map(UserError::of_argument).collect()))
}

fn other() -> Fault {
    Fault::Internal("another kind of report was changed".to_owned())
}

impl EventVoidPayload {
    fn of(outcome: Outcome<Stored>) -> Result<Self> {
        Ok(match outcome {
            Ok((Stored::Event(row), view)) => Self { event: Event::new(&view, row), ..Self::default() },
            Ok(_) => return Err(other()),
            Err(user_errors) => Self { user_errors, ..Self::default() },
        })
    }
}

impl IntervalVoidPayload {
    fn of(outcome: Outcome<Stored>) -> Result<Self> {
        Ok(match outcome {
            Ok((Stored::Interval(row), view)) => {
                Self { interval: Some(DpuInterval::new(&view, row)), ..Self::default() }
            }
            Ok(_) => return Err(other()),
            Err(user_errors) => Self { user_errors, ..Self::default() },
        })
    }
}

impl ReadingVoidPayload {
    fn of(outcome: Outcome<Stored>) -> Result<Self> {
        Ok(match outcome {
            Ok((Stored::Reading(row), view)) => {
                Self { reading: Some(DpuReading::new(&view, row)), ..Self::default() }
            }
            Ok(_) => return Err(other()),
            Err(user_errors) => Self { user_errors, ..Self::default() },
        })
    }
}
