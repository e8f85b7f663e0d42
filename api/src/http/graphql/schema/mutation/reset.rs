//! Resets: created, corrected, deleted.

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

/// A reset to be.
#[derive(InputObject)]
struct ResetCreateInput {
    /// The space.
    space: ID,
    /// When the count was true; crossings at this very instant are in it. One reset a space and instant.
    ts: DateTime,
    /// How many people were in the space, 0 or more.
    count: i32,
    /// Why, or who counted. At most 2000 characters.
    note: Option<String>,
}

/// What to correct of a reset. What is not given stays as it is.
#[derive(InputObject)]
struct ResetUpdateInput {
    /// When the count was true.
    ts: Option<DateTime>,
    /// How many people were in the space, 0 or more.
    count: Option<i32>,
    /// Why, or who counted; null: nothing.
    note: MaybeUndefined<String>,
}

/// A reset that was changed, or why it was not.
#[derive(SimpleObject, Default)]
struct ResetPayload {
    /// The reset as it is now, or as it was before it was deleted; null if nothing was changed.
    reset: Option<Reset>,
    /// Why nothing was changed; empty if it was.
    user_errors: Vec<UserError>,
}

#[Object]
impl ResetMutation {
    /// States how many people were in a space at an instant. Counts from then on go on from it.
    async fn reset_create(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The reset to be.")] input: ResetCreateInput,
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
        #[graphql(desc = "What to correct.")] input: ResetUpdateInput,
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

    /// Deletes a reset, as if nobody had stated the count.
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
