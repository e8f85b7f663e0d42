//! Sums that replace what is pruned: intervals of an hour, or of a part of it.

use std::collections::BTreeSet;

use entity::Instant;
use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, Statement};

use crate::floor_plan::{FloorPlan, mark_table};

const HOUR_MS: i64 = 3_600_000;

/// Replaces what counts in `[start, end)` by sums, except the events themselves. Returns the number of events and
/// intervals.
pub(super) async fn put(
    transaction: &impl ConnectionTrait,
    plan: &FloorPlan,
    start: Instant,
    end: Instant,
) -> Result<u64, DbErr> {
    let backend = transaction.get_database_backend();
    let marks: BTreeSet<_> =
        plan.spaces().values().flat_map(|space| space.marks(start, end)).map(|mark| mark.reading).collect();
    let (mark, values) = mark_table(backend, marks.iter());
    let events = format!("dpu_id IN (SELECT id FROM dpu) AND ts >= {} AND ts < {}", start.ms(), end.ms());
    let intervals = format!(
        "dpu_id IN (SELECT id FROM dpu) AND ends > {} AND ends <= {} AND source <> 2",
        start.ms(),
        end.ms()
    );
    let sql = format!(
        "SELECT (SELECT COUNT(*) FROM event WHERE {events}) + (SELECT COUNT(*) FROM interval WHERE {intervals})"
    );
    let row = transaction.query_one_raw(Statement::from_string(backend, sql)).await?;
    let number = row.map_or(Ok(0), |row| row.try_get_by_index::<i64>(0))?;

    // Intervals keep their ends, so that they do not overlap. The last one of an hour becomes the sum of all.
    let any = if backend == DatabaseBackend::Postgres { "BOOL_OR" } else { "MAX" };
    let sum = format!(
        "WITH {mark}, counted AS ({}), sums AS (
            SELECT dpu_id, MAX(ends) AS ends, MIN(starts) AS starts, CAST(SUM(toward) AS BIGINT) AS toward,
                CAST(SUM(away) AS BIGINT) AS away, {any}(is_gap) AS is_gap
            FROM counted GROUP BY dpu_id, until
        )
        UPDATE interval SET starts = sums.starts, toward = sums.toward, away = sums.away, is_gap = sums.is_gap,
            source = 2, created = 0
        FROM sums WHERE interval.dpu_id = sums.dpu_id AND interval.ends = sums.ends",
        counted("interval", "ends - 1", "ends, starts, toward, away, is_gap", &intervals),
    );
    transaction.execute_raw(Statement::from_sql_and_values(backend, sum, values.clone())).await?;
    transaction.execute_unprepared(&format!("DELETE FROM interval WHERE {intervals}")).await?;

    let sum = format!(
        "WITH {mark}, counted AS ({})
        INSERT INTO interval (dpu_id, ends, starts, toward, away, source, created)
        SELECT dpu_id, until + 1, COALESCE(
                (SELECT MAX(mark.ts) + 1 FROM mark
                WHERE mark.dpu_id = counted.dpu_id AND mark.hour = counted.hour AND mark.ts < until),
                hour
            ), SUM((1 + direction) / 2), SUM((1 - direction) / 2), 2, 0
        FROM counted GROUP BY dpu_id, hour, until",
        counted("event", "ts", "ts, direction, seq", &events),
    );
    transaction.execute_raw(Statement::from_sql_and_values(backend, sum, values)).await?;
    // The last reading remains, since the next one is compared with it.
    let sql = format!(
        "DELETE FROM reading WHERE dpu_id IN (SELECT id FROM dpu) AND ts < (
            SELECT MAX(last.ts) FROM reading AS last
            WHERE last.dpu_id = reading.dpu_id AND last.void IS NULL AND last.ts < {}
        )",
        end.ms()
    );
    transaction.execute_unprepared(&sql).await?;
    Ok(number.unsigned_abs())
}

/// Returns a select of the rows of a table that count at `at`. `until` is the end of their sum: the next mark of their
/// hour, or its last millisecond. Voided rows are left out.
fn counted(table: &str, at: &str, columns: &str, condition: &str) -> String {
    // The remainder of an instant before 1970 is negative.
    let hour = format!("{at} - (({at}) % {HOUR_MS} + {HOUR_MS}) % {HOUR_MS}");
    format!(
        "SELECT rows.*, COALESCE(
            (SELECT MIN(mark.ts) FROM mark
            WHERE mark.dpu_id = rows.dpu_id AND mark.hour = rows.hour AND mark.ts >= rows.at),
            rows.hour + {HOUR_MS} - 1
        ) AS until
        FROM (
            SELECT dpu_id, {columns}, {at} AS at, {hour} AS hour FROM {table} WHERE {condition} AND void IS NULL
        ) AS rows"
    )
}

/// Deletes the events in `[start, end)`.
pub(super) async fn delete_events(
    transaction: &impl ConnectionTrait,
    start: Instant,
    end: Instant,
) -> Result<(), DbErr> {
    let sql = format!(
        "DELETE FROM event WHERE dpu_id IN (SELECT id FROM dpu) AND ts >= {} AND ts < {}",
        start.ms(),
        end.ms()
    );
    transaction.execute_unprepared(&sql).await.map(drop)
}
