//! Whether DPUs are alive: when each was last heard of, and what it said of itself.
//!
//! Every report is heard, whatever becomes of it, and costs no statement: [`Hearings`] keeps in memory what was heard, and a
//! task writes it once a minute, and reads what other processes have heard.

mod hearings;

use entity::Instant;
use entity::dpu::{self, Reports};

pub use self::hearings::{Exchanging, Heard, Hearings};

/// Whether a DPU is alive, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HealthState {
    /// It reports as often as expected.
    Online,
    /// How often it reports is not known, so that silence means nothing.
    Unknown,
    /// Its report is overdue by more than one more.
    Late,
    /// It was never heard of.
    Never,
    /// Ten reports are missing.
    Offline,
}

/// What is known of a DPU's health at an instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    pub state: HealthState,
    pub heard: Option<Heard>,
    /// How long its report is overdue, in seconds; 0: it is not. `None`: it is not known when it would be.
    pub late_by_s: Option<i64>,
    /// Whether what is known of it is older than expected.
    pub is_stale: bool,
}

impl Health {
    /// Returns the health of a DPU at `now`, given when it was last heard of.
    pub fn new(dpu: &dpu::Model, heard: Option<Heard>, now: Instant) -> Self {
        let expected_ms = dpu.expected_every.map(|seconds| i64::from(seconds) * 1_000);
        let since = |at: Instant| now.ms() - at.ms();
        let silence_ms = heard.as_ref().map(|heard| since(heard.at));
        let state = match (silence_ms, expected_ms) {
            (None, _) => HealthState::Never,
            (Some(_), None) => HealthState::Unknown,
            (Some(silence), Some(expected)) if silence > 10 * expected => HealthState::Offline,
            (Some(silence), Some(expected)) if silence > 2 * expected => HealthState::Late,
            (Some(_), Some(_)) => HealthState::Online,
        };
        let late_by_s =
            silence_ms.zip(expected_ms).map(|(silence, expected)| ((silence - expected) / 1_000).max(0));
        // A sensor of crossings that is alive has said that nobody crossed.
        let known_until = heard.as_ref().and_then(|heard| match dpu.reports {
            Reports::Crossings => Some(heard.at),
            Reports::Intervals | Reports::Totals => heard.known_until,
        });
        let is_stale = expected_ms
            .is_some_and(|expected| known_until.is_none_or(|known_until| since(known_until) > 2 * expected));
        Self { state, heard, late_by_s, is_stale }
    }
}

#[cfg(test)]
mod tests {
    use super::HealthState::{Late, Never, Offline, Online, Unknown};
    use super::*;

    #[test]
    fn silence_is_measured_by_what_is_expected() {
        let at = Instant::from_ms;
        let dpu = |reports, expected_every| dpu::Model {
            id: 1,
            serial: String::new(),
            name: None,
            time_zone: None,
            reports,
            counter_bits: None,
            max_per_minute: None,
            expected_every,
            clock: dpu::DeviceClock::Device,
            clock_within: None,
            created: at(0),
            modified: at(0),
        };
        let health = |reports, expected_every, heard_s: Option<i64>, known_until_s: Option<i64>| {
            let heard = heard_s.map(|seconds| Heard {
                known_until: known_until_s.map(|seconds| at(seconds * 1_000)),
                ..Heard::at(at(seconds * 1_000))
            });
            let Health { state, late_by_s, is_stale, .. } =
                Health::new(&dpu(reports, expected_every), heard, at(1_000_000));
            (state, late_by_s, is_stale)
        };
        for (reports, expected, heard, known, found) in [
            (Reports::Crossings, None, None, None, (Never, None, false)),
            (Reports::Crossings, None, Some(1), None, (Unknown, None, false)),
            (Reports::Crossings, Some(60), Some(990), Some(1), (Online, Some(0), false)),
            (Reports::Totals, Some(60), None, None, (Never, None, true)),
            (Reports::Totals, Some(60), Some(880), Some(880), (Online, Some(60), false)),
            (Reports::Intervals, Some(60), Some(879), Some(879), (Late, Some(61), true)),
            (Reports::Intervals, Some(60), Some(400), Some(400), (Late, Some(540), true)),
            (Reports::Intervals, Some(60), Some(399), Some(399), (Offline, Some(541), true)),
            // It is alive, and sends what it has stored.
            (Reports::Intervals, Some(60), Some(999), Some(500), (Online, Some(0), true)),
            (Reports::Intervals, None, Some(999), Some(1), (Unknown, None, false)),
        ] {
            assert_eq!(health(reports, expected, heard, known), found, "{reports:?} {expected:?} {heard:?}");
        }
    }
}
