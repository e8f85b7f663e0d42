//! `POST /events`: records any number of reports.
//!
//! The body is recorded while it arrives and never held as a whole: the events that have arrived form the next batch,
//! and the client has to wait while that one is committed. So memory is bounded, and the length of the body is not
//! limited.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, RawQuery, State};
use axum::http::{HeaderMap, header};
use chrono_tz::Tz;
use futures::stream::{StreamExt, TryReadyChunks, TryReadyChunksError, TryStreamExt};
use sea_orm::DbErr;
use serde::Serialize;
use tokio::io::AsyncRead;
use tokio_util::codec::FramedRead;
use tokio_util::io::StreamReader;
use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoResponses, ToSchema};

use super::openapi::{Refused, failures};
use super::query::Query;
use crate::app::App;
use crate::auth::{Access, Denied, Need};
use crate::http::budget::ByteBudget;
use crate::http::error::RestError;
use crate::http::route::{Answers, Route};
use crate::http::unpack::{Coding, UnpackError, unpack};
use crate::ingest::decoder::{DecodeError, Decoder, Entry, Format};
use crate::ingest::{Outcome, OutcomeCounts, RecordError, RejectionCode, zone};

pub(super) static ROUTE: Route = Route::new("/events", Need::Ingest, Answers::Long);

/// Maximum number of events in a batch of one body.
const BATCH_EVENTS_MAX: usize = 5_000;
/// Estimated memory for an event until it is recorded, in bytes, with its serial or its error.
const EVENT_BYTES: usize = 256;
/// Maximum number of rejected events that an answer lists.
const ERRORS_MAX: usize = 1_000;
const ACCEPTED_TYPES: &str = "Unsupported Content-Type: send events as application/json (one object or an array), \
    application/x-ndjson (one object per line) or text/csv (with a header).";
const PARAMETERS: &[&str] = &["time_zone"];
/// Maximum time without an event before the request is aborted.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// A crossing that a DPU reports. An event with unknown members is rejected.
#[derive(ToSchema)]
#[schema(example = json!({ "timestamp": "2025-04-01T09:00:00Z", "direction": 1, "dpu_id": "1001", "seq": 0 }))]
#[expect(dead_code, reason = "events are read by `ingest::json`; this describes them")]
struct Event {
    /// When it happened, by the DPU's clock. `ts` is a synonym. Without `Z` or an offset, it is in `time_zone`.
    timestamp: Timestamp,
    /// The direction in which the person walked.
    direction: Direction,
    /// The serial of the DPU, as a string or as a whole number. `dpu` is a synonym.
    dpu_id: Serial,
    /// Distinguishes people who crossed in the same millisecond. Default, and null: 0.
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    seq: Option<i32>,
}

/// `1` or `TOWARD`: towards the DPU. `-1` or `AWAY`: away from it.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "see `Event`")]
enum Direction {
    Sign(i8),
    Name(String),
}

/// ISO-8601, or seconds (10 digits) or milliseconds (13 digits) since 1970.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "see `Event`")]
enum Timestamp {
    Text(String),
    Epoch(f64),
}

/// A DPU's serial.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "see `Event`")]
enum Serial {
    Text(String),
    Number(i64),
}

/// How many people crossed during `[from, to)`, for a DPU that reports intervals. An interval with unknown members is
/// rejected.
#[derive(ToSchema)]
#[schema(example = json!({
    "from": "2025-04-01T09:00:00Z", "to": "2025-04-01T09:01:00Z", "toward": 3, "away": 1, "dpu_id": "1002",
}))]
#[expect(dead_code, reason = "see `Event`")]
struct Interval {
    /// Start, inclusive. Without `Z` or an offset, it is in `time_zone`.
    from: Timestamp,
    /// End, exclusive: at most 24 hours later.
    to: Timestamp,
    /// Number of people who walked towards the DPU.
    #[schema(minimum = 0, maximum = 1_000_000)]
    toward: i64,
    /// Number of people who walked away from it.
    #[schema(minimum = 0, maximum = 1_000_000)]
    away: i64,
    /// The serial of the DPU. `dpu` is a synonym.
    dpu_id: Serial,
    /// Whether it replaces the numbers that are stored for the same interval. Default, and null: false.
    revise: Option<bool>,
}

/// What the counters of a DPU showed, for a DPU that reports totals. Totals with unknown members are rejected.
#[derive(ToSchema)]
#[schema(example = json!({
    "timestamp": "2025-04-01T09:00:00Z", "total_toward": 4327, "total_away": 4503, "dpu_id": "1003",
}))]
#[expect(dead_code, reason = "see `Event`")]
struct Totals {
    /// When they were read, by the DPU's clock. `ts` is a synonym. Without `Z` or an offset, it is in `time_zone`.
    timestamp: Timestamp,
    /// Number of people who walked towards the DPU since it was started.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    total_toward: i64,
    /// Number of people who walked away from it.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    total_away: i64,
    /// The serial of the DPU. `dpu` is a synonym.
    dpu_id: Serial,
    /// Whether implausible totals are stored, and counted on from. Default, and null: false.
    force: Option<bool>,
}

