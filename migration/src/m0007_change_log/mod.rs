//! The change log: each commit of events records, in its own transaction, which DPUs it has events of, for other
//! processes to read.

use sea_orm_migration::prelude::*;

use crate::Script;

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0007_change_log"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let script =
            Script { sqlite: include_str!("up.sqlite.sql"), postgres: include_str!("up.postgres.sql") };
        script.run(manager).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        Script { sqlite: "DROP TABLE change_log", postgres: "DROP TABLE change_log" }.run(manager).await
    }
}
