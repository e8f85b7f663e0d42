//! The Things Stack v3: uplinks of LoRaWAN devices.
//!
//! An uplink needs the payload as the payload formatter of its device decodes it; [`lorawan`] reads that. The time of its
//! arrival is that at the network server: the message itself may come later. Members of the envelope that are zero, false
//! or empty are left out. All other messages, such as those of a join, and simulated uplinks count nobody.

use serde::Deserialize;
use serde_json::{Map, Value};
use values::Instant;

use crate::json::{self, Name, Time};
use crate::lorawan::{self, Uplink};
use crate::report::{Content, Message, Report, Unreadable};
use crate::settings::Settings;

/// A message. What of it cannot be read makes none of the other messages unreadable.
#[derive(Deserialize)]
struct Envelope {
    end_device_ids: Option<Value>,
    uplink_message: Option<Map<String, Value>>,
    received_at: Option<Value>,
    simulated: Option<Value>,
}

pub(crate) fn decode(message: &[u8], settings: &Settings) -> Result<Message, Unreadable> {
    let mut decoded = Message::default();
    let mut nothing = None;
    for document in json::documents::<Map<String, Value>>(message)? {
        if !document.contains_key("end_device_ids") && !document.contains_key("uplink_message") {
            return Err(Unreadable::at(
                "end_device_ids",
                "it is missing: accepted are messages of The Things Stack v3 as JSON",
            ));
        }
        match json::part::<Envelope>("", &Value::Object(document)) {
            Ok(envelope) => nothing = nothing.or(envelope.read(settings, &mut decoded)),
            Err(error) => decoded.unreadable.push(error),
        }
    }
    if decoded.reports.is_empty() && decoded.unreadable.is_empty() {
        decoded.nothing = nothing.or(Some("it holds no message"));
    }
    Ok(decoded)
}

impl Envelope {
    /// Reads it, or returns why there is nothing to count in it.
    fn read(self, settings: &Settings, decoded: &mut Message) -> Option<&'static str> {
        let Self { end_device_ids, uplink_message, received_at, simulated } = self;
        if simulated.is_some_and(|simulated| simulated == Value::Bool(true)) {
            return Some("it is a simulated uplink");
        }
        let Some(uplink) = uplink_message else { return Some("it is not an uplink") };
        let device = match device(end_device_ids.as_ref(), settings) {
            Ok(device) => device,
            Err(error) => {
                decoded.unreadable.push(error);
                return None;
            }
        };
        let arrival = uplink.get("received_at").and_then(instant).or_else(|| instant(received_at.as_ref()?));
        match uplink.get("decoded_payload") {
            Some(Value::Object(payload)) => {
                let place = "uplink_message.decoded_payload";
                lorawan::reports(&Uplink { device: &device, arrival, place, payload }, settings, decoded);
            }
            payload => {
                // A frame without a port has no payload.
                if payload.is_some_and(|payload| !payload.is_null())
                    || uplink.contains_key("frm_payload")
                    || uplink.contains_key("f_port")
                {
                    decoded.unreadable.push(Unreadable::at(
                        "uplink_message.decoded_payload",
                        "it is missing: set a payload formatter for the device in The Things Stack, which can decode \
                         what the device sends",
                    ));
                }
                let alive = Report { arrival, ..Report::new(device, Content::alive(None)) };
                decoded.reports.push(alive);
            }
        }
        None
    }
}

/// Returns the EUI of the device, or else the device of the settings.
fn device(ids: Option<&Value>, settings: &Settings) -> Result<String, Unreadable> {
    let eui = ids.and_then(|ids| ids.get("dev_eui")).filter(|eui| !eui.is_null());
    let eui = eui.map(|eui| json::part::<Name>("end_device_ids.dev_eui", eui)).transpose()?;
    settings.device("end_device_ids.dev_eui", eui)
}

