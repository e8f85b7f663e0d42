//! Reads the whole body of a request, within limits of size and time.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::StatusCode;
use futures::{StreamExt, TryStreamExt};
use tokio::time::timeout;

use crate::http::budget::{ByteBudget, Exhausted, HeldBytes};
use crate::http::graphql::limits::{DocumentError, Measure};
use crate::http::unpack::{Coding, UnpackError, Unpacked, unpack};
use crate::limits::{Limits, seconds};

/// Shorter bodies are not checked for the number of their values: they cannot have too many.
const SHORT_BYTES: usize = 64 << 10;
/// Maximum number of bytes that are still read of a refused body, since some clients read the answer only afterwards.
const DRAINED_BYTES_MAX: usize = 32 << 20;
/// Maximum time for reading the rest of a refused body.
const DRAINED_FOR: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub(in crate::http::graphql) enum BodyError {
    /// It is too long.
    #[error("the body has more than {0} bytes, which is the maximum")]
    TooLong(u32),
    #[error("the body did not arrive within {0} seconds")]
    TooSlow(u32),
    #[error("the body is incomplete")]
    BreaksOff,
    #[error(transparent)]
    Malformed(UnpackError),
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
}

impl BodyError {
    pub(in crate::http::graphql) fn status(&self) -> StatusCode {
        match self {
            Self::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::BreaksOff => StatusCode::BAD_REQUEST,
            Self::Malformed(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Exhausted(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl From<UnpackError> for BodyError {
    fn from(error: UnpackError) -> Self {
        match error {
            UnpackError::Connection(_) | UnpackError::BreaksOff => Self::BreaksOff,
            UnpackError::Exhausted(exhausted) => Self::Exhausted(exhausted),
            malformed @ UnpackError::Malformed { .. } => Self::Malformed(malformed),
        }
    }
}

/// Returns the decoded body. Its bytes are added to `held`. Decoding takes memory of the budget for its duration.
pub(in crate::http::graphql) async fn read(
    body: Body,
    coding: Coding,
    limits: &Limits,
    budget: &ByteBudget,
    held: &mut HeldBytes,
) -> Result<Bytes, BodyError> {
    let is_too_long = |bytes| bytes > u64::from(limits.body_bytes);
    let announced_too_long = coding == Coding::Identity && is_too_long(body.size_hint().lower());
    let mut chunks = unpack(body, coding, budget);
    let read = if announced_too_long {
        Err(BodyError::TooLong(limits.body_bytes))
    } else {
        let collect = async {
            let mut whole = Vec::new();
            while let Some(chunk) = chunks.try_next().await? {
                if is_too_long((whole.len() + chunk.len()) as u64) {
                    return Err(BodyError::TooLong(limits.body_bytes));
                }
                held.grow(chunk.len())?;
                whole.extend_from_slice(&chunk);
            }
            Ok(whole.into())
        };
        let late = |_| Err(BodyError::TooSlow(limits.body_timeout_s));
        timeout(seconds(limits.body_timeout_s), collect).await.unwrap_or_else(late)
    };
    if let Err(BodyError::TooLong(_) | BodyError::Exhausted(_)) = read {
        tokio::spawn(timeout(DRAINED_FOR, drain(chunks)));
    }
    read
}

async fn drain(mut chunks: Unpacked) {
    let mut drained = 0;
    while drained < DRAINED_BYTES_MAX
        && let Some(Ok(chunk)) = chunks.next().await
    {
        drained += chunk.len();
    }
}

/// Refuses a JSON text with too many values, or with a list that is too long, before it is parsed: a value takes some
/// seventy bytes once it is parsed, whereas its text may take two.
pub(in crate::http::graphql) fn check_extent(json: &[u8], limits: &Limits) -> Result<(), DocumentError> {
    let (values, longest) = extent(json, limits.json_values);
    Measure::Values.check(values, limits.json_values)?;
    // Events are the longest list that is accepted.
    Measure::List.check(longest, limits.ingest_events)
}

/// Returns upper bounds of the number of values in a JSON text, and of the length of its longest list. Stops at one
/// value more than is accepted. Returns zeros for a short text.
fn extent(json: &[u8], accepted: u32) -> (u64, u64) {
    if json.len() < SHORT_BYTES {
        return (0, 0);
    }
    let (mut values, mut longest) = (1, 0);
    // The number of entries in each open bracket.
    let mut open: Vec<u64> = Vec::new();
    let (mut in_string, mut escaped) = (false, false);
    for byte in json {
        match byte {
            _ if values > accepted.into() => break,
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                values += 1;
                open.push(1);
            }
            b',' => {
                values += 1;
                if let Some(entries) = open.last_mut() {
                    *entries += 1;
                }
            }
            b']' | b'}' => {
                let entries = open.pop().unwrap_or_default();
                if *byte == b']' {
                    longest = longest.max(entries);
                }
            }
            _ => {}
        }
    }
    (values, longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(json: &str) -> (u64, u64) {
        super::extent(json.as_bytes(), u32::MAX)
    }

    #[test]
    fn values_and_lists_of_long_bodies_are_counted() {
        let zeros = "0,".repeat(SHORT_BYTES);
        let many = SHORT_BYTES as u64 + 1;
        assert_eq!(extent(&format!("[{zeros}0]")), (1 + many, many));
        assert_eq!(
            extent(&format!("{{\"a\": [[], [{zeros}0], {{\"b\": [0, 0]}}], \"c\": 0}}")),
            (10 + many, many)
        );
        let object = "\"a\": [0, 0],".repeat(SHORT_BYTES);
        assert_eq!(extent(&format!("{{{object} \"b\": 0}}")).1, 2);
        assert_eq!(extent(&format!("{{\"a\": \"{}\"}}", ",[{\\\"".repeat(SHORT_BYTES))), (2, 0));
        assert_eq!(extent("[0, 0]"), (0, 0));
        assert_eq!(extent(&format!("]}},{}", "[".repeat(SHORT_BYTES))).1, 0);
    }

    #[test]
    fn counting_stops_at_one_value_more_than_is_accepted() {
        let zeros = format!("[{}0]", "0,".repeat(SHORT_BYTES));
        assert_eq!(super::extent(zeros.as_bytes(), 10), (11, 0));
    }
}
