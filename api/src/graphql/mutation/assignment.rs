//! Mutations that create, correct, end and delete assignments.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use super::{UserError, change, changed, id, made, optional_instant, readable};
use crate::floor_plan::Refusal;
use crate::floor_plan::changes::assignment::{self, AssignmentUpdate, NewAssignment};
use crate::graphql::assignment::Assignment;
use crate::graphql::enums::Placement;
use crate::graphql::error::Result;
use crate::graphql::scalars::DateTime;
use crate::graphql::scope::Scope;
use crate::ids::Kind;

#[derive(Default)]
pub(super) struct AssignmentMutation;

/// Input for creating an assignment.
#[derive(InputObject)]
struct AssignmentCreateInput {
    /// The DPU that counts.
    dpu: ID,
    /// The space it counts for.
    space: ID,
    /// The side of the doorway that the DPU hangs on.
    placement: Placement,
    /// Name of the doorway. At most 200 characters.
    doorway: Option<String>,
    /// Start of the assignment, inclusive. Default: from the beginning.
    starts_at: Option<DateTime>,
    /// End of the assignment, exclusive. Default: no end.
    ends_at: Option<DateTime>,
}

/// Input for correcting an assignment. Fields that are left out keep their values.
#[derive(InputObject)]
struct AssignmentUpdateInput {
    /// The DPU that counts.
    dpu: Option<ID>,
    /// The space it counts for.
    space: Option<ID>,
    /// The side of the doorway that the DPU hangs on.
    placement: Option<Placement>,
    /// Name of the doorway. Null removes it.
    doorway: MaybeUndefined<String>,
    /// Start of the assignment, inclusive. Null: from the beginning.
    starts_at: MaybeUndefined<DateTime>,
    /// End of the assignment, exclusive. Null: no end.
    ends_at: MaybeUndefined<DateTime>,
}

/// Result of changing an assignment.
#[derive(SimpleObject, Default)]
struct AssignmentPayload {
    /// The assignment after the change, or before it was deleted. Null if the change was refused.
    assignment: Option<Assignment>,
    /// Reasons why the change was refused. Empty on success.
    user_errors: Vec<UserError>,
}

#[Object]
impl AssignmentMutation {
    /// Assigns a DPU to a space. Two assignments of one DPU to one space never overlap.
    async fn assignment_create(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The new assignment.")] input: AssignmentCreateInput,
    ) -> Result<AssignmentPayload> {
        let outcome =
            change(context, input.read(context), |t, new, now| Box::pin(assignment::create(t, new, now)))
                .await?;
        AssignmentPayload::of(outcome.map(|(row, view)| Assignment::find(&view, row.id)))
    }

    /// Corrects an assignment for its whole period, however long ago. Every count that it contributes to is right
    /// immediately.
    async fn assignment_update(
        &self,
        context: &Context<'_>,
        #[graphql(name = "id", desc = "The assignment.")] assignment: ID,
        #[graphql(desc = "The fields to correct.")] input: AssignmentUpdateInput,
    ) -> Result<AssignmentPayload> {
        let update =
            id(context, "id", Kind::Assignment, &assignment).and_then(|id| Ok((id, input.read(context)?)));
        let outcome =
            change(context, update, |t, (id, update), now| Box::pin(assignment::update(t, id, update, now)));
        AssignmentPayload::of(outcome.await?.map(|(row, view)| Assignment::find(&view, row.id)))
    }

    /// Ends an assignment: from `at` on, its DPU no longer counts for its space.
    async fn assignment_end(
        &self,
        context: &Context<'_>,
        #[graphql(name = "id", desc = "The assignment.")] assignment: ID,
        #[graphql(desc = "End of the assignment, exclusive.")] at: DateTime,
    ) -> Result<AssignmentPayload> {
        let end = id(context, "id", Kind::Assignment, &assignment)
            .and_then(|id| Ok((id, readable("at", at.parsed())?)));
        let outcome =
            change(context, end, |t, (id, at), now| Box::pin(assignment::end(t, id, at, now))).await?;
        let outcome =
            outcome.map_err(|errors| errors.into_iter().map(UserError::at_their_edge).collect::<Vec<_>>());
        AssignmentPayload::of(outcome.map(|(row, view)| Assignment::find(&view, row.id)))
    }

    /// Deletes an assignment, as if the DPU had never counted for the space in that time.
    async fn assignment_delete(
        &self,
        context: &Context<'_>,
        #[graphql(name = "id", desc = "The assignment.")] assignment: ID,
    ) -> Result<AssignmentPayload> {
        let assignment_id = id(context, "id", Kind::Assignment, &assignment);
        let before = Scope::of(context)?.view_of_change().await?;
        let deleted = assignment_id.as_ref().ok().and_then(|id| Assignment::find(&before, *id));
        let outcome = change(context, assignment_id, |t, id, _| Box::pin(assignment::delete(t, id))).await?;
        AssignmentPayload::of(outcome.map(|_| deleted))
    }
}

impl AssignmentCreateInput {
    fn read(self, context: &Context<'_>) -> std::result::Result<NewAssignment, Refusal> {
        Ok(NewAssignment {
            dpu_id: id(context, "dpu", Kind::Dpu, &self.dpu)?,
            space_id: id(context, "space", Kind::Space, &self.space)?,
            placement: self.placement.into(),
            doorway: self.doorway,
            starts_at: optional_instant("startsAt", self.starts_at)?,
            ends_at: optional_instant("endsAt", self.ends_at)?,
        })
    }
}

impl AssignmentUpdateInput {
    fn read(self, context: &Context<'_>) -> std::result::Result<AssignmentUpdate, Refusal> {
        Ok(AssignmentUpdate {
            dpu_id: self.dpu.map(|dpu| id(context, "dpu", Kind::Dpu, &dpu)).transpose()?,
            space_id: self.space.map(|space| id(context, "space", Kind::Space, &space)).transpose()?,
            placement: self.placement.map(Into::into),
            doorway: changed(self.doorway, Ok)?,
            starts_at: changed(self.starts_at, |ts| readable("startsAt", ts.parsed()))?,
            ends_at: changed(self.ends_at, |ts| readable("endsAt", ts.parsed()))?,
        })
    }
}

impl AssignmentPayload {
    fn of(outcome: std::result::Result<Option<Assignment>, Vec<UserError>>) -> Result<Self> {
        Ok(match outcome {
            Ok(assignment) => Self { assignment: Some(made(assignment)?), ..Self::default() },
            Err(user_errors) => Self { user_errors, ..Self::default() },
        })
    }
}
