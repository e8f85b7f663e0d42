//! PostgreSQL notifies listeners of every change of the floor plan.

use sea_orm_migration::prelude::*;

use crate::Script;

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0003_floor_plan_news"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        Script { sqlite: "", postgres: include_str!("up.postgres.sql") }.run(manager).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let postgres = "DROP TRIGGER floor_plan_changed ON floor_plan; DROP FUNCTION tell_of_floor_plan";
        Script { sqlite: "", postgres }.run(manager).await
    }
}
