//! The database: a SQLite file or PostgreSQL, as the URL says.

mod change_log;
mod checks;
mod failure;
mod notifier;
mod open;
mod partitions;
mod pooler;
mod secret;
mod session;
mod standby;
mod writes;

use std::fmt;
use std::io::{Write, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseBackend, DatabaseConnection, DatabaseTransaction, DbErr,
    IsolationLevel, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
};
use sqlx::PgPool;

pub use self::change_log::{Changes, CommitId, KEPT, LoggedCommit, Position, changes_sql, log_commit, tidy};
use self::failure::too_late;
pub use self::failure::{Failure, explained};
pub(crate) use self::notifier::{Message, channel};
pub use self::notifier::{NOTIFY_INTERVAL, Notifier};
pub(crate) use self::open::make_private;
pub use self::open::{ConnectError, DatabaseConfig, PoolConfig};
pub use self::partitions::{Partition, Partitions};
pub(crate) use self::standby::Standby;
use self::writes::Writes;
use crate::telemetry::metrics;

/// The advisory lock of a migrating process on PostgreSQL, an arbitrary number.
const MIGRATION_LOCK: i64 = 0x6865_6164_0001;

/// Maximum time of each step of closing. During half of it SQLite waits for other processes.
const CLOSING_MAX: Duration = Duration::from_secs(10);

/// The connections of this process: on SQLite a writer and some readers, on PostgreSQL one pool.
#[derive(Clone, Debug)]
pub struct Database {
    reader: DatabaseConnection,
    writer: DatabaseConnection,
    /// Connections for long histories, which would otherwise keep the readers from short work.
    long_reader: DatabaseConnection,
    /// The readers for work of the server's own. These statements are not counted as a request's.
    background: DatabaseConnection,
    /// A standby, which has the same data slightly later.
    standby: Option<Arc<Standby>>,
    /// Number of connections that have written to the SQLite file, one after the other.
    writers: Arc<AtomicU64>,
    writes: Arc<Writes>,
    wait: Duration,
    answer: Duration,
}

#[derive(Clone, Copy, Debug)]
pub struct PoolUse {
    pub name: &'static str,
    pub idle: u32,
    pub used: u32,
}

impl Database {
    pub(crate) fn standby(&self) -> Option<&Arc<Standby>> {
        self.standby.as_ref()
    }

    /// Runs `work` about these DPUs, with a time limit: on the standby, if that has all their known changes and the
    /// result is `acceptable`, otherwise on the database itself. There, work that `is_long` has its own connections.
    pub(crate) async fn read<'a, T>(
        &'a self,
        is_long: bool,
        dpus: impl IntoIterator<Item = i64>,
        work: impl Fn(&'a DatabaseConnection) -> BoxFuture<'a, Result<T, DbErr>>,
        acceptable: impl Fn(&T) -> bool,
    ) -> Result<T, DbErr> {
        if let Some(standby) = &self.standby
            && let Some(connection) = standby.if_it_has(dpus)
            && let Some(read) = standby.in_time(work(connection)).await
            && acceptable(&read)
        {
            metrics::read_from("standby");
            return Ok(read);
        }
        metrics::read_from("primary");
        self.in_time(work(self.reader_of(is_long))).await
    }

