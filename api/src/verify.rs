//! `headcount verify`: checks the database, by the events themselves.
//!
//! Every tally is computed again, one DPU at a time, and so is every interval between two readings. Every rule that the schema and the changes enforce is checked, in
//! case a row has bypassed them: by a restored backup, a manual statement, or a bug. Tallies can be repaired, since the
//! events determine them. Nothing else is: only the operator knows what a row that breaks a rule should contain.

use std::fmt;
use std::io;

use entity::Instant;
use entity::tally::{self, TallyLength};
use futures::TryStreamExt;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ConnectionTrait, DatabaseBackend, DatabaseTransaction, DbErr,
    EntityTrait, Statement, StreamTrait,
};

use crate::database::{CommitId, Database, log_commit};
use counting::Crossings;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A tally that differs from its events.
    Tally {
        /// The DPU's serial, or its id if the DPU does not exist.
        dpu: String,
        resolution: TallyLength,
        /// Start of the bucket.
        bucket: Instant,
        /// Crossings in the tally; `None`: the tally is missing.
        found: Option<Crossings>,
        /// Crossings by the events; `None`: there are no events.
        expected: Option<Crossings>,
    },
    Rule {
        rule: &'static str,
        rows: String,
        /// The instant that it is about, if any.
        at: Option<Instant>,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Number of DPUs whose tallies were computed again.
    pub dpus: u64,
    /// Number of tallies that differed from their events.
    pub tallies: u64,
    /// Number of those that were repaired.
    pub mended: u64,
    /// Number of times that a rule was found broken.
    pub rules: u64,
}

/// Nothing is repaired then.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("cannot verify the database (if its schema is old, run `headcount migrate` first): {0}")]
    Database(#[from] DbErr),
    #[error("cannot write what was found: {0}")]
    Told(#[from] io::Error),
}

/// Verifies the database as it is at one instant, and passes each finding to `tell` as soon as it is known.
///
/// With `mend` it repairs the tallies, and blocks all writers until it is done. Otherwise it blocks nothing.
pub async fn verify(
    database: &Database,
    mend: bool,
    mut tell: impl FnMut(&Finding) -> io::Result<()>,
) -> Result<Verdict, VerifyError> {
    let transaction = if mend { begin_alone(database).await? } else { database.begin_reading().await? };
    let mut verdict = Verdict::default();
    for (rule, sql) in RULES {
        let mut rows = transaction.stream_raw(statement(&transaction, *sql)).await?;
        while let Some(row) = rows.try_next().await? {
            let at: Option<i64> = row.try_get_by_index(1)?;
            tell(&Finding::Rule { rule, rows: row.try_get_by_index(0)?, at: at.map(Instant::from_ms) })?;
            verdict.rules += 1;
        }
    }
    for (dpu_id, serial) in dpus(&transaction).await? {
        verdict.dpus += 1;
        for resolution in TallyLength::ALL {
            for (bucket, found, expected) in differences(&transaction, dpu_id, resolution).await? {
                verdict.tallies += 1;
                let dpu = serial.clone().unwrap_or_else(|| format!("(id {dpu_id}, not found)"));
                tell(&Finding::Tally { dpu, resolution, bucket, found, expected })?;
                // A tally of a DPU that does not exist would itself break a rule.
                if mend && serial.is_some() {
                    put(&transaction, dpu_id, resolution, bucket, expected).await?;
                    verdict.mended += 1;
                }
            }
        }
    }
    if verdict.mended > 0 {
        log_commit(&transaction, CommitId::new_writer().next(), None).await?;
    }
    transaction.commit().await?;
    Ok(verdict)
}

/// Begins a transaction that blocks other writers of events and tallies.
async fn begin_alone(database: &Database) -> Result<DatabaseTransaction, DbErr> {
    let transaction = database.begin().await?;
    // SQLite has one writer at a time. The recorder locks the two tables in the same order.
    if database.backend() == DatabaseBackend::Postgres {
        transaction
            .execute_unprepared("LOCK TABLE event, interval, reading, tally IN SHARE ROW EXCLUSIVE MODE")
            .await?;
    }
    Ok(transaction)
}

/// Returns all DPUs, and all ids in events and tallies, with the serial if the DPU exists.
async fn dpus(transaction: &DatabaseTransaction) -> Result<Vec<(i64, Option<String>)>, DbErr> {
    let sql = "SELECT named.dpu_id, serial
        FROM (
            SELECT id AS dpu_id FROM dpu UNION SELECT dpu_id FROM event
            UNION SELECT dpu_id FROM interval UNION SELECT dpu_id FROM reading UNION SELECT dpu_id FROM tally
        ) AS named
        LEFT JOIN dpu ON dpu.id = named.dpu_id ORDER BY named.dpu_id";
    let rows = transaction.query_all_raw(statement(transaction, sql)).await?;
    rows.iter().map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))).collect()
}

