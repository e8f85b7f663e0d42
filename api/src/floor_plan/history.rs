//! Which history of a space may be asked for.

use chrono_tz::Tz;
use entity::{Instant, Timestamp, shown};

use super::Space;
use crate::counting::calendar::{self, Interval};

/// How many buckets a history has at most.
const BUCKETS_MAX: usize = 10_000;

/// Why there is no such history.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// It would end before it starts.
    #[error("{end} is before start, {start}")]
    EndsBeforeStart {
        /// Where it would start.
        start: Instant,
        /// Where it would end.
        end: Instant,
    },
    /// It would have too many buckets.
    #[error("there would be more than {BUCKETS_MAX} buckets; choose a longer interval or a shorter range")]
    TooManyBuckets,
    /// There is no such time zone.
    #[error("{} is no time zone: name one as the tz database does, such as Europe/Berlin", shown(.0))]
    TimeZone(String),
}

impl HistoryError {
    /// The argument that was wrong; what the time zone's is called differs between interfaces.
    pub fn argument(&self, time_zone: &'static str) -> &'static str {
        match self {
            Self::EndsBeforeStart { .. } => "end",
            Self::TooManyBuckets => "interval",
            Self::TimeZone(_) => time_zone,
        }
    }
}

/// Where a stretch of time starts or ends: a date alone is the beginning of the zone's day.
pub fn edge(zone: Tz, timestamp: Timestamp) -> Instant {
    match timestamp {
        Timestamp::Day(day) => calendar::start_of_day(zone, day).clamp(Instant::MIN, Instant::MAX),
        other => other.in_utc(),
    }
}

/// The edges of the buckets of a space's history, cut by the named time zone or by the space's own: the history starts at the
/// first and ends at the last.
pub fn history_edges(
    space: &Space,
    start: Timestamp,
    end: Timestamp,
    interval: Interval,
    time_zone: Option<&str>,
) -> Result<Vec<Instant>, HistoryError> {
    let zone = match time_zone {
        Some(name) => name.parse::<Tz>().map_err(|_| HistoryError::TimeZone(name.to_owned()))?,
        None => space.zone,
    };
    let (start, end) = (edge(zone, start), edge(zone, end));
    if end < start {
        return Err(HistoryError::EndsBeforeStart { start, end });
    }
    calendar::edges(zone, interval, start, end, BUCKETS_MAX).ok_or(HistoryError::TooManyBuckets)
}
