//! What the resolvers of one request share.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Wake, Waker};
use std::time::Duration;

use async_graphql::Context;
use async_graphql::dataloader::{DataLoader, Loader};
use entity::Instant;
use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, unbounded};
use futures::future::BoxFuture;
use futures::task::AtomicWaker;
use sea_orm::DbErr;
use tokio::sync::OnceCell;

use super::error::{Fault, Result};
use super::scalars::DateTime;
use crate::app::App;
use crate::counting::{Account, Crossings, Reading};
use crate::floor_plan::FloorPlan;

/// One request's view: one floor plan, one "now", and odometers that are read together.
pub(super) struct Scope {
    app: Arc<App>,
    now: Instant,
    plan: OnceCell<Arc<FloorPlan>>,
    odometers: DataLoader<Odometers>,
}

/// Loads that the resolvers have asked for and that wait to be driven.
pub(super) struct Loads(UnboundedReceiver<BoxFuture<'static, ()>>);

impl Scope {
    /// A scope that begins now, and the loads that its resolvers will ask for.
    pub(super) fn new(app: Arc<App>) -> (Self, Loads) {
        let (loads, receiver) = unbounded();
        let spawn = move |load| {
            loads.unbounded_send(load).ok();
        };
        let odometers = DataLoader::new(Odometers(Arc::clone(&app)), spawn)
            .delay(Duration::ZERO)
            .max_batch_size(usize::MAX);
        let now = app.clock.now();
        (Self { app, now, plan: OnceCell::new(), odometers }, Loads(receiver))
    }

    /// The scope of the request that `context` belongs to.
    pub(super) fn of<'a>(context: &Context<'a>) -> Result<&'a Self> {
        context.data::<Self>().map_err(|error| Fault::Internal(error.message))
    }

    /// The service.
    pub(super) fn app(&self) -> &App {
        &self.app
    }

    /// The floor plan, read by the first resolver that needs it and the same for all of them.
    pub(super) async fn plan(&self) -> Result<&Arc<FloorPlan>> {
        Ok(self.plan.get_or_try_init(|| self.app.floor_plan()).await?)
    }

    /// The instant of an argument `ts`; without one it is now, the same for the whole request.
    pub(super) fn instant(&self, ts: Option<DateTime>) -> Result<Instant> {
        ts.map_or(Ok(self.now), |ts| ts.argument("ts"))
    }

    /// What an account adds up to, its odometers read with those of every other account of the request.
    pub(super) async fn net(&self, account: Account<'_>) -> Result<i64> {
        let odometers = self.odometers.load_many(account.readings()).await.map_err(|error| {
            match Arc::try_unwrap(error) {
                Ok(error) => error.into(),
                Err(shared) => Fault::Internal(shared.to_string()),
            }
        })?;
        Ok(account.net(|reading| odometers[&reading]))
    }
}

impl Loads {
    /// Runs a request to its end, and its loads beside it.
    ///
    /// The loads go on only when the request cannot: it is waiting, and has not asked to be polled again,
    /// as an executor of many futures does to be fair to others. By then every resolver that can run
    /// has said what it needs, so equal queries load in equally many statements, however many threads
    /// there are and whatever they do meanwhile.
    pub(super) async fn drive<T>(self, request: impl Future<Output = T>) -> T {
        let mut request = pin!(request);
        let mut loads = pin!(self.0.for_each_concurrent(None, |load| load));
        let watch = Arc::new(Watch::default());
        let watched = Waker::from(Arc::clone(&watch));
        poll_fn(move |context| {
            watch.task.register(context.waker());
            watch.woken.store(false, Ordering::SeqCst);
            let polled = request.as_mut().poll(&mut TaskContext::from_waker(&watched));
            if polled.is_pending() && !watch.woken.load(Ordering::SeqCst) {
                // The loads themselves end only with the request, which holds their other end.
                let _ = loads.as_mut().poll(context);
            }
            polled
        })
        .await
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

/// Loads odometers for [`DataLoader`].
struct Odometers(Arc<App>);

impl Loader<Reading> for Odometers {
    type Value = Crossings;
    type Error = Arc<DbErr>;

    async fn load(
        &self,
        readings: &[Reading],
    ) -> std::result::Result<HashMap<Reading, Crossings>, Arc<DbErr>> {
        self.0.odometers(readings).await.map_err(Arc::new)
    }
}
