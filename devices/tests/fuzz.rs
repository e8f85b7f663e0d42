//! Decodes what nobody sends: arbitrary bytes, and messages of devices that were cut, mixed and changed.
//!
//! `PROPTEST_CASES` says how many cases each test named `fuzz_…` tries.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use devices::{Content, Format, Report, Settings};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

/// How many cases are tried unless `PROPTEST_CASES` says otherwise.
const CASES: u32 = 15_000;

/// How many crossings one number may be read as.
const CROSSINGS_MAX: usize = 1_000;

#[derive(Debug)]
struct Fixture {
    format: Format,
    name: String,
    message: Vec<u8>,
}

/// All files below `fixtures`, whose folders are named as their formats.
static FIXTURES: LazyLock<Vec<Fixture>> = LazyLock::new(|| {
    let mut fixtures = Vec::new();
    for format in Format::ALL {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(format.name());
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let entry = entry.unwrap();
            let name = format!("{format}/{}", entry.file_name().into_string().unwrap());
            fixtures.push(Fixture { format, name, message: fs::read(entry.path()).unwrap() });
        }
    }
    // The order of a folder is not the same everywhere, and cases are chosen by it.
    fixtures.sort_by(|one, other| one.name.cmp(&other.name));
    fixtures
});

impl Fixture {
    /// Returns what its message cannot tell by itself.
    fn settings(&self) -> Settings {
        let mut given = vec![("device", "A")];
        given.extend_from_slice(match self.name.as_str() {
            "hourly/xovis.csv" => &[
                ("start", "from-time"),
                ("end", "to-time"),
                ("in", "Forward counter"),
                ("out", "Backward counter"),
                ("time_format", "%d/%m/%Y - %H:%M"),
            ],
            "hourly/eco_counter.csv" => &[("in", "Bridge, in"), ("out", "Bridge, out")],
            "hourly/university.json" => &[("in", "entries"), ("out", "exits"), ("line", "gate")],
            _ => &[],
        });
        Settings::parse(self.format, given).unwrap()
    }
}

#[test]
fn every_format_has_fixtures_that_it_can_read() {
    for format in Format::ALL {
        assert!(FIXTURES.iter().any(|fixture| fixture.format == format), "{format} has no fixture");
    }
    for fixture in FIXTURES.iter() {
        let decoded = fixture.format.decode(&fixture.message, &fixture.settings());
        let decoded = decoded.unwrap_or_else(|error| panic!("{}: {error}", fixture.name));
        assert_ne!(decoded.reports.is_empty(), decoded.nothing.is_none(), "{}", fixture.name);
    }
}

/// Numbers, and what may be in the place of one.
const NUMBERS: [&str; 18] = [
    "0",
    "-1",
    "7.5",
    "1000",
    "1e3",
    "1e308",
    "65536",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "123456789012345678901234567890",
    "1772442000",
    "253402300799999",
    "\"12\"",
    "\"\"",
    "null",
    "{\"a\": [1]}",
];

/// A change of a message.
#[derive(Clone, Debug)]
enum Mutation {
    Delete(Index, usize),
    Duplicate(Index, usize),
    Replace(Index, Vec<u8>),
    Number(Index, &'static str),
    Truncate(Index),
    Append(Index),
    Insert(Index, Index, Index),
}

impl Mutation {
    fn any() -> impl Strategy<Value = Self> {
        let index = any::<Index>;
        let length = || prop_oneof![1..8_usize, 1..400_usize];
        prop_oneof![
            2 => (index(), length()).prop_map(|(at, length)| Self::Delete(at, length)),
            2 => (index(), length()).prop_map(|(at, length)| Self::Duplicate(at, length)),
            2 => (index(), vec(any::<u8>(), 1..6)).prop_map(|(at, bytes)| Self::Replace(at, bytes)),
            6 => (index(), select(&NUMBERS)).prop_map(|(at, number)| Self::Number(at, number)),
            1 => index().prop_map(Self::Truncate),
            1 => index().prop_map(Self::Append),
            1 => (index(), index(), index()).prop_map(|(at, of, from)| Self::Insert(at, of, from)),
        ]
    }

