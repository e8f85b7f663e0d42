//! Opens databases, and decides which connections may be reused.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use sea_orm::{SqlxPostgresConnector, SqlxSqliteConnector};
use sqlx::pool::PoolConnectionMetadata;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection};

use super::Database;
use super::failure::{explained_driver, is_busy};
use super::pooler::shares_connections;
use super::secret::without_password;
use super::session::Session;

const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_mins(1);
/// Pause between attempts to open a file that another process is preparing.
const SQLITE_BUSY_PAUSE: Duration = Duration::from_millis(10);
/// Number of connections that read a SQLite file. With WAL they can read during a write.
const SQLITE_READERS_MAX: u32 = 4;
/// Size of the SQLite log, in pages (32 MiB), before they are copied to the file itself. DPUs that report write the
/// same pages again and again, so a larger log saves writes.
const SQLITE_CHECKPOINT_PAGES: &str = "16384";
/// Page size of a new SQLite file, in bytes. A commit writes whole pages, and events of different DPUs are on different
/// pages. With half of this, loading many events takes a tenth longer.
const SQLITE_PAGE_BYTES: u32 = 2048;
const LONG_READERS_MAX: u32 = 4;
const POSTGRES_CONNECTIONS_MAX: u32 = 16;
/// Maximum time to wait for a reply to a ping, because a connection may be dead without an error.
const POSTGRES_PING_MAX: Duration = Duration::from_secs(2);
/// A connection that was returned, and tested, this recently is reused without a test.
const POSTGRES_FRESH: Duration = Duration::from_secs(1);
/// Additional time that a statement may run after its client was told that it takes too long.
const STATEMENT_GRACE: Duration = Duration::from_secs(1);
/// Number of steps of its virtual machine between SQLite's checks of the time limit: a fraction of a millisecond.
const SQLITE_PROGRESS_STEPS: i32 = 10_000;

/// The database.
#[derive(Clone, Debug, clap::Args)]
pub struct DatabaseConfig {
    /// Use this database: `sqlite://FILE?mode=rwc` or `postgres://USER@HOST/NAME`
    #[arg(
        long,
        env = "DATABASE_URL",
        value_name = "URL",
        hide_env_values = true,
        default_value = "sqlite://headcount.db?mode=rwc"
    )]
    pub database_url: String,
}

/// Timeouts of the database, so that no request hangs while it is unreachable.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct PoolConfig {
    /// Answer a request with 503 after it has waited this many milliseconds for a connection to the database
    #[arg(long, env = "DATABASE_WAIT_MS", value_name = "MS", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub database_wait_ms: u64,
    /// Answer a request with 503 if the database takes longer than this many milliseconds
    #[arg(long, env = "DATABASE_ANSWER_MS", value_name = "MS", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub database_answer_ms: u64,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self { database_wait_ms: 5_000, database_answer_ms: 20_000 }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error(
        "invalid database URL {given:?}: {reason}. Use sqlite://FILE?mode=rwc or postgres://USER@HOST/NAME"
    )]
    Url {
        /// The URL, with any password in it hidden.
        given: String,
        reason: String,
    },
    #[error(
        "invalid standby URL {given:?}: {reason}. Use postgres://USER@HOST/NAME, a standby of DATABASE_URL's server"
    )]
    Standby {
        /// The URL, with any password in it hidden.
        given: String,
        reason: String,
    },
    #[error(
        "the database URL {given} leads to a pooler that shares connections among its clients, such as PgBouncer with \
         pool_mode = transaction: Headcount needs connections of its own, for prepared statements, settings and LISTEN. \
         Connect to PostgreSQL directly, or set pool_mode = session for this database"
    )]
    Pooler {
        /// The URL, with any password in it hidden.
        given: String,
    },
    #[error("cannot open the database {given}: {reason}")]
    Open {
        /// The URL, with any password in it hidden.
        given: String,
        /// The driver's message, and what to do.
        reason: String,
    },
}

impl ConnectError {
    pub(crate) fn open(url: &str, error: &sqlx::Error) -> Self {
        Self::Open { given: without_password(url), reason: explained_driver(error) }
    }
}

impl Database {
    /// Opens the database at `url`, which begins with `sqlite:` or `postgres:`. Runs no migration.
    ///
    /// Statements have no time limit, which migrating, verifying and pruning need.
    pub async fn connect(url: &str) -> Result<Self, ConnectError> {
        Self::open(url, PoolConfig::default(), None).await
    }

