//! Tokens. PostgreSQL notifies listeners of changes of tokens, but not of their use.

use sea_orm_migration::prelude::*;

use crate::Script;

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0004_tokens"
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
        let postgres = "DROP TABLE token; DROP FUNCTION tell_of_tokens";
        Script { sqlite: "DROP TABLE token", postgres }.run(manager).await
    }
}
