//! Changes of the floor plan, each inside a transaction of the caller. One file per noun.
//!
//! Single values and the existence of referenced rows are checked here. Rules that concern several rows are constraints
//! of the database, so that no two processes can break one together. Where events are pruned, the whole change is
//! checked when its [`ChangeLock`] ends.

pub mod assignment;
pub mod dpu;
pub mod reset;
pub mod reset_rule;
pub mod space;
mod turn;
mod values;

use sea_orm::ConnectionTrait;

pub use self::turn::ChangeLock;
pub(crate) use self::turn::lock;
pub(super) use self::values::NAME_CHARACTERS_MAX;
pub use self::values::composed;

use super::load;
use super::{ChangeError, FloorPlan};

/// Returns the floor plan as the transaction sees it, including its own changes.
pub async fn current(transaction: &impl ConnectionTrait) -> Result<FloorPlan, ChangeError> {
    Ok(load(transaction).await?)
}
