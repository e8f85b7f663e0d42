//! Adds people to tallies, and takes them away.

use std::collections::BTreeMap;
use std::iter::from_fn;

use counting::{Crossings, Interval};
use entity::tally::TallyLength;
use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, Statement, Value};

use crate::listed::listed;

pub(super) const ADD_TO_TALLY: &str = "ON CONFLICT (dpu_id, resolution, bucket) \
    DO UPDATE SET toward = tally.toward + excluded.toward, away = tally.away + excluded.away";

/// A tally's key, and people: DPU, length in hours, start, toward and away.
pub(super) type TallyRow = [i64; 5];

const TALLY_KEY: &str = "tally.dpu_id, tally.resolution, tally.bucket";
const TALLY_COLUMNS: &str = "dpu_id, resolution, bucket, toward, away";

/// Adds people to the tallies of their hours and days.
pub(super) async fn add_to_tallies(
    transaction: &impl ConnectionTrait,
    people: Vec<TallyRow>,
) -> Result<(), DbErr> {
    let sql = format!(
        "INSERT INTO tally ({TALLY_COLUMNS}) SELECT * FROM listed WHERE TRUE ORDER BY 1, 2, 3 {ADD_TO_TALLY}"
    );
    run(transaction, people, TALLY_COLUMNS, &sql).await
}

/// Takes people from the tallies of their hours and days, whose pages then are of another edition.
pub(super) async fn take_from_tallies(
    transaction: &impl ConnectionTrait,
    people: Vec<TallyRow>,
) -> Result<(), DbErr> {
    if transaction.get_database_backend() == DatabaseBackend::Postgres {
        // In the order in which crossings lock them.
        let lock = format!(
            "SELECT FROM tally JOIN listed USING (dpu_id, resolution, bucket) ORDER BY {TALLY_KEY} FOR UPDATE OF tally"
        );
        run(transaction, people.clone(), TALLY_COLUMNS, &lock).await?;
    }
    let sql = "UPDATE tally SET toward = tally.toward - listed.toward, away = tally.away - listed.away,
            edition = tally.edition + 1
        FROM listed WHERE tally.dpu_id = listed.dpu_id AND tally.resolution = listed.resolution
            AND tally.bucket = listed.bucket";
    run(transaction, people, TALLY_COLUMNS, sql).await
}

/// Returns the rows of the tallies that these intervals belong to. Intervals without people belong to none.
pub(super) fn tallies(intervals: impl Iterator<Item = (i64, Interval)>) -> Vec<TallyRow> {
    let mut tallies: BTreeMap<(i64, i16, i64), Crossings> = BTreeMap::new();
    for (dpu, interval) in intervals.filter(|(_, interval)| interval.people.count() > 0) {
        for length in TallyLength::ALL {
            let key = (dpu, length.hours(), length.bucket(interval.counted_at()).ms());
            *tallies.entry(key).or_default() += interval.people;
        }
    }
    let row = |((dpu, hours, bucket), Crossings { toward, away }): ((i64, i16, i64), _)| {
        [dpu, hours.into(), bucket, toward, away]
    };
    tallies.into_iter().map(row).collect()
}

/// Runs a statement about the rows, if there are any. They are in its table `listed`, with these columns.
pub(super) async fn run<const N: usize>(
    transaction: &impl ConnectionTrait,
    rows: Vec<[i64; N]>,
    columns: &str,
    sql: &str,
) -> Result<(), DbErr> {
    let backend = transaction.get_database_backend();
    if backend == DatabaseBackend::Postgres {
        if rows.is_empty() {
            return Ok(());
        }
        let (rows, values) = listed(backend, 1, rows);
        let sql = format!("WITH listed ({columns}) AS ({rows}) {sql}");
        return transaction.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await.map(drop);
    }
    // SQLite reads values faster than a text of numbers.
    let row = format!("({})", vec!["?"; N].join(","));
    for some in pieces(&rows) {
        let values = some.iter().flatten().copied().map(Value::from);
        let rows = vec![row.as_str(); some.len()].join(",");
        let sql = format!("WITH listed ({columns}) AS (VALUES {rows}) {sql}");
        transaction.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    }
    Ok(())
}

/// Splits the rows into pieces whose lengths are powers of two, so that there are few statements to prepare. Preparing
/// one for each number of rows would take longer than writing them.
pub(super) fn pieces<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    from_fn(move || {
        let length = 1 << rows.len().min(PIECE_ROWS_MAX).checked_ilog2()?;
        rows.split_off(..length)
    })
}

/// Maximum number of rows in a piece: SQLite accepts 32,766 values per statement.
const PIECE_ROWS_MAX: usize = 1024;
