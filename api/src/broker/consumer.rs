//! Pulls messages from the durable consumer and starts work on them, in batches that grow while the database is busy.
//!
//! It never waits for a batch to fill: a lone message is recorded alone, and the messages that arrive during commits
//! make up the next batch. Memory holds at most one pull and the batches in work, so with a slow database the backlog
//! stays in the stream.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::PullConsumer;
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::status::{self, Status, Watched};
use super::work::{Taken, Worker};
use super::{BrokerConfig, BrokerError, connection, topology};
use crate::clock::Clock;
use crate::ingest::Recorder;
use crate::readiness::Readiness;
use crate::tasks::{self, Tasks};

const PULL_MESSAGES_MAX: usize = 5_000;
/// Maximum number of bytes per pull: more than any one message may have.
const PULL_BYTES_MAX: usize = 68 << 20;
/// How long the server keeps a pull open while there are no messages.
const PULL_TIME: Duration = Duration::from_secs(10);
/// Number of events after which a batch takes no further message, and about the number of events in a pull.
const BATCH_EVENTS_MAX: usize = 10_000;
/// Assumed number of events per message before the first pull, which should be small.
const EVENTS_PER_MESSAGE: usize = 50;
/// Maximum number of batches in work: one being committed, one waiting to be next, one being acknowledged.
const WORKING_MAX: usize = 3;
/// While a process stops, messages that follow each other within this time are still taken.
const LAST_MESSAGES: Duration = Duration::from_millis(50);
/// Maximum time that a process waits for batches in work when it stops.
const STOP_MAX: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub struct Consuming {
    pub status: watch::Receiver<Status>,
    /// Ends when the consumer was stopped and has finished its messages, or could not start.
    pub done: JoinHandle<Result<(), BrokerError>>,
}

/// Starts to record events from the broker, until `stop`.
///
/// If that can never work, it ends with the reason and cancels `stop`. Outages of the broker or the database are waited
/// out.
pub fn consume(
    config: BrokerConfig,
    recorder: Recorder,
    clock: Clock,
    readiness: &Readiness,
    tasks: &Tasks,
    stop: CancellationToken,
) -> Consuming {
    let status = Watched::new(clock);
    let watching = status.subscribe();
    status::add_check(readiness, watching.clone());
    let done = tasks.spawn("consumer", async move {
        let ended = Box::pin(run(config, recorder, status.clone(), stop.clone())).await;
        if let Err(error) = &ended {
            status.problem(Some(error.to_string()));
            tracing::error!("cannot consume: {error}");
            stop.cancel();
        }
        ended
    });
    Consuming { status: watching, done }
}

async fn run(
    config: BrokerConfig,
    recorder: Recorder,
    status: Watched,
    stop: CancellationToken,
) -> Result<(), BrokerError> {
    let mut backoff = status.backoff(&stop);
    let client = loop {
        match connection::connect(&config, &status).await {
            Ok(client) => break client,
            Err(error @ BrokerError::Unusable(_)) => return Err(error),
            Err(error) => backoff.wait(&error, &error).await,
        }
        if stop.is_cancelled() {
            return Ok(());
        }
    };
    backoff.reset();
    let mut taker = Taker {
        config,
        client: client.clone(),
        jetstream: async_nats::jetstream::new(client),
        recorder,
        status: status.clone(),
        stop,
        working: JoinSet::new(),
        slots: Arc::new(Semaphore::new(WORKING_MAX)),
        told: Vec::new(),
        events_per_message: EVENTS_PER_MESSAGE,
    };
    let (jetstream, config) = (taker.jetstream.clone(), taker.config.clone());
    tokio::select! {
        ended = taker.run() => ended?,
        never = status::observe(&status, &jetstream, &config) => match never {},
    }
    taker.end().await;
    Ok(())
}

struct Taker {
    config: BrokerConfig,
    client: Client,
    jetstream: Context,
    recorder: Recorder,
    status: Watched,
    stop: CancellationToken,
    working: JoinSet<()>,
    slots: Arc<Semaphore>,
    /// Warnings about the streams and the server that were logged.
    told: Vec<String>,
    /// Average number of events per message in the last pull.
    events_per_message: usize,
}

impl Taker {
    async fn run(&mut self) -> Result<(), BrokerError> {
        let mut backoff = self.status.backoff(&self.stop);
        let mut started = false;
        while self.online().await {
            let consumer = match topology::prepare(&self.jetstream, &self.config).await {
                Ok((consumer, warnings)) => {
                    self.tell(warnings);
                    consumer
                }
                // An operator who breaks the setup while events are consumed may repair it.
                Err(error @ BrokerError::Unusable(_)) if !started => return Err(error),
                Err(error) => {
                    backoff.wait(&error, &error).await;
                    continue;
                }
            };
            if !std::mem::replace(&mut started, true) {
                let BrokerConfig { nats_stream, nats_consumer, nats_prefix, .. } = &self.config;
                tracing::info!(
                    "consuming {} from the stream {nats_stream} as {nats_consumer}",
                    nats_prefix.events()
                );
            }
            while self.online().await {
                if let Err(error) = self.pull(&consumer).await {
                    backoff.wait(&error, &error).await;
                    break;
                }
                backoff.reset();
                tasks::ran();
            }
        }
        Ok(())
    }

