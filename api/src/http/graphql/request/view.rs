//! The state that a request is answered from, as its client may see it, with batched reads.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_graphql::dataloader::{DataLoader, Loader};
use entity::{Instant, event, interval, reading, void};
use futures::channel::mpsc::UnboundedSender;
use futures::future::{BoxFuture, FutureExt};
use tracing::Instrument;

use super::error::{Fault, Result};
use super::moves::Moves;
use crate::auth::Access;
use crate::counts::{self, CoveredPart, ReadError, ReportCounts, ReportPage, SpaceHistory, Work};
use crate::floor_plan::FloorPlan;
use crate::telemetry;
use crate::timelines::{EventPage, EventRange};
use counting::{Account, Bucket, Crossings, Interval, Reading, Stretch};

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

    /// Returns the intervals that are open at the readings: by then, some of their people may have crossed, and others
    /// not yet.
    pub(in crate::http::graphql) async fn open_intervals(
        &self,
        readings: impl Iterator<Item = Reading>,
    ) -> Result<HashMap<Reading, Interval>> {
        let asked: Vec<_> =
            readings.filter(|reading| self.counts.may_be_open(*reading)).map(OpenAt).collect();
        if asked.is_empty() {
            return Ok(HashMap::new());
        }
        let found = self.read(self.loader().load_many(asked).await)?;
        Ok(found.into_iter().map(|(OpenAt(reading), interval)| (reading, interval)).collect())
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

    /// Returns the intervals of all these pages, in no particular order.
    pub(in crate::http::graphql) async fn intervals(
        &self,
        pages: impl Iterator<Item = ReportPage>,
    ) -> Result<Vec<interval::Model>> {
        let found = self.read(self.loader().load_many(pages.map(IntervalsOf)).await)?;
        Ok(found.into_values().flatten().collect())
    }

    /// Returns the readings of all these pages, in no particular order.
    pub(in crate::http::graphql) async fn readings(
        &self,
        pages: impl Iterator<Item = ReportPage>,
    ) -> Result<Vec<reading::Model>> {
        let found = self.read(self.loader().load_many(pages.map(ReadingsOf)).await)?;
        Ok(found.into_values().flatten().collect())
    }

    pub(in crate::http::graphql) async fn void(&self, id: i64) -> Result<Option<void::Model>> {
        self.read(self.loader().load_one(VoidOf(id)).await)
    }

    /// Returns how many milliseconds of all these parts are covered by reports.
    pub(in crate::http::graphql) async fn covered_ms(
        &self,
        parts: impl Iterator<Item = CoveredPart>,
    ) -> Result<i64> {
        let found = self.read(self.loader().load_many(parts).await)?;
        Ok(found.into_values().sum())
    }

    /// Counts what a DPU reported in `[since, until)`.
    pub(in crate::http::graphql) async fn report_counts(
        &self,
        dpu: i64,
        since: Instant,
        until: Instant,
    ) -> Result<ReportCounts> {
        let found = self.read(self.loader().load_one(CountsOf { dpu, since, until }).await)?;
        Ok(found.unwrap_or_default())
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

/// Key for the interval that is open at a reading, as opposed to the reading itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct OpenAt(Reading);

/// Key for the last event of a stretch, as opposed to all its crossings.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct LastOf(Stretch);

/// Key for the history of a space in the buckets between the edges.
#[derive(Clone, PartialEq, Eq, Hash)]
struct HistoryOf {
    space: i64,
    edges: Vec<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct IntervalsOf(ReportPage);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct ReadingsOf(ReportPage);

/// Key for the void with this id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct VoidOf(i64);

/// Key for the number of reports of a DPU in `[since, until)`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct CountsOf {
    dpu: i64,
    since: Instant,
    until: Instant,
}

type Loaded<K, V> = std::result::Result<HashMap<K, V>, Arc<ReadError>>;

impl Loader<Reading> for Reads {
    type Value = Crossings;
    type Error = Arc<ReadError>;

    async fn load(&self, readings: &[Reading]) -> Loaded<Reading, Crossings> {
        Ok(self.0.odometers(readings).await?)
    }
}

impl Loader<OpenAt> for Reads {
    type Value = Interval;
    type Error = Arc<ReadError>;

    async fn load(&self, asked: &[OpenAt]) -> Loaded<OpenAt, Interval> {
        let readings: Vec<_> = asked.iter().map(|open| open.0).collect();
        let open = self.0.open_intervals(&readings).await?;
        Ok(open.into_iter().map(|(reading, interval)| (OpenAt(reading), interval)).collect())
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

impl Loader<IntervalsOf> for Reads {
    type Value = Vec<interval::Model>;
    type Error = Arc<ReadError>;

    async fn load(&self, pages: &[IntervalsOf]) -> Loaded<IntervalsOf, Vec<interval::Model>> {
        let mut found = HashMap::new();
        for page in pages {
            found.insert(*page, self.0.intervals(page.0).await?);
        }
        Ok(found)
    }
}

impl Loader<ReadingsOf> for Reads {
    type Value = Vec<reading::Model>;
    type Error = Arc<ReadError>;

    async fn load(&self, pages: &[ReadingsOf]) -> Loaded<ReadingsOf, Vec<reading::Model>> {
        let mut found = HashMap::new();
        for page in pages {
            found.insert(*page, self.0.readings(page.0).await?);
        }
        Ok(found)
    }
}

impl Loader<VoidOf> for Reads {
    type Value = void::Model;
    type Error = Arc<ReadError>;

    async fn load(&self, ids: &[VoidOf]) -> Loaded<VoidOf, void::Model> {
        let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
        let rows = self.0.voids(&ids).await?;
        Ok(rows.into_iter().map(|(id, row)| (VoidOf(id), row)).collect())
    }
}

impl Loader<CoveredPart> for Reads {
    type Value = i64;
    type Error = Arc<ReadError>;

    async fn load(&self, parts: &[CoveredPart]) -> Loaded<CoveredPart, i64> {
        Ok(self.0.covered_ms(parts).await?)
    }
}

impl Loader<CountsOf> for Reads {
    type Value = ReportCounts;
    type Error = Arc<ReadError>;

    async fn load(&self, asked: &[CountsOf]) -> Loaded<CountsOf, ReportCounts> {
        let Some(CountsOf { since, until, .. }) = asked.first().copied() else { return Ok(HashMap::new()) };
        let dpus: Vec<i64> = asked.iter().map(|asked| asked.dpu).collect();
        let counts = self.0.report_counts(&dpus, since, until).await?;
        Ok(counts.into_iter().map(|(dpu, counts)| (CountsOf { dpu, since, until }, counts)).collect())
    }
}

impl Loader<EventRange> for Reads {
    type Value = i64;
    type Error = Arc<ReadError>;

    async fn load(&self, ranges: &[EventRange]) -> Loaded<EventRange, i64> {
        Ok(self.0.event_counts(ranges).await?)
    }
}
