//! What a message tells, in the same form whoever sent it.

use std::fmt;

use serde::{Deserialize, Serialize};
use values::{Direction, Instant, Timestamp};

/// A decoded message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// What it reports, in the order in which it does so.
    pub reports: Vec<Report>,
    /// The parts of it that cannot be read. A part of a message that can be read is among the reports all the same.
    pub unreadable: Vec<Unreadable>,
    /// Why there is nothing to count in it, if that is so: it is a connection test, for example.
    pub nothing: Option<&'static str>,
}

/// What one line of a device reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The line: `DEVICE`, or `DEVICE/LINE` where a device can have several.
    pub serial: String,
    /// What it reports.
    #[serde(flatten)]
    pub content: Content,
    /// When a network server received it. `None`: the message does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "instant")]
    pub arrival: Option<Instant>,
    /// Whether the device had kept it, and sends it later or again: it may be much older than its arrival.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_stored: bool,
}

/// What a line reports. Timestamps are those of the device's clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// One person crossed.
    Crossing {
        /// When. `None`: the device has no clock.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_text")]
        ts: Option<Timestamp>,
        /// Whether it was in, towards the device.
        #[serde(with = "sign")]
        direction: Direction,
        /// Distinguishes people who crossed at the same time in the same direction: the same number if it is sent again.
        seq: i32,
    },
    /// So many people crossed during `[from, to)`.
    Interval {
        /// Start, inclusive.
        #[serde(with = "text")]
        from: Timestamp,
        /// End, exclusive.
        #[serde(with = "text")]
        to: Timestamp,
        /// People who went in.
        toward: i64,
        /// People who went out.
        away: i64,
    },
    /// What the counters of the device showed.
    Totals {
        /// When they were read. `None`: the device has no clock.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_text")]
        ts: Option<Timestamp>,
        /// People who went in since the device was started.
        toward: i64,
        /// People who went out since the device was started.
        away: i64,
        /// The width of the counters in bits, after which they show 0 again. `None`: it is not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bits: Option<u8>,
    },
    /// A sign of life.
    Heartbeat {
        /// What the device's clock showed.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_text")]
        ts: Option<Timestamp>,
        /// Charge of the battery in percent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        battery: Option<f64>,
        /// What the device says is wrong with it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        faults: Option<String>,
    },
}

/// What kind of report something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// How many people crossed in an interval.
    Intervals,
    /// Single crossings.
    Crossings,
    /// Running totals.
    Totals,
}

/// Error for a message, or a part of it, that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Unreadable {
    /// The member, row or element, such as `frames[2].time`. Empty: the message as a whole.
    pub place: String,
    /// What is wrong with it, and what is accepted.
    pub reason: String,
}

impl Message {
    /// Returns a message in which there is nothing to count.
    pub fn nothing(why: &'static str) -> Self {
        Self { nothing: Some(why), ..Self::default() }
    }

    /// Adds a report with a time of the device's own clock.
    pub(crate) fn push(&mut self, serial: String, content: Content) {
        self.reports.push(Report::new(serial, content));
    }
}

impl Report {
    /// Returns a report that was sent when it was made.
    pub fn new(serial: impl Into<String>, content: Content) -> Self {
        Self { serial: serial.into(), content, arrival: None, is_stored: false }
    }
}

impl Content {
    /// Returns a sign of life that says nothing more.
    pub const fn alive(ts: Option<Timestamp>) -> Self {
        Self::Heartbeat { ts, battery: None, faults: None }
    }

    /// Returns its kind; `None`: it counts nobody.
    pub const fn kind(&self) -> Option<Kind> {
        match self {
            Self::Crossing { .. } => Some(Kind::Crossings),
            Self::Interval { .. } => Some(Kind::Intervals),
            Self::Totals { .. } => Some(Kind::Totals),
            Self::Heartbeat { .. } => None,
        }
    }

