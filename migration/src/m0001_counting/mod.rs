//! Spaces, DPUs, assignments, resets, events and tallies.

use sea_orm_migration::prelude::*;

use crate::Script;

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0001_counting"
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
        Script { sqlite: include_str!("down.sqlite.sql"), postgres: include_str!("down.postgres.sql") }
            .run(manager)
            .await
    }
}
