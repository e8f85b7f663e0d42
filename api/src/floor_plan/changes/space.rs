//! Mutations that create, change and delete spaces.

use entity::space::NegativeCounts;
use entity::{Instant, assignment, reset, reset_rule, space};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter,
};

use super::values;
use crate::floor_plan::{ChangeError, Refusal, RefusalCode};
use crate::ids::Kind;

#[derive(Clone, Debug, Default)]
pub struct NewSpace {
    /// Unique; at most 200 characters.
    pub name: String,
    /// The number of people it is meant to hold, 1 or more.
    pub capacity: Option<i32>,
    /// The IANA time zone. `None`: UTC.
    pub time_zone: Option<String>,
    pub negative_counts: NegativeCounts,
}

/// `None` keeps a value.
#[derive(Clone, Debug, Default)]
pub struct SpaceUpdate {
    pub name: Option<String>,
    /// `Some(None)`: no capacity.
    pub capacity: Option<Option<i32>>,
    /// The new time zone. It also moves past occurrences of reset rules.
    pub time_zone: Option<String>,
    pub negative_counts: Option<NegativeCounts>,
}

pub async fn find(
    transaction: &impl ConnectionTrait,
    field: &str,
    id: i64,
) -> Result<space::Model, ChangeError> {
    let row = space::Entity::find_by_id(id).one(transaction).await?;
    Ok(row.ok_or_else(|| Refusal::not_found(field, Kind::Space, id))?)
}

pub async fn create(
    transaction: &impl ConnectionTrait,
    new: NewSpace,
    now: Instant,
) -> Result<space::Model, ChangeError> {
    let row = space::ActiveModel {
        id: NotSet,
        name: Set(values::name("name", &new.name)?),
        capacity: Set(values::positive("capacity", new.capacity)?),
        time_zone: Set(values::time_zone(new.time_zone.as_deref().unwrap_or("UTC"))?),
        negative_counts: Set(new.negative_counts),
        created: Set(now),
        modified: Set(now),
    };
    Ok(row.insert(transaction).await?)
}

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
        row.capacity = Set(values::positive("capacity", capacity)?);
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

/// Deletes a space. With `cascade`, also deletes everything that refers to it; without, fails if anything does.
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
                "the space has {assignments} assignments, {resets} resets and {rules} reset rules: \
                 delete them first, or set cascade"
            );
            return Err(Refusal::new(RefusalCode::InUse, "id", message).into());
        }
    }
    space::Entity::delete_by_id(id).exec(transaction).await?;
    Ok(())
}
