//! Decoded payloads of LoRaWAN devices.
//!
//! What counts is the totals: the next uplink makes up for one that is lost. These devices have no clock, so the time of a
//! total is that of its arrival at the network server; only what a device had stored, `history`, has a time of its own.
//! The people since the uplink before are in many payloads, too. They repeat what the totals tell, and no uplink tells
//! when they begin, so that they prove that the line is alive and no more.
//!
//! Which members hold the totals, the settings say: `in` and `out` by name, or `preset` by device. Without these, the names
//! of the members tell.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use serde_json::{Map, Value};
use values::{Instant, Timestamp};

use crate::json::{self, Number, Time};
use crate::report::{Content, Message, Report, Unreadable};
use crate::settings::Settings;

/// A LoRaWAN device whose decoder's members are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Milesight VS121.
    Vs121,
    /// Milesight VS132.
    Vs132,
    /// Milesight VS133 and VS135.
    Vs133,
    /// Milesight VS350, VS351 and VS360.
    Vs350,
    /// Parametric PCR2.
    Pcr2,
    /// People counters of `IMBuildings`.
    Imbuildings,
    /// Terabee People Counting.
    Terabee,
}

impl Preset {
    pub(crate) const NAMES: &'static str = "vs121, vs132, vs133, vs350, pcr2, imbuildings or terabee";

    const ALL: [Self; 7] =
        [Self::Vs133, Self::Vs121, Self::Vs132, Self::Vs350, Self::Pcr2, Self::Imbuildings, Self::Terabee];

    const fn counters(self) -> Counters<'static> {
        let (toward, away, bits, periods): (_, _, _, &[&str]) = match self {
            Self::Vs133 => return Counters::Numbered,
            Self::Vs121 => ("people_total_in", "people_total_out", 16, &["people_in", "people_out"]),
            Self::Vs132 => {
                let periods = &["periodic_counter_in", "periodic_counter_out"];
                ("total_counter_in", "total_counter_out", 32, periods)
            }
            Self::Vs350 => ("total_in", "total_out", 16, &["period_in", "period_out"]),
            Self::Pcr2 => ("LTR_SUM", "RTL_SUM", 16, &["LTR", "RTL"]),
            Self::Imbuildings => ("total_counter_a", "total_counter_b", 16, &["counter_a", "counter_b"]),
            Self::Terabee => ("count_in", "count_out", 32, &[]),
        };
        Counters::Single { toward, away, bits: Some(bits), periods }
    }
}

impl FromStr for Preset {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Ok(match name {
            "vs121" => Self::Vs121,
            "vs132" => Self::Vs132,
            "vs133" => Self::Vs133,
            "vs350" => Self::Vs350,
            "pcr2" => Self::Pcr2,
            "imbuildings" => Self::Imbuildings,
            "terabee" => Self::Terabee,
            _ => return Err(()),
        })
    }
}

/// The members of a device that count, by their names.
#[derive(Clone, Copy)]
enum Counters<'a> {
    /// Those of its only line: the two totals, their width, and the people since the uplink before.
    Single { toward: &'a str, away: &'a str, bits: Option<u8>, periods: &'static [&'static str] },
    /// Those of several lines, `line_1_total_in` and so on.
    Numbered,
}

/// The width of totals of [`Counters::Numbered`].
const NUMBERED_BITS: u8 = 32;

/// The totals of a line in a payload, or in a part of it.
struct Totals<'a> {
    serial: String,
    toward: Member<'a>,
    away: Member<'a>,
    bits: Option<u8>,
}

/// A member that may be missing.
struct Member<'a> {
    name: String,
    value: Option<&'a Value>,
}

impl<'a> Member<'a> {
    fn of(members: &'a Map<String, Value>, name: &str) -> Self {
        Self { name: name.to_owned(), value: members.get(name).filter(|value| !value.is_null()) }
    }
}

