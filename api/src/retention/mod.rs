//! Retention: how long individual events are kept.
//!
//! Pruning replaces events by intervals: the number of people who crossed during an hour. Events are deleted in the
//! transaction that writes the intervals. So odometers are unchanged at the end of each hour, and code that reads them
//! need not know about pruning. An interval also ends at each instant within an hour from which some count continues (a
//! reset, the start or the end of an assignment), so that counts after the horizon stay exact. Tallies stay as they
//! are. The intervals of an hour that a DPU has reported are joined in the same way, and of a DPU's readings the last
//! one is kept.
//!
//! First the horizon is raised: from then on no event before it is recorded, and the floor plan can change before it
//! only at whole hours. Then the events are pruned piece by piece. After an interruption, the next prune continues
//! there.

mod schedule;
mod sums;

use entity::Instant;
use sea_orm::{ConnectionTrait, DatabaseBackend, DatabaseTransaction, DbErr, Statement, TransactionTrait};

pub use self::schedule::{Age, ParseAgeError, Schedule};
use crate::database::{Database, Partition};
use crate::floor_plan::{ChangeError, changes};

/// A horizon is the start of a UTC day.
const DAY_MS: i64 = 24 * 3_600_000;
/// Advisory lock that is held while pruning on PostgreSQL; an arbitrary number.
const PRUNE_LOCK: i64 = 0x6865_6164_0003;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// Events before this instant have been pruned.
    pub horizon: Instant,
    pub events: u64,
}

/// Prunes the events before the UTC day that `until` is in. Returns `None` if another process is pruning.
///
/// A horizon before the present one changes nothing, since pruning cannot be undone.
pub async fn prune(database: &Database, until: Instant) -> Result<Option<Pruned>, ChangeError> {
    let Some(_turn) = take_turn(database).await? else { return Ok(None) };
    let horizon = raise_horizon(database, until.floor_to(DAY_MS)).await?;
    let mut pruned = Pruned { horizon, events: 0 };
    while let Some(first) = first_event(database.reader()).await?.filter(|first| *first < horizon) {
        pruned.events += prune_piece(database, first, horizon).await?;
    }
    finish(database, horizon).await?;
    Ok(Some(pruned))
}

/// Takes the lock by which one process prunes at a time. It is held until the returned transaction ends.
async fn take_turn(database: &Database) -> Result<Option<Option<DatabaseTransaction>>, DbErr> {
    if database.backend() != DatabaseBackend::Postgres {
        // Two processes that prune one file alternate by pieces, and neither repeats the other's work.
        return Ok(Some(None));
    }
    let turn = database.writer().begin().await?;
    // It is idle for as long as pruning takes, and must not be terminated for that.
    turn.execute_unprepared("SET LOCAL idle_in_transaction_session_timeout = 0").await?;
    let sql = format!("SELECT pg_try_advisory_xact_lock({PRUNE_LOCK})");
    let row = turn.query_one_raw(Statement::from_string(DatabaseBackend::Postgres, sql)).await?;
    let is_ours = row.map(|row| row.try_get_by_index::<bool>(0)).transpose()?.unwrap_or_default();
    Ok(is_ours.then_some(Some(turn)))
}

/// Raises the horizon, after all commits that began under the old one. Returns the horizon then.
async fn raise_horizon(database: &Database, horizon: Instant) -> Result<Instant, ChangeError> {
    let transaction = database.begin_maintenance().await?;
    changes::lock(&transaction).await?;
    if database.backend() == DatabaseBackend::Postgres {
        // An insert holds a lock that this one waits for, and reads the horizon after it got that lock.
        transaction
            .execute_unprepared("LOCK TABLE event, interval, reading IN SHARE ROW EXCLUSIVE MODE")
            .await?;
    }
    let raised = format!(
        "UPDATE floor_plan SET horizon = {ms}, revision = revision + 1 WHERE horizon IS NULL OR horizon < {ms}",
        ms = horizon.ms()
    );
    transaction.execute_unprepared(&raised).await?;
    let plan = changes::current(&transaction).await?;
    transaction.commit().await?;
    Ok(plan.horizon().unwrap_or(horizon))
}

async fn first_event(connection: &impl ConnectionTrait) -> Result<Option<Instant>, DbErr> {
    // Two index lookups per DPU.
    let sql = "SELECT MIN(first) FROM (
        SELECT (SELECT ts FROM event WHERE dpu_id = dpu.id ORDER BY ts LIMIT 1) AS first FROM dpu
        UNION ALL
        SELECT (SELECT ends - 1 FROM interval WHERE dpu_id = dpu.id AND source <> 2 ORDER BY ends LIMIT 1) FROM dpu
    ) AS firsts";
    let row =
        connection.query_one_raw(Statement::from_string(connection.get_database_backend(), sql)).await?;
    row.map_or(Ok(None), |row| row.try_get_by_index(0))
}

/// Prunes the month that `first` is in if it has a partition and ends before the horizon, else the day.
async fn prune_piece(database: &Database, first: Instant, horizon: Instant) -> Result<u64, ChangeError> {
    let transaction = database.begin_maintenance().await?;
    let partition = match database.backend() {
        DatabaseBackend::Postgres => Partition::of(first).filter(|partition| partition.end() <= horizon),
        _ => None,
    };
    let day = first.floor_to(DAY_MS);
    let (start, end) =
        partition.map_or((day, day.plus_ms(DAY_MS)), |partition| (partition.start(), partition.end()));
    let plan = changes::current(&transaction).await?;
    let events = sums::put(&transaction, &plan, start, end).await?;
    match partition {
        Some(partition) => partition.drop(&transaction).await?,
        None => sums::delete_events(&transaction, start, end).await?,
    }
    set_digested(&transaction, end.min(horizon)).await?;
    transaction.commit().await?;
    tracing::info!(%start, %end, events, "pruned");
    Ok(events)
}

/// Drops the empty partitions that are left before the horizon.
async fn finish(database: &Database, horizon: Instant) -> Result<(), ChangeError> {
    let transaction = database.begin_maintenance().await?;
    if database.backend() == DatabaseBackend::Postgres {
        for partition in Partition::all(&transaction).await? {
            if partition.end() <= horizon {
                partition.drop(&transaction).await?;
            }
        }
    }
    set_digested(&transaction, horizon).await?;
    transaction.commit().await?;
    Ok(())
}

async fn set_digested(transaction: &impl ConnectionTrait, until: Instant) -> Result<(), DbErr> {
    let sql = format!(
        "UPDATE floor_plan SET digested = {ms}, revision = revision + 1 WHERE digested IS NULL OR digested < {ms}",
        ms = until.ms()
    );
    transaction.execute_unprepared(&sql).await.map(drop)
}
