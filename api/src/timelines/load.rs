//! Reads days and pages from the database, and the changes from the change log, in one statement no matter how many, so
//! that everything is from the same snapshot.

use std::collections::BTreeMap;

use entity::Instant;
use entity::tally::TallyLength;
use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, QueryResult, Statement};
use serde::de::DeserializeOwned;

use super::days::DayTotal;
use super::memory::{Loaded, PageKey};
use super::page::Page;
use super::step::Step;
use crate::database::{Changes, Position, changes_sql};
use crate::listed::listed;
use counting::{Crossings, Interval, Reading};

/// The data to read: the days of these DPUs, and these pages.
#[derive(Debug, Default)]
pub struct Lacking {
    pub days: Vec<i64>,
    pub pages: Vec<PageKey>,
}

impl Lacking {
    pub fn dpus(&self) -> impl Iterator<Item = i64> {
        self.days.iter().copied().chain(self.pages.iter().map(|page| page.dpu))
    }

    pub(crate) fn sort(&mut self) {
        self.days.sort_unstable();
        self.days.dedup();
        self.pages.sort_unstable();
        self.pages.dedup();
    }

    pub fn is_empty(&self) -> bool {
        self.days.is_empty() && self.pages.is_empty()
    }
}

/// A range of consecutive days of one DPU whose pages are lacking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    dpu: i64,
    first: Instant,
    /// The end of the last day, exclusive.
    end: Instant,
}

impl Range {
    /// Returns the ranges of sorted pages. A short gap between two pages is read with them.
    fn of(pages: &[PageKey]) -> Vec<Self> {
        let mut ranges: Vec<Self> = Vec::new();
        for page in pages {
            let end = page.day.plus_ms(DAY_MS);
            match ranges.last_mut() {
                Some(last) if last.dpu == page.dpu && page.day <= last.end.plus_ms(GAP_MS_MAX) => {
                    last.end = end;
                }
                _ => ranges.push(Self { dpu: page.dpu, first: page.day, end }),
            }
        }
        ranges
    }
}

/// Reads what is lacking, and the changes since `position`. The result has an entry for each requested DPU and each
/// requested page.
pub(crate) async fn load(
    connection: &impl ConnectionTrait,
    lacking: &Lacking,
    position: &Position,
) -> Result<(Loaded, Changes), DbErr> {
    let backend = connection.get_database_backend();
    let mut totals: BTreeMap<i64, Vec<(Instant, DayTotal)>> =
        lacking.days.iter().map(|dpu| (*dpu, Vec::new())).collect();
    let mut pages: BTreeMap<PageKey, LoadedPage> =
        lacking.pages.iter().map(|page| (*page, LoadedPage::default())).collect();
    let mut changes = Changes::default();
    for row in connection.query_all_raw(statement(backend, lacking, position)).await? {
        match row.try_get_by_index::<i32>(0)? {
            TOTALS => drop(totals.insert(row.try_get_by_index(1)?, day_totals(&row, backend)?)),
            INTERVALS => {
                let dpu = row.try_get_by_index(1)?;
                for interval in intervals(&row, backend)? {
                    let key = PageKey::of(Reading { dpu, at: interval.counted_at() });
                    if let Some(page) = pages.get_mut(&key) {
                        page.intervals.push(interval);
                    }
                }
            }
            EDITIONS => {
                let (dpu, day) = (row.try_get_by_index(1)?, row.try_get_by_index(2)?);
                if let Some(page) = pages.get_mut(&PageKey { dpu, day }) {
                    let edition = list(&row, backend)?.first().copied().unwrap_or_default();
                    page.edition = i32::try_from(edition).unwrap_or(i32::MAX);
                }
            }
            EVENTS => add_events(&row, backend, &mut pages)?,
            _ => changes.add(&row, backend)?,
        }
    }
    let days = totals.into_iter().map(|(dpu, mut totals)| {
        totals.sort_unstable_by_key(|(day, _)| *day);
        (dpu, totals.into_iter().collect())
    });
    let is_pruned = |day: Instant| changes.digested.is_some_and(|digested| day < digested);
    let pages = pages.into_iter().map(|(key, page)| (key, page.build(key.day).pruned(is_pruned(key.day))));
    Ok((Loaded { days: days.collect(), pages: pages.collect() }, changes))
}

