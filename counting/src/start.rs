//! Where counts start from: the newest recorded reset or occurrence of a reset rule.

use chrono::{Days, NaiveDate, NaiveTime};
use chrono_tz::Tz;
use values::Instant;

use crate::{Reset, ResetRule, calendar};

const DAY_MS: i64 = 86_400_000;

/// A true count at an instant, from which later counts continue. Includes the crossings at the instant itself.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// The instant at which the count was true.
    pub ts: Instant,
    /// The number of people.
    pub count: i64,
    /// The reset or rule that states it.
    pub source: Source,
}

/// The reset or rule that states a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The recorded reset with this id.
    Reset(i64),
    /// An occurrence of the rule with this id.
    Rule(i64),
}

/// The resets and reset rules of one space.
#[derive(Clone, Copy, Debug)]
pub struct Starts<'a> {
    /// Recorded resets, in ascending order of their instants.
    pub resets: &'a [Reset],
    /// Rules, in ascending order of their ids.
    pub rules: &'a [ResetRule],
    /// The time zone of the rules.
    pub zone: Tz,
}

impl Starts<'_> {
    /// Returns the newest start at or before `at`. At one instant a recorded reset takes precedence over a rule, and a
    /// newer rule over an older one.
    pub fn newest(&self, at: Instant) -> Option<Start> {
        let recorded = self.resets.partition_point(|reset| reset.ts <= at).checked_sub(1);
        let recorded = recorded.map(|index| Start::from(&self.resets[index]));
        // `max_by_key` returns the last of equal elements, so what takes precedence comes later.
        let ruled = self.rules.iter().filter_map(|rule| self.last_occurrence(rule, at));
        ruled.chain(recorded).max_by_key(|start| start.ts)
    }

    /// Returns the starts in `[from, end)` that counts continue from, in ascending order, at most one an instant.
    pub fn within(&self, from: Instant, end: Instant) -> Vec<Start> {
        let mut starts = Vec::new();
        let mut before = end;
        // Walking back skips starts that are overruled by another one at the same instant.
        while let Some(start) = self.newest(before.just_before()).filter(|start| start.ts >= from) {
            starts.push(start);
            before = start.ts;
        }
        starts.reverse();
        starts
    }

    /// Returns the first and last instant of `[from, end)` between which all starts [`within`](Self::within) lie.
    /// `None`: no starts. Allows one more day at both ends than a rule can need in any zone.
    pub fn span_within(&self, from: Instant, end: Instant) -> Option<(Instant, Instant)> {
        let first = self.resets.partition_point(|reset| reset.ts < from);
        let recorded = &self.resets[first..self.resets.partition_point(|reset| reset.ts < end).max(first)];
        let recorded = recorded.first().map(|first| (first.ts, recorded[recorded.len() - 1].ts));
        let midnight = |day: NaiveDate| Instant::from(day.and_time(NaiveTime::MIN).and_utc());
        let ruled = self.rules.iter().filter_map(|rule| {
            let first = midnight(rule.first_day).plus_ms(-2 * DAY_MS).max(from);
            let last =
                rule.last_day.map_or(end, |day| midnight(day).plus_ms(3 * DAY_MS).min(end)).just_before();
            (first <= last).then_some((first, last))
        });
        ruled.chain(recorded).reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)))
    }

    /// Returns the rule's last occurrence at or before `at`.
    fn last_occurrence(&self, rule: &ResetRule, at: Instant) -> Option<Start> {
        let today = calendar::day_of(self.zone, at);
        let mut day = rule.last_day.map_or(today, |last_day| last_day.min(today));
        while day >= rule.first_day {
            let occurrence = calendar::instant_at(self.zone, day, rule.time_of_day).filter(|ts| *ts <= at);
            if let Some(ts) = occurrence {
                return Some(Start { ts, count: rule.count.into(), source: Source::Rule(rule.id) });
            }
            // Today's occurrence is later, or the zone skipped the day: take the day before.
            day = day.checked_sub_days(Days::new(1))?;
        }
        None
    }
}

