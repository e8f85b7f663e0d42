//! Tells other processes of what this one has recorded.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;

use super::news::{CHANNEL, Message, Node};
use crate::database::Database;
use crate::telemetry::metrics;

/// How long it rests after telling: `NOTIFY` takes a lock over all commits of the server.
const REST: Duration = Duration::from_millis(100);
/// How often it says that it is there when there is nothing else to tell. Who falls silent without an
/// end may have recorded what it did not tell of.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(1);

/// Tells of commits: soon after them, many together, never within them. On SQLite there is nothing to tell.
#[derive(Debug)]
pub struct Teller {
    tells: Tells,
    task: Option<JoinHandle<()>>,
}

/// Where a teller is told, for those who outlast a call.
#[derive(Clone, Debug)]
pub struct Tells(Option<UnboundedSender<Recorded>>);

/// What a commit was about, and when it was made.
#[derive(Debug)]
struct Recorded {
    dpus: Vec<i64>,
    at: Instant,
}

impl Teller {
    /// Tells other processes over this database, in the name of `node`.
    pub fn start(database: &Database, node: Node) -> Self {
        let Some(pool) = database.postgres() else { return Self { tells: Tells(None), task: None } };
        let (recorded, inbox) = mpsc::unbounded_channel();
        let task = tokio::spawn(tell(pool.clone(), node, inbox));
        Self { tells: Tells(Some(recorded)), task: Some(task) }
    }

    /// Tells that events of these DPUs were recorded. Does not wait.
    pub fn recorded(&self, dpus: impl IntoIterator<Item = i64>) {
        self.tells.recorded(dpus);
    }

    /// The same for those who outlast the call.
    pub fn tells(&self) -> Tells {
        self.tells.clone()
    }

    /// Resolves when everything was told.
    pub async fn finish(self) {
        drop(self.tells);
        if let Some(task) = self.task {
            task.await.ok();
        }
    }

    /// Tells that tallies were mended, and resolves when it was told.
    pub async fn mended(database: &Database) -> Result<(), sqlx::Error> {
        match database.postgres() {
            Some(pool) => notify(pool, &[Message::Mended(Node::new())]).await,
            None => Ok(()),
        }
    }
}

impl Tells {
    /// Tells that events of these DPUs were recorded. Does not wait.
    pub fn recorded(&self, dpus: impl IntoIterator<Item = i64>) {
        if let Some(tells) = &self.0 {
            // Ended early, it has failed to tell, and said so.
            tells.send(Recorded { dpus: dpus.into_iter().collect(), at: Instant::now() }).ok();
        }
    }
}

async fn tell(pool: PgPool, node: Node, mut inbox: UnboundedReceiver<Recorded>) {
    let mut untold = BTreeSet::new();
    let mut since = None;
    let mut ends = false;
    while !ends {
        if untold.is_empty() {
            match tokio::time::timeout(HEARTBEAT, inbox.recv()).await {
                Ok(Some(recorded)) => {
                    untold.extend(recorded.dpus);
                    since = Some(recorded.at);
                }
                Ok(None) => ends = true,
                Err(_) => {}
            }
        }
        while let Ok(recorded) = inbox.try_recv() {
            untold.extend(recorded.dpus);
        }
        let mut messages = Message::recorded(node, &untold);
        messages.push(if ends { Message::Ends(node) } else { Message::Alive(node) });
        let rest = match notify(&pool, &messages).await {
            Ok(()) => {
                untold.clear();
                if let Some(since) = since.take() {
                    metrics::told(since.elapsed());
                }
                REST
            }
            Err(error) => {
                tracing::warn!(%error, "other processes could not be told of what was recorded");
                HEARTBEAT
            }
        };
        if !ends {
            tokio::time::sleep(rest).await;
        }
    }
}

async fn notify(pool: &PgPool, messages: &[Message]) -> Result<(), sqlx::Error> {
    let payloads = messages.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>();
    let payloads = payloads.map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query("SELECT pg_notify($1, payload) FROM UNNEST($2::text[]) AS told (payload)")
        .bind(CHANNEL)
        .bind(payloads)
        .execute(pool)
        .await
        .map(drop)
}
