//! The state that a request is answered from, as its client may see it, with batched reads.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_graphql::dataloader::{DataLoader, Loader};
use entity::{Instant, event};
use futures::channel::mpsc::UnboundedSender;
use futures::future::{BoxFuture, FutureExt};
use tracing::Instrument;

use super::error::{Fault, Result};
use super::moves::Moves;
use crate::auth::Access;
use crate::counts::{self, ReadError, SpaceHistory, Work};
use crate::floor_plan::FloorPlan;
use crate::telemetry;
use crate::timelines::{EventPage, EventRange};
use counting::{Account, Bucket, Crossings, Reading, Stretch};

/// One state, with the part of its floor plan that the client may see.
///
/// Data that is not in memory is read through a [`DataLoader`], together with the data for all other resolvers of the
/// request.
pub(in crate::http::graphql) struct ClientView {
    counts: Arc<counts::View>,
    plan: Arc<FloorPlan>,
    loads: UnboundedSender<BoxFuture<'static, ()>>,
    moves: Arc<Moves>,
    loader: OnceLock<DataLoader<Reads>>,
}

impl ClientView {
    /// Creates a view of a state for a client. Loads of resolvers are sent to `loads`. `moves` records whether a load
    /// found that the state has changed.
    pub(in crate::http::graphql) fn new(
        counts: counts::View,
        access: &Access,
        loads: UnboundedSender<BoxFuture<'static, ()>>,
        moves: Arc<Moves>,
    ) -> Self {
        let plan = access.view(counts.plan());
        Self { counts: Arc::new(counts), plan, loads, moves, loader: OnceLock::new() }
    }

    pub(in crate::http::graphql) fn plan(&self) -> &Arc<FloorPlan> {
        &self.plan
    }

    /// Charges the request's budget for going through a list of `names` entries.
    pub(in crate::http::graphql) fn look_at_names(&self, names: usize) -> Result<()> {
        let work = Work { names: names as u64, ..Work::default() };
        self.counts.budget().spend(work).map_err(|too_much| Fault::TooMuch(too_much.to_string()))
    }

    pub(in crate::http::graphql) async fn net(&self, account: Account<'_>) -> Result<i64> {
        if let Some(net) = self.counts.net_in_memory(&account) {
            return Ok(net);
        }
        let odometers = self.odometers(account.readings()).await?;
        Ok(account.net(|reading| odometers[&reading]))
    }

    pub(in crate::http::graphql) async fn odometers(
        &self,
        readings: impl Iterator<Item = Reading>,
    ) -> Result<HashMap<Reading, Crossings>> {
        let (mut shown, mut missing) = (HashMap::new(), Vec::new());
        for reading in readings {
            match self.counts.odometer(reading) {
                Some(crossings) => drop(shown.insert(reading, crossings)),
                None => missing.push(reading),
            }
        }
        if !missing.is_empty() {
            shown.extend(self.read(self.loader().load_many(missing).await)?);
        }
        Ok(shown)
    }

    pub(in crate::http::graphql) async fn history(
        &self,
        space: i64,
        edges: Vec<Instant>,
    ) -> Result<Vec<Bucket>> {
        let found = self.read(self.loader().load_one(HistoryOf { space, edges }).await)?;
        Ok(found.unwrap_or_default())
    }

    /// Returns the latest event of all these stretches.
    pub(in crate::http::graphql) async fn last_event(
        &self,
        stretches: impl Iterator<Item = Stretch>,
    ) -> Result<Option<event::Model>> {
        let found = self.read(self.loader().load_many(stretches.map(LastOf)).await)?;
        Ok(found.into_values().max_by_key(|event| (event.ts, event.created)))
    }

    /// Returns the events of all these pages, in no particular order.
    pub(in crate::http::graphql) async fn events(
        &self,
        pages: impl Iterator<Item = EventPage>,
    ) -> Result<Vec<event::Model>> {
        let found = self.read(self.loader().load_many(pages).await)?;
        Ok(found.into_values().flatten().collect())
    }

    pub(in crate::http::graphql) async fn event_count(
        &self,
        ranges: impl Iterator<Item = EventRange>,
    ) -> Result<i64> {
        let found = self.read(self.loader().load_many(ranges).await)?;
        Ok(found.into_values().sum())
    }

    /// Returns the loader. It reads from the database in one batch what resolvers have requested when none can go on.
    fn loader(&self) -> &DataLoader<Reads> {
        self.loader.get_or_init(|| {
            let loads = self.loads.clone();
            let spawn = move |load: BoxFuture<'static, ()>| {
                let load = load.instrument(tracing::info_span!(target: telemetry::SPANS, "load"));
                loads.unbounded_send(load.boxed()).ok();
            };
            DataLoader::new(Reads(Arc::clone(&self.counts)), spawn).delay(Duration::ZERO)
        })
    }

    fn read<T>(&self, read: std::result::Result<T, Arc<ReadError>>) -> Result<T> {
        read.map_err(|error| {
            if matches!(*error, ReadError::Moved) {
                self.moves.moved(self.counts.is_long());
            }
            Fault::from(error)
        })
    }
}

/// Reads for [`DataLoader`]: all keys of one kind are read together.
struct Reads(Arc<counts::View>);

/// Key for the last event of a stretch, as opposed to all its crossings.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct LastOf(Stretch);

/// Key for the history of a space in the buckets between the edges.
#[derive(Clone, PartialEq, Eq, Hash)]
struct HistoryOf {
    space: i64,
    edges: Vec<Instant>,
}

type Loaded<K, V> = std::result::Result<HashMap<K, V>, Arc<ReadError>>;

impl Loader<Reading> for Reads {
    type Value = Crossings;
    type Error = Arc<ReadError>;

    async fn load(&self, readings: &[Reading]) -> Loaded<Reading, Crossings> {
        Ok(self.0.odometers(readings).await?)
    }
}

impl Loader<HistoryOf> for Reads {
    type Value = Vec<Bucket>;
    type Error = Arc<ReadError>;

    async fn load(&self, histories: &[HistoryOf]) -> Loaded<HistoryOf, Vec<Bucket>> {
        let asked = |history: &HistoryOf| {
            let space = Arc::clone(self.0.plan().space(history.space)?);
            Some((history.clone(), SpaceHistory { space, edges: history.edges.clone() }))
        };
        let (keys, asked): (Vec<_>, Vec<_>) = histories.iter().filter_map(asked).unzip();
        Ok(keys.into_iter().zip(self.0.histories(asked).await?).collect())
    }
}

impl Loader<LastOf> for Reads {
    type Value = event::Model;
    type Error = Arc<ReadError>;

    async fn load(&self, stretches: &[LastOf]) -> Loaded<LastOf, event::Model> {
        let stretches: Vec<_> = stretches.iter().map(|last| last.0).collect();
        let events = self.0.last_events(&stretches).await?;
        Ok(events.into_iter().map(|(stretch, event)| (LastOf(stretch), event)).collect())
    }
}

impl Loader<EventPage> for Reads {
    type Value = Vec<event::Model>;
    type Error = Arc<ReadError>;

    async fn load(&self, pages: &[EventPage]) -> Loaded<EventPage, Vec<event::Model>> {
        Ok(self.0.event_pages(pages).await?)
    }
}

impl Loader<EventRange> for Reads {
    type Value = i64;
    type Error = Arc<ReadError>;

    async fn load(&self, ranges: &[EventRange]) -> Loaded<EventRange, i64> {
        Ok(self.0.event_counts(ranges).await?)
    }
}
