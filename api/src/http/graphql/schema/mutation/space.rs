//! Mutations that create, change and delete spaces.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use super::{UserError, change, changed, id, made};
use crate::floor_plan::changes::space::{self, NewSpace, SpaceUpdate};
use crate::http::graphql::request::error::Result;
use crate::http::graphql::request::scope::Scope;
use crate::http::graphql::schema::enums::NegativeCounts;
use crate::http::graphql::schema::space::Space;
use crate::ids::Kind;

#[derive(Default)]
pub(in crate::http::graphql) struct SpaceMutation;

/// Input for creating a space.
#[derive(InputObject)]
struct SpaceCreateInput {
    /// Name of the space. No two spaces share a name. At most 200 characters.
    name: String,
    /// Number of people that the space is meant to hold, 1 or more.
    capacity: Option<i32>,
    /// The IANA time zone of its calendar days and its reset rules, such as `Europe/Berlin`. Default: UTC.
    time_zone: Option<String>,
    /// How to report a count below zero. Default: `REPORT`.
    negative_counts: Option<NegativeCounts>,
}

/// Input for changing a space. Fields that are left out keep their values.
#[derive(InputObject)]
struct SpaceUpdateInput {
    /// Name of the space. No two spaces share a name. At most 200 characters.
    name: Option<String>,
    /// Number of people that the space is meant to hold, 1 or more. Null removes it.
    capacity: MaybeUndefined<i32>,
    /// The IANA time zone. Occurrences of reset rules move with it, past ones too.
    time_zone: Option<String>,
    /// How to report a count below zero.
    negative_counts: Option<NegativeCounts>,
}

/// Result of changing a space.
#[derive(SimpleObject, Default)]
struct SpacePayload {
    /// The space after the change, or before it was deleted. Null if the change was refused.
    space: Option<Space>,
    /// Reasons why the change was refused. Empty on success.
    user_errors: Vec<UserError>,
}

#[Object]
impl SpaceMutation {
    /// Creates a space.
    async fn space_create(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The new space.")] input: SpaceCreateInput,
    ) -> Result<SpacePayload> {
        let SpaceCreateInput { name, capacity, time_zone, negative_counts } = input;
        let negative_counts = negative_counts.map(Into::into).unwrap_or_default();
        let new = NewSpace { name, capacity, time_zone, negative_counts };
        let outcome = change(context, Ok(new), |t, new, now| Box::pin(space::create(t, new, now))).await?;
        SpacePayload::of(outcome.map(|(row, view)| Space::find(&view, row.id)))
    }

    /// Changes a space.
    async fn space_update(
        &self,
        context: &Context<'_>,
        #[graphql(name = "id", desc = "The space.")] space: ID,
        #[graphql(desc = "The fields to change.")] input: SpaceUpdateInput,
    ) -> Result<SpacePayload> {
        let SpaceUpdateInput { name, capacity, time_zone, negative_counts } = input;
        let update = id(context, "id", Kind::Space, &space).and_then(|id| {
            let capacity = changed(capacity, Ok)?;
            let negative_counts = negative_counts.map(Into::into);
            Ok((id, SpaceUpdate { name, capacity, time_zone, negative_counts }))
        });
        let outcome =
            change(context, update, |t, (id, update), now| Box::pin(space::update(t, id, update, now)))
                .await?;
        SpacePayload::of(outcome.map(|(row, view)| Space::find(&view, row.id)))
    }

    /// Deletes a space. Refused while assignments, resets or reset rules refer to it, unless `cascade` is set. Events
    /// are kept, since they belong to DPUs.
    async fn space_delete(
        &self,
        context: &Context<'_>,
        #[graphql(name = "id", desc = "The space.")] space: ID,
        #[graphql(desc = "Delete its assignments, resets and reset rules too.", default)] cascade: bool,
    ) -> Result<SpacePayload> {
        let space_id = id(context, "id", Kind::Space, &space);
        let before = Scope::of(context)?.view_of_change().await?;
        let deleted = space_id.as_ref().ok().and_then(|id| Space::find(&before, *id));
        let outcome = change(context, space_id, |t, id, _| Box::pin(space::delete(t, id, cascade))).await?;
        SpacePayload::of(outcome.map(|_| deleted))
    }
}

impl SpacePayload {
    fn of(outcome: std::result::Result<Option<Space>, Vec<UserError>>) -> Result<Self> {
        Ok(match outcome {
            Ok(space) => Self { space: Some(made(space)?), ..Self::default() },
            Err(user_errors) => Self { user_errors, ..Self::default() },
        })
    }
}
