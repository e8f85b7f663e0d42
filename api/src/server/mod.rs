//! The HTTP server: every route, what surrounds them all, and the connections that they are served over.

mod connection;
mod connections;

use std::sync::Arc;

use axum::Router;

pub use self::connections::{Connections, Stopped, serve};
use crate::app::App;
use crate::auth::{self, Doorkeeper};
use crate::limits::Limits;
use crate::telemetry::Observe;
use crate::{graphql, pages, rest};

/// Everything that is served.
pub fn router(app: &Arc<App>, limits: &Limits) -> Router {
    let settings = app.door.settings();
    let (cors, pages) = (auth::cors(&settings.origins), pages::router(settings.graphiql.is_on()));
    let graphql = graphql::router(Arc::clone(app), *limits);
    let router = surrounded(app, pages.merge(graphql).merge(rest::router(Arc::clone(app))));
    // Where it is configured; a browser asks beforehand, without a token.
    match cors {
        Some(cors) => router.layer(cors),
        None => router,
    }
}

/// What tells how a process is that serves nothing else: `/healthz`, `/readyz` and `/metrics`.
pub fn status_router(app: &Arc<App>) -> Router {
    surrounded(app, rest::status_router(Arc::clone(app)))
}

fn surrounded(app: &Arc<App>, routes: Router) -> Router {
    // The outermost first, and all in one: each call of `layer` would put every route into one more box.
    routes.layer((Observe, Doorkeeper::new(app)))
}
