//! A tally: how many crossings a DPU saw in one UTC hour or one UTC day.
//!
//! Tallies are updated in the transaction that inserts the events, so that an odometer at any instant is read from
//! days, hours and one partial hour, never from all earlier events.

use sea_orm::entity::prelude::*;

use crate::Instant;

/// A row of `tally`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tally")]
pub struct Model {
    /// The DPU that saw the crossings.
    #[sea_orm(primary_key, auto_increment = false)]
    pub dpu_id: i64,
    /// Length of the bucket.
    #[sea_orm(primary_key, auto_increment = false)]
    pub resolution: TallyLength,
    /// Start of the bucket.
    #[sea_orm(primary_key, auto_increment = false)]
    pub bucket: Instant,
    /// How many people walked towards the DPU.
    pub toward: i64,
    /// How many people walked away from it.
    pub away: i64,
    /// Incremented whenever what was counted in a day is replaced, instead of added to.
    pub edition: i32,
}

impl ActiveModelBehavior for ActiveModel {}

/// Length of a tally's bucket, stored in hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum TallyLength {
    /// A UTC hour.
    #[sea_orm(num_value = 1)]
    Hour,
    /// A UTC day, always of 24 hours.
    #[sea_orm(num_value = 24)]
    Day,
}

impl TallyLength {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Hour, Self::Day];

    /// Returns the length of a bucket in hours, which is also the resolution's number in the table.
    pub const fn hours(self) -> i16 {
        match self {
            Self::Hour => 1,
            Self::Day => 24,
        }
    }

    /// Returns the start of the bucket that contains `ts`.
    pub const fn bucket(self, ts: Instant) -> Instant {
        ts.floor_to(self.hours() as i64 * 3_600_000)
    }
}
