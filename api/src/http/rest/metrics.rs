//! `GET /metrics`: the metrics, for Prometheus.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::openapi::Misasked;
use super::query::NoParameters;
use crate::app::App;
use crate::auth::Need;
use crate::http::request::by_route;
use crate::http::route::{Answers, Route};
use crate::telemetry::metrics;

pub(super) static ROUTE: Route = Route::new("/metrics", Need::ReadAll, Answers::Long);

/// Returns the metrics in Prometheus' text format.
#[utoipa::path(
    get,
    path = "/metrics",
    responses((status = 200, description = "The metrics.", content((String = "text/plain"))), Misasked)
)]
pub(super) async fn text(State(app): State<Arc<App>>, _: NoParameters) -> Response {
    app.observe();
    match metrics::text(by_route(), app.state.timelines().bytes()) {
        Ok(text) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
        // Writing to memory does not fail.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
