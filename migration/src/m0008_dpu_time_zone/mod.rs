//! DPUs have a time zone, for their timestamps without one.

use sea_orm_migration::prelude::*;

use crate::Script;

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0008_dpu_time_zone"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "ALTER TABLE dpu ADD COLUMN time_zone TEXT";
        Script { sqlite: sql, postgres: sql }.run(manager).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "ALTER TABLE dpu DROP COLUMN time_zone";
        Script { sqlite: sql, postgres: sql }.run(manager).await
    }
}
