//! Milesight VS121-P, VS125 and VS135 over HTTP or MQTT, and webhooks of the Milesight Development Platform.
//!
//! A sensor has several lines, each `SENSOR/LINE`. It reports the same people in up to three ways: as crossings
//! (`line_trigger_data`), as people in an interval (`line_periodic_data`) and as totals (`line_total_data`). Groups,
//! children, staff and genders are parts of these people, and regions count who is there: none of them counts.
//!
//! Sensors write `-00:00` after local times, which says that the zone is not known. Where the zone is a text such as
//! `UTC+8:00`, it is that of times without one.
//!
//! The webhook of the Development Platform has payloads of LoRaWAN devices, which [`lorawan`] reads.

use chrono::{NaiveDateTime, TimeDelta};
use serde::Deserialize;
use serde_json::{Map, Value};
use values::{Direction, Instant, Timestamp};

use crate::json::{self, Name, Number, Time};
use crate::lorawan::{self, Uplink};
use crate::report::{Content, Message, Report, Unreadable};
use crate::settings::Settings;

/// Number of people at most who cross a line at once.
const CROSSINGS_MAX: i64 = 1_000;

#[derive(Deserialize)]
struct Push {
    #[serde(default)]
    device_info: Map<String, Value>,
    #[serde(default)]
    time_info: Map<String, Value>,
    line_trigger_data: Option<Vec<Value>>,
    line_periodic_data: Option<Vec<Value>>,
    line_total_data: Option<Vec<Value>>,
    #[serde(rename = "isRetransmission")]
    is_retransmission: Option<Value>,
}

#[derive(Deserialize)]
struct Counted {
    r#in: Number,
    out: Number,
}

#[derive(Deserialize)]
struct CountedSoFar {
    in_counted: Number,
    out_counted: Number,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Webhook {
    event_created_time: Option<Time>,
    event_type: String,
    #[serde(default)]
    data: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    #[serde(default)]
    device_profile: Map<String, Value>,
    r#type: String,
    #[serde(default)]
    payload: Value,
}

pub(crate) fn decode(message: &[u8], settings: &Settings) -> Result<Message, Unreadable> {
    let room = CROSSINGS_MAX.saturating_add(i64::try_from(message.len() / 16).unwrap_or(i64::MAX));
    let mut decoder = Decoder { settings, message: Message::default(), room };
    let mut nothing = None;
    for document in json::documents::<Map<String, Value>>(message)? {
        let has = |member| document.contains_key(member);
        if has("eventType") {
            // The webhook sends messages of several devices at once.
            match decoder.webhook(document) {
                Ok(why) => nothing = nothing.or(why),
                Err(error) => decoder.message.unreadable.push(error),
            }
        } else if has("device_info") || has("time_info") {
            nothing = nothing.or(decoder.push(document)?);
        } else {
            return Err(Unreadable::whole(
                "none of the members of Milesight is there: accepted are device_info and time_info of a sensor, and \
                 eventType and data of the Development Platform",
            ));
        }
    }
    let Message { reports, unreadable, .. } = decoder.message;
    let is_empty = reports.is_empty() && unreadable.is_empty();
    let nothing = is_empty.then(|| nothing.unwrap_or("it holds no message"));
    Ok(Message { reports, unreadable, nothing })
}

/// What has been decoded so far.
struct Decoder<'a> {
    settings: &'a Settings,
    message: Message,
    /// Number of crossings that may be added, so that a short message cannot make many.
    room: i64,
}

