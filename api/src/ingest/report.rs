//! Reports: what senders tell of their DPUs.

use chrono_tz::Tz;
use entity::{Instant, Timestamp, shown};

use super::event::{Crossing, Rejection, RejectionCode, whole};
use super::zone;

/// Maximum number of people each way in one interval.
pub const INTERVAL_PEOPLE_MAX: i64 = 1_000_000;
/// Maximum value of a total: numbers in JSON are exact up to here.
pub const TOTAL_MAX: i64 = (1 << 53) - 1;
/// Maximum length of what a DPU says of its faults, in characters.
pub const FAULTS_CHARACTERS_MAX: usize = 1_000;

/// What a sender reports.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    Crossing(Crossing),
    Interval(IntervalReport),
    Totals(TotalsReport),
    Heartbeat(Heartbeat),
}

/// How many people crossed during `[from, to)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntervalReport {
    pub serial: String,
    pub from: Timestamp,
    pub to: Timestamp,
    /// People each way, 0 to [`INTERVAL_PEOPLE_MAX`].
    pub toward: i64,
    pub away: i64,
    /// Whether it replaces the numbers that are stored for the same interval.
    pub revise: bool,
}

/// What the counters of a DPU showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TotalsReport {
    pub serial: String,
    pub ts: Timestamp,
    /// People each way since the DPU was started, 0 to [`TOTAL_MAX`].
    pub toward: i64,
    pub away: i64,
    /// Whether an implausible reading is stored, as a new baseline that counts nobody.
    pub force: bool,
}

/// A sign of life, and what a DPU says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heartbeat {
    pub serial: String,
    /// What the device's clock showed.
    pub clock: Option<Instant>,
    /// Charge of the battery in percent.
    pub battery: Option<f64>,
    pub faults: Option<String>,
}

/// The reports that a sender sends together. A row that cannot be read keeps its place, so that the outcomes are in the
/// same order.
pub type Batch = Vec<Result<Report, Rejection>>;

impl Report {
    pub fn serial(&self) -> &str {
        match self {
            Self::Crossing(crossing) => &crossing.serial,
            Self::Interval(interval) => &interval.serial,
            Self::Totals(totals) => &totals.serial,
            Self::Heartbeat(heartbeat) => &heartbeat.serial,
        }
    }

    /// Returns the instant until which it tells what happened, by the DPU's clock.
    pub fn ts(&self) -> Option<Timestamp> {
        match self {
            Self::Crossing(crossing) => Some(crossing.ts),
            Self::Interval(interval) => Some(interval.to),
            Self::Totals(totals) => Some(totals.ts),
            Self::Heartbeat(_) => None,
        }
    }

    /// Resolves its timestamps if `zone` is given.
    pub(super) fn within(self, zone: Option<Tz>) -> Result<Self, Rejection> {
        let Some(zone) = zone else { return Ok(self) };
        let resolved = |ts| zone::instant(ts, Some(zone)).map(Timestamp::from);
        Ok(match self {
            Self::Crossing(crossing) => Self::Crossing(Crossing { ts: resolved(crossing.ts)?, ..crossing }),
            Self::Interval(interval) => Self::Interval(IntervalReport {
                from: resolved(interval.from)?,
                to: resolved(interval.to)?,
                ..interval
            }),
            Self::Totals(totals) => Self::Totals(TotalsReport { ts: resolved(totals.ts)?, ..totals }),
            heartbeat @ Self::Heartbeat(_) => heartbeat,
        })
    }
}

impl From<Crossing> for Report {
    fn from(crossing: Crossing) -> Self {
        Self::Crossing(crossing)
    }
}

impl Heartbeat {
    /// Checks what a DPU says of itself.
    pub fn checked(self) -> Result<Self, Rejection> {
        let malformed = |message| Err(Rejection::new(RejectionCode::Malformed, message));
        if let Some(battery) = self.battery
            && !(0.0..=100.0).contains(&battery)
        {
            return malformed(format!("invalid battery {battery}: use a number from 0 to 100, in percent"));
        }
        if self.faults.as_ref().is_some_and(|faults| faults.chars().nth(FAULTS_CHARACTERS_MAX).is_some()) {
            return malformed(format!("faults is too long: use at most {FAULTS_CHARACTERS_MAX} characters"));
        }
        Ok(self)
    }
}

/// Parses the number of people in an interval.
pub(super) fn parse_people(name: &str, text: &str) -> Result<i64, Rejection> {
    number(name, text, INTERVAL_PEOPLE_MAX, RejectionCode::BadInterval)
}

/// Parses a running total.
pub(super) fn parse_total(name: &str, text: &str) -> Result<i64, Rejection> {
    number(name, text, TOTAL_MAX, RejectionCode::BadTotal)
}

fn number(name: &str, text: &str, most: i64, code: RejectionCode) -> Result<i64, Rejection> {
    let parsed = whole(text).parse().ok().filter(|number| (0..=most).contains(number));
    parsed.ok_or_else(|| {
        let message = format!("invalid {name} {}: use a whole number from 0 to {most}", shown(text));
        Rejection::new(code, message)
    })
}

/// Parses whether something is to be done: `true`, `false`, `1` or `0`, in any case. Nothing means no.
pub(super) fn parse_flag(name: &str, text: &str) -> Result<bool, Rejection> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" | "" => Ok(false),
        _ => {
            let message = format!("invalid {name} {}: use true or false", shown(text));
            Err(Rejection::new(RejectionCode::Malformed, message))
        }
    }
}
