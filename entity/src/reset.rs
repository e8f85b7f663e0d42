//! A reset: the true count of a space at an instant, which ends drift.

use sea_orm::entity::prelude::*;

use crate::Instant;

/// A row of `reset`; a space has at most one at an instant.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "reset")]
pub struct Model {
    /// The public id.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The space.
    pub space_id: i64,
    /// When the count was true. Crossings at this very instant are already in it.
    pub ts: Instant,
    /// How many people were in the space.
    pub count: i32,
    /// Note on why, or by whom it was counted, if any.
    pub note: Option<String>,
    /// When the row was first written.
    pub created: Instant,
    /// When the row was last changed.
    pub modified: Instant,
    /// The space's row.
    #[sea_orm(belongs_to, from = "space_id", to = "id")]
    pub space: HasOne<super::space::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}

impl From<&Model> for counting::Reset {
    fn from(row: &Model) -> Self {
        let Model { id, ts, count, .. } = *row;
        Self { id, ts, count }
    }
}
