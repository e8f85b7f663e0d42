//! Whether the database takes writes.
//!
//! That a disk is full, or that a file became read-only, shows only where something is written. So nothing is tried while
//! events are recorded: the recorder tells how each commit ended. After one that failed, and until one succeeds, a trial
//! decides: it writes some megabytes inside a transaction that is rolled back
//! ([why](../../../docs/decisions/0021-readiness-knows-whether-writes-succeed.md)).

use std::sync::atomic::{AtomicU64, Ordering};

use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, Statement};

use super::Database;
use super::failure::{READ_ONLY, why_not_written};

/// How many rows a trial writes, and how many letters each of them has: 4 MB together. SQLite keeps 2 MB of a transaction in
/// memory and writes the rest at once; PostgreSQL gives a table its room on the disk as it grows.
const TRIAL_ROWS: usize = 4_096;
const TRIAL_ROW_LETTERS: usize = 1_000;

/// How the last commits of events ended.
#[derive(Debug, Default)]
pub(super) struct Writes {
    /// How many have failed since one succeeded.
    failed: AtomicU64,
}

impl Database {
    /// Says whether a commit of events succeeded.
    pub(crate) fn commit_ended(&self, is_recorded: bool) {
        if is_recorded {
            self.writes.failed.store(0, Ordering::SeqCst);
        } else {
            self.writes.failed.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Returns why the database takes no writes, in words of ours, if it does not.
    pub(super) async fn takes_writes(&self) -> Result<(), &'static str> {
        if self.backend() == DatabaseBackend::Postgres
            && self.is_read_only().await.map_err(|_| "the database does not say")?
        {
            return Err(READ_ONLY);
        }
        let failed = self.writes.failed.load(Ordering::SeqCst);
        if failed == 0 {
            return Ok(());
        }
        self.try_to_write().await.map_err(|error| why_not_written(&error))?;
        // Where another commit has failed meanwhile, the next check tries again.
        self.writes.failed.compare_exchange(failed, 0, Ordering::SeqCst, Ordering::SeqCst).ok();
        Ok(())
    }

    /// Whether PostgreSQL takes no writes: since it is a standby, or is set so (`default_transaction_read_only`).
    async fn is_read_only(&self) -> Result<bool, DbErr> {
        let sql = "SELECT current_setting('transaction_read_only') = 'on'";
        let row = self.background.query_one_raw(Statement::from_string(self.backend(), sql)).await?;
        row.map_or(Ok(false), |row| row.try_get_by_index(0))
    }

    /// Writes to the disk, and takes it back.
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
