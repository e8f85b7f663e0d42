//! A standby of the PostgreSQL database. Timelines and events are read from it while it has everything that this
//! process knows about them.
//!
//! A standby lags behind, by milliseconds or by days. Data from a standby that lacks a commit would stay in memory for
//! good. So this process numbers the changes that it makes or notices, asks the primary for the end of its log, and
//! waits until the standby has reached it: then the standby has all changes up to that number. DPUs without a later
//! change are read from the standby, everything else from the primary. So answers are the same with and without a
//! standby, no matter how far it lags behind.
//!
//! The module `progress` keeps the numbers; `follow` asks the servers.

mod follow;
mod progress;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sea_orm::{DatabaseConnection, DbErr, SqlxPostgresConnector};

use sqlx::{ConnectOptions, PgPool};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use self::follow::{ServerIdentity, check};
use self::progress::Progress;
use crate::database::Database;
use crate::database::open::{ConnectError, PoolConfig, postgres_options, postgres_pool};
use crate::database::pooler::shares_connections;
use crate::database::secret::without_password;
use crate::tasks::Tasks;

/// Maximum time to check, at the start, whether there is a pooler in front of the standby.
const STANDBY_WAIT: Duration = Duration::from_secs(1);
/// Maximum time to wait for the standby before the primary is asked instead.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// A standby, followed as long as this lives.
pub(crate) struct Standby {
    connection: DatabaseConnection,
    state: Arc<StandbyState>,
    following: AbortHandle,
}

#[derive(Debug, Default)]
struct StandbyState {
    progress: Mutex<Progress>,
    /// Its position in the primary's log.
    position: AtomicU64,
    /// Its lag in microseconds. `u64::MAX`: unknown.
    lag_us: AtomicU64,
    changed: Notify,
}

impl Database {
    /// Adds a standby to read timelines and events from: another server with the same database.
    pub async fn with_standby(
        mut self,
        url: &str,
        config: PoolConfig,
        tasks: &Tasks,
    ) -> Result<Self, ConnectError> {
        let Some(primary) = self.postgres() else {
            let given = without_password(url);
            return Err(ConnectError::Standby { given, reason: "a SQLite file has no standby".to_owned() });
        };
        // A standby that is not reachable yet may be useful later.
        if let Ok(options) = postgres_options(url)
            && let Ok(true) = shares_connections(&options, STANDBY_WAIT).await
        {
            return Err(ConnectError::Pooler { given: without_password(url) });
        }
        self.standby = Some(Arc::new(Standby::follow(primary, url, config, tasks).await?));
        Ok(self)
    }
}

impl Standby {
    /// Follows the standby at `url`. The standby may be unreachable for now; the primary must be reachable.
    pub(crate) async fn follow(
        primary: &PgPool,
        url: &str,
        config: PoolConfig,
        tasks: &Tasks,
    ) -> Result<Self, ConnectError> {
        let bad_url = |reason: String| ConnectError::Standby { given: without_password(url), reason };
        if !url.starts_with("postgres:") && !url.starts_with("postgresql:") {
            return Err(bad_url("a standby must be a PostgreSQL server".to_owned()));
        }
        let options = postgres_options(url).map_err(bad_url)?;
        let options = options.application_name("headcount").disable_statement_logging();
        let open = |error| ConnectError::open(url, &error);
        let identity = Arc::new(ServerIdentity::of(primary).await.map_err(open)?);
        let state = Arc::new(StandbyState { lag_us: AtomicU64::new(u64::MAX), ..StandbyState::default() });
        let seen = Arc::clone(&state);
        let pool = postgres_pool(config, Some(ANSWER_MAX), move |connection| {
            let (seen, identity) = (Arc::clone(&seen), Arc::clone(&identity));
            Box::pin(async move { check(connection, &identity, &seen).await })
        });
        let pool = pool.connect_lazy_with(options);
        let following = follow::follow(Arc::clone(&state), primary.clone(), pool.clone());
        let following = tasks.spawn("standby", following);
        let connection = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
        Ok(Self { connection, state, following: following.abort_handle() })
    }

    /// Records that the timelines of these DPUs have changed. Must be called before the change becomes visible.
    pub(crate) fn changed(&self, dpus: impl IntoIterator<Item = i64>) {
        self.state.progress().changed(dpus);
        self.state.changed.notify_one();
    }

    pub(crate) fn changed_all(&self) {
        self.state.progress().changed_all();
        self.state.changed.notify_one();
    }

    /// Returns the connections, if the standby has all known changes of these DPUs. A caller that caches the data must
    /// read its own revision *before* calling this.
    pub(crate) fn if_it_has(&self, dpus: impl IntoIterator<Item = i64>) -> Option<&DatabaseConnection> {
        self.state.progress().has(dpus).then_some(&self.connection)
    }

    /// Runs `work` on the standby. `None` if it fails or takes too long: the standby's progress is then unknown.
    pub(crate) async fn in_time<T>(&self, work: impl Future<Output = Result<T, DbErr>>) -> Option<T> {
        match timeout(ANSWER_MAX, work).await {
            Ok(Ok(read)) => return Some(read),
            Ok(Err(error)) => tracing::warn!(%error, "cannot read from the standby"),
            Err(_) => tracing::warn!("the standby does not answer"),
        }
        self.failed();
        None
    }

    fn failed(&self) {
        self.state.lost();
        self.state.changed.notify_one();
    }

    /// `None`: unknown.
    pub(crate) fn lag(&self) -> Option<Duration> {
        let lag_us = self.state.lag_us.load(Ordering::Relaxed);
        (lag_us != u64::MAX).then(|| Duration::from_micros(lag_us))
    }
}

impl StandbyState {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self) {
        self.progress().changed_all();
        self.lag_us.store(u64::MAX, Ordering::Relaxed);
    }

    fn lags(&self, by: Duration) {
        let by_us = u64::try_from(by.as_micros()).unwrap_or(u64::MAX - 1);
        self.lag_us.store(by_us, Ordering::Relaxed);
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        self.following.abort();
    }
}

impl fmt::Debug for Standby {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Standby").field("state", &self.state).finish_non_exhaustive()
    }
}
