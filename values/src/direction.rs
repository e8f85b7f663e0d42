//! Directions of crossings.

use std::str::FromStr;

/// Which way a person walked under a DPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "columns", derive(sea_orm::EnumIter, sea_orm::DeriveActiveEnum))]
#[cfg_attr(feature = "columns", sea_orm(rs_type = "i16", db_type = "SmallInteger"))]
pub enum Direction {
    /// Away from the side the DPU looks from: `-1`.
    #[cfg_attr(feature = "columns", sea_orm(num_value = -1))]
    Away,
    /// Towards the side the DPU looks from: `+1`.
    #[cfg_attr(feature = "columns", sea_orm(num_value = 1))]
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
