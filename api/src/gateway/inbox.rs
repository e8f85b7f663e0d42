//! The inbox: reports of devices that no DPU has the serial of.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::metrics::{counter, describe_counter, describe_gauge, gauge};
use devices::{Content, Format, Kind};
use entity::Instant;
use entity::inbox::{self, InboxKind};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect,
    Statement,
};
use sha2::{Digest, Sha256};

use crate::database::Database;
use crate::floor_plan::device_key;

/// Maximum number of reports that are kept. The oldest go first.
const REPORTS_MAX: u64 = 100_000;
/// Maximum number of reports that are kept of one device.
const OF_DEVICE_MAX: u64 = 20_000;
/// Maximum time for which a report is kept.
const KEPT_MS: i64 = 30 * 86_400_000;
/// Maximum number of rows in a statement.
const ROWS_MAX: usize = 1_000;

/// The reports of devices that no DPU has the serial of, in the database.
#[derive(Clone, Debug)]
pub struct Inbox {
    database: Database,
    /// About how many reports there are: those that were counted last, and those that came since.
    reports: Arc<AtomicU64>,
}

/// A device that no DPU has the serial of.
#[derive(Clone, Debug, PartialEq, FromQueryResult)]
pub struct UnknownDevice {
    /// The serial in one spelling, by which devices are sorted.
    pub device: String,
    /// The serial as a DPU of it would have.
    pub serial: String,
    pub format: String,
    /// Number of reports that are kept of it.
    pub reports: i64,
    pub first_heard: Instant,
    pub last_heard: Instant,
    /// What a DPU of it should report.
    pub kind: InboxKind,
    /// The newest report of that kind, as JSON.
    pub sample: String,
}

impl UnknownDevice {
    /// Returns the width of its counters in bits, if it reports totals and that is known.
    pub fn counter_bits(&self) -> Option<i32> {
        let report: devices::Report = serde_json::from_str(&self.sample).ok()?;
        match report.content {
            Content::Totals { bits, .. } => bits.map(i32::from),
            _ => None,
        }
    }
}

/// A page of unknown devices, by their keys.
#[derive(Clone, Debug, Default)]
pub struct DevicePage {
    /// Only devices after this one, in the order of reading.
    pub after: Option<String>,
    /// Only devices before this one, in the order of reading.
    pub before: Option<String>,
    /// Whether the last ones come first.
    pub descending: bool,
    /// Maximum number of devices.
    pub size: usize,
}

impl Inbox {
    pub(super) fn new(database: Database) -> Self {
        describe();
        Self { database, reports: Arc::default() }
    }

    /// Returns whether there are no reports, as far as this process knows.
    pub(super) fn is_empty(&self) -> bool {
        self.reports.load(Ordering::Relaxed) == 0
    }

    /// Keeps reports. Returns how many there were. A report that is kept already is not kept twice.
    pub(super) async fn keep(
        &self,
        format: Format,
        reports: &[devices::Report],
        now: Instant,
    ) -> Result<u64, DbErr> {
        if reports.is_empty() {
            return Ok(0);
        }
        let rows = reports.iter().filter_map(|report| {
            let kind = kind(&report.content)?;
            let json = serde_json::to_string(report).unwrap_or_default();
            Some(inbox::Model {
                device: device_key(&report.serial),
                digest: digest(format, &json),
                serial: report.serial.clone(),
                format: format.name().to_owned(),
                kind,
                report: json,
                received: now,
                heard: now,
            })
        });
        // In the order of their keys, so that transactions wait for each other and never deadlock.
        let mut rows: Vec<_> = rows.collect();
        rows.sort_unstable_by(|one, other| (&one.device, one.digest).cmp(&(&other.device, other.digest)));
        rows.dedup_by(|one, other| (&one.device, one.digest) == (&other.device, other.digest));
        self.database.in_time(self.insert(rows)).await?;
        let kept = self.reports.fetch_add(reports.len() as u64, Ordering::Relaxed) + reports.len() as u64;
        counter!("headcount_inbox_received_total").increment(reports.len() as u64);
        show(kept);
        if kept > REPORTS_MAX {
            self.trim(now).await?;
        }
        Ok(reports.len() as u64)
    }

    async fn insert(&self, rows: Vec<inbox::Model>) -> Result<(), DbErr> {
        let on_conflict = OnConflict::columns([inbox::Column::Device, inbox::Column::Digest])
            .update_column(inbox::Column::Heard)
            .to_owned();
        let transaction = self.database.begin().await?;
        for rows in rows.chunks(ROWS_MAX) {
            let rows = rows.iter().cloned().map(|row| inbox::ActiveModel {
                device: Set(row.device),
                digest: Set(row.digest),
                serial: Set(row.serial),
                format: Set(row.format),
                kind: Set(row.kind),
                report: Set(row.report),
                received: Set(row.received),
                heard: Set(row.heard),
            });
            inbox::Entity::insert_many(rows)
                .on_conflict(on_conflict.clone())
                .exec_without_returning(&transaction)
                .await?;
        }
        transaction.commit().await
    }

