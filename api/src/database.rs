//! The database: SQLite in a file, or PostgreSQL, as the URL says.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use migration::{Migrator, MigratorTrait};
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseBackend, DatabaseConnection, DatabaseTransaction, DbErr,
    IsolationLevel, RuntimeErr, SqliteTransactionMode, SqlxPostgresConnector, SqlxSqliteConnector, Statement,
    TransactionOptions, TransactionTrait,
};
use sqlx::pool::PoolConnectionMetadata;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, PgPool};

use crate::readiness::Readiness;
use crate::standby::{self, Standby};
use crate::telemetry::metrics;

/// How long a SQLite writer waits for another process to finish writing.
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_mins(1);
/// How long to pause before asking again whether another process has made the file ready.
const SQLITE_BUSY_PAUSE: Duration = Duration::from_millis(10);
/// Readers of a SQLite file; WAL lets them read while the writer writes.
const SQLITE_READERS_MAX: u32 = 4;
/// Connections to a PostgreSQL server.
const POSTGRES_CONNECTIONS_MAX: u32 = 16;
/// How long PostgreSQL may take to say that it is there. The other end of a connection may be gone without a word.
const POSTGRES_PING_MAX: Duration = Duration::from_secs(2);
/// A connection that came back so lately, and was tested then, is handed out untested.
const POSTGRES_FRESH: Duration = Duration::from_secs(1);
/// What PostgreSQL is told about a client that is gone without a word: to notice it, and not to keep its locks for the
/// two hours that TCP waits unless told otherwise.
const POSTGRES_SESSION: &str = "SET idle_in_transaction_session_timeout = '5min'; \
    SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3";
/// The advisory lock that one migrating process holds on PostgreSQL, an arbitrary number of our own.
const MIGRATION_LOCK: i64 = 0x6865_6164_0001;

/// How long to wait for the database, so that no request hangs while it is away.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct PoolConfig {
    /// How many milliseconds a request waits for a connection to the database before it is answered with 503
    #[arg(long, env = "DATABASE_WAIT_MS", value_name = "MS", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub database_wait_ms: u64,
    /// How many milliseconds the database may take to answer a request, which is then answered with 503
    #[arg(long, env = "DATABASE_ANSWER_MS", value_name = "MS", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub database_answer_ms: u64,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self { database_wait_ms: 5_000, database_answer_ms: 20_000 }
    }
}

/// The connections of this process: on SQLite one that writes and some that read, on PostgreSQL one pool.
#[derive(Clone, Debug)]
pub struct Database {
    reader: DatabaseConnection,
    writer: DatabaseConnection,
    /// A server that has what this one has, a little later.
    standby: Option<Arc<Standby>>,
    /// How many connections have written to the SQLite file, one after the other.
    writers: Arc<AtomicU64>,
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

/// Why there is no database to work with.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL is of no kind that is known.
    #[error(
        "the database URL {given:?} is not usable: {reason}. Accepted are sqlite://FILE?mode=rwc and postgres://USER@HOST/NAME"
    )]
    Url {
        /// The URL, with any password in it hidden.
        given: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The URL of a standby is of no use.
    #[error(
        "the URL of a database to read from {given:?} is not usable: {reason}. Accepted is postgres://USER@HOST/NAME, a standby of the server of DATABASE_URL"
    )]
    Standby {
        /// The URL, with any password in it hidden.
        given: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The database did not let us in.
    #[error("cannot open the database {given}: {source}")]
    Open {
        /// The URL, with any password in it hidden.
        given: String,
        /// What the driver said.
        source: sqlx::Error,
    },
}

impl Database {
    /// Opens the database at `url`, which begins with `sqlite:` or `postgres:`. Runs no migration.
    pub async fn connect(url: &str) -> Result<Self, ConnectError> {
        Self::connect_with(url, PoolConfig::default()).await
    }

    /// The same, waiting for it as long as the configuration says.
    pub async fn connect_with(url: &str, config: PoolConfig) -> Result<Self, ConnectError> {
        let bad_url = |reason: String| ConnectError::Url { given: without_password(url), reason };
        let open = |source| ConnectError::Open { given: without_password(url), source };
        if url.starts_with("sqlite:") {
            if url.contains(":memory:") || url.contains("mode=memory") {
                return Err(bad_url(
                    "a database in memory cannot be shared by a writer and readers".to_owned(),
                ));
            }
            let options = SqliteConnectOptions::from_str(url).map_err(|error| bad_url(error.to_string()))?;
            Self::connect_sqlite(options, config).await.map_err(open)
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            let options = PgConnectOptions::from_str(url).map_err(|error| bad_url(error.to_string()))?;
            Self::connect_postgres(options, config).await.map_err(open)
        } else {
            Err(bad_url("it names neither SQLite nor PostgreSQL".to_owned()))
        }
    }

