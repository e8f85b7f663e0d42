//! An event: one person crossed a doorway under a DPU. Events are never edited.

use sea_orm::entity::prelude::*;

pub use values::{Direction, ParseDirectionError};

use crate::Instant;

/// A row of `event`. Its first four columns are its identity: two events with the same four are one crossing, sent twice.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "event")]
pub struct Model {
    /// The DPU that saw the crossing.
    #[sea_orm(primary_key, auto_increment = false)]
    pub dpu_id: i64,
    /// When it happened, by the DPU's clock.
    #[sea_orm(primary_key, auto_increment = false)]
    pub ts: Instant,
    /// Which way the person walked.
    #[sea_orm(primary_key, auto_increment = false)]
    pub direction: Direction,
    /// Number that distinguishes people who crossed in the same millisecond; 0 by default.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i32,
    /// When the server received it.
    pub created: Instant,
    /// The row that voids it, so that it does not count.
    pub void: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
