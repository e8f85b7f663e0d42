//! The HTTP server: every route, and what surrounds them all.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;

use crate::app::App;
use crate::telemetry::Observe;
use crate::{graphql, pages, rest};

/// The largest request body that is read, in bytes.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Everything that is served.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .merge(pages::router())
        .merge(graphql::router(Arc::clone(&app)))
        .merge(rest::router(app))
        // The outermost first, and all in one: each call of `layer` would put every route into one more box.
        .layer((Observe, DefaultBodyLimit::max(BODY_BYTES_MAX)))
}
