//! Detects writes by other processes to a SQLite file.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::DbErr;
use tokio::time::Instant as Tick;

use super::Listener;
use crate::tasks;

/// Time between two checks, and so the delay after which other processes' writes are seen.
const INTERVAL: Duration = Duration::from_millis(20);

/// Checks repeatedly. SQLite's data version changes if and only if another process has written. It is read on the
/// connection through which this process writes.
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
                    tracing::warn!(%error, "cannot check for writes by other processes");
                    listener.close();
                }
            }
        }
        tasks::ran();
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Returns the current data version, and refreshes the state if it is not `last`. `known` are the commits of others at
/// the last refresh.
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
        // The writer was a version of this program that does not log its commits, or it wrote a token.
        listener.state.forget_all();
    }
    *known = Some(others);
    Ok(version)
}
