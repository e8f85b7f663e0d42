//! Digests: what is left of pruned events.

use std::collections::BTreeSet;

use entity::Instant;
use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, Statement, Value};

use crate::floor_plan::FloorPlan;

const HOUR_MS: i64 = 3_600_000;

/// Puts the digests of the events in `[start, end)`, and says of how many events they are.
pub(super) async fn put(
    transaction: &impl ConnectionTrait,
    plan: &FloorPlan,
    start: Instant,
    end: Instant,
) -> Result<u64, DbErr> {
    let marks = marks(plan, start, end);
    let (listed, values): (_, Vec<Value>) = if transaction.get_database_backend() == DatabaseBackend::Postgres
    {
        (
            "SELECT * FROM UNNEST($1::bigint[], $2::bigint[]) AS listed (dpu_id, ts)",
            vec![
                marks.iter().map(|(dpu, _)| *dpu).collect::<Vec<_>>().into(),
                marks.iter().map(|(_, ts)| ts.ms()).collect::<Vec<_>>().into(),
            ],
        )
    } else {
        let marks: Vec<_> = marks.iter().map(|(dpu, ts)| (dpu, ts.ms())).collect();
        (
            "SELECT value ->> 0 AS dpu_id, value ->> 1 AS ts FROM json_each($1)",
            vec![serde_json::json!(marks).to_string().into()],
        )
    };
    let (start, end) = (start.ms(), end.ms());
    let sql = format!(
        "WITH mark AS (SELECT dpu_id, ts, ts - ts % {HOUR_MS} AS hour FROM ({listed}) AS listed),
        crossed AS (
            SELECT event.dpu_id, direction,
                COALESCE(MIN(mark.ts), event.ts - event.ts % {HOUR_MS} + {HOUR_MS} - 1) AS ts
            FROM event LEFT JOIN mark ON mark.dpu_id = event.dpu_id
                AND mark.hour = event.ts - event.ts % {HOUR_MS} AND mark.ts >= event.ts
            WHERE event.dpu_id IN (SELECT id FROM dpu) AND event.ts >= {start} AND event.ts < {end}
            GROUP BY event.dpu_id, event.ts, direction, seq
        )
        INSERT INTO digest (dpu_id, ts, toward, away)
        SELECT dpu_id, ts, SUM((1 + direction) / 2), SUM((1 - direction) / 2) FROM crossed GROUP BY dpu_id, ts"
    );
    let backend = transaction.get_database_backend();
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

/// The instants in `[start, end)` at which odometers are read whatever is asked for: by which DPU, and when.
fn marks(plan: &FloorPlan, start: Instant, end: Instant) -> BTreeSet<(i64, Instant)> {
    let mut marks = BTreeSet::new();
    for space in plan.spaces().values() {
        let starts = space.starts().within(start, end);
        for assignment in &space.assignments {
            let edges = [assignment.starts_at, assignment.ends_at].into_iter().flatten();
            let read = edges.map(Instant::just_before).chain(starts.iter().map(|start| start.ts));
            marks.extend(read.map(|ts| (assignment.dpu_id, ts)));
        }
    }
    marks.retain(|(_, ts)| (start..end).contains(ts));
    marks
}
