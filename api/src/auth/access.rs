//! Permissions of a client, and the reasons for refusing it.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderName, StatusCode};
use entity::Instant;
use sea_orm::DbErr;

use super::pace::Pace;
use super::rules::Need;
use super::token::{Role, Token};
use super::tokens::Snapshot;
use crate::app::App;
use crate::floor_plan::FloorPlan;
use crate::ingest::{Batch, Rejection};

/// Interval of the checks whether a token has expired.
const LOOK: Duration = Duration::from_secs(1);

/// Permissions of a client.
#[derive(Clone, Debug)]
pub struct Access(Grant);

#[derive(Clone, Debug)]
enum Grant {
    /// The server requires no token. The client may have a rate limit.
    Open(Option<Arc<Pace>>),
    /// The client has sent this token.
    Token(Arc<Token>),
}

/// Reason why a client is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The token is missing.
    #[error(
        "A token is needed: send the header Authorization: Bearer TOKEN, or the token as the password of HTTP Basic."
    )]
    Missing,
    /// The token is invalid.
    #[error("The token is not valid: it is not known, or has expired or been revoked.")]
    Invalid,
    /// The token does not allow this.
    #[error("This token does not allow that.")]
    Forbidden,
    /// Introspection is turned off.
    #[error("Introspection is turned off on this server.")]
    NoIntrospection,
    /// The server is open to its own machine, and a request names another host, as a page does whose domain resolves to
    /// this server (DNS rebinding).
    #[error(
        "No token exists yet, so this server answers only requests for localhost. Create one with `headcount token create \
         NAME --role admin`, or start the server with --open."
    )]
    Elsewhere,
    /// The server is open to its own machine, and a request came through a proxy, according to this header.
    #[error(
        "This request came through a proxy (it has the header {0}), and no token exists yet, so this server answers \
         only its own machine. Create a token with `headcount token create NAME --role admin`, or start the server with \
         --open."
    )]
    Proxied(HeaderName),
    /// The server is open, and a page of another origin sent the request.
    #[error(
        "A page of another origin sent this request, and no token exists yet, so this server answers only its own pages. \
         Create a token with `headcount token create NAME --role admin`, or name the origin with --cors-origins."
    )]
    Foreign,
    /// A page of another origin sent a request of a kind that browsers allow to any page.
    #[error("Pages of this origin are not allowed: name it with --cors-origins.")]
    Origin,
    /// Too many requests.
    #[error("Too many requests: try again in {after_s} s.")]
    TooMany {
        /// Seconds after which the next request is accepted.
        after_s: u64,
    },
    /// The tokens cannot be read.
    #[error("The service cannot answer now, try again.")]
    Unavailable,
}

impl Access {
    /// Returns unrestricted access, with an optional rate limit.
    pub(super) fn open(pace: Option<Arc<Pace>>) -> Self {
        Self(Grant::Open(pace))
    }

    /// Returns the access that the token gives.
    pub(super) fn by(token: &Arc<Token>) -> Self {
        Self(Grant::Token(Arc::clone(token)))
    }

    /// Returns whether it is unrestricted and without a rate limit.
    pub(super) fn is_boundless(&self) -> bool {
        matches!(self.0, Grant::Open(None))
    }

    /// Returns the token, if the server requires one.
    pub fn token(&self) -> Option<&Token> {
        match &self.0 {
            Grant::Open(_) => None,
            Grant::Token(token) => Some(token),
        }
    }

    /// Checks whether it satisfies a need.
    pub fn permit(&self, need: Need) -> Result<(), Refusal> {
        let Grant::Token(token) = &self.0 else { return Ok(()) };
        let allowed = match need {
            Need::Nothing | Need::Token | Need::Operation => true,
            Need::Read => matches!(token.role, Role::Read(_) | Role::Admin),
            Need::ReadAll => matches!(token.role, Role::Read(None) | Role::Admin),
            Need::Ingest => matches!(token.role, Role::Ingest(_) | Role::Admin),
            Need::Admin => matches!(token.role, Role::Admin),
        };
        if allowed { Ok(()) } else { Err(Refusal::Forbidden) }
    }

