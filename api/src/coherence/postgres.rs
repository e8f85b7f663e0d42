//! Listens to the other processes over a PostgreSQL database.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::time::Instant as Tick;

use super::Ear;
use super::news::{CHANNEL, Message, Node};
use super::teller::HEARTBEAT;

/// For how long a process may be silent. One that is silent for longer has ended without telling
/// everything; if it is this process itself, then it is the connection that has ended.
const SILENCE_MAX: Duration = HEARTBEAT.saturating_mul(5);
/// How long to wait before connecting again.
const RECONNECT: Duration = Duration::from_millis(500);

/// Listens, and listens again where the connection is lost.
pub(super) async fn listen(pool: PgPool, ear: Ear, this: Node) {
    loop {
        let problem = hear(&pool, &ear, this).await;
        ear.close();
        match problem {
            Ok(()) => tracing::warn!("the connection for news of other processes was lost"),
            Err(sqlx::Error::PoolClosed) => return,
            Err(error) => tracing::warn!(%error, "news of other processes cannot be heard"),
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

/// Listens until the connection is lost.
async fn hear(pool: &PgPool, ear: &Ear, this: Node) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    ear.open();
    let mut last_heard = HashMap::from([(this, Tick::now())]);
    loop {
        let message = match tokio::time::timeout(HEARTBEAT, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => Some(serde_json::from_str(notification.payload())),
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Err(_) => None,
        };
        let now = Tick::now();
        match message {
            Some(Ok(message)) => take(ear, this, &mut last_heard, message),
            // A later version of this program may have more to tell.
            Some(Err(_)) => ear.forget_all(),
            None => {}
        }
        let known = last_heard.len();
        last_heard.retain(|_, heard| now - *heard < SILENCE_MAX);
        if !last_heard.contains_key(&this) {
            return Ok(());
        }
        if last_heard.len() < known {
            ear.forget_timelines();
        }
    }
}

fn take(ear: &Ear, this: Node, last_heard: &mut HashMap<Node, Tick>, message: Message) {
    match message {
        Message::FloorPlan(revision) => {
            ear.kept.floor_plans.forget_before(revision);
            ear.kept.feed.changed();
        }
        Message::Tokens => ear.kept.tokens.forget(),
        Message::Alive(node) => {
            last_heard.insert(node, Tick::now());
        }
        Message::Ends(node) => {
            last_heard.remove(&node);
        }
        Message::Recorded(node, dpus) => {
            last_heard.insert(node, Tick::now());
            if node != this {
                ear.kept.timelines.forget(dpus);
                ear.kept.feed.changed();
            }
        }
        Message::Mended(_) => ear.forget_timelines(),
    }
}