    fn apply(&self, message: &mut Vec<u8>) {
        if message.is_empty() {
            return;
        }
        let range = |at: &Index, length: usize| {
            let start = at.index(message.len());
            start..(start + length).min(message.len())
        };
        match self {
            Self::Delete(at, length) => drop(message.drain(range(at, *length))),
            Self::Duplicate(at, length) => {
                let range = range(at, *length);
                let (end, copy) = (range.end, message[range].to_vec());
                message.splice(end..end, copy);
            }
            Self::Replace(at, bytes) => {
                let range = range(at, bytes.len());
                message.splice(range, bytes.iter().copied());
            }
            Self::Number(at, number) => {
                let starts: Vec<usize> = (0..message.len())
                    .filter(|at| message[*at].is_ascii_digit())
                    .filter(|at| *at == 0 || !message[*at - 1].is_ascii_digit())
                    .collect();
                if !starts.is_empty() {
                    let start = *at.get(&starts);
                    let digits = message[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                    message.splice(start..start + digits, number.bytes());
                }
            }
            Self::Truncate(at) => message.truncate(at.index(message.len())),
            Self::Append(of) => message.extend_from_slice(&of.get(&FIXTURES).message),
            Self::Insert(at, of, from) => {
                let other = &of.get(&FIXTURES).message;
                let part: Vec<u8> = other[from.index(other.len())..].iter().copied().take(200).collect();
                let at = at.index(message.len());
                message.splice(at..at, part);
            }
        }
    }
}

/// Values of settings: those that fixtures need, those that are valid, and others.
fn values(name: &str) -> Vec<&'static str> {
    match name {
        "device" => vec!["A", "Tür/1", " "],
        "in" | "out" => {
            vec!["in", "out", "fw", "0", "1", "-", "total_in", "people", "entries", "Forward counter", "x"]
        }
        "line" => vec!["line", "gate", "Counter area", "end"],
        "start" => vec!["start", "from-time", "timestamp", "in"],
        "end" => vec!["end", "to-time", "start"],
        "minutes" => vec!["1", "15", "1440", "0", "x"],
        "time_format" => {
            vec![
                "%d/%m/%Y - %H:%M",
                "%Y-%m-%d %H:%M:%S",
                "%s",
                "%+",
                "%Y",
                "%H:%M",
                "%j%G%V%u",
                "%",
                "%Q",
                "",
            ]
        }
        "preset" => vec!["vs121", "vs132", "vs133", "vs350", "pcr2", "imbuildings", "terabee", "x"],
        "bits" => vec!["16", "32", "8"],
        "event" => vec!["up", "join", "status", "x"],
        "staff" => vec!["count", "ignore", "x"],
        other => panic!("say which values the setting {other} may have"),
    }
}

/// Settings of a format: those of the fixture, or some of all that there are.
fn settings(fixture: &'static Fixture, format: Format) -> BoxedStrategy<Settings> {
    let own = if fixture.format == format { fixture.settings() } else { Settings::default() };
    let names = format.settings();
    let given = subsequence(names.to_vec(), 0..=names.len()).prop_flat_map(|mut names| {
        if names.contains(&"in") != names.contains(&"out") {
            names.retain(|name| !["in", "out"].contains(name));
        }
        let pair = |name: &'static str| select(values(name)).prop_map(move |value| (name, value));
        names.into_iter().map(pair).collect::<Vec<_>>()
    });
    let other = own.clone();
    let parsed =
        given.prop_map(move |given| Settings::parse(format, given).unwrap_or_else(|_| other.clone()));
    prop_oneof![Just(own), parsed].boxed()
}

fn format() -> impl Strategy<Value = Format> {
    select(Format::ALL.as_slice())
}

/// A message that was made of one fixture, the format that shall decode it, and settings: mostly the format of the fixture.
fn mutated() -> impl Strategy<Value = (Format, Vec<u8>, Settings)> {
    let fixture = select(FIXTURES.iter().collect::<Vec<_>>());
    let chosen = fixture.prop_flat_map(|fixture| {
        let format = prop_oneof![9 => Just(fixture.format), 1 => format()];
        format.prop_flat_map(move |format| (Just(format), Just(fixture), settings(fixture, format)))
    });
    (chosen, vec(Mutation::any(), 0..4)).prop_map(|((format, fixture, settings), mutations)| {
        let mut message = fixture.message.clone();
        for mutation in mutations {
            mutation.apply(&mut message);
        }
        (format, message, settings)
    })
}

/// Bytes, text, and text of what messages are made of.
fn arbitrary() -> impl Strategy<Value = (Format, Vec<u8>, Settings)> {
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        ";",
        "\"",
        "\n",
        "\t",
        "1",
        "-",
        "e9",
        "null",
        "\"a\"",
        "<",
        ">",
        "</",
        "<!--",
        "&",
        "<EventNotificationAlert>",
        "</EventNotificationAlert>",
        "in",
        "out",
        "start",
        "time",
        "2026-03-02T08:00:00Z",
    ];
    let message = prop_oneof![
        vec(any::<u8>(), 0..300),
        any::<String>().prop_map(String::into_bytes),
        vec(select(pieces.to_vec()), 0..60).prop_map(|pieces| pieces.concat().into_bytes()),
    ];
    let chosen = format().prop_flat_map(|format| {
        let first = FIXTURES.iter().find(|fixture| fixture.format == format).unwrap_or(&FIXTURES[0]);
        (Just(format), settings(first, format))
    });
    (chosen, message).prop_map(|((format, settings), message)| (format, message, settings))
}

/// Decodes a message, and checks what holds for each.
fn check(format: Format, message: &[u8], settings: &Settings) -> Result<(), TestCaseError> {
    let Ok(decoded) = format.decode(message, settings) else { return Ok(()) };
    // Nothing is reported in less than a byte, except for crossings of a number. Milesight's decoder caps these in all.
    let crossings =
        decoded.reports.iter().filter(|report| matches!(report.content, Content::Crossing { .. })).count();
    let others = decoded.reports.len() - crossings + decoded.unreadable.len();
    prop_assert!(others <= message.len(), "{others} of {} bytes", message.len());
    prop_assert!(crossings <= CROSSINGS_MAX + message.len(), "{crossings} of {} bytes", message.len());
    for report in decoded.reports {
        prop_assert!(!report.serial.is_empty());
        let json = serde_json::to_string(&report).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let back = serde_json::from_str::<Report>(&json);
        let back = back.map_err(|error| TestCaseError::fail(format!("{error}: {json}")))?;
        prop_assert_eq!(back, report);
    }
    Ok(())
}

/// Returns the configuration of proptest, in which `PROPTEST_CASES` goes before the default of this file.
fn config() -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let is_set = std::env::var_os("PROPTEST_CASES").is_some();
    ProptestConfig { cases: if is_set { config.cases } else { CASES }, ..config }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn fuzz_arbitrary_messages((format, message, settings) in arbitrary()) {
        check(format, &message, &settings)?;
    }

    #[test]
    fn fuzz_mutated_messages((format, message, settings) in mutated()) {
        check(format, &message, &settings)?;
    }
}
