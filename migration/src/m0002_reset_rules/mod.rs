//! Reset rules: counts that hold at the same local time of every day.

use sea_orm_migration::prelude::*;

use crate::Script;

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0002_reset_rules"
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
        Script { sqlite: "DROP TABLE reset_rule", postgres: "DROP TABLE reset_rule" }.run(manager).await
    }
}
