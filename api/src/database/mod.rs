//! The database: SQLite in a file, or PostgreSQL, as the URL says.

mod checks;
mod failure;
mod open;
mod pooler;
mod secret;
mod session;
mod writes;

use std::fmt;
use std::io::{Write, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use migration::{Migrator, MigratorTrait};
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseBackend, DatabaseConnection, DatabaseTransaction, DbErr,
    IsolationLevel, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
};
use sqlx::PgPool;

use self::failure::too_late;
pub use self::failure::{Failure, explained};
pub use self::open::{ConnectError, PoolConfig};
pub(crate) use self::open::{postgres_options, postgres_pool};
pub(crate) use self::secret::without_password;
use self::writes::Writes;
use crate::standby::Standby;
use crate::telemetry::metrics;

/// The advisory lock that one migrating process holds on PostgreSQL, an arbitrary number of our own.
const MIGRATION_LOCK: i64 = 0x6865_6164_0001;

/// How long each step of closing may take. For half of it SQLite waits for other processes.
const CLOSING_MAX: Duration = Duration::from_secs(10);

/// The connections of this process: on SQLite one that writes and some that read, on PostgreSQL one pool.
#[derive(Clone, Debug)]
pub struct Database {
    reader: DatabaseConnection,
    writer: DatabaseConnection,
    /// For long histories, which would keep the other readers from what is short.
    long_reader: DatabaseConnection,
    /// The readers for what no request asks for: its statements are not counted as a request's.
    background: DatabaseConnection,
    /// A server that has what this one has, a little later.
    standby: Option<Arc<Standby>>,
    /// How many connections have written to the SQLite file, one after the other.
    writers: Arc<AtomicU64>,
    writes: Arc<Writes>,
    wait: Duration,
    answer: Duration,
}

/// How many connections there are.
#[derive(Clone, Copy, Debug)]
pub struct PoolUse {
    /// What they are for.
    pub name: &'static str,
    /// How many have nothing to do.
    pub idle: u32,
    /// How many are in use.
    pub used: u32,
}

impl Database {
    /// Returns the standby, if there is one.
    pub(crate) fn standby(&self) -> Option<&Arc<Standby>> {
        self.standby.as_ref()
    }

    /// What `work` reads about these DPUs: from the standby, if it has all that is known of them and what was read is
    /// `acceptable`, or else from the database itself, within the time that it has to answer. What `is_long` has connections
    /// of its own there.
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

    /// Begins a transaction that reads, and whose statements all see the database as it was at the first of them, which is
    /// `first`. It is the standby's where [`read`](Self::read) would read from that.
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

    /// Calls `callback` after each statement.
    pub fn on_statement(
        &mut self,
        callback: impl Fn(&sea_orm::metric::Info<'_>) + Clone + Send + Sync + 'static,
    ) {
        self.reader.set_metric_callback(callback.clone());
        self.long_reader.set_metric_callback(callback.clone());
        self.writer.set_metric_callback(callback);
    }

    /// Returns which of the two it is.
    pub fn backend(&self) -> DatabaseBackend {
        self.reader.get_database_backend()
    }

    /// Returns the connections to PostgreSQL, if that is what it is.
    pub(crate) fn postgres(&self) -> Option<&PgPool> {
        (self.backend() == DatabaseBackend::Postgres).then(|| self.writer.get_postgres_connection_pool())
    }

    /// Changes when another process writes to the SQLite file, and does not when this one does. It also changes when
    /// this process had to open another connection to write by: what was written meanwhile nobody can say.
    pub(crate) async fn sqlite_data_version(&self) -> Result<(u64, i64), sqlx::Error> {
        let mut writer = self.writer.get_sqlite_connection_pool().acquire().await?;
        let version = sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut *writer).await?;
        Ok((self.writers.load(Ordering::Relaxed), version))
    }

    /// What comes of work that waits for its turn at the database, or an error that says that it waited too long.
    pub(crate) async fn in_turn<T>(&self, work: impl Future<Output = T>) -> Result<T, DbErr> {
        tokio::time::timeout(self.wait, work).await.map_err(|_| too_late(self.wait))
    }

