//! Retention: the horizon, before which events are pruned, and the digests of pruned events.

use sea_orm_migration::prelude::*;

use crate::Script;

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0005_retention"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        Script { sqlite: include_str!("up.sqlite.sql"), postgres: include_str!("up.postgres.sql") }
            .run(manager)
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "DROP TABLE digest; ALTER TABLE floor_plan DROP COLUMN digested; \
                   ALTER TABLE floor_plan DROP COLUMN horizon";
        Script { sqlite: sql, postgres: sql }.run(manager).await
    }
}
