//! An interval: how many people crossed under a DPU during `[starts, ends)`. They count at its last millisecond.
//!
//! No two intervals of a DPU overlap, whatever their sources.

use sea_orm::entity::prelude::*;

use crate::Instant;

/// A row of `interval`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "interval")]
pub struct Model {
    /// The DPU that saw the people.
    #[sea_orm(primary_key, auto_increment = false)]
    pub dpu_id: i64,
    /// End, exclusive.
    #[sea_orm(primary_key, auto_increment = false)]
    pub ends: Instant,
    /// Start, inclusive.
    pub starts: Instant,
    /// How many people walked towards the DPU.
    pub toward: i64,
    /// How many people walked away from it.
    pub away: i64,
    /// Where the numbers come from.
    pub source: IntervalSource,
    /// Whether people were lost: a counter was restarted, or counting began again with a new baseline.
    pub is_gap: bool,
    /// When the server received it, or the later of its two readings; 1970-01-01 if it was pruned.
    pub created: Instant,
    /// The row that voids it, so that it does not count.
    pub void: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}

/// Where an interval's numbers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum IntervalSource {
    /// The device reported them.
    #[sea_orm(num_value = 0)]
    Reported,
    /// They are the difference of two neighbouring readings.
    #[sea_orm(num_value = 1)]
    Derived,
    /// They are the sum of what was pruned.
    #[sea_orm(num_value = 2)]
    Pruned,
}
