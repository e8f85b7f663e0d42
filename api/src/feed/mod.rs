//! Live counts for subscribers. Read-only.
//!
//! The feed waits for the [`State`](crate::state::State) to advance. While there are watchers, one task, the hub, reads
//! the counts of all spaces together and publishes them as one immutable [`SpaceCounts`] to the watchers of spaces whose
//! count has changed. The number of statements does not depend on the number of watchers. A watcher compares the newest
//! counts with what it sent last, and sends only differences ([`Watch`]). Nothing is queued for a slow client: it gets
//! the newest value when it is ready for one.

mod counts;
mod watch;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use counts::{SpaceCount, SpaceCounts};
use tokio::sync::{Notify, watch as channel};
use tokio::time::Instant as Tick;
pub use watch::Watch;

use crate::clock::Clock;
use crate::counts::Counts as Reader;
use crate::tasks::{self, Tasks};
use crate::timelines::Version;

/// Pause between two readings: changes in the meantime are reported together.
const REST: Duration = Duration::from_millis(50);
/// Maximum time to wait for a change before reading anyway. Counts also change as time passes, and
/// by commits of other processes.
const LOOK: Duration = Duration::from_secs(1);

/// Number of lanes for watchers of a single space, and of lanes for all others. The watchers of a lane are notified
/// together, and then other tasks run: thousands of watchers block nothing.
const LANES: usize = 128;

/// Publishes counts to watchers.
#[derive(Debug)]
pub struct Feed {
    reader: Reader,
    clock: Clock,
    tasks: Tasks,
    versions: channel::Receiver<Version>,
    /// Signals that a watcher waits for the next reading.
    expected: Notify,
    /// The newest counts: first the lanes of single spaces, by their ids, then those of all others.
    lanes: Box<[channel::Sender<Arc<SpaceCounts>>]>,
    next_lane: AtomicUsize,
    /// The lanes that receive the next reading even if nothing has changed.
    expecting: Mutex<BTreeSet<usize>>,
    /// Whether the hub runs. Held while a watcher is added, and while the hub checks for watchers.
    running: Mutex<bool>,
    stopping: channel::Sender<bool>,
}

impl Feed {
    pub fn new(reader: Reader, clock: Clock, tasks: Tasks) -> Self {
        Self {
            versions: reader.versions(),
            reader,
            clock,
            tasks,
            expected: Notify::new(),
            lanes: (0..2 * LANES).map(|_| channel::Sender::new(Arc::new(SpaceCounts::none()))).collect(),
            next_lane: AtomicUsize::new(0),
            expecting: Mutex::default(),
            running: Mutex::new(false),
            stopping: channel::Sender::new(false),
        }
    }

    /// `None`: all current and future spaces.
    pub fn watch(self: &Arc<Self>, spaces: Option<Vec<i64>>) -> Watch {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = match spaces.as_deref() {
            Some([space]) => lane_of(*space),
            _ => LANES + self.next_lane.fetch_add(1, Ordering::Relaxed) % LANES,
        };
        let newest = self.lanes[lane].subscribe();
        if !*running {
            *running = true;
            self.tasks.spawn("live counts", hub(Arc::clone(self)));
        }
        drop(running);
        // The first counts that are sent must have been read after this.
        let since = Tick::now();
        self.expect(lane);
        Watch::new(Arc::clone(self), lane, newest, spaces, since)
    }

    pub fn watchers(&self) -> usize {
        self.lanes.iter().map(channel::Sender::receiver_count).sum()
    }

    /// Tells all holders of open connections to close them.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    pub async fn stopped(&self) {
        // The sender lives as long as the feed, so waiting cannot fail.
        self.stopping.subscribe().wait_for(|stopping| *stopping).await.ok();
    }

    /// Publishes the next reading in a lane, even if nothing has changed.
    fn expect(&self, lane: usize) {
        self.expecting().insert(lane);
        self.expected.notify_one();
    }

    fn expecting(&self) -> MutexGuard<'_, BTreeSet<usize>> {
        self.expecting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes counts to lanes that wait for a reading, and to watchers of spaces whose count has changed.
    async fn publish(
        &self,
        counts: Arc<SpaceCounts>,
        before: Option<&SpaceCounts>,
        expecting: BTreeSet<usize>,
    ) {
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

    /// Returns whether the hub has nothing to do. If so, it counts as ended.
    fn ends(&self) -> bool {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        *running = self.watchers() > 0;
        !*running
    }
}

fn lane_of(space: i64) -> usize {
    usize::try_from(space.unsigned_abs() % LANES as u64).unwrap_or_default()
}

/// Publishes the newest counts as long as there are watchers.
async fn hub(feed: Arc<Feed>) {
    let mut versions = feed.versions.clone();
    let mut before: Option<Arc<SpaceCounts>> = None;
    while !feed.ends() {
        // Changes from here on are not in the counts that are read now.
        versions.borrow_and_update();
        let expecting = std::mem::take(&mut *feed.expecting());
        match SpaceCounts::read(&feed.reader, &feed.clock).await {
            Ok(counts) => {
                let counts = Arc::new(counts);
                feed.publish(Arc::clone(&counts), before.as_deref(), expecting).await;
                before = Some(counts);
            }
            Err(error) => {
                tracing::error!(%error, "cannot read the counts for live updates");
                feed.expecting().extend(expecting);
            }
        }
        tasks::ran();
        tokio::time::sleep(REST).await;
        tokio::select! {
            // The state lives as long as the feed.
            _ = versions.changed() => {}
            () = feed.expected.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
            () = feed.stopped() => {}
        }
    }
}
