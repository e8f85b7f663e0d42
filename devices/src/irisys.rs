//! Irisys Vector and Gazelle: count logs with the totals of registers.
//!
//! A register counts one direction, and grows until the device is restarted. Each register is a line by itself,
//! `DEVICE/REGISTER`, whose people all go in. With the settings `in` and `out`, which name two registers, they are the two
//! directions of one line, `DEVICE`.

use serde::Deserialize;

use crate::json::{self, Name, Number, Time};
use crate::report::{Content, Message, Unreadable};
use crate::settings::Settings;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Push {
    friendly_device_serial: Option<Name>,
    count_logs: Vec<CountLog>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CountLog {
    timestamp: Time,
    counts: Vec<Register>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Register {
    name: Option<Name>,
    register_id: Name,
    value: Number,
}

impl Register {
    fn is(&self, wanted: &str) -> bool {
        self.register_id.0 == wanted || self.name.as_ref().is_some_and(|name| name.0 == wanted)
    }
}

pub(crate) fn decode(message: &[u8], settings: &Settings) -> Result<Message, Unreadable> {
    let mut decoded = Message::default();
    for Push { friendly_device_serial, count_logs } in json::documents(message)? {
        let device = settings.device("FriendlyDeviceSerial", friendly_device_serial)?;
        for CountLog { timestamp: Time(ts), counts } in count_logs {
            let ts = Some(ts);
            if let Some((into, out)) = settings.directions() {
                let value = |wanted| {
                    counts.iter().find(|register| register.is(wanted)).map(|register| register.value.0)
                };
                let content = match (value(into), value(out)) {
                    (Some(toward), Some(away)) => Content::Totals { ts, toward, away, bits: None },
                    _ => Content::alive(ts),
                };
                decoded.push(device.clone(), content);
                continue;
            }
            for Register { register_id: Name(register), value: Number(toward), .. } in counts {
                decoded.push(
                    format!("{device}/{register}"),
                    Content::Totals { ts, toward, away: 0, bits: None },
                );
            }
        }
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Format;

    const CAUGHT_UP: &[u8] = include_bytes!("../fixtures/irisys/caught_up.json");

    fn told(settings: &[(&str, &str)]) -> Vec<(String, i64, i64)> {
        let settings = Settings::parse(Format::Irisys, settings.iter().copied()).unwrap();
        let reports = decode(CAUGHT_UP, &settings).unwrap().reports;
        let told = |report: crate::Report| match report.content {
            Content::Totals { toward, away, .. } => (report.serial, toward, away),
            other => panic!("{other:?}"),
        };
        reports.into_iter().map(told).collect()
    }

    #[test]
    fn a_register_is_a_line_and_entries_that_were_missed_are_caught_up() {
        let of = |register: &str, toward| (format!("V4D-17020025/{register}"), toward, 0);
        assert_eq!(told(&[]), [of("0", 121), of("1", 118), of("0", 125), of("1", 119)]);
    }

    #[test]
    fn two_registers_can_be_the_directions_of_one_line() {
        let both = |toward, away| ("V4D-17020025".to_owned(), toward, away);
        assert_eq!(told(&[("in", "0"), ("out", "Line 1 Out")]), [both(121, 118), both(125, 119)]);
        assert_eq!(told(&[("in", "1"), ("out", "0")]), [both(118, 121), both(119, 125)]);
    }
}
