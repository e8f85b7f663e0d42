//! One commit's work: check, insert by key, and tally what was really inserted.

use std::collections::{BTreeMap, HashSet};

use entity::tally::Resolution;
use entity::{Instant, event};
use sea_orm::{ActiveEnum, ConnectionTrait, DatabaseBackend, DbErr, Statement, Value};

use super::event::{Batch, Crossing, Identity, Outcome, Rejection, RejectionCode};
use super::partitions;
use crate::counting::Crossings;
use crate::floor_plan::FloorPlan;

/// How far ahead of the server's clock a DPU's may run, in milliseconds.
pub const CLOCK_SKEW_MS: i64 = 5 * 60 * 1000;
/// No event is older than the Unix epoch, 1970-01-01T00:00:00Z: what claims to be comes from a clock that was never set.
pub const EARLIEST: Instant = Instant::from_ms(0);

/// Records the batches inside a transaction of the caller's, as received at `now`.
///
/// An outcome is true once the transaction has committed, and not before. Rows are written in the
/// order of their keys, so that transactions which share some wait for each other and never deadlock.
pub async fn record(
    transaction: &impl ConnectionTrait,
    plan: &FloorPlan,
    now: Instant,
    batches: &[Batch],
) -> Result<Vec<Vec<Outcome>>, DbErr> {
    let checked: Vec<Vec<_>> = batches
        .iter()
        .map(|batch| {
            batch
                .iter()
                .map(|row| row.as_ref().map_err(Clone::clone).and_then(|row| check(plan, now, row)))
                .collect()
        })
        .collect();
    let mut identities: Vec<Identity> =
        checked.iter().flatten().filter_map(|row| row.as_ref().ok()).copied().collect();
    identities.sort_unstable();
    identities.dedup();

    let inserted = insert(transaction, &identities, now).await?;
    add_to_tallies(transaction, &inserted).await?;

    // Each inserted event was accepted where it came first; wherever else it comes, it is a duplicate.
    let mut accepted: HashSet<Identity> = inserted.into_iter().collect();
    let outcome = |row| match row {
        Ok(identity) if accepted.remove(&identity) => Outcome::Accepted,
        Ok(_) => Outcome::Duplicate,
        Err(rejection) => Outcome::Rejected(rejection),
    };
    let mut outcomes = checked.iter().flatten().cloned().map(outcome);
    Ok(batches.iter().map(|batch| outcomes.by_ref().take(batch.len()).collect()).collect())
}

/// The event's identity, or why it is not stored.
fn check(plan: &FloorPlan, now: Instant, crossing: &Crossing) -> Result<Identity, Rejection> {
    let Crossing { ts, direction, seq, .. } = *crossing;
    let dpu_id = plan.dpu_id(&crossing.serial).ok_or_else(|| Rejection::unknown_dpu(&crossing.serial))?;
    if ts < EARLIEST {
        let message = format!("{ts} is too early: events are accepted from {EARLIEST} on");
        return Err(Rejection::new(RejectionCode::TimestampOutOfRange, message));
    }
    if ts > now.plus_ms(CLOCK_SKEW_MS) {
        let message = format!(
            "{ts} lies in the future: it is {now}, and a DPU's clock may be at most {} minutes ahead",
            CLOCK_SKEW_MS / 60_000
        );
        return Err(Rejection::new(RejectionCode::TimestampInFuture, message));
    }
    if seq < 0 {
        return Err(Rejection::bad_seq(&seq.to_string()));
    }
    Ok(Identity { dpu_id, ts, direction, seq })
}

