//! Simulates a fleet of DPUs with bursts, outages and their backlogs, repeated and late reports and wrong clocks, and
//! compares every count with the true one afterwards.
//!
//! ```console
//! $ fleet plan --dpus 1000 --spaces 50 --file plan.toml && seed --plan plan.toml
//! $ fleet send --dpus 1000 --spaces 50 --events 1000000 --journal run.journal --to http://127.0.0.1:8000
//! $ fleet check --journal run.journal --server http://127.0.0.1:8000
//! ```
//!
//! `send` repeats each report until it is acknowledged, so `check` expects all of them exactly once, whatever happens
//! to servers and connections. Both derive everything from the settings: the same seed gives the same events.
//!
//! With `--kinds mixed`, given to `plan` and `send`, a third of the DPUs each reports crossings, intervals and totals. The
//! same people cross as without it.

mod check;
mod http;
mod journal;
mod kinds;
mod link;
mod mqtt;
mod nats;
mod periods;
mod plan;
mod probe;
mod random;
mod report;
mod send;
mod sender;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Simulate a fleet of DPUs that reports over HTTP, NATS or MQTT, and check the counts
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write the floor plan, for the seed binary to load
    Plan(Plan),
    /// Send every report until it is acknowledged, and measure the speed
    Send(send::Arguments),
    /// Compare every count with the true one; exit with 1 if any is wrong
    Check(check::Arguments),
}

#[derive(Debug, Args)]
struct Plan {
    #[command(flatten)]
    settings: world::Settings,
    /// File to write the floor plan to
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        Command::Plan(plan) => plan::write(&plan.settings.floor_plan()?, &plan.file)?,
        Command::Send(arguments) => send::send(arguments).await?,
        Command::Check(arguments) => {
            return Ok(if check::check(arguments).await? { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
    }
    Ok(ExitCode::SUCCESS)
}
