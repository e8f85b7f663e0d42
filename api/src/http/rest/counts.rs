//! `GET /space/{id}/counts?start=&end=&interval=`: the history of a space, as JSON or as CSV.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use entity::Timestamp;
use serde::Serialize;
use utoipa::openapi::{self, RefOr};
use utoipa::{IntoResponses, ToSchema};

use super::openapi::{Refused, Unavailable, failures};
use super::query::Query;
use super::space_id;
use crate::app::App;
use crate::auth::{Access, Need};
use crate::counts::SpaceHistory;
use crate::floor_plan::history_edges;
use crate::http::error::RestError;
use crate::http::route::{Answers, Route};
use crate::ids::Kind;
use counting::Bucket;
use counting::calendar::Interval;

pub(super) static ROUTE: Route = Route::new("/space/{id}/counts", Need::Read, Answers::Long);

/// The history of a space. Fields are written in this order.
#[derive(Serialize, ToSchema)]
pub(super) struct Counts {
    /// The space's id.
    space_id: i64,
    /// Start of the history, inclusive, in UTC.
    #[schema(format = DateTime)]
    start: String,
    /// End of the history, exclusive, in UTC.
    #[schema(format = DateTime)]
    end: String,
    /// Length of a bucket.
    interval: &'static str,
    /// The time zone whose clocks and calendar cut the buckets.
    time_zone: String,
    /// The buckets, earliest first.
    counts: Vec<BucketRow>,
}

/// One bucket, or one row of the CSV, whose columns have the names and the order of these fields.
#[derive(Serialize, ToSchema)]
pub(super) struct BucketRow {
    /// Start of the bucket, inclusive, in UTC.
    #[schema(format = DateTime)]
    start: String,
    /// End of the bucket, exclusive, in UTC.
    #[schema(format = DateTime)]
    end: String,
    /// Number of people in the space at the end of the bucket.
    count: i64,
    /// The lowest count.
    min: i64,
    /// The highest count.
    max: i64,
    /// The mean of the count, weighted by time.
    average: f64,
    /// Number of people who entered the space.
    entrances: i64,
    /// Number of people who left the space.
    exits: i64,
    /// The average divided by the space's capacity. Null if the space has no capacity.
    utilization: Option<f64>,
}

/// Returns the history of the space in `[start, end)`.
#[utoipa::path(
    get,
    path = "/space/{id}/counts",
    operation_id = "space_counts",
    params(
        ("id" = i64, Path, description = "The space's id.", minimum = 0, example = 24),
        ("start" = String, Query, description = "Start, inclusive. A date alone is \
            the start of that day in the time zone.", example = "2025-03-06T08:00:00Z"),
        ("end" = String, Query, description = "End, exclusive. A date alone is \
            the start of that day in the time zone.", example = "2025-03-06T10:00:00Z"),
        ("interval" = Option<String>, Query, example = "hour", description = "Length of a bucket: minute, \
            five_minutes, fifteen_minutes, thirty_minutes, hour, day, week or month. Default: hour."),
        ("time_zone" = Option<String>, Query, description = "The IANA time zone whose clocks and calendar \
            cut the buckets. Default: the space's own.", example = "Europe/Zurich"),
        ("format" = Option<String>, Query, description = "json or csv. Default: by `Accept`.", example = "json"),
    ),
    responses(
        (status = 200, description = "The history.", content((Counts = "application/json"), (String = "text/csv"))),
        CountsFailures, Refused, Unavailable
    ),
    security((), ("token" = []))
)]
pub(super) async fn counts(
    State(app): State<Arc<App>>,
    access: Access,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, RestError> {
    let space_id = space_id(&id)?;
    let query = query.unwrap_or_default();
    let asked = HistoryRequest::read(&Query::new(&query), &headers);
    let (app, access, wanted) = (&*app, &access, &asked);
    let found = app
        .counts
        .ask(|view| async move {
            let plan = access.view(view.plan());
            let space = plan.space(app.ids.row(Kind::Space, space_id)).ok_or(RestError::NotFound)?;
            // An unknown space takes precedence over an invalid query.
            let Ok(HistoryRequest { start, end, interval, time_zone, .. }) = wanted else { return Ok(None) };
            let edges = history_edges(space, *start, *end, *interval, time_zone.as_deref())?;
            let ends = edges.first().copied().zip(edges.last().copied());
            let history = SpaceHistory { space: Arc::clone(space), edges };
            let buckets = view.histories(vec![history]).await?.pop();
            Ok::<_, RestError>(ends.zip(buckets).map(|(ends, buckets)| (Arc::clone(space), ends, buckets)))
        })
        .await?;
    let HistoryRequest { interval, time_zone, is_csv, .. } = asked?;
    let (space, (start, end), buckets) = found.ok_or(RestError::NotFound)?;
    let counts = buckets.into_iter().map(|bucket| BucketRow::new(bucket, space.row.capacity)).collect();
    if is_csv {
        return as_csv(counts);
    }
    let time_zone = time_zone.unwrap_or_else(|| space.row.time_zone.clone());
    let (start, end) = (start.to_string(), end.to_string());
    Ok(Json(Counts { space_id, start, end, interval: name(interval), time_zone, counts }).into_response())
}

/// The parameters of the request.
struct HistoryRequest {
    start: Timestamp,
    end: Timestamp,
    interval: Interval,
    time_zone: Option<String>,
    is_csv: bool,
}

impl HistoryRequest {
    fn read(query: &Query<'_>, headers: &HeaderMap) -> Result<Self, RestError> {
        query.only(&["start", "end", "interval", "time_zone", "format"])?;
        Ok(Self {
            start: query.required_timestamp("start")?,
            end: query.required_timestamp("end")?,
            interval: interval(query.get("interval").as_deref().unwrap_or("hour"))?,
            is_csv: wants_csv(query.get("format").as_deref(), headers)?,
            time_zone: query.get("time_zone").map(Cow::into_owned),
        })
    }
}

/// Errors of a request for a history.
struct CountsFailures;

impl IntoResponses for CountsFailures {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        failures([
            ("Space not found.", RestError::NotFound),
            (
                "A parameter is missing or invalid, or the history would have too many buckets.",
                RestError::Missing { name: "start" },
            ),
        ])
    }
}

