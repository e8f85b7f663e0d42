//! The change log: which commits a snapshot of the database has, and which DPUs they affect.
//!
//! Each commit of events adds a row in its own transaction: the writer, the commit's number among that writer's, and
//! the DPUs of its events. So a reader learns from the same snapshot which commits are in the data that it read. Rows
//! are kept for [`KEPT`]; processes read them more often than that.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use entity::Instant;
use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, QueryResult, Statement, Value};

pub const KEPT: Duration = Duration::from_secs(30);

/// The identity of a commit: the writer and the commit's number. A writer's first commit has the number 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitId {
    /// The writer: a number that no other writer has.
    pub writer: i64,
    pub number: i64,
}

/// A position in the log: the last commit of each writer that is in a state.
#[derive(Clone, Debug)]
pub struct Position {
    pub own: CommitId,
    /// The last commits of other writers, by writer.
    pub others: Arc<BTreeMap<i64, i64>>,
}

/// What a snapshot of the database has and a state lacks.
#[derive(Debug, Default)]
pub struct Changes {
    pub revision: i64,
    /// Events before this instant are pruned.
    pub digested: Option<Instant>,
    pub commits: Vec<LoggedCommit>,
}

#[derive(Debug)]
pub struct LoggedCommit {
    pub id: CommitId,
    /// `None`: any.
    pub dpus: Option<Vec<i64>>,
}

impl CommitId {
    /// Returns the number that a new writer starts from, before its first commit.
    pub fn new_writer() -> Self {
        let writer = RandomState::new().hash_one(std::process::id());
        Self { writer: i64::from_ne_bytes(writer.to_ne_bytes()), number: 0 }
    }

    #[must_use]
    pub fn next(self) -> Self {
        Self { number: self.number + 1, ..self }
    }
}

impl Position {
    /// Returns the position at the beginning of the log, for a process that writes as `own`.
    pub fn start(own: CommitId) -> Self {
        Self { own, others: Arc::default() }
    }

    pub fn has(&self, id: CommitId) -> bool {
        self.last_of(id.writer) >= id.number
    }

    fn last_of(&self, writer: i64) -> i64 {
        if writer == self.own.writer {
            return self.own.number;
        }
        self.others.get(&writer).copied().unwrap_or_default()
    }

    #[must_use]
    pub fn after(&self, commits: &[LoggedCommit]) -> Self {
        let mut position = self.clone();
        for commit in commits.iter().filter(|commit| !self.has(commit.id)) {
            if commit.id.writer == position.own.writer {
                position.own.number = position.own.number.max(commit.id.number);
            } else {
                let last = Arc::make_mut(&mut position.others).entry(commit.id.writer).or_default();
                *last = commit.id.number.max(*last);
            }
        }
        position
    }

    /// Returns the first parameters of the statement [`changes_sql`].
    pub fn values(&self, backend: DatabaseBackend) -> Vec<Value> {
        let others = self.others.iter().map(|(writer, number)| (*writer, *number));
        let known: Vec<(i64, i64)> = others.chain([(self.own.writer, self.own.number)]).collect();
        if backend == DatabaseBackend::Postgres {
            let (writers, numbers): (Vec<_>, Vec<_>) = known.into_iter().unzip();
            return vec![writers.into(), numbers.into()];
        }
        vec![serde_json::json!(known).to_string().into()]
    }
}

const COMMIT: i32 = 0;
const EDITION: i32 = 1;

/// Returns a select of the commits that a position lacks, and of the floor plan's revision. It has seven columns:
/// the kind of the row, then `writer, number, dpus` or `revision, digested`, then space for arrays. Its parameters are
/// the position's [`values`](Position::values).
///
/// `tables` are additional tables for the rest of the statement, in the form `, name (column, …) AS (…)`.
pub fn changes_sql(backend: DatabaseBackend, tables: &str) -> String {
    let known = if backend == DatabaseBackend::Postgres {
        "SELECT * FROM UNNEST($1::bigint[], $2::bigint[])"
    } else {
        "SELECT value ->> 0, value ->> 1 FROM json_each($1)"
    };
    let none = if backend == DatabaseBackend::Postgres { "NULL::bigint[]" } else { "NULL" };
    // One index lookup for each writer, since nearly all rows are known.
    format!(
        "WITH RECURSIVE known (writer, number) AS ({known}), writers (writer) AS (
            SELECT MIN(writer) FROM change_log
            UNION ALL SELECT (SELECT MIN(writer) FROM change_log WHERE writer > writers.writer)
            FROM writers WHERE writers.writer IS NOT NULL
        ){tables}
        SELECT {COMMIT}, change_log.writer, change_log.number, dpus, {none}, {none}, {none}
        FROM writers LEFT JOIN known ON known.writer = writers.writer
        JOIN change_log ON change_log.writer = writers.writer AND change_log.number > COALESCE(known.number, 0)
        UNION ALL SELECT {EDITION}, revision, digested, NULL, NULL, NULL, NULL FROM floor_plan"
    )
}

impl Changes {
    pub async fn read(connection: &impl ConnectionTrait, position: &Position) -> Result<Self, DbErr> {
        let backend = connection.get_database_backend();
        let statement =
            Statement::from_sql_and_values(backend, changes_sql(backend, ""), position.values(backend));
        let mut changes = Self::default();
        for row in connection.query_all_raw(statement).await? {
            changes.add(&row, backend)?;
        }
        Ok(changes)
    }

    /// Adds a row of [`changes_sql`].
    pub fn add(&mut self, row: &QueryResult, backend: DatabaseBackend) -> Result<(), DbErr> {
        if row.try_get_by_index::<i32>(0)? == EDITION {
            self.revision = row.try_get_by_index(1)?;
            self.digested = row.try_get_by_index(2)?;
            return Ok(());
        }
        let id = CommitId { writer: row.try_get_by_index(1)?, number: row.try_get_by_index(2)? };
        let dpus = if backend == DatabaseBackend::Postgres {
            row.try_get_by_index(3)?
        } else {
            let dpus: Option<String> = row.try_get_by_index(3)?;
            let parsed = dpus.map(|dpus| serde_json::from_str(&dpus)).transpose();
            parsed.map_err(|error| DbErr::Type(error.to_string()))?
        };
        self.commits.push(LoggedCommit { id, dpus });
        Ok(())
    }
}

/// Adds a commit to the log, in the commit's own transaction. `dpus` are those of its events; `None`: any.
pub async fn log_commit(
    transaction: &impl ConnectionTrait,
    id: CommitId,
    dpus: Option<Vec<i64>>,
) -> Result<(), DbErr> {
    let backend = transaction.get_database_backend();
    let dpus: Value = if backend == DatabaseBackend::Postgres {
        dpus.into()
    } else {
        dpus.map(|dpus| serde_json::json!(dpus).to_string()).into()
    };
    let sql = "INSERT INTO change_log (writer, number, dpus) VALUES ($1, $2, $3)";
    let values = [id.writer.into(), id.number.into(), dpus];
    transaction.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await.map(drop)
}

/// Deletes old rows, which no process needs any more.
pub async fn tidy(transaction: &impl ConnectionTrait) -> Result<(), DbErr> {
    let now = match transaction.get_database_backend() {
        DatabaseBackend::Postgres => "(extract(epoch FROM clock_timestamp()) * 1000)::bigint",
        _ => "unixepoch() * 1000",
    };
    let sql = format!("DELETE FROM change_log WHERE created < {now} - {}", KEPT.as_millis());
    transaction.execute_unprepared(&sql).await.map(drop)
}