/// Inserts those of the events that are not there yet, and says which those were. `identities` must be sorted.
async fn insert(
    transaction: &impl ConnectionTrait,
    identities: &[Identity],
    now: Instant,
) -> Result<Vec<Identity>, DbErr> {
    if identities.is_empty() {
        return Ok(Vec::new());
    }
    let backend = transaction.get_database_backend();
    let (source, values): (_, Vec<Value>) = if backend == DatabaseBackend::Postgres {
        partitions::ensure(transaction, identities.iter().map(|identity| identity.ts)).await?;
        (
            "SELECT dpu_id, ts, direction, seq FROM UNNEST($2::bigint[], $3::bigint[], $4::smallint[], $5::int[]) \
             WITH ORDINALITY AS listed (dpu_id, ts, direction, seq, number) ORDER BY number",
            vec![
                now.into(),
                identities.iter().map(|identity| identity.dpu_id).collect::<Vec<_>>().into(),
                identities.iter().map(|identity| identity.ts.ms()).collect::<Vec<_>>().into(),
                identities.iter().map(|identity| identity.direction.sign()).collect::<Vec<_>>().into(),
                identities.iter().map(|identity| identity.seq).collect::<Vec<_>>().into(),
            ],
        )
    } else {
        let rows: Vec<_> =
            identities.iter().map(|i| (i.dpu_id, i.ts.ms(), i.direction.sign(), i.seq)).collect();
        (
            "SELECT value ->> 0 AS dpu_id, value ->> 1 AS ts, value ->> 2 AS direction, value ->> 3 AS seq \
             FROM json_each($2)",
            vec![now.into(), serde_json::json!(rows).to_string().into()],
        )
    };
    let sql = format!(
        "INSERT INTO event (dpu_id, ts, direction, seq, created)
        SELECT dpu_id, ts, direction, seq, $1 FROM ({source}) AS sent WHERE TRUE
        ON CONFLICT DO NOTHING RETURNING dpu_id, ts, direction, seq"
    );
    let rows = transaction.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    rows.iter()
        .map(|row| {
            Ok(Identity {
                dpu_id: row.try_get_by_index(0)?,
                ts: row.try_get_by_index(1)?,
                direction: event::Direction::try_from_value(&row.try_get_by_index(2)?)?,
                seq: row.try_get_by_index(3)?,
            })
        })
        .collect()
}

/// Adds the events to the tallies of their hours and days.
async fn add_to_tallies(transaction: &impl ConnectionTrait, inserted: &[Identity]) -> Result<(), DbErr> {
    let mut tallies: BTreeMap<(i64, Resolution, Instant), Crossings> = BTreeMap::new();
    for event in inserted {
        for resolution in Resolution::ALL {
            *tallies.entry((event.dpu_id, resolution, resolution.bucket(event.ts))).or_default() +=
                event.direction.into();
        }
    }
    if tallies.is_empty() {
        return Ok(());
    }
    let backend = transaction.get_database_backend();
    let (source, values): (_, Vec<Value>) = if backend == DatabaseBackend::Postgres {
        (
            "SELECT dpu_id, resolution, bucket, toward, away FROM \
             UNNEST($1::bigint[], $2::smallint[], $3::bigint[], $4::bigint[], $5::bigint[]) \
             WITH ORDINALITY AS listed (dpu_id, resolution, bucket, toward, away, number) ORDER BY number",
            vec![
                tallies.keys().map(|(dpu_id, ..)| *dpu_id).collect::<Vec<_>>().into(),
                tallies.keys().map(|(_, resolution, _)| resolution.hours()).collect::<Vec<_>>().into(),
                tallies.keys().map(|(.., bucket)| bucket.ms()).collect::<Vec<_>>().into(),
                tallies.values().map(|crossings| crossings.toward).collect::<Vec<_>>().into(),
                tallies.values().map(|crossings| crossings.away).collect::<Vec<_>>().into(),
            ],
        )
    } else {
        let rows: Vec<_> = tallies
            .iter()
            .map(|((dpu_id, resolution, bucket), crossings)| {
                (dpu_id, resolution.hours(), bucket.ms(), crossings.toward, crossings.away)
            })
            .collect();
        (
            "SELECT value ->> 0 AS dpu_id, value ->> 1 AS resolution, value ->> 2 AS bucket, \
             value ->> 3 AS toward, value ->> 4 AS away FROM json_each($1)",
            vec![serde_json::json!(rows).to_string().into()],
        )
    };
    let sql = format!(
        "INSERT INTO tally (dpu_id, resolution, bucket, toward, away)
        SELECT dpu_id, resolution, bucket, toward, away FROM ({source}) AS added WHERE TRUE
        ON CONFLICT (dpu_id, resolution, bucket)
        DO UPDATE SET toward = tally.toward + excluded.toward, away = tally.away + excluded.away"
    );
    transaction.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    Ok(())
}
