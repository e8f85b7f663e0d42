//! What commands have in common: opening the database, and stopping.

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::database::{Database, DatabaseConfig, PoolConfig, explained};
use crate::http::server::Stopped;
use crate::tasks::Tasks;

/// The target of what the program itself logs.
pub(super) const LOG: &str = "headcount";

pub(super) fn urls(listeners: &[TcpListener]) -> anyhow::Result<String> {
    let urls = listeners.iter().map(|listener| Ok(format!("http://{}", listener.local_addr()?)));
    Ok(urls.collect::<anyhow::Result<Vec<_>>>()?.join(" and "))
}

pub(super) fn has_stopped(how: Stopped) -> anyhow::Result<()> {
    match how {
        Stopped::Finished => tracing::info!(target: LOG, "stopped; all requests are finished"),
        Stopped::Dropped => {
            tracing::info!(target: LOG, "stopped; some requests were dropped, but all received events are recorded");
        }
        Stopped::Unrecorded => anyhow::bail!(
            "stopped before all received events were written: they were not acknowledged, so clients will resend them"
        ),
    }
    Ok(())
}

/// Opens the database and brings its schema up to date. Without `pool`, statements may take any time.
pub(super) async fn open(config: &DatabaseConfig, pool: Option<PoolConfig>) -> anyhow::Result<Database> {
    let database = match pool {
        Some(pool) => Database::connect_with(&config.database_url, pool).await?,
        None => Database::connect(&config.database_url).await?,
    };
    if let Err(error) = database.migrate().await {
        anyhow::bail!("cannot bring the database's schema up to date: {}", explained(&error));
    }
    Ok(database)
}

/// Returns a token that is cancelled when the process is told to stop, or a background task has panicked.
pub(super) fn stop(tasks: &Tasks) -> CancellationToken {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<Option<()>>();
    let stopped = CancellationToken::new();
    let (token, tasks) = (stopped.clone(), tasks.clone());
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupted => {}
            _ = terminated => {}
            () = tasks.panicked() => {}
        }
        tracing::info!(target: LOG, "stopping");
        token.cancel();
    });
    stopped
}
