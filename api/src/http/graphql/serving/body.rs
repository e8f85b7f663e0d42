//! Reads the whole body of a request, within limits of size and time.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::StatusCode;
use futures::StreamExt;

use crate::http::budget::{Budget, Exhausted, Held};
use crate::http::unpack::{Coding, UnpackError, Unpacked, unpack};
use crate::limits::{Limits, seconds};

/// Shorter bodies are not checked for the number of their values: they cannot have too many.
const SHORT_BYTES: usize = 64 << 10;
/// Maximum depth of lists and objects that are checked. The parser refuses deeper ones.
const NESTED_MAX: usize = 128;
/// Maximum number of bytes that are still read of a refused body, since some clients read the answer only afterwards.
const DRAINED_BYTES_MAX: usize = 32 << 20;
/// Maximum time for reading the rest of a refused body.
const DRAINED_FOR: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub(in crate::http::graphql) enum Unread {
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

impl Unread {
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

impl From<UnpackError> for Unread {
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
    budget: &Budget,
    held: &mut Held,
) -> Result<Bytes, Unread> {
    let announced = body.size_hint().lower();
    let mut chunks = unpack(body, coding, budget);
    if coding == Coding::Identity && announced > limits.body_bytes.into() {
        tokio::spawn(tokio::time::timeout(DRAINED_FOR, drain(chunks)));
        return Err(Unread::TooLong(limits.body_bytes));
    }
    let within = seconds(limits.body_timeout_s);
    let read = match tokio::time::timeout(within, collect(&mut chunks, limits.body_bytes, held)).await {
        Ok(read) => read,
        Err(_) => Err(Unread::TooSlow(limits.body_timeout_s)),
    };
    if let Err(Unread::TooLong(_) | Unread::Exhausted(_)) = read {
        tokio::spawn(tokio::time::timeout(DRAINED_FOR, drain(chunks)));
    }
    read
}

async fn collect(chunks: &mut Unpacked, bytes_max: u32, held: &mut Held) -> Result<Bytes, Unread> {
    // Usually it arrives in one piece, which is then not copied.
    let (mut first, mut whole) = (Bytes::new(), Vec::new());
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        if first.len().max(whole.len()) + chunk.len() > bytes_max as usize {
            return Err(Unread::TooLong(bytes_max));
        }
        held.grow(chunk.len())?;
        if first.is_empty() {
            first = chunk;
        } else {
            if whole.is_empty() {
                whole.extend_from_slice(&first);
            }
            whole.extend_from_slice(&chunk);
        }
    }
    Ok(if whole.is_empty() { first } else { whole.into() })
}

async fn drain(mut chunks: Unpacked) {
    let mut drained = 0;
    while drained < DRAINED_BYTES_MAX
        && let Some(Ok(chunk)) = chunks.next().await
    {
        drained += chunk.len();
    }
}

/// The number of values in a JSON text, counted without parsing it. A value takes some seventy bytes once it is parsed,
/// whereas its text may take two.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::http::graphql) struct Extent {
    /// Upper bound of the number of values. Counting stops at one more than is accepted.
    pub(in crate::http::graphql) values: u64,
    /// Upper bound of the length of the longest list.
    pub(in crate::http::graphql) longest: u64,
}

impl Extent {
    /// Scans the text until it has more values than are accepted. Returns zeros for a short text.
    pub(in crate::http::graphql) fn of(json: &[u8], accepted: u32) -> Self {
        let mut extent = Self::default();
        if json.len() < SHORT_BYTES {
            return extent;
        }
        extent.values = 1;
        // Whether each open bracket is a list, and its number of entries.
        let mut open: Vec<(bool, u64)> = Vec::new();
        let (mut in_string, mut escaped) = (false, false);
        for byte in json {
            if extent.values > accepted.into() {
                break;
            }
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = in_string,
                b'"' => in_string = !in_string,
                _ if in_string => {}
                b'[' | b'{' if open.len() >= NESTED_MAX => return extent,
                b'[' | b'{' => {
                    extent.values += 1;
                    open.push((*byte == b'[', 1));
                }
                b',' => {
                    extent.values += 1;
                    if let Some((is_list, entries)) = open.last_mut() {
                        *entries += 1;
                        if *is_list {
                            extent.longest = extent.longest.max(*entries);
                        }
                    }
                }
                b']' | b'}' => {
                    open.pop();
                }
                _ => {}
            }
        }
        extent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(json: &str) -> (u64, u64) {
        let Extent { values, longest } = Extent::of(json.as_bytes(), u32::MAX);
        (values, longest)
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
        assert_eq!(Extent::of(zeros.as_bytes(), 10), Extent { values: 11, longest: 10 });
    }
}
