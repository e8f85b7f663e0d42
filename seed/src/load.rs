//! Loads a floor plan, then events in large commits; with `--strict`, all of it in one commit.

use std::fmt;
use std::io::{self, Read};

use anyhow::Context;
use api::clock::Clock;
use api::database::{CommitId, Database, Notifier, Partitions};
use api::floor_plan::{ChangeError, FloorPlan, changes};
use api::ingest::csv::CsvRows;
use api::ingest::{Batch, Intake, Outcome, OutcomeCounts, Rejection, record};
use api::tasks::Tasks;
use entity::Instant;
use sea_orm::DatabaseTransaction;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::plan::{Changes, Plan};
use crate::repeats::Repeats;

const COMMIT_ROWS: usize = 20_000;

/// Loads into one database.
pub(crate) struct Loader<'a> {
    database: &'a Database,
    clock: Clock,
    earliest: Instant,
    /// The single transaction of `--strict`, between two steps.
    strict: Option<DatabaseTransaction>,
    all_or_nothing: bool,
    notifier: Notifier,
    partitions: Partitions,
    /// The last commit of this process in the change log.
    logged: CommitId,
}

#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// Number of rows by outcome.
    pub(crate) summary: OutcomeCounts,
}

impl<'a> Loader<'a> {
    pub(crate) fn new(database: &'a Database, clock: Clock, earliest: Instant, all_or_nothing: bool) -> Self {
        let (notifier, partitions) = (Notifier::start(database, &Tasks::default()), Partitions::default());
        let logged = CommitId::new_writer();
        Self { database, clock, earliest, strict: None, all_or_nothing, notifier, partitions, logged }
    }

    /// Applies the plan to the database, completely or not at all.
    pub(crate) async fn apply(&mut self, plan: &Plan) -> anyhow::Result<Changes> {
        let transaction = self.begin().await?;
        let changes = plan.apply(&transaction, self.clock.now()).await?;
        self.commit(transaction).await?;
        Ok(changes)
    }

    /// Loads all valid rows, and passes the line and the reason of each other row to `rejected`.
    ///
    /// The next rows are read while the last ones are written; no other rows are in memory.
    pub(crate) async fn load(
        &mut self,
        rows: CsvRows<impl Read + Send + 'static>,
        keep_repeats: bool,
        mut rejected: impl FnMut(u64, &Rejection) -> io::Result<()>,
    ) -> anyhow::Result<Loaded> {
        let mut loaded = Loaded::default();
        let mut repeats = keep_repeats.then(Repeats::default);
        let (read, mut pieces) = mpsc::channel(1);
        let reading = spawn_blocking(move || read_pieces(rows, &read));
        while let Some(Piece { lines, batch }) = pieces.recv().await {
            for (line, outcome) in lines.into_iter().zip(self.record(batch, repeats.as_mut()).await?) {
                loaded.summary.add(&outcome);
                if let Outcome::Rejected(reason) = outcome {
                    rejected(line, &reason)?;
                }
            }
        }
        reading.await??;
        Ok(loaded)
    }

    /// Commits what is not committed yet, and returns the present floor plan.
    pub(crate) async fn finish(mut self) -> anyhow::Result<FloorPlan> {
        let transaction = self.begin().await?;
        let plan = changes::current(&transaction).await?;
        transaction.commit().await.context("cannot commit")?;
        self.notifier.recorded();
        self.notifier.finish().await;
        Ok(plan)
    }

    async fn record(
        &mut self,
        mut batch: Batch,
        repeats: Option<&mut Repeats>,
    ) -> anyhow::Result<Vec<Outcome>> {
        let transaction = self.begin().await?;
        let plan = changes::current(&transaction).await?;
        if let Some(repeats) = repeats {
            for row in &mut batch {
                repeats.number(&plan, row);
            }
        }
        self.logged = self.logged.next();
        let intake = Intake { id: self.logged, now: self.clock.now(), earliest: self.earliest };
        let recorded = record(&transaction, &self.partitions, &plan, intake, &[batch]).await?;
        self.commit(transaction).await?;
        Ok(recorded.outcomes.into_iter().flatten().collect())
    }

    async fn begin(&mut self) -> Result<DatabaseTransaction, ChangeError> {
        match self.strict.take() {
            Some(transaction) => Ok(transaction),
            None => Ok(self.database.begin().await?),
        }
    }

    /// Ends a step. With `--strict`, the transaction continues in the next step.
    async fn commit(&mut self, transaction: DatabaseTransaction) -> anyhow::Result<()> {
        if self.all_or_nothing {
            self.strict = Some(transaction);
            return Ok(());
        }
        transaction.commit().await.context("cannot commit")?;
        self.notifier.recorded();
        Ok(())
    }
}

struct Piece {
    lines: Vec<u64>,
    batch: Batch,
}

/// Reads all rows, as fast as they are received. Ends early if the receiver is gone.
fn read_pieces(mut rows: CsvRows<impl Read>, read: &mpsc::Sender<Piece>) -> io::Result<()> {
    loop {
        let mut piece = Piece { lines: Vec::new(), batch: Batch::new() };
        for row in rows.by_ref().take(COMMIT_ROWS) {
            let row = row?;
            piece.lines.push(row.line);
            piece.batch.push(row.report);
        }
        if piece.batch.is_empty() || read.blocking_send(piece).is_err() {
            return Ok(());
        }
    }
}

impl Loaded {
    pub(crate) fn rows(&self) -> u64 {
        self.summary.accepted + self.summary.duplicates + self.summary.rejected
    }
}

impl fmt::Display for Loaded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OutcomeCounts { accepted, duplicates, rejected } = self.summary;
        let rows = self.rows();
        write!(
            formatter,
            "{rows} rows read, {accepted} stored, {duplicates} duplicates collapsed, {rejected} rejected"
        )?;
        if accepted == 0 && rejected == 0 { write!(formatter, ": nothing new") } else { Ok(()) }
    }
}
