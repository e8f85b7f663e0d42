//! The limit of the work that one request may cause.
//!
//! Work is estimated before it is done, from data in memory: daily totals tell how many crossings a history must fold
//! and which pages must be loaded. The unit is the time of one core, with rates measured in `bench/`. The estimate may
//! be wrong by a factor of two; it only needs to tell seconds from milliseconds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Default limit of the time of one core per request.
pub const DEFAULT: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Days of a space or a DPU to examine.
    pub days: u64,
    /// Occurrences of reset rules to find.
    pub occurrences: u64,
    /// Crossings to fold.
    pub crossings: u64,
    /// Pages to load from the database.
    pub pages: u64,
    /// Crossings to load with them.
    pub loaded: u64,
    /// Entries of lists to return.
    pub entries: u64,
    /// Names of spaces and DPUs to compare.
    pub names: u64,
}

#[derive(Debug)]
pub struct Budget {
    spent_ns: AtomicU64,
    allowed_ns: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this needs about {needed_ms} ms of work ({work}), but the limit is {allowed_ms} ms: {advice}")]
pub struct TooMuch {
    needed_ms: u64,
    allowed_ms: u64,
    work: Work,
    advice: &'static str,
}

impl Work {
    /// Returns the estimated time on one core, in nanoseconds.
    pub fn ns(self) -> u64 {
        let Self { days, occurrences, crossings, pages, loaded, entries, names } = self;
        let parts = [
            (days, 100),
            (occurrences, 1_000),
            (crossings, 20),
            (pages, 1_500),
            (loaded, 90),
            (entries, 1_000),
            (names, 150),
        ];
        parts.iter().fold(0, |sum: u64, (number, ns)| sum.saturating_add(number.saturating_mul(*ns)))
    }
}

impl Work {
    #[must_use]
    pub fn without(self, part: Self) -> Self {
        Self {
            days: self.days.saturating_sub(part.days),
            occurrences: self.occurrences.saturating_sub(part.occurrences),
            crossings: self.crossings.saturating_sub(part.crossings),
            pages: self.pages.saturating_sub(part.pages),
            loaded: self.loaded.saturating_sub(part.loaded),
            entries: self.entries.saturating_sub(part.entries),
            names: self.names.saturating_sub(part.names),
        }
    }
}

impl std::fmt::Display for Work {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { days, occurrences, crossings, pages, loaded, entries, names } = *self;
        let parts = [
            (days, "days to examine"),
            (occurrences, "occurrences of reset rules to find"),
            (crossings.max(loaded), "crossings to read"),
            (pages, "pages to load"),
            (entries, "entries to return"),
            (names, "names to compare"),
        ];
        let parts = parts.iter().filter(|(number, _)| *number > 0);
        let parts: Vec<_> = parts.map(|(number, what)| format!("{number} {what}")).collect();
        formatter.write_str(&parts.join(", "))
    }
}

impl Budget {
    pub fn new(allowed: Duration) -> Self {
        let allowed_ns = u64::try_from(allowed.as_nanos()).unwrap_or(u64::MAX);
        Self { spent_ns: AtomicU64::default(), allowed_ns }
    }

    pub fn left_ns(&self) -> u64 {
        self.allowed_ns.saturating_sub(self.spent_ns.load(Ordering::Relaxed))
    }

    pub fn spend(&self, work: Work) -> Result<(), TooMuch> {
        let ns = work.ns();
        let needed = self.spent_ns.fetch_add(ns, Ordering::Relaxed).saturating_add(ns);
        if needed <= self.allowed_ns {
            return Ok(());
        }
        let ms = |ns: u64| ns.div_ceil(1_000_000);
        let advice = "ask for a shorter range, fewer spaces, or fewer entries at a time";
        Err(TooMuch { needed_ms: ms(needed), allowed_ms: ms(self.allowed_ns), work, advice })
    }
}
