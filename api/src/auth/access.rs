//! Permissions of a client, and the reasons for refusing it.

use std::sync::Arc;

use super::need::Need;
use super::rate_limiter::RateLimiter;
use super::token::{Role, Token};
use crate::floor_plan::FloorPlan;
use crate::ingest::{Batch, Rejection};

/// Permissions of a client.
#[derive(Clone, Debug)]
pub struct Access(Grant);

#[derive(Clone, Debug)]
enum Grant {
    /// The server requires no token. The client may have a rate limit.
    Open(Option<Arc<RateLimiter>>),
    /// The client has sent this token.
    Token(Arc<Token>),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    #[error(
        "A token is needed: send the header Authorization: Bearer TOKEN, or the token as the password of HTTP Basic or in the \
         header X-API-Key."
    )]
    Missing,
    #[error("The token is not valid: it is not known, or has expired or been revoked.")]
    Invalid,
    #[error("This token does not allow that.")]
    Forbidden,
    #[error(
        "A token in a path must have the role ingest and no other: create one with `headcount token create NAME --role ingest`."
    )]
    InPath,
    #[error("Introspection is turned off on this server.")]
    NoIntrospection,
    /// The server is open to its own machine, and a request names another host, as a page does whose domain resolves to
    /// this server (DNS rebinding).
    #[error(
        "No token exists yet, so this server answers only requests for localhost. Create one with `headcount token create \
         NAME --role admin`, or start the server with --open."
    )]
    Elsewhere,
    #[error(
        "This request came through a proxy (it has the header {0}), and no token exists yet, so this server answers \
         only its own machine. Create a token with `headcount token create NAME --role admin`, or start the server with \
         --open."
    )]
    Proxied(String),
    #[error(
        "A page of another origin sent this request, and no token exists yet, so this server answers only its own pages. \
         Create a token with `headcount token create NAME --role admin`, or name the origin with --cors-origins."
    )]
    Foreign,
    /// A page of another origin sent a request of a kind that browsers allow to any page.
    #[error("Pages of this origin are not allowed: name it with --cors-origins.")]
    Origin,
    #[error("Too many requests: try again in {after_s} s.")]
    TooMany { after_s: u64 },
    #[error("The service cannot answer now, try again.")]
    Unavailable,
}

impl Access {
    /// Returns unrestricted access, with an optional rate limit.
    pub(super) fn open(limiter: Option<Arc<RateLimiter>>) -> Self {
        Self(Grant::Open(limiter))
    }

    pub(super) fn by(token: &Arc<Token>) -> Self {
        Self(Grant::Token(Arc::clone(token)))
    }

    /// Returns whether it is unrestricted and without a rate limit.
    pub(crate) fn is_boundless(&self) -> bool {
        matches!(self.0, Grant::Open(None))
    }

    /// Returns the token, if the server requires one.
    pub fn token(&self) -> Option<&Token> {
        match &self.0 {
            Grant::Open(_) => None,
            Grant::Token(token) => Some(token),
        }
    }

    pub fn permit(&self, need: Need) -> Result<(), Denied> {
        let Grant::Token(token) = &self.0 else { return Ok(()) };
        let allowed = match need {
            Need::Nothing | Need::Token | Need::Operation => true,
            Need::Read => matches!(token.role, Role::Read(_) | Role::Admin),
            Need::ReadAll => matches!(token.role, Role::Read(None) | Role::Admin),
            Need::Ingest => matches!(token.role, Role::Ingest(_) | Role::Admin),
            Need::Admin => matches!(token.role, Role::Admin),
        };
        if allowed { Ok(()) } else { Err(Denied::Forbidden) }
    }

    /// Returns whether it allows to record and nothing else.
    pub fn only_ingests(&self) -> bool {
        self.token().is_some_and(|token| matches!(token.role, Role::Ingest(_)))
    }

    /// Returns the only DPU whose reports it allows to record. `None`: it is not limited to one.
    pub fn only_dpu(&self) -> Option<i64> {
        match self.token()?.role {
            Role::Ingest(dpu) => dpu,
            Role::Read(_) | Role::Admin => None,
        }
    }

    /// Counts one more request, or refuses it if there are too many.
    pub fn step(&self) -> Result<(), Denied> {
        let limiter = match &self.0 {
            Grant::Open(limiter) => limiter.as_ref(),
            Grant::Token(token) => token.limiter.as_ref(),
        };
        limiter.map_or(Ok(()), |limiter| limiter.check().map_err(|after_s| Denied::TooMany { after_s }))
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
    pub fn reports(&self, plan: &FloorPlan, mut batch: Batch) -> Batch {
        let Some(dpu) = self.only_dpu() else { return batch };
        for row in &mut batch {
            if let Ok(report) = row
                && plan.dpu_id(report.serial()) != Some(dpu)
            {
                *row = Err(Rejection::unknown_dpu(report.serial()));
            }
        }
        batch
    }
}

impl Denied {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing | Self::Invalid => "UNAUTHENTICATED",
            Self::Forbidden
            | Self::InPath
            | Self::NoIntrospection
            | Self::Elsewhere
            | Self::Proxied(_)
            | Self::Foreign
            | Self::Origin => "FORBIDDEN",
            Self::TooMany { .. } => "RATE_LIMITED",
            Self::Unavailable => "UNAVAILABLE",
        }
    }

    pub fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::TooMany { after_s } => Some(*after_s),
            Self::Unavailable => Some(1),
            _ => None,
        }
    }
}