    /// Returns what comes of work with the database, or an error that says that it did not answer in time.
    pub(crate) async fn in_time<T, E: From<DbErr>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.answered(work).await.unwrap_or_else(|error| Err(error.into()))
    }

    /// Returns the same where what was begun has to be gone on with all the same.
    pub(crate) async fn answered<T>(&self, work: impl Future<Output = T>) -> Result<T, DbErr> {
        tokio::time::timeout(self.answer, work).await.map_err(|_| too_late(self.answer))
    }

    /// Returns how many connections there are.
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

    /// For single statements that read.
    pub fn reader(&self) -> &DatabaseConnection {
        &self.reader
    }

    /// For single statements that read and that no request asks for.
    pub(crate) fn background(&self) -> &DatabaseConnection {
        &self.background
    }

    /// For single statements that write, each done whole or not at all.
    pub fn writer(&self) -> &DatabaseConnection {
        &self.writer
    }

    /// A transaction that writes. On SQLite it takes the write lock at once: one that began by reading
    /// could not wait for another writer.
    pub async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        let immediate = match self.backend() {
            DatabaseBackend::Sqlite => Some(SqliteTransactionMode::Immediate),
            _ => None,
        };
        let options = TransactionOptions { sqlite_transaction_mode: immediate, ..Default::default() };
        self.writer.begin_with_options(options).await
    }

    /// A transaction that writes for as long as it takes, such as one that prunes. On PostgreSQL its statements have no
    /// time limit, but fail where they wait for a lock for more than five seconds, since all others would queue behind
    /// them: the same may succeed a little later.
    pub async fn begin_maintenance(&self) -> Result<DatabaseTransaction, DbErr> {
        let transaction = self.begin().await?;
        if self.backend() == DatabaseBackend::Postgres {
            transaction.execute_unprepared(&session::maintenance()).await?;
        }
        Ok(transaction)
    }

    /// A transaction that reads, and whose statements all see the database as it was at the first of them.
    pub async fn begin_reading(&self) -> Result<DatabaseTransaction, DbErr> {
        self.begin_reading_on(&self.reader).await
    }

    /// The same by the connections for what `is_long`, or else by those for everything.
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

    /// Does the work, and closes the database however the work ends. Every command uses it so: then a SQLite file that nobody
    /// else has open is whole by itself, and can be copied or moved without another file.
    pub async fn closed_after<T, E>(self, work: impl AsyncFnOnce(Self) -> Result<T, E>) -> Result<T, E> {
        let done = work(self.clone()).await;
        if let Err(reason) = self.close().await {
            let warning = format!(
                "the SQLite file is not whole by itself: what was written last is in the file beside it that ends in -wal, \
                 since {reason}"
            );
            // Some commands keep no log.
            if tracing::dispatcher::has_been_set() {
                tracing::warn!("{warning}");
            } else {
                writeln!(stderr(), "{warning}").ok();
            }
        }
        done
    }

    /// Closes the connections. Fails where a SQLite file is not whole afterwards.
    async fn close(&self) -> Result<(), String> {
        let readers = [&self.reader, &self.long_reader, &self.background];
        let closing = join_all(readers.map(DatabaseConnection::close_by_ref));
        // What still reads does not keep the file from becoming whole.
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
                Err("this process still writes to it".to_owned())
            }
            Err(_) => Ok(()),
        }
    }

    /// Writes what SQLite has in its write-ahead log into the database's file.
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

    /// Brings the schema up to date, however long that takes. Processes that start together take turns.
    pub async fn migrate(&self) -> Result<(), DbErr> {
        let transaction = self.begin().await?;
        if self.backend() == DatabaseBackend::Postgres {
            let lock =
                format!("SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock({MIGRATION_LOCK})");
            transaction.execute_unprepared(&lock).await?;
        }
        Migrator::up(&transaction, None).await?;
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
