//! Notifies other processes of the events that this process has recorded.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Database;
use crate::tasks::{self, Tasks};
use crate::telemetry::metrics;

/// The channel in SQL, as the triggers have it, too. It contains the id of the schema with the tables, because the
/// name of a schema may be too long for a channel.
macro_rules! channel {
    () => {
        "(SELECT 'headcount_' || relnamespace FROM pg_class WHERE oid = 'floor_plan'::regclass)"
    };
}

/// Returns the channel that all processes on one schema listen on. Channels are shared by all schemas of a database.
pub(crate) async fn channel(pool: &PgPool) -> Result<String, sqlx::Error> {
    sqlx::query_scalar(concat!("SELECT ", channel!())).fetch_one(pool).await
}

/// Minimum time between two notifications. `NOTIFY` takes a lock that serializes all commits of the server.
pub const NOTIFY_INTERVAL: Duration = Duration::from_millis(100);

/// A notification that there is something to read. The database itself sends `floor_plan` and `tokens`; processes send
/// the other.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Message {
    /// The new revision of the floor plan.
    FloorPlan(i64),
    Tokens,
    Recorded,
}

/// Sends notifications shortly after commits, never inside them. Does nothing on SQLite.
///
/// A lost notification only costs time: other processes read the change log every second anyway.
#[derive(Debug)]
pub struct Notifier {
    /// The oldest commit that other processes have not been notified of.
    recorded: Option<mpsc::Sender<Instant>>,
    task: Option<JoinHandle<()>>,
}

impl Notifier {
    pub fn start(database: &Database, tasks: &Tasks) -> Self {
        let Some(pool) = database.postgres() else { return Self { recorded: None, task: None } };
        let (recorded, waiting) = mpsc::channel(1);
        let task = tasks.spawn("notifier", notify_of_commits(pool.clone(), waiting));
        Self { recorded: Some(recorded), task: Some(task) }
    }

    /// Does not wait.
    pub fn recorded(&self) {
        if let Some(recorded) = &self.recorded {
            // If a commit is waiting already, its notification covers this one, too.
            recorded.try_send(Instant::now()).ok();
        }
    }

    /// Resolves when all commits were notified of, or no more can be.
    pub async fn finish(self) {
        drop(self.recorded);
        if let Some(task) = self.task {
            task.await.ok();
        }
    }
}

async fn notify_of_commits(pool: PgPool, mut recorded: mpsc::Receiver<Instant>) {
    while let Some(since) = recorded.recv().await {
        match notify(&pool).await {
            Ok(()) => {
                metrics::told(since.elapsed());
                tasks::ran();
            }
            Err(error) => tracing::warn!(%error, "cannot notify other processes"),
        }
        if !recorded.is_closed() {
            tokio::time::sleep(NOTIFY_INTERVAL).await;
        }
    }
}

async fn notify(pool: &PgPool) -> Result<(), sqlx::Error> {
    let payload =
        serde_json::to_string(&Message::Recorded).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let sql = concat!("SELECT pg_notify(", channel!(), ", $1)");
    let notifying = sqlx::query(sql).bind(payload).execute(pool);
    let late = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    tokio::time::timeout(Duration::from_secs(5), notifying).await.map_err(late)?.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_notifies_of_floor_plans_and_tokens() {
        let read = |text| serde_json::from_str::<Message>(text).unwrap();
        assert_eq!(read(r#"{"floor_plan" : 17}"#), Message::FloorPlan(17));
        assert_eq!(read(r#""tokens""#), Message::Tokens);
    }
}
