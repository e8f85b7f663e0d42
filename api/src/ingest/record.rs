//! The work of one commit: check reports, insert crossings by key, and tally those that were inserted. The module
//! `reports` records the other kinds.

use ahash::AHashSet;
use entity::tally::TallyLength;
use entity::{Instant, event};
use sea_orm::{ActiveEnum, ConnectionTrait, DatabaseBackend, DbErr, QueryResult, SqlErr, Statement, Value};

use super::check::{Checked, Intake, Unrecorded, check};
use super::event::{Identity, Outcome, Rejection};
use super::report::Batch;
use super::reports;
use super::tallies::{ADD_TO_TALLY, pieces};
use crate::database::{CommitId, Partitions, log_commit};
use crate::floor_plan::FloorPlan;
use crate::timelines::Patch;
use counting::Crossings;

/// Result of recording, valid once the transaction has committed.
#[derive(Debug)]
pub struct Recorded {
    pub outcomes: Vec<Vec<Outcome>>,
    /// `None` if nothing was inserted.
    pub id: Option<CommitId>,
    pub patch: Patch,
    /// For each report that is valid by itself, its DPU, and the instant until which it tells what happened.
    pub told: Vec<Option<(i64, Option<Instant>)>>,
}

/// Records the batches in the caller's transaction. `plan` must be the current floor plan of the database. On
/// PostgreSQL, crossings take one statement, once the partitions of the events exist.
///
/// Rows are written in the order of their keys, so that transactions with common rows wait for each other and never
/// deadlock.
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
    let (mut identities, mut reports) = (Vec::new(), Vec::new());
    for row in checked.iter().flatten() {
        match row {
            Checked::Crossing(identity) => identities.push(*identity),
            Checked::Report(report) => reports.push(*report),
            Checked::Heartbeat { .. } => {}
        }
    }
    // First those that lock the floor plan: changes of it lock it before tallies, too.
    let (mut report_outcomes, mut id, mut patch) = (Vec::new().into_iter(), None, Patch::default());
    if !reports.is_empty() {
        let (outcomes, is_stored, more) = reports::record(transaction, plan, intake, &reports).await?;
        id = is_stored.then_some(intake.id);
        patch = more;
        report_outcomes = outcomes.into_iter();
    }
    // A commit has one number for its reports, and the next one for its crossings.
    let own = id.map_or(intake.id, CommitId::next);
    let crossings = Intake { id: own, ..intake };
    let (duplicates, crossed, more) =
        record_crossings(transaction, partitions, plan, crossings, &mut identities).await?;
    patch.append(more);
    let id = crossed.or(id);

    let told = checked.iter().map(|row| row.as_ref().ok().map(|checked| checked.told())).collect();
    // An inserted event is accepted where it comes first, and a duplicate everywhere else.
    let mut seen = duplicates;
    let outcome = |row| match row {
        Ok(Checked::Crossing(identity)) if seen.insert(identity) => Outcome::Accepted,
        Ok(Checked::Crossing(_)) => Outcome::Duplicate,
        Ok(Checked::Report(_)) => report_outcomes.next().unwrap_or(Outcome::Duplicate),
        Ok(Checked::Heartbeat { .. }) => Outcome::Accepted,
        Err(rejection) => Outcome::Rejected(rejection),
    };
    let mut outcomes = checked.into_iter().map(outcome);
    let outcomes = batches.iter().map(|batch| outcomes.by_ref().take(batch.len()).collect()).collect();
    Ok(Recorded { outcomes, id, patch, told })
}

/// Inserts the crossings that are not stored yet. Returns those that are, the name of the commit if any was inserted, and
/// what changes in memory.
async fn record_crossings(
    transaction: &impl ConnectionTrait,
    partitions: &Partitions,
    plan: &FloorPlan,
    Intake { id, now, .. }: Intake,
    identities: &mut Vec<Identity>,
) -> Result<(AHashSet<Identity>, Option<CommitId>, Patch), Unrecorded> {
    identities.sort_unstable();
    identities.dedup();
    let log = Log { id, revision: plan.revision() };
    let duplicates = if identities.is_empty() {
        AHashSet::new()
    } else if transaction.get_database_backend() == DatabaseBackend::Postgres {
        partitions.ensure(transaction, identities.iter().map(|identity| identity.ts)).await?;
        insert_on_postgres(transaction, identities, now, log).await?
    } else {
        insert_on_sqlite(transaction, identities, now, log).await?
    };
    let id = (duplicates.len() < identities.len()).then_some(id);
    let inserted = identities.iter().filter(|identity| !duplicates.contains(*identity));
    let patch = Patch::new(inserted.map(|event| (event.dpu_id, event.ts, event.direction)));
    Ok((duplicates, id, patch))
}

/// Name of the commit in the change log, and revision of the floor plan that it relies on.
#[derive(Clone, Copy)]
struct Log {
    id: CommitId,
    revision: i64,
}

/// Records the events by one statement: PostgreSQL inserts them, tallies those that it has inserted, adds to the change
/// log, and returns those that it has not inserted. If all are inserted, which is the usual case, rows are not compared
/// one by one. If the floor plan has changed, the statement does nothing and says so. A prune waits for running
/// inserts, and blocks new ones until it has changed the floor plan.
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
        hour = TallyLength::Hour.hours(),
        day = TallyLength::Day.hours(),
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

