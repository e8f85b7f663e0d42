//! Asks the primary and the standby for their positions.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sqlx::{PgConnection, PgExecutor, PgPool};
use tokio::time::{Instant as Tick, sleep, timeout};

use super::StandbyState;
use crate::tasks;

/// Time between two questions while nothing changes.
const EVERY: Duration = Duration::from_secs(1);
/// Minimum time between two questions.
const PAUSE: Duration = Duration::from_millis(20);
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// The identity of a database. A standby has the same one as its primary.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ServerIdentity {
    system: String,
    name: String,
}

#[derive(Debug, thiserror::Error)]
enum StandbyProblem {
    #[error("cannot read the primary's WAL position: {0}")]
    Primary(sqlx::Error),
    #[error("cannot read the standby's WAL position: {0}")]
    Standby(sqlx::Error),
    #[error("the standby was promoted to a primary")]
    Promoted,
}

impl ServerIdentity {
    pub(super) async fn of(executor: impl PgExecutor<'_>) -> Result<Self, sqlx::Error> {
        let sql = "SELECT system_identifier::text, current_database()::text FROM pg_control_system()";
        let (system, name) = sqlx::query_as(sql).fetch_one(executor).await?;
        Ok(Self { system, name })
    }
}

/// Checks that a new connection leads to the standby, and that the standby is not behind its last known position: after
/// a crash it may accept connections earlier.
pub(super) async fn check(
    connection: &mut PgConnection,
    identity: &ServerIdentity,
    state: &StandbyState,
) -> Result<(), sqlx::Error> {
    let refused = |reason: &str| sqlx::Error::Configuration(reason.into());
    if ServerIdentity::of(&mut *connection).await? != *identity {
        return Err(refused("it is not a standby of the database of DATABASE_URL"));
    }
    match replayed(connection).await? {
        None => Err(refused("it is a primary, not a standby")),
        Some(position) if position < state.position.load(Ordering::SeqCst) => {
            Err(refused("it has not yet caught up with its own earlier position"))
        }
        Some(_) => Ok(()),
    }
}

/// Keeps the known progress of the standby current, as long as it runs.
pub(super) async fn follow(state: Arc<StandbyState>, primary: PgPool, standby: PgPool) -> Infallible {
    let mut is_well = true;
    loop {
        match catch_up(&state, &primary, &standby).await {
            Ok(()) => {
                if !is_well {
                    tracing::info!("reading from the standby again");
                }
                is_well = true;
                tasks::ran();
            }
            Err(problem) => {
                state.lost();
                if is_well {
                    tracing::warn!("reading everything from the primary: {problem}");
                }
                is_well = false;
                sleep(EVERY).await;
            }
        }
        sleep(PAUSE).await;
        timeout(EVERY, state.changed.notified()).await.ok();
    }
}

/// Waits until the standby has everything that is known now.
async fn catch_up(state: &StandbyState, primary: &PgPool, standby: &PgPool) -> Result<(), StandbyProblem> {
    let change = state.progress().newest();
    let asked = Tick::now();
    // The end of the log, flushed or not: every known commit is before it.
    let end = sqlx::query_scalar("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").fetch_one(primary);
    let end: i64 = in_time(end).await.map_err(StandbyProblem::Primary)?;
    loop {
        let position = in_time(replayed(standby))
            .await
            .map_err(StandbyProblem::Standby)?
            .ok_or(StandbyProblem::Promoted)?;
        state.position.fetch_max(position, Ordering::SeqCst);
        state.lags(asked.elapsed());
        if position >= end.unsigned_abs() {
            state.progress().replayed(change);
            return Ok(());
        }
        sleep(PAUSE).await;
    }
}

/// Returns a standby's position in its primary's log, or `None` if it is a primary.
async fn replayed(executor: impl PgExecutor<'_>) -> Result<Option<u64>, sqlx::Error> {
    let sql = "SELECT (pg_last_wal_replay_lsn() - '0/0')::bigint WHERE pg_is_in_recovery()";
    let position: Option<i64> = sqlx::query_scalar(sql).fetch_optional(executor).await?.flatten();
    Ok(position.map(i64::unsigned_abs))
}

async fn in_time<T>(asking: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    let late = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    timeout(ANSWER_MAX, asking).await.map_err(late)?
}