/// What was read of a page.
#[derive(Default)]
struct LoadedPage {
    steps: Vec<Step>,
    intervals: Vec<Interval>,
    edition: i32,
}

impl LoadedPage {
    fn build(self, day: Instant) -> Page {
        let Self { steps, intervals, edition } = self;
        let page =
            if intervals.is_empty() { Page::of_crossings(steps) } else { Page::of_intervals(day, intervals) };
        page.of_edition(edition)
    }
}

/// Returns the totals of days, by the start of the day.
fn day_totals(row: &QueryResult, backend: DatabaseBackend) -> Result<Vec<(Instant, DayTotal)>, DbErr> {
    let totals = numbers(row, backend)?.into_iter().map(|[day, toward, away, edition]| {
        let edition = i32::try_from(edition).unwrap_or(i32::MAX);
        (Instant::from_ms(day), DayTotal { people: Crossings { toward, away }, edition })
    });
    Ok(totals.collect())
}

fn intervals(row: &QueryResult, backend: DatabaseBackend) -> Result<Vec<Interval>, DbErr> {
    let intervals = numbers(row, backend)?.into_iter().map(|[ends, toward, away, starts]| Interval {
        starts: Instant::from_ms(starts),
        ends: Instant::from_ms(ends),
        people: Crossings { toward, away },
    });
    Ok(intervals.collect())
}

/// Returns the rows that a row's arrays hold.
fn numbers(row: &QueryResult, backend: DatabaseBackend) -> Result<Vec<[i64; 4]>, DbErr> {
    if backend != DatabaseBackend::Postgres {
        return from_json(row);
    }
    let column = |index| row.try_get_by_index::<Vec<i64>>(index);
    let (first, second, third, fourth) = (column(3)?, column(4)?, column(5)?, column(6)?);
    let rows = first.into_iter().zip(second).zip(third).zip(fourth);
    Ok(rows.map(|(((first, second), third), fourth)| [first, second, third, fourth]).collect())
}

/// Adds the events of a range to the requested pages.
fn add_events(
    row: &QueryResult,
    backend: DatabaseBackend,
    pages: &mut BTreeMap<PageKey, LoadedPage>,
) -> Result<(), DbErr> {
    let (dpu, first): (i64, Instant) = (row.try_get_by_index(1)?, row.try_get_by_index(2)?);
    let events = list(row, backend)?;
    // Each is 2 × the millisecond of the range, as a step is 2 × that of its day. They are in the order of the key.
    for of_day in events.chunk_by(|one, next| one / (2 * DAY_MS) == next / (2 * DAY_MS)) {
        let before = of_day[0] - of_day[0] % (2 * DAY_MS);
        if let Some(page) = pages.get_mut(&PageKey { dpu, day: first.plus_ms(before / 2) }) {
            let number = |event: &i64| u32::try_from(event - before).unwrap_or(u32::MAX);
            page.steps.extend(of_day.iter().map(|event| Step::from_number(number(event))));
        }
    }
    Ok(())
}

fn list(row: &QueryResult, backend: DatabaseBackend) -> Result<Vec<i64>, DbErr> {
    if backend == DatabaseBackend::Postgres { row.try_get_by_index(3) } else { from_json(row) }
}

fn from_json<T: DeserializeOwned>(row: &QueryResult) -> Result<T, DbErr> {
    let text: String = row.try_get_by_index(3)?;
    serde_json::from_str(&text).map_err(|error| DbErr::Type(error.to_string()))
}