/// A sign of life of a DPU.
#[derive(ToSchema)]
#[schema(example = json!({ "heartbeat": true, "dpu_id": "1001", "battery": 87 }))]
#[expect(dead_code, reason = "see `Event`")]
struct Heartbeat {
    /// Always true.
    heartbeat: bool,
    /// The serial of the DPU. `dpu` is a synonym.
    dpu_id: Serial,
    /// Charge of the battery in percent.
    #[schema(minimum = 0, maximum = 100)]
    battery: Option<f64>,
    /// Faults of the DPU: at most 1000 characters, or a list of names.
    faults: Option<String>,
}

/// What a DPU reports.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "see `Event`")]
enum Report {
    Event(Event),
    Interval(Interval),
    Totals(Totals),
    Heartbeat(Heartbeat),
}

/// One report, or any number of them.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "see `Event`")]
enum Events {
    One(Report),
    Many(Vec<Report>),
}

/// Outcome of a body's events. Fields are written in this order.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(example = json!({
    "accepted": 1, "duplicates": 0, "rejected": 1, "errors_truncated": false,
    "errors": [{ "index": 1, "line": 2, "code": "UNKNOWN_DPU",
        "message": "no DPU has the serial \"9\": create it, or correct the serial" }],
}))]
pub(super) struct Receipt {
    /// Number of events that are stored now and were not before.
    accepted: u64,
    /// Number of events that were already stored, or are repeated in the body. They count once.
    duplicates: u64,
    /// Number of events that are not stored.
    rejected: u64,
    /// The first 1,000 of the events that are not stored, with the reasons.
    errors: Vec<RejectedEvent>,
    /// Whether more events were rejected than `errors` lists.
    errors_truncated: bool,
    /// The columns of a CSV that are not read. Left out if all are read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(nullable = false, required = false)]
    ignored_columns: Vec<String>,
}

/// An event that is not stored.
#[derive(Debug, Serialize, ToSchema)]
struct RejectedEvent {
    /// Its position among the body's events, starting at 0.
    index: u64,
    /// Its line in the body, starting at 1. Left out for JSON, where lines have no meaning.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    line: Option<u64>,
    /// Kind of reason.
    code: RejectionCode,
    /// What is wrong and what is accepted.
    message: String,
}

/// Records crossings, intervals, totals and heartbeats.
///
/// A DPU reports crossings, intervals or totals, as it was created; anything else is rejected. Reports may be in any order, and
/// may be sent again: those that are already stored are duplicates and count once. A
/// rejected event does not keep the others from being stored. The body may have any length: it is recorded while it
/// arrives. It may be compressed with gzip or zstd, as named by `Content-Encoding`. The answer is sent once the stored
/// events are durable.
///
/// The header of a CSV tells what it reports: `timestamp,direction,dpu_id`, `from,to,toward,away,dpu_id` or
/// `timestamp,total_toward,total_away,dpu_id`. Values are separated by commas, semicolons or tabs, and rows end with a line feed, a carriage return, or
/// both.
#[utoipa::path(
    post,
    path = "/events",
    operation_id = "record_events",
    params(
        ("time_zone" = Option<String>, Query, description = "The IANA time zone of timestamps that have neither `Z` \
            nor an offset. Default: that of their DPU, or UTC if it has none.", example = "Europe/Zurich"),
    ),
    request_body(
        description = "The events. An event is at most 65,536 bytes long, a row of a CSV at most 16,384.",
        content(
            (Events = "application/json"),
            (String = "application/x-ndjson", example =
                "{\"ts\":\"2025-04-01T09:00:00Z\",\"direction\":1,\"dpu\":\"1001\"}\n{\"ts\":\"2025-04-01T09:00:07Z\",\"direction\":-1,\"dpu\":\"1001\"}\n"),
            (String = "text/csv", example =
                "timestamp,direction,dpu_id\n2025-04-01T09:00:00Z,1,1001\n2025-04-01T09:00:07Z,-1,1001\n"),
        )
    ),
    responses(
        (status = 200, body = Receipt, description = "The outcome of the events, even if all of them were rejected."),
        RecordFailures, Refused
    ),
    security((), ("token" = []))
)]
pub(super) async fn record(
    State(app): State<Arc<App>>,
    access: Access,
    Extension(budget): Extension<ByteBudget>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Receipt>, RestError> {
    let decoder = Decoder::new(format(&headers)?).in_zone(zone(query.as_deref())?);
    // The raw body: the server's limit on the length of bodies is for handlers that hold them as a whole.
    let bytes = StreamReader::new(unpack(body, Coding::of(&headers)?, &budget).map_err(io::Error::other));
    let batches = FramedRead::new(bytes, decoder).try_ready_chunks(BATCH_EVENTS_MAX);
    // Boxed, since the router moves what a handler returns more than once, and this is large.
    Box::pin(record_all(batches, &app, &access, &budget)).await
}

/// Records the entries as they arrive, each batch in one commit.
async fn record_all(
    mut batches: TryReadyChunks<FramedRead<impl AsyncRead + Unpin, Decoder>>,
    app: &App,
    access: &Access,
    budget: &ByteBudget,
) -> Result<Json<Receipt>, RestError> {
    let mut receipt = Receipt::default();
    loop {
        let (entries, broken) = match tokio::time::timeout(SILENCE_MAX, batches.next()).await {
            Ok(None) => {
                receipt.ignored_columns = batches.get_ref().decoder().ignored_columns().to_vec();
                return Ok(Json(receipt));
            }
            Ok(Some(Ok(entries))) => (entries, None),
            Ok(Some(Err(TryReadyChunksError(entries, cause)))) => (entries, Some(cause)),
            Err(_) => {
                return Err(RestError::Silence {
                    silence_s: SILENCE_MAX.as_secs(),
                    recorded: receipt.summary(),
                });
            }
        };
        let held = budget.hold(entries.len() * EVENT_BYTES);
        let _held = held.map_err(|_| RestError::Full { recorded: receipt.summary() })?;
        receipt.record(app, access, entries).await?;
        if let Some(cause) = broken {
            return Err(unreadable(cause, receipt.summary()));
        }
    }
}

/// Errors of a request that sends events.
struct RecordFailures;

impl IntoResponses for RecordFailures {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let recorded = OutcomeCounts { accepted: 5_000, duplicates: 0, rejected: 0 };
        let unknown = RestError::UnknownParameter { given: "timezone".to_owned(), accepted: PARAMETERS };
        failures([
            (
                "The body is malformed or incomplete. The events before that are stored.",
                RestError::Body { cause: DecodeError::BreaksOff, recorded },
            ),
            (
                "The client stopped sending in the middle of the body. The events before that are stored.",
                RestError::Silence { silence_s: SILENCE_MAX.as_secs(), recorded },
            ),
            ("Unknown parameter.", unknown),
            ("The media type is not supported.", RestError::MediaType(ACCEPTED_TYPES)),
            (
                "The last events could not be stored. The events before them are stored.",
                RestError::Record(RecordError::Stopping),
            ),
            (
                "Internal error. The last events are not stored. The events before them are stored.",
                RestError::Record(RecordError::Database(Arc::new(DbErr::Custom(String::new())))),
            ),
        ])
    }
}

