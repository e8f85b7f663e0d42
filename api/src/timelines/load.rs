//! Reads days and pages from the database: whatever their number, in one statement, and so as of one instant.

use std::collections::BTreeMap;

use entity::Instant;
use entity::event::Direction;
use entity::tally::Resolution;
use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, Statement, Value};

use super::memory::{Lacking, Loaded, PageKey};
use super::page::Step;
use crate::counting::Crossings;

/// Reads what is lacking. Each DPU that was asked for has its days in the answer, and each page is in it.
pub(super) async fn load(connection: &impl ConnectionTrait, lacking: &Lacking) -> Result<Loaded, DbErr> {
    let mut totals: BTreeMap<i64, Vec<(Instant, Crossings)>> =
        lacking.days.iter().map(|dpu| (*dpu, Vec::new())).collect();
    let mut pages: BTreeMap<PageKey, Vec<Step>> = BTreeMap::new();
    let backend = connection.get_database_backend();
    for row in connection.query_all_raw(statement(backend, lacking)).await? {
        let (dpu, day): (i64, Instant) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        if let Some(toward) = row.try_get_by_index::<Option<i64>>(2)? {
            let total = Crossings { toward, away: row.try_get_by_index(3)? };
            match row.try_get_by_index::<Option<Instant>>(5)? {
                None => totals.entry(dpu).or_default().push((day, total)),
                Some(ts) => {
                    let digest = [(Direction::Toward, total.toward), (Direction::Away, total.away)];
                    let steps = digest.into_iter().flat_map(|(direction, people)| {
                        (0..people).map(move |_| Step::new(day, ts, direction))
                    });
                    pages.entry(PageKey { dpu, day }).or_default().extend(steps);
                }
            }
        } else {
            let steps: Vec<u32> = if backend == DatabaseBackend::Postgres {
                let steps: Vec<i32> = row.try_get_by_index(4)?;
                steps.into_iter().map(i32::cast_unsigned).collect()
            } else {
                let steps: String = row.try_get_by_index(4)?;
                serde_json::from_str(&steps).map_err(|error| DbErr::Type(error.to_string()))?
            };
            pages.entry(PageKey { dpu, day }).or_default().extend(steps.into_iter().map(Step::from_number));
        }
    }
    let days = totals.into_iter().map(|(dpu, mut totals)| {
        totals.sort_unstable_by_key(|(day, _)| *day);
        (dpu, totals.into_iter().collect())
    });
    let pages = pages.into_iter().map(|(key, steps)| (key, steps.into_iter().collect()));
    Ok(Loaded { days: days.collect(), pages: pages.collect() })
}

/// A row a day's total, and a row a page: all its steps as one array, so that a busy day is not a hundred thousand rows.
/// Where its events are pruned, a row a digest.
fn statement(backend: DatabaseBackend, lacking: &Lacking) -> Statement {
    let (dpus, wanted, steps, values): (_, _, _, Vec<Value>) = if backend == DatabaseBackend::Postgres {
        let column = |of: fn(&PageKey) -> i64| lacking.pages.iter().map(of).collect::<Vec<_>>();
        (
            "SELECT UNNEST($1::bigint[])",
            "UNNEST($2::bigint[], $3::bigint[]) AS page (dpu_id, day)",
            "ARRAY(SELECT ((ts - page.day) * 2 + (1 + direction) / 2)::int",
            vec![
                lacking.days.clone().into(),
                column(|page| page.dpu).into(),
                column(|page| page.day.ms()).into(),
            ],
        )
    } else {
        let pages: Vec<_> = lacking.pages.iter().map(|page| (page.dpu, page.day.ms())).collect();
        (
            "SELECT value FROM json_each($1)",
            "(SELECT value ->> 0 AS dpu_id, value ->> 1 AS day FROM json_each($2)) AS page",
            "(SELECT json_group_array((ts - page.day) * 2 + (1 + direction) / 2)",
            vec![
                serde_json::json!(lacking.days).to_string().into(),
                serde_json::json!(pages).to_string().into(),
            ],
        )
    };
    let sql = format!(
        "SELECT dpu_id, bucket, toward, away, NULL, CAST(NULL AS BIGINT) FROM tally
        WHERE dpu_id IN ({dpus}) AND resolution = {days}
        UNION ALL
        SELECT dpu_id, day, NULL, NULL, {steps} FROM event
            WHERE event.dpu_id = page.dpu_id AND ts >= page.day AND ts < page.day + {DAY_MS}), NULL
        FROM {wanted}
        UNION ALL
        SELECT page.dpu_id, day, toward, away, NULL, ts FROM {wanted}
        JOIN digest ON digest.dpu_id = page.dpu_id AND ts >= day AND ts < day + {DAY_MS}",
        days = Resolution::Day.hours(),
    );
    Statement::from_sql_and_values(backend, sql, values)
}

const DAY_MS: i64 = Resolution::Day.hours() as i64 * 3_600_000;