/// Returns the statement. Its result has one row per change, per totals of a DPU, per range of events or intervals, and per
/// day whose crossings were replaced.
/// Values are in arrays, because transferring a row costs more than its content.
fn statement(backend: DatabaseBackend, lacking: &Lacking, position: &Position) -> Statement {
    let mut values = position.values(backend);
    let (dpus, dpu_values) = listed(backend, values.len() + 1, lacking.days.iter().map(|dpu| [*dpu]));
    values.extend(dpu_values);
    let ranges = Range::of(&lacking.pages);
    let ranges = ranges.iter().map(|range| [range.dpu, range.first.ms(), range.end.ms()]);
    let (wanted, wanted_values) = listed(backend, values.len() + 1, ranges);
    values.extend(wanted_values);
    let (totals, events, intervals, edition) = if backend == DatabaseBackend::Postgres {
        (
            "ARRAY_AGG(bucket), ARRAY_AGG(toward), ARRAY_AGG(away), ARRAY_AGG(edition::bigint)",
            "ARRAY(SELECT (ts - first) * 2 + (1 + direction) / 2",
            "ARRAY_AGG(ends), ARRAY_AGG(toward), ARRAY_AGG(away), ARRAY_AGG(starts)",
            "ARRAY[edition::bigint]",
        )
    } else {
        (
            "json_group_array(json_array(bucket, toward, away, edition)), NULL, NULL, NULL",
            "(SELECT json_group_array((ts - first) * 2 + (1 + direction) / 2)",
            "json_group_array(json_array(ends, toward, away, starts)), NULL, NULL, NULL",
            "json_array(edition)",
        )
    };
    // Without this, SQLite parses the ranges again for each event.
    let wanted = format!(", wanted (dpu_id, first, until) AS MATERIALIZED ({wanted})");
    let sql = format!(
        "{changes}
        UNION ALL
        SELECT {TOTALS}, dpu_id, NULL, {totals} FROM tally
        WHERE dpu_id IN ({dpus}) AND resolution = {days} GROUP BY dpu_id
        UNION ALL
        SELECT {EVENTS}, dpu_id, first, {events} FROM event
            WHERE event.dpu_id = wanted.dpu_id AND ts >= first AND ts < until AND void IS NULL), NULL, NULL, NULL
        FROM wanted
        UNION ALL
        SELECT {INTERVALS}, wanted.dpu_id, first, {intervals} FROM wanted
        JOIN interval ON interval.dpu_id = wanted.dpu_id AND ends > first AND ends <= until AND void IS NULL
            AND toward + away > 0
        GROUP BY wanted.dpu_id, first
        UNION ALL
        SELECT {EDITIONS}, wanted.dpu_id, bucket, {edition}, NULL, NULL, NULL FROM wanted
        JOIN tally ON tally.dpu_id = wanted.dpu_id AND resolution = {days} AND bucket >= first AND bucket < until
            AND edition > 0",
        changes = changes_sql(backend, &wanted),
        days = TallyLength::Day.hours(),
    );
    Statement::from_sql_and_values(backend, sql, values)
}

/// The kind of a row, in its first column. Other kinds belong to the change log.
const TOTALS: i32 = 2;
const INTERVALS: i32 = 3;
const EVENTS: i32 = 4;
const EDITIONS: i32 = 5;

const DAY_MS: i64 = TallyLength::Day.hours() as i64 * 3_600_000;
/// Maximum gap between two requested days that is read with them.
const GAP_MS_MAX: i64 = 2 * DAY_MS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearby_pages_are_one_range() {
        let page = |dpu, day: i64| PageKey { dpu, day: Instant::from_ms(day * DAY_MS) };
        let pages = [page(1, 0), page(1, 1), page(1, 4), page(1, 8), page(2, 9)];
        let ranges: Vec<_> = Range::of(&pages)
            .into_iter()
            .map(|range| (range.dpu, range.first.ms() / DAY_MS, range.end.ms() / DAY_MS))
            .collect();
        assert_eq!(ranges, [(1, 0, 5), (1, 8, 9), (2, 9, 10)]);
    }
}
