//! Scalars of the schema.

use async_graphql::{InputType, InputValueError, InputValueResult, Scalar, ScalarType, Value};
use chrono::{Datelike, NaiveDate, NaiveTime, Timelike};
use entity::{Instant, ParseInstantError, Timestamp, shown};

use super::error::{Fault, Result};

/// An instant. An invalid text is kept until a resolver reads it, which can then reject one field or one event instead
/// of the whole request.
#[derive(Clone, Debug)]
pub(super) struct DateTime(std::result::Result<Timestamp, ParseInstantError>);

/// A calendar day. An invalid text is kept as for [`DateTime`].
#[derive(Clone, Debug)]
pub(super) struct LocalDate(std::result::Result<NaiveDate, String>);

/// A time of day. An invalid text is kept as for [`DateTime`].
#[derive(Clone, Debug)]
pub(super) struct LocalTime(std::result::Result<NaiveTime, String>);

impl DateTime {
    /// Returns the timestamp as it was written, or why it is invalid.
    pub(super) fn written(self) -> std::result::Result<Timestamp, ParseInstantError> {
        self.0
    }

    /// Returns the instant, or why it is invalid.
    pub(super) fn parsed(self) -> std::result::Result<Instant, ParseInstantError> {
        self.0.map(Timestamp::in_utc)
    }

    /// Returns the timestamp as it was written, or an error that names the argument.
    pub(super) fn timestamp(self, name: &str) -> Result<Timestamp> {
        self.written().map_err(|error| Fault::BadInput(format!("{name}: {error}")))
    }

    /// Returns the instant, or an error that names the argument.
    pub(super) fn argument(self, name: &str) -> Result<Instant> {
        self.parsed().map_err(|error| Fault::BadInput(format!("{name}: {error}")))
    }
}

impl LocalDate {
    /// Returns the day, or why it is invalid.
    pub(super) fn parsed(self) -> std::result::Result<NaiveDate, String> {
        self.0
    }
}

impl LocalTime {
    /// Returns the time of day, or why it is invalid.
    pub(super) fn parsed(self) -> std::result::Result<NaiveTime, String> {
        self.0
    }
}

impl From<Instant> for DateTime {
    fn from(instant: Instant) -> Self {
        Self(Ok(instant.into()))
    }
}

impl From<NaiveDate> for LocalDate {
    fn from(date: NaiveDate) -> Self {
        Self(Ok(date))
    }
}

impl From<NaiveTime> for LocalTime {
    fn from(time: NaiveTime) -> Self {
        Self(Ok(time))
    }
}

/// An instant, to the millisecond. Written in UTC with `Z`, without a fraction when it is zero and with three digits
/// otherwise. Read as ISO-8601: a date, or a date and a time, with `Z`, an offset, or neither (then UTC; for an event,
/// the time zone of its DPU). A string of ten digits is seconds since 1970; a string of thirteen is milliseconds.
#[Scalar(name = "DateTime")]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        Ok(Self(text("a timestamp", value)?.parse()))
    }

    fn to_value(&self) -> Value {
        written(&self.clone().parsed())
    }
}

/// A calendar day, `YYYY-MM-DD`.
#[Scalar(name = "LocalDate")]
impl ScalarType for LocalDate {
    fn parse(value: Value) -> InputValueResult<Self> {
        let text = text("a day", value)?;
        let strict = text.len() == "YYYY-MM-DD".len();
        let date = NaiveDate::parse_from_str(&text, "%Y-%m-%d").ok().filter(|date| strict && date.year() > 0);
        Ok(Self(
            date.ok_or_else(|| format!("invalid day {}: use YYYY-MM-DD, such as 2026-03-01", shown(&text))),
        ))
    }

    fn to_value(&self) -> Value {
        written(&self.0)
    }
}

/// A time of day in a local time zone, `hh:mm` or `hh:mm:ss`. Written with seconds.
#[Scalar(name = "LocalTime")]
impl ScalarType for LocalTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        let text = text("a time of day", value)?;
        let format = match text.len() {
            5 => "%H:%M",
            8 => "%H:%M:%S",
            _ => "",
        };
        // A leap second does not occur every day.
        let time = NaiveTime::parse_from_str(&text, format).ok().filter(|time| time.nanosecond() == 0);
        Ok(Self(time.ok_or_else(|| {
            format!("invalid time of day {}: use hh:mm or hh:mm:ss, such as 04:00", shown(&text))
        })))
    }

    fn to_value(&self) -> Value {
        written(&self.0)
    }
}

fn text<T: InputType>(thing: &str, value: Value) -> std::result::Result<String, InputValueError<T>> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(InputValueError::custom(format!("{thing} must be a string, not {other}"))),
    }
}

fn written<T: ToString, E>(value: &std::result::Result<T, E>) -> Value {
    value.as_ref().map_or(Value::Null, |value| Value::String(value.to_string()))
}
