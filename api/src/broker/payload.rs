//! The payload of a message: reports of the DPU in its subject.
//!
//! A payload is a JSON object, an array of them, or CSV lines `timestamp,direction,dpu_id[,seq]` without a header, also
//! with semicolons or tabs as separators. An object may be an event, an interval, totals or a heartbeat. Reports of any
//! other DPU are rejected.

use tokio_util::bytes::BytesMut;
use tokio_util::codec::Decoder as _;

use crate::floor_plan::device_key;
use crate::ingest::decoder::{Decoder, Format};
use crate::ingest::{Batch, Rejection, RejectionCode, Report, json};

/// Number of unreadable events after which the rest of a payload is ignored.
const UNREADABLE_MAX: usize = 1_000;

#[derive(Debug)]
pub(super) struct Contents {
    /// Each event, or what is wrong with it.
    pub(super) events: Batch,
    /// Why nothing after them can be read.
    pub(super) broken: Option<String>,
}

pub(super) fn read(serial: &str, payload: &[u8]) -> Contents {
    let (events, broken) = unsigned_events(serial, payload);
    let events = events.into_iter().map(|event| event.and_then(|event| own(serial, event))).collect();
    Contents { events, broken }
}

/// Returns the events of a payload, whose subject or topic does not say who has published it, and why nothing after them can be
/// read. `serial` is the DPU of events that name none.
pub(crate) fn unsigned_events(serial: &str, payload: &[u8]) -> (Batch, Option<String>) {
    let text = payload.strip_prefix(b"\xef\xbb\xbf").unwrap_or(payload);
    let first = text.trim_ascii_start().first();
    let (events, broken) = match first {
        None => (vec![], None),
        Some(b'{') => (vec![json::report(text, Some(serial))], None),
        Some(b'[') => decoded(Decoder::new(Format::Json).of_dpu(serial), text),
        Some(_) => decoded(Decoder::bare_csv(), text),
    };
    let is_empty = events.is_empty() && broken.is_none() && first != Some(&b'[');
    let broken = broken.or(is_empty.then(|| "the payload is empty: send one event or more".to_owned()));
    (events, broken)
}

fn decoded(mut decoder: Decoder, text: &[u8]) -> (Batch, Option<String>) {
    let (mut source, mut events, mut unreadable) = (BytesMut::from(text), Vec::new(), 0);
    loop {
        match decoder.decode_eof(&mut source) {
            Ok(Some(entry)) => {
                unreadable += usize::from(entry.report.is_err());
                events.push(entry.report);
                if unreadable == UNREADABLE_MAX {
                    let reason = format!("{UNREADABLE_MAX} events cannot be read, so the rest is ignored");
                    return (events, Some(reason));
                }
            }
            Ok(None) => return (events, None),
            Err(error) => return (events, Some(error.to_string())),
        }
    }
}

/// Returns the event if it is the DPU's own.
fn own(serial: &str, event: Report) -> Result<Report, Rejection> {
    if device_key(event.serial()) == device_key(serial) {
        return Ok(event);
    }
    let message = format!(
        "the event is of the DPU {:?}, but came under the subject of {serial:?}: a DPU may publish only its own events",
        event.serial()
    );
    Err(Rejection::new(RejectionCode::Malformed, message))
}

#[cfg(test)]
mod tests {
    use entity::event::Direction;
    use proptest::prelude::*;

    use super::*;
    use crate::ingest::fuzz::damaged;
    use crate::ingest::{Crossing, Heartbeat, IntervalReport, TotalsReport};

    /// Reads a payload of DPU 283. Returns whether each event is valid, and why the rest cannot be read.
    fn good(payload: &str) -> (Vec<bool>, Option<String>) {
        let Contents { events, broken } = read("283", payload.as_bytes());
        (events.iter().map(Result::is_ok).collect(), broken)
    }

    #[test]
    fn every_form_is_the_same_event() {
        let expected = Report::Crossing(Crossing {
            serial: "283".to_owned(),
            ts: "2018-05-01T08:46:00Z".parse().unwrap(),
            direction: Direction::Away,
            seq: 2,
        });
        let trimmed = |event: Report| match event {
            Report::Crossing(event) => {
                Report::Crossing(Crossing { serial: event.serial.trim().to_owned(), ..event })
            }
            other => other,
        };
        for payload in [
            r#"{"timestamp":"2018-05-01T08:46:00Z","direction":-1,"dpu_id":"283","seq":2}"#,
            "\u{feff} {\"ts\":\"2018-05-01T08:46:00Z\",\"direction\":\"AWAY\",\"dpu\":283,\"seq\":2}\n",
            r#"{"ts":"2018-05-01T08:46:00Z","direction":-1,"seq":2}"#,
            r#" [ {"ts":"2018-05-01T08:46:00Z","direction":-1,"dpu_id":null,"seq":2} ] "#,
            r#"{"ts":1525164360,"direction":-1.0,"dpu_id":" 283 ","seq":2.0}"#,
            "2018-05-01T08:46:00Z,-1,283,2",
            "2018-05-01T08:46:00Z;-1;283;2",
            "2018-05-01T08:46:00Z\t-1\t283\t2\t\r",
            "\r\n\"2018-05-01T08:46:00Z\", -1 ,\"283\",2\r\n\r\n",
        ] {
            let Contents { events, broken } = read("283", payload.as_bytes());
            let events: Batch = events.into_iter().map(|event| event.map(trimmed)).collect();
            assert_eq!((events, broken), (vec![Ok(expected.clone())], None), "{payload}");
        }
    }