    /// Begins a read transaction, all of whose statements see the database as of the first one, which is `first`. It
    /// is on the standby under the same conditions as for [`read`](Self::read).
    pub(crate) async fn begin_reading_of<T>(
        &self,
        is_long: bool,
        dpus: impl IntoIterator<Item = i64>,
        first: impl for<'t> Fn(&'t DatabaseTransaction) -> BoxFuture<'t, Result<T, DbErr>>,
        acceptable: impl Fn(&T) -> bool,
    ) -> Result<(DatabaseTransaction, T), DbErr> {
        let begin = async |connection: &DatabaseConnection| {
            let transaction = self.begin_reading_on(connection).await?;
            let read = first(&transaction).await?;
            Ok::<_, DbErr>((transaction, read))
        };
        if let Some(standby) = &self.standby
            && let Some(connection) = standby.if_it_has(dpus)
            && let Some(begun) = standby.in_time(begin(connection)).await
            && acceptable(&begun.1)
        {
            metrics::read_from("standby");
            return Ok(begun);
        }
        metrics::read_from("primary");
        self.in_time(begin(self.reader_of(is_long))).await
    }

    pub fn on_statement(
        &mut self,
        callback: impl Fn(&sea_orm::metric::Info<'_>) + Clone + Send + Sync + 'static,
    ) {
        self.reader.set_metric_callback(callback.clone());
        self.long_reader.set_metric_callback(callback.clone());
        self.writer.set_metric_callback(callback);
    }

    pub fn backend(&self) -> DatabaseBackend {
        self.reader.get_database_backend()
    }

    /// `None` on SQLite.
    pub(crate) fn postgres(&self) -> Option<&PgPool> {
        (self.backend() == DatabaseBackend::Postgres).then(|| self.writer.get_postgres_connection_pool())
    }

    /// Returns a version that changes when another process writes to the SQLite file, but not when this one does. It
    /// also changes when this process opens a new writing connection: writes before that may have gone unnoticed.
    pub(crate) async fn sqlite_data_version(&self) -> Result<(u64, i64), sqlx::Error> {
        let mut writer = self.writer.get_sqlite_connection_pool().acquire().await?;
        let version = sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut *writer).await?;
        Ok((self.writers.load(Ordering::Relaxed), version))
    }

    /// Runs work that waits for its turn at the database, or fails if it waits too long.
    pub(crate) async fn in_turn<T>(&self, work: impl Future<Output = T>) -> Result<T, DbErr> {
        tokio::time::timeout(self.wait, work).await.map_err(|_| too_late(self.wait))
    }

    pub(crate) async fn in_time<T, E: From<DbErr>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.answered(work).await.unwrap_or_else(|error| Err(error.into()))
    }

    /// Like [`in_time`](Self::in_time), for work with any result.
    pub(crate) async fn answered<T>(&self, work: impl Future<Output = T>) -> Result<T, DbErr> {
        tokio::time::timeout(self.answer, work).await.map_err(|_| too_late(self.answer))
    }

    pub fn pools(&self) -> Vec<PoolUse> {
        let of = |name, size: u32, idle: usize| {
            let idle = u32::try_from(idle).unwrap_or(u32::MAX).min(size);
            PoolUse { name, idle, used: size - idle }
        };
        if let Some(pool) = self.postgres() {
            let long = self.long_reader.get_postgres_connection_pool();
            let pools = [("all", pool), ("histories", long)];
            return pools.map(|(name, pool)| of(name, pool.size(), pool.num_idle())).into();
        }
        let pools = [("readers", &self.reader), ("histories", &self.long_reader), ("writer", &self.writer)];
        let pools = pools.map(|(name, pool)| (name, pool.get_sqlite_connection_pool()));
        pools.into_iter().map(|(name, pool)| of(name, pool.size(), pool.num_idle())).collect()
    }

    /// Returns the connections for single reading statements.
    pub fn reader(&self) -> &DatabaseConnection {
        &self.reader
    }

    /// Returns the connections for single reading statements of the server's own.
    pub(crate) fn background(&self) -> &DatabaseConnection {
        &self.background
    }

    /// Returns the connections for single writing statements, each atomic.
    pub fn writer(&self) -> &DatabaseConnection {
        &self.writer
    }

    /// Begins a write transaction. On SQLite it takes the write lock immediately: a transaction that began by reading
    /// could not wait for another writer.
    pub async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        let immediate = match self.backend() {
            DatabaseBackend::Sqlite => Some(SqliteTransactionMode::Immediate),
            _ => None,
        };
        let options = TransactionOptions { sqlite_transaction_mode: immediate, ..Default::default() };
        self.writer.begin_with_options(options).await
    }

    /// Begins a write transaction without a time limit, for example for pruning. On PostgreSQL its statements fail if
    /// they wait for a lock for more than five seconds, since all others would queue behind them. A retry may succeed
    /// a little later.
    pub async fn begin_maintenance(&self) -> Result<DatabaseTransaction, DbErr> {
        let transaction = self.begin().await?;
        if self.backend() == DatabaseBackend::Postgres {
            transaction.execute_unprepared(&session::maintenance()).await?;
        }
        Ok(transaction)
    }

    /// Begins a read transaction, all of whose statements see the database as of the first one.
    pub async fn begin_reading(&self) -> Result<DatabaseTransaction, DbErr> {
        self.begin_reading_on(&self.reader).await
    }

    /// Like [`begin_reading`](Self::begin_reading), on the connections for long work if `is_long`.
    pub(crate) async fn begin_reading_by(&self, is_long: bool) -> Result<DatabaseTransaction, DbErr> {
        self.begin_reading_on(self.reader_of(is_long)).await
    }

    fn reader_of(&self, is_long: bool) -> &DatabaseConnection {
        if is_long { &self.long_reader } else { &self.reader }
    }

    async fn begin_reading_on(&self, connection: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
        let options = match self.backend() {
            DatabaseBackend::Postgres => TransactionOptions {
                isolation_level: Some(IsolationLevel::RepeatableRead),
                access_mode: Some(AccessMode::ReadOnly),
                ..Default::default()
            },
            _ => TransactionOptions::default(),
        };
        connection.begin_with_options(options).await
    }

    /// Does the work, and closes the database even if the work fails. Every command uses it. Afterwards, unless another
    /// process has it open, a SQLite file is complete without its -wal file, and can be copied or moved alone.
    pub async fn closed_after<T, E>(self, work: impl AsyncFnOnce(Self) -> Result<T, E>) -> Result<T, E> {
        let done = work(self.clone()).await;
        if let Err(reason) = self.close().await {
            let warning = format!(
                "the SQLite file is incomplete without its -wal file, which has the latest writes, \
                 because {reason}"
            );
            // Some commands have no log.
            if tracing::dispatcher::has_been_set() {
                tracing::warn!("{warning}");
            } else {
                writeln!(stderr(), "{warning}").ok();
            }
        }
        done
    }

    /// Closes the connections. Fails if a SQLite file is incomplete without its -wal file afterwards.
    async fn close(&self) -> Result<(), String> {
        let readers = [&self.reader, &self.long_reader, &self.background];
        let closing = join_all(readers.map(DatabaseConnection::close_by_ref));
        // Readers that are still running do not prevent the checkpoint.
        tokio::time::timeout(CLOSING_MAX / 2, closing).await.ok();
        let writer = async {
            let whole = match self.backend() {
                DatabaseBackend::Sqlite => self.put_into_one_file().await,
                _ => Ok(()),
            };
            self.writer.close_by_ref().await.ok();
            whole
        };
        match tokio::time::timeout(CLOSING_MAX, writer).await {
            Ok(whole) => whole,
            Err(_) if self.backend() == DatabaseBackend::Sqlite => {
                Err("this process is still writing to it".to_owned())
            }
            Err(_) => Ok(()),
        }
    }

    /// Copies SQLite's write-ahead log into the database file.
    async fn put_into_one_file(&self) -> Result<(), String> {
        let wait = format!("PRAGMA busy_timeout = {}", CLOSING_MAX.as_millis() / 2);
        self.writer.execute_unprepared(&wait).await.map_err(|error| error.to_string())?;
        let checkpoint = Statement::from_string(DatabaseBackend::Sqlite, "PRAGMA wal_checkpoint(TRUNCATE)");
        let answer = self.writer.query_one_raw(checkpoint).await.map_err(|error| error.to_string())?;
        match answer.map(|row| row.try_get_by_index::<i64>(0)) {
            Some(Ok(0)) => Ok(()),
            _ => Err("another process is using it".to_owned()),
        }
    }

    /// Brings the schema up to date, with no time limit. Processes that start together take turns.
    pub async fn migrate(&self) -> Result<(), DbErr> {
        let transaction = self.begin().await?;
        if self.backend() == DatabaseBackend::Postgres {
            // Otherwise the server notes at each start that the table of migrations exists.
            let lock = format!(
                "SET LOCAL client_min_messages = warning; SET LOCAL statement_timeout = 0; \
                 SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"
            );
            transaction.execute_unprepared(&lock).await?;
        }
        migration::migrate(&transaction).await?;
        transaction.commit().await
    }
}

impl fmt::Display for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.backend() {
            DatabaseBackend::Sqlite => "SQLite",
            _ => "PostgreSQL",
        })
    }
}
