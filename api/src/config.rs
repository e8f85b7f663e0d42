//! What the command line and the environment decide.

use std::net::SocketAddr;

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
}
