//! REST: the route that existing clients rely on, byte for byte, and the other REST routes.

mod count;
mod counts;
mod error;
mod events;
mod health;
mod metrics;
mod openapi;
mod query;

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use utoipa_axum::routes;

use self::openapi::Documented;
use crate::app::App;
use crate::auth::Refusal;
use crate::budget::Exhausted;
use crate::ids::public_id;

/// Returns the REST routes, with the answer to unknown paths.
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

/// Returns the answer to a request for an unknown path.
pub(crate) fn not_found() -> Response {
    error::RestError::NotFound.into_response()
}

/// Returns the answer to a request whose host is missing or ambiguous.
pub(crate) fn bad_host() -> Response {
    error::RestError::Host.into_response()
}

/// Returns the answer to a request when the memory for answers is used up.
pub(crate) fn exhausted() -> Response {
    error::RestError::Exhausted(Exhausted).into_response()
}

/// Returns the answer to a client that is refused.
pub(crate) fn refuse(refusal: Refusal) -> Response {
    error::RestError::Refused(refusal).into_response()
}

/// Returns the id in a path, which consists of digits only. Any other text is an unknown space.
fn space_id(text: &str) -> Result<i64, error::RestError> {
    public_id(text).ok_or(error::RestError::NotFound)
}
