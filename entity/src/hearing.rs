//! When a DPU was last heard of, and what it said of itself.

use sea_orm::entity::prelude::*;

use crate::Instant;

/// A row of `hearing`, written at most once a minute.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "hearing")]
pub struct Model {
    /// The DPU.
    #[sea_orm(primary_key, auto_increment = false)]
    pub dpu_id: i64,
    /// When its last report was received, by the server's clock.
    pub last_heard: Instant,
    /// The newest instant until which it has told what happened, by its clock.
    pub known_until: Option<Instant>,
    /// How far its clock was ahead of the server's when it last reported, in milliseconds; delays make it negative.
    pub clock_offset_ms: Option<i64>,
    /// Charge of its battery in percent, as it last said.
    pub battery: Option<f64>,
    /// Its faults, as it last said.
    pub faults: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
