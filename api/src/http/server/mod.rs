//! The HTTP server: all routes, and the connections that they are served over.

mod addresses;
mod connection;
mod connections;
mod listeners;

use std::sync::Arc;

use axum::Router;
use tower::Layer;
use tower::util::{Either, option_layer};
use tower_http::cors::Cors;

pub use self::connections::{Connections, Stopped, serve};
pub use self::listeners::Listeners;
use crate::app::App;
use crate::http::budget::Budgets;
use crate::http::layers::Layers;
use crate::http::{graphql, origin, pages, rest};
use crate::limits::Limits;

/// What answers requests. The CORS layer is there if pages of other origins are allowed, whose browsers ask first, without
/// a token.
pub type Site = Either<Cors<Router>, Router>;

/// Returns the site with all routes.
pub fn site(app: &Arc<App>, limits: &Limits) -> Site {
    let layers = Layers::new(app, Budgets::new(limits));
    let pages = pages::router(app.auth.settings().graphiql.is_on(), &layers);
    let graphql = graphql::router(Arc::clone(app), *limits, &layers);
    with_cors(app, pages.merge(graphql).merge(rest::router(Arc::clone(app), &layers)))
}

/// Returns the site of a process that serves only `/healthz`, `/readyz` and `/metrics`.
pub fn status_site(app: &Arc<App>) -> Site {
    let layers = Layers::new(app, Budgets::new(&Limits::default()));
    with_cors(app, rest::status_router(Arc::clone(app), &layers))
}

fn with_cors(app: &Arc<App>, router: Router) -> Site {
    option_layer(origin::cors(&app.auth.settings().origins)).layer(router)
}
