//! `GET /space/{id}/counts?start=&end=&interval=`: the history of a space, as JSON or as CSV.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::error::RestError;
use super::query::Query;
use super::space_id;
use crate::app::App;
use crate::counting::Bucket;
use crate::counting::calendar::Interval;
use crate::floor_plan::history_edges;

/// The answer; its fields are written in this order.
#[derive(Serialize)]
pub(super) struct Counts {
    space_id: i64,
    start: String,
    end: String,
    interval: &'static str,
    time_zone: String,
    counts: Vec<BucketRow>,
}

/// One bucket: a row of the CSV, whose columns are named and ordered as these fields.
#[derive(Serialize)]
pub(super) struct BucketRow {
    start: String,
    end: String,
    count: i64,
    min: i64,
    max: i64,
    average: f64,
    entrances: i64,
    exits: i64,
    utilization: Option<f64>,
}

/// The history of the space in `[start, end)`.
pub(super) async fn counts(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, RestError> {
    let plan = app.floor_plan().await?;
    let space_id = space_id(&id)?;
    let space = plan.space(space_id).ok_or(RestError::NotFound)?;
    let query = Query::new(query);
    let (start, end) = (query.required_instant("start")?, query.required_instant("end")?);
    let interval = interval(query.get("interval").as_deref().unwrap_or("hour"))?;
    let csv = wants_csv(query.get("format").as_deref(), &headers)?;
    let time_zone = query.get("time_zone");
    let edges = history_edges(space, start, end, interval, time_zone.as_deref())?;
    let buckets = app.history(space, edges).await?;
    let counts = buckets.into_iter().map(|bucket| BucketRow::new(bucket, space.row.capacity)).collect();
    if csv {
        return as_csv(counts);
    }
    let time_zone = time_zone.unwrap_or_else(|| space.row.time_zone.clone());
    let (start, end) = (start.to_string(), end.to_string());
    Ok(Json(Counts { space_id, start, end, interval: name(interval), time_zone, counts }).into_response())
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