    /// Counts one more request, or refuses it if there are too many.
    pub fn step(&self) -> Result<(), Refusal> {
        let pace = match &self.0 {
            Grant::Open(pace) => pace.as_ref(),
            Grant::Token(token) => token.pace.as_ref(),
        };
        pace.map_or(Ok(()), |pace| pace.step().map_err(|after_s| Refusal::TooMany { after_s }))
    }

    /// Returns the part of the current floor plan that the client may see.
    pub async fn plan(&self, app: &App) -> Result<Arc<FloorPlan>, DbErr> {
        Ok(self.seen(app.floor_plan().await?))
    }

    /// Returns the part of this floor plan that the client may see.
    pub fn view(&self, plan: &Arc<FloorPlan>) -> Arc<FloorPlan> {
        self.seen(Arc::clone(plan))
    }

    fn seen(&self, plan: Arc<FloorPlan>) -> Arc<FloorPlan> {
        let Grant::Token(token) = &self.0 else { return plan };
        match &token.role {
            Role::Admin | Role::Read(None) => plan,
            Role::Read(Some(spaces)) => token.view(&plan, spaces),
            Role::Ingest(_) => Arc::default(),
        }
    }

    /// Returns the batch with the events rejected that this token may not report, as if their DPUs were unknown.
    pub async fn reports(&self, app: &App, mut batch: Batch) -> Result<Batch, DbErr> {
        let Grant::Token(token) = &self.0 else { return Ok(batch) };
        let Role::Ingest(Some(dpu)) = token.role else { return Ok(batch) };
        let plan = app.floor_plan().await?;
        for row in &mut batch {
            if let Ok(crossing) = row
                && plan.dpu_id(&crossing.serial) != Some(dpu)
            {
                *row = Err(Rejection::unknown_dpu(&crossing.serial));
            }
        }
        Ok(batch)
    }

    /// Returns whether it is still valid.
    pub async fn still_holds(&self, app: &App) -> Result<bool, DbErr> {
        Ok(self.holds(app, &*app.tokens().await?, app.clock.now()))
    }

    /// Resolves when it is no longer valid: its token was revoked or has expired, or the server now requires tokens.
    pub async fn ended(&self, app: &App) {
        let mut changes = app.tokens.changes();
        let expires = matches!(&self.0, Grant::Token(token) if token.expires.is_some());
        loop {
            let known = match self.still_holds(app).await {
                Ok(false) => return,
                Ok(true) => true,
                Err(_) => false,
            };
            let look = async {
                if known && !expires {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep(LOOK).await;
            };
            tokio::select! {
                // The sender lives as long as the app.
                _ = changes.changed() => {}
                () = look => {}
            }
        }
    }

    fn holds(&self, app: &App, tokens: &Snapshot, now: Instant) -> bool {
        match &self.0 {
            Grant::Open(_) => app.door.is_open(tokens),
            Grant::Token(token) => tokens.holds(token, now),
        }
    }
}

impl Refusal {
    /// Returns its code in GraphQL errors.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing | Self::Invalid => "UNAUTHENTICATED",
            Self::Forbidden
            | Self::NoIntrospection
            | Self::Elsewhere
            | Self::Proxied(_)
            | Self::Foreign
            | Self::Origin => "FORBIDDEN",
            Self::TooMany { .. } => "RATE_LIMITED",
            Self::Unavailable => "UNAVAILABLE",
        }
    }

    /// Returns its HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Missing | Self::Invalid => StatusCode::UNAUTHORIZED,
            Self::Forbidden
            | Self::NoIntrospection
            | Self::Elsewhere
            | Self::Proxied(_)
            | Self::Foreign
            | Self::Origin => StatusCode::FORBIDDEN,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Returns the code with which a WebSocket is closed, as defined by `graphql-transport-ws`.
    pub fn close_code(&self) -> u16 {
        match self {
            Self::Missing => 4401,
            _ => 4403,
        }
    }

    /// Returns the seconds after which the same request may succeed.
    pub fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::TooMany { after_s } => Some(*after_s),
            Self::Unavailable => Some(1),
            _ => None,
        }
    }
}