impl Decoder<'_> {
    /// Reads a message of a sensor, or returns why there is nothing to count in it.
    fn push(&mut self, document: Map<String, Value>) -> Result<Option<&'static str>, Unreadable> {
        let Push {
            device_info,
            time_info,
            line_trigger_data,
            line_periodic_data,
            line_total_data,
            is_retransmission,
        } = json::part("", &Value::Object(document))?;
        let [triggered, periodic, totals] =
            [line_trigger_data, line_periodic_data, line_total_data].map(Option::unwrap_or_default);
        if triggered.is_empty() && periodic.is_empty() && totals.is_empty() {
            return Ok(Some("it holds no count of a line"));
        }
        let device = named(&device_info, "device_info", ["device_sn", "device_mac"], self.settings)?;
        let times = Times { info: &time_info };
        let is_stored = is_retransmission.is_some_and(|flag| is_true(&flag));

        self.lines(&device, "line_trigger_data", &triggered, is_stored, |decoder, place, counts| {
            let ts = times.required(&["time", "trigger_time"])?;
            decoder.crossings(place, counts, ts)
        });
        self.lines(&device, "line_periodic_data", &periodic, is_stored, |_, place, counts| {
            let Counted { r#in: Number(toward), out: Number(away) } = json::part(place, counts)?;
            let from = times.required(&["start_time"])?;
            let to = times.required(&["end_time"])?;
            Ok(vec![Content::Interval { from, to, toward, away }])
        });
        self.lines(&device, "line_total_data", &totals, is_stored, |_, place, counts| {
            let CountedSoFar { in_counted: Number(toward), out_counted: Number(away) } =
                json::part(place, counts)?;
            let ts = times.first(&["end_time", "time", "trigger_time"])?;
            Ok(vec![Content::Totals { ts, toward, away, bits: None }])
        });
        Ok(None)
    }

    /// Reads a list of lines.
    fn lines(
        &mut self,
        device: &str,
        member: &str,
        lines: &[Value],
        is_stored: bool,
        read: impl Fn(&mut Self, &str, &Value) -> Result<Vec<Content>, Unreadable>,
    ) {
        for (index, line) in lines.iter().enumerate() {
            let place = format!("{member}[{index}]");
            let number = line.get("line").unwrap_or(&Value::Null);
            let contents = json::part::<Name>(&format!("{place}.line"), number).and_then(|Name(number)| {
                // Some versions write the counts beside the number of the line.
                let contents = match line.get("total").filter(|total| !total.is_null()) {
                    Some(total) => read(self, &format!("{place}.total"), total),
                    None => read(self, &place, line),
                };
                Ok((number, contents?))
            });
            match contents {
                Ok((number, contents)) => self.message.reports.extend(contents.into_iter().map(|content| {
                    Report { is_stored, ..Report::new(format!("{device}/{number}"), content) }
                })),
                Err(error) => self.message.unreadable.push(error),
            }
        }
    }

    /// Returns the crossings of a line at one time, or a sign of life if there are none.
    fn crossings(&mut self, place: &str, counts: &Value, ts: Timestamp) -> Result<Vec<Content>, Unreadable> {
        let Counted { r#in: Number(toward), out: Number(away) } = json::part(place, counts)?;
        let mut crossings = Vec::new();
        for (member, number, direction) in [("in", toward, Direction::Toward), ("out", away, Direction::Away)]
        {
            if number > CROSSINGS_MAX.min(self.room) {
                return Err(Unreadable::at(
                    format!("{place}.{member}"),
                    format_args!("{number} people crossed at once: at most {CROSSINGS_MAX} are accepted"),
                ));
            }
            self.room -= number;
            let number = i32::try_from(number).unwrap_or_default();
            crossings.extend((0..number).map(|seq| Content::Crossing { ts: Some(ts), direction, seq }));
        }
        if crossings.is_empty() {
            crossings.push(Content::alive(Some(ts)));
        }
        Ok(crossings)
    }

    /// Reads a webhook, or returns why there is nothing to count in it.
    fn webhook(&mut self, document: Map<String, Value>) -> Result<Option<&'static str>, Unreadable> {
        let Webhook { event_created_time, event_type, data } = json::part("", &Value::Object(document))?;
        if event_type != "DEVICE_DATA" {
            return Ok(Some("it is not data of a device"));
        }
        let arrival = event_created_time.map(|Time(ts)| ts.in_utc());
        let Data { device_profile, r#type, payload } = json::part("data", &data)?;
        if r#type == "OFFLINE" {
            return Ok(Some("the device is offline"));
        }
        let place = "data.deviceProfile";
        let device = named(&device_profile, place, ["devEUI", "sn"], self.settings)?;
        match (r#type.as_str(), &payload) {
            ("PROPERTY", Value::Object(payload)) => {
                let uplink = Uplink { device: &device, arrival, place: "data.payload", payload };
                lorawan::reports(&uplink, self.settings, &mut self.message);
            }
            ("PROPERTY", _) => {
                self.message.unreadable.push(Unreadable::at("data.payload", "it is not an object"));
            }
            _ => {
                let faults = payload.as_object().and_then(lorawan::faults);
                let content = Content::Heartbeat { ts: None, battery: None, faults };
                self.message.reports.push(Report { arrival, ..Report::new(device, content) });
            }
        }
        Ok(None)
    }
}

