//! The HTTP server: all routes, the middleware in front of them, and their connections.

mod addresses;
mod answer;
mod connection;
mod connections;
mod front;
mod listeners;

use std::sync::Arc;

use axum::Router;
use tower::Layer;
use tower::util::{Either, option_layer};
use tower_http::cors::Cors;

pub use self::connections::{Connections, Stopped, serve};
pub use self::front::Front;
pub use self::listeners::Listeners;
use crate::app::App;
use crate::http::budget::Budgets;
use crate::http::{graphql, origin, pages, rest};
use crate::limits::Limits;

/// The service that answers requests. Pages of other origins may send requests if that is configured; a browser sends a
/// preflight without a token first.
pub type Site = Either<Cors<Front>, Front>;

pub fn site(app: &Arc<App>, limits: &Limits) -> Site {
    let settings = app.auth.settings();
    let pages = pages::router(settings.graphiql.is_on());
    let budgets = Budgets::new(limits);
    let graphql = graphql::router(Arc::clone(app), *limits, budgets.clone());
    in_front(app, budgets, pages.merge(graphql).merge(rest::router(Arc::clone(app))))
}

/// Returns the service for a process that serves only `/healthz`, `/readyz` and `/metrics`.
pub fn status_site(app: &Arc<App>) -> Site {
    in_front(app, Budgets::new(&Limits::default()), rest::status_router(Arc::clone(app)))
}

fn in_front(app: &Arc<App>, budgets: Budgets, router: Router) -> Site {
    option_layer(origin::cors(&app.auth.settings().origins)).layer(Front::new(app, budgets, router))
}
