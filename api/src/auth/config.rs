//! Configuration of access control: flags, environment variables, and the settings that result.

use std::num::NonZeroU32;

use clap::builder::FalseyValueParser;
use sea_orm::DbErr;

use super::origin::Origin;
use super::rate_limiter::Rate;
use super::tokens::Tokens;
use crate::clock::Clock;
use crate::database::Database;

/// Default rate limit of a token, in requests per second.
const TOKEN_RATE: u32 = 500;

/// Addition to the log line of a server that is open to its own machine.
const THROUGH_PROXIES: &str = ", also through a proxy or a tunnel on this machine that adds no header X-Forwarded-For, \
    Forwarded or Via";

/// Flags for access control.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Access control")]
pub struct AuthConfig {
    /// Let anyone read and change everything, on any address, as long as no token exists. Default: on loopback
    /// addresses only
    #[arg(long, env = "OPEN", value_parser = FalseyValueParser::new())]
    pub open: bool,
    /// Allow pages of these origins, separated by commas, to send requests from a browser: `https://example.org`,
    /// `https://*.example.org` for every host below a domain, `*` for all
    #[arg(long, env = "CORS_ORIGINS", value_name = "ORIGINS", value_delimiter = ',')]
    pub cors_origins: Vec<Origin>,
    /// Serve GraphiQL at /graphiql
    #[arg(long, env = "GRAPHIQL", value_name = "ON|OFF", default_value = "on")]
    pub graphiql: Switch,
    /// Allow introspection of the GraphQL schema
    #[arg(long, env = "INTROSPECTION", value_name = "ON|OFF", default_value = "on")]
    pub introspection: Switch,
    /// Limit the requests per second of each token and, if this flag is given, of each client address while no token
    /// exists; 0 for no limit [default: 500 per token]
    #[arg(long, env = "RATE", value_name = "REQUESTS")]
    pub rate: Option<u32>,
    /// Allow this many requests at once after a pause [default: twice the rate]
    #[arg(long, env = "RATE_BURST", value_name = "REQUESTS")]
    pub rate_burst: Option<NonZeroU32>,
}

/// A switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Switch {
    /// Turned on.
    On,
    /// Turned off.
    Off,
}

#[derive(Clone, Debug)]
pub struct AuthSettings {
    /// Whether any client may read and change everything while no token exists.
    pub open_without_tokens: bool,
    /// Whether an open server answers only requests for a name of its own machine.
    pub this_machine_only: bool,
    pub origins: Vec<Origin>,
    pub graphiql: Switch,
    pub introspection: Switch,
    pub token_rate: Option<Rate>,
    /// Rate limit of a client address while no token is required.
    pub address_rate: Option<Rate>,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(
        "no valid token exists, and {0} can be reached from other machines. Create a token with `headcount token \
         create NAME --role admin`, listen on a loopback address, or, to let anyone read and change everything while \
         no token exists, start with --open"
    )]
    NoTokens(String),
    #[error(
        "no token exists, and --cors-origins has *: pages of any site that a browser on this machine visits could read \
         and change everything. Create a token with `headcount token create NAME --role admin`, or name the origins"
    )]
    AnyOrigin,
    #[error("cannot read the tokens: {0}")]
    Database(#[from] DbErr),
}

impl Switch {
    pub fn is_on(self) -> bool {
        self == Self::On
    }
}

impl AuthConfig {
    pub fn settings(&self, loopback: bool) -> AuthSettings {
        let rate = |per_second: u32| {
            let per_second = NonZeroU32::new(per_second)?;
            let burst = self
                .rate_burst
                .unwrap_or(per_second.saturating_mul(const { NonZeroU32::MIN.saturating_add(1) }));
            Some(Rate { per_second, burst })
        };
        AuthSettings {
            open_without_tokens: loopback || self.open,
            this_machine_only: !self.open,
            origins: self.cors_origins.clone(),
            graphiql: self.graphiql,
            introspection: self.introspection,
            token_rate: rate(self.rate.unwrap_or(TOKEN_RATE)),
            address_rate: self.rate.and_then(rate),
        }
    }
}

impl Default for AuthSettings {
    /// Returns the settings for a loopback address, without rate limits.
    fn default() -> Self {
        Self {
            open_without_tokens: true,
            this_machine_only: true,
            origins: Vec::new(),
            graphiql: Switch::On,
            introspection: Switch::On,
            token_rate: None,
            address_rate: None,
        }
    }
}

impl AuthSettings {
    /// Checks whether the server may start on this address, and logs whether it requires tokens.
    pub async fn check(&self, database: &Database, clock: &Clock, listen: &str) -> Result<(), StartError> {
        let tokens = Tokens::new(None).newest(database).await?;
        if tokens.is_empty() && self.open_without_tokens {
            if self.origins.contains(&Origin::Any) {
                return Err(StartError::AnyOrigin);
            }
            tracing::warn!(
                "open: no tokens exist, so anyone who can reach {listen} can read and change everything{}. Create one with \
                 `headcount token create NAME --role admin`",
                if self.this_machine_only { THROUGH_PROXIES } else { "" }
            );
            return Ok(());
        }
        if !tokens.any_valid(clock.now()) && !self.open_without_tokens {
            return Err(StartError::NoTokens(listen.to_owned()));
        }
        tracing::info!("requests require a token");
        Ok(())
    }
}
