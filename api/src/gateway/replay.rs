//! The task that records what the inbox has of devices that are known by now.

use std::convert::Infallible;
use std::time::Duration;

use ::metrics::counter;
use entity::inbox;
use tokio::task::JoinHandle;

use super::{Gateway, ReceiveError, Received};
use crate::tasks::{self, Tasks};

/// How often the inbox is looked through without a change of the floor plan: another process may have kept reports of a
/// DPU that it did not know of yet.
const PERIOD: Duration = Duration::from_mins(1);

/// The task, which runs until this is dropped.
#[derive(Debug)]
pub(crate) struct Replaying(JoinHandle<Infallible>);

impl Drop for Replaying {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Replaying {
    pub(super) fn start(gateway: Gateway, tasks: &Tasks) -> Self {
        Self(tasks.spawn("inbox", async move {
            let mut versions = gateway.state.versions();
            let revision = || gateway.state.plan().map(|plan| plan.revision());
            loop {
                let known = revision();
                if let Err(error) = gateway.look_through().await {
                    tracing::warn!(%error, "reports of devices that are known by now could not be recorded");
                }
                tasks::ran();
                // A process that keeps no reports has nothing to look for.
                let changed = versions.wait_for(|_| revision() != known && !gateway.inbox.is_empty());
                tokio::time::timeout(PERIOD, changed).await.ok();
            }
        }))
    }
}

impl Gateway {
    /// Trims the inbox, and records everything that it has of DPUs that exist. Every report is recorded before it is deleted; one
    /// that is recorded twice counts once.
    async fn look_through(&self) -> Result<(), ReceiveError> {
        self.inbox.trim(self.clock.now()).await?;
        if self.inbox.is_empty() {
            return Ok(());
        }
        let plan = self.state.floor_plan().await?;
        for device in self.inbox.keys().await? {
            let Some(dpu) = plan.dpu_id(&device) else { continue };
            let mut received = Received::default();
            loop {
                let rows = self.inbox.oldest(&device).await?;
                if rows.is_empty() {
                    break;
                }
                let report =
                    |row: &inbox::Model| Some((serde_json::from_str(&row.report).ok()?, row.received));
                let reports: Vec<_> = rows.iter().filter_map(report).collect();
                let of_dpu = std::iter::once((dpu, reports.into_iter()));
                self.record(&plan, of_dpu, &mut received).await?;
                self.inbox.delete(&rows).await?;
            }
            let Received { accepted, duplicates, ignored, rejected, .. } = received;
            counter!("headcount_inbox_recorded_total").increment(accepted);
            tracing::info!(
                serial = device,
                accepted,
                duplicates,
                ignored,
                rejected = rejected.len(),
                "recorded what the inbox had of a DPU"
            );
            for (serial, rejection) in rejected.iter().take(20) {
                tracing::warn!(serial, "a report of the inbox was rejected: {rejection}");
            }
        }
        Ok(())
    }
}
