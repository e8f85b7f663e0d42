//! The hourly job of a server: pruning, and creating partitions ahead.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use entity::Instant;
use tokio::task::JoinHandle;

use super::prune;
use crate::clock::Clock;
use crate::database::Partitions;
use crate::state::State;
use crate::tasks::{self, Tasks};

const REST: Duration = Duration::from_hours(1);

/// An age in whole days: a day or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age(Duration);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid age {given:.40?}: use a number of days or weeks, such as 400d or 8w, from 1d on")]
pub struct ParseAgeError {
    given: String,
}

impl Age {
    /// Returns the instant that has this age at `now`.
    pub fn before(self, now: Instant) -> Instant {
        now.plus_ms(-i64::try_from(self.0.as_millis()).unwrap_or(i64::MAX))
    }
}

impl FromStr for Age {
    type Err = ParseAgeError;

    fn from_str(text: &str) -> Result<Self, ParseAgeError> {
        let refused = || ParseAgeError { given: text.to_owned() };
        let unit = text.char_indices().last().ok_or_else(refused)?;
        let days = match unit.1 {
            'd' => 1,
            'w' => 7,
            _ => return Err(refused()),
        };
        let number: u32 = text[..unit.0].trim().parse().map_err(|_| refused())?;
        let days =
            (number.checked_mul(days)).filter(|days| (1..=36_500).contains(days)).ok_or_else(refused)?;
        Ok(Self(Duration::from_hours(u64::from(days) * 24)))
    }
}

impl fmt::Display for Age {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}d", self.0.as_secs() / 86_400)
    }
}

/// The hourly job, which runs until this is dropped. What it has begun is then rolled back.
#[derive(Debug)]
pub struct Schedule(JoinHandle<Infallible>);

impl Schedule {
    /// Starts the job: it prunes events older than `older_than`, if that is given, and creates the partitions of coming
    /// months.
    pub fn start(state: &Arc<State>, clock: &Clock, tasks: &Tasks, older_than: Option<Age>) -> Self {
        let (state, clock) = (Arc::clone(state), clock.clone());
        Self(tasks.spawn("schedule", async move {
            loop {
                run_once(&state, &clock, older_than).await;
                tasks::ran();
                tokio::time::sleep(REST).await;
            }
        }))
    }
}

impl Drop for Schedule {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn run_once(state: &State, clock: &Clock, older_than: Option<Age>) {
    let now = clock.now();
    if let Err(error) = Partitions::make_ahead(state.database(), now).await {
        tracing::warn!(%error, "the partitions of coming months could not be created");
    }
    let Some(older_than) = older_than else { return };
    match prune(state.database(), older_than.before(now)).await {
        Ok(Some(pruned)) if pruned.events > 0 => {
            tracing::info!(horizon = %pruned.horizon, events = pruned.events, "events were pruned");
        }
        Ok(_) => {}
        Err(error) => tracing::error!(%error, "events could not be pruned"),
    }
    if let Err(error) = state.refresh().await {
        tracing::warn!(%error, "cannot refresh the floor plan after pruning");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_days_or_weeks() {
        let before = |text: &str| {
            let age: Age = text.parse().unwrap();
            age.before("2026-03-01T12:00:00Z".parse().unwrap()).to_string()
        };
        assert_eq!(before("1d"), "2026-02-28T12:00:00Z");
        assert_eq!(before("2w"), "2026-02-15T12:00:00Z");
        assert_eq!(before("400d"), "2025-01-25T12:00:00Z");
        for wrong in ["", "d", "0d", "-1d", "12", "12h", "1.5d", "99999d", "4294967295w", "1 month", "1ü"] {
            let error = wrong.parse::<Age>().unwrap_err().to_string();
            assert!(error.contains("400d"), "{wrong}: {error}");
        }
    }
}
