//! ChirpStack v4: events of LoRaWAN devices.
//!
//! An uplink needs the payload as the codec of its device profile decodes it; [`lorawan`] reads that. Which event it is, the
//! setting `event` says, which ChirpStack itself adds to the address, or else its members tell. An event `status` tells
//! how the battery is. All other events count nobody.

use serde::Deserialize;
use serde_json::{Map, Value};
use values::Instant;

use crate::json::{self, Name, Time};
use crate::lorawan::{self, Uplink};
use crate::report::{Content, Message, Report, Unreadable};
use crate::settings::Settings;

/// An event. What of it cannot be read makes none of the other events unreadable.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    device_info: Map<String, Value>,
    time: Option<Value>,
    #[serde(default)]
    object: Value,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    f_port: Value,
    rx_info: Option<Value>,
    integration_name: Option<Value>,
    margin: Option<Value>,
    #[serde(default)]
    battery_level: Value,
    #[serde(default)]
    battery_level_unavailable: Value,
    #[serde(default)]
    external_power_source: Value,
}

pub(crate) fn decode(message: &[u8], settings: &Settings) -> Result<Message, Unreadable> {
    if !matches!(message.trim_ascii_start().first(), None | Some(b'{' | b'[' | b'\xef')) {
        return Err(Unreadable::whole(
            "the message is not JSON: set the integration of ChirpStack to JSON instead of Protobuf",
        ));
    }
    let mut decoded = Message::default();
    let mut nothing = None;
    for document in json::documents::<Map<String, Value>>(message)? {
        if !document.contains_key("deviceInfo") {
            return Err(Unreadable::at(
                "deviceInfo",
                "it is missing: accepted are events of ChirpStack v4 as JSON",
            ));
        }
        match json::part::<Event>("", &Value::Object(document)) {
            Ok(event) => nothing = nothing.or(event.read(settings, &mut decoded)),
            Err(error) => decoded.unreadable.push(error),
        }
    }
    if decoded.reports.is_empty() && decoded.unreadable.is_empty() {
        decoded.nothing = nothing.or(Some("it holds no event"));
    }
    Ok(decoded)
}

impl Event {
    /// Returns its name, as ChirpStack itself names it. An event of which the members tell nothing has none.
    fn name<'a>(&self, settings: &'a Settings) -> &'a str {
        match settings.event.as_deref() {
            Some(name) => name,
            None if self.integration_name.is_some() => "integration",
            None if self.margin.is_some() || !self.battery_level.is_null() => "status",
            None if !self.object.is_null() || !self.data.is_null() || self.rx_info.is_some() => "up",
            None => "",
        }
    }

    /// Reads it, or returns why there is nothing to count in it.
    fn read(self, settings: &Settings, decoded: &mut Message) -> Option<&'static str> {
        let name = self.name(settings);
        if !matches!(name, "up" | "status") {
            return Some("it is neither an uplink nor a status");
        }
        let device = match device(&self.device_info, settings) {
            Ok(device) => device,
            Err(error) => {
                decoded.unreadable.push(error);
                return None;
            }
        };
        let arrival = self.time.as_ref().and_then(instant);
        let mut alive = Content::alive(None);
        match (name, &self.object) {
            ("up", Value::Object(payload)) => {
                let uplink = Uplink { device: &device, arrival, place: "object", payload };
                lorawan::reports(&uplink, settings, decoded);
                return None;
            }
            ("up", _) if self.has_payload() => decoded.unreadable.push(Unreadable::at(
                "object",
                "it is missing: set a codec in the device profile in ChirpStack, which can decode what the device sends",
            )),
            ("status", _) => alive = Content::Heartbeat { ts: None, battery: self.battery(), faults: None },
            _ => {}
        }
        decoded.reports.push(Report { arrival, ..Report::new(device, alive) });
        None
    }

    /// Whether the device sent something, and not an empty frame.
    fn has_payload(&self) -> bool {
        let is_empty = |value: &Value| value.is_null() || *value == *"" || *value == 0;
        !self.object.is_null() || !is_empty(&self.data) || !is_empty(&self.f_port)
    }

    /// Returns the charge of the battery. Without a battery, the level is 0.
    fn battery(&self) -> Option<f64> {
        let is_set = |flag: &Value| *flag == Value::Bool(true);
        let has_none = is_set(&self.battery_level_unavailable) || is_set(&self.external_power_source);
        lorawan::percent(&self.battery_level).filter(|_| !has_none)
    }
}

/// Returns the EUI of the device, or else the device of the settings.
fn device(info: &Map<String, Value>, settings: &Settings) -> Result<String, Unreadable> {
    let eui = info.get("devEui").filter(|eui| !eui.is_null());
    let eui = eui.map(|eui| json::part::<Name>("deviceInfo.devEui", eui)).transpose()?;
    settings.device("deviceInfo.devEui", eui)
}

