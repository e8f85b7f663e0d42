//! What a reset rule would change, before there is one.

use entity::{Instant, reset_rule};

use super::Space;
use super::changes::reset_rule::NewResetRule;
use crate::counting::{Source, Starts};

/// How many days are looked at.
const DAYS_MAX: i64 = 1000;

/// Why there is no such preview.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// The stretch of time is too long.
    #[error("end: more than {DAYS_MAX} days after start; choose a shorter range")]
    TooLong,
    /// The count is none.
    #[error("count: a space holds 0 people or more, not {0}")]
    Count(i32),
}

impl Space {
    /// Each occurrence of a rule in `[start, end)`, and the count with which later counts would go on from it.
    pub fn preview(
        &self,
        rule: &NewResetRule,
        start: Instant,
        end: Instant,
    ) -> Result<Vec<(Instant, i64)>, PreviewError> {
        let NewResetRule { space_id, time_of_day, count, first_day, last_day } = *rule;
        if count < 0 {
            return Err(PreviewError::Count(count));
        }
        if end.ms() - start.ms() > DAYS_MAX * 86_400_000 {
            return Err(PreviewError::TooLong);
        }
        // Its id would be the newest.
        let rule = reset_rule::Model {
            id: i64::MAX,
            space_id,
            time_of_day,
            count,
            first_day,
            last_day,
            created: start,
            modified: start,
        };
        let alone = Starts { resets: &[], rules: std::slice::from_ref(&rule), zone: self.zone };
        let goes_on = |ts| match self.starts().newest(ts) {
            // A reset that was recorded for this very instant goes before any rule.
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
