//! `POST /events`: records crossings, from one to as many as a sender cares to stream.
//!
//! The body is recorded while it arrives and never kept whole: what has come in makes the next batch, and
//! while that one is being committed the sender has to wait. So memory is bounded whatever the body's length,
//! and there is no limit to it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use futures::stream::{StreamExt, TryReadyChunksError, TryStreamExt};
use serde::Serialize;
use tokio_util::codec::FramedRead;
use tokio_util::io::StreamReader;

use super::error::RestError;
use crate::app::App;
use crate::ingest::decoder::{Decoder, Entry, Format};
use crate::ingest::{Outcome, RejectionCode, Summary};

/// The most events of one body that are recorded at a time.
const BATCH_EVENTS_MAX: usize = 5_000;
/// The most rejected events that an answer lists.
const ERRORS_MAX: usize = 1_000;
/// How long a sender may send no event before it is given up.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// What became of a body's events; its fields are written in this order.
#[derive(Debug, Default, Serialize)]
pub(super) struct Receipt {
    /// How many events are stored and were not before.
    accepted: u64,
    /// How many events were stored already, or came twice in the body; they count once.
    duplicates: u64,
    /// How many events are not stored.
    rejected: u64,
    /// The events that are not stored, and why: the first 1,000 of them.
    errors: Vec<RejectedEvent>,
    /// Whether more events were rejected than `errors` lists.
    errors_truncated: bool,
}

/// An event that is not stored.
#[derive(Debug, Serialize)]
struct RejectedEvent {
    /// Its place among the body's events, the first being 0.
    index: u64,
    /// The number of its line, the body's first being 1; left out in JSON, where lines mean nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    /// The kind of reason.
    code: RejectionCode,
    /// What was wrong and what is accepted.
    message: String,
}

/// Records crossings, in any order. All of them may be sent again: what is stored already is a duplicate.
pub(super) async fn record(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Receipt>, RestError> {
    let bytes = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
    let mut batches =
        FramedRead::new(bytes, Decoder::new(format(&headers)?)).try_ready_chunks(BATCH_EVENTS_MAX);
    let mut receipt = Receipt::default();
    loop {
        let (entries, broken) = match tokio::time::timeout(SILENCE_MAX, batches.next()).await {
            Ok(None) => return Ok(Json(receipt)),
            Ok(Some(Ok(entries))) => (entries, None),
            Ok(Some(Err(TryReadyChunksError(entries, cause)))) => (entries, Some(cause)),
            Err(_) => {
                return Err(RestError::Silence {
                    silence_s: SILENCE_MAX.as_secs(),
                    recorded: receipt.summary(),
                });
            }
        };
        receipt.record(&app, entries).await?;
        if let Some(cause) = broken {
            return Err(RestError::Body { cause, recorded: receipt.summary() });
        }
    }
}

/// The format that `Content-Type` names.
fn format(headers: &HeaderMap) -> Result<Format, RestError> {
    let header = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if header(header::CONTENT_ENCODING).is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err(RestError::MediaType("A compressed body is not read: send it without Content-Encoding."));
    }
    let media_type = header(header::CONTENT_TYPE).unwrap_or_default().split(';').next().unwrap_or_default();
    match media_type.trim().to_ascii_lowercase().as_str() {
        "application/json" => Ok(Format::Json),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(Format::Ndjson),
        "text/csv" => Ok(Format::Csv),
        _ => Err(RestError::MediaType(
            "Events are sent with the Content-Type application/json (one object or an array), \
             application/x-ndjson (an object a line) or text/csv (with a header).",
        )),
    }
}

impl Receipt {
    /// Records a batch and enters what became of it.
    async fn record(&mut self, app: &App, entries: Vec<Entry>) -> Result<(), RestError> {
        if entries.is_empty() {
            return Ok(());
        }
        let (lines, batch): (Vec<_>, Vec<_>) =
            entries.into_iter().map(|entry| (entry.line, entry.crossing)).unzip();
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

    fn summary(&self) -> Summary {
        Summary { accepted: self.accepted, duplicates: self.duplicates, rejected: self.rejected }
    }
}
