//! Reads JSON of devices, which write numbers as strings, times as numbers, and several documents one after the other.

use std::fmt;

use serde::de::{DeserializeOwned, Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use values::Timestamp;

use crate::report::Unreadable;

/// Reads all documents of a message. A document may be an array of several.
pub(crate) fn documents<T: DeserializeOwned>(message: &[u8]) -> Result<Vec<T>, Unreadable> {
    let text = message.strip_prefix(b"\xef\xbb\xbf").unwrap_or(message).trim_ascii();
    match text.first() {
        None => return Err(Unreadable::whole("the message is empty")),
        Some(b'{' | b'[') => {}
        Some(_) => {
            return Err(Unreadable::whole("the message is not JSON: send an object, or an array of objects"));
        }
    }
    let mut found = Vec::new();
    for document in serde_json::Deserializer::from_slice(text).into_iter::<Value>() {
        match document.map_err(Unreadable::whole)? {
            Value::Array(several) => {
                for (index, one) in several.iter().enumerate() {
                    found.push(part(&format!("[{index}]"), one)?);
                }
            }
            one => found.push(part("", &one)?),
        }
    }
    Ok(found)
}

/// Reads a part of a message, of which `place` is the place.
pub(crate) fn part<T: DeserializeOwned>(place: &str, value: &Value) -> Result<T, Unreadable> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let inner = if path == "." { "" } else { &path };
        let dot = if place.is_empty() || inner.is_empty() { "" } else { "." };
        Unreadable::at(format!("{place}{dot}{inner}"), error.inner())
    })
}

/// A whole number of 0 or more, written as a number or as digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Number(pub(crate) i64);

/// A name, written as a string or a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(pub(crate) String);

/// A time: seconds or milliseconds since 1970 as a number or as digits, or ISO-8601.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) Timestamp);

/// Maximum length of a name, in characters. A serial is copied into every report of its device.
const NAME_CHARACTERS_MAX: usize = 200;

/// Returns whether a text can be a name.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().nth(NAME_CHARACTERS_MAX).is_none()
}

impl Number {
    /// Returns it as a sequence number of a crossing: its lowest 31 bits.
    pub(crate) fn seq(self) -> i32 {
        i32::try_from(self.0 & i64::from(i32::MAX)).unwrap_or_default()
    }
}

/// What a number or a string is read as.
struct Scalar<T> {
    expected: &'static str,
    read: fn(&str) -> Option<T>,
}

impl<T> Visitor<'_> for Scalar<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.read)(text.trim()).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        (self.read)(&number.to_string()).ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        (self.read)(&number.to_string()).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        (self.read)(&number.to_string()).ok_or_else(|| E::invalid_value(Unexpected::Float(number), &self))
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = |text: &str| {
            let whole = text.strip_suffix(".0").unwrap_or(text);
            whole.parse().ok().filter(|number| *number >= 0).map(Self)
        };
        deserializer.deserialize_any(Scalar { expected: "a whole number of 0 or more", read })
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = |text: &str| is_name(text).then(|| Self(text.to_owned()));
        deserializer.deserialize_any(Scalar { expected: "a name of 1 to 200 characters", read })
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "seconds or milliseconds since 1970, or a time such as 2018-05-01T08:46:00Z";
        deserializer.deserialize_any(Scalar { expected, read: |text| text.parse().ok().map(Self) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Some {
        number: Number,
        name: Name,
        time: Time,
    }

    #[test]
    fn numbers_names_and_times_are_read_however_they_are_written() {
        let time = Time("2018-05-01T08:46:00Z".parse().unwrap());
        let expected = Some { number: Number(7), name: Name("4".to_owned()), time };
        let message = br#"
            {"number": 7, "name": "4", "time": 1525164360}{"number": "7", "name": 4, "time": "1525164360000"}
            [{"number": 7.0, "name": 4, "time": "2018-05-01T10:46:00+02:00"}]"#;
        assert_eq!(
            documents::<Some>(message).unwrap(),
            [(); 3].map(|()| Some { name: expected.name.clone(), ..expected })
        );
    }

    #[test]
    fn an_error_names_the_member() {
        for (message, expected) in [
            (
                r#"{"number": -1}"#,
                "number: invalid value: integer `-1`, expected a whole number of 0 or more",
            ),
            (
                r#"[{"number": 1, "name": []}]"#,
                "[0].name: invalid type: sequence, expected a name of 1 to 200",
            ),
            (
                r#"{"number": 1, "name": 1, "time": 7}"#,
                "time: invalid value: integer `7`, expected seconds or",
            ),
            ("{}", "missing field `number`"),
            ("{", "EOF while parsing an object at line 1 column 1"),
            (" ", "the message is empty"),
            ("<a>", "the message is not JSON"),
            (r#"{"number": 1, "name": 1, "time": 1525164360} x"#, "expected value at line 1"),
        ] {
            let error = documents::<Some>(message.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{message}: {error}");
        }
    }
}