impl From<&Reset> for Start {
    fn from(reset: &Reset) -> Self {
        Self { ts: reset.ts, count: reset.count.into(), source: Source::Reset(reset.id) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(
        id: i64,
        hour: u32,
        minute: u32,
        count: i32,
        first_day: &str,
        last_day: Option<&str>,
    ) -> ResetRule {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        ResetRule {
            id,
            time_of_day: NaiveTime::from_hms_opt(hour, minute, 0).unwrap(),
            count,
            first_day: day(first_day),
            last_day: last_day.map(day),
        }
    }

    fn reset(ts: &str, count: i32) -> Reset {
        Reset { id: 1, ts: ts.parse().unwrap(), count }
    }

    fn newest(starts: Starts<'_>, at: &str) -> Option<(String, i64)> {
        starts.newest(at.parse().unwrap()).map(|start| (start.ts.to_string(), start.count))
    }

    #[test]
    fn a_rule_applies_from_its_first_to_its_last_day_across_clock_changes() {
        let rules = [
            rule(1, 4, 0, 0, "2026-03-07", Some("2026-03-09")),
            rule(2, 2, 30, 5, "2026-03-08", Some("2026-03-08")),
        ];
        let starts = Starts { resets: &[], rules: &rules, zone: Tz::America__New_York };
        assert_eq!(newest(starts, "2026-03-07T08:59:59.999Z"), None);
        assert_eq!(newest(starts, "2026-03-07T09:00:00Z"), Some(("2026-03-07T09:00:00Z".into(), 0)));
        // 02:30 did not exist on 8 March: the rule applies at the moment of the change.
        assert_eq!(newest(starts, "2026-03-08T07:59:59Z"), Some(("2026-03-08T07:00:00Z".into(), 5)));
        assert_eq!(newest(starts, "2026-03-08T08:00:00Z"), Some(("2026-03-08T08:00:00Z".into(), 0)));
        assert_eq!(newest(starts, "2027-01-01T00:00:00Z"), Some(("2026-03-09T08:00:00Z".into(), 0)));
        let within =
            starts.within("2026-03-07T09:00:00Z".parse().unwrap(), "2026-03-09T08:00:00Z".parse().unwrap());
        let within: Vec<_> = within.iter().map(|start| start.ts.to_string()).collect();
        assert_eq!(within, ["2026-03-07T09:00:00Z", "2026-03-08T07:00:00Z", "2026-03-08T08:00:00Z"]);
    }

    #[test]
    fn a_rule_applies_once_when_clocks_are_turned_back_across_midnight() {
        let rules = [rule(1, 0, 0, 0, "2010-11-01", None)];
        let starts = Starts { resets: &[], rules: &rules, zone: Tz::America__St_Johns };
        for at in ["2010-11-07T02:30:00Z", "2010-11-07T02:31:00Z", "2010-11-07T03:30:00Z"] {
            assert_eq!(newest(starts, at), Some(("2010-11-07T02:30:00Z".into(), 0)), "{at}");
        }
        assert_eq!(newest(starts, "2010-11-07T02:29:59.999Z"), Some(("2010-11-06T02:30:00Z".into(), 0)));
    }

    #[test]
    fn recorded_resets_take_precedence_over_rules_and_newer_rules_over_older_ones() {
        let rules = [rule(1, 4, 0, 1, "2026-01-01", None), rule(2, 4, 0, 2, "2026-01-02", None)];
        let resets = [reset("2026-01-03T04:00:00Z", 3)];
        let starts = Starts { resets: &resets, rules: &rules, zone: Tz::UTC };
        let counts =
            ["2026-01-01T12:00:00Z", "2026-01-02T12:00:00Z", "2026-01-03T12:00:00Z", "2026-01-04T12:00:00Z"]
                .map(|at| newest(starts, at).map(|(_, count)| count));
        assert_eq!(counts, [Some(1), Some(2), Some(3), Some(2)]);
        assert_eq!(starts.within("2026-01-01".parse().unwrap(), "2026-01-05".parse().unwrap()).len(), 4);
    }
}