    async fn connect_sqlite(options: SqliteConnectOptions, config: PoolConfig) -> Result<Self, sqlx::Error> {
        let options = options
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(SQLITE_BUSY_TIMEOUT)
            .disable_statement_logging();
        let pool = || {
            SqlitePoolOptions::new()
                .test_before_acquire(false)
                .after_release(|connection, _| Box::pin(is_outside_transactions(connection)))
        };
        let writers = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&writers);
        let writer = pool().max_connections(1).idle_timeout(None).after_connect(move |_, _| {
            count.fetch_add(1, Ordering::Relaxed);
            Box::pin(async { Ok(()) })
        });
        // The writer comes first: it makes the file and sets its journal mode.
        let started = tokio::time::Instant::now();
        let writer = loop {
            // SQLite does not wait its turn when two processes switch a new file to WAL at once, but says that it
            // is busy and leaves the waiting to us.
            match writer.clone().connect_with(options.clone()).await {
                Err(error) if is_busy(&error) && started.elapsed() < SQLITE_BUSY_TIMEOUT => {
                    tokio::time::sleep(SQLITE_BUSY_PAUSE).await;
                }
                connected => break connected?,
            }
        };
        // Whoever writes waits in line for the one that writes, as long as another process may take.
        let readers = pool().max_connections(SQLITE_READERS_MAX).acquire_timeout(config.wait());
        let readers = readers.connect_with(options.pragma("query_only", "ON")).await?;
        Ok(Self {
            reader: SqlxSqliteConnector::from_sqlx_sqlite_pool(readers),
            writer: SqlxSqliteConnector::from_sqlx_sqlite_pool(writer),
            standby: None,
            writers,
            wait: config.wait(),
            answer: config.answer(),
        })
    }

    async fn connect_postgres(options: PgConnectOptions, config: PoolConfig) -> Result<Self, sqlx::Error> {
        let options = options.application_name("headcount").disable_statement_logging();
        let pool = postgres_pool(config, |_| Box::pin(async { Ok(()) })).connect_with(options).await?;
        let pool = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
        let (wait, answer) = (config.wait(), config.answer());
        Ok(Self { reader: pool.clone(), writer: pool, standby: None, writers: Arc::default(), wait, answer })
    }

    /// The same with a standby to read timelines and events from: another server of the same database.
    pub async fn with_standby(mut self, url: &str, config: PoolConfig) -> Result<Self, ConnectError> {
        let Some(primary) = self.postgres() else {
            let given = without_password(url);
            return Err(ConnectError::Standby { given, reason: "a SQLite file has no standby".to_owned() });
        };
        self.standby = Some(Arc::new(Standby::follow(primary, url, config).await?));
        Ok(self)
    }

    /// The standby, if there is one.
    pub(crate) fn standby(&self) -> Option<&Arc<Standby>> {
        self.standby.as_ref()
    }

    /// What `work` reads about these DPUs: from the standby, if it has all that is known of them, or else, or where that
    /// fails, from the database itself, within the time that it has to answer.
    pub(crate) async fn read<'a, T>(
        &'a self,
        dpus: impl IntoIterator<Item = i64>,
        work: impl Fn(&'a DatabaseConnection) -> BoxFuture<'a, Result<T, DbErr>>,
    ) -> Result<T, DbErr> {
        if let Some(standby) = &self.standby
            && let Some(connection) = standby.if_it_has(dpus)
        {
            match tokio::time::timeout(standby::ANSWER_MAX, work(connection)).await {
                Ok(Ok(read)) => {
                    metrics::read_from("standby");
                    return Ok(read);
                }
                Ok(Err(error)) => tracing::warn!(%error, "the standby could not be read from"),
                Err(_) => tracing::warn!("the standby does not answer"),
            }
            standby.failed();
        }
        metrics::read_from("primary");
        self.in_time(work(&self.reader)).await
    }

    /// Calls `callback` after each statement.
    pub fn on_statement(
        &mut self,
        callback: impl Fn(&sea_orm::metric::Info<'_>) + Clone + Send + Sync + 'static,
    ) {
        self.reader.set_metric_callback(callback.clone());
        self.writer.set_metric_callback(callback);
    }

    /// Which of the two it is.
    pub fn backend(&self) -> DatabaseBackend {
        self.reader.get_database_backend()
    }

    /// The connections to PostgreSQL, if that is what it is.
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

    /// What comes of work with the database, or an error that says that it did not answer in time.
    pub(crate) async fn in_time<T, E: From<DbErr>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.answered(work).await.unwrap_or_else(|error| Err(error.into()))
    }

    /// The same where what was begun has to be gone on with all the same.
    pub(crate) async fn answered<T>(&self, work: impl Future<Output = T>) -> Result<T, DbErr> {
        tokio::time::timeout(self.answer, work).await.map_err(|_| too_late(self.answer))
    }

    /// How many connections there are.
    pub fn pools(&self) -> Vec<PoolUse> {
        let of = |name, size: u32, idle: usize| {
            let idle = u32::try_from(idle).unwrap_or(u32::MAX).min(size);
            PoolUse { name, idle, used: size - idle }
        };
        if let Some(pool) = self.postgres() {
            return vec![of("all", pool.size(), pool.num_idle())];
        }
        let pools = [("readers", &self.reader), ("writer", &self.writer)];
        let pools = pools.map(|(name, pool)| (name, pool.get_sqlite_connection_pool()));
        pools.into_iter().map(|(name, pool)| of(name, pool.size(), pool.num_idle())).collect()
    }

    /// Adds the checks whether the database answers and has the schema that it must have.
    pub(crate) fn add_checks(&self, readiness: &Readiness) {
        let database = self.clone();
        readiness.add("database", move || {
            let reader = database.reader.clone();
            async move {
                let asked = reader.execute_unprepared("SELECT 1").await;
                asked.map(drop).map_err(|_| "the database does not answer".to_owned())
            }
        });
        let database = self.clone();
        readiness.add("migrations", move || {
            let database = database.clone();
            async move {
                let pending = database.pending_migrations().await;
                let pending = pending.map_err(|_| "the database does not say".to_owned())?;
                if pending.is_empty() {
                    return Ok(());
                }
                Err(format!("not applied: {}; run `headcount migrate`", pending.join(", ")))
            }
        });
    }

    /// The migrations that the database lacks. It may have later ones, of a newer version of this program.
    async fn pending_migrations(&self) -> Result<Vec<String>, DbErr> {
        let sql = Statement::from_string(self.backend(), "SELECT version FROM seaql_migrations");
        let rows = self.reader.query_all_raw(sql).await?;
        let applied = rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<Vec<String>, _>>()?;
        let mut wanted: Vec<_> =
            Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect();
        wanted.retain(|name| !applied.contains(name));
        Ok(wanted)
    }

    /// For single statements that read.
    pub fn reader(&self) -> &DatabaseConnection {
        &self.reader
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

    /// A transaction that reads, and whose statements all see the database as it was at the first of them.
    pub async fn begin_reading(&self) -> Result<DatabaseTransaction, DbErr> {
        let options = match self.backend() {
            DatabaseBackend::Postgres => TransactionOptions {
                isolation_level: Some(IsolationLevel::RepeatableRead),
                access_mode: Some(AccessMode::ReadOnly),
                ..Default::default()
            },
            _ => TransactionOptions::default(),
        };
        self.reader.begin_with_options(options).await
    }

    /// Brings the schema up to date. Processes that start together take turns.
    pub async fn migrate(&self) -> Result<(), DbErr> {
        let transaction = self.begin().await?;
        if self.backend() == DatabaseBackend::Postgres {
            transaction
                .execute_unprepared(&format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
                .await?;
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

impl PoolConfig {
    fn wait(self) -> Duration {
        Duration::from_millis(self.database_wait_ms)
    }

    fn answer(self) -> Duration {
        Duration::from_millis(self.database_answer_ms)
    }
}

/// Connections to a PostgreSQL server. Each is looked at by `check` when it is made.
pub(crate) fn postgres_pool(
    config: PoolConfig,
    check: impl for<'c> Fn(&'c mut PgConnection) -> BoxFuture<'c, Result<(), sqlx::Error>> + Send + Sync + 'static,
) -> PgPoolOptions {
    let check = Arc::new(check);
    PgPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS_MAX)
        .acquire_timeout(config.wait())
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            let check = Arc::clone(&check);
            Box::pin(async move {
                sqlx::raw_sql(POSTGRES_SESSION).execute(&mut *connection).await?;
                check(connection).await
            })
        })
        .before_acquire(|connection, known| Box::pin(is_usable(connection, known)))
        .after_release(|connection, _| Box::pin(answers(connection)))
}

