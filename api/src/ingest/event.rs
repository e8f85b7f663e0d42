//! What senders report, and what they are told about it.

use entity::event::Direction;
use entity::{Instant, ParseInstantError, Timestamp, shown};

/// A crossing as a sender reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// The serial of the DPU that saw it.
    pub serial: String,
    /// When it happened, by the DPU's clock.
    pub ts: Timestamp,
    /// Which way the person walked.
    pub direction: Direction,
    /// Tells apart people who crossed in the same millisecond; 0 or more.
    pub seq: i32,
}

/// What a sender sends at a time. A row that could not be read keeps its place, so that the outcomes
/// have the order of what was sent.
pub type Batch = Vec<Result<Crossing, Rejection>>;

/// What makes an event itself: the same again is the same crossing, reported twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The DPU's id.
    pub dpu_id: i64,
    /// When it happened.
    pub ts: Instant,
    /// Which way the person walked.
    pub direction: Direction,
    /// Tells apart people who crossed in the same millisecond.
    pub seq: i32,
}

/// What became of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is stored, and was not before.
    Accepted,
    /// It was stored already, or was in the batch before; it counts once.
    Duplicate,
    /// It is not stored.
    Rejected(Rejection),
}

/// Why an event is not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Rejection {
    /// The kind of reason.
    pub code: RejectionCode,
    /// What was wrong and what is accepted, for people.
    pub message: String,
}

/// The kind of reason for which an event is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RejectionCode {
    /// No DPU has this serial.
    UnknownDpu,
    /// It would happen later than the server's clock and the allowed skew say.
    TimestampInFuture,
    /// It would have happened before the first instant that is accepted.
    TimestampOutOfRange,
    /// It happened before the horizon, where events are pruned.
    TimestampPruned,
    /// The timestamp cannot be read.
    BadTimestamp,
    /// The direction is neither 1 nor -1.
    BadDirection,
    /// The sequence number is no whole number from 0 to 2147483647.
    BadSeq,
    /// The row as a whole cannot be read.
    Malformed,
}

impl RejectionCode {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::UnknownDpu,
        Self::TimestampInFuture,
        Self::TimestampOutOfRange,
        Self::TimestampPruned,
        Self::BadTimestamp,
        Self::BadDirection,
        Self::BadSeq,
        Self::Malformed,
    ];

    /// Its name in every interface.
    pub fn name(self) -> &'static str {
        match self {
            Self::UnknownDpu => "UNKNOWN_DPU",
            Self::TimestampInFuture => "TIMESTAMP_IN_FUTURE",
            Self::TimestampOutOfRange => "TIMESTAMP_OUT_OF_RANGE",
            Self::TimestampPruned => "TIMESTAMP_PRUNED",
            Self::BadTimestamp => "BAD_TIMESTAMP",
            Self::BadDirection => "BAD_DIRECTION",
            Self::BadSeq => "BAD_SEQ",
            Self::Malformed => "MALFORMED",
        }
    }
}

/// How many events of some batches were accepted, duplicates and rejected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Stored now.
    pub accepted: u64,
    /// Stored before.
    pub duplicates: u64,
    /// Not stored.
    pub rejected: u64,
}

impl Rejection {
    /// A rejection with its message.
    pub fn new(code: RejectionCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A direction that is neither 1 nor -1.
    pub fn bad_direction(given: &str) -> Self {
        let message =
            format!("invalid direction {}: use 1 (towards the DPU) or -1 (away from it)", shown(given));
        Self::new(RejectionCode::BadDirection, message)
    }

    /// A sequence number that is none.
    pub fn bad_seq(given: &str) -> Self {
        let message = format!("invalid seq {}: use a whole number from 0 to {}", shown(given), i32::MAX);
        Self::new(RejectionCode::BadSeq, message)
    }

    /// A serial that no DPU has.
    pub fn unknown_dpu(serial: &str) -> Self {
        let message = format!("no DPU has the serial {}: create it, or correct the serial", shown(serial));
        Self::new(RejectionCode::UnknownDpu, message)
    }
}

impl From<ParseInstantError> for Rejection {
    fn from(error: ParseInstantError) -> Self {
        Self::new(RejectionCode::BadTimestamp, error.to_string())
    }
}

impl Summary {
    /// Counts one more outcome.
    pub fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Accepted => self.accepted += 1,
            Outcome::Duplicate => self.duplicates += 1,
            Outcome::Rejected(_) => self.rejected += 1,
        }
    }
}

/// The sequence number that the text says.
pub(super) fn parse_seq(text: &str) -> Result<i32, Rejection> {
    whole(text).parse().ok().filter(|seq| *seq >= 0).ok_or_else(|| Rejection::bad_seq(text))
}

/// The direction that the text says: a number, or the name that GraphQL has for it.
pub(super) fn parse_direction(text: &str) -> Result<Direction, Rejection> {
    match text {
        "TOWARD" => Ok(Direction::Toward),
        "AWAY" => Ok(Direction::Away),
        number => whole(number).parse().map_err(|_| Rejection::bad_direction(number)),
    }
}

/// The number without a fraction of zero: programs that keep all numbers as floats write `1.0` for `1`.
pub(super) fn whole(number: &str) -> &str {
    match number.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|byte| byte == b'0') => whole,
        _ => number,
    }
}
