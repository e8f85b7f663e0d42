//! Changes of the floor plan, each inside a transaction of the caller's, a file a noun.
//!
//! What concerns one value is checked here, and so is whether what is named exists; what concerns
//! several rows the database's constraints check, so that no two processes can break a rule together.

pub mod assignment;
pub mod dpu;
mod kept;
pub mod reset;
pub mod reset_rule;
pub mod space;
mod values;

use sea_orm::{ConnectionTrait, DatabaseBackend};

use super::load;
use super::{ChangeError, FloorPlan};

/// Lets one change of the floor plan be under way at a time, until the transaction ends.
///
/// On SQLite a transaction that writes is alone anyway.
pub async fn take_turn(transaction: &impl ConnectionTrait) -> Result<(), ChangeError> {
    if transaction.get_database_backend() == DatabaseBackend::Postgres {
        transaction.execute_unprepared("SELECT revision FROM floor_plan FOR UPDATE").await?;
    }
    Ok(())
}

/// The floor plan as the transaction sees it, its own changes included.
pub async fn current(transaction: &impl ConnectionTrait) -> Result<FloorPlan, ChangeError> {
    Ok(load(transaction).await?)
}
