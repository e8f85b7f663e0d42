//! The memory of timelines stays within its limit, as measured by the allocator.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking, and compares roughly"
)]

use std::alloc::System;
use std::sync::Arc;

use api::counts::{Counts, WORK_DEFAULT};
use api::database::Database;
use api::state::State;
use cap::Cap;
use counting::Reading;
use entity::Instant;
use sea_orm::ConnectionTrait;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const DAY_MS: i64 = 24 * 3_600_000;
const DPUS: i64 = 40;
const DAYS: i64 = 400;

/// Returns a database of a DPU with this many crossings on each of [`DAYS`] days.
async fn database(folder: &std::path::Path, crossings: i64) -> Database {
    let database =
        Database::connect(&format!("sqlite://{}/{crossings}.db?mode=rwc", folder.display())).await.unwrap();
    database.migrate().await.unwrap();
    let transaction = database.begin().await.unwrap();
    let numbers = |name: &str, below: i64| {
        format!("{name}(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM {name} WHERE n + 1 < {below})")
    };
    let (dpus, days, steps) = (numbers("dpus", DPUS), numbers("days", DAYS), numbers("steps", crossings));
    for sql in [
        format!(
            "WITH RECURSIVE {dpus} INSERT INTO dpu (id, serial, created, modified) SELECT n, 'dpu ' || n, 0, 0 FROM dpus"
        ),
        format!(
            "WITH RECURSIVE {dpus}, {days}, {steps} INSERT INTO event (dpu_id, ts, direction, seq, created)
            SELECT dpus.n, days.n * {DAY_MS} + steps.n, 1, 0, 0
            FROM dpus, days, steps"
        ),
        format!(
            "WITH RECURSIVE {dpus}, {days} INSERT INTO tally (dpu_id, resolution, bucket, toward, away)
            SELECT dpus.n, 24, days.n * {DAY_MS}, {crossings}, 0 FROM dpus, days"
        ),
    ] {
        transaction.execute_unprepared(&sql).await.unwrap();
    }
    transaction.commit().await.unwrap();
    database
}

#[tokio::test]
async fn memory_stays_within_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    // Pages that consist mostly of the fixed cost of an entry, and pages that consist mostly of crossings.
    for (crossings, bytes) in [(1, 3 << 20), (300, 12 << 20)] {
        let database = database(folder.path(), crossings).await;
        let counts = |bytes| {
            let state = Arc::new(State::new(database.clone(), bytes));
            // No other process writes.
            state.set_followed(true);
            Counts::new(state, WORK_DEFAULT)
        };
        let day = |counts: Counts, day: i64| async move {
            let at = Instant::from_ms(day * DAY_MS + 2);
            let readings: Vec<_> = (0..DPUS).map(|dpu| Reading { dpu, at }).collect();
            let shown = counts.view().await.unwrap().odometers(&readings).await.unwrap();
            assert!(
                shown.values().all(|shown| shown.toward == (day * crossings) + crossings.min(3)),
                "day {day}"
            );
            counts
        };
        // Memory that the reading itself leaves behind, such as the driver's caches, does not count.
        day(counts(bytes), DAYS - 1).await;
        let before = ALLOCATOR.allocated();
        let mut known = counts(bytes);
        for number in 0..DAYS {
            known = day(known, number).await;
        }
        let taken = (ALLOCATOR.allocated() - before) as f64 / bytes as f64;
        assert!(
            (0.8..=1.1).contains(&taken),
            "{taken} of what it was allowed, with {crossings} crossings a day"
        );
    }
}
