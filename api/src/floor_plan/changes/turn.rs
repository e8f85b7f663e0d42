//! Serializes changes of the floor plan, and checks them where events are pruned.
//!
//! Before the horizon, odometers are known only at the end of each hour and at the marks (`floor_plan/marks.rs`) that
//! the floor plan had when the events were pruned. A change may add another mark there only if nobody crossed between
//! the mark and the end of its hour. So every mark is known, before each change and after it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use entity::Instant;
use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, Statement};

use super::current;
use crate::floor_plan::load::edition;
use crate::floor_plan::marks::{HOUR_MS, mark_table};
use crate::floor_plan::{Cause, ChangeError, FloorPlan, Mark, Refusal, RefusalCode, Space};
use counting::{Reading, Source};

/// The right to change the floor plan. One change is made at a time.
#[must_use = "a change ends its turn before it is committed"]
pub struct ChangeLock {
    /// The floor plan before the change, and the horizon. `None`: no events are pruned.
    before: Option<(FloorPlan, Instant)>,
}

impl ChangeLock {
    /// Waits for the turn, which lasts until the transaction ends.
    pub async fn take(transaction: &impl ConnectionTrait) -> Result<Self, ChangeError> {
        lock(transaction).await?;
        let before = match edition(transaction).await?.horizon {
            Some(horizon) => Some((current(transaction).await?, horizon)),
            None => None,
        };
        Ok(Self { before })
    }

    /// Checks the change. Refuses it with `OUT_OF_RANGE` if a count would need an odometer at an instant at which its
    /// reading is no longer known.
    pub async fn end(self, transaction: &impl ConnectionTrait) -> Result<(), ChangeError> {
        let Some((before, horizon)) = self.before else { return Ok(()) };
        let Some(first) = first_crossing(transaction).await?.filter(|first| *first < horizon) else {
            return Ok(());
        };
        let after = current(transaction).await?;
        let made = made(&before, &after, first.floor_to(HOUR_MS), horizon);
        match first_unknown(transaction, made.keys()).await? {
            Some(unknown) => Err(refusal(&before, &after, &made[&unknown], horizon).into()),
            None => Ok(()),
        }
    }
}

/// Ensures that only one change of the floor plan is made at a time, until the transaction ends.
///
/// On SQLite there is only one writing transaction at a time anyway.
pub(crate) async fn lock(transaction: &impl ConnectionTrait) -> Result<(), DbErr> {
    if transaction.get_database_backend() == DatabaseBackend::Postgres {
        transaction.execute_unprepared("SELECT revision FROM floor_plan FOR UPDATE").await?;
    }
    Ok(())
}

/// Returns the marks in `[from, end)` that the change adds.
fn made<'a>(
    before: &FloorPlan,
    after: &'a FloorPlan,
    from: Instant,
    end: Instant,
) -> BTreeMap<Reading, Mark<'a>> {
    let is_changed = |space: &&Space| {
        !before.space(space.row.id).is_some_and(|known| {
            (known.zone, &known.assignments, &known.resets, &known.rules)
                == (space.zone, &space.assignments, &space.resets, &space.rules)
        })
    };
    let changed = after.spaces().values().map(|space| &**space).filter(is_changed);
    let mut made: BTreeMap<_, _> =
        changed.flat_map(|space| space.marks(from, end)).map(|mark| (mark.reading, mark)).collect();
    // An odometer's reading is known no matter which space needed it.
    let dpus: HashSet<_> = made.keys().map(|reading| reading.dpu).collect();
    let reads = |space: &&Space| space.assignments.iter().any(|row| dpus.contains(&row.dpu_id));
    for space in before.spaces().values().map(|space| &**space).filter(reads) {
        for mark in space.marks(from, end) {
            made.remove(&mark.reading);
        }
    }
    made
}

async fn first_crossing(connection: &impl ConnectionTrait) -> Result<Option<Instant>, DbErr> {
    // One index lookup in each table for each DPU.
    let first = |table, at| {
        format!(
            "SELECT (SELECT {at} FROM {table} WHERE dpu_id = dpu.id ORDER BY {at} LIMIT 1) AS first FROM dpu"
        )
    };
    let sql = format!(
        "SELECT MIN(first) - 1 FROM ({} UNION ALL {}) AS firsts",
        first("interval", "ends"),
        first("event", "ts")
    );
    let row =
        connection.query_one_raw(Statement::from_string(connection.get_database_backend(), sql)).await?;
    row.map_or(Ok(None), |row| row.try_get_by_index(0))
}

