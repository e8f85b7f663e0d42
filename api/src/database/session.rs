//! What each session of PostgreSQL is told at its beginning.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::PgConnection;

/// What PostgreSQL is told about a client that is gone without a word: to notice it, and not to keep its locks for the
/// two hours that TCP waits unless told otherwise.
const GONE_CLIENTS: &str = "SET idle_in_transaction_session_timeout = '5min'; \
    SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3";
/// How much the sorts and joins of one session may write to disk.
const TEMP_FILE_LIMIT: &str = "1000MB";
/// How long a statement of maintenance waits for a lock. Others queue behind it.
const LOCK_TIMEOUT: &str = "5s";

/// The statements that begin a session.
#[derive(Debug)]
pub(super) struct Session {
    limit: Option<Duration>,
    /// Whether the user of the database may limit temporary files, as far as is known.
    limits_temp_files: AtomicBool,
}

impl Session {
    /// Returns a session whose statements end after `limit`.
    pub(super) fn new(limit: Option<Duration>) -> Self {
        Self { limit, limits_temp_files: AtomicBool::new(true) }
    }

    /// Begins a session.
    pub(super) async fn begin(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(GONE_CLIENTS).execute(&mut *connection).await?;
        let Some(limit) = self.limit else { return Ok(()) };
        // Versions before 14 cannot look while a statement runs whether its client is still there.
        let limits = format!(
            "SET statement_timeout = {}; SELECT set_config(name, '1s', false) FROM pg_settings \
             WHERE name = 'client_connection_check_interval'",
            limit.as_millis()
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(limits)).execute(&mut *connection).await?;
        self.limit_temp_files(connection).await;
        Ok(())
    }

    /// Limits temporary files, which only a superuser may do, or a user to whom that was granted.
    async fn limit_temp_files(&self, connection: &mut PgConnection) {
        if !self.limits_temp_files.load(Ordering::Relaxed) {
            return;
        }
        let limit = format!("SET temp_file_limit = '{TEMP_FILE_LIMIT}'");
        if let Err(error) = sqlx::raw_sql(sqlx::AssertSqlSafe(limit)).execute(connection).await
            && self.limits_temp_files.swap(false, Ordering::Relaxed)
        {
            tracing::info!(
                "temporary files of PostgreSQL are not limited ({error}): `GRANT SET ON PARAMETER temp_file_limit` to \
                 the user lets Headcount limit them to {TEMP_FILE_LIMIT} a session"
            );
        }
    }
}

/// Returns what a transaction of maintenance is told: it may take any time, but does not wait long for a lock.
pub(super) fn maintenance() -> String {
    format!(
        "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; \
         SELECT set_config(name, '-1', true) FROM pg_settings \
         WHERE name = 'temp_file_limit' AND current_setting(name) = '{TEMP_FILE_LIMIT}'"
    )
}
