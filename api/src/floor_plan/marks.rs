//! Marks: the instants at which an odometer's reading is needed for any count, because counts continue from there.

use entity::{Instant, assignment};
use sea_orm::{DatabaseBackend, Value};

use super::{Space, holds};
use crate::listed::listed;
use counting::{Reading, Start};

/// Where events are pruned, crossings are stored per hour.
pub(super) const HOUR_MS: i64 = 3_600_000;

/// A reading that counts continue from.
#[derive(Clone, Copy, Debug)]
pub struct Mark<'a> {
    pub reading: Reading,
    /// The assignment whose DPU is read.
    pub assignment: &'a assignment::Model,
    pub cause: Cause,
}

#[derive(Clone, Copy, Debug)]
pub enum Cause {
    Starts,
    Ends,
    /// Counts of the space continue from here.
    GoesOn(Start),
}

impl Space {
    /// Returns the space's marks in `[from, end)`.
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

/// Returns the readings as a table `mark (dpu_id, ts, hour)` for a statement that begins with `WITH`, and its values.
/// `hour` is the start of the hour of the reading.
pub(crate) fn mark_table<'a>(
    backend: DatabaseBackend,
    readings: impl Iterator<Item = &'a Reading>,
) -> (String, Vec<Value>) {
    let rows = readings.map(|Reading { dpu, at }| [*dpu, at.ms(), at.floor_to(HOUR_MS).ms()]);
    let (rows, values) = listed(backend, 1, rows);
    // Without this, SQLite parses the text again for each joined row.
    (format!("mark (dpu_id, ts, hour) AS MATERIALIZED ({rows})"), values)
}
