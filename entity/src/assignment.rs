//! An assignment: for a period of time, a DPU counted for a space.

use sea_orm::entity::prelude::*;

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

/// Which side of a doorway a DPU hangs on, as seen from the space it counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum Placement {
    /// On the space's own side: walking towards the DPU enters the space.
    #[sea_orm(num_value = 1)]
    Inside,
    /// On the other side: walking towards the DPU leaves the space.
    #[sea_orm(num_value = -1)]
    Outside,
}

impl Placement {
    /// Returns `+1` for inside, `-1` for outside, by which a DPU's net crossings are multiplied.
    pub const fn sign(self) -> i64 {
        match self {
            Self::Inside => 1,
            Self::Outside => -1,
        }
    }
}
