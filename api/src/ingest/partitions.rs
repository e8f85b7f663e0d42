//! PostgreSQL's partitions of the events: one a UTC month, made when the first event of the month comes.
//!
//! Old months can then be dropped instead of deleted row by row.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime};
use entity::Instant;
use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, Statement};

use super::event::Batch;

/// The advisory lock that whoever makes partitions holds, an arbitrary number of our own.
const PARTITION_LOCK: i64 = 0x6865_6164_0002;

/// The partitions that this process knows to be there, so that it need not ask at each commit.
#[derive(Debug, Default)]
pub struct Partitions {
    known: Mutex<BTreeSet<Month>>,
}

impl Partitions {
    /// Whether this process knows of a place for every event.
    pub(super) fn hold(&self, batches: &[Batch]) -> bool {
        let known = self.known();
        let mut crossings = batches.iter().flatten().flatten();
        crossings.all(|crossing| Month::of(crossing.ts).is_some_and(|month| known.contains(&month)))
    }

    /// Makes the partitions that events at these instants need and that are not there.
    ///
    /// If the transaction fails, whoever holds this calls [`forget`](Self::forget).
    pub(super) async fn ensure(
        &self,
        transaction: &impl ConnectionTrait,
        instants: impl Iterator<Item = Instant>,
    ) -> Result<(), DbErr> {
        let mut months: BTreeSet<Month> = instants.filter_map(Month::of).collect();
        months.retain(|month| !self.known().contains(month));
        if months.is_empty() {
            return Ok(());
        }
        if !missing(transaction, &months).await?.is_empty() {
            make(transaction, &months).await?;
        }
        self.known().append(&mut months);
        Ok(())
    }

    /// Forgets what is there: some may not have come to be, or may be gone.
    pub(super) fn forget(&self) {
        self.known().clear();
    }

    fn known(&self) -> MutexGuard<'_, BTreeSet<Month>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn make(transaction: &impl ConnectionTrait, months: &BTreeSet<Month>) -> Result<(), DbErr> {
    // Whoever had the lock before us may have made them.
    transaction.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({PARTITION_LOCK})")).await?;
    for month in missing(transaction, months).await? {
        let (name, start, end) = (month.table(), month.start().ms(), month.next().start().ms());
        // Attaching a table, unlike creating a partition in one step, lets others read and insert meanwhile.
        transaction
            .execute_unprepared(&format!(
                "CREATE TABLE {name} (LIKE event INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
                ALTER TABLE event ATTACH PARTITION {name} FOR VALUES FROM ({start}) TO ({end})"
            ))
            .await?;
    }
    Ok(())
}

async fn missing(transaction: &impl ConnectionTrait, months: &BTreeSet<Month>) -> Result<Vec<Month>, DbErr> {
    let tables: Vec<String> = months.iter().map(|month| month.table()).collect();
    // Not `to_regclass`: it may answer from a cache that does not know yet what others made while we waited.
    let sql = "SELECT number - 1 FROM UNNEST($1::text[]) WITH ORDINALITY AS listed (name, number) \
               WHERE NOT EXISTS (SELECT FROM pg_class WHERE relname = name AND relnamespace = current_schema()::regnamespace)";
    let sql = Statement::from_sql_and_values(DatabaseBackend::Postgres, sql, [tables.into()]);
    let months: Vec<Month> = months.iter().copied().collect();
    let places = transaction.query_all_raw(sql).await?;
    places
        .iter()
        .map(|row| Ok(months[usize::try_from(row.try_get_by_index::<i64>(0)?).unwrap_or_default()]))
        .collect()
}

/// A UTC month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Month(NaiveDate);

impl Month {
    /// The month that holds `ts`; `None` beyond what a calendar can say.
    fn of(ts: Instant) -> Option<Self> {
        DateTime::from_timestamp_millis(ts.ms())?.date_naive().with_day(1).map(Self)
    }

    fn next(self) -> Self {
        Self(self.0 + Months::new(1))
    }

    fn start(self) -> Instant {
        self.0.and_time(NaiveTime::MIN).and_utc().into()
    }

    fn table(self) -> String {
        self.0.format("event_%Y_%m").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_follow_each_other_without_a_gap() {
        let new_year = Month::of("2017-12-31T23:59:59.999Z".parse().unwrap()).unwrap();
        assert_eq!(
            (new_year.table(), new_year.start().to_string()),
            ("event_2017_12".into(), "2017-12-01T00:00:00Z".into())
        );
        assert_eq!(new_year.next(), Month::of("2018-01-01".parse().unwrap()).unwrap());
        assert!(Month::of(Instant::from_ms(i64::MAX)).is_none());
    }
}
