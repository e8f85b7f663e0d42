//! Detects a pooler that shares the connections to PostgreSQL among its clients, such as PgBouncer with
//! `pool_mode = transaction`.
//!
//! Prepared statements, session settings and `LISTEN` need a PostgreSQL process for each connection. Behind such a
//! pooler they fail, most of them only under load, so the server checks for one when it starts.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Row};

/// Opens two connections. Returns whether both reach the same process, or one of them reaches several.
pub(super) async fn shares_connections(
    options: &PgConnectOptions,
    wait: Duration,
) -> Result<bool, sqlx::Error> {
    let late = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    tokio::time::timeout(wait, look(options)).await.map_err(late)?
}

async fn look(options: &PgConnectOptions) -> Result<bool, sqlx::Error> {
    let mut one = PgConnection::connect_with(options).await?;
    let first = process_of(&mut one).await?;
    let mut other = PgConnection::connect_with(options).await?;
    let second = process_of(&mut other).await?;
    // Not in strict alternation, because a pooler may alternate, too.
    let is_shared = first == second
        || process_of(&mut other).await? != second
        || process_of(&mut one).await? != first
        || process_of(&mut other).await? != second;
    // A connection that is still open here is closed by the other end.
    one.close().await?;
    other.close().await?;
    Ok(is_shared)
}

/// Returns the id of the PostgreSQL process that a statement reaches. Prepares no statement.
async fn process_of(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    sqlx::raw_sql("SELECT pg_backend_pid()").fetch_one(connection).await?.try_get(0)
}
