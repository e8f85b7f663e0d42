//! `headcount prune`: drops old events, and keeps how many crossed until the end of each hour.

use std::io::{Write, stdout};

use anyhow::Context;

use super::process::open;
use crate::clock::Clock;
use crate::database::DatabaseConfig;
use crate::retention::{self, Age, Pruned};
use crate::telemetry::{self, TelemetryConfig};

#[derive(Debug, clap::Args)]
pub(super) struct PruneArgs {
    #[command(flatten)]
    config: DatabaseConfig,
    /// Prune events that are older than this, in whole days or weeks, such as 400d or 8w; the UTC day in which the age
    /// ends is kept
    #[arg(long, value_name = "AGE")]
    older_than: Age,
}

impl PruneArgs {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let telemetry = telemetry::start(&TelemetryConfig::default())?;
        let database = open(&self.config, None).await?;
        let until = self.older_than.before(Clock::system().now());
        let prune = async |database| retention::prune(&database, until).await;
        let pruned = database.closed_after(prune).await?;
        let Pruned { horizon, events } = pruned.context("another process is pruning this database")?;
        writeln!(stdout(), "events before {horizon} have been pruned: {events} of them just now")
            .context("cannot write what was pruned")?;
        telemetry.finish().await;
        Ok(())
    }
}
