//! Errors of REST requests, and the one place that turns them into answers: `{"detail":"…"}`.

use std::fmt;

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use devices::{Format, UnknownFormat, Unreadable};
use entity::{ParseInstantError, shown};
use sea_orm::DbErr;

use super::body::BodyError;
use super::budget::Exhausted;
use super::request::request_id;
use super::unpack::{self, UnknownCoding, UnpackError};
use crate::auth::Denied;
use crate::counts::{MayMove, ReadError};
use crate::database::Failure;
use crate::floor_plan::HistoryError;
use crate::gateway::{ReceiveError, SourceError};
use crate::ingest::decoder::DecodeError;
use crate::ingest::zone::UnknownZone;
use crate::ingest::{OutcomeCounts, RecordError};

pub(crate) const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("1");

const LATER: &str = "The service cannot answer now, try again.";
const FAULT: &str = "Something went wrong inside the server; its log says what.";

const SCHEMES: [HeaderValue; 2] =
    [HeaderValue::from_static("Bearer"), HeaderValue::from_static("Basic realm=\"headcount\"")];

#[derive(Debug, thiserror::Error)]
pub(crate) enum RestError {
    #[error("Not found.")]
    NotFound,
    #[error("{0}.")]
    UnknownFormat(#[from] UnknownFormat),
    #[error(
        "invalid Host: HTTP/1.1 wants exactly one header Host, with the same host as the request target if that names one."
    )]
    Host,
    #[error("{name}: {error}")]
    Timestamp { name: &'static str, error: ParseInstantError },
    #[error("{name} is missing: give a timestamp, such as 2018-05-01T08:46:00Z")]
    Missing { name: &'static str },
    #[error("{}", Unknown(given, accepted))]
    UnknownParameter { given: String, accepted: &'static [&'static str] },
    #[error("time_zone: {0}")]
    Zone(#[from] UnknownZone),
    #[error("{name}: invalid value {}: use one of {accepted}", shown(given))]
    NotOneOf { name: &'static str, given: String, accepted: String },
    #[error("{name}: {0}", name = .0.argument("time_zone"))]
    History(#[from] HistoryError),
    #[error("{FAULT}")]
    Csv(#[from] csv::Error),
    #[error("{0}")]
    MediaType(&'static str),
    #[error("{0}.")]
    Coding(#[from] UnknownCoding),
    #[error("{}.", Sentence(.0))]
    Whole(#[from] BodyError),
    #[error("{0}")]
    Source(#[from] SourceError),
    #[error("The message is not of the format {format}: {cause}")]
    Message { format: Format, cause: Unreadable },
    /// A device's message was not stored in time.
    #[error(
        "The message could not be recorded within {0} seconds, send it again: what is already recorded counts once."
    )]
    Late(u64),
    #[error("{cause}.{}", RecordedBefore(.recorded))]
    Packed {
        cause: UnpackError,
        /// Outcome of the events before the error.
        recorded: OutcomeCounts,
    },
    #[error("{cause}.{}", RecordedBefore(.recorded))]
    Body { cause: DecodeError, recorded: OutcomeCounts },
    #[error("No event arrived for {silence_s} seconds.{}", RecordedBefore(.recorded))]
    Silence { silence_s: u64, recorded: OutcomeCounts },
    #[error("{0}")]
    Refused(Denied),
    /// The client's access ended in the middle of its body.
    #[error("{refusal}{}", RecordedBefore(.recorded))]
    Ended { refusal: Denied, recorded: OutcomeCounts },
    #[error("The service cannot answer now, try again: too many answers are waiting to be read.")]
    Exhausted(Exhausted),
    #[error("The service cannot take more events now, try again.{}", RecordedBefore(.recorded))]
    Full { recorded: OutcomeCounts },
    #[error("{}", NotRecorded(.0))]
    Record(#[from] RecordError),
    #[error("{}", UnreadCount(.0))]
    Read(#[from] ReadError),
    #[error("{}", failed(.0))]
    Database(#[from] DbErr),
}

impl From<ReceiveError> for RestError {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::Unreadable { format, cause } => Self::Message { format, cause },
            ReceiveError::Record(error) => Self::Record(error),
            ReceiveError::Database(error) => Self::Database(error),
        }
    }
}

impl MayMove for RestError {
    fn has_moved(&self) -> bool {
        matches!(self, Self::Read(ReadError::Moved))
    }
}

/// The text of an error, as a sentence.
struct Sentence<'a, T>(&'a T);

impl<T: fmt::Display> fmt::Display for Sentence<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let mut characters = text.chars();
        let first = characters.next().into_iter().flat_map(char::to_uppercase);
        write!(formatter, "{}{}", first.collect::<String>(), characters.as_str())
    }
}

struct Unknown<'a>(&'a str, &'a [&'a str]);

impl fmt::Display for Unknown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "unknown parameter {}: ", shown(self.0))?;
        match self.1 {
            [] => formatter.write_str("this path has none"),
            [only] => write!(formatter, "the only one is {only}"),
            several => write!(formatter, "accepted are {}", several.join(", ")),
        }
    }
}

