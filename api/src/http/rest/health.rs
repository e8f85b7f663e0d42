//! Liveness and readiness of the process.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::openapi::Misasked;
use super::query::NoParameters;
use crate::app::App;
use crate::auth::Need;
use crate::http::error::RETRY_AFTER_S;
use crate::http::route::{Answers, Route};

pub(super) static HEALTHZ: Route = Route::new("/healthz", Need::Nothing, Answers::Short);
pub(super) static READYZ: Route = Route::new("/readyz", Need::Nothing, Answers::Short);

/// The process is alive.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "status": "ok" }))]
pub(super) struct Health {
    /// Always `ok`.
    status: &'static str,
}

/// Returns whether the process is alive. Does not check the database.
#[utoipa::path(get, path = "/healthz", responses((status = 200, body = Health, description = "It is alive."), Misasked))]
pub(super) async fn healthz(_: NoParameters) -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Readiness of the service, with the result of each check.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "status": "ready", "checks": { "database": "ok", "writes": "ok", "migrations": "ok", "coherence": "ok", "tasks": "ok" } }))]
pub(super) struct Ready {
    /// `ready`, or `not ready`.
    status: &'static str,
    /// The result of each check, by its name: `ok`, or what is wrong.
    checks: BTreeMap<&'static str, String>,
}

/// Returns whether the service is ready: the database answers, accepts writes and has its schema, changes by other
/// processes are received, and all background tasks run. The checks run at most once per second.
#[utoipa::path(get, path = "/readyz", responses(
    (status = 200, body = Ready, description = "The service is ready."),
    (status = 503, body = Ready, description = "The service is not ready. `checks` says why.",
        headers(("retry-after" = i64, description = "Seconds after which to try again."))),
    Misasked
))]
pub(super) async fn readyz(State(app): State<Arc<App>>, _: NoParameters) -> Response {
    let mut ready = Ready { status: "ready", checks: BTreeMap::new() };
    for (name, found) in app.readiness.look().await {
        if found.is_err() {
            ready.status = "not ready";
        }
        ready.checks.insert(name, found.err().unwrap_or_else(|| "ok".to_owned()));
    }
    if ready.status == "ready" {
        return Json(ready).into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, RETRY_AFTER_S)], Json(ready)).into_response()
}
