//! Marks: the instants at which odometers are read whatever instant is asked for, since counts go on from there.

use entity::{Instant, assignment};
use sea_orm::{DatabaseBackend, Value};

use super::{Space, holds};
use crate::counting::{Reading, Start};

/// Where events are pruned, crossings are kept by the hour.
pub(super) const HOUR_MS: i64 = 3_600_000;

/// An odometer reading that counts go on from.
#[derive(Clone, Copy, Debug)]
pub struct Mark<'a> {
    /// Which odometer, and when.
    pub reading: Reading,
    /// The assignment whose DPU is read.
    pub assignment: &'a assignment::Model,
    /// Why it is read just then.
    pub cause: Cause<'a>,
}

/// Why an odometer is read.
#[derive(Clone, Copy, Debug)]
pub enum Cause<'a> {
    /// The assignment starts.
    Starts,
    /// The assignment ends.
    Ends,
    /// Counts of the space go on from here.
    GoesOn(Start<'a>),
}

impl Space {
    /// Its marks in `[from, end)`.
    pub fn marks(&self, from: Instant, end: Instant) -> Vec<Mark<'_>> {
        let starts = self.starts().within(from, end);
        let mut marks = Vec::new();
        for assignment in &self.assignments {
            let mut add = |at, cause| {
                if (from..end).contains(&at) {
                    marks.push(Mark { reading: Reading { dpu: assignment.dpu_id, at }, assignment, cause });
                }
            };
            if let Some(starts_at) = assignment.starts_at {
                add(starts_at.just_before(), Cause::Starts);
            }
            if let Some(ends_at) = assignment.ends_at {
                add(ends_at.just_before(), Cause::Ends);
            }
            for start in starts.iter().filter(|start| holds(assignment, start.ts)) {
                add(start.ts, Cause::GoesOn(*start));
            }
        }
        marks
    }
}

/// A table `mark (dpu_id, ts, hour)` of the readings, for a statement that begins with `WITH`, and its values. `hour` is when the
/// hour begins that the reading is in.
pub(crate) fn listed<'a>(
    backend: DatabaseBackend,
    readings: impl Iterator<Item = &'a Reading>,
) -> (String, Vec<Value>) {
    let rows: Vec<_> =
        readings.map(|reading| (reading.dpu, reading.at.ms(), reading.at.floor_to(HOUR_MS).ms())).collect();
    let (rows, values) = if backend == DatabaseBackend::Postgres {
        let column = |of: fn(&(i64, i64, i64)) -> i64| Value::from(rows.iter().map(of).collect::<Vec<_>>());
        (
            "SELECT * FROM UNNEST($1::bigint[], $2::bigint[], $3::bigint[])",
            vec![column(|row| row.0), column(|row| row.1), column(|row| row.2)],
        )
    } else {
        (
            "SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($1)",
            vec![serde_json::json!(rows).to_string().into()],
        )
    };
    // Or SQLite would read the text again for each row that it is joined to.
    (format!("mark (dpu_id, ts, hour) AS MATERIALIZED ({rows})"), values)
}
