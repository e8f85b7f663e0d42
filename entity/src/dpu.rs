//! A DPU (depth processing unit): a sensor over a doorway.

use sea_orm::entity::prelude::*;

use crate::Instant;

/// A row of `dpu`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "dpu")]
pub struct Model {
    /// The public id.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The hardware id, used by devices and files (`dpu_id` in a CSV); unique.
    #[sea_orm(unique)]
    pub serial: String,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// The IANA time zone of its timestamps without a zone; `None`: UTC.
    pub time_zone: Option<String>,
    /// When the row was first written.
    pub created: Instant,
    /// When the row was last changed.
    pub modified: Instant,
    /// The spaces it has counted for.
    #[sea_orm(has_many)]
    pub assignments: HasMany<super::assignment::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
