//! State that the resolvers of one request share.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::Duration;

use async_graphql::Context;
use entity::Instant;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::future::{BoxFuture, FutureExt};
use futures::poll;
use futures::stream::{self, BoxStream, Stream, StreamExt};
use futures::task::AtomicWaker;
use tokio::sync::OnceCell;

use super::error::{Fault, Result};
use super::meter::Meter;
use super::moves::Moves;
use super::throttle::SubscriptionThrottle;
use super::view::ClientView;
use crate::app::App;
use crate::auth::Access;
use crate::counts;
use crate::telemetry::metrics;

const ANSWER_MAX: Duration = Duration::from_mins(1);

/// Context of one request: its access, its "now", and the state that it is answered from.
pub(in crate::http::graphql) struct Scope {
    app: Arc<App>,
    access: Access,
    /// `None` for subscriptions, which read the clock each time.
    now: Option<Instant>,
    view: OnceCell<Arc<ClientView>>,
    /// Whether the view is read from the database instead of memory.
    of_database: bool,
    /// Whether the request reads long histories.
    is_long: bool,
    loads: UnboundedSender<BoxFuture<'static, ()>>,
    moves: Arc<Moves>,
    types: Arc<Types>,
    meter: Arc<Meter>,
    /// Only for subscriptions.
    throttle: Option<Arc<SubscriptionThrottle>>,
}

