//! The calendar of a time zone: where its hours, days, weeks and months begin, including days of 23 or 25 hours.

use chrono::{
    DateTime, Datelike, Days, MappedLocalTime, Months, NaiveDate, NaiveDateTime, NaiveTime, Offset,
    TimeDelta, TimeZone,
};
use chrono_tz::Tz;
use values::Instant;

/// The length of a history's buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    /// One minute.
    Minute,
    /// Five minutes.
    FiveMinutes,
    /// 15 minutes.
    FifteenMinutes,
    /// 30 minutes.
    ThirtyMinutes,
    /// One hour of the zone's clocks.
    Hour,
    /// One day of the zone's calendar, 23 to 25 hours long.
    Day,
    /// One week of the zone's calendar, from Monday.
    Week,
    /// One month of the zone's calendar.
    Month,
}

impl Interval {
    /// All intervals, shortest first.
    pub const ALL: [Self; 8] = [
        Self::Minute,
        Self::FiveMinutes,
        Self::FifteenMinutes,
        Self::ThirtyMinutes,
        Self::Hour,
        Self::Day,
        Self::Week,
        Self::Month,
    ];

    /// Returns the first instant after `ts` at which an interval begins in `zone`.
    fn next_edge(self, zone: Tz, ts: Instant) -> Instant {
        const MINUTE_MS: i64 = 60_000;
        let today = day_of(zone, ts);
        let after = |date: Option<NaiveDate>| date.map_or(Instant::MAX, |date| start_of_day(zone, date));
        let fixed = |ms: i64| next_multiple(zone, ts, ms);
        match self {
            Self::Minute => fixed(MINUTE_MS),
            Self::FiveMinutes => fixed(5 * MINUTE_MS),
            Self::FifteenMinutes => fixed(15 * MINUTE_MS),
            Self::ThirtyMinutes => fixed(30 * MINUTE_MS),
            Self::Hour => fixed(60 * MINUTE_MS),
            Self::Day => after(today.checked_add_days(Days::new(1))),
            Self::Week => {
                let to_monday = 7 - u64::from(today.weekday().num_days_from_monday());
                after(today.checked_add_days(Days::new(to_monday)))
            }
            Self::Month => {
                after(today.with_day(1).and_then(|first| first.checked_add_months(Months::new(1))))
            }
        }
    }
}

/// Returns the edges of the buckets of `[start, end)`: `start`, every instant in between at which an interval
/// begins, and `end`. `None` if there would be more than `buckets_max` buckets.
pub fn edges(
    zone: Tz,
    interval: Interval,
    start: Instant,
    end: Instant,
    buckets_max: usize,
) -> Option<Vec<Instant>> {
    let mut edges = vec![start];
    let mut last = start;
    while last < end {
        // A day that the zone skipped has no edge of its own: the next day begins there.
        last = interval.next_edge(zone, last).max(last.plus_ms(1)).min(end);
        edges.push(last);
        if edges.len() > buckets_max + 1 {
            return None;
        }
    }
    Some(edges)
}

/// Returns the first instant after `ts` at which the clocks show a multiple of `ms` (at most an hour) or skip one.
fn next_multiple(zone: Tz, ts: Instant, ms: i64) -> Instant {
    let shown_ms = |ts| local(zone, ts).and_utc().timestamp_millis();
    let mut from = ts;
    loop {
        let ahead = shown_ms(from) - from.ms();
        let next = from.plus_ms(ms - shown_ms(from).rem_euclid(ms));
        // The clocks may change before that, but at most once.
        let is_changed = |at: i64| shown_ms(Instant::from_ms(at)) - at != ahead;
        let next = if is_changed(next.just_before().ms()) {
            first_between(from.ms(), next.ms(), is_changed)
        } else {
            next
        };
        // If the clocks are turned back within an interval, the interval continues.
        let (last_shown, shown) = (next.just_before().ms() + ahead, shown_ms(next));
        if shown.rem_euclid(ms) == 0 || shown.div_euclid(ms) > last_shown.div_euclid(ms) {
            return next;
        }
        from = next;
    }
}

/// Returns the first instant at which the clocks of `zone` show `time` on `date`. If the clocks skip that time, returns
/// the moment at which they do, even if they then show the next date. `None` if the zone skipped the day.
pub fn instant_at(zone: Tz, date: NaiveDate, time: NaiveTime) -> Option<Instant> {
    let is_there = || local(zone, start_of_day(zone, date)).date() == date;
    let (found, is_shown) = first_showing(zone, date.and_time(time));
    (is_shown || is_there()).then_some(found)
}

/// Returns the date of `ts`. A day begins when its date is shown first and lasts until the next day begins. Clocks
/// that are turned back across midnight show the previous date once more; the day is still the new one.
pub fn day_of(zone: Tz, ts: Instant) -> NaiveDate {
    let shown = local(zone, ts).date();
    match shown.checked_add_days(Days::new(1)) {
        Some(next) if start_of_day(zone, next) <= ts => next,
        _ => shown,
    }
}

