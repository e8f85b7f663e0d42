//! The counts of all spaces at one instant.

use std::collections::BTreeMap;
use std::sync::Arc;

use entity::Instant;
use tokio::time::Instant as Tick;

use crate::clock::Clock;
use crate::counts::{Counts as Reader, ReadError, View};
use crate::floor_plan::FloorPlan;

/// The number of people in each space, from one reading.
#[derive(Debug)]
pub struct SpaceCounts {
    /// When the reading began, which limits what it can have seen.
    pub(super) begun: Option<Tick>,
    pub ts: Instant,
    pub plan: Arc<FloorPlan>,
    /// The counts, by space id.
    pub(super) spaces: BTreeMap<i64, SpaceCount>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpaceCount {
    /// The reported count, clamped as the space is set up.
    pub count: i64,
    /// The signed count.
    pub net: i64,
}

impl SpaceCounts {
    /// Returns an empty reading, from before the first one.
    pub(super) fn none() -> Self {
        Self { begun: None, ts: Instant::MIN, plan: Arc::default(), spaces: BTreeMap::new() }
    }

    /// Returns the spaces whose count differs from an earlier reading, or that are new.
    pub(super) fn changed_since(&self, before: Option<&Self>) -> Vec<i64> {
        let known = |space: &i64| before.and_then(|before| before.spaces.get(space));
        let changed = self.spaces.iter().filter(|(space, count)| known(space) != Some(*count));
        changed.map(|(space, _)| *space).collect()
    }

    /// Reads the counts of all spaces, as of one state.
    pub(super) async fn read(reader: &Reader, clock: &Clock) -> Result<Self, ReadError> {
        reader
            .watch(|view: Arc<View>| async move {
                let begun = Some(Tick::now());
                let (plan, ts) = (Arc::clone(view.plan()), clock.now());
                let accounts: Vec<_> =
                    plan.spaces().values().map(|space| (space, space.account(ts))).collect();
                let readings: Vec<_> = accounts.iter().flat_map(|(_, account)| account.readings()).collect();
                let odometers = view.odometers(&readings).await?;
                let spaces = accounts.iter().map(|(space, account)| {
                    let net = account.net(|reading| odometers[&reading]);
                    (space.row.id, SpaceCount { count: space.answer(net), net })
                });
                let spaces = spaces.collect();
                Ok(Self { begun, ts, plan: Arc::clone(&plan), spaces })
            })
            .await
    }
}
