//! The schema, the same on SQLite and PostgreSQL.
//!
//! Each migration is a folder with its SQL, one file per backend, since they differ in what makes the schema
//! trustworthy: exclusion constraints, triggers, clustering, partitions. Migrations change the schema, and write rows
//! only to move them from one table to another.

use sea_orm_migration::prelude::*;
pub use sea_orm_migration::prelude::{DbErr, MigratorTrait};

/// Returns the migration with this name.
macro_rules! migration {
    ($name:literal) => {
        SqlMigration {
            name: $name,
            up: Script {
                sqlite: include_str!(concat!($name, "/up.sqlite.sql")),
                postgres: include_str!(concat!($name, "/up.postgres.sql")),
            },
            down: Script {
                sqlite: include_str!(concat!($name, "/down.sqlite.sql")),
                postgres: include_str!(concat!($name, "/down.postgres.sql")),
            },
        }
    };
}

mod earlier;

/// The whole schema of the first version.
const SCHEMA: SqlMigration = migration!("m0001_schema");
/// What sensors report besides crossings: intervals and totals, and whether they are alive. Events that were voided. Sums of
/// pruned events, which had a table of their own, become intervals.
const REPORTS: SqlMigration = migration!("m0002_reports");
/// What devices send in formats of their own: which clock is trusted, and reports of devices that are not known yet.
const DEVICES: SqlMigration = migration!("m0003_devices");

/// Every migration, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(SCHEMA), Box::new(REPORTS), Box::new(DEVICES)]
    }
}

/// Brings the schema up to date, from nothing or from that of any version since 0.1.0.
pub async fn migrate(transaction: &sea_orm::DatabaseTransaction) -> Result<(), DbErr> {
    earlier::take_over(transaction).await?;
    Migrator::up(transaction, None).await
}

/// A migration whose SQL is in the folder of its name.
struct SqlMigration {
    name: &'static str,
    up: Script,
    down: Script,
}

impl MigrationName for SqlMigration {
    fn name(&self) -> &'static str {
        self.name
    }
}

#[async_trait::async_trait]
impl MigrationTrait for SqlMigration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        self.up.run(manager.get_connection()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        self.down.run(manager.get_connection()).await
    }
}

/// The SQL of one direction of a migration, per backend.
struct Script {
    sqlite: &'static str,
    postgres: &'static str,
}

impl Script {
    async fn run(&self, connection: &impl sea_orm::ConnectionTrait) -> Result<(), DbErr> {
        let sql = match connection.get_database_backend() {
            sea_orm::DatabaseBackend::Sqlite => self.sqlite,
            sea_orm::DatabaseBackend::Postgres => self.postgres,
            other => {
                return Err(DbErr::Migration(format!(
                    "{other:?} is not supported, use SQLite or PostgreSQL"
                )));
            }
        };
        connection.execute_unprepared(sql).await.map(drop)
    }
}
