//! What the command line and the environment decide.

use std::net::SocketAddr;

use crate::auth::AuthConfig;
use crate::broker::ServeBrokerConfig;
use crate::database::PoolConfig;
use crate::ids::IdsConfig;
use crate::limits::Limits;
use crate::retention::Age;
use crate::telemetry::TelemetryConfig;

/// How many bytes of timelines are kept in memory unless somebody says otherwise: 256 MiB.
pub const CACHE_BYTES: u64 = 256 << 20;

/// Where the data is.
#[derive(Clone, Debug, clap::Args)]
pub struct DatabaseConfig {
    /// The database: `sqlite://FILE?mode=rwc` or `postgres://USER@HOST/NAME`
    #[arg(long, env = "DATABASE_URL", value_name = "URL", default_value = "sqlite://headcount.db?mode=rwc")]
    pub database_url: String,
}

/// How to serve.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeConfig {
    /// Where the data is.
    #[command(flatten)]
    pub database: DatabaseConfig,
    /// The address and port to listen on
    #[arg(long, env = "LISTEN", value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8000")]
    pub listen: SocketAddr,
    /// How many bytes of timelines to keep in memory: a DPU's day takes 4 bytes a crossing and some 400 more
    #[arg(long, env = "CACHE_BYTES", value_name = "BYTES", default_value_t = CACHE_BYTES)]
    pub cache_bytes: u64,
    /// Prune events that are older, each hour: an age in whole days or weeks, such as 400d or 8w
    #[arg(long, env = "PRUNE_OLDER_THAN", value_name = "AGE")]
    pub prune_older_than: Option<Age>,
    /// How long to wait for the database.
    #[command(flatten)]
    pub pool: PoolConfig,
    /// What rows are called outside.
    #[command(flatten)]
    pub ids: IdsConfig,
    /// How operators are told.
    #[command(flatten)]
    pub telemetry: TelemetryConfig,
    /// Whether to consume as well.
    #[command(flatten)]
    pub broker: ServeBrokerConfig,
    /// What clients may ask for.
    #[command(flatten)]
    pub limits: Limits,
    /// Who may do what.
    #[command(flatten)]
    pub auth: AuthConfig,
}
