//! Partitions of the events on PostgreSQL: one per UTC month, created at the latest for the first event of the month.
//!
//! Old months can then be dropped instead of deleted row by row.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime};
use entity::{Instant, Timestamp};
use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, Statement};

use super::Database;

/// Advisory lock that is held while partitions are created; an arbitrary number.
const PARTITION_LOCK: i64 = 0x6865_6164_0002;

/// Maximum difference between the local time of any time zone and UTC, in milliseconds.
const ZONES_MS: i64 = 16 * 60 * 60 * 1000;

/// Cache of the partitions that exist, so that commits need not query them.
#[derive(Debug, Default)]
pub struct Partitions {
    known: Mutex<BTreeSet<Partition>>,
}

impl Partitions {
    /// Returns whether the partition of every timestamp is known to exist, in whatever time zone it is.
    pub(crate) fn hold(&self, mut timestamps: impl Iterator<Item = Timestamp>) -> bool {
        let known = self.known();
        let holds = |ts| Partition::of(ts).is_some_and(|month| known.contains(&month));
        timestamps.all(|timestamp| match timestamp {
            Timestamp::Instant(ts) => holds(ts),
            Timestamp::Local(_) | Timestamp::Day(_) => {
                let ts = timestamp.in_utc();
                holds(ts.plus_ms(-ZONES_MS)) && holds(ts.plus_ms(ZONES_MS))
            }
        })
    }

    /// If the transaction fails, the caller must call [`forget`](Self::forget).
    pub(crate) async fn ensure(
        &self,
        transaction: &impl ConnectionTrait,
        instants: impl Iterator<Item = Instant>,
    ) -> Result<(), DbErr> {
        let mut months: BTreeSet<Partition> = instants.filter_map(Partition::of).collect();
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

    /// Creates the partitions of the month of `now` and of the next one, before the first event of a month arrives.
    /// Does nothing on SQLite.
    pub async fn make_ahead(database: &Database, now: Instant) -> Result<(), DbErr> {
        if database.backend() != DatabaseBackend::Postgres {
            return Ok(());
        }
        let months: BTreeSet<Partition> =
            Partition::of(now).into_iter().flat_map(|month| [month, month.next()]).collect();
        if missing(database.reader(), &months).await?.is_empty() {
            return Ok(());
        }
        let transaction = database.begin().await?;
        make(&transaction, &months).await?;
        transaction.commit().await
    }

    /// Clears the cache: a partition may have been rolled back or dropped.
    pub(crate) fn forget(&self) {
        self.known().clear();
    }

    fn known(&self) -> MutexGuard<'_, BTreeSet<Partition>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn make(transaction: &impl ConnectionTrait, months: &BTreeSet<Partition>) -> Result<(), DbErr> {
    // The previous holder of the lock may have created them.
    transaction.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({PARTITION_LOCK})")).await?;
    for month in missing(transaction, months).await? {
        let (name, start, end) = (month.table(), month.start().ms(), month.end().ms());
        // Attaching a table, unlike creating a partition in one step, does not block reads and inserts.
        transaction
            .execute_unprepared(&format!(
                "CREATE TABLE {name} (LIKE event INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
                ALTER TABLE event ATTACH PARTITION {name} FOR VALUES FROM ({start}) TO ({end})"
            ))
            .await?;
    }
    Ok(())
}

async fn missing(
    transaction: &impl ConnectionTrait,
    months: &BTreeSet<Partition>,
) -> Result<Vec<Partition>, DbErr> {
    let tables: Vec<String> = months.iter().map(|month| month.table()).collect();
    // Not `to_regclass`: it may answer from a cache without the tables that were created during the wait.
    let sql = "SELECT number - 1 FROM UNNEST($1::text[]) WITH ORDINALITY AS listed (name, number) \
               WHERE NOT EXISTS (SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace \
                                 WHERE relname = name AND nspname = current_schema())";
    let sql = Statement::from_sql_and_values(DatabaseBackend::Postgres, sql, [tables.into()]);
    let months: Vec<Partition> = months.iter().copied().collect();
    let places = transaction.query_all_raw(sql).await?;
    places
        .iter()
        .map(|row| Ok(months[usize::try_from(row.try_get_by_index::<i64>(0)?).unwrap_or_default()]))
        .collect()
}

/// The partition of one UTC month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Partition(NaiveDate);

impl Partition {
    const TABLE: &str = "event_%Y_%m";

    /// `None` beyond the range of dates.
    pub fn of(ts: Instant) -> Option<Self> {
        DateTime::from_timestamp_millis(ts.ms())?.date_naive().with_day(1).map(Self)
    }

    /// Returns all partitions that exist, earliest first.
    pub async fn all(connection: &impl ConnectionTrait) -> Result<Vec<Self>, DbErr> {
        let sql = "SELECT relname::text FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
            WHERE inhparent = 'event'::regclass ORDER BY relname";
        let rows = connection.query_all_raw(Statement::from_string(DatabaseBackend::Postgres, sql)).await?;
        let names =
            rows.iter().map(|row| row.try_get_by_index::<String>(0)).collect::<Result<Vec<_>, _>>()?;
        // A month alone is not a date, so the day is added.
        let first_day = |name: &String| {
            NaiveDate::parse_from_str(&format!("{name}_01"), &format!("{}_%d", Self::TABLE)).ok()
        };
        Ok(names.iter().filter_map(first_day).map(Self).collect())
    }

    pub async fn drop(self, transaction: &impl ConnectionTrait) -> Result<(), DbErr> {
        transaction.execute_unprepared(&format!("DROP TABLE IF EXISTS {}", self.table())).await.map(drop)
    }

    pub fn start(self) -> Instant {
        self.0.and_time(NaiveTime::MIN).and_utc().into()
    }

    /// Returns the first instant after it.
    pub fn end(self) -> Instant {
        self.next().start()
    }

    fn next(self) -> Self {
        Self(self.0 + Months::new(1))
    }

    fn table(self) -> String {
        self.0.format(Self::TABLE).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_follow_each_other_without_a_gap() {
        let new_year = Partition::of("2017-12-31T23:59:59.999Z".parse().unwrap()).unwrap();
        assert_eq!(
            (new_year.table(), new_year.start().to_string()),
            ("event_2017_12".into(), "2017-12-01T00:00:00Z".into())
        );
        assert_eq!(new_year.next(), Partition::of("2018-01-01".parse().unwrap()).unwrap());
        assert!(Partition::of(Instant::from_ms(i64::MAX)).is_none());
    }
}