    /// Waits for a connection, since requests without one pile up. Returns whether to continue.
    async fn online(&self) -> bool {
        let mut status = self.status.subscribe();
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            connected = status.wait_for(|status| status.connected) => connected.is_ok(),
        }
    }

    /// Logs each warning once.
    fn tell(&mut self, warnings: Vec<String>) {
        let version = connection::version_warning(&self.client.server_info().version);
        for warning in warnings.into_iter().chain(version) {
            if !self.told.contains(&warning) {
                tracing::warn!("{warning}");
                self.told.push(warning);
            }
        }
    }

    async fn pull(&mut self, consumer: &PullConsumer) -> Result<(), BrokerError> {
        let limits = &consumer.cached_info().config;
        let most =
            usize::try_from(limits.max_batch).ok().filter(|most| *most > 0).unwrap_or(PULL_MESSAGES_MAX);
        let worth = (BATCH_EVENTS_MAX / self.events_per_message).clamp(1, PULL_MESSAGES_MAX);
        let time = Some(limits.max_expires).filter(|time| !time.is_zero());
        let bytes = usize::try_from(limits.max_bytes).ok().filter(|bytes| *bytes > 0);
        let worker = Arc::new(self.worker(limits.ack_wait));
        let mut status = self.status.subscribe();
        let connections = status.borrow_and_update().connections;
        // Without heartbeats: the client's batches are not woken again after one. A lost connection is reported anyway.
        let pull =
            consumer.batch().max_messages(most.min(worth)).expires(time.unwrap_or(PULL_TIME).min(PULL_TIME));
        // A cluster reports a pull with a limit of bytes as done before its last messages, which wait for a majority of
        // its servers. The client then stops listening, and never gets them.
        let replicated =
            consumer.cached_info().cluster.as_ref().is_some_and(|cluster| !cluster.replicas.is_empty());
        let pull = match bytes {
            None if replicated => pull,
            limit => pull.max_bytes(limit.unwrap_or(PULL_BYTES_MAX).min(PULL_BYTES_MAX)),
        };
        let mut pull = pull.messages().await.map_err(BrokerError::failed("deliver messages"))?;

        let (mut taken, mut messages, mut events) = (Taken::default(), 0, 0);
        let ended = loop {
            tokio::select! {
                biased;
                next = pull.next(), if taken.events() < BATCH_EVENTS_MAX => match next {
                    Some(Ok(message)) => {
                        messages += 1;
                        events += taken.add(&self.config.nats_prefix, message);
                    }
                    Some(Err(error)) => break Err(error),
                    None => break Ok(()),
                },
                slot = Arc::clone(&self.slots).acquire_owned(), if !taken.is_empty() => {
                    if let Ok(slot) = slot {
                        self.start(&worker, std::mem::take(&mut taken), slot);
                    }
                }
                () = self.stop.cancelled() => {
                    while let Ok(Some(Ok(message))) = tokio::time::timeout(LAST_MESSAGES, pull.next()).await {
                        taken.add(&self.config.nats_prefix, message);
                    }
                    break Ok(());
                }
                // The server has forgotten pulls over an earlier connection.
                () = connected_again(&mut status, connections) => break Ok(()),
            }
        };
        if !taken.is_empty()
            && let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await
        {
            self.start(&worker, taken, slot);
        }
        if messages > 0 {
            self.events_per_message = events.div_ceil(messages).max(1);
        }
        match ended {
            // A pull that has brought messages may end with an error, such as for the limit of bytes.
            Err(error) if messages == 0 => Err(BrokerError::failed("deliver messages")(error)),
            _ => Ok(()),
        }
    }

    fn worker(&self, ack_wait: Duration) -> Worker {
        Worker {
            recorder: self.recorder.clone(),
            jetstream: self.jetstream.clone(),
            subjects: self.config.nats_prefix.clone(),
            status: self.status.clone(),
            stop: self.stop.clone(),
            ack_wait,
        }
    }

    fn start(&mut self, worker: &Arc<Worker>, taken: Taken, slot: OwnedSemaphorePermit) {
        while self.working.try_join_next().is_some() {}
        let worker = Arc::clone(worker);
        self.working.spawn(async move {
            worker.work(&taken).await;
            drop(slot);
        });
    }

    /// Finishes the batches in work, and makes sure that the acknowledgements arrive.
    async fn end(self) {
        let Self { config, jetstream, mut working, .. } = self;
        let ending = async move {
            while working.join_next().await.is_some() {}
            // An answer proves that the server has received everything that was sent before.
            if let Ok(stream) = jetstream.get_stream_no_info(config.nats_stream).await {
                stream.consumer_info(config.nats_consumer).await.ok();
            }
        };
        if tokio::time::timeout(STOP_MAX, ending).await.is_err() {
            tracing::warn!("stopping before all messages were acknowledged: NATS will redeliver them");
        }
    }
}

/// Returns once the connection with this number has been replaced.
async fn connected_again(status: &mut watch::Receiver<Status>, connections: u64) {
    if status.wait_for(|status| status.connections != connections).await.is_err() {
        std::future::pending::<()>().await;
    }
}
