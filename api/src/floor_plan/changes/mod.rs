//! Changes of the floor plan, each inside a transaction of the caller's, a file a noun.
//!
//! What concerns one value is checked here, and so is whether what is named exists; what concerns
//! several rows the database's constraints check, so that no two processes can break a rule together. What a whole change
//! may not do where events are pruned is checked when its [`Turn`] ends.

pub mod assignment;
pub mod dpu;
pub mod reset;
pub mod reset_rule;
pub mod space;
mod turn;
mod values;

use sea_orm::ConnectionTrait;

pub use self::turn::Turn;
pub(crate) use self::turn::lock;
pub use self::values::composed;

use super::load;
use super::{ChangeError, FloorPlan};

/// The floor plan as the transaction sees it, its own changes included.
pub async fn current(transaction: &impl ConnectionTrait) -> Result<FloorPlan, ChangeError> {
    Ok(load(transaction).await?)
}
