//! Databases of earlier versions, whose schema was made in several steps. They are taken over as they are, after the
//! steps that they lack.

use std::collections::HashSet;

use sea_orm::{ConnectionTrait, DatabaseBackend, DatabaseTransaction, DbErr, Statement};
use sea_orm_migration::MigrationName;

use crate::{SCHEMA, Script};

/// The steps of version 0.1.0, all of which a database must have.
const FIRST: [&str; 6] = [
    "m0001_counting",
    "m0002_reset_rules",
    "m0003_floor_plan_news",
    "m0004_tokens",
    "m0005_retention",
    "m0006_one_revision_a_change",
];

const DPU_TIME_ZONE: &str = "ALTER TABLE dpu ADD COLUMN time_zone TEXT";

/// The steps that were added later.
const LATER: [(&str, Script); 3] = [
    (
        "m0007_change_log",
        Script {
            sqlite: include_str!("m0007_change_log.sqlite.sql"),
            postgres: include_str!("m0007_change_log.postgres.sql"),
        },
    ),
    ("m0008_dpu_time_zone", Script { sqlite: DPU_TIME_ZONE, postgres: DPU_TIME_ZONE }),
    (
        "m0009_channel_a_schema",
        Script { sqlite: "", postgres: include_str!("m0009_channel_a_schema.postgres.sql") },
    ),
];

/// Makes the schema of an earlier version that of [`SCHEMA`], and records it as such. Does nothing to other
/// databases.
pub(crate) async fn take_over(transaction: &DatabaseTransaction) -> Result<(), DbErr> {
    let applied = applied(transaction).await?;
    if !FIRST.iter().any(|step| applied.contains(*step)) {
        return Ok(());
    }
    if let Some(missing) = FIRST.iter().find(|step| !applied.contains(**step)) {
        return Err(DbErr::Migration(format!(
            "the schema is older than version 0.1.0, since it lacks the step {missing}: only databases of version 0.1.0 and \
             later can be taken over"
        )));
    }
    for (step, script) in LATER {
        if !applied.contains(step) {
            script.run(transaction).await?;
        }
    }
    let backend = transaction.get_database_backend();
    transaction.execute_unprepared("DELETE FROM seaql_migrations").await?;
    let sql = "INSERT INTO seaql_migrations (version, applied_at) VALUES ($1, 0)";
    let values = [SCHEMA.name().into()];
    transaction.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await.map(drop)
}

/// Returns the names of the steps that the database has.
async fn applied(transaction: &DatabaseTransaction) -> Result<HashSet<String>, DbErr> {
    let backend = transaction.get_database_backend();
    let exists = match backend {
        DatabaseBackend::Postgres => "SELECT 1 WHERE to_regclass('seaql_migrations') IS NOT NULL",
        _ => "SELECT 1 FROM sqlite_schema WHERE name = 'seaql_migrations'",
    };
    if transaction.query_one_raw(Statement::from_string(backend, exists)).await?.is_none() {
        return Ok(HashSet::new());
    }
    let names = Statement::from_string(backend, "SELECT version FROM seaql_migrations");
    transaction.query_all_raw(names).await?.iter().map(|row| row.try_get_by_index(0)).collect()
}
