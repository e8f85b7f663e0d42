//! A digest: the number of crossings of pruned events of a DPU.
//!
//! Individual events are kept for as long as the operator wants. Of earlier ones only this is left: how many people
//! crossed until the end of an hour, or until an instant within it from which some count continues.

use sea_orm::entity::prelude::*;

use crate::Instant;

/// A row of `digest`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "digest")]
pub struct Model {
    /// The DPU that saw the crossings.
    #[sea_orm(primary_key, auto_increment = false)]
    pub dpu_id: i64,
    /// The last instant of the crossings in it: all of them are taken to have happened then.
    #[sea_orm(primary_key, auto_increment = false)]
    pub ts: Instant,
    /// How many people walked towards the DPU since its previous digest.
    pub toward: i64,
    /// How many people walked away from it.
    pub away: i64,
}

impl ActiveModelBehavior for ActiveModel {}
