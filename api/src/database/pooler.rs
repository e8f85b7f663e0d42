//! Notices a pooler that shares the connections to PostgreSQL among its clients, as PgBouncer does with
//! `pool_mode = transaction`.
//!
//! Prepared statements, settings of a session and `LISTEN` want a process of PostgreSQL for each connection. Behind such a
//! pooler they fail, most of them only under load, so it is looked for at the start.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Row};

/// Opens two connections, and returns whether statements of both reach one process, or those of one several.
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
    // Not strictly by turns: a pooler may take turns, too.
    let is_shared = first == second
        || process_of(&mut other).await? != second
        || process_of(&mut one).await? != first
        || process_of(&mut other).await? != second;
    // What is left open is closed by the other end.
    one.close().await?;
    other.close().await?;
    Ok(is_shared)
}

/// Returns the process of PostgreSQL that a statement reaches. It prepares nothing.
async fn process_of(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    sqlx::raw_sql("SELECT pg_backend_pid()").fetch_one(connection).await?.try_get(0)
}