/// Returns the device that the first of two members names, or else the one of the settings.
fn named(
    info: &Map<String, Value>,
    place: &str,
    members: [&str; 2],
    settings: &Settings,
) -> Result<String, Unreadable> {
    let name = |member: &str| json::part::<Name>("", info.get(member)?).ok();
    let name = members.into_iter().find_map(name);
    settings.device(&format!("{place}.{}", members[0]), name)
}

/// Whether a flag is set, written as a boolean, a number or a string.
fn is_true(flag: &Value) -> bool {
    match flag {
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => matches!(text.to_ascii_lowercase().as_str(), "true" | "1"),
        _ => false,
    }
}

/// The times of a message.
#[derive(Clone, Copy)]
struct Times<'a> {
    info: &'a Map<String, Value>,
}

impl Times<'_> {
    /// Returns the time of the first of these members that is there.
    fn first(self, members: &[&str]) -> Result<Option<Timestamp>, Unreadable> {
        let there = |member| Some((member, self.info.get(member).filter(|time| !time.is_null())?));
        let first = members.iter().copied().find_map(there);
        first.map(|(member, time)| self.read(member, time)).transpose()
    }

    /// Returns the time of the first of these members that is there, one of which must be.
    fn required(self, members: &[&str]) -> Result<Timestamp, Unreadable> {
        let missing = || Unreadable::at(format!("time_info.{}", members.join(" or ")), "it is missing");
        self.first(members)?.ok_or_else(missing)
    }

    fn read(self, member: &str, time: &Value) -> Result<Timestamp, Unreadable> {
        let place = format!("time_info.{member}");
        let Some(text) = time.as_str().map(str::trim) else {
            return json::part(&place, time).map(|Time(ts)| ts);
        };
        let local = text.strip_suffix("-00:00").or_else(|| text.strip_suffix("-0000"));
        // The day may be written with slashes.
        let text = local.unwrap_or(text).trim_end().replace('/', "-");
        let Time(ts) = json::part(&place, &Value::String(text))?;
        Ok(match (ts, local) {
            (Timestamp::Local(ts), None) => self.in_zone(ts),
            _ => ts,
        })
    }

    /// Returns the instant of a local time if the message tells its zone.
    fn in_zone(self, ts: NaiveDateTime) -> Timestamp {
        let zone = ["time_zone", "timezone"].into_iter().find_map(|name| self.info.get(name)?.as_str());
        let Some(offset_min) = zone.and_then(offset_min) else { return Timestamp::Local(ts) };
        let dst_min = if self.info.get("dst_status").is_some_and(is_true) { 60 } else { 0 };
        let utc = ts.checked_sub_signed(TimeDelta::minutes(offset_min + dst_min));
        let instant = utc.map(|utc| utc.and_utc().into());
        let instant = instant.filter(|instant| (Instant::MIN..=Instant::MAX).contains(instant));
        instant.map_or(Timestamp::Local(ts), Timestamp::Instant)
    }
}