    /// Opens the database to answer requests. Waits for it as long as `config` says, and stops a statement soon after
    /// its client was told that it takes too long.
    pub async fn connect_with(url: &str, config: PoolConfig) -> Result<Self, ConnectError> {
        Self::open(url, config, Some(config.answer() + STATEMENT_GRACE)).await
    }

    async fn open(url: &str, config: PoolConfig, limit: Option<Duration>) -> Result<Self, ConnectError> {
        let bad_url = |reason: String| ConnectError::Url { given: without_password(url), reason };
        let open = |error| ConnectError::open(url, &error);
        if url.starts_with("sqlite:") {
            if url.contains(":memory:") || url.contains("mode=memory") {
                return Err(bad_url("in-memory databases are not supported".to_owned()));
            }
            let options = SqliteConnectOptions::from_str(url).map_err(|error| bad_url(error.to_string()))?;
            if url.contains("mode=rwc") {
                make_private(options.get_filename());
            }
            Self::connect_sqlite(options, config, limit).await.map_err(open)
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            let options = postgres_options(url).map_err(bad_url)?;
            // A plain connection also reports why it failed; a pool would only report a timeout.
            if shares_connections(&options, config.wait()).await.map_err(open)? {
                return Err(ConnectError::Pooler { given: without_password(url) });
            }
            Self::connect_postgres(options, config, limit).await.map_err(open)
        } else {
            Err(bad_url("it is for neither SQLite nor PostgreSQL".to_owned()))
        }
    }

    async fn connect_sqlite(
        options: SqliteConnectOptions,
        config: PoolConfig,
        limit: Option<Duration>,
    ) -> Result<Self, sqlx::Error> {
        let options = options
            .page_size(SQLITE_PAGE_BYTES)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(SQLITE_BUSY_TIMEOUT)
            .disable_statement_logging();
        let pool = || SqlitePoolOptions::new().test_before_acquire(false);
        let writers = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&writers);
        let writer = pool()
            .max_connections(1)
            .idle_timeout(None)
            .after_release(|connection, _| Box::pin(is_outside_transactions(connection)))
            .after_connect(move |_, _| {
                count.fetch_add(1, Ordering::Relaxed);
                Box::pin(async { Ok(()) })
            });
        let writing = options.clone().pragma("wal_autocheckpoint", SQLITE_CHECKPOINT_PAGES);
        // The writer comes first: it creates the file and sets its journal mode.
        let started = tokio::time::Instant::now();
        let writer = loop {
            // When two processes switch a new file to WAL at once, SQLite does not wait but reports that it is busy,
            // so we wait here.
            match writer.clone().connect_with(writing.clone()).await {
                Err(error) if is_busy(&error) && started.elapsed() < SQLITE_BUSY_TIMEOUT => {
                    tokio::time::sleep(SQLITE_BUSY_PAUSE).await;
                }
                connected => break connected?,
            }
        };
        // Writers wait for the current one, as long as another process may take.
        let options = options.pragma("query_only", "ON");
        let readers = |connections| {
            pool()
                .max_connections(connections)
                .acquire_timeout(config.wait())
                .after_connect(move |connection, _| Box::pin(limit_statements(connection, limit)))
                .after_release(move |connection, _| {
                    Box::pin(async move {
                        limit_statements(connection, limit).await?;
                        is_outside_transactions(connection).await
                    })
                })
        };
        let long_readers = readers(LONG_READERS_MAX).min_connections(0).connect_lazy_with(options.clone());
        let reader = readers(SQLITE_READERS_MAX).connect_with(options).await?;
        let reader = SqlxSqliteConnector::from_sqlx_sqlite_pool(reader);
        Ok(Self {
            background: reader.clone(),
            long_reader: SqlxSqliteConnector::from_sqlx_sqlite_pool(long_readers),
            reader,
            writer: SqlxSqliteConnector::from_sqlx_sqlite_pool(writer),
            standby: None,
            writers,
            writes: Arc::default(),
            wait: config.wait(),
            answer: config.answer(),
        })
    }

    async fn connect_postgres(
        options: PgConnectOptions,
        config: PoolConfig,
        limit: Option<Duration>,
    ) -> Result<Self, sqlx::Error> {
        let options = options.application_name("headcount").disable_statement_logging();
        let new_pool = || postgres_pool(config, limit, |_| Box::pin(async { Ok(()) }));
        let long_readers = new_pool().max_connections(LONG_READERS_MAX).connect_lazy_with(options.clone());
        let long_reader = SqlxPostgresConnector::from_sqlx_postgres_pool(long_readers);
        let pool = new_pool().connect_with(options).await?;
        let pool = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
        let (wait, answer) = (config.wait(), config.answer());
        let (reader, background) = (pool.clone(), pool.clone());
        Ok(Self {
            reader,
            writer: pool,
            background,
            long_reader,
            standby: None,
            writers: Arc::default(),
            writes: Arc::default(),
            wait,
            answer,
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

/// Creates the file of a new database, readable only by its owner. On failure, SQLite reports the reason later.
pub(crate) fn make_private(file: &Path) {
    let mut options = std::fs::OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.write(true).create_new(true).open(file).ok();
}

pub(crate) fn postgres_options(url: &str) -> Result<PgConnectOptions, String> {
    let options = PgConnectOptions::from_str(url).map_err(|error| {
        format!(
            "{error}; where a password has any of @ : / ? # in it, they are written as %40 %3A %2F %3F %23"
        )
    })?;
    if options.get_database().is_none() {
        return Err("the database name is missing".to_owned());
    }
    // The driver keeps the brackets of an IPv6 address, and then does not find the host.
    let host =
        options.get_host().strip_prefix('[').and_then(|host| host.strip_suffix(']')).map(str::to_owned);
    Ok(match host {
        Some(host) => options.host(&host),
        None => options,
    })
}

/// `check` is run on each new connection.
pub(crate) fn postgres_pool(
    config: PoolConfig,
    limit: Option<Duration>,
    check: impl for<'c> Fn(&'c mut PgConnection) -> BoxFuture<'c, Result<(), sqlx::Error>> + Send + Sync + 'static,
) -> PgPoolOptions {
    let (session, check) = (Arc::new(Session::new(limit)), Arc::new(check));
    PgPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS_MAX)
        .acquire_timeout(config.wait())
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            let (session, check) = (Arc::clone(&session), Arc::clone(&check));
            Box::pin(async move {
                session.begin(connection).await?;
                check(connection).await
            })
        })
        .before_acquire(|connection, known| Box::pin(is_usable(connection, known)))
        .after_release(|connection, _| Box::pin(answers(connection)))
}

