//! `headcount verify`: compares the tallies with the events, and checks every rule that the data must keep.

use std::io::{Write, stdout};

use anyhow::Context;

use crate::database::{Database, DatabaseConfig};
use crate::verify::{Finding, verify};

#[derive(Debug, clap::Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    config: DatabaseConfig,
    /// Repair the tallies that are wrong, in one transaction that blocks writers
    #[arg(long)]
    repair: bool,
}

impl VerifyArgs {
    /// Returns whether everything is right, or was repaired.
    pub(super) async fn run(self) -> anyhow::Result<bool> {
        let database = Database::connect(&self.config.database_url).await?;
        let tell = |finding: &Finding| writeln!(stdout(), "{finding}");
        let verify = async |database| verify(&database, self.repair, tell).await;
        let verdict = database.closed_after(verify).await?;
        writeln!(stdout(), "{verdict}").context("cannot write the verdict")?;
        Ok(verdict.is_right())
    }
}
