//! `GET /space/{id}/count?ts=`: the contract that existing clients rely on.
//!
//! Keys, their order, and every error's text are part of it. They do not change.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use serde::Serialize;

use super::error::RestError;
use super::query::Query;
use super::space_id;
use crate::app::App;

/// The answer; its fields are written in this order.
#[derive(Serialize)]
pub(super) struct Count {
    space_id: i64,
    ts: String,
    count: i64,
}

/// How many people were in the space at `ts`, or are in it now.
pub(super) async fn count(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Count>, RestError> {
    let plan = app.floor_plan().await?;
    let space_id = space_id(&id)?;
    let space = plan.space(space_id).ok_or(RestError::NotFound)?;
    let at = Query::new(query).instant("ts")?.unwrap_or_else(|| app.clock.now());
    Ok(Json(Count { space_id, ts: at.to_string(), count: app.count(space, at).await? }))
}
