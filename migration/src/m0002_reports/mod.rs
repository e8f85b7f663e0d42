//! What sensors report besides crossings: intervals and totals, and whether they are alive. Events that were voided.
//!
//! Sums of pruned events, which had a table of their own, become intervals.

use sea_orm_migration::prelude::*;

use crate::Script;

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0002_reports"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        Script { sqlite: include_str!("up.sqlite.sql"), postgres: include_str!("up.postgres.sql") }
            .run(manager.get_connection())
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        Script { sqlite: include_str!("down.sqlite.sql"), postgres: include_str!("down.postgres.sql") }
            .run(manager.get_connection())
            .await
    }
}