/// Returns the first of these readings with later crossings of the DPU in the same hour: this reading may be unknown.
/// Events that are about to be pruned are included.
async fn first_unknown(
    connection: &impl ConnectionTrait,
    readings: impl Iterator<Item = &Reading>,
) -> Result<Option<Reading>, DbErr> {
    let backend = connection.get_database_backend();
    let (mark, values) = mark_table(backend, readings);
    let later = |table, after| {
        format!(
            "EXISTS (SELECT 1 FROM {table} WHERE {table}.dpu_id = mark.dpu_id
                AND {after} > mark.ts AND {after} < mark.hour + {HOUR_MS})"
        )
    };
    let sql = format!(
        "WITH {mark} SELECT dpu_id, ts FROM mark WHERE {} OR {} ORDER BY ts, dpu_id LIMIT 1",
        later("interval", "interval.ends - 1"),
        later("event", "event.ts")
    );
    let row = connection.query_one_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    row.map(|row| Ok(Reading { dpu: row.try_get_by_index(0)?, at: row.try_get_by_index(1)? })).transpose()
}

fn refusal(before: &FloorPlan, after: &FloorPlan, mark: &Mark<'_>, horizon: Instant) -> Refusal {
    let Mark { reading: Reading { dpu, at }, assignment, cause } = *mark;
    let serial = after.dpu(dpu).map_or("", |dpu| &dpu.row.serial);
    let space = after.space(assignment.space_id).map_or("", |space| &space.row.name);
    let edge = |verb| {
        let edge = at.plus_ms(1);
        let would = format!("the assignment of DPU {serial:?} to {space:?} would {verb} at {edge}");
        (would, "use a whole hour of UTC, or an instant")
    };
    let (would, accepted) = match cause {
        Cause::Starts => edge("start"),
        Cause::Ends => edge("end"),
        Cause::GoesOn(_) => {
            let would =
                format!("counts of {space:?} would continue from the reading of DPU {serial:?} at {at}");
            (would, "change only what applies")
        }
    };
    let message = format!(
        "{would}, but events before {horizon} are pruned, and only the total of that hour is known: \
         {accepted} from {horizon} on"
    );
    Refusal::new(RefusalCode::OutOfRange, field(before, after, mark), message)
}

/// Returns the field of the change that causes this mark.
fn field(before: &FloorPlan, after: &FloorPlan, mark: &Mark<'_>) -> &'static str {
    let row = mark.assignment;
    let mut known = before.spaces().values().flat_map(|space| &space.assignments);
    let known = known.find(|known| known.id == row.id);
    match (known, mark.cause) {
        (Some(known), _) if known.dpu_id != row.dpu_id => "dpu",
        (Some(known), _) if known.space_id != row.space_id => "space",
        (_, Cause::Ends) => "endsAt",
        (_, Cause::Starts) | (None, _) => "startsAt",
        (Some(known), _) if known.starts_at != row.starts_at => "startsAt",
        (Some(known), _) if known.ends_at != row.ends_at => "endsAt",
        (Some(_), Cause::GoesOn(start)) => {
            let spaces = [before, after].map(|plan| plan.space(row.space_id));
            field_of_start(spaces, start.source)
        }
    }
}

/// Returns the field of the change that causes this start. The spaces are the one before and the one after the change.
fn field_of_start([before, after]: [Option<&Arc<Space>>; 2], source: Source) -> &'static str {
    let Source::Rule(rule) = source else { return "ts" };
    if before.map(|space| space.zone) != after.map(|space| space.zone) {
        return "timeZone";
    }
    let [before, after] = [before, after].map(|space| space?.rules.iter().find(|known| known.id == rule));
    match before.zip(after) {
        Some((before, after)) if before.time_of_day != after.time_of_day => "timeOfDay",
        Some((before, after)) if before.first_day == after.first_day => "lastDay",
        _ => "firstDay",
    }
}
