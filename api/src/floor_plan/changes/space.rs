//! Spaces: created, updated, deleted.

use entity::space::NegativeCounts;
use entity::{Instant, assignment, reset, reset_rule, space};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter,
};

use super::values;
use crate::floor_plan::{ChangeError, Refusal, RefusalCode};
use crate::ids::Kind;

/// A space to be.
#[derive(Clone, Debug, Default)]
pub struct NewSpace {
    /// Unique; at most 200 characters.
    pub name: String,
    /// How many people it is meant to hold, 1 or more.
    pub capacity: Option<i32>,
    /// An IANA time zone; `None`: UTC.
    pub time_zone: Option<String>,
    /// What to answer when the count is below zero.
    pub negative_counts: NegativeCounts,
}

/// What to change of a space; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct SpaceUpdate {
    /// A new name.
    pub name: Option<String>,
    /// A new capacity, or none.
    pub capacity: Option<Option<i32>>,
    /// A new time zone. Occurrences of reset rules move with it, past ones too.
    pub time_zone: Option<String>,
    /// What to answer when the count is below zero.
    pub negative_counts: Option<NegativeCounts>,
}

/// The space's row, or a refusal that names `field`.
pub async fn find(
    transaction: &impl ConnectionTrait,
    field: &str,
    id: i64,
) -> Result<space::Model, ChangeError> {
    let row = space::Entity::find_by_id(id).one(transaction).await?;
    Ok(row.ok_or_else(|| Refusal::not_found(field, Kind::Space, id))?)
}

/// Adds a space.
pub async fn create(
    transaction: &impl ConnectionTrait,
    new: NewSpace,
    now: Instant,
) -> Result<space::Model, ChangeError> {
    let row = space::ActiveModel {
        id: NotSet,
        name: Set(values::name("name", &new.name)?),
        capacity: Set(values::capacity(new.capacity)?),
        time_zone: Set(values::time_zone(new.time_zone.as_deref().unwrap_or("UTC"))?),
        negative_counts: Set(new.negative_counts),
        created: Set(now),
        modified: Set(now),
    };
    Ok(row.insert(transaction).await?)
}

/// Changes a space.
pub async fn update(
    transaction: &impl ConnectionTrait,
    id: i64,
    update: SpaceUpdate,
    now: Instant,
) -> Result<space::Model, ChangeError> {
    let mut row = find(transaction, "id", id).await?.into_active_model();
    if let Some(name) = update.name {
        row.name = Set(values::name("name", &name)?);
    }
    if let Some(capacity) = update.capacity {
        row.capacity = Set(values::capacity(capacity)?);
    }
    if let Some(time_zone) = update.time_zone {
        row.time_zone = Set(values::time_zone(&time_zone)?);
    }
    if let Some(negative_counts) = update.negative_counts {
        row.negative_counts = Set(negative_counts);
    }
    row.modified = Set(now);
    Ok(row.update(transaction).await?)
}

/// Removes a space; with `cascade`, what refers to it as well, and without, only if nothing does.
/// Events stay: they are facts about DPUs.
pub async fn delete(transaction: &impl ConnectionTrait, id: i64, cascade: bool) -> Result<(), ChangeError> {
    find(transaction, "id", id).await?;
    let assignments = assignment::Column::SpaceId.eq(id);
    let resets = reset::Column::SpaceId.eq(id);
    let rules = reset_rule::Column::SpaceId.eq(id);
    if cascade {
        assignment::Entity::delete_many().filter(assignments).exec(transaction).await?;
        reset::Entity::delete_many().filter(resets).exec(transaction).await?;
        reset_rule::Entity::delete_many().filter(rules).exec(transaction).await?;
    } else {
        let assignments = assignment::Entity::find().filter(assignments).count(transaction).await?;
        let resets = reset::Entity::find().filter(resets).count(transaction).await?;
        let rules = reset_rule::Entity::find().filter(rules).count(transaction).await?;
        if assignments + resets + rules > 0 {
            let message = format!(
                "the space has {assignments} assignments, {resets} resets and {rules} reset rules: delete them first, or ask for cascade"
            );
            return Err(Refusal::new(RefusalCode::InUse, "id", message).into());
        }
    }
    space::Entity::delete_by_id(id).exec(transaction).await?;
    Ok(())
}
