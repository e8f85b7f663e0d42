//! Authentication and authorization.
//!
//! Every request passes three checks:
//!
//! - `doorkeeper` is the middleware in front of every route. It authenticates the client ([`Door`], by the tokens in
//!   memory), and refuses requests that `rules` does not permit for the route.
//! - The result is an [`Access`]. GraphQL's root fields are checked against `rules` with it, before any resolver runs.
//! - A token that is limited to some spaces gets a floor plan without the others ([`Access::view`]). So objects that it
//!   may not see look as if they did not exist.
//!
//! Authentication takes a hash and a search in memory: no SQL, no lock. The tokens' secrets are neither stored nor
//! logged.

mod access;
mod command;
mod config;
mod door;
mod doorkeeper;
mod manage;
mod origin;
mod pace;
mod rules;
mod secret;
mod token;
mod tokens;

pub use access::{Access, Refusal};
pub use command::{TokenCommand, TokenError};
pub use config::{AuthConfig, Settings, StartError, Switch};
pub use door::Door;
pub(crate) use doorkeeper::{Guarded, answered, guard};
pub use manage::{ManageError, NewToken, create, list, revoke};
pub use origin::Origin;
pub(crate) use origin::{cors, may_open_socket};
pub use pace::Rate;
pub use rules::{Need, root_field, route};
pub use secret::Secret;
pub use token::{Role, Token};
pub use tokens::Tokens;
