//! Reads days and pages from the database, and the changes from the change log, in one statement no matter how many, so
//! that everything is from the same snapshot.

use std::collections::BTreeMap;

use entity::Instant;
use entity::event::Direction;
use entity::tally::TallyLength;
use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, QueryResult, Statement, Value};
use serde::de::DeserializeOwned;

use super::memory::{Loaded, PageKey};
use super::page::Page;
use super::step::Step;
use crate::database::{Changes, Position, changes_sql};
use counting::{Crossings, Reading};

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
    let mut totals: BTreeMap<i64, Vec<(Instant, Crossings)>> =
        lacking.days.iter().map(|dpu| (*dpu, Vec::new())).collect();
    let mut pages: BTreeMap<PageKey, Vec<Step>> =
        lacking.pages.iter().map(|page| (*page, Vec::new())).collect();
    let mut changes = Changes::default();
    for row in connection.query_all_raw(statement(backend, lacking, position)).await? {
        match row.try_get_by_index::<i32>(0)? {
            TOTALS => drop(totals.insert(row.try_get_by_index(1)?, people(&row, backend)?)),
            DIGESTS => {
                let dpu = row.try_get_by_index(1)?;
                for (ts, people) in people(&row, backend)? {
                    let key = PageKey::of(Reading { dpu, at: ts });
                    let Some(page) = pages.get_mut(&key) else { continue };
                    for (way, people) in [(Direction::Toward, people.toward), (Direction::Away, people.away)]
                    {
                        page.extend((0..people).map(|_| Step::new(key.day, ts, way)));
                    }
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
    let pages = pages
        .into_iter()
        .map(|(key, steps)| (key, steps.into_iter().collect::<Page>().pruned(is_pruned(key.day))));
    Ok((Loaded { days: days.collect(), pages: pages.collect() }, changes))
}

/// Returns instants, each with the crossings of the period that starts there.
fn people(row: &QueryResult, backend: DatabaseBackend) -> Result<Vec<(Instant, Crossings)>, DbErr> {
    let listed: Vec<(i64, i64, i64)> = if backend == DatabaseBackend::Postgres {
        let instants: Vec<i64> = row.try_get_by_index(3)?;
        let (toward, away): (Vec<i64>, Vec<i64>) = (row.try_get_by_index(4)?, row.try_get_by_index(5)?);
        instants.into_iter().zip(toward).zip(away).map(|((ms, toward), away)| (ms, toward, away)).collect()
    } else {
        from_json(row)?
    };
    let crossings = |(ms, toward, away)| (Instant::from_ms(ms), Crossings { toward, away });
    Ok(listed.into_iter().map(crossings).collect())
}

/// Adds the events of a range to the requested pages.
fn add_events(
    row: &QueryResult,
    backend: DatabaseBackend,
    pages: &mut BTreeMap<PageKey, Vec<Step>>,
) -> Result<(), DbErr> {
    let (dpu, first): (i64, Instant) = (row.try_get_by_index(1)?, row.try_get_by_index(2)?);
    let events: Vec<i64> =
        if backend == DatabaseBackend::Postgres { row.try_get_by_index(3)? } else { from_json(row)? };
    // Each is 2 × the millisecond of the range, as a step is 2 × that of its day. They are in the order of the key.
    for of_day in events.chunk_by(|one, next| one / (2 * DAY_MS) == next / (2 * DAY_MS)) {
        let before = of_day[0] - of_day[0] % (2 * DAY_MS);
        if let Some(page) = pages.get_mut(&PageKey { dpu, day: first.plus_ms(before / 2) }) {
            let number = |event: &i64| u32::try_from(event - before).unwrap_or(u32::MAX);
            page.extend(of_day.iter().map(|event| Step::from_number(number(event))));
        }
    }
    Ok(())
}

fn from_json<T: DeserializeOwned>(row: &QueryResult) -> Result<T, DbErr> {
    let text: String = row.try_get_by_index(3)?;
    serde_json::from_str(&text).map_err(|error| DbErr::Type(error.to_string()))
}

/// Returns the statement. Its result has one row per change, per totals of a DPU, and per range of events or digests.
/// Values are in arrays, because transferring a row costs more than its content.
fn statement(backend: DatabaseBackend, lacking: &Lacking, position: &Position) -> Statement {
    let mut values = position.values(backend);
    let ranges = Range::of(&lacking.pages);
    let (dpus, wanted, totals, events, digests) = if backend == DatabaseBackend::Postgres {
        let column = |of: fn(&Range) -> i64| ranges.iter().map(of).collect::<Vec<_>>();
        values.extend([
            Value::from(lacking.days.clone()),
            column(|range| range.dpu).into(),
            column(|range| range.first.ms()).into(),
            column(|range| range.end.ms()).into(),
        ]);
        (
            "= ANY($3::bigint[])",
            "SELECT * FROM UNNEST($4::bigint[], $5::bigint[], $6::bigint[])",
            "ARRAY_AGG(bucket), ARRAY_AGG(toward), ARRAY_AGG(away)",
            "ARRAY(SELECT (ts - first) * 2 + (1 + direction) / 2",
            "ARRAY_AGG(ts), ARRAY_AGG(toward), ARRAY_AGG(away)",
        )
    } else {
        let ranges: Vec<_> =
            ranges.iter().map(|range| (range.dpu, range.first.ms(), range.end.ms())).collect();
        values.extend([
            Value::from(serde_json::json!(lacking.days).to_string()),
            serde_json::json!(ranges).to_string().into(),
        ]);
        (
            "IN (SELECT value FROM json_each($2))",
            "SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($3)",
            "json_group_array(json_array(bucket, toward, away)), NULL, NULL",
            "(SELECT json_group_array((ts - first) * 2 + (1 + direction) / 2)",
            "json_group_array(json_array(ts, toward, away)), NULL, NULL",
        )
    };
    // Without this, SQLite parses the ranges again for each event.
    let wanted = format!(", wanted (dpu_id, first, until) AS MATERIALIZED ({wanted})");
    let sql = format!(
        "{changes}
        UNION ALL
        SELECT {TOTALS}, dpu_id, NULL, {totals} FROM tally
        WHERE dpu_id {dpus} AND resolution = {days} GROUP BY dpu_id
        UNION ALL
        SELECT {EVENTS}, dpu_id, first, {events} FROM event
            WHERE event.dpu_id = wanted.dpu_id AND ts >= first AND ts < until), NULL, NULL
        FROM wanted
        UNION ALL
        SELECT {DIGESTS}, wanted.dpu_id, first, {digests} FROM wanted
        JOIN digest ON digest.dpu_id = wanted.dpu_id AND ts >= first AND ts < until GROUP BY wanted.dpu_id, first",
        changes = changes_sql(backend, &wanted),
        days = TallyLength::Day.hours(),
    );
    Statement::from_sql_and_values(backend, sql, values)
}

/// The kind of a row, in its first column. Other kinds belong to the change log.
const TOTALS: i32 = 2;
const DIGESTS: i32 = 3;
const EVENTS: i32 = 4;

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
