//! One report as JSON.
//!
//! - a crossing: `{"timestamp": "2018-05-01T08:46:00Z", "direction": 1, "dpu_id": "283", "seq": 0}`
//! - an interval: `{"from": "2018-05-01T08:46:00Z", "to": "2018-05-01T08:47:00Z", "toward": 3, "away": 1, "dpu_id": "283"}`
//! - totals: `{"timestamp": "2018-05-01T08:46:00Z", "total_toward": 4327, "total_away": 4503, "dpu_id": "283"}`
//! - a heartbeat: `{"dpu_id": "283", "heartbeat": true, "battery": 87, "faults": "lens covered"}`
//!
//! The members tell which one it is. The names are the CSV's columns; `ts` and `dpu` mean the same as `timestamp` and `dpu_id`. Senders differ in
//! what they quote, so a serial, a direction and a sequence number may each be a string or a number. An event with a
//! member of another name is rejected.

use std::borrow::Cow;

use entity::shown;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::event::{parse_direction, parse_seq, whole};
use super::report::{Heartbeat, IntervalReport, Report, TotalsReport, parse_flag, parse_people, parse_total};
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

/// Returns what the JSON reports, or what is wrong with it. `serial` is the DPU's if the JSON names none.
pub fn report(json: &[u8], serial: Option<&str>) -> Result<Report, Rejection> {
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
    // Nearly all are crossings.
    match serde_json::from_slice(json) {
        Ok(event) => crossing(event, serial).map(Report::Crossing),
        Err(error) => match serde_json::from_slice(json) {
            Ok(members) => Members(members).report(serial).unwrap_or_else(|| Err(unreadable(&error))),
            Err(_) => Err(unreadable(&error)),
        },
    }
}

fn unreadable(error: &serde_json::Error) -> Rejection {
    malformed(format!("the event cannot be read: {}", reason(error)))
}

fn crossing(event: Event, serial: Option<&str>) -> Result<Crossing, Rejection> {
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
        serial: dpu(event.dpu_id, serial)?.ok_or_else(|| lacks(RejectionCode::Malformed, "dpu_id"))?,
        seq: text(&event.seq).map_or(Ok(0), |seq| parse_seq(&seq))?,
    })
}

fn lacks(thing: &str, name: &str, code: RejectionCode, needed: &str) -> Rejection {
    Rejection::new(code, format!("the {thing} has no {name}: {needed} are required"))
}

/// Returns the serial in the JSON, or else `serial`.
fn dpu(given: Value, serial: Option<&str>) -> Result<Option<String>, Rejection> {
    match given {
        Value::String(serial) => Ok(Some(serial)),
        Value::Number(serial) => number(&serial.to_string()).map(Some),
        Value::Null => Ok(serial.map(str::to_owned)),
        _ => Err(bad_serial()),
    }
}

/// The members of an object that is not a crossing.
struct Members(Map<String, Value>);

/// A kind of report: the members that tell it, all that it has, and what they are called together.
struct Form {
    telling: &'static [&'static str],
    members: &'static [&'static str],
    shown: &'static str,
}

const TOTALS: Form = Form {
    telling: &["total_toward", "total_away"],
    members: &["timestamp", "ts", "total_toward", "total_away", "dpu_id", "dpu", "force"],
    shown: "a reading has timestamp (or ts), total_toward, total_away, dpu_id (or dpu) and force",
};
const INTERVAL: Form = Form {
    telling: &["from", "to", "toward", "away"],
    members: &["from", "to", "toward", "away", "dpu_id", "dpu", "revise"],
    shown: "an interval has from, to, toward, away, dpu_id (or dpu) and revise",
};
const HEARTBEAT: Form = Form {
    telling: &["heartbeat"],
    members: &["heartbeat", "dpu_id", "dpu", "battery", "faults"],
    shown: "a heartbeat has heartbeat, dpu_id (or dpu), battery and faults",
};
const CROSSING: Form = Form {
    telling: &[],
    members: &MEMBERS,
    shown: "an event has timestamp (or ts), direction, dpu_id (or dpu) and seq",
};

impl Members {
    /// Returns the report. Returns `None` if the object has only members that a crossing can have.
    fn report(&self, serial: Option<&str>) -> Option<Result<Report, Rejection>> {
        let is = |form: &Form| form.telling.iter().any(|name| self.0.contains_key(*name));
        if is(&TOTALS) {
            return Some(self.totals(serial).map(Report::Totals));
        }
        if is(&INTERVAL) {
            return Some(self.interval(serial).map(Report::Interval));
        }
        if is(&HEARTBEAT) {
            return Some(self.heartbeat(serial).map(Report::Heartbeat));
        }
        self.only(&CROSSING).err().map(Err)
    }

