//! The newest floor plan, read from the database again after it was forgotten.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use entity::{assignment, dpu, reset, reset_rule, space};
use sea_orm::{ConnectionTrait, DbErr, EntityTrait, QueryOrder, Statement};

use super::{Edition, FloorPlan, Rows};
use crate::database::Database;
use crate::telemetry::metrics;

/// Hands out the floor plan as it is now: from memory, until somebody says that it has changed.
#[derive(Debug, Default)]
pub struct FloorPlans {
    newest: ArcSwapOption<FloorPlan>,
    asked: Mutex<Asked>,
    /// Held while reading, so that requests that come meanwhile wait for one reading instead of starting theirs.
    reading: tokio::sync::Mutex<()>,
}

/// What a floor plan must be to be kept.
#[derive(Debug, Default)]
struct Asked {
    /// How often it was forgotten: the reading of one that is kept began after that.
    forgotten: u64,
    /// The revision that there is at least.
    revision: i64,
}

impl FloorPlans {
    /// None read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The floor plan, if it is in memory. Takes no lock and does not wait.
    pub fn in_memory(&self) -> Option<Arc<FloorPlan>> {
        self.newest.load_full()
    }

    /// The floor plan, with every change in it that was committed before it was last forgotten.
    pub async fn newest(&self, database: &Database) -> Result<Arc<FloorPlan>, DbErr> {
        if let Some(plan) = self.in_memory() {
            return Ok(plan);
        }
        // While the database is away each that waits here would wait for the failures of all before it.
        let _reading = database.in_turn(self.reading.lock()).await?;
        if let Some(plan) = self.in_memory() {
            return Ok(plan);
        }
        let forgotten = self.asked().forgotten;
        let plan = Arc::new(load(database).await?);
        metrics::floor_plan_read();
        let asked = self.asked();
        if asked.forgotten == forgotten && asked.revision <= plan.edition.revision {
            self.newest.store(Some(Arc::clone(&plan)));
        }
        Ok(plan)
    }

    /// Forgets the floor plan: it has changed.
    pub fn forget(&self) {
        let mut asked = self.asked();
        asked.forgotten += 1;
        self.newest.store(None);
    }

    /// Forgets the floor plan if it is older than this revision.
    pub fn forget_before(&self, revision: i64) {
        let mut asked = self.asked();
        asked.revision = asked.revision.max(revision);
        if self.in_memory().is_some_and(|plan| plan.edition.revision < revision) {
            self.newest.store(None);
        }
    }

    /// Forgets the floor plan if the database has a newer one, of which no news has come yet.
    pub async fn check(&self, database: &Database) -> Result<(), DbErr> {
        self.forget_before(database.in_time(edition(database.reader())).await?.revision);
        Ok(())
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) async fn edition(connection: &impl ConnectionTrait) -> Result<Edition, DbErr> {
    let sql = "SELECT revision, horizon, digested FROM floor_plan";
    let row =
        connection.query_one_raw(Statement::from_string(connection.get_database_backend(), sql)).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("the revision of the floor plan".to_owned()))?;
    Ok(Edition {
        revision: row.try_get_by_index(0)?,
        horizon: row.try_get_by_index(1)?,
        digested: row.try_get_by_index(2)?,
    })
}

/// The floor plan as one transaction sees it.
pub(super) async fn load_in(connection: &impl ConnectionTrait) -> Result<FloorPlan, DbErr> {
    let edition = edition(connection).await?;
    let rows = Rows {
        spaces: space::Entity::find().all(connection).await?,
        dpus: dpu::Entity::find().all(connection).await?,
        assignments: assignment::Entity::find().order_by_asc(assignment::Column::Id).all(connection).await?,
        resets: reset::Entity::find().order_by_asc(reset::Column::Ts).all(connection).await?,
        rules: reset_rule::Entity::find().order_by_asc(reset_rule::Column::Id).all(connection).await?,
    };
    Ok(FloorPlan::new(edition, rows))
}

async fn load(database: &Database) -> Result<FloorPlan, DbErr> {
    let loading = async {
        let transaction = database.begin_reading().await?;
        let plan = load_in(&transaction).await?;
        transaction.commit().await?;
        Ok(plan)
    };
    database.in_time(loading).await
}
