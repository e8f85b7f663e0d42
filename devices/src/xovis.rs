//! Xovis PC-series: live data and logics data of version 5, and version 4.
//!
//! A sensor has several lines, which Xovis calls logics; each is a line `SENSOR/LOGIC`. Live data are single crossings,
//! logics data are people in an interval. The counters `fw` and `bw` are people who go in and out; the settings `in` and
//! `out` name two other counters, or `bw` and `fw` if the sensor is mounted the other way round.
//!
//! Live data report a crossing several times: as an event of the scene, as a new value of the counter, and as new values
//! of counters of a part of the people, such as `fw-male`. Only the counters of the two directions count.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use values::{Direction, Timestamp};

use crate::json::{self, Name, Number, Time};
use crate::report::{Content, Message, Unreadable};
use crate::settings::Settings;

#[derive(Deserialize)]
struct Document {
    live_data: Option<LiveData>,
    logics_data: Option<LogicsData>,
    #[serde(default, deserialize_with = "is_there")]
    connection_test: bool,
    #[serde(default, deserialize_with = "is_there")]
    status_data: bool,
    #[serde(rename = "sensor-info")]
    sensor_info_4: Option<SensorInfo4>,
    #[serde(rename = "content")]
    content_4: Option<Content4>,
    #[serde(rename = "values")]
    events_4: Option<Vec<Value>>,
}

#[derive(Deserialize)]
struct SensorInfo {
    serial_number: Option<Name>,
}

#[derive(Deserialize)]
struct LiveData {
    sensor_info: Option<SensorInfo>,
    frames: Vec<Frame>,
}

#[derive(Deserialize)]
struct Frame {
    time: Time,
    #[serde(default)]
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    category: String,
    r#type: String,
    /// Those of an event that does not count are not read: a zone's counter may be negative.
    #[serde(default)]
    attributes: Value,
}

#[derive(Deserialize)]
struct Attributes {
    logic_id: Name,
    counter_name: Name,
    #[serde(default)]
    counter_value: Value,
}

#[derive(Deserialize)]
struct LogicsData {
    sensor_info: Option<SensorInfo>,
    logics: Vec<Logic>,
}

#[derive(Deserialize)]
struct Logic {
    id: Name,
    #[serde(default)]
    records: Vec<Record>,
}

#[derive(Deserialize)]
struct Record {
    from: Time,
    to: Time,
    samples: Option<Number>,
    samples_expected: Option<Number>,
    counts: Vec<Counter>,
}

#[derive(Deserialize)]
struct Counter {
    #[serde(alias = "label")]
    name: Name,
    /// That of a counter that does not count is not read.
    value: Value,
}

#[derive(Deserialize)]
struct SensorInfo4 {
    #[serde(rename = "serial-number")]
    serial_number: Option<Name>,
}

#[derive(Deserialize)]
struct Content4 {
    #[serde(default)]
    element: Vec<Element4>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Element4 {
    element_id: Option<Name>,
    element_name: Option<Name>,
    data_type: String,
    /// Those of an element that is not a line are not read.
    #[serde(default)]
    measurement: Vec<Value>,
}

#[derive(Deserialize)]
struct Measurement4 {
    from: Time,
    to: Time,
    #[serde(rename = "value")]
    counts: Vec<Counter>,
}

#[derive(Deserialize)]
struct Kind4 {
    r#type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event4 {
    timestamp: Time,
    serial: Option<Name>,
    count_item: CountItem4,
    direction: Option<Name>,
    object: Option<Object4>,
}

#[derive(Deserialize)]
struct CountItem4 {
    id: Name,
}

#[derive(Deserialize)]
struct Object4 {
    id: Number,
}

/// What has been decoded so far.
struct Decoder<'a> {
    settings: &'a Settings,
    message: Message,
    /// Lines of which something was heard that counts nobody, and when.
    alive: BTreeMap<String, Timestamp>,
}

