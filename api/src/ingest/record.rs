//! One commit's work: check, insert by key, and tally what was really inserted.

use std::borrow::Cow;

use ahash::AHashSet;
use entity::tally::Resolution;
use entity::{Instant, Timestamp, event};
use sea_orm::{ActiveEnum, ConnectionTrait, DatabaseBackend, DbErr, QueryResult, Statement, Value};

use super::event::{Batch, Crossing, Identity, Outcome, Rejection, RejectionCode};
use super::partitions::Partitions;
use super::zone;
use crate::counting::Crossings;
use crate::floor_plan::FloorPlan;
use crate::state::{CommitId, log_commit};
use crate::timelines::Patch;

/// How far ahead of the server's clock a DPU's may run, in milliseconds.
pub const CLOCK_SKEW_MS: i64 = 5 * 60 * 1000;
/// The first instant of events, unless the operator says otherwise: 2010-01-01T00:00:00Z. What claims to be older comes from a
/// clock that was never set.
pub const EARLIEST: Instant = Instant::from_ms(1_262_304_000_000);

/// How batches are taken in.
#[derive(Clone, Copy, Debug)]
pub struct Intake {
    /// The name of the commit in the change log.
    pub id: CommitId,
    /// When they are received.
    pub now: Instant,
    /// The first instant of events; older ones are rejected.
    pub earliest: Instant,
}

/// What recording has done, true once the transaction has committed and not before.
#[derive(Debug)]
pub struct Recorded {
    /// What became of each event of each batch.
    pub outcomes: Vec<Vec<Outcome>>,
    /// The commit's name in the change log; `None` where nothing was inserted.
    pub id: Option<CommitId>,
    /// What timelines gain by it.
    pub patch: Patch,
}

/// Why nothing was recorded.
#[derive(Debug, thiserror::Error)]
pub enum Unrecorded {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbErr),
    /// The floor plan was changed since it was read: by it, events might be recorded of another DPU, or before the horizon.
    #[error("the floor plan was changed meanwhile")]
    OldPlan,
}

impl From<Unrecorded> for DbErr {
    fn from(unrecorded: Unrecorded) -> Self {
        match unrecorded {
            Unrecorded::Database(error) => error,
            Unrecorded::OldPlan => Self::Custom(unrecorded.to_string()),
        }
    }
}

/// Records the batches inside a transaction of the caller's, checked by `plan`, which must be the database's. On PostgreSQL it
/// is one statement, once there are partitions for the events.
///
/// Rows are written in the order of their keys, so that transactions which share some wait for each
/// other and never deadlock.
pub async fn record(
    transaction: &impl ConnectionTrait,
    partitions: &Partitions,
    plan: &FloorPlan,
    intake: Intake,
    batches: &[Batch],
) -> Result<Recorded, Unrecorded> {
    let checked = |row: &Result<_, Rejection>| {
        row.as_ref().map_err(Clone::clone).and_then(|row| check(plan, intake, row))
    };
    let checked: Vec<_> = batches.iter().flatten().map(checked).collect();
    let mut identities: Vec<Identity> = checked.iter().filter_map(|row| row.as_ref().ok()).copied().collect();
    identities.sort_unstable();
    identities.dedup();

    let Intake { id, now, .. } = intake;
    let log = Log { id, revision: plan.revision() };
    let duplicates = if identities.is_empty() {
        AHashSet::new()
    } else if transaction.get_database_backend() == DatabaseBackend::Postgres {
        partitions.ensure(transaction, identities.iter().map(|identity| identity.ts)).await?;
        insert_on_postgres(transaction, &identities, now, log).await?
    } else {
        insert_on_sqlite(transaction, &identities, now, log).await?
    };
    let id = (duplicates.len() < identities.len()).then_some(id);
    let inserted = identities.iter().filter(|identity| !duplicates.contains(*identity));
    let patch = Patch::new(inserted.map(|event| (event.dpu_id, event.ts, event.direction)));

    // Each inserted event was accepted where it came first; wherever else it comes, it is a duplicate.
    let mut seen = duplicates;
    let outcome = |row| match row {
        Ok(identity) if seen.insert(identity) => Outcome::Accepted,
        Ok(_) => Outcome::Duplicate,
        Err(rejection) => Outcome::Rejected(rejection),
    };
    let mut outcomes = checked.into_iter().map(outcome);
    let outcomes = batches.iter().map(|batch| outcomes.by_ref().take(batch.len()).collect()).collect();
    Ok(Recorded { outcomes, id, patch })
}

