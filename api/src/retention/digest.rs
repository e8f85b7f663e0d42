//! Digests: sums that replace pruned events.

use std::collections::BTreeSet;

use entity::Instant;
use sea_orm::{ConnectionTrait, DbErr, Statement};

use crate::floor_plan::{FloorPlan, listed};

const HOUR_MS: i64 = 3_600_000;

/// Writes the digests of the events in `[start, end)`. Returns the number of these events.
pub(super) async fn put(
    transaction: &impl ConnectionTrait,
    plan: &FloorPlan,
    start: Instant,
    end: Instant,
) -> Result<u64, DbErr> {
    let backend = transaction.get_database_backend();
    let marks: BTreeSet<_> =
        plan.spaces().values().flat_map(|space| space.marks(start, end)).map(|mark| mark.reading).collect();
    let (mark, values) = listed(backend, marks.iter());
    let (start, end) = (start.ms(), end.ms());
    // The remainder of an instant before 1970 is negative.
    let hour = format!("event.ts - (event.ts % {HOUR_MS} + {HOUR_MS}) % {HOUR_MS}");
    let sql = format!(
        "WITH {mark}, crossed AS (
            SELECT event.dpu_id, direction, COALESCE(MIN(mark.ts), {hour} + {HOUR_MS} - 1) AS ts
            FROM event LEFT JOIN mark
                ON mark.dpu_id = event.dpu_id AND mark.hour = {hour} AND mark.ts >= event.ts
            WHERE event.dpu_id IN (SELECT id FROM dpu) AND event.ts >= {start} AND event.ts < {end}
            GROUP BY event.dpu_id, event.ts, direction, seq
        )
        INSERT INTO digest (dpu_id, ts, toward, away)
        SELECT dpu_id, ts, SUM((1 + direction) / 2), SUM((1 - direction) / 2) FROM crossed GROUP BY dpu_id, ts"
    );
    transaction.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    let sql = format!(
        "SELECT COUNT(*) FROM event WHERE dpu_id IN (SELECT id FROM dpu) AND ts >= {start} AND ts < {end}"
    );
    let row = transaction.query_one_raw(Statement::from_string(backend, sql)).await?;
    let events = row.map_or(Ok(0), |row| row.try_get_by_index::<i64>(0))?;
    Ok(events.unsigned_abs())
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
