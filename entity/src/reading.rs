//! A reading: what the counters of a DPU showed at an instant, the people of each direction since it was started.

use sea_orm::entity::prelude::*;

use crate::Instant;

/// A row of `reading`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "reading")]
pub struct Model {
    /// The DPU whose counters were read.
    #[sea_orm(primary_key, auto_increment = false)]
    pub dpu_id: i64,
    /// When they were read, by the DPU's clock.
    #[sea_orm(primary_key, auto_increment = false)]
    pub ts: Instant,
    /// How many people walked towards the DPU since it was started.
    pub toward: i64,
    /// How many people walked away from it.
    pub away: i64,
    /// Whether counting begins again here, so that nobody is counted between the reading before and this one.
    pub is_baseline: bool,
    /// When the server received it.
    pub created: Instant,
    /// The row that voids it, so that nothing is derived from it.
    pub void: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
