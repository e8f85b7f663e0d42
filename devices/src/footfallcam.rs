//! FootfallCam 3D Pro2: single crossings.
//!
//! A device has several lines, `DEVICE/REGION`. Staff who are recognised count like everybody else, unless the setting
//! `staff=ignore` leaves them out.

use serde::Deserialize;
use values::{Direction, Timestamp};

use crate::json::{self, Name, Number, Time};
use crate::report::{Content, Message, Unreadable};
use crate::settings::Settings;

/// The value of `CombineObjectTypeId` of visitors.
const VISITOR: Number = Number(11);
/// The value of `CombineObjectTypeId` of staff.
const STAFF: Number = Number(21);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    device_serial: Option<Name>,
    roi_id: Name,
    metric_id: Number,
    combine_object_type_id: Option<Number>,
    people_id: Option<Number>,
    event_end_time: Option<Time>,
    #[serde(rename = "EventEndUTCTime")]
    event_end_utc_time: Option<Time>,
}

pub(crate) fn decode(message: &[u8], settings: &Settings) -> Result<Message, Unreadable> {
    let mut decoded = Message::default();
    for event in json::documents::<Event>(message)? {
        let direction = match event.metric_id {
            Number(1) => Direction::Toward,
            Number(2) => Direction::Away,
            _ => continue,
        };
        // Its name says that it is in UTC, even if it is written without an offset.
        let in_utc = event.event_end_utc_time.map(|Time(ts)| Timestamp::Instant(ts.in_utc()));
        let ts = in_utc.or(event.event_end_time.map(|Time(ts)| ts)).ok_or_else(|| missing("EventEndTime"))?;
        let device = settings.device("DeviceSerial", event.device_serial)?;
        let counts = match event.combine_object_type_id {
            None | Some(VISITOR) => true,
            Some(STAFF) => !settings.without_staff,
            Some(_) => false,
        };
        let content = if counts {
            let seq = event.people_id.ok_or_else(|| missing("PeopleId"))?.seq();
            Content::Crossing { ts: Some(ts), direction, seq }
        } else {
            Content::alive(Some(ts))
        };
        decoded.push(format!("{device}/{}", event.roi_id.0), content);
    }
    if decoded.reports.is_empty() {
        return Ok(Message::nothing("it is not about people who go in (MetricId 1) or out (MetricId 2)"));
    }
    Ok(decoded)
}

fn missing(member: &str) -> Unreadable {
    Unreadable::at(member, "it is missing")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Format;

    const IN: &str = include_str!("../fixtures/footfallcam/in.json");
    const TIME: &str = "2025-07-23T10:40:05Z";

    fn told(message: &str, settings: &[(&str, &str)]) -> Message {
        let settings = Settings::parse(Format::Footfallcam, settings.iter().copied()).unwrap();
        decode(message.as_bytes(), &settings).unwrap()
    }

    fn content(message: &str) -> Content {
        told(message, &[]).reports.remove(0).content
    }

    fn crossing(direction: Direction, seq: i32) -> Content {
        Content::Crossing { ts: Some(TIME.parse().unwrap()), direction, seq }
    }

    #[test]
    fn a_crossing_belongs_to_a_region_and_has_a_direction() {
        let message = told(IN, &[]);
        assert_eq!(message.reports.len(), 1);
        assert_eq!(message.reports[0].serial, "ecd5cc00000000a1/3");
        assert_eq!(message.reports[0].content, crossing(Direction::Toward, 907));
        let out = IN.replace("\"MetricId\": 1", "\"MetricId\": 2");
        assert_eq!(content(&out), crossing(Direction::Away, 907));
        let other = IN.replace("\"MetricId\": 1", "\"MetricId\": 5").replace("907", "null");
        assert!(told(&other, &[]).nothing.is_some());
    }

    #[test]
    fn people_are_distinguished_by_their_number() {
        let large = IN.replace("907", "\"2147483650\"");
        assert_eq!(content(&large), crossing(Direction::Toward, 2));
    }

    #[test]
    fn staff_count_unless_they_are_left_out() {
        let staff = IN.replace("\"CombineObjectTypeId\": 11", "\"CombineObjectTypeId\": 21");
        let alive = Content::alive(Some(TIME.parse().unwrap()));
        assert_eq!(content(&staff), crossing(Direction::Toward, 907));
        assert_eq!(told(&staff, &[("staff", "count")]).reports[0].content, crossing(Direction::Toward, 907));
        assert_eq!(told(&staff, &[("staff", "ignore")]).reports[0].content, alive);
        assert_eq!(told(IN, &[("staff", "ignore")]).reports[0].content, crossing(Direction::Toward, 907));
        let child = IN.replace("\"CombineObjectTypeId\": 11", "\"CombineObjectTypeId\": 31");
        assert_eq!(content(&child), alive);
        let unknown = IN.replace("\"CombineObjectTypeId\": 11,", "");
        assert_eq!(content(&unknown), crossing(Direction::Toward, 907));
    }

    #[test]
    fn the_time_in_utc_is_preferred() {
        let utc = r#""EventEndUTCTime": 1753267205"#;
        assert_eq!(content(&IN.replace(utc, r#""EventEndUTCTime": "2025-07-23 10:40:05""#)), content(IN));
        // Eight hours later, as the local time is.
        let local = content(&IN.replace(utc, r#""EventEndUTCTime": null"#)).ts();
        assert_eq!(local, Some("2025-07-23T18:40:05Z".parse().unwrap()));
    }

    #[test]
    fn what_is_missing_is_named() {
        for (from, member) in [
            (r#""PeopleId": 907,"#, "PeopleId"),
            (r#""DeviceSerial": "ecd5cc00000000a1","#, "DeviceSerial"),
            (r#""EventEndTime": 1753296005, "EventEndUTCTime": 1753267205"#, "EventEndTime"),
        ] {
            let message = IN.replace(from, if member == "EventEndTime" { r#""Version": 1"# } else { "" });
            assert_eq!(decode(message.as_bytes(), &Settings::default()).unwrap_err().place, member);
        }
        assert_eq!(told(&IN.replace("ecd5cc00000000a1", "D"), &[]).reports[0].serial, "D/3");
    }
}
