//! On PostgreSQL a transaction raises the floor plan's revision once, however many statements it has.

use sea_orm_migration::prelude::*;

use crate::Script;

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0006_one_revision_a_change"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        Script { sqlite: "", postgres: include_str!("up.postgres.sql") }.run(manager).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let postgres = "CREATE OR REPLACE FUNCTION bump_floor_plan() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN UPDATE floor_plan SET revision = revision + 1; RETURN NULL; END $$";
        Script { sqlite: "", postgres }.run(manager).await
    }
}