    #[test]
    fn every_kind_of_report_may_leave_out_its_dpu() {
        let payload = r#"[
            {"from":"2018-05-01T08:46:00Z","to":"2018-05-01T08:47:00Z","toward":3,"away":1},
            {"ts":"2018-05-01T08:46:00Z","total_toward":3,"total_away":1},
            {"heartbeat":true,"battery":87.5,"faults":["lens covered"]}]"#;
        let Contents { events, broken } = read("283", payload.as_bytes());
        assert_eq!(broken, None);
        let ts = |text: &str| text.parse().unwrap();
        let serial = || "283".to_owned();
        let (from, to) = (ts("2018-05-01T08:46:00Z"), ts("2018-05-01T08:47:00Z"));
        let interval = IntervalReport { serial: serial(), from, to, toward: 3, away: 1, revise: false };
        let totals = TotalsReport { serial: serial(), ts: from, toward: 3, away: 1, force: false };
        let faults = Some("lens covered".to_owned());
        let heartbeat = Heartbeat { serial: serial(), clock: None, battery: Some(87.5), faults };
        assert_eq!(
            events,
            [Ok(Report::Interval(interval)), Ok(Report::Totals(totals)), Ok(Report::Heartbeat(heartbeat))]
        );
    }

    #[test]
    fn an_invalid_event_affects_no_other_that_can_be_read() {
        let event = r#"{"ts":"2018-05-01","direction":1}"#;
        for (payload, events, broken) in [
            (String::new(), vec![], Some("the payload is empty")),
            (" \n".to_owned(), vec![], Some("the payload is empty")),
            ("\u{feff}\u{feff}\r".to_owned(), vec![], Some("the payload is empty")),
            ("[]".to_owned(), vec![], None),
            (format!("[{event},{{}},7,{event}]"), vec![true, false, false, true], None),
            (format!("[{event},"), vec![true], Some("breaks off")),
            (format!("[{event}] x"), vec![true], Some("text follows its end")),
            (format!("{event}{event}"), vec![false], None),
            ("hello".to_owned(), vec![false], None),
            (
                "2018-05-01,1,283\n2018-05-02,0,283\n2018-05-03,-1,283,1".to_owned(),
                vec![true, false, true],
                None,
            ),
            ("2018-05-01,1,283\r2018-05-02,1,283\r\n2018-05-03,1,283\n".to_owned(), vec![true; 3], None),
            (r#"{"ts":"2018-05-01","direction":1,"count":12}"#.to_owned(), vec![false], None),
            ("2018-05-01,1".to_owned(), vec![false], None),
            ("2018-05-01,1,283,0,0".to_owned(), vec![false], None),
        ] {
            let (found, reason) = good(&payload);
            assert_eq!(found, events, "{payload}");
            assert_eq!(reason.is_some(), broken.is_some(), "{payload}");
            assert!(reason.unwrap_or_default().contains(broken.unwrap_or_default()), "{payload}");
        }
    }

    #[test]
    fn a_payload_with_too_many_unreadable_events_is_not_read_to_its_end() {
        let (events, broken) = good(&format!("[{}1]", "1,".repeat(500_000)));
        assert_eq!(events.len(), UNREADABLE_MAX);
        assert_eq!(broken.as_deref(), Some("1000 events cannot be read, so the rest is ignored"));
    }

    #[test]
    fn an_event_of_another_dpu_is_rejected() {
        for payload in [
            r#"{"ts":"2018-05-01","direction":1,"dpu":"284"}"#,
            r#"[{"ts":"2018-05-01","direction":1,"dpu":284}]"#,
            "2018-05-01,1,284",
        ] {
            let rejection = read("283", payload.as_bytes()).events.remove(0).unwrap_err();
            assert!(rejection.message.starts_with(r#"the event is of the DPU "284""#), "{rejection}");
        }
    }

    #[test]
    fn a_dpu_may_spell_its_address_in_any_way() {
        for payload in [
            r#"{"ts":"2018-05-01","direction":1,"dpu":"80:1F:12:D5:30:DC"}"#,
            "2018-05-01,1,80-1f-12-d5-30-dc",
        ] {
            let Contents { events, broken } = read("801f12d530dc", payload.as_bytes());
            assert!(broken.is_none() && events.iter().all(Result::is_ok), "{events:?}");
        }
    }

    const TEXTS: &[&str] = &[
        r#"{"ts":"2018-05-01T08:46:00Z","direction":-1,"dpu":283}"#,
        "2018-05-01T08:46:00Z,-1,283,2\n",
        "2018-05-01;1;283\r",
        "[",
        "]",
        ",",
        "\u{feff}",
        "\r\n",
    ];

    proptest! {
        #[test]
        fn fuzz_message(payload in damaged(TEXTS)) {
            let Contents { events, broken } = read("283", &payload);
            // Every payload gives an event or a reason, except an empty array.
            let is_array = payload.contains(&b'[') && payload.contains(&b']');
            prop_assert!(!events.is_empty() || broken.is_some() || is_array);
            prop_assert!(events.len() <= payload.len() + 1);
            for event in events.into_iter().flatten() {
                prop_assert_eq!(event.serial().trim(), "283");
            }
        }
    }
}