/// Returns the first instant of the date, or of the first later date if the zone skipped it.
pub fn start_of_day(zone: Tz, date: NaiveDate) -> Instant {
    first_showing(zone, date.and_time(NaiveTime::MIN)).0
}

/// Returns the first instant at which the clocks show `wanted` or skip it, and whether they show it.
fn first_showing(zone: Tz, wanted: NaiveDateTime) -> (Instant, bool) {
    match zone.from_local_datetime(&wanted) {
        MappedLocalTime::Single(found) | MappedLocalTime::Ambiguous(found, _) => {
            (found.to_utc().into(), true)
        }
        MappedLocalTime::None => {
            // No zone is further than this from UTC, and no zone changes its clocks twice within that time.
            let reach_ms = TimeDelta::hours(26).num_milliseconds();
            let around = wanted.and_utc().timestamp_millis();
            let is_past = |ts| local(zone, Instant::from_ms(ts)) >= wanted;
            (first_between(around - reach_ms, around + reach_ms, is_past), false)
        }
    }
}

/// Returns the first instant after `before` at which `is_so` becomes true. It must be true at `after`.
fn first_between(mut before: i64, mut after: i64, is_so: impl Fn(i64) -> bool) -> Instant {
    while after - before > 1 {
        let middle = before + (after - before) / 2;
        if is_so(middle) { after = middle } else { before = middle }
    }
    Instant::from_ms(after)
}

