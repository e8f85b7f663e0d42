//! A reset rule: at the same local time of every day, a space's count is known.
//!
//! Its occurrences are computed, in the space's time zone, and never stored.

use chrono::{NaiveDate, NaiveTime};
use sea_orm::entity::prelude::*;

use crate::Instant;

/// A row of `reset_rule`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "reset_rule")]
pub struct Model {
    /// The public id.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The space.
    pub space_id: i64,
    /// When it applies, in the space's time zone.
    pub time_of_day: NaiveTime,
    /// How many people are in the space then.
    pub count: i32,
    /// The first day on which it applies.
    pub first_day: NaiveDate,
    /// The last day on which it applies; `None`: until further notice.
    pub last_day: Option<NaiveDate>,
    /// When the row was first written.
    pub created: Instant,
    /// When the row was last changed.
    pub modified: Instant,
    /// The space's row.
    #[sea_orm(belongs_to, from = "space_id", to = "id")]
    pub space: HasOne<super::space::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}

impl From<&Model> for counting::ResetRule {
    fn from(row: &Model) -> Self {
        let Model { id, time_of_day, count, first_day, last_day, .. } = *row;
        Self { id, time_of_day, count, first_day, last_day }
    }
}
