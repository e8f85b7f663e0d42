//! Resolves timestamps without a time zone to instants.
//!
//! The time zone of the request or file takes precedence over that of the DPU. Without either, it is UTC.

use chrono::{MappedLocalTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;
use entity::{Instant, Timestamp, shown};

use super::{Rejection, RejectionCode};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a time zone: use a name of the tz database, such as Europe/Berlin", shown(.0))]
pub struct UnknownZone(String);

pub fn parse(name: &str) -> Result<Tz, UnknownZone> {
    name.parse().map_err(|_| UnknownZone(name.to_owned()))
}

/// Returns the instant at which a clock in `zone` showed this timestamp. If it was shown twice, the first one is taken.
/// A local time that was skipped when clocks were put forward is rejected.
pub fn instant(timestamp: Timestamp, zone: Option<Tz>) -> Result<Instant, Rejection> {
    let Some((local, zone)) = timestamp.local().zip(zone) else { return Ok(timestamp.in_utc()) };
    match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(found) | MappedLocalTime::Ambiguous(found, _) => Ok(found.to_utc().into()),
        MappedLocalTime::None => {
            let message = format!(
                "{} does not exist in {}: the clocks skipped it. Send the time with its offset, or in UTC with Z",
                local.format("%Y-%m-%dT%H:%M:%S%.f"),
                zone.name()
            );
            Err(Rejection::new(RejectionCode::BadTimestamp, message))
        }
    }
}

/// Returns the instant until which an interval lasts whose end is written so. A device that adds the length of an interval to its
/// start may write a local time that was skipped when clocks were put forward: it is the instant at which they were.
pub fn end(timestamp: Timestamp, zone: Option<Tz>) -> Instant {
    instant(timestamp, zone).unwrap_or_else(|_| {
        let Some((local, zone)) = timestamp.local().zip(zone) else { return timestamp.in_utc() };
        // By the offset of the day before, the clocks would have shown it then.
        let before = zone.offset_from_utc_datetime(&(local - TimeDelta::days(1)));
        let offset_ms = i64::from(before.fix().local_minus_utc()) * 1_000;
        timestamp.in_utc().plus_ms(-offset_ms)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, zone: Option<Tz>) -> Result<String, Rejection> {
        instant(text.parse().unwrap(), zone).map(|instant| instant.to_string())
    }

    #[test]
    fn the_zone_applies_to_timestamps_without_one() {
        for (text, zone, expected) in [
            ("2026-01-10T12:00:00.5", None, "2026-01-10T12:00:00.500Z"),
            ("2026-01-10T12:00:00.5", Some(Tz::America__New_York), "2026-01-10T17:00:00.500Z"),
            ("2026-07-10", Some(Tz::Europe__Berlin), "2026-07-09T22:00:00Z"),
            ("2026-07-10Z", None, ""),
            ("2026-07-10T12:00Z", Some(Tz::Europe__Berlin), "2026-07-10T12:00:00Z"),
            ("2026-07-10T12:00+05:30", Some(Tz::Europe__Berlin), "2026-07-10T06:30:00Z"),
            ("1525164360", Some(Tz::Europe__Berlin), "2018-05-01T08:46:00Z"),
            // Twice: first at +02:00.
            ("2026-10-25T02:30", Some(Tz::Europe__Berlin), "2026-10-25T00:30:00Z"),
        ] {
            if expected.is_empty() {
                assert!(text.parse::<Timestamp>().is_err());
            } else {
                assert_eq!(read(text, zone).as_deref(), Ok(expected), "{text} {zone:?}");
            }
        }
    }

    #[test]
    fn a_time_that_was_skipped_is_rejected() {
        for (text, zone) in [
            ("2026-03-29T02:30", Tz::Europe__Berlin),
            ("2026-03-08T02:00:00.001", Tz::America__New_York),
            ("2011-12-30T12:00", Tz::Pacific__Apia),
        ] {
            let rejection = read(text, Some(zone)).unwrap_err();
            assert_eq!(rejection.code, RejectionCode::BadTimestamp);
            assert!(rejection.message.starts_with(text), "{rejection}");
            assert!(rejection.message.contains(zone.name()), "{rejection}");
        }
    }

    #[test]
    fn an_interval_ends_when_clocks_skip_its_end() {
        for (text, zone, expected) in [
            ("2026-03-29T02:00", Tz::Europe__Berlin, "2026-03-29T01:00:00Z"),
            ("2026-03-08T02:00", Tz::America__New_York, "2026-03-08T07:00:00Z"),
            ("2026-03-08T03:00", Tz::America__New_York, "2026-03-08T07:00:00Z"),
            ("2026-07-01T12:00", Tz::Europe__Berlin, "2026-07-01T10:00:00Z"),
        ] {
            assert_eq!(end(text.parse().unwrap(), Some(zone)).to_string(), expected, "{text}");
        }
        assert_eq!(end("2026-03-29T02:00".parse().unwrap(), None).to_string(), "2026-03-29T02:00:00Z");
    }

    #[test]
    fn an_unknown_zone_is_refused_with_an_example() {
        assert_eq!(parse("Europe/Berlin"), Ok(Tz::Europe__Berlin));
        for name in ["", "Berlin", "CET+1", "UTC+02:00"] {
            assert!(parse(name).unwrap_err().to_string().contains("such as Europe/Berlin"), "{name}");
        }
    }
}
