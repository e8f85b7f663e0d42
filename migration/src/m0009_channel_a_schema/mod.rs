//! On PostgreSQL each schema has its own channel of notifications.

use sea_orm_migration::prelude::*;

use crate::Script;

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0009_channel_a_schema"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        Script { sqlite: "", postgres: include_str!("up.postgres.sql") }.run(manager).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        Script { sqlite: "", postgres: include_str!("down.postgres.sql") }.run(manager).await
    }
}
