//! `GET /space/{id}/count?ts=`: the contract that existing clients rely on.
//!
//! Keys, their order, and every error's text are part of it. They do not change.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use entity::Instant;
use serde::Serialize;

use super::error::RestError;
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
    let space_id = space_id(&id).ok_or(RestError::NotFound)?;
    let space = plan.space(space_id).ok_or(RestError::NotFound)?;
    let at = match parameter(query.as_deref().unwrap_or_default(), "ts") {
        Some(ts) => ts.parse()?,
        None => app.clock.now(),
    };
    Ok(Json(Count { space_id, ts: Instant::to_string(&at), count: app.count(space, at).await? }))
}

/// An id is digits and nothing else.
fn space_id(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The value of a query string's parameter, the last where it is given several times.
fn parameter(query: &str, name: &str) -> Option<String> {
    let values = form_urlencoded::parse(query.as_bytes()).filter(|(found, _)| found == name);
    values.last().map(|(_, value)| value.into_owned())
}
