//! `GET /space/{id}/count?ts=`: the contract that existing clients rely on.
//!
//! Keys, their order, and every error's text are part of it. They do not change.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use entity::Instant;
use serde::Serialize;
use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoResponses, ToSchema};

use super::error::RestError;
use super::openapi::{Refused, Unavailable, failures};
use super::query::Query;
use super::space_id;
use crate::app::App;
use crate::auth::Access;
use crate::ids::Kind;
use crate::telemetry::metrics;

/// A space's count; its fields are written in this order.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "space_id": 24, "ts": "2018-05-01T08:46:00Z", "count": 42 }))]
pub(super) struct Count {
    /// The space's id.
    space_id: i64,
    /// The instant that was asked about, in UTC: without a fraction of a second where it is zero, else with three
    /// digits.
    #[schema(format = DateTime)]
    ts: String,
    /// How many people were in the space. Below zero where more people left than were known of, unless the space
    /// wants such counts answered as zero.
    count: i64,
}

/// How many people were in the space at `ts`, or are in it now.
#[utoipa::path(
    get,
    path = "/space/{id}/count",
    operation_id = "space_count",
    params(
        ("id" = i64, Path, description = "The space's id.", minimum = 0, example = 24),
        ("ts" = Option<String>, Query, description = "The instant; events at exactly `ts` are in. Left out: now.",
            example = "2018-05-01T08:46:00Z"),
    ),
    responses((status = 200, body = Count, description = "The count."), CountFailures, Refused, Unavailable),
    security((), ("token" = []))
)]
pub(super) async fn count(
    State(app): State<Arc<App>>,
    access: Access,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Count>, RestError> {
    let plan = access.plan(&app).await?;
    let space_id = space_id(&id)?;
    let space = plan.space(app.ids.row(Kind::Space, space_id)).ok_or(RestError::NotFound)?;
    let now = app.clock.now();
    let at = Query::new(query).instant("ts")?.unwrap_or(now);
    metrics::counted(now, at);
    Ok(Json(Count { space_id, ts: at.to_string(), count: app.count(space, at).await? }))
}

/// What asking for a count may fail with.
struct CountFailures;

impl IntoResponses for CountFailures {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let no_timestamp = "yesterday".parse::<Instant>().err();
        let no_timestamp =
            no_timestamp.map(|error| ("`ts` is no timestamp.", RestError::Timestamp { name: "ts", error }));
        let no_space = ("There is no such space.", RestError::NotFound);
        failures([no_space].into_iter().chain(no_timestamp))
    }
}
