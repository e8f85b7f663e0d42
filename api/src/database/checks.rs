//! The readiness checks of the database.

use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, DbErr, Statement};

use super::Database;
use crate::readiness::Readiness;

impl Database {
    /// Adds the checks that the database answers, accepts writes, and has the required schema.
    pub(crate) fn add_checks(&self, readiness: &Readiness) {
        let database = self.clone();
        readiness.add("database", move || {
            let reader = database.reader.clone();
            async move {
                let asked = reader.execute_unprepared("SELECT 1").await;
                asked.map(drop).map_err(|_| "the database does not answer".to_owned())
            }
        });
        let database = self.clone();
        readiness.add("writes", move || {
            let database = database.clone();
            async move { database.takes_writes().await.map_err(str::to_owned) }
        });
        let database = self.clone();
        readiness.add("migrations", move || {
            let database = database.clone();
            async move {
                let pending = database.pending_migrations().await;
                let pending = pending.map_err(|_| "the database does not answer".to_owned())?;
                if pending.is_empty() {
                    return Ok(());
                }
                Err(format!("not applied: {}; run `headcount migrate`", pending.join(", ")))
            }
        });
    }

    /// The database may also have later ones, from a newer version of this program.
    async fn pending_migrations(&self) -> Result<Vec<String>, DbErr> {
        let sql = Statement::from_string(self.backend(), "SELECT version FROM seaql_migrations");
        let rows = self.reader.query_all_raw(sql).await?;
        let applied = rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<Vec<String>, _>>()?;
        let mut wanted: Vec<_> =
            Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect();
        wanted.retain(|name| !applied.contains(name));
        Ok(wanted)
    }
}
