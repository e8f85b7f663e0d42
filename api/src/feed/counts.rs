//! The counts of all spaces at one instant.

use std::collections::BTreeMap;
use std::sync::Arc;

use entity::Instant;
use tokio::time::Instant as Tick;

use crate::app::App;
use crate::counts::{ReadError, View};
use crate::floor_plan::FloorPlan;

/// How many people are in each space, as one reading found it.
#[derive(Debug)]
pub struct Counts {
    /// When the reading began, for telling what it can have seen.
    pub(super) begun: Option<Tick>,
    /// The instant that was counted at.
    pub ts: Instant,
    /// The floor plan that was counted by.
    pub plan: Arc<FloorPlan>,
    /// By the spaces' ids.
    pub(super) spaces: BTreeMap<i64, Count>,
}

/// How many people are in a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// As the space wants it answered.
    pub count: i64,
    /// The signed figure.
    pub net: i64,
}

impl Counts {
    /// No counts, read before anybody asked.
    pub(super) fn none() -> Self {
        Self { begun: None, ts: Instant::MIN, plan: Arc::default(), spaces: BTreeMap::new() }
    }

    /// Returns the spaces that have another count than in an earlier reading, or are new.
    pub(super) fn changed_since(&self, before: Option<&Self>) -> Vec<i64> {
        let known = |space: &i64| before.and_then(|before| before.spaces.get(space));
        let changed = self.spaces.iter().filter(|(space, count)| known(space) != Some(*count));
        changed.map(|(space, _)| *space).collect()
    }

    /// Reads them all together, as of one state.
    pub(super) async fn read(app: &App) -> Result<Self, ReadError> {
        app.counts
            .watch(|view: Arc<View>| async move {
                let begun = Some(Tick::now());
                let (plan, ts) = (Arc::clone(view.plan()), app.clock.now());
                let accounts: Vec<_> =
                    plan.spaces().values().map(|space| (space, space.account(ts))).collect();
                let readings: Vec<_> = accounts.iter().flat_map(|(_, account)| account.readings()).collect();
                let odometers = view.odometers(&readings).await?;
                let spaces = accounts.iter().map(|(space, account)| {
                    let net = account.net(|reading| odometers[&reading]);
                    (space.row.id, Count { count: space.answer(net), net })
                });
                let spaces = spaces.collect();
                Ok(Self { begun, ts, plan: Arc::clone(&plan), spaces })
            })
            .await
    }
}
