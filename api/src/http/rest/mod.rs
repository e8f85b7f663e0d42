//! REST: the route that existing clients rely on, byte for byte, and the other REST routes.

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

/// Returns the routes that report the status of the process.
pub fn status_router(app: Arc<App>) -> Router {
    Documented::new()
        .add(routes!(health::healthz))
        .add(routes!(health::readyz))
        .add(routes!(metrics::text))
        .into_router()
        .fallback(async || not_found())
        .with_state(app)
}

/// Returns the id in a path, which consists of digits only. Any other text is an unknown space.
fn space_id(text: &str) -> Result<i64, RestError> {
    public_id(text).ok_or(RestError::NotFound)
}