impl Counters<'_> {
    /// Returns those that the settings name, or those of the preset.
    fn set(settings: &Settings) -> Option<Counters<'_>> {
        let preset = settings.preset.map(Preset::counters);
        let Some((toward, away)) = settings.directions() else { return preset };
        let bits = settings.bits.or_else(|| width(toward).filter(|bits| width(away) == Some(*bits)));
        Some(Counters::Single { toward, away, bits, periods: &[] })
    }

    /// Returns the first known ones of which `is_there` says that a payload has them.
    fn known(is_there: impl Fn(Counters<'static>) -> bool) -> Option<Counters<'static>> {
        Preset::ALL.map(Preset::counters).into_iter().find(|counters| is_there(*counters))
    }

    /// Whether one of the totals is there.
    fn has_totals(self, members: &Map<String, Value>) -> bool {
        match self {
            Self::Single { toward, away, .. } => members.contains_key(toward) || members.contains_key(away),
            Self::Numbered => members.keys().any(|name| {
                numbered(name).is_some_and(|(_, what)| what == "total_in" || what == "total_out")
            }),
        }
    }

    /// Whether people since the uplink before are there, or anything else of a line.
    fn has_periods(self, members: &Map<String, Value>) -> bool {
        match self {
            Self::Single { periods, .. } => periods.iter().any(|name| members.contains_key(*name)),
            Self::Numbered => members.keys().any(|name| numbered(name).is_some()),
        }
    }

    /// Returns the totals of each line of which something is there.
    fn lines<'m>(self, device: &str, members: &'m Map<String, Value>) -> Vec<Totals<'m>> {
        match self {
            Self::Single { toward, away, bits, .. } => {
                let is_there = self.has_totals(members) || self.has_periods(members);
                let line = || Totals {
                    serial: device.to_owned(),
                    toward: Member::of(members, toward),
                    away: Member::of(members, away),
                    bits,
                };
                is_there.then(line).into_iter().collect()
            }
            Self::Numbered => {
                let numbers: BTreeSet<&str> =
                    members.keys().filter_map(|name| Some(numbered(name)?.0)).collect();
                let line = |number| Totals {
                    serial: format!("{device}/{number}"),
                    toward: Member::of(members, &format!("line_{number}_total_in")),
                    away: Member::of(members, &format!("line_{number}_total_out")),
                    bits: Some(NUMBERED_BITS),
                };
                numbers.into_iter().map(line).collect()
            }
        }
    }
}

/// Splits the name of a member of a numbered line, such as `line_1_total_in`, into the number and the rest.
fn numbered(name: &str) -> Option<(&str, &str)> {
    let (number, what) = name.strip_prefix("line_")?.split_once('_')?;
    let is_number = (1..=3).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some((number, what))
}

/// Returns the width of a total that has a known name.
fn width(name: &str) -> Option<u8> {
    Preset::ALL.map(Preset::counters).into_iter().find_map(|counters| match counters {
        Counters::Single { toward, away, bits, .. } => bits.filter(|_| name == toward || name == away),
        Counters::Numbered => numbered(name).map(|_| NUMBERED_BITS),
    })
}

/// The decoded payload of an uplink.
pub(crate) struct Uplink<'a> {
    /// Serial of the device.
    pub(crate) device: &'a str,
    /// When the network server received it.
    pub(crate) arrival: Option<Instant>,
    /// The member of the message that holds the payload.
    pub(crate) place: &'a str,
    /// The payload.
    pub(crate) payload: &'a Map<String, Value>,
}

