//! Listens to the other processes over a PostgreSQL database.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgNotification};

use super::Listener;
use crate::database::{Message, channel};

/// How often the state is refreshed without a notification: one may have been lost with the process that would have sent it.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);
/// How long the database may take to answer. The other end of a connection may be gone without a word.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long to wait before the state is refreshed again that could not be.
const RETRY: Duration = Duration::from_millis(50);
/// How long to wait before connecting again.
const RECONNECT: Duration = Duration::from_millis(500);

/// Why listening ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Listening(#[from] sqlx::Error),
    #[error("the database does not answer")]
    Silent,
}

/// Listens, and listens again where the connection is lost.
pub(super) async fn listen(pool: PgPool, listener: Listener) {
    loop {
        let ended = follow(&pool, &listener).await;
        listener.close();
        match ended {
            Ok(()) => tracing::warn!("the connection that listens for changes by other processes was lost"),
            Err(Ended::Listening(sqlx::Error::PoolClosed)) => return,
            Err(error) => tracing::warn!(%error, "changes by other processes cannot be listened for"),
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

/// Listens until the connection is lost.
async fn follow(pool: &PgPool, listener: &Listener) -> Result<(), Ended> {
    let mut connection = PgListener::connect_with(pool).await?;
    connection.eager_reconnect(false);
    connection.listen(&channel(pool).await?).await?;
    (listener.forget_tokens)();
    refresh(listener).await?;
    listener.open();
    loop {
        match tokio::time::timeout(REFRESH_INTERVAL, connection.try_recv()).await {
            Ok(Ok(Some(notification))) => {
                take(listener, &notification);
                while let Some(notification) = connection.next_buffered() {
                    take(listener, &notification);
                }
            }
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => {
                let asking = sqlx::query("SELECT 1").execute(&mut connection);
                tokio::time::timeout(ANSWER_MAX, asking).await.map_err(|_| Ended::Silent)??;
            }
        }
        refresh(listener).await?;
    }
}

/// Refreshes the state. One connection that was cut says nothing about the next one.
async fn refresh(listener: &Listener) -> Result<(), Ended> {
    let refreshing = async {
        loop {
            match listener.state.refresh().await {
                Ok(()) => return,
                Err(error) => tracing::debug!(%error, "the state could not be refreshed"),
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    tokio::time::timeout(ANSWER_MAX, refreshing).await.map_err(|_| Ended::Silent)
}

fn take(listener: &Listener, notification: &PgNotification) {
    match serde_json::from_str(notification.payload()) {
        Ok(Message::Tokens) => (listener.forget_tokens)(),
        Ok(Message::FloorPlan(_) | Message::Recorded) => {}
        // Another version of this program may write without a word in the log.
        Err(_) => listener.state.forget_all(),
    }
}