fn too_late(after: Duration) -> DbErr {
    DbErr::Conn(RuntimeErr::Internal(format!("no answer within {} ms", after.as_millis())))
}

/// Whether it is the database that is away, or has no room just now: the same may succeed a little later.
pub fn is_unreachable(error: &DbErr) -> bool {
    match error {
        DbErr::Conn(_) | DbErr::ConnectionAcquire(_) => true,
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
            match &**error {
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed => true,
                sqlx::Error::Database(refused) => {
                    // PostgreSQL's classes of lost connections and of a server that stops or starts, and its code for one
                    // that has no connection left.
                    let code = refused.code().unwrap_or_default();
                    code.starts_with("08") || code.starts_with("57P") || code == "53300" || is_busy(error)
                }
                _ => false,
            }
        }
        _ => false,
    }
}

/// Whether the connection may be used again. Where the disk fails or is full, SQLite may roll back a transaction by
/// itself; the driver then takes it for one that is still open, and would go on to put later commits inside of it,
/// where they never reach the disk. So such a connection is closed.
async fn is_outside_transactions(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    if connection.is_in_transaction() {
        // A rollback that was asked for may not be done yet: this waits until it is.
        connection.ping().await?;
    }
    Ok(!connection.is_in_transaction())
}

/// Whether a connection to PostgreSQL may be handed out.
async fn is_usable(
    connection: &mut PgConnection,
    known: PoolConnectionMetadata,
) -> Result<bool, sqlx::Error> {
    if known.idle_for < POSTGRES_FRESH { Ok(true) } else { answers(connection).await }
}

