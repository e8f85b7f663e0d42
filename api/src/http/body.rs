//! Reads the whole body of a request, within limits of size and time.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::StatusCode;
use futures::{StreamExt, TryStreamExt};
use tokio::time::timeout;

use super::budget::{ByteBudget, Exhausted, HeldBytes};
use super::unpack::{Coding, UnpackError, Unpacked, unpack};

/// Maximum number of bytes that are still read of a refused body, since some clients read the answer only afterwards.
const DRAINED_BYTES_MAX: usize = 32 << 20;
/// Maximum time for reading the rest of a refused body.
const DRAINED_FOR: Duration = Duration::from_secs(2);

/// Limits of a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimits {
    /// Maximum length, decoded.
    pub(crate) bytes: u32,
    /// Maximum time until it has arrived, in seconds.
    pub(crate) seconds: u32,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
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
    pub(crate) fn status(&self) -> StatusCode {
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
pub(crate) async fn read(
    body: Body,
    coding: Coding,
    BodyLimits { bytes, seconds }: BodyLimits,
    budget: &ByteBudget,
    held: &mut HeldBytes,
) -> Result<Bytes, BodyError> {
    let is_too_long = |length| length > u64::from(bytes);
    let announced_too_long = coding == Coding::Identity && is_too_long(body.size_hint().lower());
    let mut chunks = unpack(body, coding, budget);
    let read = if announced_too_long {
        Err(BodyError::TooLong(bytes))
    } else {
        let collect = async {
            let mut whole = Vec::new();
            while let Some(chunk) = chunks.try_next().await? {
                if is_too_long((whole.len() + chunk.len()) as u64) {
                    return Err(BodyError::TooLong(bytes));
                }
                held.grow(chunk.len())?;
                whole.extend_from_slice(&chunk);
            }
            Ok(whole.into())
        };
        let late = |_| Err(BodyError::TooSlow(seconds));
        timeout(Duration::from_secs(seconds.into()), collect).await.unwrap_or_else(late)
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
