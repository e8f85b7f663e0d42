//! The last events of stretches of time.

use std::collections::HashMap;

use entity::Instant;
use entity::event::{self, Direction};
use sea_orm::{ActiveEnum, ConnectionTrait, DatabaseBackend, DbErr, Statement, Value};

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
            WHERE newest.dpu_id = stretch.dpu_id AND newest.ts > after AND newest.ts <= until
        ) ORDER BY number, direction, seq";
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
    let after = |stretch: &Stretch| stretch.after.map_or(i64::MIN, Instant::ms);
    let (source, values): (_, Vec<Value>) = if backend == DatabaseBackend::Postgres {
        (
            "SELECT * FROM UNNEST($1::bigint[], $2::bigint[], $3::bigint[]) WITH ORDINALITY \
             AS listed (dpu_id, after, until, number)",
            vec![
                stretches.iter().map(|stretch| stretch.dpu).collect::<Vec<_>>().into(),
                stretches.iter().map(after).collect::<Vec<_>>().into(),
                stretches.iter().map(|stretch| stretch.until.ms()).collect::<Vec<_>>().into(),
            ],
        )
    } else {
        let rows: Vec<_> =
            stretches.iter().map(|stretch| (stretch.dpu, after(stretch), stretch.until.ms())).collect();
        (
            "SELECT value ->> 0 AS dpu_id, value ->> 1 AS after, value ->> 2 AS until, \
             CAST(key + 1 AS BIGINT) AS number FROM json_each($1)",
            vec![serde_json::json!(rows).to_string().into()],
        )
    };
    Statement::from_sql_and_values(backend, format!("WITH stretch AS ({source}) {select}"), values)
}
