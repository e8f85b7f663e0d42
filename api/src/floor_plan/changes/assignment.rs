//! Assignments: created, corrected however far back, ended, deleted.

use entity::Instant;
use entity::assignment::{self, Placement};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter};

use super::{dpu, space, values};
use crate::floor_plan::{ChangeError, Refusal, RefusalCode};
use crate::ids::Kind;

#[derive(Clone, Debug)]
pub struct NewAssignment {
    pub dpu_id: i64,
    pub space_id: i64,
    /// The side of the doorway on which the DPU hangs.
    pub placement: Placement,
    pub doorway: Option<String>,
    /// Start of the assignment, inclusive. `None`: from the beginning.
    pub starts_at: Option<Instant>,
    /// End of the assignment, exclusive. `None`: no end.
    pub ends_at: Option<Instant>,
}

/// Input for correcting an assignment, for its whole time. `None` keeps a value.
#[derive(Clone, Debug, Default)]
pub struct AssignmentUpdate {
    pub dpu_id: Option<i64>,
    pub space_id: Option<i64>,
    pub placement: Option<Placement>,
    /// `Some(None)`: no name.
    pub doorway: Option<Option<String>>,
    /// `Some(None)`: from the beginning.
    pub starts_at: Option<Option<Instant>>,
    /// `Some(None)`: no end.
    pub ends_at: Option<Option<Instant>>,
}

impl NewAssignment {
    /// Returns whether the row already has all values that are given here.
    pub fn agrees_with(&self, row: &assignment::Model) -> bool {
        (self.dpu_id, self.space_id, self.placement, self.starts_at)
            == (row.dpu_id, row.space_id, row.placement, row.starts_at)
            && (self.doorway.is_none() || self.doorway == row.doorway)
            && (self.ends_at.is_none() || self.ends_at == row.ends_at)
    }
}

pub async fn find(transaction: &impl ConnectionTrait, id: i64) -> Result<assignment::Model, ChangeError> {
    let row = assignment::Entity::find_by_id(id).one(transaction).await?;
    Ok(row.ok_or_else(|| Refusal::not_found("id", Kind::Assignment, id))?)
}

pub async fn starting(
    transaction: &impl ConnectionTrait,
    dpu_id: i64,
    space_id: i64,
    starts_at: Option<Instant>,
) -> Result<Option<assignment::Model>, ChangeError> {
    let of_both = assignment::Entity::find()
        .filter(assignment::Column::DpuId.eq(dpu_id))
        .filter(assignment::Column::SpaceId.eq(space_id));
    let starting = match starts_at {
        Some(starts_at) => of_both.filter(assignment::Column::StartsAt.eq(starts_at)),
        None => of_both.filter(assignment::Column::StartsAt.is_null()),
    };
    Ok(starting.one(transaction).await?)
}

pub async fn create(
    transaction: &impl ConnectionTrait,
    new: NewAssignment,
    now: Instant,
) -> Result<assignment::Model, ChangeError> {
    dpu::find(transaction, "dpu", new.dpu_id).await?;
    space::find(transaction, "space", new.space_id).await?;
    in_order(new.starts_at, new.ends_at)?;
    let row = assignment::ActiveModel {
        id: NotSet,
        dpu_id: Set(new.dpu_id),
        space_id: Set(new.space_id),
        placement: Set(new.placement),
        doorway: Set(values::optional_name("doorway", new.doorway.as_deref())?),
        starts_at: Set(new.starts_at),
        ends_at: Set(new.ends_at),
        created: Set(now),
        modified: Set(now),
    };
    Ok(row.insert(transaction).await?)
}

/// Every count that depends on it is right immediately.
pub async fn update(
    transaction: &impl ConnectionTrait,
    id: i64,
    update: AssignmentUpdate,
    now: Instant,
) -> Result<assignment::Model, ChangeError> {
    let known = find(transaction, id).await?;
    in_order(update.starts_at.unwrap_or(known.starts_at), update.ends_at.unwrap_or(known.ends_at))?;
    let mut row = known.into_active_model();
    if let Some(dpu_id) = update.dpu_id {
        row.dpu_id = Set(dpu::find(transaction, "dpu", dpu_id).await?.id);
    }
    if let Some(space_id) = update.space_id {
        row.space_id = Set(space::find(transaction, "space", space_id).await?.id);
    }
    if let Some(placement) = update.placement {
        row.placement = Set(placement);
    }
    if let Some(doorway) = update.doorway {
        row.doorway = Set(values::optional_name("doorway", doorway.as_deref())?);
    }
    if let Some(starts_at) = update.starts_at {
        row.starts_at = Set(starts_at);
    }
    if let Some(ends_at) = update.ends_at {
        row.ends_at = Set(ends_at);
    }
    row.modified = Set(now);
    Ok(row.update(transaction).await?)
}

/// Refuses an assignment that does not end after it starts. The databases check it too, but in different orders.
fn in_order(starts_at: Option<Instant>, ends_at: Option<Instant>) -> Result<(), Refusal> {
    match starts_at.zip(ends_at) {
        Some((starts_at, ends_at)) if ends_at <= starts_at => {
            let message =
                format!("{ends_at} is not after {starts_at}: an assignment must end after it starts");
            Err(Refusal::new(RefusalCode::EndsBeforeStart, "endsAt", message))
        }
        _ => Ok(()),
    }
}

/// Ends an assignment at `at`, whether or not it already had an end.
pub async fn end(
    transaction: &impl ConnectionTrait,
    id: i64,
    at: Instant,
    now: Instant,
) -> Result<assignment::Model, ChangeError> {
    update(transaction, id, AssignmentUpdate { ends_at: Some(Some(at)), ..Default::default() }, now).await
}

/// Deletes an assignment, as if the DPU had never counted for the space during that time.
pub async fn delete(transaction: &impl ConnectionTrait, id: i64) -> Result<(), ChangeError> {
    find(transaction, id).await?;
    assignment::Entity::delete_by_id(id).exec(transaction).await?;
    Ok(())
}