/// Makes SQLite interrupt statements on the connection after `limit`, counted from the first long one. Waits for the
/// statement that is running.
async fn limit_statements(
    connection: &mut SqliteConnection,
    limit: Option<Duration>,
) -> Result<(), sqlx::Error> {
    let Some(limit) = limit else { return Ok(()) };
    let mut began = None;
    connection.lock_handle().await?.set_progress_handler(SQLITE_PROGRESS_STEPS, move || {
        began.get_or_insert_with(Instant::now).elapsed() < limit
    });
    Ok(())
}

/// Returns whether the connection may be reused. If the disk fails or is full, SQLite may roll back a transaction by
/// itself. The driver then believes that the transaction is still open, and would put later commits inside it, where
/// they never reach the disk. So such a connection is closed.
async fn is_outside_transactions(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    if connection.is_in_transaction() {
        // A requested rollback may not be finished yet: this waits until it is.
        connection.ping().await?;
    }
    Ok(!connection.is_in_transaction())
}

async fn is_usable(
    connection: &mut PgConnection,
    known: PoolConnectionMetadata,
) -> Result<bool, sqlx::Error> {
    if known.idle_for < POSTGRES_FRESH { Ok(true) } else { answers(connection).await }
}

/// Returns whether PostgreSQL answers. If not, the connection is closed.
async fn answers(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let late = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    tokio::time::timeout(POSTGRES_PING_MAX, connection.ping()).await.map_err(late)??;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use sea_orm::ConnectionTrait;

    use super::*;

    #[test]
    fn a_postgres_url_needs_a_database_and_may_have_an_ipv6_address() {
        let host = |url| postgres_options(url).map(|options| options.get_host().to_owned());
        assert_eq!(host("postgres://ann@[::1]:5433/x").unwrap(), "::1");
        assert_eq!(host("postgres://ann@example.org/x").unwrap(), "example.org");
        assert_eq!(host("postgres://ann@example.org:5432").unwrap_err(), "the database name is missing");
        assert!(host("postgres://ann:pass/word@host/x").unwrap_err().contains("%40"));
    }

    #[tokio::test]
    async fn later_transactions_survive_one_that_sqlite_rolled_back() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("test.db").display());
        let database = Database::connect(&url).await.unwrap();
        let insert = async |number: i32, fault: bool| {
            let transaction = database.begin().await.unwrap();
            transaction.execute_unprepared(&format!("INSERT INTO thing VALUES ({number})")).await.unwrap();
            if fault {
                // As SQLite does by itself when a write fails.
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
}
