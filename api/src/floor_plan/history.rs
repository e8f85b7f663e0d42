//! The limits of a history: which ranges and intervals a client may ask for.

use chrono_tz::Tz;
use entity::{Instant, Timestamp, shown};

use super::Space;
use counting::calendar::{self, Interval};

const BUCKETS_MAX: usize = 10_000;

#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("{end} is before start ({start})")]
    EndsBeforeStart { start: Instant, end: Instant },
    #[error("more than {BUCKETS_MAX} buckets: choose a longer interval or a shorter range")]
    TooManyBuckets,
    #[error("unknown time zone {}: use a name of the tz database, such as Europe/Berlin", shown(.0))]
    TimeZone(String),
}

impl HistoryError {
    /// Returns the invalid argument. Interfaces name the time zone differently, so `time_zone` is its name.
    pub fn argument(&self, time_zone: &'static str) -> &'static str {
        match self {
            Self::EndsBeforeStart { .. } => "end",
            Self::TooManyBuckets => "interval",
            Self::TimeZone(_) => time_zone,
        }
    }
}

/// Returns the instant of a timestamp. A date alone means the beginning of that day in the zone.
pub fn edge(zone: Tz, timestamp: Timestamp) -> Instant {
    match timestamp {
        Timestamp::Day(day) => calendar::start_of_day(zone, day).clamp(Instant::MIN, Instant::MAX),
        other => other.in_utc(),
    }
}

/// Returns the edges of the buckets of a space's history, in the named time zone or the space's own. The history starts
/// at the first edge and ends at the last.
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
