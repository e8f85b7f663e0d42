//! Coherence: how what a process keeps in memory stays true while others write to the same database.
//!
//! A process patches its memory by what it commits itself. Of what others commit it hears by news:
//!
//! - On PostgreSQL whoever records events tells whose, by `NOTIFY`, after the commit and together with others
//!   ([`Teller`]); a change of the floor plan or of a token tells of itself, by a trigger. A listener (`postgres`)
//!   forgets what the news is about.
//! - On SQLite the file knows that somebody else has written, and is asked (`sqlite`) again and again.
//!
//! A process that cannot hear, or does not know yet that it can, forgets before each use: it is slow then,
//! and right all the same.

mod news;
mod postgres;
mod sqlite;
mod teller;

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use news::Node;
pub use teller::Teller;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::auth::Tokens;
use crate::database::Database;
use crate::feed::Feed;
use crate::floor_plan::FloorPlans;
use crate::readiness::Readiness;
use crate::timelines::Timelines;

/// What is kept in memory of the database.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The floor plan.
    pub floor_plans: Arc<FloorPlans>,
    /// The timelines.
    pub timelines: Arc<Timelines>,
    /// Who watches what both say.
    pub feed: Arc<Feed>,
    /// The tokens.
    pub tokens: Arc<Tokens>,
}

/// Hears what other processes write, for as long as it lives.
#[derive(Debug)]
pub struct Coherence {
    hears: Arc<AtomicBool>,
    opened: watch::Receiver<bool>,
    listening: AbortHandle,
}

impl Coherence {
    /// Begins to listen. `this` is how this process calls itself when it tells of its own commits.
    pub fn start(database: &Database, kept: Kept, this: Node) -> Self {
        let hears = Arc::new(AtomicBool::new(false));
        let (opening, opened) = watch::channel(false);
        let ear = Ear { kept, hears: Arc::clone(&hears), opened: opening };
        let listening = if let Some(pool) = database.postgres() {
            tokio::spawn(postgres::listen(pool.clone(), ear, this))
        } else {
            tokio::spawn(sqlite::look(database.clone(), ear))
        };
        Self { hears, opened, listening: listening.abort_handle() }
    }

    /// Resolves when news come.
    pub async fn begins(&self) {
        // The sender lives as long as this, so waiting for it cannot fail.
        self.opened.clone().wait_for(|opened| *opened).await.ok();
    }

    /// Adds the check whether news come.
    pub fn add_check(&self, readiness: &Readiness) {
        let hears = Arc::clone(&self.hears);
        readiness.add("coherence", move || {
            let news_come = hears.load(Ordering::SeqCst);
            ready(if news_come { Ok(()) } else { Err("news of other processes do not come".to_owned()) })
        });
    }

    /// Whether news come. While they do not, nothing in memory may be trusted.
    pub fn hears(&self) -> bool {
        self.hears.load(Ordering::SeqCst)
    }
}

impl Drop for Coherence {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Where news go.
struct Ear {
    kept: Kept,
    hears: Arc<AtomicBool>,
    opened: watch::Sender<bool>,
}

impl Ear {
    /// From now on news come: what came before was missed.
    fn open(&self) {
        self.forget_all();
        self.hears.store(true, Ordering::SeqCst);
        self.opened.send_replace(true);
    }

    /// News do not come any more.
    fn close(&self) {
        self.hears.store(false, Ordering::SeqCst);
        self.opened.send_replace(false);
        self.forget_all();
    }

    fn forget_all(&self) {
        self.kept.tokens.forget();
        self.kept.floor_plans.forget();
        self.forget_timelines();
    }

    fn forget_timelines(&self) {
        self.kept.timelines.forget_all();
        self.kept.feed.changed();
    }
}
