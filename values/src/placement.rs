//! Placements of DPUs.

/// Which side of a doorway a DPU hangs on, as seen from the space it counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "columns", derive(sea_orm::EnumIter, sea_orm::DeriveActiveEnum))]
#[cfg_attr(feature = "columns", sea_orm(rs_type = "i16", db_type = "SmallInteger"))]
pub enum Placement {
    /// On the space's own side: walking towards the DPU enters the space.
    #[cfg_attr(feature = "columns", sea_orm(num_value = 1))]
    Inside,
    /// On the other side: walking towards the DPU leaves the space.
    #[cfg_attr(feature = "columns", sea_orm(num_value = -1))]
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