    /// Returns it with its timestamps replaced: the end of an interval by `end`, all others by `at`.
    ///
    /// # Errors
    ///
    /// The first one of `at`.
    pub fn with_times<E>(
        mut self,
        at: impl Fn(Timestamp) -> Result<Timestamp, E>,
        end: impl Fn(Timestamp) -> Timestamp,
    ) -> Result<Self, E> {
        match &mut self {
            Self::Crossing { ts, .. } | Self::Totals { ts, .. } | Self::Heartbeat { ts, .. } => {
                *ts = ts.map(at).transpose()?;
            }
            Self::Interval { from, to, .. } => (*from, *to) = (at(*from)?, end(*to)),
        }
        Ok(self)
    }

    /// Returns what the device's clock showed at its end.
    pub const fn ts(&self) -> Option<Timestamp> {
        match self {
            Self::Crossing { ts, .. } | Self::Totals { ts, .. } | Self::Heartbeat { ts, .. } => *ts,
            Self::Interval { to, .. } => Some(*to),
        }
    }
}

impl Unreadable {
    /// Returns that something at a place is wrong.
    pub fn at(place: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self { place: place.into(), reason: reason.to_string() }
    }

    /// Returns that the message as a whole cannot be read.
    pub fn whole(reason: impl fmt::Display) -> Self {
        Self::at("", reason)
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(formatter, "{}: ", self.place)?;
        }
        formatter.write_str(&self.reason)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// A timestamp as text.
mod text {
    use serde::{Deserialize, Deserializer, Serializer, de};
    use values::Timestamp;

    pub(super) fn serialize<S: Serializer>(ts: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(ts)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A timestamp as text, if there is one.
mod optional_text {
    use serde::{Deserializer, Serializer};
    use values::Timestamp;

    #[expect(clippy::ref_option, reason = "serde passes a reference")]
    pub(super) fn serialize<S: Serializer>(ts: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        match ts {
            Some(ts) => super::text::serialize(ts, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        super::text::deserialize(deserializer).map(Some)
    }
}

/// An instant as text, if there is one.
mod instant {
    use serde::{Deserialize, Deserializer, Serializer, de};
    use values::Instant;

    #[expect(clippy::ref_option, reason = "serde passes a reference")]
    pub(super) fn serialize<S: Serializer>(ts: &Option<Instant>, serializer: S) -> Result<S::Ok, S::Error> {
        match ts {
            Some(ts) => serializer.collect_str(ts),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Instant>, D::Error> {
        String::deserialize(deserializer)?.parse().map(Some).map_err(de::Error::custom)
    }
}

/// A direction as its sign.
mod sign {
    use serde::{Deserialize, Deserializer, Serializer, de};
    use values::Direction;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn serialize<S: Serializer>(direction: &Direction, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i16(direction.sign())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Direction, D::Error> {
        Direction::from_sign(i64::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_stored_as_json_and_comes_back() {
        let ts = |text: &str| text.parse::<Timestamp>().unwrap();
        for (content, json) in [
            (
                Content::Crossing { ts: Some(ts("2026-01-10T12:00")), direction: Direction::Away, seq: 7 },
                r#"{"serial":"A/1","crossing":{"ts":"2026-01-10T12:00:00","direction":-1,"seq":7}}"#,
            ),
            (
                Content::Interval { from: ts("2026-01-10"), to: ts("2026-01-10T12:00Z"), toward: 3, away: 0 },
                r#"{"serial":"A/1","interval":{"from":"2026-01-10","to":"2026-01-10T12:00:00Z","toward":3,"away":0}}"#,
            ),
            (
                Content::Totals { ts: None, toward: 3, away: 4, bits: Some(16) },
                r#"{"serial":"A/1","totals":{"toward":3,"away":4,"bits":16}}"#,
            ),
            (Content::alive(None), r#"{"serial":"A/1","heartbeat":{}}"#),
        ] {
            let report = Report::new("A/1", content);
            assert_eq!(serde_json::to_string(&report).unwrap(), json);
            assert_eq!(serde_json::from_str::<Report>(json).unwrap(), report);
        }
        let stored = Report {
            arrival: Some(Instant::from_ms(0)),
            is_stored: true,
            ..Report::new("A", Content::alive(None))
        };
        let json = serde_json::to_string(&stored).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), stored);
    }
}
