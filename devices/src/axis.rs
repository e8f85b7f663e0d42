//! Axis 3D People Counter (Axis Retail Data), Axis People Counter, and Axis Object Analytics.
//!
//! - Axis Retail Data are people in an interval; the line is the device.
//! - Axis People Counter sends the totals of the day in local time; the line is the device.
//! - Axis Object Analytics sends the total of a scenario at each crossing. A scenario counts one direction, so each is a
//!   line `DEVICE/SCENARIO` by itself, such as `B8A44F000001/Scenario2`, whose people all go in. A doorway needs two. The
//!   topics of all scenarios together (`ScenarioANY`) and of parts of one (`Scenario2Threshold`) repeat these totals.

use chrono::NaiveDateTime;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use values::Timestamp;

use crate::json::{self, Name, Number, Time};
use crate::report::{Content, Message, Unreadable};
use crate::settings::Settings;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RetailData {
    utc_sent: Option<Time>,
    data: Measurements,
    sensor: Option<Sensor>,
}

#[derive(Deserialize)]
struct Sensor {
    serial: Option<Name>,
}

#[derive(Deserialize)]
struct Measurements {
    measurements: Vec<Kind>,
}

/// A measurement of any kind.
#[derive(Deserialize)]
struct Kind {
    kind: String,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PeopleCounts {
    utc_from: Time,
    utc_to: Time,
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    direction: String,
    count: Number,
    #[expect(dead_code, reason = "it is a part of the count")]
    adults: Option<IgnoredAny>,
    /// What else it is about. If it is about something, it is a part of the item that is not.
    #[serde(flatten)]
    about: Map<String, Value>,
}

#[derive(Deserialize)]
struct Today {
    serial: Option<Name>,
    timestamp: Name,
    r#in: Number,
    out: Number,
}

#[derive(Deserialize)]
struct Notification {
    topic: String,
    timestamp: Time,
    serial: Option<Name>,
    message: Body,
}

#[derive(Deserialize)]
struct Body {
    data: Map<String, Value>,
}

pub(crate) fn decode(message: &[u8], settings: &Settings) -> Result<Message, Unreadable> {
    let mut decoded = Message::default();
    let mut nothing = None;
    for document in json::documents::<Map<String, Value>>(message)? {
        let has = |member| document.contains_key(member);
        if has("apiName") || has("data") {
            retail_data(&mut decoded, read(document)?, settings)?;
        } else if has("topic") {
            nothing = nothing.or(analytics(&mut decoded, read(document)?, settings)?);
        } else if has("in") || has("out") {
            today(&mut decoded, read(document)?, settings)?;
        } else {
            return Err(Unreadable::whole(
                "none of the members of Axis is there: accepted are apiName and data (Axis Retail Data), in and out \
                 (Axis People Counter), and topic and message (Axis Object Analytics)",
            ));
        }
    }
    if decoded.reports.is_empty() && decoded.unreadable.is_empty() {
        decoded.nothing = nothing.or(Some("it holds no count"));
    }
    Ok(decoded)
}

fn read<T: serde::de::DeserializeOwned>(document: Map<String, Value>) -> Result<T, Unreadable> {
    json::part("", &Value::Object(document))
}

fn retail_data(decoded: &mut Message, data: RetailData, settings: &Settings) -> Result<(), Unreadable> {
    let RetailData { utc_sent, data: Measurements { measurements }, sensor } = data;
    let line = settings.device("sensor.serial", sensor.and_then(|sensor| sensor.serial))?;
    let mut counts = false;
    for (index, Kind { kind, rest }) in measurements.into_iter().enumerate() {
        if kind != "people-counts" {
            continue;
        }
        counts = true;
        let place = format!("data.measurements[{index}]");
        match json::part(&place, &Value::Object(rest)).and_then(|counts| interval(&place, counts)) {
            Ok(content) => decoded.push(line.clone(), content),
            Err(unreadable) => decoded.unreadable.push(unreadable),
        }
    }
    if !counts {
        decoded.push(line, Content::alive(utc_sent.map(in_utc)));
    }
    Ok(())
}

fn interval(place: &str, counts: PeopleCounts) -> Result<Content, Unreadable> {
    let PeopleCounts { utc_from, utc_to, items } = counts;
    let mut sums = [Sum::default(); 2];
    for (index, item) in items.iter().enumerate() {
        let sum = match item.direction.as_str() {
            "in" => &mut sums[0],
            "out" => &mut sums[1],
            other => {
                let reason = format!("{} is not a direction: accepted are in and out", values::shown(other));
                return Err(Unreadable::at(format!("{place}.items[{index}].direction"), reason));
            }
        };
        sum.add(item);
    }
    // A direction in which nobody went may be left out.
    let [toward, away] = sums.map(|sum| sum.whole.or(sum.parts).unwrap_or_default());
    Ok(Content::Interval { from: in_utc(utc_from), to: in_utc(utc_to), toward, away })
}

/// The people of one direction.
#[derive(Clone, Copy, Default)]
struct Sum {
    /// Those of the items about all people.
    whole: Option<i64>,
    /// Those of the items about some of them.
    parts: Option<i64>,
}

impl Sum {
    fn add(&mut self, Item { count: Number(count), about, .. }: &Item) {
        let sum = if about.is_empty() { &mut self.whole } else { &mut self.parts };
        *sum = Some(sum.unwrap_or_default().saturating_add(*count));
    }
}

/// Returns a time that is in UTC by its name, even if it does not say so.
fn in_utc(Time(ts): Time) -> Timestamp {
    Timestamp::Instant(ts.in_utc())
}

fn today(decoded: &mut Message, today: Today, settings: &Settings) -> Result<(), Unreadable> {
    let Today { serial, timestamp: Name(timestamp), r#in: Number(toward), out: Number(away) } = today;
    let line = settings.device("serial", serial)?;
    let is_complete = timestamp.len() == 14 && timestamp.bytes().all(|byte| byte.is_ascii_digit());
    let local = NaiveDateTime::parse_from_str(&timestamp, "%Y%m%d%H%M%S").ok().filter(|_| is_complete);
    let local = local.ok_or_else(|| {
        let given = values::shown(&timestamp);
        Unreadable::at("timestamp", format!("{given} is not a local time: accepted is YYYYMMDDhhmmss"))
    })?;
    decoded.push(line, Content::Totals { ts: Some(Timestamp::Local(local)), toward, away, bits: None });
    Ok(())
}

/// Reports the total of a scenario, or returns why there is none.
fn analytics(
    decoded: &mut Message,
    notification: Notification,
    settings: &Settings,
) -> Result<Option<&'static str>, Unreadable> {
    let Notification { topic, timestamp: Time(ts), serial, message: Body { data } } = notification;
    let Some(scenario) = scenario(&topic) else {
        return Ok(Some("its topic is not that of one scenario of Axis Object Analytics"));
    };
    let device = settings.device("serial", serial)?;
    let reason = data.get("reason").and_then(Value::as_str);
    let total = match (data.get("totalHuman"), data.get("total"), reason) {
        (Some(total), _, _) => Some(("totalHuman", total)),
        // Without a reason, it is the number of people in an area.
        (None, _, None) => {
            return Ok(Some("it is an occupancy, or a state: no count of people who cross a line"));
        }
        (None, Some(total), Some(reason))
            if reason.eq_ignore_ascii_case("human") && !data.keys().any(|name| is_of_a_class(name)) =>
        {
            Some(("total", total))
        }
        // Something else than a person crossed, and the total is that of all.
        _ => None,
    };
    let content = match total {
        Some((name, total)) => {
            let Number(toward) = json::part(&format!("message.data.{name}"), total)?;
            Content::Totals { ts: Some(ts), toward, away: 0, bits: None }
        }
        None => Content::alive(Some(ts)),
    };
    decoded.push(format!("{device}/{scenario}"), content);
    Ok(None)
}

/// Returns whether a member is the total of a class of objects, such as `totalCar`.
fn is_of_a_class(member: &str) -> bool {
    member.strip_prefix("total").is_some_and(|class| !class.is_empty())
}

/// Returns the scenario of a topic, such as `Scenario2`; that of another channel than the first is `Device3Scenario2`.
fn scenario(topic: &str) -> Option<&str> {
    let (path, last) = topic.rsplit_once('/')?;
    if !path.ends_with("ObjectAnalytics") {
        return None;
    }
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (channel, number) = last.strip_prefix("Device")?.split_once("Scenario")?;
    if !is_number(channel) || !is_number(number) {
        return None;
    }
    Some(if channel == "1" { last.strip_prefix("Device1").unwrap_or(last) } else { last })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, Report};

