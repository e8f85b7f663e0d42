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
    /// What it reports.
    pub reports: Reports,
    /// The width of its counters in bits, 16 or 32, after which they roll over; `None`: they never do.
    pub counter_bits: Option<i32>,
    /// The highest plausible number of people a minute and direction; `None`: 240.
    pub max_per_minute: Option<i32>,
    /// The time between two of its reports in seconds; `None`: it is not known.
    pub expected_every: Option<i32>,
    /// Which clock tells when a report of its device happened.
    pub clock: DeviceClock,
    /// How far the device's clock may be off, in seconds; `None` unless that matters.
    pub clock_within: Option<i32>,
    /// When the row was first written.
    pub created: Instant,
    /// When the row was last changed.
    pub modified: Instant,
    /// The spaces it has counted for.
    #[sea_orm(has_many)]
    pub assignments: HasMany<super::assignment::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}

/// What a DPU reports. Everything else that the same sensor sends is not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Reports {
    /// Single crossings.
    #[default]
    #[sea_orm(string_value = "CROSSINGS")]
    Crossings,
    /// How many people crossed in an interval.
    #[sea_orm(string_value = "INTERVALS")]
    Intervals,
    /// Running totals of its counters.
    #[sea_orm(string_value = "TOTALS")]
    Totals,
}

/// Which clock tells when a report of a device happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum DeviceClock {
    /// The device's, where it has one.
    #[default]
    #[sea_orm(string_value = "DEVICE")]
    Device,
    /// That of whoever received it first: a network server, or this server.
    #[sea_orm(string_value = "ARRIVAL")]
    Arrival,
    /// The device's, as long as it is off by no more than some seconds.
    #[sea_orm(string_value = "DEVICE_WITHIN")]
    DeviceWithin,
}
