//! The schema, step by step, the same on SQLite and PostgreSQL.
//!
//! Each migration is a folder with its SQL, one file per backend, since they differ in what makes the schema
//! trustworthy: exclusion constraints, triggers, clustering, partitions. Migrations change the schema only: they never
//! write rows.

use sea_orm_migration::prelude::*;
pub use sea_orm_migration::prelude::{DbErr, MigratorTrait};

mod m0001_counting;
mod m0002_reset_rules;
mod m0003_floor_plan_news;
mod m0004_tokens;
mod m0005_retention;
mod m0006_one_revision_a_change;
mod m0007_change_log;
mod m0008_dpu_time_zone;
mod m0009_channel_a_schema;

/// Every migration, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_counting::Migration),
            Box::new(m0002_reset_rules::Migration),
            Box::new(m0003_floor_plan_news::Migration),
            Box::new(m0004_tokens::Migration),
            Box::new(m0005_retention::Migration),
            Box::new(m0006_one_revision_a_change::Migration),
            Box::new(m0007_change_log::Migration),
            Box::new(m0008_dpu_time_zone::Migration),
            Box::new(m0009_channel_a_schema::Migration),
        ]
    }
}

/// The SQL of one direction of a migration, per backend.
struct Script {
    sqlite: &'static str,
    postgres: &'static str,
}

impl Script {
    async fn run(&self, manager: &SchemaManager<'_>) -> Result<(), DbErr> {
        let sql = match manager.get_database_backend() {
            sea_orm::DatabaseBackend::Sqlite => self.sqlite,
            sea_orm::DatabaseBackend::Postgres => self.postgres,
            other => {
                return Err(DbErr::Migration(format!(
                    "{other:?} is not supported, use SQLite or PostgreSQL"
                )));
            }
        };
        manager.get_connection().execute_unprepared(sql).await.map(drop)
    }
}
