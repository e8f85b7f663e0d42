//! The HTTP server: every route, and what surrounds them all.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;

use crate::app::App;
use crate::auth::{self, Doorkeeper};
use crate::{graphql, pages, rest};

/// The largest request body that is read, in bytes.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Everything that is served.
pub fn router(app: Arc<App>) -> Router {
    let settings = app.door.settings();
    let (cors, pages, doorkeeper) =
        (auth::cors(&settings.origins), pages::router(settings.graphiql.is_on()), Doorkeeper::new(&app));
    let router = Router::new()
        .merge(pages)
        .merge(graphql::router(Arc::clone(&app)))
        .merge(rest::router(app))
        // The outermost first, and all in one: each call of `layer` would put every route into one more box.
        .layer((
            TraceLayer::new_for_http(),
            CatchPanicLayer::new(),
            DefaultBodyLimit::max(BODY_BYTES_MAX),
            doorkeeper,
        ));
    // Where it is configured; a browser asks beforehand, without a token.
    match cors {
        Some(cors) => router.layer(cors),
        None => router,
    }
}
