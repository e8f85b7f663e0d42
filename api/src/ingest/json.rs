//! One event as JSON: `{"timestamp": "2018-05-01T08:46:00Z", "direction": 1, "dpu_id": "283", "seq": 0}`.
//!
//! The names are the CSV's columns; `ts` and `dpu` mean the same as `timestamp` and `dpu_id`. Senders differ in
//! what they quote, so a serial, a direction and a sequence number may each be a string or a number. Keys that
//! nobody knows are ignored.

use std::borrow::Cow;

use entity::event::Direction;
use serde::Deserialize;
use serde_json::Value;

use super::event::parse_seq;
use super::{Crossing, Rejection, RejectionCode};

/// The longest event that is read, in bytes.
pub const EVENT_BYTES_MAX: usize = 64 * 1024;

/// An event before anybody has looked at its values, so that what is wrong with one is told by its name.
#[derive(Deserialize)]
struct Event {
    #[serde(default, alias = "ts")]
    timestamp: Value,
    #[serde(default)]
    direction: Value,
    #[serde(default, alias = "dpu")]
    dpu_id: Value,
    #[serde(default)]
    seq: Value,
}

/// The crossing that the JSON reports, or what is wrong with it. Where it names no DPU it is `serial`'s.
pub fn crossing(json: &[u8], serial: Option<&str>) -> Result<Crossing, Rejection> {
    if json.len() > EVENT_BYTES_MAX {
        return Err(malformed(format!("the event is longer than {EVENT_BYTES_MAX} bytes")));
    }
    // A derived `Deserialize` would take an array's elements for the fields in their order.
    if json.trim_ascii_start().first() != Some(&b'{') {
        return Err(malformed(
            "an event is a JSON object such as {\"timestamp\": \"2018-05-01T08:46:00Z\", \"direction\": 1, \"dpu_id\": \"283\"}",
        ));
    }
    let event: Event = serde_json::from_slice(json)
        .map_err(|error| malformed(format!("the event cannot be read: {}", reason(&error))))?;
    let lacks = |code, name| {
        let message =
            format!("the event has no {name}: timestamp, direction and dpu_id are needed, seq may be given");
        Rejection::new(code, message)
    };
    Ok(Crossing {
        ts: text(&event.timestamp).ok_or_else(|| lacks(RejectionCode::BadTimestamp, "timestamp"))?.parse()?,
        direction: direction(
            &text(&event.direction).ok_or_else(|| lacks(RejectionCode::BadDirection, "direction"))?,
        )?,
        serial: match event.dpu_id {
            Value::String(serial) => serial,
            Value::Number(serial) if serial.is_i64() || serial.is_u64() => serial.to_string(),
            Value::Null => serial.ok_or_else(|| lacks(RejectionCode::Malformed, "dpu_id"))?.to_owned(),
            _ => return Err(malformed("dpu_id is a DPU's serial: a string or a whole number")),
        },
        seq: text(&event.seq).map_or(Ok(0), |seq| parse_seq(&seq))?,
    })
}

/// The value as it would stand in a CSV; `None`: there is none.
fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.into()),
        other => Some(other.to_string().into()),
    }
}

/// As a number, or by the name that GraphQL gives it.
fn direction(text: &str) -> Result<Direction, Rejection> {
    match text {
        "TOWARD" => Ok(Direction::Toward),
        "AWAY" => Ok(Direction::Away),
        number => number.parse().map_err(|_| Rejection::bad_direction(number)),
    }
}

fn malformed(message: impl Into<String>) -> Rejection {
    Rejection::new(RejectionCode::Malformed, message)
}

/// What the parser says, without the place: it counts from the start of one event, not of the body.
pub(super) fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejection(json: &str) -> (RejectionCode, String) {
        let rejection = crossing(json.as_bytes(), None).expect_err(json);
        (rejection.code, rejection.message)
    }

    #[test]
    fn every_accepted_form_is_the_same_crossing() {
        let expected =
            crossing(br#"{"timestamp":"2018-05-01T08:46:00Z","direction":-1,"dpu_id":"283","seq":0}"#, None);
        assert!(expected.is_ok());
        for json in [
            r#"{"ts":"2018-05-01T10:46:00+02:00","direction":"-1","dpu":283}"#,
            r#" { "seq" : "0", "dpu_id" : 283, "direction" : "AWAY", "timestamp" : "2018-05-01 08:46" } "#,
            r#"{"timestamp":"2018-05-01T08:46:00Z","direction":-1,"dpu_id":"283","seq":null,"door":{"a":[1]}}"#,
        ] {
            assert_eq!(crossing(json.as_bytes(), None), expected, "{json}");
        }
        for toward in ["1", r#""1""#, r#""+1""#, r#""TOWARD""#] {
            let json = format!(r#"{{"ts":"2018-05-01","direction":{toward},"dpu":"283"}}"#);
            assert_eq!(crossing(json.as_bytes(), None).unwrap().direction, Direction::Toward, "{json}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_by_its_code_and_name() {
        use RejectionCode::{BadDirection, BadSeq, BadTimestamp, Malformed};

        let with = |key: &str, value: &str| {
            let mut event = serde_json::json!({ "timestamp": "2018-05-01", "direction": 1, "dpu_id": "283" });
            event[key] = serde_json::from_str(value).unwrap();
            event.to_string()
        };
        for (json, code, message) in [
            (with("direction", "0"), BadDirection, "the direction \"0\" is not one"),
            (with("direction", "2"), BadDirection, "the direction \"2\" is not one"),
            (with("direction", "1.0"), BadDirection, "the direction \"1.0\" is not one"),
            (with("direction", "true"), BadDirection, "the direction \"true\" is not one"),
            (with("direction", "\"x\""), BadDirection, "the direction \"x\" is not one"),
            (with("direction", "null"), BadDirection, "the event has no direction"),
            (with("timestamp", "null"), BadTimestamp, "the event has no timestamp"),
            (with("timestamp", "1525164360"), BadTimestamp, "\"1525164360\" is not a timestamp"),
            (with("dpu_id", "null"), Malformed, "the event has no dpu_id"),
            (with("dpu_id", "2.5"), Malformed, "a string or a whole number"),
            (with("dpu_id", "[]"), Malformed, "a string or a whole number"),
            (with("seq", "-1"), BadSeq, "seq \"-1\" is not a whole number from 0 to 2147483647"),
            (with("seq", "1.5"), BadSeq, "seq \"1.5\" is not"),
            (with("seq", "2147483648"), BadSeq, "seq \"2147483648\" is not"),
            (String::new(), Malformed, "an event is a JSON object such as"),
            ("[\"2018-05-01\",1,\"283\",0]".to_owned(), Malformed, "an event is a JSON object such as"),
            ("{\"ts\":".to_owned(), Malformed, "the event cannot be read: EOF while parsing a value"),
            (r#"{"ts":"2018-05-01","timestamp":"2018-05-02"}"#.to_owned(), Malformed, "duplicate field"),
            (format!("{{\"seq\":{}", "[".repeat(10_000)), Malformed, "recursion limit exceeded"),
            (
                with("dpu_id", &format!("{:?}", "1".repeat(EVENT_BYTES_MAX))),
                Malformed,
                "longer than 65536 bytes",
            ),
        ] {
            let (found, text) = rejection(&json);
            assert_eq!(found, code, "{json}");
            assert!(text.contains(message), "{text}");
        }
    }
}
