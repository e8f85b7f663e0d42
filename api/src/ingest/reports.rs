//! Records intervals and readings: reads what is stored next to them, and writes what they change of it.
//!
//! A DPU's row is locked meanwhile, so that its reports are recorded one commit after the other.

use std::collections::BTreeMap;

use counting::totals::{Counters, Difference, MAX_PER_MINUTE, Totals};
use counting::{Crossings, Interval};
use entity::Instant;
use entity::dpu::{self, Reports};
use entity::interval::IntervalSource;
use sea_orm::{ActiveEnum, ConnectionTrait, DatabaseBackend, DbErr, QueryResult, Statement};

use super::check::{Content, DpuReport, Intake, Unrecorded};
use super::event::Outcome;
use super::ledger::{Changes, Ledger};
use super::tallies::{TallyRow, add_to_tallies, run, take_from_tallies, tallies};
use crate::database::log_commit;
use crate::floor_plan::FloorPlan;
use crate::listed::listed;
use crate::timelines::Patch;

impl DpuReport {
    /// Returns the instant after which the first interval is needed that ends later.
    fn after(&self) -> Instant {
        match self.content {
            Content::Interval { interval, .. } => interval.starts,
            Content::Totals { totals, .. } => totals.ts.plus_ms(1),
        }
    }
}

/// Records the reports in the caller's transaction, as the commit `intake.id`. Returns their outcomes, whether anything
/// was stored, and what changes in memory.
pub(super) async fn record(
    transaction: &impl ConnectionTrait,
    plan: &FloorPlan,
    intake: Intake,
    reports: &[DpuReport],
) -> Result<(Vec<Outcome>, bool, Patch), Unrecorded> {
    let mut dpus: Vec<i64> = reports.iter().map(|report| report.dpu_id).collect();
    dpus.sort_unstable();
    dpus.dedup();
    lock(transaction, plan, &dpus).await?;
    let mut ledgers = ledgers(transaction, plan, &dpus, reports).await?;
    let outcome = |report: &DpuReport| {
        let Some(ledger) = ledgers.get_mut(&report.dpu_id) else { return Outcome::Duplicate };
        match report.content {
            Content::Interval { interval, revise } => ledger.add_interval(interval, revise),
            Content::Totals { totals, force } => ledger.add_totals(totals, force),
        }
    };
    let outcomes: Vec<Outcome> = reports.iter().map(outcome).collect();
    let changes = ledgers.into_iter().map(|(dpu, ledger)| (dpu, ledger.changes()));
    let changes: BTreeMap<_, _> = changes.filter(|(_, changes)| !changes.is_empty()).collect();
    if changes.is_empty() {
        return Ok((outcomes, false, Patch::default()));
    }
    write(transaction, &changes, intake.now).await?;
    log_commit(transaction, intake.id, Some(changes.keys().copied().collect())).await?;
    Ok((outcomes, true, patch(&changes)))
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty() && self.readings.is_empty()
    }
}

/// Waits until no other commit changes these DPUs, until the transaction ends. Fails if the floor plan has changed.
pub(super) async fn lock(
    transaction: &impl ConnectionTrait,
    plan: &FloorPlan,
    dpus: &[i64],
) -> Result<(), Unrecorded> {
    let backend = transaction.get_database_backend();
    // SQLite has one writer at a time.
    let share = if backend == DatabaseBackend::Postgres { "FOR SHARE" } else { "" };
    let revision = Statement::from_string(backend, format!("SELECT revision FROM floor_plan {share}"));
    let revision = transaction.query_one_raw(revision).await?.map(|row| row.try_get_by_index::<i64>(0));
    if revision.transpose()? != Some(plan.revision()) {
        return Err(Unrecorded::OldPlan);
    }
    if backend == DatabaseBackend::Postgres {
        let (rows, values) = listed(backend, 1, dpus.iter().map(|dpu| [*dpu]));
        let sql = format!("SELECT id FROM dpu WHERE id IN ({rows}) ORDER BY id FOR NO KEY UPDATE");
        transaction.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    }
    Ok(())
}

/// Returns what is known of a DPU's counters.
pub(super) fn counters(dpu: &dpu::Model) -> Counters {
    Counters {
        bits: dpu.counter_bits.and_then(|bits| bits.try_into().ok()),
        max_per_minute: dpu.max_per_minute.map_or(MAX_PER_MINUTE, i64::from),
    }
}

