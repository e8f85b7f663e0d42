//! Checks whether the database accepts writes.
//!
//! A full disk or a read-only file shows only when something is written. While events are being recorded, no check is
//! needed: the recorder reports the result of each commit. After a failed commit, and until one succeeds, a trial
//! decides: it writes some megabytes inside a transaction that is rolled back
//! ([why](../../../docs/decisions/0021-readiness-knows-whether-writes-succeed.md)).

use std::sync::atomic::{AtomicU64, Ordering};

use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, Statement};

use super::Database;
use super::failure::{READ_ONLY, why_not_written};

/// Number of rows of a trial, and of letters in each: 4 MB in total. SQLite keeps 2 MB of a transaction in memory and
/// writes the rest immediately; PostgreSQL allocates disk space for a table as it grows.
const TRIAL_ROWS: usize = 4_096;
const TRIAL_ROW_LETTERS: usize = 1_000;

#[derive(Debug, Default)]
pub(super) struct Writes {
    /// Number of failures since the last success.
    failed: AtomicU64,
}

impl Database {
    pub(crate) fn commit_ended(&self, is_recorded: bool) {
        if is_recorded {
            self.writes.failed.store(0, Ordering::SeqCst);
        } else {
            self.writes.failed.fetch_add(1, Ordering::SeqCst);
        }
    }

    pub(super) async fn takes_writes(&self) -> Result<(), &'static str> {
        if self.backend() == DatabaseBackend::Postgres
            && self.is_read_only().await.map_err(|_| "the database does not answer")?
        {
            return Err(READ_ONLY);
        }
        let failed = self.writes.failed.load(Ordering::SeqCst);
        if failed == 0 {
            return Ok(());
        }
        self.try_to_write().await.map_err(|error| why_not_written(&error))?;
        // If another commit has failed in the meantime, the next check tries again.
        self.writes.failed.compare_exchange(failed, 0, Ordering::SeqCst, Ordering::SeqCst).ok();
        Ok(())
    }

    /// Returns whether PostgreSQL is read-only: a standby, or set so (`default_transaction_read_only`).
    async fn is_read_only(&self) -> Result<bool, DbErr> {
        let sql = "SELECT current_setting('transaction_read_only') = 'on'";
        let row = self.background.query_one_raw(Statement::from_string(self.backend(), sql)).await?;
        row.map_or(Ok(false), |row| row.try_get_by_index(0))
    }

    /// Writes to the disk, and rolls back.
    async fn try_to_write(&self) -> Result<(), DbErr> {
        let transaction = self.begin().await?;
        transaction.execute_unprepared("CREATE TABLE headcount_write_trial (filler TEXT)").await?;
        let fill = format!(
            "INSERT INTO headcount_write_trial
            WITH RECURSIVE numbered (number) AS (
                SELECT 1 UNION ALL SELECT number + 1 FROM numbered WHERE number < {TRIAL_ROWS}
            )
            SELECT '{:x<TRIAL_ROW_LETTERS$}' FROM numbered",
            ""
        );
        transaction.execute_unprepared(&fill).await?;
        transaction.rollback().await
    }
}
