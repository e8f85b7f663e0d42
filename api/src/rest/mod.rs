//! REST: the route that existing clients rely on, byte for byte, and what stands beside it.

mod count;
mod error;
mod health;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::app::App;

/// The REST routes, and the answers to what is no route at all.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/space/{id}/count", get(count::count))
        .route("/space/{id}/count/", get(count::count))
        .route("/healthz", get(health::healthz))
        .method_not_allowed_fallback(error::method_not_allowed)
        .fallback(error::not_found)
        .with_state(app)
}