/// Returns the ledgers of these DPUs, with all stored rows that the reports concern.
async fn ledgers(
    transaction: &impl ConnectionTrait,
    plan: &FloorPlan,
    dpus: &[i64],
    reports: &[DpuReport],
) -> Result<BTreeMap<i64, Ledger>, DbErr> {
    let of = |id: &i64| {
        let dpu = &plan.dpu(*id)?.row;
        let source = match dpu.reports {
            Reports::Totals => IntervalSource::Derived,
            Reports::Intervals | Reports::Crossings => IntervalSource::Reported,
        };
        Some((*id, Ledger::new(counters(dpu), source)))
    };
    let mut ledgers: BTreeMap<i64, Ledger> = dpus.iter().filter_map(of).collect();
    let newest = newest(transaction, dpus).await?;
    // Nearly all reports are newer than what is stored, and concern only the last reading of their DPU.
    let is_late =
        |report: &&DpuReport| newest.get(&report.dpu_id).is_some_and(|last| report.after() < last.ends);
    let late = reports.iter().filter(is_late).map(|report| (report.dpu_id, report.after())).collect();
    enter_intervals(transaction, &mut ledgers, late).await?;
    let last = newest.iter().filter_map(|(dpu, last)| Some((*dpu, last.read?.plus_ms(1))));
    let readings = reports.iter().filter_map(|report| match report.content {
        Content::Totals { totals, .. } => Some((report.dpu_id, totals.ts)),
        Content::Interval { .. } => None,
    });
    let late = readings.filter(|(dpu, ts)| newest.get(dpu).is_some_and(|last| Some(*ts) <= last.read));
    let asked = last.chain(late).collect();
    enter_readings(transaction, &mut ledgers, asked).await?;
    Ok(ledgers)
}

/// What is stored last of a DPU.
struct Newest {
    /// The end of its last interval.
    ends: Instant,
    /// The instant of its last reading, if it has any.
    read: Option<Instant>,
}

/// Returns what is stored last of each of these DPUs that has intervals or readings.
async fn newest(transaction: &impl ConnectionTrait, dpus: &[i64]) -> Result<BTreeMap<i64, Newest>, DbErr> {
    let backend = transaction.get_database_backend();
    let (rows, values) = listed(backend, 1, dpus.iter().map(|dpu| [*dpu]));
    let sql = format!(
        "WITH asked (dpu_id) AS ({rows})
        SELECT dpu_id, (SELECT MAX(ends) FROM interval WHERE interval.dpu_id = asked.dpu_id),
            (SELECT MAX(ts) FROM reading WHERE reading.dpu_id = asked.dpu_id)
        FROM asked"
    );
    let mut newest = BTreeMap::new();
    for row in transaction.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await? {
        let (ends, read): (Option<Instant>, Option<Instant>) =
            (row.try_get_by_index(1)?, row.try_get_by_index(2)?);
        if ends.is_some() || read.is_some() {
            let ends = ends.unwrap_or(Instant::MIN);
            newest.insert(row.try_get_by_index(0)?, Newest { ends, read });
        }
    }
    Ok(newest)
}

/// Enters the first interval of each DPU that ends after each instant.
pub(super) async fn enter_intervals(
    transaction: &impl ConnectionTrait,
    ledgers: &mut BTreeMap<i64, Ledger>,
    asked: Vec<(i64, Instant)>,
) -> Result<(), DbErr> {
    let asked: Vec<_> = asked.into_iter().map(|(dpu, after)| [dpu, after.ms()]).collect();
    if asked.is_empty() {
        return Ok(());
    }
    let backend = transaction.get_database_backend();
    let (rows, values) = listed(backend, 1, asked);
    let sql = format!(
        "WITH asked (dpu_id, after) AS ({rows})
        SELECT interval.dpu_id, starts, ends, toward, away, is_gap, void FROM asked
        JOIN interval ON interval.dpu_id = asked.dpu_id AND ends = (
            SELECT MIN(later.ends) FROM interval AS later WHERE later.dpu_id = asked.dpu_id AND later.ends > after
        )"
    );
    for row in transaction.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await? {
        let interval = Interval {
            starts: row.try_get_by_index(1)?,
            ends: row.try_get_by_index(2)?,
            people: Crossings { toward: row.try_get_by_index(3)?, away: row.try_get_by_index(4)? },
        };
        if let Some(ledger) = ledgers.get_mut(&row.try_get_by_index(0)?) {
            ledger.enter(
                interval,
                row.try_get_by_index(5)?,
                row.try_get_by_index::<Option<i64>>(6)?.is_some(),
            );
        }
    }
    Ok(())
}

/// Enters the readings at each of these instants, and their neighbours.
pub(super) async fn enter_readings(
    transaction: &impl ConnectionTrait,
    ledgers: &mut BTreeMap<i64, Ledger>,
    asked: Vec<(i64, Instant)>,
) -> Result<(), DbErr> {
    let asked: Vec<_> = asked.into_iter().map(|(dpu, ts)| [dpu, ts.ms()]).collect();
    if asked.is_empty() {
        return Ok(());
    }
    let backend = transaction.get_database_backend();
    let (rows, values) = listed(backend, 1, asked);
    let neighbour = |which: &str, compared: &str| {
        format!(
            "(SELECT {which}(near.ts) FROM reading AS near
            WHERE near.dpu_id = asked.dpu_id AND near.ts {compared} asked.ts AND near.void IS NULL)"
        )
    };
    let sql = format!(
        "WITH asked (dpu_id, ts) AS ({rows}), near (dpu_id, ts) AS (
            SELECT * FROM asked UNION SELECT dpu_id, {} FROM asked UNION SELECT dpu_id, {} FROM asked
        )
        SELECT reading.dpu_id, reading.ts, toward, away, is_baseline, void
        FROM near JOIN reading ON reading.dpu_id = near.dpu_id AND reading.ts = near.ts",
        neighbour("MAX", "<"),
        neighbour("MIN", ">"),
    );
    for row in transaction.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await? {
        let (dpu, totals) = reading(&row)?;
        if let Some(ledger) = ledgers.get_mut(&dpu) {
            ledger.enter_reading(totals, row.try_get_by_index::<Option<i64>>(5)?.is_some());
        }
    }
    Ok(())
}