/// Returns the local date and time at `ts`.
fn local(zone: Tz, ts: Instant) -> NaiveDateTime {
    let utc = DateTime::from_timestamp_millis(ts.ms()).unwrap_or_default().naive_utc();
    utc + zone.offset_from_utc_datetime(&utc).fix()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        text.parse().unwrap()
    }

    fn days(zone: Tz, start: &str, end: &str) -> Vec<String> {
        edges(zone, Interval::Day, at(start), at(end), 100).unwrap().iter().map(ToString::to_string).collect()
    }

    // The offsets are those of the tz database: New York is UTC-5, and UTC-4 from 8 March to 1 November 2026;
    // Kolkata is UTC+5:30 all year; Apia was UTC-10 until 29 December 2011 and UTC+14 from 31 December on.

    #[test]
    fn days_of_23_and_25_hours_in_new_york() {
        let zone = Tz::America__New_York;
        assert_eq!(
            days(zone, "2026-03-07T05:00:00Z", "2026-03-10T04:00:00Z"),
            ["2026-03-07T05:00:00Z", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z", "2026-03-10T04:00:00Z"]
        );
        assert_eq!(
            days(zone, "2026-10-31T04:00:00Z", "2026-11-03T05:00:00Z"),
            ["2026-10-31T04:00:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z", "2026-11-03T05:00:00Z"]
        );
    }

    #[test]
    fn days_where_the_offset_has_a_half_hour() {
        assert_eq!(
            days(Tz::Asia__Kolkata, "2026-03-07T18:30:00Z", "2026-03-09T12:00:00Z"),
            ["2026-03-07T18:30:00Z", "2026-03-08T18:30:00Z", "2026-03-09T12:00:00Z"]
        );
        let hours = edges(
            Tz::Asia__Kolkata,
            Interval::Hour,
            at("2026-03-07T18:00:00Z"),
            at("2026-03-07T20:00:00Z"),
            9,
        );
        let hours: Vec<_> = hours.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(
            hours,
            ["2026-03-07T18:00:00Z", "2026-03-07T18:30:00Z", "2026-03-07T19:30:00Z", "2026-03-07T20:00:00Z"]
        );
    }

    #[test]
    fn the_day_that_apia_skipped() {
        assert_eq!(
            days(Tz::Pacific__Apia, "2011-12-29T10:00:00Z", "2012-01-01T10:00:00Z"),
            ["2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z", "2012-01-01T10:00:00Z"]
        );
        let (skipped, four) =
            (NaiveDate::from_ymd_opt(2011, 12, 30).unwrap(), NaiveTime::from_hms_opt(4, 0, 0).unwrap());
        assert_eq!(instant_at(Tz::Pacific__Apia, skipped, four), None);
        assert_eq!(day_of(Tz::Pacific__Apia, at("2011-12-30T10:00:00Z")).to_string(), "2011-12-31");
    }

    #[test]
    fn a_day_that_begins_where_midnight_was_skipped() {
        // Sao Paulo turned its clocks from 00:00 to 01:00 on 4 November 2018, from UTC-3 to UTC-2.
        assert_eq!(
            days(Tz::America__Sao_Paulo, "2018-11-03T03:00:00Z", "2018-11-05T02:00:00Z"),
            ["2018-11-03T03:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"]
        );
    }

    #[test]
    fn a_time_that_the_clocks_skip_or_show_twice() {
        let zone = Tz::America__New_York;
        let half_past = |hour| NaiveTime::from_hms_opt(hour, 30, 0).unwrap();
        let day = |month, day| NaiveDate::from_ymd_opt(2026, month, day).unwrap();
        assert_eq!(instant_at(zone, day(3, 8), half_past(2)), Some(at("2026-03-08T07:00:00Z")));
        assert_eq!(instant_at(zone, day(11, 1), half_past(1)), Some(at("2026-11-01T05:30:00Z")));
        assert_eq!(instant_at(zone, day(7, 1), half_past(4)), Some(at("2026-07-01T08:30:00Z")));
    }

    #[test]
    fn a_time_is_skipped_by_a_change_that_ends_on_the_next_date() {
        // Nuuk turned its clocks from 23:00 on 28 March 2026 to midnight, from UTC-2 to UTC-1.
        let half_past = NaiveTime::from_hms_opt(23, 30, 0).unwrap();
        let day = NaiveDate::from_ymd_opt(2026, 3, 28).unwrap();
        assert_eq!(instant_at(Tz::America__Nuuk, day, half_past), Some(at("2026-03-29T01:00:00Z")));
    }

    #[test]
    fn a_day_goes_on_where_clocks_are_turned_back_across_midnight() {
        // St. John's turned its clocks from 00:01 on 7 November 2010 to 23:01 the day before, from UTC-2:30 to UTC-3:30.
        let zone = Tz::America__St_Johns;
        assert_eq!(
            days(zone, "2010-11-06T02:30:00Z", "2010-11-09T03:30:00Z"),
            ["2010-11-06T02:30:00Z", "2010-11-07T02:30:00Z", "2010-11-08T03:30:00Z", "2010-11-09T03:30:00Z"]
        );
        assert_eq!(day_of(zone, at("2010-11-07T02:29:59.999Z")).to_string(), "2010-11-06");
        assert_eq!(day_of(zone, at("2010-11-07T03:00:00Z")).to_string(), "2010-11-07");
    }

    #[test]
    fn an_hour_ends_where_the_clocks_are_turned_past_its_end() {
        // Caracas turned its clocks from 02:30 to 03:00 on 1 May 2016, from UTC-4:30 to UTC-4.
        let (start, end) = (at("2016-05-01T05:30:00Z"), at("2016-05-01T09:00:00Z"));
        let hours = edges(Tz::America__Caracas, Interval::Hour, start, end, 9).unwrap();
        assert_eq!(
            hours,
            [start, at("2016-05-01T06:30:00Z"), at("2016-05-01T07:00:00Z"), at("2016-05-01T08:00:00Z"), end]
        );
    }

    #[test]
    fn an_hour_begins_where_the_clocks_show_its_first_minute_and_not_where_they_are_turned_back_within_it() {
        // Lord Howe turned its clocks from 02:00 to 01:30 on 5 April 2026, from UTC+11 to UTC+10:30.
        for start in ["2026-04-04T14:00:00Z", "2026-04-04T14:40:00Z"] {
            let (start, end) = (at(start), at("2026-04-04T17:00:00Z"));
            let hours = edges(Tz::Australia__Lord_Howe, Interval::Hour, start, end, 9).unwrap();
            assert_eq!(hours, [start, at("2026-04-04T15:30:00Z"), at("2026-04-04T16:30:00Z"), end]);
        }
        // Colombo turned its clocks from 00:30 to midnight on 26 October 1996, from UTC+6:30 to UTC+6.
        let (start, end) = (at("1996-10-25T17:30:00Z"), at("1996-10-25T19:30:00Z"));
        let hours = edges(Tz::Asia__Colombo, Interval::Hour, start, end, 9).unwrap();
        assert_eq!(hours, [start, at("1996-10-25T18:00:00Z"), at("1996-10-25T19:00:00Z"), end]);
    }

    #[test]
    fn weeks_begin_on_monday_and_months_on_the_first() {
        let edges = |interval| {
            let edges = edges(
                Tz::Europe__Berlin,
                interval,
                at("2026-03-20T12:00:00Z"),
                at("2026-05-02T00:00:00Z"),
                50,
            );
            edges.unwrap().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            edges(Interval::Week)[1..4],
            ["2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z", "2026-04-05T22:00:00Z"]
        );
        assert_eq!(edges(Interval::Month)[1..3], ["2026-03-31T22:00:00Z", "2026-04-30T22:00:00Z"]);
    }

    #[test]
    fn too_many_buckets_are_refused_and_an_empty_range_has_none() {
        let (start, end) = (at("2026-01-01"), at("2026-01-02"));
        assert_eq!(edges(Tz::UTC, Interval::Minute, start, end, 1440).unwrap().len(), 1441);
        assert_eq!(edges(Tz::UTC, Interval::Minute, start, end, 1439), None);
        assert_eq!(edges(Tz::UTC, Interval::Day, start, start, 5), Some(vec![start]));
        assert_eq!(
            edges(Tz::UTC, Interval::Month, Instant::MAX.plus_ms(-5), Instant::MAX, 5).unwrap().len(),
            2
        );
    }
}
