//! REST: the route that existing clients rely on, byte for byte, and what stands beside it.

mod count;
mod counts;
mod error;
mod events;
mod health;
mod query;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{self, MethodRouter};

use crate::app::App;

/// The REST routes, and the answers to what is no route at all.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/space/{id}/count", get(count::count))
        .route("/space/{id}/count/", get(count::count))
        .route("/space/{id}/counts", get(counts::counts))
        .route("/space/{id}/counts/", get(counts::counts))
        .route("/events", post(events::record))
        .route("/events/", post(events::record))
        .route("/healthz", get(health::healthz))
        .fallback(error::not_found)
        .with_state(app)
}

/// The id in a path: digits and nothing else. Whatever else stands there names no space.
fn space_id(text: &str) -> Result<i64, error::RestError> {
    let id = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok());
    id.flatten().ok_or(error::RestError::NotFound)
}

/// A route that answers GET, and HEAD with it.
fn get<H: Handler<T, Arc<App>>, T: 'static>(handler: H) -> MethodRouter<Arc<App>> {
    routing::get(handler).fallback(async |method: Method| error::method_not_allowed(&method, "GET, HEAD"))
}

/// A route that answers POST, with a body that its handler reads and bounds by itself.
fn post<H: Handler<T, Arc<App>>, T: 'static>(handler: H) -> MethodRouter<Arc<App>> {
    routing::post(handler)
        .layer(DefaultBodyLimit::disable())
        .fallback(async |method: Method| error::method_not_allowed(&method, "POST"))
}
