//! Hikvision cameras: people counting of ISAPI.
//!
//! A message is an XML element `EventNotificationAlert`, possibly a part of a multipart body beside pictures. The line is
//! `MAC/CHANNEL`; of a region other than the first, `MAC/CHANNEL.REGION`.
//!
//! `realTime` tells the totals since midnight, and `timeRange` the people of an interval. A camera may send both for the
//! same people. Children are among the people of `enter` and `exit` already. `pass` and `duplicatePeople` went neither in
//! nor out, or not again.

use std::ops::Range;

use roxmltree::{Document, Node};
use values::Timestamp;

use crate::json::Name;
use crate::report::{Content, Message, Report, Unreadable};
use crate::settings::Settings;

const NAME: &[u8] = b"EventNotificationAlert";

/// The longest element that is read. Those of cameras have about 2 kB. The time that it takes to read an element can grow
/// with the square of its length: its attributes are compared with each other.
const LENGTH_MAX: usize = 64 * 1024;

/// The longest prefix of a namespace that is found.
const PREFIX_MAX: usize = 64;

/// Events that say that the camera cannot see, as long as they are active.
const FAULTS: [&str; 5] = ["videoloss", "tamperdetection", "shelteralarm", "scenechangedetection", "defocus"];

pub(crate) fn decode(message: &[u8], settings: &Settings) -> Result<Message, Unreadable> {
    let alerts = alerts(message);
    let count = alerts.len();
    let mut decoded = Message::default();
    for (index, alert) in alerts.into_iter().enumerate() {
        match alert.and_then(|alert| reports(alert, settings)) {
            Ok(reports) => decoded.reports.extend(reports),
            Err(unreadable) if count == 1 => return Err(unreadable),
            Err(Unreadable { place, reason }) => {
                let dot = if place.is_empty() { "" } else { "." };
                let place = format!("EventNotificationAlert[{index}]{dot}{place}");
                decoded.unreadable.push(Unreadable { place, reason });
            }
        }
    }
    if count == 0 {
        return Err(Unreadable::whole(
            "it has no element EventNotificationAlert: send alerts of ISAPI as XML",
        ));
    }
    if decoded.reports.is_empty() {
        if decoded.unreadable.len() == count {
            return Err(decoded.unreadable.swap_remove(0));
        }
        decoded.nothing = Some("it is an alert of a camera that does not name itself, and counts nobody");
    }
    Ok(decoded)
}

/// Returns the elements of alerts in a message, whatever is between them.
fn alerts(message: &[u8]) -> Vec<Result<&[u8], Unreadable>> {
    let mut found = Vec::new();
    let mut rest = message;
    while let Some(start) = start(rest) {
        let (before, element) = rest.split_at(start.start);
        let name = &rest[start.start + 1..start.end];
        let Some(length) = length(element, name) else {
            found.push(Err(Unreadable::whole("the end of the element is missing: the message was cut")));
            break;
        };
        let (element, after) = element.split_at(length);
        found.push(if position(before, b"<!DOCTYPE").is_some() {
            Err(Unreadable::whole("it declares a document type: send XML without <!DOCTYPE"))
        } else if length > LENGTH_MAX {
            Err(Unreadable::whole(format_args!("it has {length} bytes: at most {LENGTH_MAX} are read")))
        } else {
            Ok(element)
        });
        rest = after;
    }
    found
}

/// Returns where the first start tag of an alert begins, and where its name ends.
fn start(text: &[u8]) -> Option<Range<usize>> {
    let mut searched = 0;
    loop {
        let name = searched + position(&text[searched..], NAME)?;
        let end = name + NAME.len();
        let earliest = name.saturating_sub(PREFIX_MAX);
        let before = &text[earliest..name];
        if let Some(open) = before.iter().rposition(|byte| *byte == b'<') {
            let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
            let is_prefix = match &before[open + 1..] {
                [] => true,
                [prefix @ .., b':'] => !prefix.is_empty() && prefix.iter().all(is_name),
                _ => false,
            };
            let is_whole =
                text.get(end).is_some_and(|byte| byte.is_ascii_whitespace() || b"/>".contains(byte));
            if is_prefix && is_whole {
                return Some(earliest + open..end);
            }
        }
        searched = end;
    }
}