pub(crate) fn decode(message: &[u8], settings: &Settings) -> Result<Message, Unreadable> {
    let mut decoder = Decoder { settings, message: Message::default(), alive: BTreeMap::new() };
    let mut nothing = "it holds no count of a line";
    for document in json::documents::<Document>(message)? {
        match document {
            Document { live_data: Some(live_data), .. } => decoder.live_data(live_data)?,
            Document { logics_data: Some(logics_data), .. } => decoder.logics_data(logics_data)?,
            Document { content_4: Some(content), sensor_info_4, .. } => {
                decoder.content_4(sensor_info_4.and_then(|info| info.serial_number), content)?;
            }
            Document { events_4: Some(events), .. } => decoder.events_4(&events),
            Document { connection_test: true, .. } => nothing = "it is a connection test",
            Document { status_data: true, .. } => nothing = "it is the state of the sensor",
            _ => {
                return Err(Unreadable::whole(
                    "none of the members of Xovis is there: accepted are live_data and logics_data of version 5, \
                     content and values of version 4, and connection_test",
                ));
            }
        }
    }
    Ok(decoder.finish(nothing))
}

impl Decoder<'_> {
    fn live_data(&mut self, LiveData { sensor_info, frames }: LiveData) -> Result<(), Unreadable> {
        let device = self.device(sensor_info, "live_data.sensor_info.serial_number")?;
        for (frame, Frame { time: Time(ts), events }) in frames.into_iter().enumerate() {
            let mut without_value = BTreeMap::new();
            for (index, Event { category, r#type, attributes }) in events.into_iter().enumerate() {
                if category != "COUNT" {
                    continue;
                }
                if r#type != "COUNT_INCREMENT" {
                    let logic = attributes.get("logic_id");
                    if let Some(Ok(Name(logic))) = logic.map(|logic| json::part("", logic)) {
                        self.heard_of(format!("{device}/{logic}"), ts);
                    }
                    continue;
                }
                let place = format!("live_data.frames[{frame}].events[{index}].attributes");
                let attributes = json::part::<Attributes>(&place, &attributes);
                let Some(Attributes { logic_id, counter_name, counter_value }) = self.readable(attributes)
                else {
                    continue;
                };
                let line = format!("{device}/{}", logic_id.0);
                let Some(direction) = self.direction_of(&counter_name.0) else {
                    self.heard_of(line, ts);
                    continue;
                };
                let seq = if counter_value.is_null() {
                    let next = without_value.entry((logic_id.0, direction.sign())).or_insert(0);
                    *next += 1;
                    Ok(Number(*next - 1))
                } else {
                    json::part(&format!("{place}.counter_value"), &counter_value)
                };
                if let Some(number) = self.readable(seq) {
                    self.message.push(line, Content::Crossing { ts: Some(ts), direction, seq: number.seq() });
                }
            }
        }
        Ok(())
    }

    fn logics_data(&mut self, LogicsData { sensor_info, logics }: LogicsData) -> Result<(), Unreadable> {
        let device = self.device(sensor_info, "logics_data.sensor_info.serial_number")?;
        for (index, Logic { id: Name(id), records }) in logics.into_iter().enumerate() {
            let line = format!("{device}/{id}");
            for (record, Record { from, to, samples, samples_expected, counts }) in
                records.into_iter().enumerate()
            {
                let place = format!("logics_data.logics[{index}].records[{record}].counts");
                if !self.interval(&line, &place, from, to, &counts) {
                    continue;
                }
                if let (Some(Number(samples)), Some(Number(expected))) = (samples, samples_expected)
                    && samples < expected
                {
                    let faults = format!("{samples} of {expected} samples of the interval until {}", to.0);
                    let content = Content::Heartbeat { ts: Some(to.0), battery: None, faults: Some(faults) };
                    self.message.push(line.clone(), content);
                }
            }
        }
        Ok(())
    }

    fn content_4(&mut self, device: Option<Name>, Content4 { element }: Content4) -> Result<(), Unreadable> {
        let device = self.settings.device("sensor-info.serial-number", device)?;
        for (index, Element4 { element_id, element_name, data_type, measurement }) in
            element.into_iter().enumerate()
        {
            if data_type != "LINE" {
                continue;
            }
            let Some(Name(element)) = element_id.or(element_name) else {
                let place = format!("content.element[{index}].element-name");
                self.message.unreadable.push(Unreadable::at(place, "it is missing: a line needs a name"));
                continue;
            };
            let line = format!("{device}/{element}");
            for (number, measurement) in measurement.iter().enumerate() {
                let place = format!("content.element[{index}].measurement[{number}]");
                let measurement = json::part::<Measurement4>(&place, measurement);
                if let Some(Measurement4 { from, to, counts }) = self.readable(measurement) {
                    self.interval(&line, &format!("{place}.value"), from, to, &counts);
                }
            }
        }
        Ok(())
    }

    fn events_4(&mut self, events: &[Value]) {
        for (index, event) in events.iter().enumerate() {
            let place = format!("values[{index}]");
            let Some(Kind4 { r#type }) = self.readable(json::part(&place, event)) else { continue };
            match r#type.as_str() {
                "LineCrossing" => {
                    let read = self.line_crossing_4(&place, event);
                    self.readable(read);
                }
                // It repeats a crossing: the line is alive.
                "LineCount" => {
                    if let Ok(Event4 { timestamp: Time(ts), serial, count_item: CountItem4 { id }, .. }) =
                        json::part("", event)
                        && let Ok(device) = self.settings.device("", serial)
                    {
                        self.heard_of(format!("{device}/{}", id.0), ts);
                    }
                }
                _ => {}
            }
        }
    }

    fn line_crossing_4(&mut self, place: &str, event: &Value) -> Result<(), Unreadable> {
        let Event4 { timestamp: Time(ts), serial, count_item, direction, object } = json::part(place, event)?;
        let device = self.settings.device(&format!("{place}.serial"), serial)?;
        let line = format!("{device}/{}", count_item.id.0);
        let named = direction.as_ref().map_or("", |Name(direction)| direction);
        let counter = match named {
            "forward" => "fw",
            "backward" => "bw",
            _ => {
                let reason =
                    format!("{} is not a direction: accepted are forward and backward", values::shown(named));
                return Err(Unreadable::at(format!("{place}.direction"), reason));
            }
        };
        let Some(direction) = self.direction_of(counter).or_else(|| self.direction_of(named)) else {
            self.heard_of(line, ts);
            return Ok(());
        };
        let Some(Object4 { id }) = object else {
            let reason = "it is missing: it distinguishes people who cross at the same time";
            return Err(Unreadable::at(format!("{place}.object"), reason));
        };
        self.message.push(line, Content::Crossing { ts: Some(ts), direction, seq: id.seq() });
        Ok(())
    }

    /// Reports people in an interval, and returns whether the line counts both directions: a zone does not.
    fn interval(
        &mut self,
        line: &str,
        place: &str,
        Time(from): Time,
        Time(to): Time,
        counts: &[Counter],
    ) -> bool {
        let (into, out) = self.counters();
        let value_of = |wanted: &str| {
            let (index, counter) = counts.iter().enumerate().find(|(_, counter)| counter.name.0 == wanted)?;
            Some(json::part::<Number>(&format!("{place}[{index}].value"), &counter.value))
        };
        let (toward, away) = match (value_of(into), value_of(out)) {
            (None, None) => return false,
            (toward, away) => (toward.unwrap_or(Ok(Number(0))), away.unwrap_or(Ok(Number(0)))),
        };
        if let (Some(Number(toward)), Some(Number(away))) = (self.readable(toward), self.readable(away)) {
            self.message.push(line.to_owned(), Content::Interval { from, to, toward, away });
        }
        true
    }

    fn device(&self, sensor_info: Option<SensorInfo>, member: &str) -> Result<String, Unreadable> {
        self.settings.device(member, sensor_info.and_then(|info| info.serial_number))
    }

    /// Returns the names of the counters of people who go in and out.
    fn counters(&self) -> (&str, &str) {
        self.settings.directions().unwrap_or(("fw", "bw"))
    }

    fn direction_of(&self, counter: &str) -> Option<Direction> {
        let (into, out) = self.counters();
        if counter == into { Some(Direction::Toward) } else { (counter == out).then_some(Direction::Away) }
    }

    fn heard_of(&mut self, line: String, ts: Timestamp) {
        self.alive.insert(line, ts);
    }

    /// Returns what could be read, and reports what could not.
    fn readable<T>(&mut self, read: Result<T, Unreadable>) -> Option<T> {
        read.map_err(|unreadable| self.message.unreadable.push(unreadable)).ok()
    }

    fn finish(self, nothing: &'static str) -> Message {
        let Self { mut message, mut alive, .. } = self;
        let reported: BTreeSet<&str> = message.reports.iter().map(|report| &*report.serial).collect();
        alive.retain(|line, _| !reported.contains(line.as_str()));
        for (line, ts) in alive {
            message.push(line, Content::alive(Some(ts)));
        }
        if message.reports.is_empty() && message.unreadable.is_empty() {
            return Message::nothing(nothing);
        }
        message
    }
}

