//! Raw inserts into PostgreSQL: the baseline of bulk loads in `bench/compare`.
//!
//! `unnest URL FILE` inserts a CSV of events as arrays into the table `event`, which must exist, be empty and have
//! its partitions. It maintains no tallies and reports nothing about rows. Rows are sorted by key within a commit, as
//! a load sorts them. Only the inserts are timed. It prints the number of rows and the seconds.

use std::collections::HashMap;
use std::io::{Write, stdout};
use std::time::Instant as Stopwatch;

use anyhow::Context;
use entity::Instant;
use sqlx::{Connection, PgConnection};

/// Number of rows in a commit, as in the seed binary.
const COMMIT_ROWS: usize = 20_000;
const INSERT: &str = "INSERT INTO event (dpu_id, ts, direction, seq, created) \
    SELECT dpu_id, ts, direction, 0, $4 FROM UNNEST($1::bigint[], $2::bigint[], $3::smallint[]) \
    AS sent (dpu_id, ts, direction) ON CONFLICT DO NOTHING";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (url, file) = arguments.next().zip(arguments.next()).context("name a URL and a FILE")?;
    let mut connection = PgConnection::connect(&url).await?;
    let dpus: HashMap<String, i64> =
        sqlx::query_as("SELECT serial, id FROM dpu").fetch_all(&mut connection).await?.into_iter().collect();

    let mut rows = Vec::new();
    for row in csv::Reader::from_path(file)?.deserialize() {
        let (ts, direction, serial): (String, i16, String) = row?;
        rows.push((*dpus.get(&serial).context("a DPU is unknown")?, ts.parse::<Instant>()?.ms(), direction));
    }

    let watch = Stopwatch::now();
    for chunk in rows.chunks_mut(COMMIT_ROWS) {
        chunk.sort_unstable();
        let (mut dpu_ids, mut instants, mut directions) = (Vec::new(), Vec::new(), Vec::new());
        for (dpu_id, ts, direction) in chunk {
            dpu_ids.push(*dpu_id);
            instants.push(*ts);
            directions.push(*direction);
        }
        let insert = sqlx::query(INSERT).bind(dpu_ids).bind(instants).bind(directions).bind(0_i64);
        // A single statement is a transaction of its own.
        insert.execute(&mut connection).await?;
    }
    writeln!(stdout(), "{} {}", rows.len(), watch.elapsed().as_secs_f64())?;
    Ok(())
}