/// Under which floor plan events are inserted, and by which name.
#[derive(Clone, Copy)]
struct Log {
    id: CommitId,
    revision: i64,
}

/// The event's identity, or why it is not stored.
fn check(plan: &FloorPlan, intake: Intake, crossing: &Crossing) -> Result<Identity, Rejection> {
    let Intake { now, earliest, .. } = intake;
    let Crossing { direction, seq, .. } = *crossing;
    let dpu_id = plan.dpu_id(&crossing.serial).ok_or_else(|| Rejection::unknown_dpu(&crossing.serial))?;
    let ts = instant(plan, crossing)?;
    if ts < earliest {
        let message = format!(
            "{ts} is before {earliest}: events that old are not accepted, since they come from clocks that were never set"
        );
        return Err(Rejection::new(RejectionCode::TimestampOutOfRange, message));
    }
    if let Some(horizon) = plan.horizon().filter(|horizon| ts < *horizon) {
        let message = format!(
            "{ts} is too late: events before {horizon} are pruned, and what happened then cannot be added to any more"
        );
        return Err(Rejection::new(RejectionCode::TimestampPruned, message));
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

/// When the crossing happened. A timestamp that names no zone is by the clocks of its DPU's zone.
pub fn instant(plan: &FloorPlan, crossing: &Crossing) -> Result<Instant, Rejection> {
    match crossing.ts {
        Timestamp::Instant(instant) => Ok(instant),
        local @ Timestamp::Local(_) => zone::instant(local, plan.zone_of(&crossing.serial)),
    }
}

/// One statement, one answer: PostgreSQL inserts, tallies what it has inserted, adds it to the change log, and says what it
/// has not inserted. Where it has inserted all, as it nearly always has, the rows are not compared one by one. It does
/// nothing, and says so, where the floor plan is another one by now: a prune waits for those who insert, and lets none in
/// meanwhile.
async fn insert_on_postgres(
    connection: &impl ConnectionTrait,
    identities: &[Identity],
    now: Instant,
    log: Log,
) -> Result<AHashSet<Identity>, Unrecorded> {
    let sql = format!(
        "WITH sent AS (
            SELECT listed.* FROM floor_plan, UNNEST($2::bigint[], $3::bigint[], $4::smallint[], $5::int[])
            AS listed (dpu_id, ts, direction, seq)
            WHERE revision = $6
        ), inserted AS (
            INSERT INTO event (dpu_id, ts, direction, seq, created)
            SELECT dpu_id, ts, direction, seq, $1 FROM sent ORDER BY dpu_id, ts, direction, seq
            ON CONFLICT DO NOTHING RETURNING dpu_id, ts, direction, seq
        ), lacking AS (
            SELECT COUNT(*) < CARDINALITY($2) AS any_lack FROM inserted
        ), hours AS (
            SELECT dpu_id, ts - ts % {HOUR_MS} AS bucket,
                COUNT(*) FILTER (WHERE direction > 0) AS toward, COUNT(*) FILTER (WHERE direction < 0) AS away
            FROM inserted GROUP BY 1, 2
        ), tallied AS (
            INSERT INTO tally (dpu_id, resolution, bucket, toward, away)
            SELECT dpu_id, {hour}::smallint, bucket, toward, away FROM hours
            UNION ALL
            SELECT dpu_id, {day}::smallint, bucket - bucket % ({day} * {HOUR_MS}), SUM(toward), SUM(away)
            FROM hours GROUP BY 1, 3
            ORDER BY 1, 2, 3
            {ADD_TO_TALLY}
        ), logged AS (
            INSERT INTO change_log (writer, number, dpus)
            SELECT $7, $8, ARRAY_AGG(DISTINCT dpu_id) FROM inserted HAVING COUNT(*) > 0
        )
        SELECT sent.* FROM sent WHERE (SELECT any_lack FROM lacking)
        EXCEPT SELECT inserted.* FROM inserted WHERE (SELECT any_lack FROM lacking)
        UNION ALL
        SELECT NULL::bigint, NULL::bigint, NULL::smallint, NULL::int FROM floor_plan WHERE revision <> $6",
        hour = Resolution::Hour.hours(),
        day = Resolution::Day.hours(),
    );
    let values: [Value; 8] = [
        now.into(),
        identities.iter().map(|identity| identity.dpu_id).collect::<Vec<_>>().into(),
        identities.iter().map(|identity| identity.ts.ms()).collect::<Vec<_>>().into(),
        identities.iter().map(|identity| identity.direction.sign()).collect::<Vec<_>>().into(),
        identities.iter().map(|identity| identity.seq).collect::<Vec<_>>().into(),
        log.revision.into(),
        log.id.writer.into(),
        log.id.number.into(),
    ];
    let statement = Statement::from_sql_and_values(DatabaseBackend::Postgres, sql, values);
    let mut duplicates = AHashSet::new();
    for row in connection.query_all_raw(statement).await? {
        if row.try_get_by_index::<Option<i64>>(0)?.is_none() {
            return Err(Unrecorded::OldPlan);
        }
        duplicates.insert(identity(&row)?);
    }
    Ok(duplicates)
}

/// Looks what is there, and inserts the rest: nobody else writes to SQLite meanwhile. To have each row returned that is
/// inserted would take as long again as to write them.
async fn insert_on_sqlite(
    transaction: &impl ConnectionTrait,
    identities: &[Identity],
    now: Instant,
    log: Log,
) -> Result<AHashSet<Identity>, Unrecorded> {
    let duplicates = stored(transaction, identities, log.revision).await?;
    let inserted: Vec<Identity> =
        identities.iter().filter(|identity| !duplicates.contains(*identity)).copied().collect();
    if inserted.is_empty() {
        return Ok(duplicates);
    }
    let row = |event: &Identity| {
        [event.dpu_id, event.ts.ms(), event.direction.sign().into(), event.seq.into(), now.ms()]
    };
    let events: Vec<_> = inserted.iter().map(row).collect();
    for some in pieces(&events, again) {
        transaction.execute_raw(with_rows(EVENT, &some, "ON CONFLICT DO NOTHING")).await?;
    }
    let added = [tallies(&inserted, Resolution::Hour), tallies(&inserted, Resolution::Day)].concat();
    for some in pieces(&added, nothing) {
        transaction.execute_raw(with_rows(TALLY, &some, ADD_TO_TALLY)).await?;
    }
    let mut dpus: Vec<i64> = inserted.iter().map(|event| event.dpu_id).collect();
    dpus.dedup();
    log_commit(transaction, log.id, Some(dpus)).await?;
    Ok(duplicates)
}

/// What is there already of what was sent, if the floor plan is still the same.
async fn stored(
    transaction: &impl ConnectionTrait,
    identities: &[Identity],
    revision: i64,
) -> Result<AHashSet<Identity>, Unrecorded> {
    let key = |i: &Identity| [i.dpu_id, i.ts.ms(), i.direction.sign().into(), i.seq.into()];
    let keys: Vec<_> = identities.iter().map(key).collect();
    let sent = "WITH sent (dpu_id, ts, direction, seq) AS (";
    let found = ")
        SELECT dpu_id, ts, direction, seq FROM sent CROSS JOIN event USING (dpu_id, ts, direction, seq)
        UNION ALL SELECT NULL, revision, NULL, NULL FROM floor_plan";
    let mut stored = AHashSet::new();
    for some in pieces(&keys, again) {
        for row in transaction.query_all_raw(with_rows(sent, &some, found)).await? {
            if row.try_get_by_index::<Option<i64>>(0)?.is_some() {
                stored.insert(identity(&row)?);
            } else if row.try_get_by_index::<i64>(1)? != revision {
                return Err(Unrecorded::OldPlan);
            }
        }
    }
    Ok(stored)
}

/// The rows in pieces of few lengths, powers of two, so that each statement about one is prepared once and kept: to
/// prepare one for each number of rows would take longer than to write them. The last piece is filled up with what
/// `filler` makes of its last row, which must change nothing.
fn pieces<const COLUMNS: usize>(
    rows: &[[i64; COLUMNS]],
    filler: fn([i64; COLUMNS]) -> [i64; COLUMNS],
) -> impl Iterator<Item = Cow<'_, [[i64; COLUMNS]]>> {
    rows.chunks(PIECE_ROWS_MAX).map(move |some| {
        let (length, last) = (some.len().next_power_of_two(), some[some.len() - 1]);
        if length == some.len() {
            return Cow::Borrowed(some);
        }
        let mut rows = some.to_vec();
        rows.resize(length, filler(last));
        Cow::Owned(rows)
    })
}

