//! An event: one person crossed a doorway under a DPU. Events are never edited.

use std::str::FromStr;

use sea_orm::entity::prelude::*;

use crate::Instant;

/// A row of `event`. All columns but `created` are its identity: two events with the same four are one crossing, sent
/// twice.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "event")]
pub struct Model {
    /// The DPU that saw the crossing.
    #[sea_orm(primary_key, auto_increment = false)]
    pub dpu_id: i64,
    /// When it happened, by the DPU's clock.
    #[sea_orm(primary_key, auto_increment = false)]
    pub ts: Instant,
    /// Which way the person walked.
    #[sea_orm(primary_key, auto_increment = false)]
    pub direction: Direction,
    /// Number that distinguishes people who crossed in the same millisecond; 0 by default.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i32,
    /// When the server received it.
    pub created: Instant,
}

impl ActiveModelBehavior for ActiveModel {}

/// Which way a person walked under a DPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum Direction {
    /// Away from the side the DPU looks from: `-1`.
    #[sea_orm(num_value = -1)]
    Away,
    /// Towards the side the DPU looks from: `+1`.
    #[sea_orm(num_value = 1)]
    Toward,
}

/// Error for a text or number that is not a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid direction: use 1 (towards the DPU) or -1 (away from it)")]
pub struct ParseDirectionError;

impl Direction {
    /// Returns `1` for towards the DPU, `-1` for away from it, as in files, devices and the table.
    pub const fn sign(self) -> i16 {
        match self {
            Self::Toward => 1,
            Self::Away => -1,
        }
    }

    /// Returns the direction that `sign` stands for.
    pub const fn from_sign(sign: i64) -> Result<Self, ParseDirectionError> {
        match sign {
            1 => Ok(Self::Toward),
            -1 => Ok(Self::Away),
            _ => Err(ParseDirectionError),
        }
    }
}

impl FromStr for Direction {
    type Err = ParseDirectionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "1" | "+1" => Ok(Self::Toward),
            "-1" => Ok(Self::Away),
            _ => Err(ParseDirectionError),
        }
    }
}
