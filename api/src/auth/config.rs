//! What the command line and the environment decide of who may do what.

use std::num::NonZeroU32;

use clap::builder::FalseyValueParser;
use sea_orm::DbErr;

use super::origin::Origin;
use super::pace::Rate;
use super::tokens::Tokens;
use crate::clock::Clock;
use crate::database::Database;

/// How many requests a second a token may make unless somebody says otherwise.
const TOKEN_RATE: u32 = 500;

/// What the log says in addition of a server that is open to its own machine.
const THROUGH_PROXIES: &str = ", also through a proxy or a tunnel on this machine that adds no header X-Forwarded-For, \
    Forwarded or Via";

/// Who may do what.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Who may do what")]
pub struct AuthConfig {
    /// Let everybody do everything on any address, for as long as there is no token; without it, on a loopback address
    /// only
    #[arg(long, env = "OPEN", value_parser = FalseyValueParser::new())]
    pub open: bool,
    /// Origins whose pages may send requests from a browser, with commas between: `https://example.org`,
    /// `https://*.example.org` for every host below a domain, `*` for all
    #[arg(long, env = "CORS_ORIGINS", value_name = "ORIGINS", value_delimiter = ',')]
    pub cors_origins: Vec<Origin>,
    /// Whether there is GraphiQL
    #[arg(long, env = "GRAPHIQL", value_name = "ON|OFF", default_value = "on")]
    pub graphiql: Switch,
    /// Whether the schema can be asked for
    #[arg(long, env = "INTROSPECTION", value_name = "ON|OFF", default_value = "on")]
    pub introspection: Switch,
    /// How many requests a second a token may make, and, if this is given, a client address where no tokens are asked
    /// for; 0 for any number [default: 500 a token]
    #[arg(long, env = "RATE", value_name = "REQUESTS")]
    pub rate: Option<u32>,
    /// How many requests it may make at once after a rest [default: twice the rate]
    #[arg(long, env = "RATE_BURST", value_name = "REQUESTS")]
    pub rate_burst: Option<NonZeroU32>,
}

/// Whether there is something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Switch {
    /// There is.
    On,
    /// There is not.
    Off,
}

/// What was decided.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether everybody may do everything while there is no token.
    pub open_without_tokens: bool,
    /// Whether an open server answers only who asks for it by a name of its own machine.
    pub this_machine_only: bool,
    /// Of which origins pages may ask.
    pub origins: Vec<Origin>,
    /// Whether there is GraphiQL.
    pub graphiql: Switch,
    /// Whether the schema can be asked for.
    pub introspection: Switch,
    /// How many requests a token may make.
    pub token_rate: Option<Rate>,
    /// How many requests a client address may make where no tokens are asked for.
    pub address_rate: Option<Rate>,
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Everybody could do everything, and nobody said that this is meant.
    #[error(
        "there is no valid token, and {0} can be reached from other machines: whoever reaches it could read and change \
         everything. Create a token first, by `headcount token create NAME --role admin`, or listen on a loopback \
         address, or say by --open that this is meant"
    )]
    NoTokens(String),
    /// Pages of all origins could read and change everything.
    #[error(
        "there is no token, and --cors-origins has *: pages of any site that a browser of this machine visits could read \
         and change everything. Create a token first, by `headcount token create NAME --role admin`, or name the origins"
    )]
    AnyOrigin,
    /// The tokens cannot be read.
    #[error("cannot read the tokens: {0}")]
    Database(#[from] DbErr),
}

impl Switch {
    /// Whether there is.
    pub fn is_on(self) -> bool {
        self == Self::On
    }
}

impl AuthConfig {
    /// What that comes to on a loopback address, or on any other.
    pub fn settings(&self, loopback: bool) -> Settings {
        let rate = |per_second: u32| {
            let per_second = NonZeroU32::new(per_second)?;
            let burst = self
                .rate_burst
                .unwrap_or(per_second.saturating_mul(const { NonZeroU32::MIN.saturating_add(1) }));
            Some(Rate { per_second, burst })
        };
        Settings {
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

impl Default for Settings {
    /// As on a loopback address, at any rate.
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

impl Settings {
    /// Whether the server may start there, which the log is told if everybody is let in.
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
        tracing::info!("tokens are asked for");
        Ok(())
    }
}
