//! A watcher of some spaces, or of all.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant as Tick;

use super::Feed;
use super::counts::{SpaceCount, SpaceCounts};

/// Reports the counts of spaces: first the current ones, then each change.
///
/// It stores one count per space and nothing else, no matter how slowly it is read.
#[derive(Debug)]
pub struct Watch {
    feed: Arc<Feed>,
    lane: usize,
    newest: watch::Receiver<Arc<SpaceCounts>>,
    spaces: Option<HashSet<i64>>,
    since: Tick,
    told: BTreeMap<i64, SpaceCount>,
    /// The feed's reading that is being processed, identified by its start, and the spaces already returned from it.
    reading: Option<Tick>,
    returned: HashSet<i64>,
    /// The last reported space. The next one comes after it, so that no space starves behind a busy one.
    last: Option<i64>,
}

impl Watch {
    pub(super) fn new(
        feed: Arc<Feed>,
        lane: usize,
        newest: watch::Receiver<Arc<SpaceCounts>>,
        spaces: Option<Vec<i64>>,
        since: Tick,
    ) -> Self {
        let spaces = spaces.map(HashSet::from_iter);
        let (told, returned) = (BTreeMap::new(), HashSet::new());
        Self { feed, lane, newest, spaces, since, told, reading: None, returned, last: None }
    }

    /// Returns the next space whose count may differ from the last reported one. `None` once the feed is gone.
    pub async fn next(&mut self) -> Option<i64> {
        loop {
            let counts = Arc::clone(&self.newest.borrow_and_update());
            if self.reading != counts.begun {
                self.reading = counts.begun;
                self.returned.clear();
            }
            if counts.begun.is_some_and(|begun| begun >= self.since)
                && let Some(space) = self.difference(&counts)
            {
                self.last = Some(space);
                self.returned.insert(space);
                return Some(space);
            }
            self.newest.changed().await.ok()?;
        }
    }

    pub fn last(&self) -> Option<i64> {
        self.last
    }

    /// Returns whether a space's count must be reported, and if so, records that it is.
    pub fn tell(&mut self, space: i64, count: SpaceCount) -> bool {
        let is_newest = self.newest.borrow().spaces.get(&space) == Some(&count);
        if !is_newest {
            // The reported count is newer than the feed's reading. The next reading must be examined in any case,
            // because it may equal the last one.
            self.feed.expect(self.lane);
        }
        self.told.insert(space, count) != Some(count)
    }

    fn difference(&self, counts: &SpaceCounts) -> Option<i64> {
        let after = self.last.map_or(Unbounded, Excluded);
        let ahead = counts.spaces.range((after, Unbounded));
        let around = ahead.chain(counts.spaces.iter());
        let mut differing = around.filter(|(space, count)| {
            let watched = self.spaces.as_ref().is_none_or(|spaces| spaces.contains(space));
            watched && !self.returned.contains(space) && self.told.get(space) != Some(count)
        });
        differing.next().map(|(space, _)| *space)
    }
}
