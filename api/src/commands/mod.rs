//! The command line: a file a command.

mod backup;
mod consume;
mod dead_letter;
mod health;
mod migrate;
mod process;
mod prune;
mod schema;
mod serve;
mod token;
mod verify;

use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::backup::BackupArgs;
pub use self::consume::ConsumeConfig;
use self::dead_letter::DeadLetterArgs;
use self::health::HealthArgs;
use self::migrate::MigrateArgs;
use self::prune::PruneArgs;
pub use self::serve::ServeConfig;
use self::token::TokenArgs;
pub use self::token::TokenCommand;
use self::verify::VerifyArgs;
use crate::config;

/// How many people are in a space, now or at any instant of the past.
#[derive(Debug, Parser)]
#[command(name = "headcount", version, about, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeConfig,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve GraphQL and REST (the default); migrates the database first
    Serve(Box<ServeConfig>),
    /// Record the events that devices publish to NATS JetStream or an MQTT broker; migrates the database first
    ///
    /// Any number of processes may do so at once. To serve and consume in one process, use `serve --consume`.
    Consume(Box<ConsumeConfig>),
    /// List messages that could not be recorded, and replay them
    #[command(name = "deadletter")]
    DeadLetter(DeadLetterArgs),
    /// Bring the database's schema up to date, and exit
    Migrate(MigrateArgs),
    /// Print the GraphQL schema
    Schema,
    /// Compute every tally again from the events, and check every rule that the data must keep
    ///
    /// Prints one line per problem. The exit code is 1 if there is a problem that was not repaired.
    Verify(VerifyArgs),
    /// Delete events that are older than an age, and keep how many people crossed until the end of each hour
    ///
    /// Later counts stay exact. Earlier counts are exact to the hour, and earlier events are no longer accepted.
    Prune(PruneArgs),
    /// Copy a SQLite database while servers use it
    ///
    /// The copy has every commit that was acknowledged before it began, and no partial one. It is checked, and gets its name
    /// once it is durable.
    Backup(BackupArgs),
    /// Ask a server whether it is ready; the exit code is 1 if it is not
    Health(HealthArgs),
    /// Create, list and revoke the tokens by which people and programs authenticate
    Token(TokenArgs),
}

/// Runs the command that the process was started with. An error is written to the standard error.
pub async fn run() -> ExitCode {
    match run_command().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            writeln!(stderr(), "Error: {}", told(&error)).ok();
            ExitCode::FAILURE
        }
    }
}

/// Returns whether the command has found everything right.
async fn run_command() -> anyhow::Result<bool> {
    config::check_removed(std::env::args())?;
    let cli: Cli = config::parse()?;
    match cli.command.unwrap_or(Command::Serve(Box::new(cli.serve))) {
        Command::Serve(config) => serve::run(*config).await?,
        Command::Consume(config) => consume::run(*config).await?,
        Command::DeadLetter(arguments) => return Ok(arguments.run(&mut stdout()).await?),
        Command::Migrate(migrate) => migrate.run().await?,
        Command::Schema => schema::run()?,
        Command::Verify(verify) => return verify.run().await,
        Command::Prune(prune) => prune.run().await?,
        Command::Token(token) => token.run().await?,
        Command::Backup(backup) => backup.run().await?,
        Command::Health(health) => return health.run().await,
    }
    Ok(true)
}

/// Returns the error and its causes, each once: some errors include their causes.
fn told(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !told.contains(&cause) {
            told.push_str(if told.is_empty() { "" } else { ": " });
            told.push_str(&cause);
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Args};

    use super::*;

    /// Returns the cells of the row of the operators' page that begins with this one.
    fn row(first: &str) -> Vec<String> {
        let page = include_str!("../../../docs/operations.md");
        let rows: Vec<Vec<_>> = page
            .lines()
            .map(|line| line.split('|').map(|cell| cell.trim().replace('`', "")).skip(1).collect())
            .filter(|cells: &Vec<String>| cells.first().is_some_and(|cell| cell == first))
            .collect();
        assert_eq!(rows.len(), 1, "the rows of {first}");
        rows.into_iter().next().unwrap()
    }

    #[test]
    fn the_operators_page_has_a_row_for_each_option_with_its_variable_and_its_default() {
        let consume = ConsumeConfig::augment_args(clap::Command::new("consume"));
        let serve = ServeConfig::augment_args(clap::Command::new("serve")).arg(config::file_option());
        let options: Vec<&Arg> = serve.get_arguments().chain(consume.get_arguments()).collect();
        assert!(options.len() > 40, "{} options", options.len());
        for option in options {
            let flag = format!("--{}", option.get_long().unwrap());
            let cells = row(&flag);
            assert_eq!(cells[1], option.get_env().unwrap().to_str().unwrap(), "{flag}");
            let default = option.get_default_values().iter().map(|value| value.to_str().unwrap());
            let default = default.collect::<Vec<_>>().join(",");
            assert!(cells[2] == default || default.is_empty() && !cells[2].is_empty(), "{flag}: {cells:?}");
            assert!(option.get_help().is_some() && cells[3].len() > 1, "{flag}");
        }
    }
}