fn instant(time: &Value) -> Option<Instant> {
    json::part::<Time>("", time).ok().map(|Time(ts)| ts.in_utc())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Format;

    const VS350: &[u8] = include_bytes!("../fixtures/ttn/vs350.json");
    const VS350_HISTORY: &[u8] = include_bytes!("../fixtures/ttn/vs350_history.json");
    const JOIN: &[u8] = include_bytes!("../fixtures/ttn/join.json");

    fn told(message: &[u8]) -> Message {
        decode(message, &Settings::default()).unwrap()
    }

    fn told_of(message: &Value) -> Message {
        told(message.to_string().as_bytes())
    }

    fn at(ts: &str) -> Instant {
        ts.parse().unwrap()
    }

    /// Returns a message with another member, or without it if it is `None`.
    fn changed(pointer: &str, member: &str, value: Option<Value>) -> Value {
        let mut message: Value = serde_json::from_slice(VS350).unwrap();
        let object = message.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
        match value {
            Some(value) => object.insert(member.to_owned(), value),
            None => object.remove(member),
        };
        message
    }

    #[test]
    fn the_totals_of_an_uplink_count_when_the_network_server_received_it() {
        let Message { reports, unreadable, nothing } = told(VS350);
        let totals = Content::Totals { ts: None, toward: 785, away: 745, bits: Some(16) };
        let heartbeat = Content::Heartbeat { ts: None, battery: Some(92.0), faults: None };
        let arrival = Some(at("2026-03-02T09:15:07.405Z"));
        let expected =
            [totals, heartbeat].map(|content| Report { arrival, ..Report::new("24E124791D204417", content) });
        assert_eq!(reports, expected);
        assert_eq!((unreadable, nothing), (vec![], None));

        let without = told_of(&changed("/uplink_message", "received_at", None));
        assert_eq!(without.reports[0].arrival, Some(at("2026-03-02T09:15:07.612Z")));
        let invalid = told_of(&changed("/uplink_message", "received_at", Some(json!("noon"))));
        assert_eq!(invalid.reports[0].arrival, Some(at("2026-03-02T09:15:07.612Z")));
    }

    #[test]
    fn stored_totals_have_their_own_times() {
        let stored = |ts: &str, toward, away| {
            let ts = Some(ts.parse().unwrap());
            let content = Content::Totals { ts, toward, away, bits: Some(16) };
            let arrival = Some(at("2026-03-02T12:00:01.250Z"));
            Report { arrival, is_stored: true, ..Report::new("24E124791D204417", content) }
        };
        assert_eq!(
            told(VS350_HISTORY).reports,
            [stored("2026-03-02T10:10:00Z", 794, 751), stored("2026-03-02T10:20:00Z", 799, 752)]
        );
    }

    #[test]
    fn a_message_that_is_no_uplink_or_simulated_counts_nobody() {
        assert_eq!(told(JOIN), Message::nothing("it is not an uplink"));
        let simulated = told_of(&changed("", "simulated", Some(json!(true))));
        assert_eq!(simulated, Message::nothing("it is a simulated uplink"));
        assert_eq!(told_of(&changed("", "simulated", Some(json!(false)))), told(VS350));
        assert_eq!(told(b"[]"), Message::nothing("it holds no message"));
    }

    #[test]
    fn members_of_the_envelope_may_be_missing() {
        // The fixture is a first frame, without `f_cnt`.
        for (pointer, member) in [
            ("", "correlation_ids"),
            ("", "received_at"),
            ("/uplink_message", "f_port"),
            ("/uplink_message", "frm_payload"),
            ("/uplink_message", "rx_metadata"),
            ("/uplink_message", "session_key_id"),
        ] {
            assert_eq!(told_of(&changed(pointer, member, None)), told(VS350), "{member}");
        }
    }

    #[test]
    fn without_a_payload_formatter_the_device_is_alive() {
        let Message { reports, unreadable, .. } =
            told_of(&changed("/uplink_message", "decoded_payload", None));
        let arrival = Some(at("2026-03-02T09:15:07.405Z"));
        let alive = Report { arrival, ..Report::new("24E124791D204417", Content::alive(None)) };
        assert_eq!(reports, [alive]);
        assert_eq!(unreadable.len(), 1);
        assert_eq!(unreadable[0].place, "uplink_message.decoded_payload");
        assert!(unreadable[0].reason.contains("set a payload formatter"), "{}", unreadable[0]);

        let empty = told_of(&json!({"end_device_ids": {"dev_eui": "1"}, "uplink_message": {"f_cnt": 4}}));
        assert_eq!(empty.reports, [Report::new("1", Content::alive(None))]);
        assert_eq!(empty.unreadable, []);
    }

    #[test]
    fn an_envelope_is_never_refused() {
        for (message, place) in [
            (changed("/end_device_ids", "dev_eui", None), "end_device_ids.dev_eui"),
            (changed("/end_device_ids", "dev_eui", Some(json!([]))), "end_device_ids.dev_eui"),
            (changed("", "end_device_ids", Some(json!("x"))), "end_device_ids.dev_eui"),
            (changed("", "uplink_message", Some(json!([]))), "uplink_message"),
            (
                changed("/uplink_message", "decoded_payload", Some(json!({"total_in": 3}))),
                "uplink_message.decoded_payload.total_out",
            ),
            (
                changed("/uplink_message", "decoded_payload", Some(json!({"hello": 3}))),
                "uplink_message.decoded_payload",
            ),
        ] {
            let told = told_of(&message);
            let places: Vec<_> = told.unreadable.iter().map(|error| error.place.as_str()).collect();
            assert_eq!(places, [place]);
        }
        let settings = Settings::parse(Format::Ttn, [("device", "D")]).unwrap();
        let unnamed = changed("/end_device_ids", "dev_eui", None).to_string();
        assert_eq!(decode(unnamed.as_bytes(), &settings).unwrap().reports[0].serial, "D");
    }

    #[test]
    fn what_is_no_envelope_is_refused() {
        for (message, expected) in [
            (r#"{"hardware_serial": "1", "payload_fields": {}}"#, "end_device_ids: it is missing"),
            ("hello", "the message is not JSON"),
            ("{", "EOF while parsing"),
        ] {
            let error = decode(message.as_bytes(), &Settings::default()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
