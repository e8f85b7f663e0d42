//! One watcher of some spaces, or of all.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant as Tick;

use super::counts::{Count, Counts};

/// Tells the counts of spaces: first what they are, and then each that has changed.
///
/// It remembers one count a space and nothing else, however long nobody asks it.
#[derive(Debug)]
pub struct Watch {
    newest: watch::Receiver<Arc<Counts>>,
    spaces: Option<HashSet<i64>>,
    since: Tick,
    told: BTreeMap<i64, Count>,
    /// The space that was told of last: the next one comes after it, so that none waits for ever behind a busy one.
    last: Option<i64>,
}

impl Watch {
    pub(super) fn new(newest: watch::Receiver<Arc<Counts>>, spaces: Option<Vec<i64>>, since: Tick) -> Self {
        let spaces = spaces.map(HashSet::from_iter);
        Self { newest, spaces, since, told: BTreeMap::new(), last: None }
    }

    /// The next space whose count is not what was told of it last, with the counts that say so. `None` once
    /// there is no feed any more.
    pub async fn next(&mut self) -> Option<(i64, Count, Arc<Counts>)> {
        loop {
            let counts = Arc::clone(&self.newest.borrow_and_update());
            if counts.begun.is_some_and(|begun| begun >= self.since)
                && let Some((space, count)) = self.difference(&counts)
            {
                self.told.insert(space, count);
                self.last = Some(space);
                return Some((space, count, counts));
            }
            self.newest.changed().await.ok()?;
        }
    }

    fn difference(&self, counts: &Counts) -> Option<(i64, Count)> {
        let after = self.last.map_or(Unbounded, Excluded);
        let ahead = counts.spaces.range((after, Unbounded));
        let around = ahead.chain(counts.spaces.iter());
        let mut differing = around.filter(|(space, count)| {
            let watched = self.spaces.as_ref().is_none_or(|spaces| spaces.contains(space));
            watched && self.told.get(space) != Some(count)
        });
        differing.next().map(|(space, count)| (*space, *count))
    }
}