    fn totals(&self, serial: Option<&str>) -> Result<TotalsReport, Rejection> {
        self.only(&TOTALS)?;
        let needs =
            |name, code| lacks("reading", name, code, "timestamp, total_toward, total_away and dpu_id");
        let total = |name: &'static str| {
            let text = self.text(&[name]).ok_or_else(|| needs(name, RejectionCode::BadTotal))?;
            parse_total(name, &text)
        };
        Ok(TotalsReport {
            ts: self
                .text(&["timestamp", "ts"])
                .ok_or_else(|| needs("timestamp", RejectionCode::BadTimestamp))?
                .parse()?,
            toward: total("total_toward")?,
            away: total("total_away")?,
            force: self.flag("force")?,
            serial: self.serial(serial)?.ok_or_else(|| needs("dpu_id", RejectionCode::Malformed))?,
        })
    }

    fn interval(&self, serial: Option<&str>) -> Result<IntervalReport, Rejection> {
        self.only(&INTERVAL)?;
        let needs = |name, code| lacks("interval", name, code, "from, to, toward, away and dpu_id");
        let given =
            |name: &'static str| self.text(&[name]).ok_or_else(|| needs(name, RejectionCode::BadInterval));
        Ok(IntervalReport {
            from: given("from")?.parse()?,
            to: given("to")?.parse()?,
            toward: parse_people("toward", &given("toward")?)?,
            away: parse_people("away", &given("away")?)?,
            revise: self.flag("revise")?,
            serial: self.serial(serial)?.ok_or_else(|| needs("dpu_id", RejectionCode::Malformed))?,
        })
    }

    fn heartbeat(&self, serial: Option<&str>) -> Result<Heartbeat, Rejection> {
        self.only(&HEARTBEAT)?;
        let needs = |name, code| lacks("heartbeat", name, code, "dpu_id and \"heartbeat\": true");
        if !self.flag("heartbeat")? {
            return Err(malformed("invalid heartbeat: use true"));
        }
        let battery = self.text(&["battery"]).map(|text| {
            let refused = || {
                malformed(format!("invalid battery {}: use a number from 0 to 100, in percent", shown(&text)))
            };
            text.parse::<f64>().map_err(|_| refused())
        });
        let faults = match self.0.get("faults") {
            None | Some(Value::Null) => None,
            Some(Value::Array(faults)) => {
                let named: Vec<_> = faults.iter().filter_map(text).collect();
                Some(named.join(", ")).filter(|faults| !faults.is_empty())
            }
            Some(other) => text(other).map(Cow::into_owned).filter(|faults| !faults.is_empty()),
        };
        let serial = self.serial(serial)?.ok_or_else(|| needs("dpu_id", RejectionCode::Malformed))?;
        Heartbeat { serial, clock: None, battery: battery.transpose()?, faults }.checked()
    }

    /// Refuses members of other names. Ignoring one could lose data: with a misspelt `seq`, two people would count as one.
    fn only(&self, form: &Form) -> Result<(), Rejection> {
        match self.0.keys().find(|name| !form.members.contains(&name.as_str())) {
            Some(unknown) => {
                Err(malformed(format!("unknown member {}: {}, and no others", shown(unknown), form.shown)))
            }
            None => Ok(()),
        }
    }

    fn text(&self, names: &[&str]) -> Option<Cow<'_, str>> {
        names.iter().find_map(|name| text(self.0.get(*name)?))
    }

    fn flag(&self, name: &str) -> Result<bool, Rejection> {
        self.text(&[name]).map_or(Ok(false), |text| parse_flag(name, &text))
    }

    fn serial(&self, serial: Option<&str>) -> Result<Option<String>, Rejection> {
        let given = ["dpu_id", "dpu"].iter().find_map(|name| self.0.get(*name));
        dpu(given.cloned().unwrap_or_default(), serial)
    }
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
        let rejection = report(json.as_bytes(), None).expect_err(json);
        (rejection.code, rejection.message)
    }

    fn crossing(json: &[u8]) -> Result<Crossing, Rejection> {
        match report(json, None)? {
            Report::Crossing(crossing) => Ok(crossing),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_accepted_form_is_the_same_crossing() {
        let expected =
            crossing(br#"{"timestamp":"2018-05-01T08:46:00Z","direction":-1,"dpu_id":"283","seq":0}"#);
        assert!(expected.is_ok());
        for json in [
            r#"{"ts":"2018-05-01T10:46:00+02:00","direction":"-1","dpu":283}"#,
            r#" { "seq" : "0", "dpu_id" : 283, "direction" : "AWAY", "timestamp" : "2018-05-01 08:46" } "#,
            r#"{"timestamp":"2018-05-01T08:46:00Z","direction":-1,"dpu_id":"283","seq":null}"#,
            r#"{"timestamp":1525164360,"direction":-1.0,"dpu_id":283.0,"seq":0.0}"#,
            r#"{"timestamp":1525164360000,"direction":"-1.0","dpu_id":"283","seq":"0"}"#,
            r#"{"timestamp":"2018-05-01 08:46:00 UTC","direction":-1,"dpu_id":"283"}"#,
        ] {
            let found = crossing(json.as_bytes());
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
            assert_eq!(crossing(json.as_bytes()).unwrap().direction, Direction::Toward, "{json}");
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
