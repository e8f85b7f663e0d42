//! Looks whether another process has written to a SQLite file.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::DbErr;
use tokio::time::Instant as Tick;

use super::Listener;

/// How long to wait between two looks: about how late another process's writes are seen.
const INTERVAL: Duration = Duration::from_millis(20);

/// Looks again and again. The version of the data differs from the last time if somebody else has written,
/// and only then: it is asked for on the one connection by which this process writes.
pub(super) async fn listen(listener: Listener) -> Infallible {
    let (mut last, mut known) = (None, None);
    loop {
        match look(&listener, last, &mut known).await {
            Ok(version) => {
                if last.is_none() {
                    listener.open();
                }
                last = Some(version);
            }
            Err(error) => {
                if last.take().is_some() {
                    tracing::warn!(%error, "whether others write to the database cannot be seen");
                    listener.close();
                }
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Says which version the data has, and refreshes the state where that is not the last one. `known` are the commits of
/// others as of the last time that it was refreshed here.
async fn look(
    listener: &Listener,
    last: Option<(u64, i64)>,
    known: &mut Option<Arc<BTreeMap<i64, i64>>>,
) -> Result<(u64, i64), DbErr> {
    let begun = Tick::now();
    let version = listener.state.database().sqlite_data_version().await;
    let version = version.map_err(|error| DbErr::Custom(error.to_string()))?;
    if last == Some(version) {
        listener.state.nothing_came(begun).await;
        return Ok(version);
    }
    listener.state.refresh().await?;
    (listener.forget_tokens)();
    let others = listener.state.newest().await?.position.others.clone();
    if last.is_some() && known.as_ref() == Some(&others) {
        // It was not written by a version of this program that logs its commits, or it was a token.
        listener.state.forget_all();
    }
    *known = Some(others);
    Ok(version)
}
