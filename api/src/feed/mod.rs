//! The feed: what the counts are now, told to whoever watches. It reads and never writes.
//!
//! Whoever commits something says so ([`Feed::changed`]), which costs next to nothing and never waits.
//! While somebody watches, one task, the hub, reads the counts of all spaces together and publishes them
//! as one immutable [`Counts`]; the statements are the same for one watcher and for thousands. A watcher
//! compares the newest counts with what it told last and tells only what differs ([`Watch`]). So what a
//! slow client has missed is never kept: it gets the newest value when it is ready for one.

mod counts;
mod watch;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use counts::{Count, Counts};
use tokio::sync::{Notify, watch as channel};
use tokio::time::Instant as Tick;
pub use watch::Watch;

use crate::app::App;

/// How long the hub rests between two readings: changes that come meanwhile are told together.
const REST: Duration = Duration::from_millis(50);
/// How long the hub waits for a change before it looks by itself. Counts also change as time passes, and
/// by what other processes commit.
const LOOK: Duration = Duration::from_secs(1);

/// Where changes are announced, and counts are watched.
#[derive(Debug)]
pub struct Feed {
    changed: Notify,
    newest: channel::Sender<Arc<Counts>>,
    /// Whether the hub runs; held while somebody begins to watch, and while the hub looks whether anybody does.
    running: Mutex<bool>,
    stopping: channel::Sender<bool>,
}

impl Feed {
    /// A feed that nobody watches yet.
    pub fn new() -> Self {
        Self {
            changed: Notify::new(),
            newest: channel::Sender::new(Arc::new(Counts::none())),
            running: Mutex::new(false),
            stopping: channel::Sender::new(false),
        }
    }

    /// Says that something was committed that may change a count.
    pub fn changed(&self) {
        self.changed.notify_one();
    }

    /// Begins to watch spaces; `None`: all that there are, and those that will be.
    pub fn watch(app: &Arc<App>, spaces: Option<Vec<i64>>) -> Watch {
        let feed = app.feed();
        let mut running = feed.running.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = feed.newest.subscribe();
        if !*running {
            *running = true;
            tokio::spawn(hub(Arc::clone(app)));
        }
        drop(running);
        // What is told first must have been read after this.
        let since = Tick::now();
        feed.changed();
        Watch::new(newest, spaces, since)
    }

    /// How many watch.
    pub fn watchers(&self) -> usize {
        self.newest.receiver_count()
    }

    /// Tells whoever holds a connection open to end it.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Resolves when [`stop`](Self::stop) was called.
    pub async fn stopped(&self) {
        // The sender lives as long as the feed, so waiting for it cannot fail.
        self.stopping.subscribe().wait_for(|stopping| *stopping).await.ok();
    }

    /// Whether the hub has nothing to do; if so it counts as ended.
    fn ends(&self) -> bool {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        *running = self.newest.receiver_count() > 0;
        !*running
    }
}

impl Default for Feed {
    fn default() -> Self {
        Self::new()
    }
}

/// Publishes the newest counts until nobody watches.
async fn hub(app: Arc<App>) {
    let feed = app.feed();
    while !feed.ends() {
        match Counts::read(&app).await {
            Ok(counts) => {
                feed.newest.send_replace(Arc::new(counts));
            }
            Err(error) => tracing::error!(%error, "the counts could not be read for those who watch"),
        }
        tokio::time::sleep(REST).await;
        tokio::select! {
            () = feed.changed.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
            () = feed.newest.closed() => {}
        }
    }
}
