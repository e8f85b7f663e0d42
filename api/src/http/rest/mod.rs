//! REST: the route that existing clients rely on, byte for byte, and what stands beside it.

mod count;
mod counts;
mod events;
mod health;
mod metrics;
mod openapi;
mod query;

use std::sync::Arc;

use axum::Router;
use utoipa_axum::routes;

use self::openapi::Documented;
use crate::app::App;
use crate::http::error::{RestError, not_found};
use crate::ids::public_id;

/// The REST routes, and the answer to what no router knows.
pub fn router(app: Arc<App>) -> Router {
    Documented::new()
        .add(routes!(count::count))
        .add(routes!(counts::counts))
        .add(routes!(events::record))
        .add(routes!(health::healthz))
        .add(routes!(health::readyz))
        .add(routes!(metrics::text))
        .add_document()
        .into_router()
        .fallback(async || not_found())
        .with_state(app)
}

/// The routes that tell how the process is.
pub fn status_router(app: Arc<App>) -> Router {
    Documented::new()
        .add(routes!(health::healthz))
        .add(routes!(health::readyz))
        .add(routes!(metrics::text))
        .into_router()
        .fallback(async || not_found())
        .with_state(app)
}

/// The id in a path: digits and nothing else. Whatever else stands there names no space.
fn space_id(text: &str) -> Result<i64, RestError> {
    public_id(text).ok_or(RestError::NotFound)
}
