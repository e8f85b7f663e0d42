//! The HTTP server: every route, what stands in front of them, and the connections that they are served over.

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

/// What answers requests. Pages of other origins may ask where that is configured; a browser asks beforehand, without a
/// token.
pub type Site = Either<Cors<Front>, Front>;

/// Everything that is served.
pub fn site(app: &Arc<App>, limits: &Limits) -> Site {
    let settings = app.auth.settings();
    let pages = pages::router(settings.graphiql.is_on());
    let budgets = Budgets::new(limits);
    let graphql = graphql::router(Arc::clone(app), *limits, budgets.clone());
    in_front(app, budgets, pages.merge(graphql).merge(rest::router(Arc::clone(app))))
}

/// What tells how a process is that serves nothing else: `/healthz`, `/readyz` and `/metrics`.
pub fn status_site(app: &Arc<App>) -> Site {
    in_front(app, Budgets::new(&Limits::default()), rest::status_router(Arc::clone(app)))
}

fn in_front(app: &Arc<App>, budgets: Budgets, router: Router) -> Site {
    option_layer(origin::cors(&app.auth.settings().origins)).layer(Front::new(app, budgets, router))
}