/// The row again, which is there by then.
fn again<const COLUMNS: usize>(row: [i64; COLUMNS]) -> [i64; COLUMNS] {
    row
}

/// Nothing more for the row's tally.
fn nothing([dpu_id, hours, bucket, ..]: [i64; 5]) -> [i64; 5] {
    [dpu_id, hours, bucket, 0, 0]
}

/// A statement about the rows, which stand between `before` and `after`.
fn with_rows<const COLUMNS: usize>(before: &str, rows: &[[i64; COLUMNS]], after: &str) -> Statement {
    let row = format!("({})", vec!["?"; COLUMNS].join(","));
    let sql = format!("{before} VALUES {} {after}", vec![row; rows.len()].join(","));
    let values = rows.iter().flatten().map(|value| Value::from(*value));
    Statement::from_sql_and_values(DatabaseBackend::Sqlite, sql, values)
}

/// What the events add to the tallies of their hours or days, in the order of the columns.
fn tallies(inserted: &[Identity], resolution: Resolution) -> Vec<[i64; 5]> {
    let bucket = |event: &Identity| (event.dpu_id, resolution.bucket(event.ts));
    // In the order of their keys, all events of one bucket stand together.
    let tally = |events: &[Identity]| {
        let (dpu_id, start) = bucket(&events[0]);
        let Crossings { toward, away } = events.iter().map(|event| event.direction.into()).sum();
        [dpu_id, resolution.hours().into(), start.ms(), toward, away]
    };
    inserted.chunk_by(|one, next| bucket(one) == bucket(next)).map(tally).collect()
}

const HOUR_MS: i64 = 3_600_000;
/// How many rows a piece has at most: SQLite takes 32,766 values a statement.
const PIECE_ROWS_MAX: usize = 1024;
const EVENT: &str = "INSERT INTO event (dpu_id, ts, direction, seq, created)";
const TALLY: &str = "INSERT INTO tally (dpu_id, resolution, bucket, toward, away)";
const ADD_TO_TALLY: &str = "ON CONFLICT (dpu_id, resolution, bucket) \
    DO UPDATE SET toward = tally.toward + excluded.toward, away = tally.away + excluded.away";

fn identity(row: &QueryResult) -> Result<Identity, DbErr> {
    Ok(Identity {
        dpu_id: row.try_get_by_index(0)?,
        ts: row.try_get_by_index(1)?,
        direction: event::Direction::try_from_value(&row.try_get_by_index(2)?)?,
        seq: row.try_get_by_index(3)?,
    })
}
