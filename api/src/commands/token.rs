//! `headcount token`: creates, lists and revokes tokens.

use std::io::{self, Write, stderr, stdout};
use std::str::FromStr;

use entity::{Instant, token};

use super::process::open;
use crate::auth::{self, ManageError, NewToken, Role};
use crate::clock::Clock;
use crate::database::{Database, DatabaseConfig, PoolConfig};
use crate::ids::{IdsConfig, Kind, PublicIds};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

#[derive(Debug, clap::Args)]
pub(super) struct TokenArgs {
    #[command(flatten)]
    config: DatabaseConfig,
    #[command(flatten)]
    ids: IdsConfig,
    #[command(subcommand)]
    command: TokenCommand,
}

impl TokenArgs {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let ids = PublicIds::new(&self.ids)?;
        let database = open(&self.config, Some(PoolConfig::default())).await?;
        let run = async |database| {
            self.command.run(&database, &ids, &Clock::system(), &mut stdout(), &mut stderr()).await
        };
        Ok(database.closed_after(run).await?)
    }
}

/// Command about tokens.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum TokenCommand {
    /// Create a token and print it; it is not shown again
    Create(Create),
    /// List all tokens, without their secrets
    List,
    /// Revoke a token; servers reject it from now on
    Revoke {
        /// Id or name of the token
        token: String,
    },
}

/// Input for creating a token.
#[derive(Clone, Debug, clap::Args)]
pub struct Create {
    /// Name of the token, such as its owner or its purpose
    name: String,
    /// Role of the token
    #[arg(long)]
    role: RoleName,
    /// Limit a token with the role read to the space with this name; repeat for more. Default: all spaces
    #[arg(long, value_name = "NAME")]
    space: Vec<String>,
    /// Limit a token with the role read to the space with this id, as in the API; repeat for more
    #[arg(long, value_name = "ID")]
    space_id: Vec<i64>,
    /// Limit a token with the role ingest to the DPU with this serial. Default: all DPUs
    #[arg(long, value_name = "SERIAL")]
    dpu: Option<String>,
    /// Let the token expire at a timestamp, or after a number of days, such as 90d. Default: never
    #[arg(long, value_name = "WHEN")]
    expires: Option<Expiry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum RoleName {
    /// Query and subscribe; no changes
    Read,
    /// Record events; no queries
    Ingest,
    /// Everything
    Admin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expiry {
    At(Instant),
    Days(i64),
}

#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("--{option} requires --role {role}")]
    Limit { option: &'static str, role: &'static str },
    #[error(transparent)]
    Manage(#[from] ManageError),
    #[error("the command succeeded, but its output cannot be written: {0}")]
    Write(#[from] io::Error),
}

impl FromStr for Expiry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(days) = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok()) {
            return Ok(Self::Days(days.into()));
        }
        text.parse().map(Self::At).map_err(|error| format!("{error}; or a number of days, such as 90d"))
    }
}

impl TokenCommand {
    /// Runs the command. Writes results to `out` and messages to `aside`.
    pub async fn run(
        self,
        database: &Database,
        ids: &PublicIds,
        clock: &Clock,
        out: &mut impl Write,
        aside: &mut impl Write,
    ) -> Result<(), TokenError> {
        let now = clock.now();
        match self {
            Self::Create(new) => {
                let (row, secret) = auth::create(database, now, new.read(database, ids, now).await?).await?;
                writeln!(out, "{}", secret.reveal())?;
                writeln!(
                    aside,
                    "created token {} {:?}: keep it, it is not shown again; send it as Authorization: Bearer TOKEN",
                    row.id, row.name
                )?;
            }
            Self::List => {
                writeln!(out, "id\tname\trole\tonly\tstate\texpires\tlast used\tcreated")?;
                for row in auth::list(database).await.map_err(ManageError::from)? {
                    writeln!(out, "{}", line(&row, ids, now))?;
                }
            }
            Self::Revoke { token } => {
                let row = auth::revoke(database, now, &token).await?;
                writeln!(aside, "revoked token {} {:?}", row.id, row.name)?;
            }
        }
        Ok(())
    }
}

impl Create {
    async fn read(self, database: &Database, ids: &PublicIds, now: Instant) -> Result<NewToken, TokenError> {
        let Self { name, role, space, space_id, dpu, expires } = self;
        let row_ids = space_id.iter().map(|id| (*id, ids.row(Kind::Space, *id))).collect::<Vec<_>>();
        let is_limited = !(space.is_empty() && row_ids.is_empty());
        if is_limited && role != RoleName::Read {
            return Err(TokenError::Limit { option: "space", role: "read" });
        }
        if dpu.is_some() && role != RoleName::Ingest {
            return Err(TokenError::Limit { option: "dpu", role: "ingest" });
        }
        let role = match role {
            RoleName::Read if is_limited => {
                Role::Read(Some(auth::space_ids(database, &space, &row_ids).await?))
            }
            RoleName::Read => Role::Read(None),
            RoleName::Ingest => Role::Ingest(match dpu {
                Some(serial) => Some(auth::dpu_id(database, &serial).await?),
                None => None,
            }),
            RoleName::Admin => Role::Admin,
        };
        let expires = expires.map(|expires| match expires {
            Expiry::At(instant) => instant,
            Expiry::Days(days) => now.plus_ms(days * DAY_MS),
        });
        Ok(NewToken { name, role, expires })
    }
}

/// Returns a token as one line, with columns separated by tabs.
fn line(row: &token::Model, ids: &PublicIds, now: Instant) -> String {
    let role = match row.role {
        token::Role::Read => "read",
        token::Role::Ingest => "ingest",
        token::Role::Admin => "admin",
    };
    let only = match (&row.spaces, row.dpu_id) {
        (Some(spaces), _) => {
            let rows = spaces.split(',').filter_map(|id| id.parse().ok());
            let spaces: Vec<_> = rows.map(|id| ids.public(Kind::Space, id).to_string()).collect();
            format!("spaces {}", spaces.join(","))
        }
        (None, Some(dpu)) => format!("DPU {}", ids.public(Kind::Dpu, dpu)),
        (None, None) => "-".to_owned(),
    };
    let state = match (row.revoked, row.expires) {
        (Some(_), _) => "revoked",
        (None, Some(expires)) if expires <= now => "expired",
        _ => "valid",
    };
    let instant =
        |instant: Option<Instant>| instant.map_or_else(|| "never".to_owned(), |instant| instant.to_string());
    let last_used = instant(row.last_used_day);
    let last_used = last_used.split('T').next().unwrap_or_default();
    let name = row.name.escape_debug();
    format!(
        "{}\t{name}\t{role}\t{only}\t{state}\t{}\t{last_used}\t{}",
        row.id,
        instant(row.expires),
        row.created
    )
}
