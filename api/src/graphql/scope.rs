//! What the resolvers of one request share.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::Duration;

use async_graphql::Context;
use async_graphql::dataloader::{DataLoader, Loader};
use entity::Instant;
use entity::event::{self, Direction};
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::future::{BoxFuture, FutureExt, try_join};
use futures::poll;
use futures::stream::{self, BoxStream, Stream, StreamExt};
use futures::task::AtomicWaker;
use sea_orm::DbErr;
use tokio::sync::OnceCell;
use tracing::Instrument;

use super::error::{Fault, Result};
use super::scalars::DateTime;
use crate::app::App;
use crate::auth::Access;
use crate::counting::{Account, Bucket, Crossings, History, Reading, Stretch};
use crate::floor_plan::{FloorPlan, Space};
use crate::telemetry::{self, metrics};
use crate::timelines::{EventPage, EventRange};

/// One request's view: one floor plan, one "now", and odometers that are read together.
pub(super) struct Scope {
    app: Arc<App>,
    access: Access,
    /// `None`: whenever somebody asks, since a subscription goes on.
    now: Option<Instant>,
    plan: OnceCell<Arc<FloorPlan>>,
    loads: UnboundedSender<BoxFuture<'static, ()>>,
    database: OnceLock<DataLoader<Reads>>,
}

/// Loads that the resolvers have asked for and that wait to be driven.
pub(super) struct Loads(UnboundedReceiver<BoxFuture<'static, ()>>);

impl Scope {
    /// The scope of a request that is answered once: it happens now. With it, the loads that its resolvers will ask for.
    pub(super) fn once(app: Arc<App>, access: Access) -> (Self, Loads) {
        let now = app.clock.now();
        Self::new(app, access, Some(now))
    }

    /// The scope of a request that may be answered again and again, and the loads that its resolvers will ask for.
    pub(super) fn ongoing(app: Arc<App>, access: Access) -> (Self, Loads) {
        Self::new(app, access, None)
    }

    fn new(app: Arc<App>, access: Access, now: Option<Instant>) -> (Self, Loads) {
        let (loads, receiver) = unbounded();
        (Self { app, access, now, plan: OnceCell::new(), loads, database: OnceLock::new() }, Loads(receiver))
    }

    /// What loads from the database, all at once what resolvers ask for while the request is not stuck.
    fn database(&self) -> &DataLoader<Reads> {
        self.database.get_or_init(|| {
            let loads = self.loads.clone();
            let spawn = move |load: BoxFuture<'static, ()>| {
                let load = load.instrument(tracing::info_span!(target: telemetry::SPANS, "load"));
                loads.unbounded_send(load.boxed()).ok();
            };
            DataLoader::new(Reads(Arc::clone(&self.app)), spawn)
                .delay(Duration::ZERO)
                .max_batch_size(usize::MAX)
        })
    }

    /// The scope of the request that `context` belongs to.
    pub(super) fn of<'a>(context: &Context<'a>) -> Result<&'a Self> {
        context.data::<Self>().map_err(|error| Fault::Internal(error.message))
    }

    /// The service.
    pub(super) fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// What whoever asks may do.
    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    /// What whoever asks may see of the floor plan, read by the first resolver that needs it and the same for all of
    /// them.
    pub(super) async fn plan(&self) -> Result<&Arc<FloorPlan>> {
        Ok(self.plan.get_or_try_init(|| self.access.plan(&self.app)).await?)
    }

    /// The instant of an argument `ts`; without one it is now, the same for the whole request.
    pub(super) fn instant(&self, ts: Option<DateTime>) -> Result<Instant> {
        match ts {
            Some(ts) => ts.argument("ts"),
            None => Ok(self.now.unwrap_or_else(|| self.app.clock.now())),
        }
    }

    /// The instant that is counted at, by an argument `ts`.
    pub(super) fn counted_at(&self, ts: Option<DateTime>) -> Result<Instant> {
        let now = self.instant(None)?;
        let at = ts.map_or(Ok(now), |ts| ts.argument("ts"))?;
        metrics::counted(now, at);
        Ok(at)
    }

    /// What an account adds up to: from memory, or with its odometers read together with those of every other
    /// account of the request.
    pub(super) async fn net(&self, account: Account<'_>) -> Result<i64> {
        if let Some(net) = account.try_net(|reading| self.app.odometer(reading)) {
            return Ok(net);
        }
        let odometers = self.odometers(account.readings()).await?;
        Ok(account.net(|reading| odometers[&reading]))
    }

    /// What odometers show.
    pub(super) async fn odometers(
        &self,
        readings: impl Iterator<Item = Reading>,
    ) -> Result<HashMap<Reading, Crossings>> {
        let (mut shown, mut missing) = (HashMap::new(), Vec::new());
        for reading in readings {
            match self.app.odometer(reading) {
                Some(crossings) => {
                    shown.insert(reading, crossings);
                }
                None => missing.push(reading),
            }
        }
        if !missing.is_empty() {
            shown.extend(self.database().load_many(missing).await?);
        }
        Ok(shown)
    }

    /// The buckets of a history.
    pub(super) async fn buckets(&self, space: &Space, history: &History<'_>) -> Result<Vec<Bucket>> {
        let (before, crossings) = try_join(self.net(history.before()), async {
            Ok(self.database().load_many(history.stretches()).await?)
        })
        .await?;
        Ok(history.buckets(before, |stretch| &crossings[&stretch], |net| space.answer(net)))
    }

    /// The last event of all these stretches.
    pub(super) async fn last_event(
        &self,
        stretches: impl Iterator<Item = Stretch>,
    ) -> Result<Option<event::Model>> {
        let found = self.database().load_many(stretches.map(LastOf)).await?;
        Ok(found.into_values().max_by_key(|event| (event.ts, event.created)))
    }

    /// Pages of events, in no order.
    pub(super) async fn events(&self, pages: impl Iterator<Item = EventPage>) -> Result<Vec<event::Model>> {
        Ok(self.database().load_many(pages).await?.into_values().flatten().collect())
    }

    /// How many events there are.
    pub(super) async fn event_count(&self, ranges: impl Iterator<Item = EventRange>) -> Result<i64> {
        Ok(self.database().load_many(ranges).await?.into_values().sum())
    }
}

