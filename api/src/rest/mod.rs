//! REST: the route that existing clients rely on, byte for byte, and what stands beside it.

mod count;
mod counts;
mod error;
mod health;
mod query;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::app::App;

/// The REST routes, and the answers to what is no route at all.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/space/{id}/count", get(count::count))
        .route("/space/{id}/count/", get(count::count))
        .route("/space/{id}/counts", get(counts::counts))
        .route("/space/{id}/counts/", get(counts::counts))
        .route("/healthz", get(health::healthz))
        .method_not_allowed_fallback(error::method_not_allowed)
        .fallback(error::not_found)
        .with_state(app)
}

/// The id in a path: digits and nothing else. Whatever else stands there names no space.
fn space_id(text: &str) -> Result<i64, error::RestError> {
    let id = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok());
    id.flatten().ok_or(error::RestError::NotFound)
}
