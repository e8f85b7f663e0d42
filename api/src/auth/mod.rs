//! Who may do what.
//!
//! Every request meets the same three, and nothing that it does goes past them:
//!
//! - `doorkeeper` stands in front of every route. It finds out who asks ([`Door`], by a token that is in memory), and
//!   lets nobody pass whom `rules` does not name for the route.
//! - What comes of it is an [`Access`]. GraphQL's root fields are held against `rules` with it, before any resolver
//!   runs.
//! - A token that is limited to some spaces sees a floor plan that has no others ([`Access::view`]). So what is
//!   forbidden looks as what there is not, wherever the floor plan is looked at.
//!
//! To find out who asks costs a hash and a search in memory: no SQL, no lock. Tokens themselves are stored nowhere, and
//! are in no log.

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
