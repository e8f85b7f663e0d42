//! Asks the primary and the standby how far they are.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sqlx::{PgConnection, PgExecutor, PgPool};
use tokio::time::{Instant as Tick, sleep, timeout};

use super::State;

/// How often they are asked while nothing changes.
const EVERY: Duration = Duration::from_secs(1);
/// How long to wait between two questions.
const PAUSE: Duration = Duration::from_millis(20);
/// How long one may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Which database it is, on whichever server: a standby has its primary's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identity {
    system: String,
    name: String,
}

/// Why the standby is not to be read from.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("the primary does not say where its log ends: {0}")]
    Primary(sqlx::Error),
    #[error("the standby does not say how far it has come: {0}")]
    Standby(sqlx::Error),
    #[error("the standby has become a primary of its own")]
    Promoted,
}

impl Identity {
    pub(super) async fn of(executor: impl PgExecutor<'_>) -> Result<Self, sqlx::Error> {
        let sql = "SELECT system_identifier::text, current_database()::text FROM pg_control_system()";
        let (system, name) = sqlx::query_as(sql).fetch_one(executor).await?;
        Ok(Self { system, name })
    }
}

/// Whether what a new connection leads to is the standby, and has come as far as was seen before: after a crash it may
/// answer a while before it has.
pub(super) async fn check(
    connection: &mut PgConnection,
    identity: &Identity,
    state: &State,
) -> Result<(), sqlx::Error> {
    let refused = |reason: &str| sqlx::Error::Configuration(reason.into());
    if Identity::of(&mut *connection).await? != *identity {
        return Err(refused("it is not a standby of DATABASE_URL's server, or another database there"));
    }
    match replayed(connection).await? {
        None => Err(refused("it is no standby")),
        Some(position) if position < state.position.load(Ordering::SeqCst) => {
            Err(refused("it has not yet come to where it was before"))
        }
        Some(_) => Ok(()),
    }
}

/// Keeps what is known of the standby true, for as long as it runs.
pub(super) async fn follow(state: Arc<State>, primary: PgPool, standby: PgPool) -> Infallible {
    let mut is_well = true;
    loop {
        match catch_up(&state, &primary, &standby).await {
            Ok(()) => {
                if !is_well {
                    tracing::info!("the standby is read from again");
                }
                is_well = true;
            }
            Err(problem) => {
                state.lost();
                if is_well {
                    tracing::warn!("everything is read from the primary: {problem}");
                }
                is_well = false;
                sleep(EVERY).await;
            }
        }
        sleep(PAUSE).await;
        timeout(EVERY, state.changed.notified()).await.ok();
    }
}

/// Waits until the standby has all that is known now.
async fn catch_up(state: &State, primary: &PgPool, standby: &PgPool) -> Result<(), Problem> {
    let change = state.progress().newest();
    let asked = Tick::now();
    // Where its log ends, flushed or not: every commit that was heard of lies before that.
    let end = sqlx::query_scalar("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").fetch_one(primary);
    let end: i64 = in_time(end).await.map_err(Problem::Primary)?;
    loop {
        let position =
            in_time(replayed(standby)).await.map_err(Problem::Standby)?.ok_or(Problem::Promoted)?;
        state.position.fetch_max(position, Ordering::SeqCst);
        state.lags(asked.elapsed());
        if position >= end.unsigned_abs() {
            state.progress().replayed(change);
            return Ok(());
        }
        sleep(PAUSE).await;
    }
}

/// Returns how far in its primary's log a standby has come; `None` if it is none.
async fn replayed(executor: impl PgExecutor<'_>) -> Result<Option<u64>, sqlx::Error> {
    let sql = "SELECT (pg_last_wal_replay_lsn() - '0/0')::bigint WHERE pg_is_in_recovery()";
    let position: Option<i64> = sqlx::query_scalar(sql).fetch_optional(executor).await?.flatten();
    Ok(position.map(i64::unsigned_abs))
}

async fn in_time<T>(asking: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    let late = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    timeout(ANSWER_MAX, asking).await.map_err(late)?
}
