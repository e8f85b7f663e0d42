//! Previews of reset rules: what a rule would change.

use counting::{ResetRule, Source, Starts};
use entity::Instant;

use super::Space;
use super::changes::reset_rule::NewResetRule;

const DAYS_MAX: i64 = 1000;

#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    #[error("end: more than {DAYS_MAX} days after start: choose a shorter range")]
    TooLong,
    #[error("count: {0} is negative: use 0 or more")]
    Count(i32),
}

impl Space {
    /// Returns each occurrence of a rule in `[start, end)`, and the count that later counts would continue from.
    pub fn preview(
        &self,
        rule: &NewResetRule,
        start: Instant,
        end: Instant,
    ) -> Result<Vec<(Instant, i64)>, PreviewError> {
        let NewResetRule { time_of_day, count, first_day, last_day, .. } = *rule;
        if count < 0 {
            return Err(PreviewError::Count(count));
        }
        if end.ms() - start.ms() > DAYS_MAX * 86_400_000 {
            return Err(PreviewError::TooLong);
        }
        // The newest rule has the highest id.
        let rule = ResetRule { id: i64::MAX, time_of_day, count, first_day, last_day };
        let alone = Starts { resets: &[], rules: std::slice::from_ref(&rule), zone: self.zone };
        let goes_on = |ts| match self.starts().newest(ts) {
            // A reset recorded for exactly this instant takes precedence over any rule.
            Some(recorded) if recorded.ts == ts && matches!(recorded.source, Source::Reset(_)) => {
                recorded.count
            }
            _ => i64::from(count),
        };
        Ok(alone
            .within(start, end)
            .into_iter()
            .map(|occurrence| (occurrence.ts, goes_on(occurrence.ts)))
            .collect())
    }
}
