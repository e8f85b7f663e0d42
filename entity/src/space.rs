//! A space: a room, floor or building in which people can be. Outside is not a space.

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
    /// Its name, which no other space has.
    #[sea_orm(unique)]
    pub name: String,
    /// How many people it is meant to hold, 1 or more; `None`: not given.
    pub capacity: Option<i32>,
    /// The IANA time zone of the days in its history; `UTC` by default.
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
    /// The resets of its count.
    #[sea_orm(has_many)]
    pub resets: HasMany<super::reset::Entity>,
    /// The rules that reset its count every day.
    #[sea_orm(has_many)]
    pub reset_rules: HasMany<super::reset_rule::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}

/// What to answer when a space's count is below zero, which happens if people were inside before counting began.
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
