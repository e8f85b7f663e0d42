//! Mutations that create, correct and delete resets.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use super::{UserError, change, changed, id, made, optional_instant, readable};
use crate::floor_plan::Refusal;
use crate::floor_plan::changes::reset::{self, NewReset, ResetUpdate};
use crate::http::graphql::request::error::Result;
use crate::http::graphql::request::scope::Scope;
use crate::http::graphql::schema::reset::Reset;
use crate::http::graphql::schema::scalars::DateTime;
use crate::ids::Kind;

#[derive(Default)]
pub(in crate::http::graphql) struct ResetMutation;

/// Input for creating a reset.
#[derive(InputObject)]
struct ResetCreateInput {
    /// The space.
    space: ID,
    /// When the count was true. Crossings at exactly this instant are included in it. One reset per space and instant.
    ts: DateTime,
    /// Number of people in the space, 0 or more.
    count: i32,
    /// The reason for the reset, or who counted. At most 2000 characters.
    note: Option<String>,
}

/// Input for correcting a reset. Fields that are left out keep their values.
#[derive(InputObject)]
struct ResetUpdateInput {
    /// When the count was true.
    ts: Option<DateTime>,
    /// Number of people in the space, 0 or more.
    count: Option<i32>,
    /// The reason for the reset, or who counted. Null removes it.
    note: MaybeUndefined<String>,
}

/// Result of changing a reset.
#[derive(SimpleObject, Default)]
struct ResetPayload {
    /// The reset after the change, or before it was deleted. Null if the change was refused.
    reset: Option<Reset>,
    /// Reasons why the change was refused. Empty on success.
    user_errors: Vec<UserError>,
}

#[Object]
impl ResetMutation {
    /// Records how many people were in a space at an instant. Later counts continue from it.
    async fn reset_create(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The new reset.")] input: ResetCreateInput,
    ) -> Result<ResetPayload> {
        let outcome =
            change(context, input.read(context), |t, new, now| Box::pin(reset::create(t, new, now))).await?;
        ResetPayload::of(outcome.map(|(row, view)| Reset::find(&view, row.id)))
    }

    /// Corrects a reset.
    async fn reset_update(
        &self,
        context: &Context<'_>,
        #[graphql(name = "id", desc = "The reset.")] reset: ID,
        #[graphql(desc = "The fields to correct.")] input: ResetUpdateInput,
    ) -> Result<ResetPayload> {
        let update = id(context, "id", Kind::Reset, &reset).and_then(|id| {
            let note = changed(input.note, Ok)?;
            Ok((id, ResetUpdate { ts: optional_instant("ts", input.ts)?, count: input.count, note }))
        });
        let outcome =
            change(context, update, |t, (id, update), now| Box::pin(reset::update(t, id, update, now)))
                .await?;
        ResetPayload::of(outcome.map(|(row, view)| Reset::find(&view, row.id)))
    }

    /// Deletes a reset, as if it had never been recorded.
    async fn reset_delete(
        &self,
        context: &Context<'_>,
        #[graphql(name = "id", desc = "The reset.")] reset: ID,
    ) -> Result<ResetPayload> {
        let reset_id = id(context, "id", Kind::Reset, &reset);
        let before = Scope::of(context)?.view_of_change().await?;
        let deleted = reset_id.as_ref().ok().and_then(|id| Reset::find(&before, *id));
        let outcome = change(context, reset_id, |t, id, _| Box::pin(reset::delete(t, id))).await?;
        ResetPayload::of(outcome.map(|_| deleted))
    }
}

impl ResetCreateInput {
    fn read(self, context: &Context<'_>) -> std::result::Result<NewReset, Refusal> {
        let Self { space, ts, count, note } = self;
        Ok(NewReset {
            space_id: id(context, "space", Kind::Space, &space)?,
            ts: readable("ts", ts.parsed())?,
            count,
            note,
        })
    }
}

impl ResetPayload {
    fn of(outcome: std::result::Result<Option<Reset>, Vec<UserError>>) -> Result<Self> {
        Ok(match outcome {
            Ok(reset) => Self { reset: Some(made(reset)?), ..Self::default() },
            Err(user_errors) => Self { user_errors, ..Self::default() },
        })
    }
}
