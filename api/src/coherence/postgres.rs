//! Listens for notifications by other processes on a PostgreSQL database.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgNotification};

use super::Listener;
use crate::database::{Message, channel};
use crate::tasks;

/// Time between refreshes without a notification: one may have been lost with the process that would have sent it.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum time to wait for the database, because a connection may be dead without an error.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Pause after a failed refresh.
const RETRY: Duration = Duration::from_millis(50);
const RECONNECT: Duration = Duration::from_millis(500);

#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Listening(#[from] sqlx::Error),
    #[error("the database does not answer")]
    Silent,
}

/// Listens, and reconnects when the connection is lost.
pub(super) async fn listen(pool: PgPool, listener: Listener) {
    loop {
        let ended = follow(&pool, &listener).await;
        listener.close();
        match ended {
            Ok(()) => tracing::warn!("lost the connection that listens for changes by other processes"),
            Err(Ended::Listening(sqlx::Error::PoolClosed)) => return,
            Err(error) => tracing::warn!(%error, "cannot listen for changes by other processes"),
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
        tasks::ran();
    }
}

/// Refreshes the state. Retries, because after a lost connection the next one may work.
async fn refresh(listener: &Listener) -> Result<(), Ended> {
    let refreshing = async {
        loop {
            match listener.state.refresh().await {
                Ok(()) => return,
                Err(error) => tracing::debug!(%error, "cannot refresh the state"),
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
        // Another version of this program may write without logging its commits.
        Err(_) => listener.state.forget_all(),
    }
}