impl Loads {
    /// Runs a request to its end, and its loads beside it. Says also whether it paused on the way.
    pub(super) async fn drive<T>(self, request: impl Future<Output = T>) -> (T, bool) {
        let mut request = pin!(request);
        // As a rule all is in memory, and there is nothing to drive.
        if let Poll::Ready(done) = poll!(&mut request) {
            return (done, false);
        }
        let mut driver = Driver::new(self);
        (poll_fn(move |context| driver.poll(context, |context| request.as_mut().poll(context))).await, true)
    }

    /// Runs a request that is answered again and again, and its loads beside it.
    pub(super) fn drive_all<T: 'static>(
        self,
        answers: impl Stream<Item = T> + Send + 'static,
    ) -> BoxStream<'static, T> {
        let mut answers = answers.boxed();
        let mut driver = Driver::new(self);
        stream::poll_fn(move |context| driver.poll(context, |context| answers.poll_next_unpin(context)))
            .boxed()
    }
}

/// Polls a request, and its loads when the request is stuck.
///
/// The loads go on only when the request cannot: it is waiting, and has not asked to be polled again,
/// as an executor of many futures does to be fair to others. By then every resolver that can run
/// has said what it needs, so equal queries load in equally many statements, however many threads
/// there are and whatever they do meanwhile.
struct Driver {
    loads: BoxFuture<'static, ()>,
    watch: Arc<Watch>,
    waker: Waker,
}

impl Driver {
    fn new(loads: Loads) -> Self {
        let watch = Arc::new(Watch::default());
        let waker = Waker::from(Arc::clone(&watch));
        Self { loads: loads.0.for_each_concurrent(None, |load| load).boxed(), watch, waker }
    }

    fn poll<T>(
        &mut self,
        context: &mut TaskContext<'_>,
        request: impl FnOnce(&mut TaskContext<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.watch.task.register(context.waker());
        self.watch.woken.store(false, Ordering::SeqCst);
        let polled = request(&mut TaskContext::from_waker(&self.waker));
        if polled.is_pending() && !self.watch.woken.load(Ordering::SeqCst) {
            // The loads themselves end only with the request, which holds their other end.
            let _ = self.loads.as_mut().poll(context);
        }
        polled
    }
}

/// Notices when the request is woken, and wakes the task that polls it.
#[derive(Default)]
struct Watch {
    woken: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Watch {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        self.task.wake();
    }
}

/// Reads for [`DataLoader`]: each kind of key is one statement, whatever the number of keys.
struct Reads(Arc<App>);

/// Asks for the last event of a stretch, not for all its crossings.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct LastOf(Stretch);

type Loaded<K, V> = std::result::Result<HashMap<K, V>, Arc<DbErr>>;

impl Loader<Reading> for Reads {
    type Value = Crossings;
    type Error = Arc<DbErr>;

    async fn load(&self, readings: &[Reading]) -> Loaded<Reading, Crossings> {
        Ok(self.0.odometers(readings).await?)
    }
}

impl Loader<Stretch> for Reads {
    type Value = Arc<[(Instant, Direction)]>;
    type Error = Arc<DbErr>;

    async fn load(&self, stretches: &[Stretch]) -> Loaded<Stretch, Self::Value> {
        let crossings = self.0.crossings(stretches).await?;
        Ok(crossings.into_iter().map(|(stretch, crossings)| (stretch, crossings.into())).collect())
    }
}

impl Loader<LastOf> for Reads {
    type Value = event::Model;
    type Error = Arc<DbErr>;

    async fn load(&self, stretches: &[LastOf]) -> Loaded<LastOf, event::Model> {
        let stretches: Vec<_> = stretches.iter().map(|last| last.0).collect();
        let events = self.0.last_events(&stretches).await?;
        Ok(events.into_iter().map(|(stretch, event)| (LastOf(stretch), event)).collect())
    }
}

impl Loader<EventPage> for Reads {
    type Value = Vec<event::Model>;
    type Error = Arc<DbErr>;

    async fn load(&self, pages: &[EventPage]) -> Loaded<EventPage, Vec<event::Model>> {
        Ok(self.0.events(pages).await?)
    }
}

impl Loader<EventRange> for Reads {
    type Value = i64;
    type Error = Arc<DbErr>;

    async fn load(&self, ranges: &[EventRange]) -> Loaded<EventRange, i64> {
        Ok(self.0.event_counts(ranges).await?)
    }
}
