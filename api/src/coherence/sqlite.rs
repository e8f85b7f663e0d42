//! Looks whether another process has written to a SQLite file.

use std::time::Duration;

use super::Ear;
use crate::database::Database;

/// How long to wait between two looks: about how late another process's writes are seen.
const REST: Duration = Duration::from_millis(20);

/// Looks again and again. The version of the data differs from the last time if somebody else has written,
/// and only then: it is asked for on the one connection by which this process writes.
pub(super) async fn look(database: Database, ear: Ear) {
    let mut last = None;
    loop {
        match database.sqlite_data_version().await {
            Ok(version) => {
                if last != Some(version) {
                    ear.open();
                }
                last = Some(version);
            }
            Err(error) => {
                if last.take().is_some() {
                    tracing::warn!(%error, "whether others write to the database cannot be seen");
                    ear.close();
                }
            }
        }
        tokio::time::sleep(REST).await;
    }
}