/// Whether PostgreSQL answers. A connection by which it does not is closed, instead of being waited for.
async fn answers(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let late = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    tokio::time::timeout(POSTGRES_PING_MAX, connection.ping()).await.map_err(late)??;
    Ok(true)
}

/// Whether SQLite refused because another process was at it: its result codes 5 (busy) and 6 (locked),
/// and those whose low byte they are.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<i32>().ok());
    code.is_some_and(|code| matches!(code & 0xff, 5 | 6))
}

/// The URL with `…` in the place of its password.
pub(crate) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let Some((credentials, host)) = rest.rsplit_once('@') else { return url.to_owned() };
    match credentials.split_once(':') {
        Some((user, _)) => format!("{scheme}://{user}:…@{host}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::ConnectionTrait;

    use super::{Database, without_password};

    #[tokio::test]
    async fn a_transaction_that_sqlite_rolled_back_by_itself_swallows_none_that_come_later() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("test.db").display());
        let database = Database::connect(&url).await.unwrap();
        let insert = async |number: i32, fault: bool| {
            let transaction = database.begin().await.unwrap();
            transaction.execute_unprepared(&format!("INSERT INTO thing VALUES ({number})")).await.unwrap();
            if fault {
                // As SQLite does of its own accord where a write fails.
                transaction.execute_unprepared("ROLLBACK").await.unwrap();
            }
            transaction.commit().await
        };
        let known = database.sqlite_data_version().await.unwrap();
        database.writer.execute_unprepared("CREATE TABLE thing (number INTEGER)").await.unwrap();
        for fault in [true, true, false] {
            assert_eq!(insert(1, fault).await.is_err(), fault);
        }
        assert_ne!(database.sqlite_data_version().await.unwrap(), known);
        let counted = "SELECT COUNT(*) FROM thing";
        let counted: i64 = sqlx::query_scalar(counted)
            .fetch_one(database.reader.get_sqlite_connection_pool())
            .await
            .unwrap();
        assert_eq!(counted, 1);
    }

    #[test]
    fn passwords_are_not_repeated() {
        assert_eq!(without_password("postgres://me:s3cr:et@host/db"), "postgres://me:…@host/db");
        assert_eq!(without_password("postgres://me@host/db"), "postgres://me@host/db");
        assert_eq!(without_password("sqlite://a.db"), "sqlite://a.db");
    }
}
