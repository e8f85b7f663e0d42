//! Reads days and pages from the database, and what the change log says beside them: whatever their number, in one
//! statement, and so as of one instant.

use std::collections::BTreeMap;

use entity::Instant;
use entity::event::Direction;
use entity::tally::Resolution;
use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, QueryResult, Statement, Value};

use super::memory::{Loaded, PageKey};
use super::page::{Page, Step};
use crate::counting::Crossings;
use crate::state::{Changes, Position, changes_sql};

/// What is to be read: the days of these DPUs, and these pages.
#[derive(Debug, Default)]
pub struct Lacking {
    /// The ids of the DPUs.
    pub days: Vec<i64>,
    /// The pages.
    pub pages: Vec<PageKey>,
}

impl Lacking {
    /// The DPUs that it is about.
    pub fn dpus(&self) -> impl Iterator<Item = i64> {
        self.days.iter().copied().chain(self.pages.iter().map(|page| page.dpu))
    }

    /// Puts it in order, each thing once.
    pub(crate) fn sort(&mut self) {
        self.days.sort_unstable();
        self.days.dedup();
        self.pages.sort_unstable();
        self.pages.dedup();
    }

    /// Whether nothing is lacking.
    pub fn is_empty(&self) -> bool {
        self.days.is_empty() && self.pages.is_empty()
    }
}

/// Reads what is lacking, and the changes since `position`. Each DPU whose days are asked for has them in the answer, and
/// each page that is asked for is in it.
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
            TOTAL => {
                let (dpu, day, total) = total(&row)?;
                totals.entry(dpu).or_default().push((day, total));
            }
            DIGEST => {
                let (dpu, day, people) = total(&row)?;
                let ts: Instant = row.try_get_by_index(5)?;
                let ways = [(Direction::Toward, people.toward), (Direction::Away, people.away)];
                let steps = ways
                    .into_iter()
                    .flat_map(|(way, people)| (0..people).map(move |_| Step::new(day, ts, way)));
                pages.entry(PageKey { dpu, day }).or_default().extend(steps);
            }
            PAGE => {
                let key = PageKey { dpu: row.try_get_by_index(1)?, day: row.try_get_by_index(2)? };
                pages.entry(key).or_default().extend(steps(&row, backend)?);
            }
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

fn total(row: &QueryResult) -> Result<(i64, Instant, Crossings), DbErr> {
    let total = Crossings { toward: row.try_get_by_index(3)?, away: row.try_get_by_index(4)? };
    Ok((row.try_get_by_index(1)?, row.try_get_by_index(2)?, total))
}

fn steps(row: &QueryResult, backend: DatabaseBackend) -> Result<Vec<Step>, DbErr> {
    let numbers: Vec<u32> = if backend == DatabaseBackend::Postgres {
        let numbers: Vec<i32> = row.try_get_by_index(6)?;
        numbers.into_iter().map(i32::cast_unsigned).collect()
    } else {
        let numbers: String = row.try_get_by_index(6)?;
        serde_json::from_str(&numbers).map_err(|error| DbErr::Type(error.to_string()))?
    };
    Ok(numbers.into_iter().map(Step::from_number).collect())
}

/// A row a change, a row a day's total, and a row a page: all its steps as one array, so that a busy day is not a hundred
/// thousand rows. Where its events are pruned, a row a digest.
fn statement(backend: DatabaseBackend, lacking: &Lacking, position: &Position) -> Statement {
    let mut values = position.values(backend);
    let (dpus, wanted, steps) = if backend == DatabaseBackend::Postgres {
        let column = |of: fn(&PageKey) -> i64| lacking.pages.iter().map(of).collect::<Vec<_>>();
        values.extend([
            Value::from(lacking.days.clone()),
            column(|page| page.dpu).into(),
            column(|page| page.day.ms()).into(),
        ]);
        (
            "SELECT UNNEST($3::bigint[])",
            "UNNEST($4::bigint[], $5::bigint[]) AS page (dpu_id, day)",
            "ARRAY(SELECT ((ts - page.day) * 2 + (1 + direction) / 2)::int",
        )
    } else {
        let pages: Vec<_> = lacking.pages.iter().map(|page| (page.dpu, page.day.ms())).collect();
        values.extend([
            Value::from(serde_json::json!(lacking.days).to_string()),
            serde_json::json!(pages).to_string().into(),
        ]);
        (
            "SELECT value FROM json_each($2)",
            "(SELECT value ->> 0 AS dpu_id, value ->> 1 AS day FROM json_each($3)) AS page",
            "(SELECT json_group_array((ts - page.day) * 2 + (1 + direction) / 2)",
        )
    };
    let sql = format!(
        "{changes}
        UNION ALL
        SELECT {TOTAL}, dpu_id, bucket, toward, away, NULL, NULL, NULL FROM tally
        WHERE dpu_id IN ({dpus}) AND resolution = {days}
        UNION ALL
        SELECT {PAGE}, dpu_id, day, NULL, NULL, NULL, {steps} FROM event
            WHERE event.dpu_id = page.dpu_id AND ts >= page.day AND ts < page.day + {DAY_MS}), NULL
        FROM {wanted}
        UNION ALL
        SELECT {DIGEST}, page.dpu_id, day, toward, away, ts, NULL, NULL FROM {wanted}
        JOIN digest ON digest.dpu_id = page.dpu_id AND ts >= day AND ts < day + {DAY_MS}",
        changes = changes_sql(backend),
        days = Resolution::Day.hours(),
    );
    Statement::from_sql_and_values(backend, sql, values)
}

/// What a row is, in its first column; the change log has kinds of its own.
const TOTAL: i32 = 2;
const DIGEST: i32 = 3;
const PAGE: i32 = 4;

const DAY_MS: i64 = Resolution::Day.hours() as i64 * 3_600_000;