fn instant(time: &Value) -> Option<Instant> {
    json::part::<Time>("", time).ok().map(|Time(ts)| ts.in_utc())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Format;

    const UP: &[u8] = include_bytes!("../fixtures/chirpstack/up_vs133.json");
    const STATUS: &[u8] = include_bytes!("../fixtures/chirpstack/status.json");

    fn told_as(event: &str, message: &[u8]) -> Message {
        let settings = [("event", event)].into_iter().filter(|(_, event)| !event.is_empty());
        decode(message, &Settings::parse(Format::Chirpstack, settings).unwrap()).unwrap()
    }

    fn changed(message: &[u8], member: &str, value: Value) -> Vec<u8> {
        let mut message: Value = serde_json::from_slice(message).unwrap();
        message[member] = value;
        message.to_string().into_bytes()
    }

    fn arrived(ts: &str, serial: &str, content: Content) -> Report {
        Report { arrival: Some(ts.parse().unwrap()), ..Report::new(serial, content) }
    }

    #[test]
    fn an_uplink_reports_the_lines_that_it_holds() {
        let expected = [
            ("24e124725c481203/1", Content::Totals { ts: None, toward: 266, away: 249, bits: Some(32) }),
            ("24e124725c481203/3", Content::Totals { ts: None, toward: 70_012, away: 0, bits: Some(32) }),
            ("24e124725c481203/4", Content::alive(None)),
        ]
        .map(|(serial, content)| arrived("2026-03-02T09:20:41.118Z", serial, content));
        for event in ["", "up"] {
            let message = told_as(event, UP);
            assert_eq!(message.reports, expected);
            assert_eq!(message.unreadable, []);
        }
    }

    #[test]
    fn a_status_tells_of_the_battery() {
        let device = "24e124791d204418";
        let battery = |message: &[u8], event| {
            let reports = told_as(event, message).reports;
            match &reports[..] {
                [
                    Report {
                        serial,
                        arrival,
                        content: Content::Heartbeat { ts: None, battery, faults: None },
                        ..
                    },
                ] => {
                    assert_eq!(serial, device);
                    assert_eq!(arrival.unwrap().to_string(), "2026-03-02T10:00:00.402Z");
                    *battery
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(battery(STATUS, ""), Some(74.02));
        assert_eq!(battery(STATUS, "status"), Some(74.02));
        for unknown in [json!(255), json!(-1), json!(100.5), Value::Null] {
            assert_eq!(battery(&changed(STATUS, "batteryLevel", unknown), "status"), None);
        }
        for without in ["externalPowerSource", "batteryLevelUnavailable"] {
            assert_eq!(battery(&changed(STATUS, without, json!(true)), ""), None, "{without}");
        }
    }

    #[test]
    fn other_events_count_nobody() {
        let nothing = Message::nothing("it is neither an uplink nor a status");
        for event in ["join", "ack", "txack", "log", "location", "integration"] {
            assert_eq!(told_as(event, UP), nothing, "{event}");
        }
        let info = json!({"devEui": "1"});
        for message in [
            json!({"deviceInfo": info, "devAddr": "00189440"}),
            json!({"deviceInfo": info, "level": "ERROR", "code": "UPLINK_CODEC", "description": "x"}),
            json!({"deviceInfo": info, "acknowledged": true, "fCntDown": 3}),
            json!({"deviceInfo": info, "integrationName": "x", "object": {"total_in": 1, "total_out": 1}}),
        ] {
            assert_eq!(told_as("", message.to_string().as_bytes()), nothing, "{message}");
        }
    }

    #[test]
    fn without_a_codec_the_device_is_alive() {
        for message in [changed(UP, "object", Value::Null), changed(UP, "object", json!("x"))] {
            let Message { reports, unreadable, .. } = told_as("", &message);
            assert_eq!(
                reports,
                [arrived("2026-03-02T09:20:41.118Z", "24e124725c481203", Content::alive(None))]
            );
            assert_eq!(unreadable.len(), 1);
            assert_eq!(unreadable[0].place, "object");
            assert!(unreadable[0].reason.contains("set a codec"), "{}", unreadable[0]);
        }
        let empty = told_as("", br#"{"deviceInfo": {"devEui": "1"}, "fPort": 0, "data": "", "rxInfo": []}"#);
        assert_eq!(empty.reports, [Report::new("1", Content::alive(None))]);
        assert_eq!(empty.unreadable, []);
    }

    #[test]
    fn an_error_names_the_member() {
        for (info, place) in [(json!({}), "deviceInfo.devEui"), (json!([]), "deviceInfo")] {
            let told = told_as("", &changed(UP, "deviceInfo", info));
            assert_eq!(told.reports, []);
            assert_eq!(told.unreadable[0].place, place);
        }
        let settings = Settings::parse(Format::Chirpstack, [("device", "D")]).unwrap();
        let told = decode(&changed(UP, "deviceInfo", json!({})), &settings).unwrap();
        assert_eq!(told.reports[0].serial, "D/1");
        for (message, expected) in [
            (&b"\n$3ac7e3c4"[..], "the message is not JSON: set the integration of ChirpStack to JSON"),
            (b"{", "EOF while parsing"),
            (b"", "the message is empty"),
            (b"{\"devEUI\": \"AQI=\"}", "deviceInfo: it is missing"),
        ] {
            let error = decode(message, &Settings::default()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