/// Adds what an uplink reports to a message.
pub(crate) fn reports(uplink: &Uplink, settings: &Settings, into: &mut Message) {
    let Uplink { device, arrival, place, payload } = *uplink;
    let before = into.reports.len();
    let mut decoder = Decoder { device, arrival, message: into, alive: BTreeMap::new(), is_known: false };
    let set = Counters::set(settings);
    let stored = payload.get("history").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let parts = || [payload].into_iter().chain(stored.iter().filter_map(Value::as_object));
    let counting = Counters::known(|counters| parts().any(|part| counters.has_totals(part)));
    let counters =
        set.or(counting).or_else(|| Counters::known(|known| parts().any(|part| known.has_periods(part))));

    if let Some(counters) = counters {
        if let Some(history) = payload.get("history") {
            decoder.history(counters, &format!("{place}.history"), history);
        }
        for totals in counters.lines(device, payload) {
            decoder.totals(&totals, place, None);
        }
    }
    let lacks = if decoder.is_known { None } else { lacks(payload, settings, counting) };
    if let Some(lacks) = lacks {
        decoder.message.unreadable.push(unknown(place, payload, lacks));
    }
    let is_silent = lacks.is_none() && decoder.message.reports.len() == before;
    decoder.heartbeats(payload, is_silent);
}

/// Returns what is wrong with a payload that has nothing of the line or lines of the device. `counting` are the totals
/// that are there.
fn lacks(
    payload: &Map<String, Value>,
    settings: &Settings,
    counting: Option<Counters>,
) -> Option<&'static str> {
    match counting {
        // Those of another line than the one of the settings: an uplink may hold some lines only.
        Some(Counters::Numbered) if settings.directions().is_some() => return None,
        Some(_) => return Some("none of them is a total that the address names"),
        None => {}
    }
    let is_device_known = settings.preset.is_some() && settings.directions().is_none();
    let is_known = is_device_known
        || payload.keys().any(|name| is_sign_of_life(name))
        || Counters::known(|counters| counters.has_periods(payload)).is_some();
    if is_known { None } else { Some("none of them is known") }
}

/// What is decoded of an uplink.
struct Decoder<'a> {
    device: &'a str,
    arrival: Option<Instant>,
    message: &'a mut Message,
    /// Lines of which something is in the uplink now, and whether their totals are.
    alive: BTreeMap<String, bool>,
    /// Whether a line of the device is in the uplink.
    is_known: bool,
}

impl Decoder<'_> {
    fn push(&mut self, serial: String, content: Content, is_stored: bool) {
        self.message.reports.push(Report { serial, content, arrival: self.arrival, is_stored });
    }

    /// Reads what the device had stored.
    fn history(&mut self, counters: Counters, place: &str, history: &Value) {
        let Some(entries) = history.as_array() else {
            self.message.unreadable.push(Unreadable::at(place, "it is not an array"));
            return;
        };
        for (index, entry) in entries.iter().enumerate() {
            let place = format!("{place}[{index}]");
            let Some(members) = entry.as_object() else {
                self.message.unreadable.push(Unreadable::at(place, "it is not an object"));
                continue;
            };
            // An entry may hold nothing but the people since the entry before.
            if !counters.has_totals(members) {
                self.is_known |= counters.has_periods(members);
                continue;
            }
            self.is_known = true;
            let timestamp = members.get("timestamp").unwrap_or(&Value::Null);
            match json::part::<Time>(&format!("{place}.timestamp"), timestamp) {
                Ok(Time(ts)) => {
                    for totals in counters.lines(self.device, members) {
                        self.totals(&totals, &place, Some(ts));
                    }
                }
                Err(error) => self.message.unreadable.push(error),
            }
        }
    }

    /// Reads the totals of a line: those that the device had stored at `ts`, or else those of now.
    fn totals(&mut self, Totals { serial, toward, away, bits }: &Totals, place: &str, ts: Option<Timestamp>) {
        let is_stored = ts.is_some();
        self.is_known = true;
        let read = |member: &Member, other: &Member| match (member.value, other.value) {
            (Some(value), _) => {
                json::part(&format!("{place}.{}", member.name), value).map(|Number(total)| Some(total))
            }
            (None, Some(_)) => Err(Unreadable::at(
                format!("{place}.{}", member.name),
                format_args!("it is missing, but {} is there: both totals are needed", other.name),
            )),
            (None, None) => Ok(None),
        };
        let mut is_counted = false;
        match (read(toward, away), read(away, toward)) {
            (Ok(Some(toward)), Ok(Some(away))) => {
                is_counted = true;
                // A total that does not fit shows that the device is another than the one it was taken for.
                let bits = bits.filter(|bits| toward.max(away).checked_shr((*bits).into()) == Some(0));
                self.push(serial.clone(), Content::Totals { ts, toward, away, bits }, is_stored);
            }
            (toward, away) => {
                self.message.unreadable.extend([toward.err(), away.err()].into_iter().flatten());
            }
        }
        if !is_stored {
            self.alive.insert(serial.clone(), is_counted);
        }
    }

    /// Adds the signs of life: of the device, if it says how it is or is silent otherwise, and of lines without totals.
    fn heartbeats(mut self, payload: &Map<String, Value>, is_silent: bool) {
        let (battery, faults) = (battery(payload), faults(payload));
        let says_more = battery.is_some() || faults.is_some();
        let alive = std::mem::take(&mut self.alive);
        if says_more || (alive.is_empty() && is_silent) {
            self.push(self.device.to_owned(), Content::Heartbeat { ts: None, battery, faults }, false);
        }
        for (serial, is_counted) in alive {
            let is_told = is_counted || (says_more && serial == self.device);
            if !is_told {
                self.push(serial, Content::alive(None), false);
            }
        }
    }
}

