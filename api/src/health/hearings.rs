//! What was heard of DPUs, in memory, and how it is stored and shared.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use entity::{Instant, hearing};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter};
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;

use crate::database::Database;
use crate::tasks::{self, Tasks};

/// How often what was heard is written, and what others have heard is read.
const PERIOD: Duration = Duration::from_mins(1);
/// What others have written is read again for so long, since they write what they heard a while ago.
const OVERLAP_MS: i64 = 5 * 60_000;
/// Maximum number of rows in a statement.
const ROWS_MAX: usize = 1_000;

/// The last that was heard of a DPU.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// When its last report was received, by the server's clock.
    pub at: Instant,
    /// The newest instant until which it has told what happened.
    pub known_until: Option<Instant>,
    /// How far its clock was ahead of the server's in that report, in milliseconds; delays make it negative.
    pub clock_offset_ms: Option<i64>,
    /// Charge of its battery in percent, as it last said.
    pub battery: Option<f64>,
    /// Its faults, as it last said.
    pub faults: Option<String>,
}

/// What was heard of all DPUs.
#[derive(Clone, Debug)]
pub struct Hearings {
    database: Database,
    memory: Arc<Mutex<Memory>>,
    /// Set once everything stored was read.
    read: Arc<OnceCell<()>>,
}

/// The task of [`Hearings`], which runs until this is dropped.
#[derive(Debug)]
pub struct Exchanging(JoinHandle<Infallible>);

impl Drop for Exchanging {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Debug, Default)]
struct Memory {
    heard: HashMap<i64, Heard>,
    /// DPUs that were heard of since they were last written.
    unwritten: HashSet<i64>,
    /// The newest instant of what was read.
    read_until: Option<Instant>,
}

impl Heard {
    /// Returns that something was heard at `at`, and nothing else.
    pub fn at(at: Instant) -> Self {
        Self { at, known_until: None, clock_offset_ms: None, battery: None, faults: None }
    }

    /// Returns what is known after hearing `newer`. What it does not tell stays.
    fn then(&self, newer: Self) -> Self {
        let Self { at, known_until, clock_offset_ms, battery, faults } = newer;
        Self {
            at,
            known_until: known_until.max(self.known_until),
            clock_offset_ms: clock_offset_ms.or(self.clock_offset_ms),
            battery: battery.or(self.battery),
            faults,
        }
    }
}

impl Hearings {
    pub fn new(database: Database) -> Self {
        Self { database, memory: Arc::default(), read: Arc::default() }
    }

    /// Hears of DPUs, by id.
    pub fn hear(&self, heard: impl IntoIterator<Item = (i64, Heard)>) {
        let mut memory = self.memory();
        for (dpu, heard) in heard {
            memory.unwritten.insert(dpu);
            memory.merge(dpu, heard);
        }
    }

    /// Returns the last that was heard of a DPU.
    pub async fn of(&self, dpu: i64) -> Result<Option<Heard>, DbErr> {
        self.read.get_or_try_init(|| self.read_stored()).await?;
        Ok(self.memory().heard.get(&dpu).cloned())
    }

    /// Starts the task that writes what was heard and reads what others have heard, once a minute.
    pub fn start(&self, tasks: &Tasks) -> Exchanging {
        let hearings = self.clone();
        Exchanging(tasks.spawn("hearings", async move {
            loop {
                tokio::time::sleep(PERIOD).await;
                if let Err(error) = hearings.exchange().await {
                    tracing::warn!(%error, "when DPUs were last heard of could not be stored");
                }
                tasks::ran();
            }
        }))
    }

    /// Writes what was heard, and reads what others have heard.
    pub async fn exchange(&self) -> Result<(), DbErr> {
        self.write().await?;
        self.read_stored().await?;
        self.read.set(()).ok();
        Ok(())
    }

    /// Writes what was heard since it was last written.
    pub async fn write(&self) -> Result<(), DbErr> {
        let rows: Vec<(i64, Heard)> = {
            let mut memory = self.memory();
            let mut dpus: Vec<i64> = std::mem::take(&mut memory.unwritten).into_iter().collect();
            dpus.sort_unstable();
            dpus.into_iter().filter_map(|dpu| Some((dpu, memory.heard.get(&dpu)?.clone()))).collect()
        };
        for rows in rows.chunks(ROWS_MAX) {
            if let Err(error) = self.database.in_time(self.put(rows)).await {
                self.memory().unwritten.extend(rows.iter().map(|(dpu, _)| *dpu));
                return Err(error);
            }
        }
        Ok(())
    }

    async fn put(&self, rows: &[(i64, Heard)]) -> Result<(), DbErr> {
        use hearing::Column::{Battery, ClockOffsetMs, DpuId, Faults, KnownUntil, LastHeard};
        let models = rows.iter().map(|(dpu, heard)| hearing::ActiveModel {
            dpu_id: Set(*dpu),
            last_heard: Set(heard.at),
            known_until: Set(heard.known_until),
            clock_offset_ms: Set(heard.clock_offset_ms),
            battery: Set(heard.battery),
            faults: Set(heard.faults.clone()),
        });
        let newer = Expr::cust("excluded.last_heard > hearing.last_heard");
        let on_conflict = OnConflict::column(DpuId)
            .update_columns([LastHeard, KnownUntil, ClockOffsetMs, Battery, Faults])
            .action_and_where(newer)
            .to_owned();
        let insert = hearing::Entity::insert_many(models).on_conflict(on_conflict);
        match insert.exec_without_returning(self.database.writer()).await {
            // Others have written newer ones.
            Ok(_) | Err(DbErr::RecordNotInserted) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn read_stored(&self) -> Result<(), DbErr> {
        let since = self.memory().read_until.map(|until| until.plus_ms(-OVERLAP_MS));
        let rows = hearing::Entity::find();
        let rows =
            since.into_iter().fold(rows, |rows, since| rows.filter(hearing::Column::LastHeard.gte(since)));
        let rows = self.database.in_time(rows.all(self.database.background())).await?;
        let mut memory = self.memory();
        for row in rows {
            memory.read_until = memory.read_until.max(Some(row.last_heard));
            let heard = Heard {
                at: row.last_heard,
                known_until: row.known_until,
                clock_offset_ms: row.clock_offset_ms,
                battery: row.battery,
                faults: row.faults,
            };
            memory.merge(row.dpu_id, heard);
        }
        Ok(())
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    /// Adds what was heard of a DPU, unless something newer is known.
    fn merge(&mut self, dpu: i64, heard: Heard) {
        let known = self.heard.get(&dpu);
        let merged = match known {
            Some(known) if known.at >= heard.at => {
                Heard { known_until: known.known_until.max(heard.known_until), ..known.clone() }
            }
            Some(known) => known.then(heard),
            None => heard,
        };
        self.heard.insert(dpu, merged);
    }
}