    const RETAIL_DATA: &[u8] = include_bytes!("../fixtures/axis/retail_data.json");
    const TODAY: &[u8] = include_bytes!("../fixtures/axis/people_counter.json");
    const CROSSLINE: &str = include_str!("../fixtures/axis/crossline.json");
    const OCCUPANCY: &[u8] = include_bytes!("../fixtures/axis/occupancy.json");

    fn decoded(message: &[u8]) -> Message {
        decode(message, &Settings::default()).unwrap()
    }

    fn ts(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn minute(minute: u8, toward: i64, away: i64) -> Report {
        let [from, to] = [minute, minute + 1].map(|minute| ts(&format!("2025-05-22T08:{minute}:00Z")));
        Report::new("b8a44f000001", Content::Interval { from, to, toward, away })
    }

    /// Retail data of the minute from 08:14 with these items.
    fn retail_data(items: &str) -> Message {
        let message = format!(
            r#"{{"apiName": "Axis Retail Data", "sensor": {{"serial": "b8a44f000001"}}, "data": {{"measurements": [{{
                "kind": "people-counts", "utcFrom": "2025-05-22T08:14:00Z", "utcTo": "2025-05-22T08:15:00Z",
                "items": [{items}]}}]}}}}"#
        );
        decoded(message.as_bytes())
    }

    #[test]
    fn retail_data_are_intervals_of_the_device() {
        // Adults are some of the people; nobody went out in the second minute; a dwell time is not a count.
        let message = decoded(RETAIL_DATA);
        assert_eq!(message.reports, [minute(14, 6, 2), minute(15, 1, 0)]);
        assert_eq!(message.unreadable, []);
    }

    #[test]
    fn items_of_one_direction_add_up_unless_they_are_a_part_of_another() {
        assert_eq!(retail_data("").reports, [minute(14, 0, 0)]);
        let two = r#"{"direction": "in", "count": 2, "adults": 1}, {"direction": "in", "count": "3"}"#;
        assert_eq!(retail_data(two).reports, [minute(14, 5, 0)]);
        let child = r#"{"direction": "out", "count": 1, "age": "child"}"#;
        let adult = r#"{"direction": "out", "count": 3, "age": "adult"}"#;
        let all = r#"{"direction": "out", "count": 4}"#;
        assert_eq!(retail_data(&[child, adult].join(",")).reports, [minute(14, 0, 4)]);
        assert_eq!(retail_data(&[child, all, adult].join(",")).reports, [minute(14, 0, 4)]);
    }

    #[test]
    fn utc_is_utc_even_without_its_mark() {
        let message = String::from_utf8_lossy(RETAIL_DATA).replace(":00Z", ":00");
        assert_eq!(decoded(message.as_bytes()).reports, [minute(14, 6, 2), minute(15, 1, 0)]);
    }

    #[test]
    fn retail_data_without_people_are_a_sign_of_life() {
        let message = br#"{"apiName": "Axis Retail Data", "utcSent": "2025-05-22T08:16:00Z",
            "sensor": {"serial": "b8a44f000001"}, "data": {"measurements": []}}"#;
        let alive = Report::new("b8a44f000001", Content::alive(Some(ts("2025-05-22T08:16:00Z"))));
        assert_eq!(decoded(message).reports, [alive]);
    }

    #[test]
    fn the_people_counter_sends_the_totals_of_the_day_in_local_time() {
        let ts = Some(ts("2017-05-03T11:27:56"));
        assert!(matches!(ts, Some(Timestamp::Local(_))));
        let totals = Content::Totals { ts, toward: 40, away: 37, bits: None };
        assert_eq!(decoded(TODAY).reports, [Report::new("ACCC8E000002", totals)]);
        for wrong in ["2017050311275", "20170532112756", "2017-05-03T11:27"] {
            let message = String::from_utf8_lossy(TODAY).replace("20170503112756", wrong);
            let error = decode(message.as_bytes(), &Settings::default()).unwrap_err();
            assert_eq!(error.place, "timestamp", "{wrong}");
        }
    }

    fn total(line: &str, toward: i64) -> Report {
        let ts = Some(ts("2023-11-14T22:13:20.250Z"));
        Report::new(line, Content::Totals { ts, toward, away: 0, bits: None })
    }

    #[test]
    fn a_scenario_is_a_line_of_one_direction() {
        assert_eq!(decoded(CROSSLINE.as_bytes()).reports, [total("B8A44F000003/Scenario2", 57)]);
        for channel in ["Device3", "Device12"] {
            let other = CROSSLINE.replace("Device1", channel).replace("\"57\"", "57");
            let line = format!("B8A44F000003/{channel}Scenario2");
            assert_eq!(decoded(other.as_bytes()).reports, [total(&line, 57)]);
        }
        let topic = CROSSLINE.replace("axis:Camera", "axis/B8A44F000003/event/tns:axis/Camera");
        assert_eq!(decoded(topic.as_bytes()).reports, [total("B8A44F000003/Scenario2", 57)]);
    }

    #[test]
    fn only_people_count() {
        let without = CROSSLINE.replace(r#""totalHuman": "57","#, "");
        // The total of people and cars.
        let alive = Content::alive(Some(ts("2023-11-14T22:13:20.250Z")));
        assert_eq!(
            decoded(without.as_bytes()).reports,
            [Report::new("B8A44F000003/Scenario2", alive.clone())]
        );
        let plain = without.replace(r#""totalCar": "5","#, "");
        assert_eq!(decoded(plain.as_bytes()).reports, [total("B8A44F000003/Scenario2", 62)]);
        let car = plain.replace(r#""reason": "human""#, r#""reason": "car""#);
        assert_eq!(decoded(car.as_bytes()).reports, [Report::new("B8A44F000003/Scenario2", alive)]);
    }

    #[test]
    fn topics_that_repeat_a_total_do_not_count() {
        for last in ["ScenarioANY", "Scenario2Threshold", "Scenario2Interval", "Scenario", ""] {
            let message = CROSSLINE.replace("Scenario2\"", &format!("{last}\""));
            let message = decoded(message.as_bytes());
            assert_eq!(message.reports, [], "{last}");
            assert!(message.nothing.is_some(), "{last}");
        }
    }

    #[test]
    fn topics_of_other_applications_do_not_count() {
        let message = decoded(CROSSLINE.replace("ObjectAnalytics", "FenceGuard").as_bytes());
        assert_eq!(message.reports, []);
        assert!(message.nothing.is_some());
    }

    #[test]
    fn an_occupancy_counts_nobody() {
        assert!(decoded(OCCUPANCY).nothing.is_some_and(|why| why.starts_with("it is an occupancy")));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let error = |message: &str| decode(message.as_bytes(), &Settings::default()).unwrap_err();
        assert!(error("{}").reason.contains("accepted are apiName"));
        assert_eq!(error(&CROSSLINE.replace("57", "-1")).place, "message.data.totalHuman");
        assert_eq!(
            error(r#"{"apiName": "Axis Retail Data", "data": {"measurements": []}}"#).place,
            "sensor.serial"
        );
        let message = retail_data(r#"{"direction": "up", "count": 1}"#);
        assert_eq!(message.unreadable[0].place, "data.measurements[0].items[0].direction");
        let settings = Settings::parse(Format::Axis, [("device", "D")]).unwrap();
        let without_serial = CROSSLINE.replace(r#""serial": "B8A44F000003","#, "");
        let reports = decode(without_serial.as_bytes(), &settings).unwrap().reports;
        assert_eq!(reports, [total("D/Scenario2", 57)]);
    }
}
