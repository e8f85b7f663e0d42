//! Reset rules: created, changed, deleted.

use chrono::{NaiveDate, NaiveTime};
use entity::{Instant, reset_rule};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{ActiveModelTrait, ConnectionTrait, EntityTrait, IntoActiveModel};

use super::{space, values};
use crate::floor_plan::{ChangeError, Refusal};
use crate::ids::Kind;

/// A rule to be.
#[derive(Clone, Debug)]
pub struct NewResetRule {
    /// The space's id.
    pub space_id: i64,
    /// When it holds, by the clocks of the space's time zone.
    pub time_of_day: NaiveTime,
    /// How many people are in the space then, 0 or more.
    pub count: i32,
    /// The first day on which it holds: it changes nothing before.
    pub first_day: NaiveDate,
    /// The last day on which it holds; `None`: until further notice.
    pub last_day: Option<NaiveDate>,
}

/// What to change of a rule; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct ResetRuleUpdate {
    /// Another time of day.
    pub time_of_day: Option<NaiveTime>,
    /// Another count.
    pub count: Option<i32>,
    /// Another first day.
    pub first_day: Option<NaiveDate>,
    /// Another last day, or until further notice.
    pub last_day: Option<Option<NaiveDate>>,
}

/// The rule's row, or a refusal that names `id`.
pub async fn find(transaction: &impl ConnectionTrait, id: i64) -> Result<reset_rule::Model, ChangeError> {
    let row = reset_rule::Entity::find_by_id(id).one(transaction).await?;
    Ok(row.ok_or_else(|| Refusal::not_found("id", Kind::ResetRule, id))?)
}

/// Lets a space's count be known at the same time of every day.
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

/// Changes a rule, for all the days on which it holds. To change it from a day on, end it and create another.
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

/// Removes a rule, as if it had never held.
pub async fn delete(transaction: &impl ConnectionTrait, id: i64) -> Result<(), ChangeError> {
    find(transaction, id).await?;
    reset_rule::Entity::delete_by_id(id).exec(transaction).await?;
    Ok(())
}
