//! Events as senders report them, and their outcomes.

use entity::dpu::Reports;
use entity::event::Direction;
use entity::{Instant, ParseInstantError, Timestamp, shown};

/// A crossing as a sender reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossing {
    pub serial: String,
    /// When it happened, by the DPU's clock.
    pub ts: Timestamp,
    pub direction: Direction,
    /// Number that distinguishes people who crossed in the same millisecond; 0 or more.
    pub seq: i32,
}

/// Identity of an event. Events with the same identity are one crossing, reported several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    pub dpu_id: i64,
    pub ts: Instant,
    pub direction: Direction,
    pub seq: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was stored now.
    Accepted,
    /// It was stored before, or came earlier in the batch; it counts once.
    Duplicate,
    Rejected(Rejection),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Rejection {
    pub code: RejectionCode,
    /// What is wrong and what is accepted, for people to read.
    pub message: String,
}

/// Code of the reason why an event is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RejectionCode {
    /// No DPU has this serial.
    UnknownDpu,
    /// The timestamp is later than the server's clock by more than the allowed skew.
    TimestampInFuture,
    /// The timestamp is before the earliest accepted instant.
    TimestampOutOfRange,
    /// The timestamp is before the horizon, where events have been pruned.
    TimestampPruned,
    /// The timestamp is invalid.
    BadTimestamp,
    /// The direction is neither 1 nor -1.
    BadDirection,
    /// The sequence number is not a whole number from 0 to 2147483647.
    BadSeq,
    /// The row as a whole cannot be read.
    Malformed,
    /// The DPU reports something else.
    WrongKind,
    /// Other numbers are stored for the same interval, or another reading of the same instant.
    Conflict,
    /// The interval overlaps another one that is stored.
    Overlap,
    /// The totals rose by more people than can be.
    Implausible,
    /// The interval ends before its start, is longer than a day, or its number of people is invalid.
    BadInterval,
    /// A total is invalid.
    BadTotal,
}

impl RejectionCode {
    pub const ALL: [Self; 14] = [
        Self::UnknownDpu,
        Self::TimestampInFuture,
        Self::TimestampOutOfRange,
        Self::TimestampPruned,
        Self::BadTimestamp,
        Self::BadDirection,
        Self::BadSeq,
        Self::Malformed,
        Self::WrongKind,
        Self::Conflict,
        Self::Overlap,
        Self::Implausible,
        Self::BadInterval,
        Self::BadTotal,
    ];

    /// Returns its name, the same in every interface.
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
            Self::WrongKind => "WRONG_KIND",
            Self::Conflict => "CONFLICT",
            Self::Overlap => "OVERLAP",
            Self::Implausible => "IMPLAUSIBLE",
            Self::BadInterval => "BAD_INTERVAL",
            Self::BadTotal => "BAD_TOTAL",
        }
    }
}

/// Number of events by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutcomeCounts {
    pub accepted: u64,
    pub duplicates: u64,
    pub rejected: u64,
}

impl Rejection {
    pub fn new(code: RejectionCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub fn bad_direction(given: &str) -> Self {
        let message =
            format!("invalid direction {}: use 1 (towards the DPU) or -1 (away from it)", shown(given));
        Self::new(RejectionCode::BadDirection, message)
    }

    pub fn bad_seq(given: &str) -> Self {
        let message = format!("invalid seq {}: use a whole number from 0 to {}", shown(given), i32::MAX);
        Self::new(RejectionCode::BadSeq, message)
    }

    pub fn wrong_kind(serial: &str, given: &str, reports: Reports) -> Self {
        let reports = match reports {
            Reports::Crossings => "single crossings (timestamp, direction)",
            Reports::Intervals => "intervals (from, to, toward, away)",
            Reports::Totals => "running totals (timestamp, total_toward, total_away)",
        };
        let message = format!("{given} of the DPU {}, which reports {reports}: send those", shown(serial));
        Self::new(RejectionCode::WrongKind, message)
    }

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

impl OutcomeCounts {
    pub fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Accepted => self.accepted += 1,
            Outcome::Duplicate => self.duplicates += 1,
            Outcome::Rejected(_) => self.rejected += 1,
        }
    }
}

pub(super) fn parse_seq(text: &str) -> Result<i32, Rejection> {
    whole(text).parse().ok().filter(|seq| *seq >= 0).ok_or_else(|| Rejection::bad_seq(text))
}

/// Parses a direction: a number, or its name in GraphQL.
pub(super) fn parse_direction(text: &str) -> Result<Direction, Rejection> {
    match text {
        "TOWARD" => Ok(Direction::Toward),
        "AWAY" => Ok(Direction::Away),
        number => whole(number).parse().map_err(|_| Rejection::bad_direction(number)),
    }
}

/// Returns the number without a fraction of zero: programs that store all numbers as floats write `1.0` for `1`.
pub(super) fn whole(number: &str) -> &str {
    match number.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|byte| byte == b'0') => whole,
        _ => number,
    }
}