/// Returns the length of an element up to the end of its end tag.
fn length(element: &[u8], name: &[u8]) -> Option<usize> {
    let tag = [b"</", name].concat();
    let name_end = position(element, &tag)? + tag.len();
    let spaces = element[name_end..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let end = name_end + spaces;
    (element.get(end) == Some(&b'>')).then_some(end + 1)
}

fn position(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// Reads an alert.
fn reports(alert: &[u8], settings: &Settings) -> Result<Vec<Report>, Unreadable> {
    let text = str::from_utf8(alert).map_err(Unreadable::whole)?;
    let document = Document::parse(text).map_err(Unreadable::whole)?;
    let alert = Element { node: document.root_element(), place: String::new() };
    let mac = alert.text("macAddress").map(Name);
    let event = alert.text("eventType").unwrap_or_default();
    let is_counting = event.is_empty() || event.eq_ignore_ascii_case("PeopleCounting");
    if !is_counting && mac.is_none() && settings.device.is_none() {
        return Ok(Vec::new());
    }
    let device = settings.device("macAddress", mac)?;
    let channel = alert.text("channelID").or_else(|| alert.text("dynChannelID"));
    let line = format!("{device}/{}", channel.as_deref().unwrap_or("1"));
    if !is_counting {
        let ts = alert.time("dateTime").ok();
        let is_active = alert.text("eventState").is_some_and(|state| state.eq_ignore_ascii_case("active"));
        let is_fault = is_active && FAULTS.iter().any(|fault| event.eq_ignore_ascii_case(fault));
        let content = Content::Heartbeat { ts, battery: None, faults: is_fault.then_some(event) };
        return Ok(vec![Report::new(line, content)]);
    }
    let mut reports = Vec::new();
    for counting in alert.children("peopleCounting") {
        let serial = match counting.text("regionsID") {
            Some(region) if region != "1" => format!("{line}.{region}"),
            _ => line.clone(),
        };
        let content = counting.content(&alert)?;
        let is_stored = [&alert, &counting].iter().any(|element| {
            let flag = element.text("isDataRetransmission").unwrap_or_default();
            flag.eq_ignore_ascii_case("true") || flag == "1"
        });
        reports.push(Report { is_stored, ..Report::new(serial, content) });
    }
    if reports.is_empty() {
        return Err(Unreadable::at("peopleCounting", "it is missing"));
    }
    Ok(reports)
}

/// An element, whose name and namespace are not compared by their prefix.
struct Element<'document, 'text> {
    node: Node<'document, 'text>,
    /// Its place in the alert, with a dot at its end.
    place: String,
}

impl Element<'_, '_> {
    /// Returns its direct children of a name.
    fn children(&self, name: &str) -> impl Iterator<Item = Self> {
        let is_one = move |node: &Node<'_, '_>| node.tag_name().name().eq_ignore_ascii_case(name);
        let place = format!("{}{name}.", self.place);
        self.node.children().filter(is_one).map(move |node| Self { node, place: place.clone() })
    }

    /// Returns the text of its direct child of a name, unless it is empty.
    fn text(&self, name: &str) -> Option<String> {
        let child = self.children(name).next()?;
        let text: String =
            child.node.children().filter_map(|node| node.text().filter(|_| node.is_text())).collect();
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    fn needed(&self, name: &str) -> Result<String, Unreadable> {
        self.text(name).ok_or_else(|| self.wrong(name, "it is missing"))
    }

    fn time(&self, name: &str) -> Result<Timestamp, Unreadable> {
        self.needed(name)?.parse().map_err(|error: values::ParseInstantError| self.wrong(name, error))
    }

    fn people(&self, name: &str) -> Result<i64, Unreadable> {
        let text = self.needed(name)?;
        let people = text.parse().ok().filter(|people| *people >= 0);
        people.ok_or_else(|| {
            let given = values::shown(&text);
            self.wrong(name, format_args!("invalid number {given}: use a whole number of 0 or more"))
        })
    }

    /// Reads what an element `peopleCounting` tells.
    fn content(&self, alert: &Self) -> Result<Content, Unreadable> {
        let (toward, away) = (self.people("enter")?, self.people("exit")?);
        match self.needed("statisticalMethods")?.as_str() {
            "realTime" => {
                let own = self.children("RealTime").next().filter(|element| element.text("time").is_some());
                let ts = own.map_or_else(|| alert.time("dateTime"), |own| own.time("time"))?;
                Ok(Content::Totals { ts: Some(ts), toward, away, bits: None })
            }
            "timeRange" => {
                let range = self.children("TimeRange").next();
                let range = range.ok_or_else(|| self.wrong("TimeRange", "it is missing"))?;
                let (from, to) = (range.time("startTime")?, range.time("endTime")?);
                Ok(Content::Interval { from, to, toward, away })
            }
            other => {
                let given = values::shown(other);
                Err(self.wrong(
                    "statisticalMethods",
                    format_args!("unknown method {given}: accepted are realTime and timeRange"),
                ))
            }
        }
    }

    fn wrong(&self, name: &str, reason: impl std::fmt::Display) -> Unreadable {
        Unreadable::at(format!("{}{name}", self.place), reason)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::Format;

    const REAL_TIME: &str = include_str!("../fixtures/hikvision/real_time.xml");
    const TIME_RANGE: &str = include_str!("../fixtures/hikvision/time_range.xml");
    const VIDEO_LOSS: &str = include_str!("../fixtures/hikvision/video_loss.xml");
    const MULTIPART: &[u8] = include_bytes!("../fixtures/hikvision/multipart.bin");

    fn told(message: &str) -> Message {
        decode(message.as_bytes(), &Settings::default()).unwrap_or_else(|error| panic!("{error}: {message}"))
    }

    fn error(message: &str) -> String {
        decode(message.as_bytes(), &Settings::default()).unwrap_err().to_string()
    }

    fn ts(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn totals() -> Report {
        let ts = Some(ts("2026-02-03T08:15:30Z"));
        Report::new("44:19:b6:0a:51:7e/2", Content::Totals { ts, toward: 41, away: 37, bits: None })
    }

    fn interval() -> Report {
        let (from, to) = (ts("2026-02-03T08:10:00Z"), ts("2026-02-03T08:15:00Z"));
        let content = Content::Interval { from, to, toward: 8, away: 6 };
        Report { is_stored: true, ..Report::new("44:19:b6:0a:51:7e/2.3", content) }
    }

    #[test]
    fn children_people_who_pass_and_those_seen_twice_are_not_counted_again() {
        // The children are beside the people of one message, and within those of the other.
        assert_eq!(told(REAL_TIME).reports, [totals()]);
        assert_eq!(told(TIME_RANGE).reports, [interval()]);
        let before =
            TIME_RANGE.replacen("<hik:enter> 8", "<hik:x><hik:enter>99</hik:enter></hik:x><hik:enter>8", 1);
        assert_eq!(told(&before).reports, [interval()]);
        let first = REAL_TIME.replacen("<peopleCounting>", "<x><peopleCounting/></x><peopleCounting>", 1);
        assert_eq!(told(&first).reports, [totals()]);
    }

    #[test]
    fn both_kinds_of_the_same_people_are_reported_from_among_pictures() {
        assert_eq!(
            decode(MULTIPART, &Settings::default()),
            Ok(Message { reports: vec![totals(), interval()], ..Message::default() })
        );
    }

    #[test]
    fn what_a_camera_sends_again_is_stored() {
        for (flag, is_stored) in [("true", true), ("1", true), ("false", false), ("", false)] {
            let with = |text: &str| {
                let message =
                    text.replace("DataRetransmission>false<", &format!("DataRetransmission>{flag}<"));
                told(&message).reports[0].is_stored
            };
            let inner = REAL_TIME.replace("<isDataRetransmission>false</isDataRetransmission>", "").replace(
                "</peopleCounting>",
                "<isDataRetransmission>false</isDataRetransmission></peopleCounting>",
            );
            assert_eq!((with(REAL_TIME), with(&inner)), (is_stored, is_stored), "{flag}");
        }
    }

    #[test]
    fn a_region_other_than_the_first_is_a_line_by_itself() {
        let serial = |from: &str, to: &str| told(&REAL_TIME.replace(from, to)).reports[0].serial.clone();
        let region = "<regionsID>1</regionsID>";
        assert_eq!(serial(region, ""), "44:19:b6:0a:51:7e/2");
        assert_eq!(serial(region, "<regionsID/>"), "44:19:b6:0a:51:7e/2");
        assert_eq!(serial(region, "<regionsID>2</regionsID>"), "44:19:b6:0a:51:7e/2.2");
        let channel = "<channelID>2</channelID>";
        assert_eq!(serial(channel, ""), "44:19:b6:0a:51:7e/1");
        assert_eq!(serial(channel, "<dynChannelID>33</dynChannelID>"), "44:19:b6:0a:51:7e/33");
        let settings = Settings::parse(Format::Hikvision, [("device", "North")]).unwrap();
        let nameless = REAL_TIME.replace("<macAddress>44:19:b6:0a:51:7e</macAddress>", "");
        assert_eq!(decode(nameless.as_bytes(), &settings).unwrap().reports[0].serial, "North/2");
        assert!(error(&nameless).starts_with("macAddress: it is missing"));
    }

    #[test]
    fn totals_without_a_time_of_their_own_have_the_time_of_the_alert() {
        let timeless = REAL_TIME.replace("<time>2026-02-03T09:15:30+01:00</time>", "");
        assert_eq!(told(&timeless).reports[0].content.ts(), Some(ts("2026-02-03T08:15:31Z")));
    }

    #[test]
    fn other_events_are_signs_of_life() {
        let alive = |faults: Option<&str>| {
            let ts = Some(ts("2026-02-03T08:16:00Z"));
            let content = Content::Heartbeat { ts, battery: None, faults: faults.map(str::to_owned) };
            vec![Report::new("44:19:b6:0a:51:7e/2", content)]
        };
        assert_eq!(told(VIDEO_LOSS).reports, alive(None));
        let lost = VIDEO_LOSS.replace("inactive", "active");
        assert_eq!(told(&lost).reports, alive(Some("videoloss")));
        assert_eq!(told(&lost.replace("videoloss", "VMD")).reports, alive(None));
        let nameless = told(&VIDEO_LOSS.replace("macAddress", "address"));
        assert_eq!(nameless.reports, []);
        assert!(nameless.nothing.is_some());
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (from, to, expected) in [
            ("<enter>41<", "<enter>-1<", "peopleCounting.enter: invalid number \"-1\": use a whole number"),
            ("<exit>37<", "<exit>3.5<", "peopleCounting.exit: invalid number \"3.5\""),
            ("<exit>37</exit>", "<exit/>", "peopleCounting.exit: it is missing"),
            (">realTime<", ">weekly<", "peopleCounting.statisticalMethods: unknown method \"weekly\""),
            (">realTime<", ">timeRange<", "peopleCounting.TimeRange: it is missing"),
            (
                "09:15:30+01:00</time>",
                "25:15</time>",
                "peopleCounting.RealTime.time: \"2026-02-03T25:15\" is not",
            ),
            ("peopleCounting>", "other>", "peopleCounting: it is missing"),
            ("</EventNotificationAlert>", "", "the end of the element is missing"),
            (
                "<EventNotificationAlert",
                "<EventNotificationAlerts",
                "it has no element EventNotificationAlert",
            ),
            ("</exit>", "</enter>", "expected 'exit' tag, not 'enter' at"),
        ] {
            let error = error(&REAL_TIME.replace(from, to));
            assert!(error.starts_with(expected), "{from} {to}: {error}");
        }
    }

    #[test]
    fn one_of_several_alerts_that_cannot_be_read_leaves_the_others() {
        let both = format!("{}{TIME_RANGE}", REAL_TIME.replace("<enter>41<", "<enter>x<"));
        let decoded = told(&both);
        assert_eq!(decoded.reports, [interval()]);
        assert_eq!(decoded.unreadable[0].place, "EventNotificationAlert[0].peopleCounting.enter");
        let cut = format!("{TIME_RANGE}{}", &REAL_TIME[..300]);
        assert_eq!(told(&cut).reports, [interval()]);
        assert_eq!(told(&cut).unreadable[0].place, "EventNotificationAlert[1]");
    }

    #[test]
    fn entities_are_not_expanded() {
        let bomb = r#"<!DOCTYPE a [<!ENTITY b "99"><!ENTITY c "&b;&b;&b;">]>"#;
        let before = REAL_TIME.replacen("?>", &format!("?>{bomb}"), 1);
        assert!(error(&before).starts_with("it declares a document type"));
        let inside = REAL_TIME.replace("<portNo>", &format!("{bomb}<portNo>"));
        error(&inside);
        let used = REAL_TIME.replace("<enter>41<", "<enter>&c;<");
        assert!(error(&used).contains("unknown entity"), "{}", error(&used));
    }

    #[test]
    fn a_long_message_is_read_in_time_that_grows_with_its_length() {
        let mut attributes = String::new();
        for number in 0..200_000 {
            let _ = write!(attributes, " a{number}=\"\"");
        }
        let long = REAL_TIME.replacen("version=\"2.0\"", &attributes, 1);
        assert!(error(&long).contains("bytes: at most 65536 are read"));
        assert!(error(&"<EventNotificationAlert>".repeat(100_000)).contains("was cut"));
        assert!(error(&"EventNotificationAlert".repeat(100_000)).contains("no element"));
        let deep = format!("{}{}", "<a>".repeat(9_000), "</a>".repeat(9_000));
        assert_eq!(told(&REAL_TIME.replace("<portNo>80</portNo>", &deep)).reports, [totals()]);
    }
}
