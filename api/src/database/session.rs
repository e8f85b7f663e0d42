//! The settings of each PostgreSQL session.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::PgConnection;

/// Makes PostgreSQL notice dead clients, and not keep their locks for the two hours after which TCP gives up by
/// default.
const GONE_CLIENTS: &str = "SET idle_in_transaction_session_timeout = '5min'; \
    SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3";
const TEMP_FILE_LIMIT: &str = "1000MB";
/// Maximum time that a maintenance statement waits for a lock. Other statements queue behind it.
const LOCK_TIMEOUT: &str = "5s";

#[derive(Debug)]
pub(super) struct Session {
    limit: Option<Duration>,
    /// Whether the database user may limit temporary files, as far as is known.
    limits_temp_files: AtomicBool,
}

impl Session {
    pub(super) fn new(limit: Option<Duration>) -> Self {
        Self { limit, limits_temp_files: AtomicBool::new(true) }
    }

    pub(super) async fn begin(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(GONE_CLIENTS).execute(&mut *connection).await?;
        let Some(limit) = self.limit else { return Ok(()) };
        // Before version 14, PostgreSQL cannot check during a statement whether the client is still connected.
        let limits = format!(
            "SET statement_timeout = {}; SELECT set_config(name, '1s', false) FROM pg_settings \
             WHERE name = 'client_connection_check_interval'",
            limit.as_millis()
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(limits)).execute(&mut *connection).await?;
        self.limit_temp_files(connection).await;
        Ok(())
    }

    /// Limits temporary files. Only superusers may do this, and users with the privilege.
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

/// Returns the settings of a maintenance transaction: no time limit, but a short wait for locks.
pub(super) fn maintenance() -> String {
    format!(
        "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; \
         SELECT set_config(name, '-1', true) FROM pg_settings \
         WHERE name = 'temp_file_limit' AND current_setting(name) = '{TEMP_FILE_LIMIT}'"
    )
}
