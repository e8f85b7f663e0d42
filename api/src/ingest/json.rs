//! One event as JSON: `{"timestamp": "2018-05-01T08:46:00Z", "direction": 1, "dpu_id": "283", "seq": 0}`.
//!
//! The names are the CSV's columns; `ts` and `dpu` mean the same as `timestamp` and `dpu_id`. Senders differ in
//! what they quote, so a serial, a direction and a sequence number may each be a string or a number. An event with a
//! member of another name is rejected.

use std::borrow::Cow;

use entity::shown;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::event::{parse_direction, parse_seq, whole};
use super::{Crossing, Rejection, RejectionCode};

pub const EVENT_BYTES_MAX: usize = 64 * 1024;

/// The members of an event. `ts` and `dpu` are other names of `timestamp` and `dpu_id`.
const MEMBERS: [&str; 6] = ["timestamp", "ts", "direction", "dpu_id", "dpu", "seq"];

/// An event whose values are not parsed yet, so that an error can name the member.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
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

/// Returns the crossing that the JSON reports, or what is wrong with it. `serial` is the DPU's if the JSON names none.
pub fn crossing(json: &[u8], serial: Option<&str>) -> Result<Crossing, Rejection> {
    if json.len() > EVENT_BYTES_MAX {
        return Err(malformed(format!("the event is longer than {EVENT_BYTES_MAX} bytes")));
    }
    // A derived `Deserialize` would take an array's elements for the fields in their order.
    if json.trim_ascii_start().first() != Some(&b'{') {
        return Err(malformed(
            "the event is not a JSON object such as \
             {\"timestamp\": \"2018-05-01T08:46:00Z\", \"direction\": 1, \"dpu_id\": \"283\"}",
        ));
    }
    let event: Event = serde_json::from_slice(json).map_err(|error| {
        unknown_member(json)
            .unwrap_or_else(|| malformed(format!("the event cannot be read: {}", reason(&error))))
    })?;
    let lacks = |code, name| {
        let message =
            format!("the event has no {name}: timestamp, direction and dpu_id are required, seq is optional");
        Rejection::new(code, message)
    };
    Ok(Crossing {
        ts: text(&event.timestamp).ok_or_else(|| lacks(RejectionCode::BadTimestamp, "timestamp"))?.parse()?,
        direction: parse_direction(
            &text(&event.direction).ok_or_else(|| lacks(RejectionCode::BadDirection, "direction"))?,
        )?,
        serial: match event.dpu_id {
            Value::String(serial) => serial,
            Value::Number(serial) => number(&serial.to_string())?,
            Value::Null => serial.ok_or_else(|| lacks(RejectionCode::Malformed, "dpu_id"))?.to_owned(),
            _ => return Err(bad_serial()),
        },
        seq: text(&event.seq).map_or(Ok(0), |seq| parse_seq(&seq))?,
    })
}

/// Returns a rejection if the object has an unknown member. Ignoring one could lose data: with a misspelt `seq`, two
/// people would count as one.
fn unknown_member(json: &[u8]) -> Option<Rejection> {
    let members: Map<String, Value> = serde_json::from_slice(json).ok()?;
    let unknown = members.keys().find(|name| !MEMBERS.contains(&name.as_str()))?;
    Some(malformed(format!(
        "unknown member {}: an event has timestamp (or ts), direction, dpu_id (or dpu) and seq, and no others",
        shown(unknown)
    )))
}

/// Returns the serial that a number stands for.
fn number(text: &str) -> Result<String, Rejection> {
    let whole = whole(text);
    let is_whole = whole.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if is_whole { Ok(whole.to_owned()) } else { Err(bad_serial()) }
}

fn bad_serial() -> Rejection {
    malformed("invalid dpu_id: use the DPU's serial, a string or a whole number")
}

/// Returns the value as it would be written in a CSV; `None` for null.
fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.into()),
        other => Some(other.to_string().into()),
    }
}

fn malformed(message: impl Into<String>) -> Rejection {
    Rejection::new(RejectionCode::Malformed, message)
}

/// Returns the parser's message without its position, which counts from the start of the event, not of the body.
pub(super) fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use entity::event::Direction;

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
            r#"{"timestamp":"2018-05-01T08:46:00Z","direction":-1,"dpu_id":"283","seq":null}"#,
            r#"{"timestamp":1525164360,"direction":-1.0,"dpu_id":283.0,"seq":0.0}"#,
            r#"{"timestamp":1525164360000,"direction":"-1.0","dpu_id":"283","seq":"0"}"#,
            r#"{"timestamp":"2018-05-01 08:46:00 UTC","direction":-1,"dpu_id":"283"}"#,
        ] {
            let found = crossing(json.as_bytes(), None);
            let instant = |crossing: &Crossing| crossing.ts.in_utc();
            assert_eq!(found.as_ref().map(instant), expected.as_ref().map(instant), "{json}");
            let ts = entity::Instant::MIN.into();
            assert_eq!(
                found.map(|crossing| Crossing { ts, ..crossing }),
                expected.clone().map(|crossing| Crossing { ts, ..crossing }),
                "{json}"
            );
        }
        for toward in ["1", "1.0", r#""1""#, r#""+1""#, r#""TOWARD""#] {
            let json = format!(r#"{{"ts":"2018-05-01","direction":{toward},"dpu":"283"}}"#);
            assert_eq!(crossing(json.as_bytes(), None).unwrap().direction, Direction::Toward, "{json}");
        }
    }

    #[test]
    fn an_invalid_event_is_rejected_with_the_code_and_the_member() {
        use RejectionCode::{BadDirection, BadSeq, BadTimestamp, Malformed};

        let with = |key: &str, value: &str| {
            let mut event = serde_json::json!({ "timestamp": "2018-05-01", "direction": 1, "dpu_id": "283" });
            event[key] = serde_json::from_str(value).unwrap();
            event.to_string()
        };
        for (json, code, message) in [
            (with("direction", "0"), BadDirection, "invalid direction \"0\""),
            (with("direction", "2"), BadDirection, "invalid direction \"2\""),
            (with("direction", "1.5"), BadDirection, "invalid direction \"1.5\""),
            (with("direction", "true"), BadDirection, "invalid direction \"true\""),
            (with("direction", "\"x\""), BadDirection, "invalid direction \"x\""),
            (with("direction", "null"), BadDirection, "the event has no direction"),
            (with("timestamp", "null"), BadTimestamp, "the event has no timestamp"),
            (with("timestamp", "152516436"), BadTimestamp, "\"152516436\" is not a timestamp"),
            (
                with("count", "12"),
                Malformed,
                "unknown member \"count\": an event has timestamp (or ts), direction,",
            ),
            (with("Seq", "1"), Malformed, "unknown member \"Seq\""),
            (with(&"x".repeat(1000), "1"), Malformed, "xxx\"…: an event has"),
            (with("dpu_id", "null"), Malformed, "the event has no dpu_id"),
            (with("dpu_id", "2.5"), Malformed, "a string or a whole number"),
            (with("dpu_id", "[]"), Malformed, "a string or a whole number"),
            (with("seq", "-1"), BadSeq, "invalid seq \"-1\": use a whole number from 0 to 2147483647"),
            (with("seq", "1.5"), BadSeq, "invalid seq \"1.5\""),
            (with("seq", "2147483648"), BadSeq, "invalid seq \"2147483648\""),
            (String::new(), Malformed, "the event is not a JSON object such as"),
            ("[\"2018-05-01\",1,\"283\",0]".to_owned(), Malformed, "the event is not a JSON object such as"),
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
