//! Options of the command line, the environment and the configuration file.

mod command_line;
mod file;
mod listen;
mod size;

use entity::Instant;

use crate::auth::AuthConfig;
use crate::broker::ServeBrokerConfig;
use crate::database::PoolConfig;
use crate::ids::IdsConfig;
use crate::limits::Limits;
use crate::retention::Age;
use crate::telemetry::TelemetryConfig;

pub use command_line::{parse, without_empty_variables};
pub use file::FileError;
pub use listen::{Listen, ListenError, Place};
pub(crate) use size::size;

/// Default size of the cache of timelines, in bytes: 256 MiB.
pub const CACHE_BYTES: u64 = 256 << 20;

/// The database.
#[derive(Clone, Debug, clap::Args)]
pub struct DatabaseConfig {
    /// Use this database: `sqlite://FILE?mode=rwc` or `postgres://USER@HOST/NAME`
    #[arg(
        long,
        env = "DATABASE_URL",
        value_name = "URL",
        hide_env_values = true,
        default_value = "sqlite://headcount.db?mode=rwc"
    )]
    pub database_url: String,
}

/// Accepted events.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct EventsConfig {
    /// Reject events before this instant: they come from clocks that were never set
    #[arg(long, env = "EARLIEST_EVENT", value_name = "TIMESTAMP", default_value = "2010-01-01")]
    pub earliest_event: Instant,
}

/// Options of `headcount serve`.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeConfig {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseConfig,
    /// Read timelines and events from this standby of the PostgreSQL database, while it has all that this process knows
    /// of them; everything else is read from the database itself
    #[arg(long, env = "DATABASE_READ_URL", value_name = "URL", hide_env_values = true)]
    pub database_read_url: Option<String>,
    /// Listen on this address or host and port: `127.0.0.1:8000`, `[::1]:8000`, `localhost:8000`; or `systemd` for the
    /// sockets of a socket unit
    #[arg(long, env = "LISTEN", value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8000")]
    pub listen: Listen,
    /// Keep at most this many bytes of timelines in memory, such as 268435456, 256MB or 1GiB; a DPU's day takes 2 to 3
    /// bytes per crossing, and about 400 more
    #[arg(long, env = "CACHE_BYTES", value_name = "BYTES", default_value_t = CACHE_BYTES, value_parser = size(0..=u64::MAX))]
    pub cache_bytes: u64,
    /// Prune events that are older than this, each hour; an age in whole days or weeks, such as 400d or 8w
    #[arg(long, env = "PRUNE_OLDER_THAN", value_name = "AGE")]
    pub prune_older_than: Option<Age>,
    /// Accepted events.
    #[command(flatten)]
    pub events: EventsConfig,
    /// Connections to the database, and time limits.
    #[command(flatten)]
    pub pool: PoolConfig,
    /// Public ids.
    #[command(flatten)]
    pub ids: IdsConfig,
    /// Logs and traces.
    #[command(flatten)]
    pub telemetry: TelemetryConfig,
    /// Consuming from the broker.
    #[command(flatten)]
    pub broker: ServeBrokerConfig,
    /// Limits on clients.
    #[command(flatten)]
    pub limits: Limits,
    /// Authentication.
    #[command(flatten)]
    pub auth: AuthConfig,
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Args, Command};

    use super::{ServeConfig, command_line};
    use crate::broker::ConsumeConfig;

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
        let consume = ConsumeConfig::augment_args(Command::new("consume"));
        let serve = ServeConfig::augment_args(Command::new("serve")).arg(command_line::file_option());
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
