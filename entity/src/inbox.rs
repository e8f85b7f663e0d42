//! Reports of devices that no DPU has the serial of.

use sea_orm::entity::prelude::*;

use crate::Instant;

/// A row of `inbox`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "inbox")]
pub struct Model {
    /// The serial as it is compared: in one spelling.
    #[sea_orm(primary_key, auto_increment = false)]
    pub device: String,
    /// A digest of the report, by which it is recognized if it is sent again.
    #[sea_orm(primary_key, auto_increment = false)]
    pub digest: i64,
    /// The serial as the device writes it.
    pub serial: String,
    /// The name of the format of the message.
    pub format: String,
    /// What it is.
    pub kind: InboxKind,
    /// The report as JSON.
    pub report: String,
    /// When it was first received.
    pub received: Instant,
    /// When it was last received.
    pub heard: Instant,
}

impl ActiveModelBehavior for ActiveModel {}

/// What a kept report is, the one first that a DPU of the device should report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum InboxKind {
    /// People in an interval.
    #[sea_orm(num_value = 0)]
    Interval,
    /// A crossing.
    #[sea_orm(num_value = 1)]
    Crossing,
    /// Running totals.
    #[sea_orm(num_value = 2)]
    Totals,
}
