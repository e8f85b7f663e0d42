//! Whether the process is alive.

use axum::Json;
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct Health {
    status: &'static str,
}

/// `GET /healthz`: the process answers. It says nothing about the database.
pub(super) async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}
