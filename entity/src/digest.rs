//! A digest: what is left of a DPU's events once they are pruned.
//!
//! Events are kept one by one for as long as somebody wants it. Of those before only this is left: how many people
//! crossed until the end of an hour, or until an instant within it from which some count goes on.

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
    /// How many people walked towards the DPU since its digest before.
    pub toward: i64,
    /// How many people walked away from it.
    pub away: i64,
}

impl ActiveModelBehavior for ActiveModel {}