/// The types of the objects that root fields of an abstract type return, by response key.
#[derive(Debug, Default)]
pub(in crate::http::graphql) struct Types(Mutex<HashMap<String, &'static str>>);

impl Types {
    pub(in crate::http::graphql) fn known(&self) -> HashMap<String, &'static str> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Loads that resolvers have requested and that are yet to be driven.
pub(in crate::http::graphql) struct Loads(UnboundedReceiver<BoxFuture<'static, ()>>);

impl Scope {
    /// Creates the scope of a request that is answered once, at `now`, and its loads. The state is that of memory or,
    /// if an earlier try found that it had changed, that of the database.
    pub(in crate::http::graphql) fn once(
        app: Arc<App>,
        access: Access,
        meter: Arc<Meter>,
        now: Instant,
        tried: Option<&Moves>,
    ) -> (Self, Loads) {
        let (scope, loads) = Self::new(app, access, meter, Some(now));
        let is_long = tried.is_some_and(Moves::is_long);
        (Self { of_database: tried.is_some(), is_long, ..scope }, loads)
    }

    pub(in crate::http::graphql) fn ongoing(
        app: Arc<App>,
        access: Access,
        meter: Arc<Meter>,
        throttle: Arc<SubscriptionThrottle>,
    ) -> (Self, Loads) {
        let (scope, loads) = Self::new(app, access, meter, None);
        (Self { throttle: Some(throttle), ..scope }, loads)
    }

    fn new(app: Arc<App>, access: Access, meter: Arc<Meter>, now: Option<Instant>) -> (Self, Loads) {
        let (loads, receiver) = unbounded();
        let scope = Self {
            app,
            access,
            now,
            view: OnceCell::new(),
            of_database: false,
            is_long: false,
            loads,
            moves: Arc::default(),
            types: Arc::default(),
            meter,
            throttle: None,
        };
        (scope, Loads(receiver))
    }

    pub(in crate::http::graphql) fn of<'a>(context: &Context<'a>) -> Result<&'a Self> {
        context.data::<Self>().map_err(|error| Fault::Internal(error.message))
    }

    pub(in crate::http::graphql) fn app(&self) -> &Arc<App> {
        &self.app
    }

    pub(in crate::http::graphql) fn access(&self) -> &Access {
        &self.access
    }

    pub(in crate::http::graphql) fn moves(&self) -> Arc<Moves> {
        Arc::clone(&self.moves)
    }

    pub(in crate::http::graphql) fn types(&self) -> Arc<Types> {
        Arc::clone(&self.types)
    }

    /// Records that this root field, of an abstract type, returns an object of this type.
    pub(in crate::http::graphql) fn answers(context: &Context<'_>, type_name: &'static str) -> Result<()> {
        let field = context.field();
        let key = field.alias().unwrap_or(field.name()).to_owned();
        let mut known = Self::of(context)?.types.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(key, type_name);
        Ok(())
    }

    pub(in crate::http::graphql) fn take_move(&self) -> bool {
        self.moves.take()
    }

    /// Returns the same scope for a stream that outlives the resolver.
    pub(in crate::http::graphql) fn watching(&self) -> Self {
        Self {
            app: Arc::clone(&self.app),
            access: self.access.clone(),
            now: self.now,
            view: OnceCell::new(),
            of_database: false,
            is_long: self.is_long,
            loads: self.loads.clone(),
            moves: Arc::clone(&self.moves),
            types: Arc::clone(&self.types),
            meter: Arc::clone(&self.meter),
            throttle: self.throttle.clone(),
        }
    }

    /// Waits until the next message of a subscription may be made, and resets the meter for it.
    pub(in crate::http::graphql) async fn begin_message(&self) {
        if let Some(throttle) = &self.throttle {
            throttle.begin().await;
        }
        self.meter.start_again();
    }

    /// Ends the turn without a message.
    pub(in crate::http::graphql) fn no_message(&self) {
        if let Some(throttle) = &self.throttle {
            throttle.end();
        }
    }

    /// Returns the state that the request is answered from, the same for all of its resolvers.
    pub(in crate::http::graphql) async fn view(&self) -> Result<&Arc<ClientView>> {
        self.view
            .get_or_try_init(async || {
                if self.of_database { self.view_of_database().await } else { self.view_of_memory().await }
            })
            .await
    }

    pub(in crate::http::graphql) async fn view_of_memory(&self) -> Result<Arc<ClientView>> {
        let view = self.app.counts.view().await?;
        Ok(self.see(view))
    }

    /// Returns a view of the current state in the database, which never changes.
    pub(in crate::http::graphql) async fn view_of_database(&self) -> Result<Arc<ClientView>> {
        let view = self.app.counts.view_of_database(self.is_long).await?;
        Ok(self.see(view))
    }

    /// Returns a view of the state before or after a change that the request makes. It never changes.
    pub(in crate::http::graphql) async fn view_of_change(&self) -> Result<Arc<ClientView>> {
        let view = self.app.counts.view_of_change().await?;
        Ok(self.see(view))
    }

    fn see(&self, view: counts::View) -> Arc<ClientView> {
        Arc::new(ClientView::new(view, &self.access, self.loads.clone(), Arc::clone(&self.moves)))
    }

    /// Counts a field that is about to answer this many entries, or refuses it if there are too many.
    pub(in crate::http::graphql) fn list(context: &Context<'_>, entries: usize) -> Result<()> {
        Self::of(context)?.meter.list(context, entries)
    }

    /// Returns the instant of an argument `ts`. Default: now, the same for the whole request.
    pub(in crate::http::graphql) fn instant(&self, ts: Option<Instant>) -> Instant {
        ts.or(self.now).unwrap_or_else(|| self.app.clock.now())
    }

    /// Returns the instant of a count by its argument `ts`, and records it in the metrics.
    pub(in crate::http::graphql) fn counted_at(&self, ts: Option<Instant>) -> Instant {
        let now = self.instant(None);
        let at = ts.unwrap_or(now);
        metrics::counted(now, at);
        at
    }
}

impl Loads {
    /// Runs a request to completion together with its loads. Also returns whether it paused. Returns `None` if its
    /// answer is too large, or takes longer than [`ANSWER_MAX`].
    pub(in crate::http::graphql) async fn drive<T>(
        self,
        meter: &Meter,
        request: impl Future<Output = T>,
    ) -> Option<(T, bool)> {
        let mut request = pin!(request);
        // Usually everything is in memory, and there are no loads.
        if let Poll::Ready(done) = poll!(&mut request) {
            return meter.exceeded().is_none().then_some((done, false));
        }
        let mut driver = Driver::new(self);
        let driving = poll_fn(move |context| {
            if meter.exceeded().is_some() {
                return Poll::Ready(None);
            }
            driver.poll(context, |context| request.as_mut().poll(context)).map(Some)
        });
        let done = tokio::time::timeout(ANSWER_MAX, driving).await.ok().flatten()?;
        meter.exceeded().is_none().then_some((done, true))
    }

    pub(in crate::http::graphql) fn drive_all<T: Send + 'static>(
        self,
        answers: impl Stream<Item = T> + Send + 'static,
    ) -> BoxStream<'static, T> {
        let mut answers = answers.boxed();
        let mut driver = Driver::new(self);
        stream::poll_fn(move |context| driver.poll(context, |context| answers.poll_next_unpin(context)))
            .boxed()
    }
}

/// Polls a request, and its loads when the request cannot go on.
///
/// The loads run only when the request is waiting and has not woken itself, as executors of many futures do to yield.
/// By then every resolver that can run has requested its data. So equal queries load in equally many statements,
/// whatever the number of threads.
struct Driver {
    loads: BoxFuture<'static, ()>,
    watch: Arc<WakeFlag>,
    waker: Waker,
}

impl Driver {
    fn new(loads: Loads) -> Self {
        let watch = Arc::new(WakeFlag::default());
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
            // The loads end only with the request, which holds the sender.
            let _ = self.loads.as_mut().poll(context);
        }
        polled
    }
}

/// Records when the request is woken, and wakes the task that polls it.
#[derive(Default)]
struct WakeFlag {
    woken: AtomicBool,
    task: AtomicWaker,
}

impl Wake for WakeFlag {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        self.task.wake();
    }
}
