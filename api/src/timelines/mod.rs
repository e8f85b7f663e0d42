//! Timelines: what odometers show, read from tallies and events.
//!
//! An odometer at any age is the sum of its DPU's day tallies before that day, its hour tallies before
//! that hour, and the events of one partial hour. Any number of readings is one statement.

mod events;
mod stretch;

use std::collections::HashMap;

use entity::tally::Resolution;
pub use events::{EventKey, EventPage, EventRange, counts as event_counts, pages as event_pages};
use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, Statement, Value};
pub use stretch::{crossings, last_events};

use crate::counting::{Crossings, Reading};

/// Reads the odometers. Every reading has an entry in the answer; two that are equal have one.
pub async fn read(
    connection: &impl ConnectionTrait,
    readings: &[Reading],
) -> Result<HashMap<Reading, Crossings>, DbErr> {
    let mut odometers: HashMap<_, _> =
        readings.iter().map(|reading| (*reading, Crossings::default())).collect();
    if odometers.is_empty() {
        return Ok(odometers);
    }
    let distinct: Vec<Reading> = odometers.keys().copied().collect();
    for row in connection.query_all_raw(statement(connection.get_database_backend(), &distinct)).await? {
        let place: i64 = row.try_get_by_index(0)?;
        let seen = Crossings { toward: row.try_get_by_index(1)?, away: row.try_get_by_index(2)? };
        if let Some(reading) = usize::try_from(place).ok().and_then(|place| distinct.get(place)) {
            odometers.insert(*reading, seen);
        }
    }
    Ok(odometers)
}

/// What was seen of each reading, by the reading's place in the list; those that saw nothing are left out.
fn statement(backend: DatabaseBackend, readings: &[Reading]) -> Statement {
    let day = |reading: &Reading| Resolution::Day.bucket(reading.at).ms();
    let hour = |reading: &Reading| Resolution::Hour.bucket(reading.at).ms();
    let (source, values): (_, Vec<Value>) = if backend == DatabaseBackend::Postgres {
        let column = |of: fn(&Reading) -> i64| readings.iter().map(of).collect::<Vec<_>>();
        (
            "SELECT * FROM UNNEST($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) WITH ORDINALITY \
             AS listed (dpu_id, day, hour, at, number)",
            vec![
                column(|reading| reading.dpu).into(),
                readings.iter().map(day).collect::<Vec<_>>().into(),
                readings.iter().map(hour).collect::<Vec<_>>().into(),
                column(|reading| reading.at.ms()).into(),
            ],
        )
    } else {
        let rows: Vec<_> = readings.iter().map(|r| (r.dpu, day(r), hour(r), r.at.ms())).collect();
        (
            "SELECT value ->> 0 AS dpu_id, value ->> 1 AS day, value ->> 2 AS hour, value ->> 3 AS at, \
             key + 1 AS number FROM json_each($1)",
            vec![serde_json::json!(rows).to_string().into()],
        )
    };
    let sql = format!(
        "WITH reading AS ({source}), part AS (
            SELECT number, tally.toward, tally.away FROM reading
            JOIN tally ON tally.dpu_id = reading.dpu_id AND resolution = {days} AND bucket < day
            UNION ALL
            SELECT number, tally.toward, tally.away FROM reading
            JOIN tally ON tally.dpu_id = reading.dpu_id AND resolution = {hours} AND bucket >= day AND bucket < hour
            UNION ALL
            SELECT number, (1 + direction) / 2, (1 - direction) / 2 FROM reading
            JOIN event ON event.dpu_id = reading.dpu_id AND ts >= hour AND ts <= at
        )
        SELECT CAST(number - 1 AS BIGINT), CAST(SUM(toward) AS BIGINT), CAST(SUM(away) AS BIGINT)
        FROM part GROUP BY number",
        days = Resolution::Day.hours(),
        hours = Resolution::Hour.hours(),
    );
    Statement::from_sql_and_values(backend, sql, values)
}
