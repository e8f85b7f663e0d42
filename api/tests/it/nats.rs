//! A NATS server for tests, with streams and subjects of each test's own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api::broker::{BrokerConfig, Consuming, DeadLetter, DeadLetters, Status};
use async_nats::jetstream::{self, Context, stream};
use async_nats::{HeaderMap, ServerAddr};
use futures::TryStreamExt;
use tokio::sync::{OnceCell, watch};
use tokio_util::sync::CancellationToken;

use crate::harness::{Service, say_once, until};

/// The streams, consumer and subjects of a test.
pub(crate) struct Nats {
    pub(crate) config: BrokerConfig,
    pub(crate) jetstream: Context,
}

/// A running consumer.
pub(crate) struct Running {
    pub(crate) consuming: Consuming,
    stop: CancellationToken,
}

impl Nats {
    /// `None`, with a visible message, if there is no server and none is required.
    pub(crate) async fn new() -> Option<Self> {
        static PROBLEM: OnceCell<Option<String>> = OnceCell::const_new();
        let url = std::env::var("TEST_NATS_URL").unwrap_or_else(|_| "nats://127.0.0.1:4222".to_owned());
        let problem = PROBLEM.get_or_init(async || {
            match tokio::time::timeout(Duration::from_secs(5), async_nats::connect(&url)).await {
                Ok(Ok(_)) => None,
                problem => Some(format!("{problem:?}")),
            }
        });
        if let Some(problem) = problem.await {
            assert!(std::env::var("TEST_NATS_REQUIRED").is_err(), "NATS is required: {problem}");
            say_once("NATS was left out: no server at TEST_NATS_URL or on the local default port");
            return None;
        }
        Some(Self::at(&url).await)
    }

    /// Connects to a server of the test's own.
    pub(crate) async fn at(url: &str) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let config =
            BrokerConfig { nats_url: vec![url.parse::<ServerAddr>().unwrap()], ..Self::config(&name) };
        let jetstream = jetstream::new(async_nats::connect(url).await.unwrap());
        Self { config, jetstream }
    }

    /// Returns a configuration with unique names.
    pub(crate) fn config(name: &str) -> BrokerConfig {
        BrokerConfig {
            nats_url: vec![],
            nats_creds: None,
            nats_ca: None,
            nats_stream: name.to_owned(),
            nats_consumer: "headcount".to_owned(),
            nats_dead_letters: format!("{name}_dead"),
            nats_prefix: name.parse().unwrap(),
            nats_replicas: 1,
            nats_ack_wait: 60,
        }
    }

    /// Removes everything that the test has created.
    pub(crate) async fn finish(self) {
        for name in [&self.config.nats_stream, &self.config.nats_dead_letters] {
            self.jetstream.delete_stream(name).await.ok();
        }
    }

    /// Starts a consumer that records into the service's database.
    pub(crate) fn consume(&self, service: &Service) -> Running {
        let stop = CancellationToken::new();
        let consuming = service.app.consume(self.config.clone(), stop.clone());
        Running { consuming, stop }
    }

    /// Starts a consumer, and waits until it has created what it needs.
    pub(crate) async fn consume_ready(&self, service: &Service) -> Running {
        let running = self.consume(service);
        sees(&running.consuming.status, "it runs", |status| status.observed.is_some()).await;
        running
    }

    /// Publishes under the serial's subject, and waits until the stream has it.
    pub(crate) async fn publish(&self, serial: &str, payload: impl Into<Vec<u8>>) {
        self.publish_with(serial, payload, HeaderMap::new()).await;
    }

    pub(crate) async fn publish_with(&self, serial: &str, payload: impl Into<Vec<u8>>, headers: HeaderMap) {
        let subject = self.config.nats_prefix.events_of(serial);
        let published = self.jetstream.publish_with_headers(subject, headers, payload.into().into()).await;
        published.unwrap().await.unwrap();
    }

    pub(crate) async fn stream(&self) -> stream::Info {
        self.jetstream.get_stream(&self.config.nats_stream).await.unwrap().cached_info().clone()
    }

    /// Waits until every message is acknowledged.
    pub(crate) async fn drained(&self) {
        until("every message is acknowledged", async || {
            let stream = self.jetstream.get_stream_no_info(&self.config.nats_stream).await.unwrap();
            let Ok(info) = stream.consumer_info(&self.config.nats_consumer).await else { return false };
            info.num_pending == 0 && info.num_ack_pending == 0
        })
        .await;
    }

    pub(crate) async fn dead_letters(&self) -> Vec<DeadLetter> {
        self.open_dead_letters().await.from(1).try_collect().await.unwrap()
    }

    pub(crate) async fn open_dead_letters(&self) -> DeadLetters {
        DeadLetters::open(&self.config).await.unwrap()
    }
}

/// Waits until the status satisfies `so`, and returns it; the test fails after a while.
pub(crate) async fn sees(
    status: &watch::Receiver<Status>,
    what: &str,
    so: impl FnMut(&Status) -> bool,
) -> Status {
    let mut status = status.clone();
    let seen = tokio::time::timeout(Duration::from_secs(20), status.wait_for(so)).await;
    let seen = seen.map(|seen| seen.unwrap().clone());
    seen.unwrap_or_else(|_| panic!("waited too long for {what}: {:?}", *status.borrow()))
}

impl Running {
    /// Stops it, and waits until it has processed the messages that it had fetched.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.consuming.done.await.unwrap().unwrap();
    }

    /// Returns the error with which it ended by itself.
    pub(crate) async fn refusal(self) -> String {
        let ended = tokio::time::timeout(Duration::from_secs(20), self.consuming.done).await;
        ended.expect("it is not refused").unwrap().unwrap_err().to_string()
    }
}