type Difference = (Instant, Option<Crossings>, Option<Crossings>);

/// Returns the buckets in which a DPU's tallies and events differ: what was found, and what is expected.
async fn differences(
    transaction: &DatabaseTransaction,
    dpu_id: i64,
    resolution: TallyLength,
) -> Result<Vec<Difference>, DbErr> {
    let hours = resolution.hours();
    let length_ms = i64::from(hours) * 3_600_000;
    // `%` takes the sign of `ts`, but a bucket before 1970 must start before its events, too.
    let sql = format!(
        "SELECT COALESCE(found.bucket, expected.bucket), found.toward, found.away, expected.toward, expected.away
        FROM (
            SELECT bucket, toward, away FROM tally
            WHERE dpu_id = {dpu_id} AND resolution = {hours} AND (toward <> 0 OR away <> 0)
        ) AS found
        FULL JOIN (
            SELECT ts - (ts % {length_ms} + {length_ms}) % {length_ms} AS bucket,
                CAST(SUM(toward) AS BIGINT) AS toward, CAST(SUM(away) AS BIGINT) AS away
            FROM (
                SELECT ts, (1 + direction) / 2 AS toward, (1 - direction) / 2 AS away FROM event
                WHERE dpu_id = {dpu_id} AND void IS NULL
                UNION ALL
                SELECT ends - 1, toward, away FROM interval
                WHERE dpu_id = {dpu_id} AND void IS NULL AND toward + away > 0
            ) AS crossed GROUP BY 1
        ) AS expected ON found.bucket = expected.bucket
        WHERE found.toward IS DISTINCT FROM expected.toward OR found.away IS DISTINCT FROM expected.away
        ORDER BY 1"
    );
    let rows = transaction.query_all_raw(statement(transaction, sql)).await?;
    rows.iter()
        .map(|row| {
            let crossings = |toward, away| -> Result<_, DbErr> {
                let (toward, away): (Option<i64>, Option<i64>) =
                    (row.try_get_by_index(toward)?, row.try_get_by_index(away)?);
                Ok(toward.zip(away).map(|(toward, away)| Crossings { toward, away }))
            };
            Ok((Instant::from_ms(row.try_get_by_index(0)?), crossings(1, 2)?, crossings(3, 4)?))
        })
        .collect()
}

async fn put(
    transaction: &DatabaseTransaction,
    dpu_id: i64,
    resolution: TallyLength,
    bucket: Instant,
    expected: Option<Crossings>,
) -> Result<(), DbErr> {
    let known = tally::Entity::find_by_id((dpu_id, resolution, bucket)).one(transaction).await?;
    let Crossings { toward, away } = expected.unwrap_or_default();
    let row = tally::ActiveModel {
        dpu_id: Set(dpu_id),
        resolution: Set(resolution),
        bucket: Set(bucket),
        toward: Set(toward),
        away: Set(away),
        // What is in memory of the day is no longer current.
        edition: Set(known.as_ref().map_or(0, |known| known.edition) + 1),
    };
    match known {
        Some(_) => row.update(transaction).await.map(drop),
        None => row.insert(transaction).await.map(drop),
    }
}

fn statement(transaction: &DatabaseTransaction, sql: impl Into<String>) -> Statement {
    Statement::from_string(ConnectionTrait::get_database_backend(transaction), sql)
}