/// Inserts the events that are not stored yet, and tallies them. SQLite has no other writer meanwhile.
///
/// A statement with an event that is already stored inserts nothing; only then are its events looked up. Having SQLite
/// return the inserted rows would take as long as writing them.
async fn insert_on_sqlite(
    transaction: &impl ConnectionTrait,
    identities: &[Identity],
    now: Instant,
    log: Log,
) -> Result<AHashSet<Identity>, Unrecorded> {
    let revision = Statement::from_string(DatabaseBackend::Sqlite, "SELECT revision FROM floor_plan");
    let revision = transaction.query_one_raw(revision).await?.map(|row| row.try_get_by_index::<i64>(0));
    if revision.transpose()? != Some(log.revision) {
        return Err(Unrecorded::OldPlan);
    }
    let mut duplicates = AHashSet::new();
    for some in pieces(identities) {
        match insert(transaction, some, now).await {
            Err(error) if is_there_already(&error) => {
                let there = stored(transaction, some).await?;
                let new: Vec<_> = some.iter().filter(|event| !there.contains(*event)).copied().collect();
                for some in pieces(&new) {
                    insert(transaction, some, now).await?;
                }
                duplicates.extend(there);
            }
            inserted => inserted?,
        }
    }
    let inserted: Vec<Identity> =
        identities.iter().filter(|identity| !duplicates.contains(*identity)).copied().collect();
    if inserted.is_empty() {
        return Ok(duplicates);
    }
    for resolution in [TallyLength::Hour, TallyLength::Day] {
        for some in pieces(&tallies(&inserted, resolution)) {
            add_to_tallies(transaction, resolution, some).await?;
        }
    }
    let mut dpus: Vec<i64> = inserted.iter().map(|event| event.dpu_id).collect();
    dpus.dedup();
    log_commit(transaction, log.id, Some(dpus)).await?;
    Ok(duplicates)
}

/// Inserts all of these events, or none if one of them is already stored.
async fn insert(transaction: &impl ConnectionTrait, events: &[Identity], now: Instant) -> Result<(), DbErr> {
    let rows = events.iter().flat_map(|event| key(event).into_iter().chain([now.ms()]));
    let before = "INSERT INTO event (dpu_id, ts, direction, seq, created) VALUES";
    let statement = with_rows(before, "(?, ?, ?, ?, ?)", events.len(), rows, "");
    transaction.execute_raw(statement).await.map(drop)
}

fn is_there_already(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}

async fn stored(
    transaction: &impl ConnectionTrait,
    events: &[Identity],
) -> Result<AHashSet<Identity>, DbErr> {
    let before = "WITH sent (dpu_id, ts, direction, seq) AS (VALUES";
    let after =
        ") SELECT dpu_id, ts, direction, seq FROM sent CROSS JOIN event USING (dpu_id, ts, direction, seq)";
    let statement = with_rows(before, "(?, ?, ?, ?)", events.len(), events.iter().flat_map(key), after);
    transaction.query_all_raw(statement).await?.iter().map(identity).collect()
}

async fn add_to_tallies(
    transaction: &impl ConnectionTrait,
    resolution: TallyLength,
    tallies: &[Tally],
) -> Result<(), DbErr> {
    let row = format!("(?, {}, ?, ?, ?)", resolution.hours());
    let before = "INSERT INTO tally (dpu_id, resolution, bucket, toward, away) VALUES";
    let rows = tallies
        .iter()
        .flat_map(|(dpu_id, bucket, Crossings { toward, away })| [*dpu_id, bucket.ms(), *toward, *away]);
    transaction.execute_raw(with_rows(before, &row, tallies.len(), rows, ADD_TO_TALLY)).await.map(drop)
}

fn key(event: &Identity) -> [i64; 4] {
    [event.dpu_id, event.ts.ms(), event.direction.sign().into(), event.seq.into()]
}

/// Returns a statement with `number` rows of placeholders between `before` and `after`.
fn with_rows(
    before: &str,
    row: &str,
    number: usize,
    values: impl Iterator<Item = i64>,
    after: &str,
) -> Statement {
    let sql = format!("{before} {} {after}", vec![row; number].join(","));
    Statement::from_sql_and_values(DatabaseBackend::Sqlite, sql, values.map(Value::from))
}

/// A DPU, the start of an hour or a day, and the DPU's crossings in it.
type Tally = (i64, Instant, Crossings);

/// Returns what the events add to the tallies of their hours or days.
fn tallies(inserted: &[Identity], resolution: TallyLength) -> Vec<Tally> {
    let bucket = |event: &Identity| (event.dpu_id, resolution.bucket(event.ts));
    // In the order of their keys, all events of one bucket stand together.
    let tally = |events: &[Identity]| {
        let (dpu_id, start) = bucket(&events[0]);
        (dpu_id, start, events.iter().map(|event| event.direction.into()).sum())
    };
    inserted.chunk_by(|one, next| bucket(one) == bucket(next)).map(tally).collect()
}

const HOUR_MS: i64 = 3_600_000;
fn identity(row: &QueryResult) -> Result<Identity, DbErr> {
    Ok(Identity {
        dpu_id: row.try_get_by_index(0)?,
        ts: row.try_get_by_index(1)?,
        direction: event::Direction::try_from_value(&row.try_get_by_index(2)?)?,
        seq: row.try_get_by_index(3)?,
    })
}
