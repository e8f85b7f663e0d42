//! A space: a room, floor or building in which people can be. Outside is no space.

use sea_orm::entity::prelude::*;

use crate::Instant;

/// A row of `space`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "space")]
pub struct Model {
    /// The public id, the same in REST and GraphQL.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// What people call it; no two spaces share a name.
    #[sea_orm(unique)]
    pub name: String,
    /// How many people it is meant to hold, 1 or more; `None` where nobody said.
    pub capacity: Option<i32>,
    /// The IANA time zone whose days its history is told in; `UTC` unless set.
    pub time_zone: String,
    /// What to answer when the count is below zero.
    pub negative_counts: NegativeCounts,
    /// When the row was first written.
    pub created: Instant,
    /// When the row was last changed.
    pub modified: Instant,
    /// The DPUs that have counted for it.
    #[sea_orm(has_many)]
    pub assignments: HasMany<super::assignment::Entity>,
    /// The true counts that were stated for it.
    #[sea_orm(has_many)]
    pub resets: HasMany<super::reset::Entity>,
    /// The true counts that hold for it every day.
    #[sea_orm(has_many)]
    pub reset_rules: HasMany<super::reset_rule::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}

/// What a space answers when its count is below zero, as it is when people were inside before counting began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum NegativeCounts {
    /// The signed figure: a difference since counting began.
    #[default]
    #[sea_orm(string_value = "REPORT")]
    Report,
    /// Zero. Only the answer is clamped, never the sum behind it.
    #[sea_orm(string_value = "CLAMP")]
    Clamp,
}
