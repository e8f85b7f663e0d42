//! The schema, the same on SQLite and PostgreSQL.
//!
//! Each migration is a folder with its SQL, one file per backend, since they differ in what makes the schema
//! trustworthy: exclusion constraints, triggers, clustering, partitions. Migrations change the schema, and write rows
//! only to move them from one table to another.

use sea_orm_migration::prelude::*;
pub use sea_orm_migration::prelude::{DbErr, MigratorTrait};

mod earlier;
mod m0001_schema;
mod m0002_reports;

/// Every migration, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m0001_schema::Migration), Box::new(m0002_reports::Migration)]
    }
}

/// Brings the schema up to date, from nothing or from that of any version since 0.1.0.
pub async fn migrate(transaction: &sea_orm::DatabaseTransaction) -> Result<(), DbErr> {
    earlier::take_over(transaction).await?;
    Migrator::up(transaction, None).await
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