/// Returns the charge of the battery in percent, of the weaker one if there are two.
fn battery(payload: &Map<String, Value>) -> Option<f64> {
    let percent = |name: &&str| percent(payload.get(*name)?);
    ["battery", "battery_main", "battery_node"].iter().filter_map(percent).reduce(f64::min)
}

/// Reads a percentage, if it is one.
pub(crate) fn percent(value: &Value) -> Option<f64> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    (0.0..=100.0).contains(&number).then_some(number)
}

/// Returns what the device says is wrong with it: flags of Terabee, and texts of the VS360.
pub(crate) fn faults(payload: &Map<String, Value>) -> Option<String> {
    let mut found = BTreeSet::new();
    match payload.get("flags") {
        Some(Value::Object(flags)) => found.extend(flags_set(flags)),
        Some(Value::Array(flags)) => {
            for flag in flags {
                match flag {
                    Value::String(name) => found.extend(fault(name)),
                    Value::Object(flags) => found.extend(flags_set(flags)),
                    _ => {}
                }
            }
        }
        _ => {}
    }
    fault_texts(payload, &mut found);
    let found: Vec<_> = found.into_iter().collect();
    (!found.is_empty()).then(|| found.join(", "))
}

fn flags_set(flags: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let is_set = |value: &Value| match value {
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => matches!(text.as_str(), "1" | "true"),
        _ => false,
    };
    flags.iter().filter(move |(_, value)| is_set(value)).filter_map(|(name, _)| fault(name))
}

/// Returns the name of a flag, unless it says that something works.
fn fault(name: &str) -> Option<&str> {
    (!matches!(name, "NETWORK_ON" | "WIFI_AP_ENABLED")).then_some(name)
}

/// Finds texts that tell of a fault, in whatever member they are, unless they tell that it is over.
fn fault_texts<'a>(members: &'a Map<String, Value>, found: &mut BTreeSet<&'a str>) {
    let is_over = |text: &str| text.to_ascii_lowercase().contains("release");
    let status = ["status", "event_status"].into_iter().find_map(|name| members.get(name)?.as_str());
    if status.is_some_and(is_over) {
        return;
    }
    // Faults that are stored are those of then.
    let mut values: Vec<&Value> =
        members.iter().filter(|(name, _)| *name != "history").map(|(_, value)| value).collect();
    while let Some(value) = values.pop() {
        match value {
            Value::String(text) if !is_over(text) => {
                let text = text.to_ascii_lowercase();
                let told = ["counting anomaly", "devices misaligned", "node device without response"];
                found.extend(told.into_iter().filter(|fault| text.contains(fault)));
            }
            Value::Array(several) => values.extend(several),
            Value::Object(members) => fault_texts(members, found),
            _ => {}
        }
    }
}

