//! Authentication and authorization.
//!
//! - [`Authenticator`] knows the tokens. What a client may do is an [`Access`]; what a route or a field needs is a
//!   [`Need`]. The HTTP layer compares the two before a route or a resolver runs.
//! - A token that is limited to some spaces sees a floor plan that has no others ([`Access::view`]). So a forbidden space
//!   looks like one that does not exist, wherever the floor plan is read.
//!
//! Authentication costs a hash and a search in memory: no SQL, no lock. Tokens themselves are stored nowhere, and
//! are in no log.

mod access;
mod authenticator;
mod config;
mod manage;
mod need;
mod origin;
mod rate_limiter;
mod secret;
mod token;
mod tokens;

pub use access::{Access, Denied};
pub use authenticator::Authenticator;
pub use config::{AuthConfig, AuthSettings, StartError, Switch};
pub use manage::{ManageError, NewToken, create, list, revoke};
pub(crate) use manage::{dpu_id, space_ids};
pub use need::Need;
pub use origin::Origin;
pub use rate_limiter::Rate;
pub use secret::Secret;
pub use token::{Role, Token};
pub(crate) use tokens::TokenSet;
pub use tokens::Tokens;