impl BucketRow {
    fn new(bucket: Bucket, capacity: Option<i32>) -> Self {
        let utilization = bucket.utilization(capacity);
        let Bucket { start, end, count, min, max, average, entrances, exits } = bucket;
        let (start, end) = (start.to_string(), end.to_string());
        Self { start, end, count, min, max, average, entrances, exits, utilization }
    }
}

/// Returns the name of an interval: the same as in GraphQL, in lower case.
const fn name(interval: Interval) -> &'static str {
    match interval {
        Interval::Minute => "minute",
        Interval::FiveMinutes => "five_minutes",
        Interval::FifteenMinutes => "fifteen_minutes",
        Interval::ThirtyMinutes => "thirty_minutes",
        Interval::Hour => "hour",
        Interval::Day => "day",
        Interval::Week => "week",
        Interval::Month => "month",
    }
}

fn interval(text: &str) -> Result<Interval, RestError> {
    let found = Interval::ALL.into_iter().find(|interval| name(*interval) == text.to_ascii_lowercase());
    found.ok_or_else(|| RestError::NotOneOf {
        name: "interval",
        given: text.to_owned(),
        accepted: Interval::ALL.map(name).join(", "),
    })
}

/// Returns whether the answer is CSV, by `format` if it is given, or else by `Accept`.
fn wants_csv(format: Option<&str>, headers: &HeaderMap) -> Result<bool, RestError> {
    match format {
        Some("csv") => Ok(true),
        Some("json") => Ok(false),
        Some(other) => Err(RestError::NotOneOf {
            name: "format",
            given: other.to_owned(),
            accepted: "json, csv".to_owned(),
        }),
        None => {
            let accept =
                headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
            // The first of the two; a browser names neither.
            let mut ranges =
                accept.split(',').map(|range| range.split(';').next().unwrap_or_default().trim());
            Ok(ranges.find(|range| ["text/csv", "application/json"].contains(range)) == Some("text/csv"))
        }
    }
}

fn as_csv(rows: Vec<BucketRow>) -> Result<Response, RestError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    if rows.is_empty() {
        // The writer adds the header with the first row only.
        writer.write_record([
            "start",
            "end",
            "count",
            "min",
            "max",
            "average",
            "entrances",
            "exits",
            "utilization",
        ])?;
    }
    for row in rows {
        writer.serialize(row)?;
    }
    let body = writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present")], body).into_response())
}
