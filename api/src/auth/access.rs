//! What whoever asks may do, and why somebody is refused.

use std::sync::Arc;

use super::need::Need;
use super::pace::Pace;
use super::token::{Role, Token};
use crate::floor_plan::FloorPlan;
use crate::ingest::{Batch, Rejection};

/// What whoever asks may do.
#[derive(Clone, Debug)]
pub struct Access(Grant);

#[derive(Clone, Debug)]
enum Grant {
    /// The server asks nobody for a token; whoever asks may have a rate to keep to.
    Open(Option<Arc<Pace>>),
    /// Somebody has shown this token.
    Token(Arc<Token>),
}

/// Why somebody is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No token was shown.
    #[error(
        "A token is needed: send the header Authorization: Bearer TOKEN, or the token as the password of HTTP Basic."
    )]
    Missing,
    /// What was shown is no valid token.
    #[error("The token is not valid: it is not known, or has expired or been revoked.")]
    Invalid,
    /// The token is not for this.
    #[error("This token does not allow that.")]
    Forbidden,
    /// Introspection is turned off.
    #[error("Introspection is turned off on this server.")]
    NoIntrospection,
    /// While the server is open to its own machine, a request was made for another host's name, as a page does whose own
    /// name leads here.
    #[error(
        "No token exists yet, so this server answers only requests for localhost. Create one with `headcount token create \
         NAME --role admin`, or start the server with --open."
    )]
    Elsewhere,
    /// While the server is open to its own machine, a request came through a proxy, as this header says.
    #[error(
        "This request came through a proxy (it has the header {0}), and no token exists yet, so this server answers \
         only its own machine. Create a token with `headcount token create NAME --role admin`, or start the server with \
         --open."
    )]
    Proxied(String),
    /// While the server is open, a page of another origin asks.
    #[error(
        "A page of another origin sent this request, and no token exists yet, so this server answers only its own pages. \
         Create a token with `headcount token create NAME --role admin`, or name the origin with --cors-origins."
    )]
    Foreign,
    /// A page of another origin asks in a way in which browsers let any page ask.
    #[error("Pages of this origin are not allowed: name it with --cors-origins.")]
    Origin,
    /// Too many requests.
    #[error("Too many requests: try again in {after_s} s.")]
    TooMany {
        /// After how many seconds there may be one more.
        after_s: u64,
    },
    /// The tokens cannot be read.
    #[error("The service cannot answer now, try again.")]
    Unavailable,
}

impl Access {
    /// Everything, for anybody.
    pub(super) fn open(pace: Option<Arc<Pace>>) -> Self {
        Self(Grant::Open(pace))
    }

    /// What the token allows.
    pub(super) fn by(token: &Arc<Token>) -> Self {
        Self(Grant::Token(Arc::clone(token)))
    }

    /// Whether it allows everything to anybody, at any rate.
    pub(crate) fn is_boundless(&self) -> bool {
        matches!(self.0, Grant::Open(None))
    }

    /// The token, if one was needed: for logs, its id and name.
    pub fn token(&self) -> Option<&Token> {
        match &self.0 {
            Grant::Open(_) => None,
            Grant::Token(token) => Some(token),
        }
    }

    /// Whether it allows what needs this.
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

    /// Takes note of one more request, if it is not too many.
    pub fn step(&self) -> Result<(), Denied> {
        let pace = match &self.0 {
            Grant::Open(pace) => pace.as_ref(),
            Grant::Token(token) => token.pace.as_ref(),
        };
        pace.map_or(Ok(()), |pace| pace.step().map_err(|after_s| Denied::TooMany { after_s }))
    }

    /// What is seen of this floor plan.
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

    /// Returns the batch as it may be recorded: events of other DPUs than the token's are rejected as if their DPU did not
    /// exist.
    pub fn reports(&self, plan: &FloorPlan, mut batch: Batch) -> Batch {
        let Grant::Token(token) = &self.0 else { return batch };
        let Role::Ingest(Some(dpu)) = token.role else { return batch };
        for row in &mut batch {
            if let Ok(crossing) = row
                && plan.dpu_id(&crossing.serial) != Some(dpu)
            {
                *row = Err(Rejection::unknown_dpu(&crossing.serial));
            }
        }
        batch
    }
}

impl Denied {
    /// The code by which GraphQL tells it.
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

    /// After how many seconds the same request may succeed.
    pub fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::TooMany { after_s } => Some(*after_s),
            Self::Unavailable => Some(1),
            _ => None,
        }
    }
}