    /// Returns a page of the devices, in the order of their keys.
    pub async fn devices(&self, page: DevicePage) -> Result<Vec<UnknownDevice>, DbErr> {
        let backend = self.database.backend();
        let (after, before, order) = if page.descending { ("<", ">", "DESC") } else { (">", "<", "ASC") };
        let (mut bounds, mut values) =
            ("TRUE".to_owned(), vec![i64::try_from(page.size).unwrap_or(i64::MAX).into()]);
        for (sign, bound) in [(after, page.after), (before, page.before)] {
            if let Some(bound) = bound {
                values.push(bound.into());
                write!(bounds, " AND device {sign} ${}", values.len()).ok();
            }
        }
        let sql = format!(
            "WITH listed AS (
                SELECT device, COUNT(*) AS reports, MIN(received) AS first_heard, MAX(heard) AS last_heard
                FROM inbox WHERE {bounds} GROUP BY device ORDER BY device {order} LIMIT $1
            ), ranked AS (
                SELECT inbox.*, ROW_NUMBER() OVER (PARTITION BY device ORDER BY kind, heard DESC, digest) AS place
                FROM inbox JOIN listed USING (device)
            )
            SELECT device, serial, format, reports, first_heard, last_heard, kind, report AS sample
            FROM listed JOIN ranked USING (device) WHERE place = 1 ORDER BY device {order}"
        );
        let statement = Statement::from_sql_and_values(backend, sql, values);
        let devices = UnknownDevice::find_by_statement(statement);
        self.database.in_time(devices.all(self.database.reader())).await
    }

    /// Returns the keys of all devices.
    pub(super) async fn keys(&self) -> Result<Vec<String>, DbErr> {
        let keys = inbox::Entity::find().select_only().column(inbox::Column::Device).distinct();
        let keys = keys.order_by_asc(inbox::Column::Device).into_tuple();
        self.database.in_time(keys.all(self.database.background())).await
    }

    /// Returns the oldest reports of a device.
    pub(super) async fn oldest(&self, device: &str) -> Result<Vec<inbox::Model>, DbErr> {
        let rows = inbox::Entity::find().filter(inbox::Column::Device.eq(device));
        let rows = rows.order_by_asc(inbox::Column::Received).order_by_asc(inbox::Column::Digest);
        self.database.in_time(rows.limit(ROWS_MAX as u64).all(self.database.writer())).await
    }

    /// Deletes reports, which are recorded by now.
    pub(super) async fn delete(&self, rows: &[inbox::Model]) -> Result<(), DbErr> {
        let Some(first) = rows.first() else { return Ok(()) };
        let digests = rows.iter().map(|row| row.digest);
        let delete = inbox::Entity::delete_many()
            .filter(inbox::Column::Device.eq(&first.device))
            .filter(inbox::Column::Digest.is_in(digests));
        let work = async {
            let transaction = self.database.begin().await?;
            delete.exec(&transaction).await?;
            transaction.commit().await
        };
        self.database.in_time(work).await
    }

    /// Deletes what is too old and what is too much, and counts what is left.
    pub async fn trim(&self, now: Instant) -> Result<(), DbErr> {
        let oldest = now.plus_ms(-KEPT_MS).ms();
        let work = async {
            let transaction = self.database.begin().await?;
            let expired =
                inbox::Entity::delete_many().filter(inbox::Column::Received.lt(Instant::from_ms(oldest)));
            let mut dropped = expired.exec(&transaction).await?.rows_affected;
            let ranked = |order: &str, most: u64| {
                format!(
                    "DELETE FROM inbox WHERE (device, digest) IN (SELECT device, digest FROM (
                        SELECT device, digest, ROW_NUMBER() OVER ({order} ORDER BY received DESC, digest) AS place
                        FROM inbox
                    ) AS ranked WHERE place > {most})"
                )
            };
            for sql in [ranked("PARTITION BY device", OF_DEVICE_MAX), ranked("", REPORTS_MAX * 9 / 10)] {
                dropped += transaction.execute_unprepared(&sql).await?.rows_affected();
            }
            let count = Statement::from_string(self.database.backend(), "SELECT COUNT(*) FROM inbox");
            let left: i64 =
                transaction.query_one_raw(count).await?.map_or(Ok(0), |row| row.try_get_by_index(0))?;
            transaction.commit().await?;
            Ok::<_, DbErr>((dropped, left))
        };
        let (dropped, left) = self.database.in_time(work).await?;
        if dropped > 0 {
            counter!("headcount_inbox_dropped_total").increment(dropped);
            tracing::warn!(
                dropped,
                "the inbox was too full or too old: reports of unknown devices were deleted"
            );
        }
        let left = u64::try_from(left).unwrap_or_default();
        self.reports.store(left, Ordering::Relaxed);
        show(left);
        Ok(())
    }
}

/// Shows how many reports there are, as a metric.
#[expect(clippy::cast_precision_loss, reason = "there are never so many reports")]
fn show(reports: u64) {
    gauge!("headcount_inbox_reports").set(reports as f64);
}

fn describe() {
    describe_gauge!("headcount_inbox_reports", "Reports of devices that are not set up yet.");
    describe_counter!(
        "headcount_inbox_received_total",
        "Reports of devices that were not set up when they came."
    );
    describe_counter!("headcount_inbox_recorded_total", "Reports of the inbox that were recorded later.");
    describe_counter!(
        "headcount_inbox_dropped_total",
        "Reports of the inbox that were deleted: too old, or too many."
    );
}

/// Returns the kind of what counts somebody.
fn kind(content: &Content) -> Option<InboxKind> {
    content.kind().map(|kind| match kind {
        Kind::Intervals => InboxKind::Interval,
        Kind::Crossings => InboxKind::Crossing,
        Kind::Totals => InboxKind::Totals,
    })
}

fn digest(format: Format, json: &str) -> i64 {
    let digest = Sha256::new().chain_update(format.name()).chain_update([0]).chain_update(json).finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(first)
}