fn format(headers: &HeaderMap) -> Result<Format, RestError> {
    let content_type = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?"));
    let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
    match media_type.trim().to_ascii_lowercase().as_str() {
        "application/json" => Ok(Format::Json),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(Format::Ndjson),
        "text/csv" => Ok(Format::Csv),
        _ => Err(RestError::MediaType(ACCEPTED_TYPES)),
    }
}

fn zone(query: Option<&str>) -> Result<Option<Tz>, RestError> {
    let query = Query::new(query.unwrap_or_default());
    query.only(PARAMETERS)?;
    Ok(query.get("time_zone").map(|name| zone::parse(&name)).transpose()?)
}

fn unreadable(cause: DecodeError, recorded: OutcomeCounts) -> RestError {
    let DecodeError::Io(error) = cause else { return RestError::Body { cause, recorded } };
    match error.downcast() {
        Ok(cause @ UnpackError::Malformed { .. }) => RestError::Packed { cause, recorded },
        Ok(UnpackError::Exhausted(_)) => RestError::Full { recorded },
        Ok(cause) => RestError::Body { cause: io::Error::other(cause).into(), recorded },
        Err(error) => RestError::Body { cause: error.into(), recorded },
    }
}

impl Receipt {
    /// Records a batch and adds its outcome.
    async fn record(&mut self, app: &App, access: &Access, entries: Vec<Entry>) -> Result<(), RestError> {
        if entries.is_empty() {
            return Ok(());
        }
        // The token may expire or be revoked before the body ends.
        if !app.auth.still_allows(access).await? {
            return Err(RestError::Ended { refusal: Denied::Invalid, recorded: self.summary() });
        }
        let (lines, batch): (Vec<_>, Vec<_>) =
            entries.into_iter().map(|entry| (entry.line, entry.report)).unzip();
        let batch = access.reports(&*app.state.floor_plan().await?, batch);
        for (line, outcome) in lines.into_iter().zip(app.recorder.record(batch).await?) {
            let index = self.accepted + self.duplicates + self.rejected;
            match outcome {
                Outcome::Accepted => self.accepted += 1,
                Outcome::Duplicate => self.duplicates += 1,
                Outcome::Rejected(reason) => {
                    self.rejected += 1;
                    if self.errors.len() < ERRORS_MAX {
                        let (code, message) = (reason.code, reason.message);
                        self.errors.push(RejectedEvent { index, line, code, message });
                    } else {
                        self.errors_truncated = true;
                    }
                }
            }
        }
        Ok(())
    }

    fn summary(&self) -> OutcomeCounts {
        OutcomeCounts { accepted: self.accepted, duplicates: self.duplicates, rejected: self.rejected }
    }
}
