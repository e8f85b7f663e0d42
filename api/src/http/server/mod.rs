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
use crate::http::front::Front;
use crate::http::route::Routes;
use crate::http::{graphql, origin, pages, rest};
use crate::limits::Limits;

/// What answers requests. The CORS layer is there if pages of other origins are allowed, whose browsers ask first, without
/// a token.
pub type Site = Either<Cors<Front>, Front>;

/// Returns the site with all routes.
pub fn site(app: &Arc<App>, limits: &Limits) -> Site {
    let (mut routes, budgets) = (Routes::default(), Budgets::new(limits));
    let pages = pages::router(app.auth.settings().graphiql.is_on(), &mut routes);
    let graphql = graphql::router(Arc::clone(app), *limits, &budgets, &mut routes);
    let rest = rest::router(Arc::clone(app), &budgets, &mut routes);
    behind_front(app, budgets, routes, pages.merge(graphql).merge(rest))
}

/// Returns the site of a process that serves only `/healthz`, `/readyz` and `/metrics`.
pub fn status_site(app: &Arc<App>) -> Site {
    let mut routes = Routes::default();
    let router = rest::status_router(Arc::clone(app), &mut routes);
    behind_front(app, Budgets::new(&Limits::default()), routes, router)
}

fn behind_front(app: &Arc<App>, budgets: Budgets, routes: Routes, router: Router) -> Site {
    let front = Front::new(app, budgets, routes, router);
    option_layer(origin::cors(&app.auth.settings().origins)).layer(front)
}
