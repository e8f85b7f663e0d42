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
use crate::http::route::RouteTable;
use crate::http::{graphql, origin, pages, rest};
use crate::limits::Limits;

/// What answers requests. The CORS layer is there if pages of other origins are allowed, whose browsers ask first, without
/// a token.
pub type Site = Either<Cors<Front>, Front>;

/// Returns the site with all routes.
pub fn site(app: &Arc<App>, limits: &Limits) -> Site {
    let (mut table, budgets) = (RouteTable::default(), Budgets::new(limits));
    let pages = pages::router(app.auth.settings().graphiql.is_on(), &mut table);
    let graphql = graphql::router(Arc::clone(app), *limits, &budgets, &mut table);
    let rest = rest::router(Arc::clone(app), &budgets, &mut table);
    behind_front(app, budgets, table, pages.merge(graphql).merge(rest))
}

/// Returns the site of a process that serves only `/healthz`, `/readyz` and `/metrics`.
pub fn status_site(app: &Arc<App>) -> Site {
    let mut table = RouteTable::default();
    let router = rest::status_router(Arc::clone(app), &mut table);
    behind_front(app, Budgets::new(&Limits::default()), table, router)
}

fn behind_front(app: &Arc<App>, budgets: Budgets, table: RouteTable, router: Router) -> Site {
    let front = Front::new(app, budgets, table, router);
    option_layer(origin::cors(&app.auth.settings().origins)).layer(front)
}
