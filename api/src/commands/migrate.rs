//! `headcount migrate`: brings the database's schema up to date.

use super::process::{LOG, open};
use crate::database::DatabaseConfig;
use crate::telemetry::{self, TelemetryConfig};

#[derive(Debug, clap::Args)]
pub(super) struct MigrateArgs {
    #[command(flatten)]
    config: DatabaseConfig,
}

impl MigrateArgs {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let telemetry = telemetry::start(&TelemetryConfig::default())?;
        let database = open(&self.config, None).await?;
        database.closed_after(async |_| anyhow::Ok(())).await?;
        tracing::info!(target: LOG, "the database's schema is up to date");
        telemetry.finish().await;
        Ok(())
    }
}
