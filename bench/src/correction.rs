//! Measures the correction of an assignment one year ago, and the next count, with a thousand and with a million events
//! since then.
//!
//! `cargo run --release -p bench --bin correction` prints the median times of both, and their ratio.
//! It writes only a database in a temporary folder.

use std::io::{Write, stdout};
use std::time::{Duration, Instant as Stopwatch};

use anyhow::Context;
use api::app::App;
use api::clock::Clock;
use api::database::Database;
use api::floor_plan::changes::assignment::{self, AssignmentUpdate, NewAssignment};
use api::floor_plan::changes::dpu::{self, NewDpu};
use api::floor_plan::changes::space::{self, NewSpace};
use api::ingest::Crossing;
use api::timelines::CACHE_BYTES;
use entity::Instant;
use entity::assignment::Placement;
use entity::event::Direction;

/// Number of measurements for each size.
const ROUNDS: usize = 101;
const YEAR_MS: i64 = 365 * 86_400_000;
const BATCH: i64 = 20_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut out = stdout();
    writeln!(out, "{:>10}  {:>16}  {:>16}", "events", "correction", "count after it")?;
    let (few, many) = (measure(1_000).await?, measure(1_000_000).await?);
    for (events, (correction, count)) in [(1_000, few), (1_000_000, many)] {
        writeln!(out, "{events:>10}  {correction:>16.1?}  {count:>16.1?}")?;
    }
    let ratio = |many: Duration, few: Duration| many.as_secs_f64() / few.as_secs_f64();
    writeln!(out, "{:>10}  {:>16.2}  {:>16.2}", "ratio", ratio(many.0, few.0), ratio(many.1, few.1))?;
    Ok(())
}

/// Returns the median times of a correction, and of the next count, with this many events in the year since.
async fn measure(events: i64) -> anyhow::Result<(Duration, Duration)> {
    let folder = tempfile::tempdir()?;
    let database =
        Database::connect(&format!("sqlite://{}?mode=rwc", folder.path().join("bench.db").display())).await?;
    database.migrate().await?;
    let now = Instant::from_ms(1_750_000_000_000);
    let year_ago = now.plus_ms(-YEAR_MS);
    let (app, _recording) = App::start(database, Clock::from_fn(move || now), CACHE_BYTES);

    let floor_plan = app.state.change(&app.clock, |transaction, now| {
        Box::pin(async move {
            let space =
                space::create(transaction, NewSpace { name: "Hall".to_owned(), ..NewSpace::default() }, now)
                    .await?;
            let dpu =
                dpu::create(transaction, NewDpu { serial: "1".to_owned(), ..NewDpu::default() }, now).await?;
            let (dpu_id, space_id) = (dpu.id, space.id);
            let new = NewAssignment {
                dpu_id,
                space_id,
                placement: Placement::Inside,
                doorway: None,
                starts_at: Some(year_ago),
                ends_at: None,
            };
            Ok((space_id, assignment::create(transaction, new, now).await?.id))
        })
    });
    let (space_id, assignment_id) = floor_plan.await?;
    let crossing = |number: i64| {
        let ts = year_ago.plus_ms(YEAR_MS / events * number);
        let direction = if number % 2 == 0 { Direction::Toward } else { Direction::Away };
        Ok(Crossing { serial: "1".to_owned(), ts: ts.into(), direction, seq: 0 }.into())
    };
    for first in (0..events).step_by(usize::try_from(BATCH)?) {
        app.recorder.record((first..events.min(first + BATCH)).map(crossing).collect()).await?;
    }

    let (mut corrections, mut counts) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let starts_at = Some(Some(year_ago.plus_ms(i64::try_from(round)?)));
        let watch = Stopwatch::now();
        let corrected = app.state.change(&app.clock, |transaction, now| {
            let update = AssignmentUpdate { starts_at, ..AssignmentUpdate::default() };
            Box::pin(assignment::update(transaction, assignment_id, update, now))
        });
        corrected.await?;
        corrections.push(watch.elapsed());
        let watch = Stopwatch::now();
        app.counts.count(space_id, now).await?.context("the space is gone")?;
        counts.push(watch.elapsed());
    }
    Ok((median(corrections), median(counts)))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
