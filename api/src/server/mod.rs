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
pub fn router(app: Arc<App>, limits: &Limits) -> Router {
    let settings = app.door.settings();
    let (cors, pages, doorkeeper) =
        (auth::cors(&settings.origins), pages::router(settings.graphiql.is_on()), Doorkeeper::new(&app));
    let router = Router::new()
        .merge(pages)
        .merge(graphql::router(Arc::clone(&app), *limits))
        .merge(rest::router(app))
        // The outermost first, and all in one: each call of `layer` would put every route into one more box.
        .layer((Observe, doorkeeper));
    // Where it is configured; a browser asks beforehand, without a token.
    match cors {
        Some(cors) => router.layer(cors),
        None => router,
    }
}
