//! The kinds of reports, and which DPU reports which.

use anyhow::bail;
use serde::{Deserialize, Serialize};

use crate::periods::EXACT_MS;
use crate::world::Settings;

/// Maximum number of events of a DPU on average, so that fewer cross in a direction than half of a counter's values. Then
/// any two readings tell how many people crossed between them, in whatever order readings arrive.
const EVENTS_DPU_MAX: u64 = 30_000;
/// Maximum number of events of a DPU per hour, on average, so that the server finds no reading implausible: it accepts 240
/// people a minute and direction.
const EVENTS_HOUR_MAX: u64 = 5_000;

/// The kinds of reports in a fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kinds {
    /// All DPUs report single crossings
    #[default]
    Crossings,
    /// A third of the DPUs each reports crossings, intervals, and totals of 16 bits
    Mixed,
    /// All DPUs report totals of 16 bits, as LoRaWAN devices do
    Totals,
}

/// What a DPU reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Each person who crosses.
    Crossings,
    /// How many people crossed in a slice.
    Intervals,
    /// What its counters show at the end of a slice.
    Totals,
}

impl Kinds {
    /// Returns what a DPU reports.
    pub(crate) fn of(self, dpu: u32) -> Kind {
        // One doorway in three leads from one space to another: each kind is over some of them.
        match (self, (dpu + dpu / 3) % 3) {
            (Self::Mixed, 1) => Kind::Intervals,
            (Self::Mixed, 2) | (Self::Totals, _) => Kind::Totals,
            _ => Kind::Crossings,
        }
    }

    /// Fails if reports of these kinds would not tell the true counts.
    pub(crate) fn check(self, settings: &Settings) -> anyhow::Result<()> {
        if self == Self::Crossings {
            return Ok(());
        }
        let most = EVENTS_DPU_MAX.min(EVENTS_HOUR_MAX * settings.hours.unsigned_abs());
        if settings.events / u64::from(settings.dpus) > most {
            bail!("more than {most} events from one DPU, with --kinds other than crossings: name more DPUs");
        }
        let moved_ms = settings.floor_plan()?.moved_at.ms() - settings.start()?.ms();
        if moved_ms % EXACT_MS != 0 {
            bail!(
                "--moved {} is not a whole number of hours after --start {}, with --kinds other than crossings: people would cross \
                 before and after it within one interval",
                settings.moved,
                settings.start
            );
        }
        Ok(())
    }
}

impl Kind {
    /// Returns the keys of a DPU in the floor plan's file.
    pub(crate) fn keys(self) -> &'static str {
        match self {
            Self::Crossings => "",
            Self::Intervals => "reports = \"intervals\"\n",
            Self::Totals => "reports = \"totals\"\ncounter_bits = 16\n",
        }
    }

    /// Returns the error of a wrong clock. That of slices is of whole hours, as with a wrong time zone, so that there are
    /// still instants at which all counts are exact.
    pub(crate) fn clock_error(self, error_ms: i64) -> i64 {
        match self {
            Self::Crossings => error_ms,
            Self::Intervals | Self::Totals => error_ms - error_ms % EXACT_MS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::tests::settings;

    #[test]
    fn one_dpu_in_three_has_each_kind_and_so_has_each_third_doorway() {
        let kinds = |every: usize| {
            let dpus = (0..900).skip(1).step_by(every).map(|dpu| Kinds::Mixed.of(dpu));
            let mut numbers = [0; 3];
            dpus.for_each(|kind| numbers[kind as usize] += 1);
            numbers
        };
        assert_eq!(kinds(3), [100; 3]);
        assert_eq!(kinds(1).map(|number: i32| (number - 300).abs() <= 1), [true; 3]);
        assert!((0..900).all(|dpu| Kinds::Crossings.of(dpu) == Kind::Crossings));
    }
    #[test]
    fn settings_are_refused_under_which_reports_would_not_tell_the_true_counts() {
        let mixed = Settings { kinds: Kinds::Mixed, ..settings() };
        assert!(mixed.reports().is_ok());
        for (refused, message) in [
            (Settings { events: 200 * 30_001, ..mixed.clone() }, "more than 30000 events from one DPU"),
            (
                Settings { events: 200 * 5_001, hours: 1, ..mixed.clone() },
                "more than 5000 events from one DPU",
            ),
            (
                Settings { moved: "2025-03-03T12:10:00Z".to_owned(), ..mixed.clone() },
                "is not a whole number of hours",
            ),
        ] {
            let error = refused.reports().err().unwrap().to_string();
            assert!(error.contains(message), "{error}");
            assert!(Settings { kinds: Kinds::Crossings, ..refused }.reports().is_ok());
        }
    }
}
