//! The change log: which commits a snapshot of the database has, and which DPUs they are about.
//!
//! Each commit of events adds a row in its own transaction: the writer, the commit's number among that writer's, and
//! the DPUs that its events are of. So a reader of the database learns in the same snapshot which commits are in what it
//! read. Rows are kept for [`KEPT`]; processes look more often than that.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use entity::Instant;
use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, QueryResult, Statement, Value};

/// How long rows of the log are kept.
pub const KEPT: Duration = Duration::from_secs(30);

/// A commit: the how manieth of which writer. A writer's first commit has the number 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitId {
    /// The writer: a number that no other has.
    pub writer: i64,
    /// The number of the commit among the writer's.
    pub number: i64,
}

/// How far in the log a state is: of each writer the last commit that is in it.
#[derive(Clone, Debug)]
pub struct Position {
    /// The last commit of this process.
    pub own: CommitId,
    /// The last commits of other writers, by their names.
    pub others: Arc<BTreeMap<i64, i64>>,
}

/// What a snapshot of the database has that a state lacks.
#[derive(Debug, Default)]
pub struct Changes {
    /// The revision of the floor plan.
    pub revision: i64,
    /// Events before it are pruned.
    pub digested: Option<Instant>,
    /// The commits that the state lacks.
    pub commits: Vec<LoggedCommit>,
}

/// A row of the log.
#[derive(Debug)]
pub struct LoggedCommit {
    /// Which commit it is.
    pub id: CommitId,
    /// The DPUs that it is about; `None`: any.
    pub dpus: Option<Vec<i64>>,
}

impl CommitId {
    /// Returns what a new writer begins with, before its first commit.
    pub fn new_writer() -> Self {
        let writer = RandomState::new().hash_one(std::process::id());
        Self { writer: i64::from_ne_bytes(writer.to_ne_bytes()), number: 0 }
    }

    /// Returns the writer's next commit.
    #[must_use]
    pub fn next(self) -> Self {
        Self { number: self.number + 1, ..self }
    }
}

impl Position {
    /// Returns the beginning of the log, for a process that writes as `own`.
    pub fn start(own: CommitId) -> Self {
        Self { own, others: Arc::default() }
    }

    /// Returns whether the commit is in the state.
    pub fn has(&self, id: CommitId) -> bool {
        self.last_of(id.writer) >= id.number
    }

    fn last_of(&self, writer: i64) -> i64 {
        if writer == self.own.writer {
            return self.own.number;
        }
        self.others.get(&writer).copied().unwrap_or_default()
    }

    /// Returns the position after these commits.
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

    /// Returns what [`changes_sql`] is to be given: the first values of its statement.
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

/// A select of the commits that a position lacks, and of the floor plan's revision, in six columns: what the row is, then
/// `writer, number, dpus` or `revision, digested`, and room for more arrays. Its parameters are the position's
/// [`values`](Position::values).
///
/// `tables` are further ones that what comes after it can select from, as `, name (column, …) AS (…)`.
pub fn changes_sql(backend: DatabaseBackend, tables: &str) -> String {
    let known = if backend == DatabaseBackend::Postgres {
        "SELECT * FROM UNNEST($1::bigint[], $2::bigint[])"
    } else {
        "SELECT value ->> 0, value ->> 1 FROM json_each($1)"
    };
    let none = if backend == DatabaseBackend::Postgres { "NULL::bigint[]" } else { "NULL" };
    // One step into the key for each writer, since nearly all rows are known.
    format!(
        "WITH RECURSIVE known (writer, number) AS ({known}), writers (writer) AS (
            SELECT MIN(writer) FROM change_log
            UNION ALL SELECT (SELECT MIN(writer) FROM change_log WHERE writer > writers.writer)
            FROM writers WHERE writers.writer IS NOT NULL
        ){tables}
        SELECT {COMMIT}, change_log.writer, change_log.number, dpus, {none}, {none}
        FROM writers LEFT JOIN known ON known.writer = writers.writer
        JOIN change_log ON change_log.writer = writers.writer AND change_log.number > COALESCE(known.number, 0)
        UNION ALL SELECT {EDITION}, revision, digested, NULL, NULL, NULL FROM floor_plan"
    )
}

impl Changes {
    /// Reads what the position lacks.
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

/// Adds a commit of events of these DPUs, or of any, to the log, inside the commit's own transaction.
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

/// Deletes the rows that nobody needs any more.
pub async fn tidy(transaction: &impl ConnectionTrait) -> Result<(), DbErr> {
    let now = match transaction.get_database_backend() {
        DatabaseBackend::Postgres => "(extract(epoch FROM clock_timestamp()) * 1000)::bigint",
        _ => "unixepoch() * 1000",
    };
    let sql = format!("DELETE FROM change_log WHERE created < {now} - {}", KEPT.as_millis());
    transaction.execute_unprepared(&sql).await.map(drop)
}
