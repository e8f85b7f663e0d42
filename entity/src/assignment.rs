//! An assignment: for a period of time, a DPU counted for a space.

use sea_orm::entity::prelude::*;

pub use values::Placement;

use crate::Instant;

/// A row of `assignment`, which applies during `[starts_at, ends_at)`. No two of the same DPU and space overlap.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "assignment")]
pub struct Model {
    /// The public id.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The DPU that counted.
    pub dpu_id: i64,
    /// The space it counted for.
    pub space_id: i64,
    /// Which side of the doorway the DPU hung on.
    pub placement: Placement,
    /// Name of the doorway, if it has one.
    pub doorway: Option<String>,
    /// Start, inclusive; `None`: from the beginning.
    pub starts_at: Option<Instant>,
    /// End, exclusive; `None`: no end.
    pub ends_at: Option<Instant>,
    /// When the row was first written.
    pub created: Instant,
    /// When the row was last changed.
    pub modified: Instant,
    /// The DPU's row.
    #[sea_orm(belongs_to, from = "dpu_id", to = "id")]
    pub dpu: HasOne<super::dpu::Entity>,
    /// The space's row.
    #[sea_orm(belongs_to, from = "space_id", to = "id")]
    pub space: HasOne<super::space::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}

impl From<&Model> for counting::Assignment {
    fn from(row: &Model) -> Self {
        let Model { id, dpu_id, placement, starts_at, ends_at, .. } = *row;
        Self { id, dpu: dpu_id, placement, starts_at, ends_at }
    }
}
