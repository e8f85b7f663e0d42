//! Mutations that create, change, delete and move DPUs.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use super::{UserError, change, changed, id, made, readable};
use crate::floor_plan::Refusal;
use crate::floor_plan::changes::dpu::{self, Destination, DpuUpdate, NewDpu};
use crate::http::graphql::request::error::Result;
use crate::http::graphql::request::scope::Scope;
use crate::http::graphql::schema::assignment::Assignment;
use crate::http::graphql::schema::dpu::Dpu;
use crate::http::graphql::schema::enums::{DpuClock, DpuReports, Placement};
use crate::http::graphql::schema::scalars::DateTime;
use crate::ids::Kind;

#[derive(Default)]
pub(in crate::http::graphql) struct DpuMutation;

/// Input for creating a DPU.
#[derive(InputObject)]
struct DpuCreateInput {
    /// The hardware id. No two DPUs share a serial. At most 200 characters.
    serial: String,
    /// Name of the DPU. At most 200 characters.
    name: Option<String>,
    /// The IANA time zone of its clock, for timestamps that have neither `Z` nor an offset. Null: UTC.
    time_zone: Option<String>,
    /// What it reports. Default, also for null: CROSSINGS. It can change only while nothing is stored of the DPU.
    reports: Option<DpuReports>,
    /// The width of the device's counters in bits, 16 or 32, after which they show 0 again. Null: they never do.
    counter_bits: Option<i32>,
    /// The highest plausible number of people a minute and direction: 1 or more. Null: 240.
    max_per_minute: Option<i32>,
    /// The time between two reports of the DPU in seconds: 1 or more. Null: it is not known.
    expected_every: Option<i32>,
    /// Which clock tells when something happened that its device sends in a format of its own. Default, also for null:
    /// DEVICE.
    clock: Option<DpuClock>,
    /// How far the device's clock may be off, in seconds: 1 or more. Needed for `DEVICE_WITHIN`, and for nothing else.
    clock_within: Option<i32>,
}

/// Input for changing a DPU. Fields that are left out keep their values.
#[derive(InputObject)]
struct DpuUpdateInput {
    /// The hardware id, if the hardware was replaced. No two DPUs share a serial.
    serial: Option<String>,
    /// Name of the DPU. Null removes it.
    name: MaybeUndefined<String>,
    /// The IANA time zone of its clock, for timestamps that have neither `Z` nor an offset. Null: UTC. Stored events do
    /// not change.
    time_zone: MaybeUndefined<String>,
    /// What it reports. It can change only while nothing is stored of the DPU.
    reports: Option<DpuReports>,
    /// The width of the device's counters in bits, 16 or 32, after which they show 0 again. Null: they never do. It applies
    /// to readings that are received from now on.
    counter_bits: MaybeUndefined<i32>,
    /// The highest plausible number of people a minute and direction: 1 or more. Null: 240. It applies to readings that are
    /// received from now on.
    max_per_minute: MaybeUndefined<i32>,
    /// The time between two reports of the DPU in seconds: 1 or more. Null: it is not known.
    expected_every: MaybeUndefined<i32>,
    /// Which clock tells when something happened that its device sends in a format of its own. It applies to what is
    /// received from now on.
    clock: Option<DpuClock>,
    /// How far the device's clock may be off, in seconds: 1 or more. Needed for `DEVICE_WITHIN`, and for nothing else.
    clock_within: MaybeUndefined<i32>,
}

/// Input for moving a DPU.
#[derive(InputObject)]
struct DpuMoveInput {
    /// The DPU.
    dpu: ID,
    /// When the DPU was moved, however long ago. From this instant on it counts for its new spaces.
    at: DateTime,
    /// The destinations: one space, or the two that the new doorway joins.
    to: Vec<DpuMoveTarget>,
}

/// A destination of a moved DPU.
#[derive(InputObject)]
struct DpuMoveTarget {
    /// The space that the DPU counts for.
    space: ID,
    /// The side of the doorway that the DPU hangs on.
    placement: Placement,
    /// Name of the doorway. At most 200 characters.
    doorway: Option<String>,
}

/// Result of changing a DPU.
#[derive(SimpleObject, Default)]
struct DpuPayload {
    /// The DPU after the change, or before it was deleted. Null if the change was refused.
    dpu: Option<Dpu>,
    /// Reasons why the change was refused. Empty on success.
    user_errors: Vec<UserError>,
}

/// Result of moving a DPU.
#[derive(SimpleObject, Default)]
struct DpuMovePayload {
    /// The DPU. Null if the move was refused.
    dpu: Option<Dpu>,
    /// Its new assignments.
    assignments: Vec<Assignment>,
    /// Reasons why the move was refused. Empty on success.
    user_errors: Vec<UserError>,
}

