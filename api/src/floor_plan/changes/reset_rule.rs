//! Mutations that create, change and delete reset rules.

use chrono::{NaiveDate, NaiveTime};
use entity::{Instant, reset_rule};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{ActiveModelTrait, ConnectionTrait, EntityTrait, IntoActiveModel};

use super::{space, values};
use crate::floor_plan::{ChangeError, Refusal};
use crate::ids::Kind;

#[derive(Clone, Debug)]
pub struct NewResetRule {
    pub space_id: i64,
    /// The time of day at which it applies, in the space's time zone.
    pub time_of_day: NaiveTime,
    /// The number of people in the space at that time, 0 or more.
    pub count: i32,
    pub first_day: NaiveDate,
    /// `None`: until further notice.
    pub last_day: Option<NaiveDate>,
}

/// `None` keeps a value.
#[derive(Clone, Debug, Default)]
pub struct ResetRuleUpdate {
    pub time_of_day: Option<NaiveTime>,
    pub count: Option<i32>,
    pub first_day: Option<NaiveDate>,
    /// `Some(None)`: until further notice.
    pub last_day: Option<Option<NaiveDate>>,
}

pub async fn find(transaction: &impl ConnectionTrait, id: i64) -> Result<reset_rule::Model, ChangeError> {
    let row = reset_rule::Entity::find_by_id(id).one(transaction).await?;
    Ok(row.ok_or_else(|| Refusal::not_found("id", Kind::ResetRule, id))?)
}

/// Creates a rule: the space has this count at the same time of every day.
pub async fn create(
    transaction: &impl ConnectionTrait,
    new: NewResetRule,
    now: Instant,
) -> Result<reset_rule::Model, ChangeError> {
    space::find(transaction, "space", new.space_id).await?;
    let row = reset_rule::ActiveModel {
        id: NotSet,
        space_id: Set(new.space_id),
        time_of_day: Set(new.time_of_day),
        count: Set(values::people(new.count)?),
        first_day: Set(new.first_day),
        last_day: Set(new.last_day),
        created: Set(now),
        modified: Set(now),
    };
    Ok(row.insert(transaction).await?)
}

/// Updates a rule for all days on which it applies. To change it from some day on, end it and create another one.
pub async fn update(
    transaction: &impl ConnectionTrait,
    id: i64,
    update: ResetRuleUpdate,
    now: Instant,
) -> Result<reset_rule::Model, ChangeError> {
    let mut row = find(transaction, id).await?.into_active_model();
    if let Some(time_of_day) = update.time_of_day {
        row.time_of_day = Set(time_of_day);
    }
    if let Some(count) = update.count {
        row.count = Set(values::people(count)?);
    }
    if let Some(first_day) = update.first_day {
        row.first_day = Set(first_day);
    }
    if let Some(last_day) = update.last_day {
        row.last_day = Set(last_day);
    }
    row.modified = Set(now);
    Ok(row.update(transaction).await?)
}

/// Deletes a rule, as if it had never applied.
pub async fn delete(transaction: &impl ConnectionTrait, id: i64) -> Result<(), ChangeError> {
    find(transaction, id).await?;
    reset_rule::Entity::delete_by_id(id).exec(transaction).await?;
    Ok(())
}
