//! What every handler shares.

use std::collections::HashMap;
use std::sync::Arc;

use entity::Instant;
use sea_orm::DbErr;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::counting::Crossings;
use crate::counting::Reading;
use crate::database::Database;
use crate::floor_plan::{FloorPlan, FloorPlans, Space};
use crate::ingest::Recorder;
use crate::timelines;

/// The running service, without any interface to it.
#[derive(Debug)]
pub struct App {
    /// The database.
    pub database: Database,
    /// The floor plan in memory.
    pub floor_plans: Arc<FloorPlans>,
    /// The only writer of events.
    pub recorder: Recorder,
    /// What time it is.
    pub clock: Clock,
}

impl App {
    /// Starts the service over a database whose schema is up to date.
    ///
    /// The handle ends once the last clone of the app is gone and everything handed over is recorded.
    pub fn start(database: Database, clock: Clock) -> (Arc<Self>, JoinHandle<()>) {
        let floor_plans = Arc::new(FloorPlans::new());
        let (recorder, recording) =
            Recorder::start(database.clone(), Arc::clone(&floor_plans), clock.clone());
        (Arc::new(Self { database, floor_plans, recorder, clock }), recording)
    }

    /// The floor plan as it is now.
    pub async fn floor_plan(&self) -> Result<Arc<FloorPlan>, DbErr> {
        self.floor_plans.newest(&self.database).await
    }

    /// Reads odometers.
    pub async fn odometers(&self, readings: &[Reading]) -> Result<HashMap<Reading, Crossings>, DbErr> {
        timelines::read(self.database.reader(), readings).await
    }

    /// How many people are in the space at `at`, as the space wants it answered.
    pub async fn count(&self, space: &Space, at: Instant) -> Result<i64, DbErr> {
        let account = space.account(at);
        let readings: Vec<_> = account.readings().collect();
        let odometers = self.odometers(&readings).await?;
        Ok(space.answer(account.net(|reading| odometers[&reading])))
    }
}