/// The rules that rows must keep, each with a query for those that break it: which rows, and an instant or null.
const RULES: &[(&str, &str)] = &[
    (
        "no two assignments of one DPU and one space overlap",
        "SELECT 'assignments ' || one.id || ' and ' || other.id, other.starts_at FROM assignment AS one
        JOIN assignment AS other ON one.dpu_id = other.dpu_id AND one.space_id = other.space_id AND one.id < other.id
        WHERE (one.ends_at IS NULL OR other.starts_at IS NULL OR other.starts_at < one.ends_at)
            AND (other.ends_at IS NULL OR one.starts_at IS NULL OR one.starts_at < other.ends_at)",
    ),
    (
        "an assignment ends after its start",
        "SELECT 'assignment ' || id, ends_at FROM assignment WHERE ends_at <= starts_at",
    ),
    (
        "a placement is 1 or -1",
        "SELECT 'assignment ' || id, CAST(NULL AS BIGINT) FROM assignment WHERE placement NOT IN (-1, 1)",
    ),
    (
        "an assignment's DPU and space exist",
        "SELECT 'assignment ' || id, CAST(NULL AS BIGINT) FROM assignment
        WHERE dpu_id NOT IN (SELECT id FROM dpu) OR space_id NOT IN (SELECT id FROM space)",
    ),
    (
        "a space has one reset at an instant",
        "SELECT 'space ' || space_id, ts FROM reset GROUP BY space_id, ts HAVING COUNT(*) > 1",
    ),
    ("a reset's count is 0 or more", "SELECT 'reset ' || id, ts FROM reset WHERE count < 0"),
    (
        "a reset's space exists",
        "SELECT 'reset ' || id, ts FROM reset WHERE space_id NOT IN (SELECT id FROM space)",
    ),
    (
        "a reset rule's space exists, its count is 0 or more, and its days are in order",
        "SELECT 'reset rule ' || id, CAST(NULL AS BIGINT) FROM reset_rule
        WHERE space_id NOT IN (SELECT id FROM space) OR count < 0 OR last_day < first_day",
    ),
    (
        "an event's direction is 1 or -1 and its seq is 0 or more",
        "SELECT 'DPU id ' || dpu_id || ', direction ' || direction || ', seq ' || seq, ts FROM event
        WHERE direction NOT IN (-1, 1) OR seq < 0",
    ),
    (
        "no event is before the horizon that pruning has reached",
        "SELECT 'DPU id ' || dpu_id, MIN(ts) FROM event WHERE ts < (SELECT digested FROM floor_plan) GROUP BY dpu_id",
    ),
    (
        "an interval's DPU exists",
        "SELECT 'DPU id ' || dpu_id, MIN(ends) FROM interval WHERE dpu_id NOT IN (SELECT id FROM dpu) GROUP BY dpu_id",
    ),
    (
        "an interval is pruned if it is before the horizon that pruning has reached, and only then",
        "SELECT 'DPU id ' || dpu_id, MIN(ends) FROM interval
        WHERE source <> 2 AND ends <= (SELECT digested FROM floor_plan)
            OR source = 2 AND ends > COALESCE((SELECT horizon FROM floor_plan), ends - 1)
        GROUP BY dpu_id",
    ),
    (
        "no two intervals of a DPU overlap",
        "SELECT 'DPU id ' || dpu_id, MIN(ends) FROM (
            SELECT dpu_id, starts, ends, LAG(ends) OVER (PARTITION BY dpu_id ORDER BY ends) AS before FROM interval
        ) AS intervals WHERE starts < before GROUP BY dpu_id",
    ),
    (
        "a DPU has crossings, intervals or readings: those of its kind",
        "SELECT 'DPU ' || serial, CAST(NULL AS BIGINT) FROM dpu WHERE
            reports <> 'CROSSINGS' AND EXISTS (SELECT 1 FROM event WHERE event.dpu_id = dpu.id)
            OR reports <> 'INTERVALS' AND EXISTS (SELECT 1 FROM interval WHERE interval.dpu_id = dpu.id AND source = 0)
            OR reports <> 'TOTALS' AND EXISTS (SELECT 1 FROM reading WHERE reading.dpu_id = dpu.id)",
    ),
    (
        "between two readings there is one interval, of the people that they tell",
        "SELECT 'DPU id ' || dpu_id, MIN(ts) FROM (
            SELECT pair.dpu_id, pair.ts, CASE
                WHEN interval.ends IS NULL OR interval.starts <> pair.before + 1 OR source <> 1 THEN 1
                WHEN pair.is_baseline OR is_gap AND interval.toward = 0 AND interval.away = 0
                    THEN CASE WHEN interval.toward = 0 AND interval.away = 0 THEN 0 ELSE 1 END
                WHEN interval.toward NOT IN (
                    CASE WHEN pair.toward >= toward_before THEN pair.toward - toward_before ELSE pair.toward END,
                    CASE WHEN pair.toward < toward_before THEN pair.toward + 65536 - toward_before ELSE -1 END,
                    CASE WHEN pair.toward < toward_before THEN pair.toward + 4294967296 - toward_before ELSE -1 END
                ) THEN 1
                WHEN interval.away NOT IN (
                    CASE WHEN pair.away >= away_before THEN pair.away - away_before ELSE pair.away END,
                    CASE WHEN pair.away < away_before THEN pair.away + 65536 - away_before ELSE -1 END,
                    CASE WHEN pair.away < away_before THEN pair.away + 4294967296 - away_before ELSE -1 END
                ) THEN 1
                ELSE 0 END AS is_wrong
            FROM (
                SELECT dpu_id, ts, toward, away, is_baseline, LAG(ts) OVER of_dpu AS before,
                    LAG(toward) OVER of_dpu AS toward_before, LAG(away) OVER of_dpu AS away_before
                FROM reading WHERE void IS NULL WINDOW of_dpu AS (PARTITION BY dpu_id ORDER BY ts)
            ) AS pair LEFT JOIN interval ON interval.dpu_id = pair.dpu_id AND interval.ends = pair.ts + 1
            WHERE pair.before IS NOT NULL
        ) AS pairs WHERE is_wrong = 1 GROUP BY dpu_id",
    ),
    (
        "a derived interval ends with a reading",
        "SELECT 'DPU id ' || dpu_id, MIN(ends) FROM interval WHERE source = 1 AND NOT EXISTS (
            SELECT 1 FROM reading
            WHERE reading.dpu_id = interval.dpu_id AND reading.ts = interval.ends - 1 AND reading.void IS NULL
        ) GROUP BY dpu_id",
    ),
    ("no event is before 1970", "SELECT 'DPU id ' || dpu_id, ts FROM event WHERE ts < 0"),
    (
        "an event's DPU exists",
        "SELECT 'DPU id ' || dpu_id, MIN(ts) FROM event WHERE dpu_id NOT IN (SELECT id FROM dpu) GROUP BY dpu_id",
    ),
    (
        "a tally's DPU exists",
        "SELECT 'DPU id ' || dpu_id, MIN(bucket) FROM tally WHERE dpu_id NOT IN (SELECT id FROM dpu) GROUP BY dpu_id",
    ),
    (
        "a tally is of an hour or of a day",
        "SELECT 'DPU id ' || dpu_id || ', resolution ' || resolution, bucket FROM tally WHERE resolution NOT IN (1, 24)",
    ),
];

impl Verdict {
    /// Returns whether the database is right, possibly after repairs.
    pub fn is_right(&self) -> bool {
        self.tallies == self.mended && self.rules == 0
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tally { dpu, resolution, bucket, found, expected } => {
                let length = match resolution {
                    TallyLength::Hour => "hour",
                    TallyLength::Day => "day",
                };
                let [found, expected] = [found, expected].map(|crossings| match crossings {
                    Some(Crossings { toward, away }) => format!("{toward} toward and {away} away"),
                    None => "none".to_owned(),
                });
                write!(formatter, "tally of DPU {dpu}, {length} {bucket}: found {found}, expected {expected}")
            }
            Self::Rule { rule, rows, at } => {
                write!(formatter, "broken rule: {rule}: {rows}")?;
                at.map_or(Ok(()), |at| write!(formatter, ", at {at}"))
            }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dpus, tallies, mended, rules } = self;
        write!(
            formatter,
            "{dpus} DPUs verified: {tallies} tallies differed from their events, {mended} of them repaired; \
             rules broken: {rules}"
        )
    }
}