/// Returns the minutes by which a zone such as `UTC+8:00` or `UTC-3:30 Newfoundland` is ahead of UTC.
fn offset_min(zone: &str) -> Option<i64> {
    let offset = zone.trim().strip_prefix("UTC").or_else(|| zone.trim().strip_prefix("GMT"))?;
    let offset = offset.split([' ', '(']).next()?;
    let (sign, offset) = match offset.split_at_checked(1) {
        Some(("+", offset)) => (1, offset),
        Some(("-", offset)) => (-1, offset),
        None => return Some(0),
        _ => return None,
    };
    let (hours, minutes) = offset.split_once(':').unwrap_or((offset, "0"));
    let number = |text: &str, max: i64| {
        let is_number = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i64>().ok().filter(|number| is_number && *number <= max)
    };
    Some(sign * (number(hours, 14)? * 60 + number(minutes, 59)?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Format;

    const PERIODIC: &[u8] = include_bytes!("../fixtures/milesight/periodic.json");
    const TRIGGER: &[u8] = include_bytes!("../fixtures/milesight/trigger.json");
    const VS121P: &[u8] = include_bytes!("../fixtures/milesight/vs121p.json");
    const WEBHOOK: &[u8] = include_bytes!("../fixtures/milesight/webhook.json");

    fn told(message: &[u8]) -> Message {
        decode(message, &Settings::default()).unwrap()
    }

    fn told_of(message: &Value) -> Message {
        told(message.to_string().as_bytes())
    }

    fn ts(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Returns a message with one line and these times.
    fn message(member: &str, line: &Value, times: &Value) -> Value {
        json!({"device_info": {"device_sn": "D"}, "time_info": times, member: [line]})
    }

    #[test]
    fn intervals_and_totals_have_local_times_if_the_zone_is_mislabelled() {
        let (from, to) = (ts("2026-07-14T18:05:00"), ts("2026-07-14T18:06:00"));
        let totals = Content::Totals { ts: Some(to), toward: 10_207, away: 10_311, bits: None };
        let expected = [
            Report::new("6537F40117720042/1", Content::Interval { from, to, toward: 7, away: 5 }),
            Report::new("6537F40117720042/2", Content::Interval { from, to, toward: 0, away: 0 }),
            Report::new("6537F40117720042/1", totals),
        ];
        assert_eq!(told(PERIODIC), Message { reports: expected.into(), ..Message::default() });
    }

    #[test]
    fn each_person_of_a_trigger_is_a_crossing() {
        let ts = Some(ts("2026-07-14T16:05:29Z"));
        let crossing =
            |direction, seq| Report::new("6537F40117720042/1", Content::Crossing { ts, direction, seq });
        let expected = [
            crossing(Direction::Toward, 0),
            crossing(Direction::Toward, 1),
            crossing(Direction::Away, 0),
            Report::new("6537F40117720042/2", Content::alive(ts)),
        ];
        assert_eq!(told(TRIGGER), Message { reports: expected.into(), ..Message::default() });
    }

    #[test]
    fn a_trigger_has_at_most_a_thousand_people() {
        let trigger = |people: u32| {
            message(
                "line_trigger_data",
                &json!({"line": 1, "total": {"in": 0, "out": people}}),
                &json!({"time": 1_772_443_200}),
            )
        };
        assert_eq!(told_of(&trigger(1_000)).reports.len(), 1_000);
        let too_many = told_of(&trigger(1_001));
        assert_eq!(too_many.reports, []);
        assert_eq!(too_many.unreadable[0].place, "line_trigger_data[0].total.out");

        // Nor does a message with many of them take more memory than its length allows for.
        let line = json!({"line": 1, "total": {"in": 1_000, "out": 1_000}});
        let many = json!({"device_info": {"device_sn": "D"}, "time_info": {"time": 1_772_443_200},
            "line_trigger_data": vec![line; 100]})
        .to_string();
        assert!(told(many.as_bytes()).reports.len() <= 1_000 + many.len() / 16);
    }

    #[test]
    fn texts_tell_the_zone_of_times_without_one() {
        let (from, to) = (ts("2026-03-20T10:15:00Z"), ts("2026-03-20T10:16:00Z"));
        let expected = [
            Content::Interval { from, to, toward: 4, away: 3 },
            Content::Totals { ts: Some(to), toward: 402, away: 399, bits: None },
        ]
        .map(|content| Report::new("24:E1:24:55:0C:9D/1", content));
        assert_eq!(told(VS121P), Message { reports: expected.into(), ..Message::default() });

        for (time, zone, dst, expected) in [
            ("2026/07/14 18:00:00", "UTC+8:00", json!(false), "2026-07-14T10:00:00Z"),
            ("2026/07/14 18:00:00", "UTC+8:00", json!(true), "2026-07-14T09:00:00Z"),
            ("2026-07-14 18:00:00", "UTC-3:30 Newfoundland", json!(1), "2026-07-14T20:30:00Z"),
            ("2026-07-14T18:00:00", "UTC-0:00 WET/GMT", json!(0), "2026-07-14T18:00:00Z"),
            ("2026-07-14T18:00:00", "GMT+05:45", json!("false"), "2026-07-14T12:15:00Z"),
            ("2026-07-14T18:00:00", "UTC", json!("true"), "2026-07-14T17:00:00Z"),
            // Not known.
            ("2026-07-14T18:00:00", "Berlin", json!(true), "2026-07-14T18:00:00"),
            ("2026-07-14T18:00:00", "UTC+80:00", json!(false), "2026-07-14T18:00:00"),
            ("2026-07-14T18:00:00", "UTC+8:60", json!(false), "2026-07-14T18:00:00"),
            ("0001-01-01T00:00:00", "UTC+8:00", json!(false), "0001-01-01T00:00:00"),
            ("2026-07-14T18:00:00-00:00", "UTC+8:00", json!(false), "2026-07-14T18:00:00"),
            // Written in the time.
            ("2026-07-14T18:00:00Z", "UTC+8:00", json!(true), "2026-07-14T18:00:00Z"),
            ("2026-07-14T18:00:00+02:00", "UTC+8:00", json!(true), "2026-07-14T16:00:00Z"),
            ("1784052000", "UTC+8:00", json!(true), "2026-07-14T18:00:00Z"),
        ] {
            let times = json!({"time": time, "time_zone": zone, "dst_status": dst});
            let line = json!({"line": 1, "total": {"in_counted": 1, "out_counted": 1}});
            let told = told_of(&message("line_total_data", &line, &times));
            assert_eq!(told.unreadable, [], "{time} {zone}");
            assert_eq!(told.reports[0].content.ts(), Some(ts(expected)), "{time} {zone} {dst}");
        }
    }

    #[test]
    fn totals_without_a_time_have_none() {
        let line = json!({"line": "1", "total": {"in_counted": "12", "out_counted": "7"}});
        let totals = Content::Totals { ts: None, toward: 12, away: 7, bits: None };
        let told = told_of(&message("line_total_data", &line, &json!({})));
        assert_eq!(told.reports, [Report::new("D/1", totals)]);
    }

    #[test]
    fn what_is_sent_again_is_stored() {
        for (flag, is_stored) in
            [(json!(true), true), (json!("true"), true), (json!(1), true), (json!(false), false)]
        {
            let mut message: Value = serde_json::from_slice(TRIGGER).unwrap();
            message["isRetransmission"] = flag;
            assert!(told_of(&message).reports.iter().all(|report| report.is_stored == is_stored));
        }
    }

    #[test]
    fn regions_and_occupancy_count_nobody() {
        for member in ["region_periodic_data", "region_trigger_data", "region_count_data"] {
            let line = json!({"region": 1, "total": {"current_total": 4, "in": 3, "out": 2}});
            let told = told_of(&message(member, &line, &json!({"time": 1_772_443_200})));
            assert_eq!(told, Message::nothing("it holds no count of a line"), "{member}");
        }
        let occupancy = json!({"device_info": {"device_sn": "D"}, "current_total": 3, "max_counted": 4,
            "line_periodic_data": null});
        assert_eq!(told_of(&occupancy), Message::nothing("it holds no count of a line"));
    }

    #[test]
    fn an_error_names_the_member() {
        let times = json!({"start_time": "2026-03-20T10:15:00Z"});
        let line = json!({"line": 1, "total": {"in": 1, "out": 2}});
        for (message, place) in [
            (message("line_periodic_data", &line, &times), "time_info.end_time"),
            (message("line_periodic_data", &line, &json!({"start_time": "noon"})), "time_info.start_time"),
            (
                message("line_periodic_data", &json!({"line": 1, "total": {"in": 1}}), &times),
                "line_periodic_data[0].total",
            ),
            (message("line_periodic_data", &json!({"line": 1, "out": 1}), &times), "line_periodic_data[0]"),
            (
                message("line_periodic_data", &json!({"line": 1, "total": {"in": -1, "out": 1}}), &times),
                "line_periodic_data[0].total.in",
            ),
            (
                message("line_periodic_data", &json!({"total": {"in": 1, "out": 1}}), &times),
                "line_periodic_data[0].line",
            ),
            (
                message("line_total_data", &json!({"line": 1, "total": {"in_counted": 1}}), &times),
                "line_total_data[0].total",
            ),
            (message("line_trigger_data", &line, &times), "time_info.time or trigger_time"),
        ] {
            let told = told_of(&message);
            assert_eq!(told.reports, [], "{message}");
            let places: Vec<_> = told.unreadable.iter().map(|error| error.place.as_str()).collect();
            assert_eq!(places, [place], "{message}");
        }
        for (message, expected) in [
            (
                r#"{"device_info": {}, "line_total_data": [{}]}"#,
                "device_info.device_sn: it is missing: have the device send it",
            ),
            (r#"{"device_info": {}, "line_total_data": 1}"#, "line_total_data: invalid type"),
            (r#"{"hello": 1}"#, "none of the members of Milesight is there"),
        ] {
            let error = decode(message.as_bytes(), &Settings::default()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn a_line_that_cannot_be_read_spoils_no_other() {
        let mut message: Value = serde_json::from_slice(PERIODIC).unwrap();
        message["line_periodic_data"][0]["total"]["in"] = json!("many");
        let told = told_of(&message);
        assert_eq!((told.reports.len(), told.unreadable.len()), (2, 1));
    }

    #[test]
    fn the_device_is_named_by_its_number_its_address_or_the_settings() {
        let settings = Settings::parse(Format::Milesight, [("device", "S")]).unwrap();
        for (info, expected) in [
            (json!({"device_sn": "N", "device_mac": "M"}), "N/1"),
            (json!({"device_sn": "", "device_mac": "M"}), "M/1"),
            (json!({}), "S/1"),
        ] {
            let mut message: Value = serde_json::from_slice(TRIGGER).unwrap();
            message["device_info"] = info;
            let told = decode(message.to_string().as_bytes(), &settings).unwrap();
            assert_eq!(told.reports[0].serial, expected);
        }
    }

    #[test]
    fn a_webhook_has_payloads_of_lorawan_devices() {
        let arrived = |seconds: i64, serial: &str, content| {
            let arrival = Some(Instant::from_ms(seconds * 1_000));
            Report { arrival, ..Report::new(serial, content) }
        };
        let totals = Content::Totals { ts: None, toward: 5_120, away: 5_044, bits: Some(32) };
        let expected = [
            arrived(1_772_443_200, "24E124725D090311/2", totals),
            arrived(1_772_443_205, "6713D4405521", Content::alive(None)),
        ];
        assert_eq!(told(WEBHOOK), Message { reports: expected.into(), ..Message::default() });
    }

    #[test]
    fn a_webhook_without_a_payload_counts_nobody() {
        let webhook = |kind: &str, payload: Value| {
            let data = json!({"deviceProfile": {"devEUI": "D"}, "type": kind, "payload": payload});
            told_of(&json!({"eventType": "DEVICE_DATA", "data": data}))
        };
        assert_eq!(webhook("OFFLINE", json!({})), Message::nothing("the device is offline"));
        let faults = Some("devices misaligned".to_owned());
        let unwell = Content::Heartbeat { ts: None, battery: None, faults };
        assert_eq!(
            webhook("EVENT", json!({"event": "devices misaligned"})).reports,
            [Report::new("D", unwell)]
        );
        assert_eq!(webhook("PROPERTY", json!([])).unreadable[0].place, "data.payload");
        assert_eq!(webhook("PROPERTY", json!({"x": 1})).unreadable[0].place, "data.payload");
        let test = told(br#"{"eventType": "WEBHOOK_TEST", "data": null}"#);
        assert_eq!(test, Message::nothing("it is not data of a device"));
        let broken = told(
            br#"[{"eventType": "DEVICE_DATA", "data": {}}, {"eventType": "DEVICE_DATA",
            "data": {"type": "ONLINE", "deviceProfile": {"sn": "D"}}}]"#,
        );
        assert_eq!((broken.reports.len(), broken.unreadable.len()), (1, 1));
    }
}
