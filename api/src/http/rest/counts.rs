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
use crate::auth::Access;
use crate::counting::Bucket;
use crate::counting::calendar::Interval;
use crate::counts::SpaceHistory;
use crate::floor_plan::history_edges;
use crate::http::error::RestError;
use crate::ids::Kind;

/// A space's history; its fields are written in this order.
#[derive(Serialize, ToSchema)]
pub(super) struct Counts {
    /// The space's id.
    space_id: i64,
    /// The first instant of the history, in UTC.
    #[schema(format = DateTime)]
    start: String,
    /// The first instant after it, in UTC.
    #[schema(format = DateTime)]
    end: String,
    /// How long a bucket is.
    interval: &'static str,
    /// By the calendar of which time zone the buckets are.
    time_zone: String,
    /// The buckets, earliest first.
    counts: Vec<BucketRow>,
}

/// One bucket: a row of the CSV, whose columns are named and ordered as these fields.
#[derive(Serialize, ToSchema)]
pub(super) struct BucketRow {
    /// The bucket's first instant, in UTC.
    #[schema(format = DateTime)]
    start: String,
    /// The first instant after it, in UTC.
    #[schema(format = DateTime)]
    end: String,
    /// How many people were in the space at its end.
    count: i64,
    /// The fewest people at a time.
    min: i64,
    /// The most people at a time.
    max: i64,
    /// How many people there were on average over time.
    average: f64,
    /// How many people came in.
    entrances: i64,
    /// How many people went out.
    exits: i64,
    /// The average as a part of the space's capacity; null where it has none.
    utilization: Option<f64>,
}

/// The history of the space in `[start, end)`.
#[utoipa::path(
    get,
    path = "/space/{id}/counts",
    operation_id = "space_counts",
    params(
        ("id" = i64, Path, description = "The space's id.", minimum = 0, example = 24),
        ("start" = String, Query, description = "The first instant. A date alone: \
            the beginning of that day in the time zone.", example = "2025-03-06T08:00:00Z"),
        ("end" = String, Query, description = "The first instant after the last; a date \
            alone likewise.", example = "2025-03-06T10:00:00Z"),
        ("interval" = Option<String>, Query, example = "hour", description = "How long a bucket is: minute, \
            five_minutes, fifteen_minutes, thirty_minutes, hour, day, week or month. Left out: an hour."),
        ("time_zone" = Option<String>, Query, description = "By which calendar: a name of the IANA's. Left out: the \
            space's own.", example = "Europe/Zurich"),
        ("format" = Option<String>, Query, description = "json or csv. Left out: what `Accept` says.", example = "json"),
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
    let asked = Asked::read(&Query::new(&query), &headers);
    let (app, access, wanted) = (&*app, &access, &asked);
    let found = app
        .counts
        .ask(|view| async move {
            let plan = access.view(view.plan());
            let space = plan.space(app.ids.row(Kind::Space, space_id)).ok_or(RestError::NotFound)?;
            // What is wrong with the query matters only where there is such a space.
            let Ok(Asked { start, end, interval, time_zone, .. }) = wanted else { return Ok(None) };
            let edges = history_edges(space, *start, *end, *interval, time_zone.as_deref())?;
            let ends = edges.first().copied().zip(edges.last().copied());
            let history = SpaceHistory { space: Arc::clone(space), edges };
            let buckets = view.histories(vec![history]).await?.pop();
            Ok::<_, RestError>(ends.zip(buckets).map(|(ends, buckets)| (Arc::clone(space), ends, buckets)))
        })
        .await?;
    let Asked { interval, time_zone, is_csv, .. } = asked?;
    let (space, (start, end), buckets) = found.ok_or(RestError::NotFound)?;
    let counts = buckets.into_iter().map(|bucket| BucketRow::new(bucket, space.row.capacity)).collect();
    if is_csv {
        return as_csv(counts);
    }
    let time_zone = time_zone.unwrap_or_else(|| space.row.time_zone.clone());
    let (start, end) = (start.to_string(), end.to_string());
    Ok(Json(Counts { space_id, start, end, interval: name(interval), time_zone, counts }).into_response())
}

/// What is asked for.
struct Asked {
    start: Timestamp,
    end: Timestamp,
    interval: Interval,
    time_zone: Option<String>,
    is_csv: bool,
}

impl Asked {
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

/// What asking for a history may fail with.
struct CountsFailures;

impl IntoResponses for CountsFailures {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        failures([
            ("There is no such space.", RestError::NotFound),
            (
                "A parameter is missing or not accepted, or there would be too many buckets.",
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

/// What this route calls an interval: its name in GraphQL, in small letters.
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

/// Whether the answer is CSV: as `format` says, or else as `Accept` does.
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
            // Whichever is named first; a browser's list names neither.
            let mut ranges =
                accept.split(',').map(|range| range.split(';').next().unwrap_or_default().trim());
            Ok(ranges.find(|range| ["text/csv", "application/json"].contains(range)) == Some("text/csv"))
        }
    }
}

fn as_csv(rows: Vec<BucketRow>) -> Result<Response, RestError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    if rows.is_empty() {
        // The header comes with the first row, and there is none.
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