/// Returns that a member is there, whatever its value.
fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

#[cfg(test)]
mod tests {
    use values::Instant;

    use super::*;
    use crate::{Format, Report};

    const LIVE: &[u8] = include_bytes!("../fixtures/xovis/live_data.json");
    const LOGICS: &[u8] = include_bytes!("../fixtures/xovis/logics_data.json");
    const VERSION_4: &[u8] = include_bytes!("../fixtures/xovis/version_4.json");
    const EVENTS_4: &[u8] = include_bytes!("../fixtures/xovis/version_4_events.json");

    fn decoded(message: &[u8], settings: &[(&str, &str)]) -> Message {
        decode(message, &Settings::parse(Format::Xovis, settings.iter().copied()).unwrap()).unwrap()
    }

    fn ts(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn crossing(line: &str, ms: i64, direction: Direction, seq: i32) -> Report {
        let ts = Some(Timestamp::Instant(Instant::from_ms(ms)));
        Report::new(line, Content::Crossing { ts, direction, seq })
    }

    fn alive(line: &str, ms: i64) -> Report {
        Report::new(line, Content::alive(Some(Timestamp::Instant(Instant::from_ms(ms)))))
    }

    fn interval(line: &str, from: &str, to: &str, toward: i64, away: i64) -> Report {
        Report::new(line, Content::Interval { from: ts(from), to: ts(to), toward, away })
    }

    /// Live data of one frame of the sensor A with these events.
    fn live(events: &str) -> String {
        format!(
            r#"{{"live_data": {{"sensor_info": {{"serial_number": "A"}},
                "frames": [{{"time": 1712000000000, "events": [{events}]}}]}}}}"#
        )
    }

    fn increment(counter: &str, value: &str) -> String {
        format!(
            r#"{{"category": "COUNT", "type": "COUNT_INCREMENT",
                "attributes": {{"logic_id": 1, "counter_name": "{counter}"{value}}}}}"#
        )
    }

    #[test]
    fn a_crossing_of_live_data_counts_once_per_logic() {
        // Two people in the first frame, one of them a group's member too; each crossing is also one of the scene, of
        // `fw-male` or of a zone.
        let message = decoded(LIVE, &[]);
        assert_eq!(
            message.reports,
            [
                crossing("80:1F:12:AA:00:07/3", 1_712_000_000_120, Direction::Toward, 411),
                crossing("80:1F:12:AA:00:07/3", 1_712_000_000_120, Direction::Toward, 412),
                crossing("80:1F:12:AA:00:07/5", 1_712_000_000_920, Direction::Away, 88),
                alive("80:1F:12:AA:00:07/9", 1_712_000_000_920),
            ]
        );
        assert_eq!((message.unreadable, message.nothing), (vec![], None));
    }

    #[test]
    fn a_line_that_counts_nobody_is_alive_once() {
        let reset = r#"{"category": "COUNT", "type": "COUNT_RESET", "attributes": {"logic_id": 1}}"#;
        let wrong_way =
            r#"{"category": "COUNT", "type": "WRONG_WAY_DETECTED", "attributes": {"logic_id": "1"}}"#;
        let decrement = increment("fw", "").replace("INCREMENT", "DECREMENT");
        let unknown = r#"{"category": "COUNT", "type": "COUNT_RESET"}"#;
        let balance = increment("balance", r#", "counter_value": -3"#);
        let male = increment("fw-male", "");
        for events in
            [reset, wrong_way, &decrement, &balance, &male, &format!("{unknown}, {male}, {balance}")]
        {
            let message = decoded(live(events).as_bytes(), &[]);
            assert_eq!(message.reports, [alive("A/1", 1_712_000_000_000)], "{events}");
            assert_eq!(message.unreadable, [], "{events}");
        }
        let scene = increment("fw", "").replace("\"COUNT\"", "\"SCENE\"");
        for events in [unknown, &scene, ""] {
            let nothing = Message::nothing("it holds no count of a line");
            assert_eq!(decoded(live(events).as_bytes(), &[]), nothing, "{events}");
        }
    }

    #[test]
    fn people_in_one_frame_are_distinguished_and_stay_the_same_when_sent_again() {
        let seqs = |events: &[String]| -> Vec<(i16, i32)> {
            let reports = decoded(live(&events.join(",")).as_bytes(), &[]).reports;
            let told = |report: &Report| match report.content {
                Content::Crossing { direction, seq, .. } => (direction.sign(), seq),
                ref other => panic!("{other:?}"),
            };
            reports.iter().map(told).collect()
        };
        let plain = [increment("fw", ""), increment("bw", ""), increment("fw", "")];
        assert_eq!(seqs(&plain), [(1, 0), (-1, 0), (1, 1)]);
        let with = |value: &str| increment("fw", &format!(r#", "counter_value": {value}"#));
        assert_eq!(seqs(&[with("7"), with("\"8\"")]), [(1, 7), (1, 8)]);
        // The same person alone, in a message that an agent sends again.
        assert_eq!(seqs(&[with("8")]), [(1, 8)]);
        assert_eq!(seqs(&[with("2147483649")]), [(1, 1)]);
    }

    #[test]
    fn settings_name_the_counters() {
        let swapped = decoded(LIVE, &[("in", "bw"), ("out", "fw")]).reports;
        assert_eq!(swapped[0], crossing("80:1F:12:AA:00:07/3", 1_712_000_000_120, Direction::Away, 411));
        let named = decoded(LIVE, &[("in", "fw-male"), ("out", "bw-male")]).reports;
        assert_eq!(named[0], crossing("80:1F:12:AA:00:07/3", 1_712_000_000_120, Direction::Toward, 230));
        assert_eq!(named.len(), 3, "{named:?}");
        let swapped = decoded(EVENTS_4, &[("in", "bw"), ("out", "fw")]).reports;
        assert_eq!(swapped[0], crossing("80:1F:12:AA:00:04/0", 1_632_385_264_300, Direction::Away, 5120));
    }

    #[test]
    fn logics_data_are_intervals_of_the_lines() {
        assert_eq!(
            decoded(LOGICS, &[("device", "D")]).reports,
            [
                interval("D/2", "2022-02-25T12:00:00Z", "2022-02-25T12:01:00Z", 4, 1),
                interval("D/2", "2022-02-25T12:01:00Z", "2022-02-25T12:02:00Z", 0, 3),
                Report::new(
                    "D/2",
                    Content::Heartbeat {
                        ts: Some(ts("2022-02-25T12:02:00Z")),
                        battery: None,
                        faults: Some("2 of 3 samples of the interval until 2022-02-25T12:02:00Z".to_owned()),
                    }
                ),
                interval("D/6", "2022-02-25T12:00:00Z", "2022-02-25T12:01:00Z", 0, 0),
            ]
        );
    }

    #[test]
    fn the_address_names_a_sensor_that_does_not_name_itself() {
        let error = decode(LOGICS, &Settings::default()).unwrap_err();
        assert_eq!(error.place, "logics_data.sensor_info.serial_number");
        assert!(decoded(LIVE, &[("device", "D")]).reports[0].serial.starts_with("80:1F:12:AA:00:07/"));
    }

    #[test]
    fn version_4_is_decoded() {
        let (from, to) = ("2021-09-23T10:20:00+02:00", "2021-09-23T10:21:00+02:00");
        let expected = [
            interval("80:1F:12:AA:00:04/Door", from, to, 2, 5),
            interval("80:1F:12:AA:00:04/7", from, to, 1, 0),
        ];
        let message = decoded(VERSION_4, &[]);
        assert_eq!(message.reports, expected);
        assert_eq!(message.unreadable, [], "zones are not read");
    }

    #[test]
    fn a_crossing_of_version_4_counts_once() {
        let line = "80:1F:12:AA:00:04/0";
        assert_eq!(
            decoded(EVENTS_4, &[]).reports,
            [
                crossing(line, 1_632_385_264_300, Direction::Toward, 5120),
                crossing(line, 1_632_385_264_300, Direction::Toward, 5121),
                crossing(line, 1_632_385_270_000, Direction::Away, 5099),
                alive("80:1F:12:AA:00:04/1", 1_632_385_271_000),
            ]
        );
    }

    #[test]
    fn documents_over_tcp_follow_each_other_without_a_newline() {
        let message = live(&increment("fw", "")) + &live(&increment("bw", ""));
        assert_eq!(decoded(message.as_bytes(), &[]).reports.len(), 2);
    }

    #[test]
    fn a_connection_test_counts_nobody() {
        for test in ["{}", "null", "\"ok\""] {
            let message = format!(r#"{{"connection_test": {test}}}"#);
            assert_eq!(decoded(message.as_bytes(), &[]), Message::nothing("it is a connection test"));
        }
    }

    #[test]
    fn an_event_that_cannot_be_read_leaves_the_others() {
        let events = [
            r#"{"category": "COUNT", "type": "COUNT_INCREMENT", "attributes": {"counter_name": "fw"}}"#
                .to_owned(),
            increment("fw", r#", "counter_value": -1"#),
            increment("bw", ""),
        ];
        let message = decoded(live(&events.join(",")).as_bytes(), &[]);
        assert_eq!(message.reports, [crossing("A/1", 1_712_000_000_000, Direction::Away, 0)]);
        let places: Vec<_> = message.unreadable.iter().map(|unreadable| &*unreadable.place).collect();
        let attributes = |index| format!("live_data.frames[0].events[{index}].attributes");
        assert_eq!(places, [attributes(0), attributes(1) + ".counter_value"]);
        let message = br#"{"values": [{"type": "LineCrossing", "timestamp": 1632385264300, "serial": "A",
            "direction": "up", "object": {"id": 1}, "countItem": {"id": 0}}]}"#;
        assert_eq!(decoded(message, &[]).unreadable[0].place, "values[0].direction");
    }

    #[test]
    fn another_message_is_refused() {
        let error = |message: &[u8]| decode(message, &Settings::default()).unwrap_err();
        assert!(error(b"{}").reason.contains("accepted are live_data"));
        assert_eq!(error(br#"{"live_data": {"frames": [{"time": 7}]}}"#).place, "live_data.frames[0].time");
    }
}
