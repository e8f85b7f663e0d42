//! The last events of stretches of time.

use std::collections::HashMap;

use entity::Instant;
use entity::event::{self, Direction};
use sea_orm::{ActiveEnum, ConnectionTrait, DatabaseBackend, DbErr, Statement};

use crate::listed::listed;
use counting::Stretch;

/// Reads the last event of each stretch that has one, in one statement.
pub(crate) async fn last_events(
    connection: &impl ConnectionTrait,
    stretches: &[Stretch],
) -> Result<HashMap<Stretch, event::Model>, DbErr> {
    if stretches.is_empty() {
        return Ok(HashMap::new());
    }
    // The newest instant is one index lookup. Of the events at that instant, the last in the key's order counts.
    let select = "SELECT number, event.dpu_id, event.ts, direction, seq, created FROM stretch
        JOIN event ON event.dpu_id = stretch.dpu_id AND event.ts = (
            SELECT MAX(ts) FROM event AS newest
            WHERE newest.dpu_id = stretch.dpu_id AND newest.ts > after AND newest.ts <= until AND newest.void IS NULL
        ) WHERE event.void IS NULL ORDER BY number, direction, seq";
    let mut found = HashMap::new();
    for row in
        connection.query_all_raw(statement(connection.get_database_backend(), stretches, select)).await?
    {
        let event = event::Model {
            dpu_id: row.try_get_by_index(1)?,
            ts: row.try_get_by_index(2)?,
            direction: Direction::try_from_value(&row.try_get_by_index(3)?)?,
            seq: row.try_get_by_index(4)?,
            created: row.try_get_by_index(5)?,
            void: None,
        };
        if let Some(stretch) = place(stretches, row.try_get_by_index(0)?) {
            found.insert(*stretch, event);
        }
    }
    Ok(found)
}

/// Returns the stretch with this number, counted from 1.
fn place(stretches: &[Stretch], number: i64) -> Option<&Stretch> {
    stretches.get(usize::try_from(number).ok()?.checked_sub(1)?)
}

/// Returns the statement `select` over the stretches, which are in the table `stretch` with their numbers.
fn statement(backend: DatabaseBackend, stretches: &[Stretch], select: &str) -> Statement {
    let rows = (1..).zip(stretches).map(|(number, stretch)| {
        let after = stretch.after.map_or(i64::MIN, Instant::ms);
        [stretch.dpu, after, stretch.until.ms(), number]
    });
    let (rows, values) = listed(backend, 1, rows);
    let sql = format!("WITH stretch (dpu_id, after, until, number) AS ({rows}) {select}");
    Statement::from_sql_and_values(backend, sql, values)
}