/// Whether a member is known to be one of these devices, though it counts nobody.
fn is_sign_of_life(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "DIFF",
        "SBX_BATT",
        "TEMP",
        "battery",
        "battery_main",
        "battery_node",
        "battery_voltage",
        "device_status",
        "event",
        "firmware_version",
        "flags",
        "hardware_version",
        "history",
        "ipso_version",
        "lorawan_class",
        "payload_counter",
        "people_count_all",
        "people_count_max",
        "protocol_version",
        "reset_event",
        "sensor_status",
        "sn",
        "temperature",
        "tsl_version",
    ];
    NAMES.contains(&name) || name.starts_with("region_")
}

/// Returns that a payload cannot be read, and which members it has.
fn unknown(place: &str, payload: &Map<String, Value>, lacks: &str) -> Unreadable {
    const SHOWN_MAX: usize = 20;
    let mut members: Vec<_> = payload.keys().take(SHOWN_MAX).map(|name| values::shown(name)).collect();
    if payload.len() > SHOWN_MAX {
        members.push("…".to_owned());
    }
    let members = if members.is_empty() { "none".to_owned() } else { members.join(", ") };
    let presets = Preset::NAMES;
    Unreadable::at(
        place,
        format_args!(
            "its members are {members}, and {lacks}: add ?preset=DEVICE to the address, where DEVICE is {presets}, or \
             ?in=MEMBER&out=MEMBER with the names of the two totals"
        ),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Format;

    const ARRIVAL: Option<Instant> = Some(Instant::from_ms(1_772_443_200_000));

    fn decoded(payload: &Value, settings: &[(&str, &str)]) -> Message {
        let settings = Settings::parse(Format::Ttn, settings.iter().copied()).unwrap();
        let mut message = Message::default();
        let payload = payload.as_object().unwrap();
        let uplink = Uplink { device: "D", arrival: ARRIVAL, place: "object", payload };
        reports(&uplink, &settings, &mut message);
        assert!(message.reports.iter().all(|report| report.arrival == ARRIVAL));
        message
    }

    fn now(serial: &str, content: Content) -> Report {
        Report { arrival: ARRIVAL, ..Report::new(serial, content) }
    }

    fn totals(serial: &str, toward: i64, away: i64, bits: impl Into<Option<u8>>) -> Report {
        now(serial, Content::Totals { ts: None, toward, away, bits: bits.into() })
    }

    fn alive(serial: &str) -> Report {
        now(serial, Content::alive(None))
    }

    fn unwell(battery: impl Into<Option<f64>>, faults: Option<&str>) -> Report {
        let faults = faults.map(str::to_owned);
        now("D", Content::Heartbeat { ts: None, battery: battery.into(), faults })
    }

    #[track_caller]
    fn reads(payload: &Value, settings: &[(&str, &str)], expected: &[Report]) {
        let message = decoded(payload, settings);
        assert_eq!(message.reports, expected, "{payload}");
        assert_eq!(message.unreadable, [], "{payload}");
    }

    #[track_caller]
    fn errs(payload: &Value, settings: &[(&str, &str)], expected: &str) {
        let message = decoded(payload, settings);
        let errors: Vec<_> = message.unreadable.iter().map(ToString::to_string).collect();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains(expected), "{errors:?}");
        assert!(message.reports.iter().all(|report| report.content.kind().is_none()), "{payload}");
    }

    #[test]
    fn a_device_is_known_by_its_members_or_by_its_preset() {
        for (preset, toward, away, bits) in [
            ("vs121", "people_total_in", "people_total_out", 16),
            ("vs132", "total_counter_in", "total_counter_out", 32),
            ("vs350", "total_in", "total_out", 16),
            ("pcr2", "LTR_SUM", "RTL_SUM", 16),
            ("imbuildings", "total_counter_a", "total_counter_b", 16),
            ("terabee", "count_in", "count_out", 32),
        ] {
            let payload = json!({toward: 18, away: "22"});
            reads(&payload, &[], &[totals("D", 18, 22, bits)]);
            reads(&payload, &[("preset", preset)], &[totals("D", 18, 22, bits)]);
            // Zeroes are totals, too.
            reads(&json!({toward: 0, away: 0}), &[], &[totals("D", 0, 0, bits)]);
        }
        let lines = json!({"line_1_total_in": 3, "line_1_total_out": 4});
        reads(&lines, &[], &[totals("D/1", 3, 4, 32)]);
        reads(&lines, &[("preset", "vs133")], &[totals("D/1", 3, 4, 32)]);
    }

    #[test]
    fn the_preset_tells_which_totals_count() {
        let both = json!({"total_in": 1, "total_out": 2, "count_in": 30, "count_out": 40});
        reads(&both, &[("preset", "vs350")], &[totals("D", 1, 2, 16)]);
        reads(&both, &[("preset", "terabee")], &[totals("D", 30, 40, 32)]);
        errs(
            &both,
            &[("preset", "pcr2")],
            r#"object: its members are "count_in", "count_out", "total_in", "total_out", and none of them is a total"#,
        );
    }

    #[test]
    fn settings_name_two_members() {
        let payload = json!({"a": 7, "b": 9, "total_in": 1, "total_out": 2});
        reads(&payload, &[("in", "a"), ("out", "b")], &[totals("D", 7, 9, None)]);
        reads(&payload, &[("in", "b"), ("out", "a"), ("bits", "16")], &[totals("D", 9, 7, 16)]);
        // A device that is mounted the other way round has counters of the same width.
        reads(&payload, &[("in", "total_out"), ("out", "total_in")], &[totals("D", 2, 1, 16)]);
        let lines = json!({"line_1_total_in": 3, "line_1_total_out": 4});
        reads(&lines, &[("in", "line_1_total_out"), ("out", "line_1_total_in")], &[totals("D", 4, 3, 32)]);
        reads(&lines, &[("in", "line_2_total_in"), ("out", "line_2_total_out")], &[alive("D")]);
        errs(&payload, &[("in", "c"), ("out", "d")], "none of them is a total that the address names");
        errs(&json!({"a": 7, "b": 9}), &[("in", "c"), ("out", "d")], "none of them is known");
        reads(&json!({"period_in": 1}), &[("in", "c"), ("out", "d")], &[alive("D")]);
    }

    #[test]
    fn people_since_the_uplink_before_are_a_sign_of_life() {
        for (period, total) in [
            (json!({"people_in": 2, "people_out": 1}), json!({"people_total_in": 5, "people_total_out": 6})),
            (
                json!({"periodic_counter_in": 2, "periodic_counter_out": 1}),
                json!({"total_counter_in": 5, "total_counter_out": 6}),
            ),
            (json!({"period_in": 2, "period_out": 1}), json!({"total_in": 5, "total_out": 6})),
            (json!({"LTR": 2, "RTL": 1, "DIFF": 1}), json!({"LTR_SUM": 5, "RTL_SUM": 6})),
            (json!({"counter_a": 2, "counter_b": 1}), json!({"total_counter_a": 5, "total_counter_b": 6})),
        ] {
            reads(&period, &[], &[alive("D")]);
            let mut both = period;
            both.as_object_mut().unwrap().extend(total.as_object().unwrap().clone());
            let message = decoded(&both, &[]);
            assert_eq!(message.reports.len(), 1, "{both}");
            assert!(
                matches!(message.reports[0].content, Content::Totals { toward: 5, away: 6, .. }),
                "{both}"
            );
        }
    }

    #[test]
    fn an_uplink_holds_some_lines_and_parts_of_them_do_not_count() {
        let payload = json!({
            "line_2_total_in": 8, "line_2_total_out": 9, "line_2_child_total_in": 1, "line_2_child_total_out": 2,
            "line_2_period_in": 3, "line_2_period_out": 3, "line_4_period_in": 5, "line_4_period_out": 7,
            "line_3_child_total_in": 1, "line_3_child_total_out": 1, "region_1_count": 2,
        });
        reads(&payload, &[], &[totals("D/2", 8, 9, 32), alive("D/3"), alive("D/4")]);
        reads(&json!({"region_1_count": 2, "region_1_avg_dwell": 4105}), &[], &[alive("D")]);
        reads(&json!({"line_4_period_in": 5, "battery": 80}), &[], &[unwell(80.0, None), alive("D/4")]);
    }

    #[test]
    fn a_missing_total_is_not_zero() {
        errs(
            &json!({"total_in": 4}),
            &[],
            "object.total_out: it is missing, but total_in is there: both totals are needed",
        );
        errs(&json!({"total_in": null, "total_out": 4}), &[], "object.total_in: it is missing");
        errs(&json!({"b": 4}), &[("in", "a"), ("out", "b")], "object.a: it is missing");
        errs(&json!({"line_1_total_out": 4}), &[], "object.line_1_total_in: it is missing");
        errs(&json!({"total_in": -1, "total_out": 4}), &[], "object.total_in: invalid value: integer `-1`");

        let message =
            decoded(&json!({"line_1_total_out": 4, "line_2_total_in": 1, "line_2_total_out": 1}), &[]);
        assert_eq!(message.reports, [totals("D/2", 1, 1, 32), alive("D/1")]);
        assert_eq!(message.unreadable.len(), 1);
    }

    #[test]
    fn what_was_stored_has_its_own_time() {
        let stored = |serial: &str, timestamp: &str, toward, away, bits| {
            let ts = Some(timestamp.parse().unwrap());
            let content = Content::Totals { ts, toward, away, bits: Some(bits) };
            Report { is_stored: true, ..now(serial, content) }
        };
        let payload = json!({"total_in": 40, "total_out": 30, "history": [
            {"period_in": 7, "period_out": 2, "total_in": 29, "total_out": 8, "timestamp": 1_693_531_647},
            {"period_in": 7, "period_out": 2, "timestamp": 1_693_531_650},
            {"total_in": 31, "total_out": 9, "timestamp": "1693531707"},
        ]});
        let [first, second] =
            [stored("D", "2023-09-01T01:27:27Z", 29, 8, 16), stored("D", "2023-09-01T01:28:27Z", 31, 9, 16)];
        reads(&payload, &[], &[first.clone(), second.clone(), totals("D", 40, 30, 16)]);

        let history = json!({"history": payload["history"]});
        reads(&history, &[], &[first.clone(), second.clone()]);
        reads(&history, &[("in", "total_in"), ("out", "total_out")], &[first, second]);
        let line =
            json!({"history": [{"timestamp": 1_693_531_647, "line_2_total_in": 1, "line_2_total_out": 2}]});
        reads(&line, &[], &[stored("D/2", "2023-09-01T01:27:27Z", 1, 2, 32)]);
        reads(&json!({"history": [{"period_in": 1, "timestamp": 1_693_531_650}]}), &[], &[alive("D")]);
        reads(&json!({"history": []}), &[], &[alive("D")]);
        errs(&history, &[("preset", "vs121")], "none of them is a total");

        let message = decoded(
            &json!({"history": [
                {"total_in": 1, "total_out": 1},
                {"total_in": 1, "timestamp": 1_693_531_650},
                [],
                {"total_in": 31, "total_out": 9, "timestamp": 1_693_531_707},
            ]}),
            &[],
        );
        let places: Vec<_> = message.unreadable.iter().map(|error| error.place.as_str()).collect();
        assert_eq!(
            places,
            ["object.history[0].timestamp", "object.history[1].total_out", "object.history[2]"]
        );
        assert_eq!(message.reports, [stored("D", "2023-09-01T01:28:27Z", 31, 9, 16)]);
        errs(&json!({"period_in": 1, "history": 5}), &[], "object.history: it is not an array");
    }

    #[test]
    fn a_total_that_does_not_fit_has_another_width() {
        reads(&json!({"total_in": 65_535, "total_out": 0}), &[], &[totals("D", 65_535, 0, 16)]);
        reads(&json!({"total_in": 65_536, "total_out": 0}), &[], &[totals("D", 65_536, 0, None)]);
        let wide = Settings {
            bits: Some(200),
            r#in: Some("a".to_owned()),
            out: Some("b".to_owned()),
            ..Settings::default()
        };
        let (mut message, payload) = (Message::default(), json!({"a": 1, "b": 1}));
        let payload = payload.as_object().unwrap();
        reports(&Uplink { device: "D", arrival: ARRIVAL, place: "", payload }, &wide, &mut message);
        assert_eq!(message.reports, [totals("D", 1, 1, None)]);
    }

    #[test]
    fn a_device_says_how_it_is() {
        let with = |more: Value| {
            let mut payload = json!({"total_in": 1, "total_out": 2});
            payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            payload
        };
        for (more, battery, faults) in [
            (json!({"battery": 100}), Some(100.0), None),
            (json!({"battery": "55.5"}), Some(55.5), None),
            (json!({"battery_main": 90, "battery_node": 12}), Some(12.0), None),
            (
                json!({"flags": {"TPC_STOPPED": 1, "TPC_STUCK": 0, "MULTI_DEV_ISSUE": true}}),
                None,
                Some("MULTI_DEV_ISSUE, TPC_STOPPED"),
            ),
            (json!({"flags": ["TPC_STUCK", {"TPC_STOPPED": "1"}]}), None, Some("TPC_STOPPED, TPC_STUCK")),
            (
                json!({"event": [{"type": "Counting anomaly", "status": "alarm"}]}),
                None,
                Some("counting anomaly"),
            ),
            (json!({"battery": 7, "x": "devices misaligned"}), Some(7.0), Some("devices misaligned")),
        ] {
            let expected = [totals("D", 1, 2, 16), unwell(battery, faults)];
            reads(&with(more), &[], &expected);
        }
        for well in [
            json!({"battery": 255}),
            json!({"battery": -1}),
            json!({"battery": "NaN"}),
            json!({"flags": {"TPC_STOPPED": 0, "NETWORK_ON": 1, "WIFI_AP_ENABLED": 1}}),
            json!({"event": [{"type": "counting anomaly", "status": "alarm release"}]}),
            json!({"event": "counting anomaly release"}),
            json!({"total_count_alarm": "threshold alarm"}),
        ] {
            reads(&with(well), &[], &[totals("D", 1, 2, 16)]);
        }
        reads(&json!({"battery": 40}), &[], &[unwell(40.0, None)]);
        reads(&json!({"battery": 40, "period_in": 1}), &[], &[unwell(40.0, None)]);
        reads(&json!({"sn": "6538", "firmware_version": "v1.2"}), &[], &[alive("D")]);
    }

    #[test]
    fn an_unknown_payload_is_refused_with_its_members() {
        errs(
            &json!({"ins": 4, "outs": 5}),
            &[],
            "object: its members are \"ins\", \"outs\", and none of them is known: add ?preset=DEVICE to the address, \
             where DEVICE is vs121, ",
        );
        errs(&json!({}), &[], "its members are none");
        assert_eq!(decoded(&json!({"ins": 4, "outs": 5}), &[]).reports, []);
        reads(&json!({"report_interval": 600}), &[("preset", "vs350")], &[alive("D")]);
        let many: Map<_, _> = (0..1_000).map(|n| (format!("{n}{}", "x".repeat(500)), json!(1))).collect();
        assert!(decoded(&many.into(), &[]).unreadable[0].reason.len() < 2_000);
    }
}
