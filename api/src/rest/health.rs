//! Whether the process is alive.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

/// The process is alive.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "status": "ok" }))]
pub(super) struct Health {
    /// Always `ok`.
    status: &'static str,
}

/// Whether the process answers. It says nothing about the database.
#[utoipa::path(get, path = "/healthz", responses((status = 200, body = Health, description = "It does.")))]
pub(super) async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}
