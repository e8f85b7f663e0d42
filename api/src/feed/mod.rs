//! The feed: what the counts are now, told to whoever watches. It reads and never writes.
//!
//! Whatever is committed moves the [`State`] on, which the feed waits for.
//! While somebody watches, one task, the hub, reads the counts of all spaces together and publishes them
//! as one immutable [`Counts`], to those who watch a space whose count has changed; the statements are the same for one
//! watcher and for thousands. A watcher compares the newest counts with what it told last and tells only what differs ([`Watch`]). So what a
//! slow client has missed is never kept: it gets the newest value when it is ready for one.

mod counts;
mod watch;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use counts::{Count, Counts};
use tokio::sync::{Notify, watch as channel};
use tokio::time::Instant as Tick;
pub use watch::Watch;

use crate::app::App;
use crate::state::State;
use crate::timelines::Version;

/// How long the hub rests between two readings: changes that come meanwhile are told together.
const REST: Duration = Duration::from_millis(50);
/// How long the hub waits for a change before it looks by itself. Counts also change as time passes, and
/// by what other processes commit.
const LOOK: Duration = Duration::from_secs(1);

/// The number of lanes for those who watch one space, and of those for all others. Those of a lane are told at once, and
/// then other tasks go first: thousands who watch keep nobody waiting.
const LANES: usize = 128;

/// Where changes are announced, and counts are watched.
#[derive(Debug)]
pub struct Feed {
    /// The newest version of the state.
    versions: channel::Receiver<Version>,
    /// Somebody waits for the next reading.
    expected: Notify,
    /// Where the newest counts are published: first the lanes of single spaces, by their ids, and then those of all others.
    lanes: Box<[channel::Sender<Arc<Counts>>]>,
    next_lane: AtomicUsize,
    /// The lanes in which somebody waits for the next reading, whatever it finds.
    expecting: Mutex<BTreeSet<usize>>,
    /// Whether the hub runs; held while somebody begins to watch, and while the hub looks whether anybody does.
    running: Mutex<bool>,
    stopping: channel::Sender<bool>,
}

impl Feed {
    /// Returns a feed that nobody watches yet.
    pub fn new(state: &State) -> Self {
        Self {
            versions: state.versions(),
            expected: Notify::new(),
            lanes: (0..2 * LANES).map(|_| channel::Sender::new(Arc::new(Counts::none()))).collect(),
            next_lane: AtomicUsize::new(0),
            expecting: Mutex::default(),
            running: Mutex::new(false),
            stopping: channel::Sender::new(false),
        }
    }

    /// Begins to watch spaces; `None`: all that there are, and those that will be.
    pub fn watch(app: &Arc<App>, spaces: Option<Vec<i64>>) -> Watch {
        let feed = app.feed();
        let mut running = feed.running.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = match spaces.as_deref() {
            Some([space]) => lane_of(*space),
            _ => LANES + feed.next_lane.fetch_add(1, Ordering::Relaxed) % LANES,
        };
        let newest = feed.lanes[lane].subscribe();
        if !*running {
            *running = true;
            app.tasks.spawn("live counts", hub(Arc::clone(app)));
        }
        drop(running);
        // What is told first must have been read after this.
        let since = Tick::now();
        feed.expect(lane);
        Watch::new(Arc::clone(feed), lane, newest, spaces, since)
    }

    /// Returns how many watch.
    pub fn watchers(&self) -> usize {
        self.lanes.iter().map(channel::Sender::receiver_count).sum()
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

    /// Publishes the next reading in a lane, whatever it finds.
    fn expect(&self, lane: usize) {
        self.expecting().insert(lane);
        self.expected.notify_one();
    }

    fn expecting(&self) -> MutexGuard<'_, BTreeSet<usize>> {
        self.expecting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes counts to those who wait for a reading, and to those who watch a space that has another count than before.
    async fn publish(&self, counts: Arc<Counts>, before: Option<&Counts>, expecting: BTreeSet<usize>) {
        let changed = counts.changed_since(before);
        let mut lanes = expecting;
        if !changed.is_empty() {
            lanes.extend(LANES..2 * LANES);
        }
        lanes.extend(changed.into_iter().map(lane_of));
        for lane in lanes {
            if self.lanes[lane].receiver_count() > 0 {
                self.lanes[lane].send_replace(Arc::clone(&counts));
                tokio::task::yield_now().await;
            }
        }
    }

    /// Returns whether the hub has nothing to do; if so it counts as ended.
    fn ends(&self) -> bool {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        *running = self.watchers() > 0;
        !*running
    }
}

/// Returns the lane of those who watch this space alone.
fn lane_of(space: i64) -> usize {
    usize::try_from(space.unsigned_abs() % LANES as u64).unwrap_or_default()
}

/// Publishes the newest counts until nobody watches.
async fn hub(app: Arc<App>) {
    let feed = app.feed();
    let mut versions = feed.versions.clone();
    let mut before: Option<Arc<Counts>> = None;
    while !feed.ends() {
        // What comes from here on is not in the counts that are read now.
        versions.borrow_and_update();
        let expecting = std::mem::take(&mut *feed.expecting());
        match Counts::read(&app).await {
            Ok(counts) => {
                let counts = Arc::new(counts);
                feed.publish(Arc::clone(&counts), before.as_deref(), expecting).await;
                before = Some(counts);
            }
            Err(error) => {
                tracing::error!(%error, "the counts could not be read for those who watch");
                feed.expecting().extend(expecting);
            }
        }
        tokio::time::sleep(REST).await;
        tokio::select! {
            // The state lives as long as the app.
            _ = versions.changed() => {}
            () = feed.expected.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
            () = feed.stopped() => {}
        }
    }
}
