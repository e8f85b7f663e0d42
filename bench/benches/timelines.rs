//! The cost of odometers in memory: `cargo bench -p bench`.

#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has no result")]

use std::sync::Arc;

use api::counts::{Counts, View};
use api::database::Database;
use api::state::State;
use api::timelines::Patch;
use counting::Reading;
use divan::{Bencher, black_box};
use entity::Instant;
use entity::event::Direction;
use sea_orm::ConnectionTrait;

const DPUS: i64 = 20;
const DAYS: i64 = 90;
const DAY_MS: i64 = 86_400_000;
const ENOUGH: u64 = 1 << 30;

fn main() {
    divan::main();
}

/// Returns a state with everything in memory and `crossings` on each day, and a view of it.
fn known(crossings: i64) -> (Arc<State>, View) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("bench.db").display());
        let database = Database::connect(&url).await.expect("a database");
        database.migrate().await.expect("a schema");
        let transaction = database.begin().await.expect("a transaction");
        let numbers = |name: &str, below: i64| {
            format!("{name}(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM {name} WHERE n + 1 < {below})")
        };
        let all = [("dpus", DPUS), ("days", DAYS), ("steps", crossings)].map(|(name, below)| numbers(name, below));
        for insert in [
            "INSERT INTO dpu (id, serial, created, modified) SELECT n, 'dpu ' || n, 0, 0 FROM dpus".to_owned(),
            format!(
                "INSERT INTO event (dpu_id, ts, direction, seq, created) SELECT dpus.n, days.n * {DAY_MS} + steps.n * ({DAY_MS} / {crossings}), 1, 0, 0 \
                 FROM dpus, days, steps"
            ),
            format!("INSERT INTO tally (dpu_id, resolution, bucket, toward, away) SELECT dpus.n, 24, days.n * {DAY_MS}, {crossings}, 0 FROM dpus, days"),
        ] {
            let sql = format!("WITH RECURSIVE {} {insert}", all.join(", "));
            transaction.execute_unprepared(&sql).await.expect("rows");
        }
        transaction.commit().await.expect("a commit");
        let state = Arc::new(State::new(database, ENOUGH));
        let counts = Counts::new(Arc::clone(&state), std::time::Duration::MAX);
        let days = (0..DPUS).flat_map(|dpu| (0..DAYS).map(move |day| (dpu, day)));
        let readings: Vec<_> = days.map(|(dpu, day)| reading(dpu, day * DAY_MS + 1)).collect();
        counts.view().await.expect("a view").odometers(&readings).await.expect("odometers");
        (state, counts.view().await.expect("a view"))
    })
}

fn reading(dpu: i64, ms: i64) -> Reading {
    Reading { dpu, at: Instant::from_ms(ms) }
}

/// Readings at instants on all days. The cost depends on the number of crossings only by steps of a binary search.
#[divan::bench(args = [100, 10_000])]
fn show(bencher: Bencher, crossings: i64) {
    let (_state, view) = known(crossings);
    let mut number: i64 = 0;
    bencher.bench_local(|| {
        number += 1;
        let shown = view.odometer(reading(number % DPUS, number * 1_299_709 % (DAYS * DAY_MS)));
        assert!(black_box(shown).is_some());
    });
}

/// A commit of one event, on the last day or the first.
#[divan::bench(args = [DAYS - 1, 0])]
fn patch(bencher: Bencher, day: i64) {
    let (state, _view) = known(100);
    let start = Instant::from_ms(day * DAY_MS);
    bencher.bench_local(|| {
        let event = (0, start.plus_ms(DAY_MS / 2), Direction::Toward);
        state.committed(state.next_commit(), Patch::new([event]));
    });
}
