//! The cost of counting itself, without a database: `cargo bench -p bench`.

use chrono::{NaiveDate, NaiveTime};
use chrono_tz::Tz;
use counting::{
    Account, Assignment, Buckets, Crossings, History, Odometer, Passed, Reset, ResetRule, Starts, fold,
};
use divan::{Bencher, black_box};
use entity::Instant;
use entity::assignment::Placement;
use entity::event::Direction;

const START: Instant = Instant::from_ms(1_741_000_000_000);
const DAY_MS: i64 = 86_400_000;
/// Number of doorways of the space.
const DPUS: i64 = 3;

fn main() {
    divan::main();
}

fn after_days(days: i64) -> Instant {
    START.plus_ms(days * DAY_MS)
}

fn assignments() -> Vec<Assignment> {
    let assignment = |dpu| Assignment {
        id: dpu,
        dpu,
        placement: if dpu % 2 == 0 { Placement::Outside } else { Placement::Inside },
        starts_at: Some(START),
        ends_at: None,
    };
    (0..DPUS).map(assignment).collect()
}

/// Returns a crossing every 90 seconds.
fn crossings(days: i64) -> Vec<(Instant, Direction)> {
    let direction = |number| if number % 3 == 0 { Direction::Away } else { Direction::Toward };
    (0..days * 960).map(|number| (START.plus_ms(number * 90_000), direction(number))).collect()
}

fn resets(count: i64) -> Vec<Reset> {
    let reset = |number| Reset { id: number, ts: after_days(number), count: 0 };
    (0..count).map(reset).collect()
}

fn rules(count: i64) -> Vec<ResetRule> {
    let rule = |number| ResetRule {
        id: number,
        time_of_day: NaiveTime::from_hms_opt(4, 30, 0).unwrap_or_default(),
        count: 0,
        first_day: NaiveDate::default(),
        last_day: None,
    };
    (0..count).map(rule).collect()
}

/// A count from odometers in memory, by the number of days of crossings in each.
#[divan::bench(args = [1, 30, 365])]
fn account_net(bencher: Bencher<'_, '_>, days: i64) {
    let assignments = assignments();
    let odometers: Vec<Odometer> = (0..DPUS).map(|_| crossings(days).into_iter().collect()).collect();
    let at = after_days(days / 2);
    bencher.bench(|| {
        let read = |dpu: i64| &odometers[usize::try_from(dpu).unwrap_or_default()];
        Account::new(black_box(&assignments), None, black_box(at))
            .net(|reading| read(reading.dpu).at(reading.at))
    });
}

/// A count with all readings known: only the formula.
#[divan::bench]
fn account_net_of_known_readings(bencher: Bencher<'_, '_>) {
    let assignments = assignments();
    bencher.bench(|| {
        Account::new(black_box(&assignments), None, black_box(after_days(1)))
            .net(|reading| Crossings { toward: reading.at.ms(), away: reading.dpu })
    });
}

/// Where a count starts from, by the number of recorded resets.
#[divan::bench(args = [0, 100, 10_000])]
fn starts_newest_reset(bencher: Bencher<'_, '_>, count: i64) {
    let resets = resets(count);
    let starts = Starts { resets: &resets, rules: &[], zone: Tz::UTC };
    bencher.bench(|| black_box(starts).newest(black_box(after_days(count / 2))));
}

/// Where a count starts from, by the number of daily rules, in a zone whose clocks change.
#[divan::bench(args = [1, 4])]
fn starts_newest_rule(bencher: Bencher<'_, '_>, count: i64) {
    let rules = rules(count);
    let starts = Starts { resets: &[], rules: &rules, zone: Tz::Europe__Berlin };
    bencher.bench(|| black_box(starts).newest(black_box(after_days(100))));
}

/// A history of hours, by its days: three crossings every 90 seconds, a rule a day.
#[divan::bench(args = [1, 30])]
fn history_of_hours(bencher: Bencher<'_, '_>, days: i64) {
    let (assignments, rules) = (assignments(), rules(1));
    let crossings = crossings(days).into_iter();
    let passed = |way| match way {
        Direction::Toward => Passed { entrances: 1, exits: 0 },
        Direction::Away => Passed { entrances: 0, exits: 1 },
    };
    let steps: Vec<_> = crossings.flat_map(|(ts, way)| [(ts, passed(way)); 3]).collect();
    let starts = Starts { resets: &[], rules: &rules, zone: Tz::Europe__Berlin };
    let edges: Vec<Instant> = (0..=days * 24).map(|hour| START.plus_ms(hour * DAY_MS / 24)).collect();
    bencher.bench(|| {
        let history = History::new(black_box(&assignments), starts, edges.clone());
        let resets = history.resets(edges[0], edges[edges.len() - 1]);
        let cells = fold(0, &edges, steps.iter().copied(), &resets, |net| net);
        let mut buckets = Buckets::new(&edges, 0);
        for (until, cell) in edges[1..].iter().zip(&cells) {
            buckets.add(*until, cell, |net| net);
        }
        buckets.finish()
    });
}

/// Building an odometer from a day of crossings, as read for a page.
#[divan::bench]
fn odometer_of_a_day(bencher: Bencher<'_, '_>) {
    let crossings = crossings(1);
    bencher.bench(|| black_box(&crossings).iter().copied().collect::<Odometer>());
}

/// Parsing a timestamp.
#[divan::bench(args = ["2025-03-06T15:34:00Z", "2025-03-06T15:34:00.123Z", "2025-03-06 16:34:00.123456+01:00"])]
fn instant_from_text(text: &str) -> Option<Instant> {
    black_box(text).parse().ok()
}

/// Formatting a timestamp, with and without a fraction of a second.
#[divan::bench(args = [1_741_275_240_000, 1_741_275_240_123])]
fn instant_to_text(ms: i64) -> String {
    Instant::from_ms(black_box(ms)).to_string()
}
