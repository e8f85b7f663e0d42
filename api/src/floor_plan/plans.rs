//! The newest floor plan, read from the database again when its revision there has changed.

use std::sync::{Arc, PoisonError, RwLock};

use entity::{assignment, dpu, reset, reset_rule, space};
use sea_orm::{ConnectionTrait, DbErr, EntityTrait, QueryOrder, Statement};

use super::{FloorPlan, Rows};
use crate::database::Database;

/// Hands out the floor plan as it is in the database now.
#[derive(Debug)]
pub struct FloorPlans {
    newest: RwLock<Arc<FloorPlan>>,
    /// Held while reading, so that requests that come meanwhile wait for one reading instead of starting theirs.
    reading: tokio::sync::Mutex<()>,
}

impl FloorPlans {
    /// None read yet.
    pub fn new() -> Self {
        // No database has a revision below zero, so the first request reads.
        let none = FloorPlan { revision: -1, ..FloorPlan::default() };
        Self { newest: RwLock::new(Arc::new(none)), reading: tokio::sync::Mutex::default() }
    }

    /// The floor plan, with every change in it that was committed before the call, by whichever process.
    pub async fn newest(&self, database: &Database) -> Result<Arc<FloorPlan>, DbErr> {
        let revision = revision(database.reader()).await?;
        if let Some(plan) = self.at_least(revision) {
            return Ok(plan);
        }
        let _reading = self.reading.lock().await;
        if let Some(plan) = self.at_least(revision) {
            return Ok(plan);
        }
        let plan = Arc::new(load(database).await?);
        *self.newest.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&plan);
        Ok(plan)
    }

    fn at_least(&self, revision: i64) -> Option<Arc<FloorPlan>> {
        let newest = self.newest.read().unwrap_or_else(PoisonError::into_inner);
        (newest.revision >= revision).then(|| Arc::clone(&newest))
    }
}

impl Default for FloorPlans {
    fn default() -> Self {
        Self::new()
    }
}

async fn revision(connection: &impl ConnectionTrait) -> Result<i64, DbErr> {
    let sql = Statement::from_string(connection.get_database_backend(), "SELECT revision FROM floor_plan");
    let row = connection.query_one_raw(sql).await?;
    row.ok_or_else(|| DbErr::RecordNotFound("the revision of the floor plan".to_owned()))?.try_get_by_index(0)
}

/// The floor plan as one transaction sees it.
pub(super) async fn load_in(connection: &impl ConnectionTrait) -> Result<FloorPlan, DbErr> {
    let revision = revision(connection).await?;
    let rows = Rows {
        spaces: space::Entity::find().all(connection).await?,
        dpus: dpu::Entity::find().all(connection).await?,
        assignments: assignment::Entity::find().order_by_asc(assignment::Column::Id).all(connection).await?,
        resets: reset::Entity::find().order_by_asc(reset::Column::Ts).all(connection).await?,
        rules: reset_rule::Entity::find().order_by_asc(reset_rule::Column::Id).all(connection).await?,
    };
    Ok(FloorPlan::new(revision, rows))
}

async fn load(database: &Database) -> Result<FloorPlan, DbErr> {
    let transaction = database.begin_reading().await?;
    let plan = load_in(&transaction).await?;
    transaction.commit().await?;
    Ok(plan)
}
