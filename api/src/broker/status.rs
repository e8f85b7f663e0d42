//! Status of the consumer: what is waiting, how old it is, and whether the broker can be reached.
//!
//! The figures of [`Status`] are also metrics, `headcount_broker_*`. [`observe`] queries the figures of the streams
//! every two seconds. Events do not pass through here.

use std::convert::Infallible;
use std::future::ready;
use std::time::Duration;

use async_nats::jetstream::Context;
use entity::Instant;
use metrics::{counter, describe_counter, describe_gauge, gauge};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::{BrokerConfig, BrokerError};
use crate::clock::Clock;
use crate::ingest::OutcomeCounts;
use crate::readiness::Readiness;

/// Interval between queries of the streams.
const EVERY: Duration = Duration::from_secs(2);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub connected: bool,
    /// Number of connections made since the process started.
    pub connections: u64,
    /// Number of messages that were not delivered yet.
    pub waiting: u64,
    /// Number of messages that were delivered and are not acknowledged yet.
    pub unacknowledged: u64,
    pub dead_letters: u64,
    /// When the oldest unacknowledged message was stored in the stream, by the server's clock.
    pub oldest: Option<Instant>,
    /// When the message that this process recorded last was stored in the stream, by the server's clock.
    pub last_recorded: Option<Instant>,
    /// When the figures of the streams were queried; `None`: not yet.
    pub observed: Option<Instant>,
    /// What prevents events from being recorded, if anything.
    pub problem: Option<String>,
}

impl Status {
    /// Returns the number of unacknowledged messages, delivered or not.
    pub fn backlog(&self) -> u64 {
        self.waiting + self.unacknowledged
    }

    /// Returns how long the oldest message has waited, in milliseconds; 0 if none waits.
    pub fn lag_ms(&self, now: Instant) -> i64 {
        self.oldest.map_or(0, |oldest| (now.ms() - oldest.ms()).max(0))
    }
}

/// Adds a readiness check: the broker is connected, and events are recorded.
pub(super) fn add_check(readiness: &Readiness, status: watch::Receiver<Status>) {
    readiness.add("broker", move || {
        let status = status.borrow();
        ready(if !status.connected {
            Err("NATS is not connected".to_owned())
        } else if status.problem.is_some() {
            Err("events are not recorded: the log says why".to_owned())
        } else {
            Ok(())
        })
    });
}

/// The status as a watch channel, which also updates the metrics.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    status: watch::Sender<Status>,
    clock: Clock,
}

impl Watched {
    pub(super) fn new(clock: Clock) -> Self {
        describe();
        Self { status: watch::Sender::default(), clock }
    }

    /// Returns what waits after failures, which this status shows.
    pub(super) fn backoff(&self, stop: &CancellationToken) -> Backoff {
        let status = self.clone();
        Backoff::new(move |problem| status.problem(problem), stop)
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    pub(super) fn connected(&self, connected: bool) {
        if connected {
            counter!("headcount_broker_connections_total").increment(1);
        }
        gauge!("headcount_broker_connected").set(f64::from(u8::from(connected)));
        self.status.send_modify(|status| {
            status.connected = connected;
            status.connections += u64::from(connected);
        });
    }

    pub(super) fn problem(&self, problem: Option<String>) {
        self.status.send_if_modified(|status| {
            let differs = status.problem != problem;
            status.problem = problem;
            differs
        });
    }

    /// Notes that the events of messages were recorded, the newest of which was stored at this time.
    pub(super) fn recorded(&self, messages: usize, events: OutcomeCounts, newest: Option<Instant>) {
        counter!("headcount_broker_messages_total").increment(messages as u64);
        for (outcome, number) in
            [("accepted", events.accepted), ("duplicate", events.duplicates), ("rejected", events.rejected)]
        {
            counter!("headcount_broker_events_total", "outcome" => outcome).increment(number);
        }
        self.status.send_modify(|status| {
            status.problem = None;
            status.last_recorded = newest.max(status.last_recorded);
        });
    }

    /// Takes over the figures of the streams.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    fn observed(&self, figures: &Status) {
        let now = self.clock.now();
        gauge!("headcount_broker_waiting_messages").set(figures.waiting as f64);
        gauge!("headcount_broker_unacknowledged_messages").set(figures.unacknowledged as f64);
        gauge!("headcount_broker_dead_letters").set(figures.dead_letters as f64);
        gauge!("headcount_broker_lag_seconds").set(figures.lag_ms(now) as f64 / 1000.0);
        self.status.send_modify(|status| {
            *status = Status {
                connected: status.connected,
                connections: status.connections,
                last_recorded: status.last_recorded,
                problem: status.problem.take(),
                observed: Some(now),
                ..*figures
            };
        });
    }
}

/// Keeps the status current for as long as it is polled.
pub(super) async fn observe(status: &Watched, jetstream: &Context, config: &BrokerConfig) -> Infallible {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match figures(jetstream, config).await {
            Ok(figures) => status.observed(&figures),
            // The consumer logs what is wrong.
            Err(error) => tracing::debug!(%error, "cannot query the broker's figures"),
        }
    }
}

/// Returns a status with the figures of the streams only.
async fn figures(jetstream: &Context, config: &BrokerConfig) -> Result<Status, BrokerError> {
    let doing = "report the backlog";
    let events = jetstream.get_stream_no_info(&config.nats_stream).await;
    let events = events.map_err(BrokerError::failed(doing))?;
    let consumer = events.consumer_info(&config.nats_consumer).await.map_err(BrokerError::failed(doing))?;
    let dead = jetstream.get_stream(&config.nats_dead_letters).await.map_err(BrokerError::failed(doing))?;
    let (waiting, unacknowledged) = (consumer.num_pending, consumer.num_ack_pending as u64);
    let oldest = if waiting + unacknowledged == 0 {
        None
    } else {
        let next = events
            .raw_message_builder()
            .sequence(consumer.ack_floor.stream_sequence + 1)
            .next_by_subject(config.nats_prefix.events());
        // It may have been acknowledged, and removed, meanwhile.
        next.send().await.ok().map(|message| message.time.into())
    };
    let dead_letters = dead.cached_info().state.messages;
    Ok(Status { waiting, unacknowledged, dead_letters, oldest, ..Status::default() })
}

fn describe() {
    describe_gauge!("headcount_broker_connected", "Whether there is a connection to a NATS server: 1 or 0.");
    describe_gauge!("headcount_broker_waiting_messages", "Messages that were not delivered yet.");
    describe_gauge!(
        "headcount_broker_unacknowledged_messages",
        "Messages delivered and not acknowledged yet."
    );
    describe_gauge!("headcount_broker_dead_letters", "Messages in the stream of dead letters.");
    describe_gauge!("headcount_broker_lag_seconds", "Age of the oldest unacknowledged message.");
    describe_counter!("headcount_broker_connections_total", "Connections made to a NATS server.");
    describe_counter!("headcount_broker_messages_total", "Messages whose events were recorded.");
    describe_counter!("headcount_broker_events_total", "Events of those messages, by outcome.");
    describe_counter!("headcount_broker_dead_letters_total", "Dead letters written.");
    describe_counter!(
        "headcount_broker_retries_total",
        "Attempts to record events at which the database failed."
    );
}