struct UnreadCount<'a>(&'a ReadError);

impl fmt::Display for UnreadCount<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ReadError::TooMuch(_) | ReadError::Busy => self.0.fmt(formatter),
            ReadError::Moved => formatter.write_str(LATER),
            ReadError::Database(cause) => formatter.write_str(failed(cause)),
        }
    }
}

fn failed(cause: &DbErr) -> &'static str {
    if Failure::of(cause).is_transient() { LATER } else { FAULT }
}

struct NotRecorded<'a>(&'a RecordError);

impl fmt::Display for NotRecorded<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_transient() {
            "The events could not be recorded, send them again: events that are already recorded count once."
        } else {
            "The events could not be recorded: something went wrong inside the server; its log says what."
        })
    }
}

struct RecordedBefore<'a>(&'a OutcomeCounts);

impl fmt::Display for RecordedBefore<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OutcomeCounts { accepted, duplicates, rejected } = self.0;
        if accepted + duplicates + rejected == 0 {
            return Ok(());
        }
        write!(
            formatter,
            " Of the events before it {accepted} were accepted, {duplicates} were duplicates and {rejected} \
             were rejected; all of them may be sent again, none counts twice."
        )
    }
}

impl RestError {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NotFound | Self::UnknownFormat(_) => StatusCode::NOT_FOUND,
            Self::Host
            | Self::Timestamp { .. }
            | Self::Missing { .. }
            | Self::NotOneOf { .. }
            | Self::UnknownParameter { .. }
            | Self::Zone(_)
            | Self::History(_)
            | Self::Source(_)
            | Self::Message { .. }
            | Self::Read(ReadError::TooMuch(_))
            | Self::Body { .. } => StatusCode::BAD_REQUEST,
            Self::Csv(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Whole(error) => error.status(),
            Self::MediaType(_) | Self::Coding(_) | Self::Packed { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Silence { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::Refused(refusal) | Self::Ended { refusal, .. } => status_of(refusal),
            Self::Database(cause) | Self::Read(ReadError::Database(cause))
                if !Failure::of(cause).is_transient() =>
            {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Self::Record(error) if !error.is_transient() => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Late(_)
            | Self::Exhausted(_)
            | Self::Full { .. }
            | Self::Record(_)
            | Self::Read(_)
            | Self::Database(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(crate) fn retry_after(&self) -> Option<HeaderValue> {
        match self {
            Self::Refused(refusal) => refusal.retry_after_s().map(HeaderValue::from),
            _ => (self.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER_S),
        }
    }
}

impl IntoResponse for RestError {
    fn into_response(self) -> Response {
        // The recorder logs its own errors.
        match &self {
            Self::Database(cause) | Self::Read(ReadError::Database(cause)) => {
                tracing::error!(%cause, request_id = request_id(), "a request failed");
            }
            Self::Csv(cause) => {
                tracing::error!(%cause, request_id = request_id(), "an answer could not be written");
            }
            _ => {}
        }
        let mut response = detail(self.status(), &self.to_string());
        if let Some(seconds) = self.retry_after() {
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        if matches!(self, Self::Coding(_) | Self::Packed { .. }) {
            response.headers_mut().insert(header::ACCEPT_ENCODING, unpack::ACCEPTED);
        }
        if self.status() == StatusCode::UNAUTHORIZED {
            for scheme in SCHEMES {
                response.headers_mut().append(header::WWW_AUTHENTICATE, scheme);
            }
        }
        response
    }
}

pub(crate) fn status_of(denied: &Denied) -> StatusCode {
    match denied {
        Denied::Missing | Denied::Invalid => StatusCode::UNAUTHORIZED,
        Denied::Forbidden
        | Denied::InPath
        | Denied::NoIntrospection
        | Denied::Elsewhere
        | Denied::Proxied(_)
        | Denied::Foreign
        | Denied::Origin => StatusCode::FORBIDDEN,
        Denied::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
        Denied::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

pub(crate) fn not_found() -> Response {
    RestError::NotFound.into_response()
}

pub(crate) fn bad_host() -> Response {
    RestError::Host.into_response()
}

pub(crate) fn exhausted() -> Response {
    RestError::Exhausted(Exhausted).into_response()
}

pub(crate) fn refuse(denied: Denied) -> Response {
    RestError::Refused(denied).into_response()
}

pub(crate) fn method_not_allowed(method: &Method, allowed: &'static str) -> Response {
    let mut response = detail(StatusCode::METHOD_NOT_ALLOWED, &format!("Method \"{method}\" not allowed."));
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

fn detail(status: StatusCode, detail: &str) -> Response {
    (status, Json(serde_json::json!({ "detail": detail }))).into_response()
}