fn reading(row: &QueryResult) -> Result<(i64, Totals), DbErr> {
    let read = Crossings { toward: row.try_get_by_index(2)?, away: row.try_get_by_index(3)? };
    let totals = Totals { ts: row.try_get_by_index(1)?, read, is_baseline: row.try_get_by_index(4)? };
    Ok((row.try_get_by_index(0)?, totals))
}

/// Writes the changes of each DPU, in the order of the keys of the rows.
pub(super) async fn write(
    transaction: &impl ConnectionTrait,
    changes: &BTreeMap<i64, Changes>,
    now: Instant,
) -> Result<(), DbErr> {
    let Rows { removed, added, readings, gone, more } = Rows::of(changes);
    let is_true = |column: &str| match transaction.get_database_backend() {
        DatabaseBackend::Postgres => format!("{column} <> 0"),
        _ => column.to_owned(),
    };
    let (is_gap, is_baseline, now) = (is_true("is_gap"), is_true("is_baseline"), now.ms());
    run(
        transaction,
        removed,
        "dpu_id, ends",
        "DELETE FROM interval WHERE (dpu_id, ends) IN (SELECT * FROM listed)",
    )
    .await?;
    let insert = format!(
        "INSERT INTO interval (dpu_id, ends, starts, toward, away, source, is_gap, created)
        SELECT dpu_id, ends, starts, toward, away, source, {is_gap}, {now} FROM listed ORDER BY dpu_id, ends"
    );
    run(transaction, added, "dpu_id, ends, starts, toward, away, source, is_gap", &insert).await?;
    let insert = format!(
        "INSERT INTO reading (dpu_id, ts, toward, away, is_baseline, created)
        SELECT dpu_id, ts, toward, away, {is_baseline}, {now} FROM listed ORDER BY dpu_id, ts"
    );
    run(transaction, readings, "dpu_id, ts, toward, away, is_baseline", &insert).await?;
    take_from_tallies(transaction, gone).await?;
    add_to_tallies(transaction, more).await
}

/// The rows that changes are written as.
struct Rows {
    removed: Vec<[i64; 2]>,
    added: Vec<[i64; 7]>,
    readings: Vec<[i64; 5]>,
    gone: Vec<TallyRow>,
    more: Vec<TallyRow>,
}

impl Rows {
    fn of(changes: &BTreeMap<i64, Changes>) -> Self {
        let removed =
            changes.iter().flat_map(|(dpu, changes)| changes.removed.iter().map(|one| (*dpu, *one)));
        let added = changes
            .iter()
            .flat_map(|(dpu, changes)| changes.added.iter().map(|one| (*dpu, changes.source, *one)));
        let readings =
            changes.iter().flat_map(|(dpu, changes)| changes.readings.iter().map(|one| (*dpu, *one)));
        let reading_row = |(dpu, totals): (i64, Totals)| {
            let Totals { ts, read, is_baseline } = totals;
            [dpu, ts.ms(), read.toward, read.away, is_baseline.into()]
        };
        Self {
            removed: removed.clone().map(|(dpu, interval)| [dpu, interval.ends.ms()]).collect(),
            added: added.clone().map(|(dpu, source, added)| interval_row(dpu, source, &added)).collect(),
            readings: readings.map(reading_row).collect(),
            gone: tallies(removed),
            more: tallies(added.map(|(dpu, _, added)| (dpu, added.interval))),
        }
    }
}

fn interval_row(dpu: i64, source: IntervalSource, Difference { interval, is_gap }: &Difference) -> [i64; 7] {
    let Interval { starts, ends, people: Crossings { toward, away } } = *interval;
    [dpu, ends.ms(), starts.ms(), toward, away, source.into_value().into(), (*is_gap).into()]
}

/// Returns what changes in memory.
pub(super) fn patch(changes: &BTreeMap<i64, Changes>) -> Patch {
    let mut patch = Patch::default();
    for (dpu, changes) in changes {
        if changes.removed.iter().any(|removed| removed.people.count() > 0) {
            patch.replace(*dpu);
        } else {
            patch.add_intervals(*dpu, changes.added.iter().map(|added| added.interval));
        }
    }
    patch
}