#[Object]
impl DpuMutation {
    /// Creates a DPU.
    async fn dpu_create(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The new DPU.")] input: DpuCreateInput,
    ) -> Result<DpuPayload> {
        let new = NewDpu {
            serial: input.serial,
            name: input.name,
            time_zone: input.time_zone,
            reports: input.reports.map(Into::into).unwrap_or_default(),
            counter_bits: input.counter_bits,
            max_per_minute: input.max_per_minute,
            expected_every: input.expected_every,
            clock: input.clock.map(Into::into).unwrap_or_default(),
            clock_within: input.clock_within,
        };
        let outcome = change(context, Ok(new), |t, new, now| Box::pin(dpu::create(t, new, now))).await?;
        DpuPayload::of(outcome.map(|(row, view)| Dpu::find(&view, row.id)))
    }

    /// Changes a DPU.
    async fn dpu_update(
        &self,
        context: &Context<'_>,
        #[graphql(name = "id", desc = "The DPU.")] dpu: ID,
        #[graphql(desc = "The fields to change.")] input: DpuUpdateInput,
    ) -> Result<DpuPayload> {
        let update = id(context, "id", Kind::Dpu, &dpu).and_then(|id| {
            let update = DpuUpdate {
                serial: input.serial,
                name: changed(input.name, Ok)?,
                time_zone: changed(input.time_zone, Ok)?,
                reports: input.reports.map(Into::into),
                counter_bits: changed(input.counter_bits, Ok)?,
                max_per_minute: changed(input.max_per_minute, Ok)?,
                expected_every: changed(input.expected_every, Ok)?,
                clock: input.clock.map(Into::into),
                clock_within: changed(input.clock_within, Ok)?,
            };
            Ok((id, update))
        });
        let outcome =
            change(context, update, |t, (id, update), now| Box::pin(dpu::update(t, id, update, now))).await?;
        DpuPayload::of(outcome.map(|(row, view)| Dpu::find(&view, row.id)))
    }

    /// Deletes a DPU. Refused while assignments refer to it, unless `cascade` is set. Always refused for a DPU that has
    /// recorded events, or that a token is limited to.
    async fn dpu_delete(
        &self,
        context: &Context<'_>,
        #[graphql(name = "id", desc = "The DPU.")] dpu: ID,
        #[graphql(desc = "Delete its assignments too.", default)] cascade: bool,
    ) -> Result<DpuPayload> {
        let dpu_id = id(context, "id", Kind::Dpu, &dpu);
        let before = Scope::of(context)?.view_of_change().await?;
        let deleted = dpu_id.as_ref().ok().and_then(|id| Dpu::find(&before, *id));
        let outcome = change(context, dpu_id, |t, id, _| Box::pin(dpu::delete(t, id, cascade))).await?;
        DpuPayload::of(outcome.map(|_| deleted))
    }

    /// Moves a DPU in one step: ends its assignments at `at`, and assigns it to other spaces from then on. The move may
    /// be in the past: counts since then are right immediately. The new assignments end when the old ones would have.
    async fn dpu_move(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The move.")] input: DpuMoveInput,
    ) -> Result<DpuMovePayload> {
        let outcome = change(context, input.read(context), |t, (id, at, to), now| {
            Box::pin(async move { Ok((id, dpu::relocate(t, id, at, to, now).await?)) })
        });
        let (dpu, assignments) = match outcome.await? {
            Ok(((id, made), view)) => {
                let assignments = made.into_iter().filter_map(|id| Assignment::find(&view, id)).collect();
                (Dpu::find(&view, id), assignments)
            }
            Err(errors) => {
                let errors = errors.into_iter().map(UserError::at_their_edge);
                let user_errors = errors.map(UserError::beneath_input).collect();
                return Ok(DpuMovePayload { user_errors, ..DpuMovePayload::default() });
            }
        };
        Ok(DpuMovePayload { dpu: Some(made(dpu)?), assignments, user_errors: Vec::new() })
    }
}

impl DpuMoveInput {
    fn read(
        self,
        context: &Context<'_>,
    ) -> std::result::Result<(i64, entity::Instant, Vec<Destination>), Refusal> {
        let target = |(index, to): (usize, DpuMoveTarget)| {
            let space_id = id(context, &format!("to.{index}.space"), Kind::Space, &to.space)?;
            Ok(Destination { space_id, placement: to.placement.into(), doorway: to.doorway })
        };
        let targets =
            self.to.into_iter().enumerate().map(target).collect::<std::result::Result<_, Refusal>>()?;
        Ok((id(context, "dpu", Kind::Dpu, &self.dpu)?, readable("at", self.at.parsed())?, targets))
    }
}

impl DpuPayload {
    fn of(outcome: std::result::Result<Option<Dpu>, Vec<UserError>>) -> Result<Self> {
        Ok(match outcome {
            Ok(dpu) => Self { dpu: Some(made(dpu)?), ..Self::default() },
            Err(user_errors) => Self { user_errors, ..Self::default() },
        })
    }
}
