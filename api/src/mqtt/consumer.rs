//! Receives messages, and acknowledges each after its commit, in the order in which they came.
//!
//! One task polls the connection and nothing else, since polling must not be interrupted; another one works on what came. A
//! permit for each message in work bounds both: without one, the connection is not read.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesOrdered;
use metrics::{counter, describe_counter, describe_gauge, gauge};
use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, Outgoing, Packet, Publish, QoS, SubscribeFilter,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::MqttError;
use super::config::MqttConfig;
use super::connection::options;
use super::receive::{Fate, Receiver};
use super::subscription::Subscription;
use crate::broker::Backoff;
use crate::gateway::Gateway;
use crate::ingest::Recorder;
use crate::readiness::Readiness;
use crate::tasks::{self, Tasks};

/// Maximum number of messages in work. They share commits.
const WORKING_MAX: usize = 256;
/// Room for requests to the broker: an acknowledgement for each message in work, and subscriptions.
const REQUESTS_MAX: usize = 2 * WORKING_MAX;
/// Minimum time between two lines in the log about messages of one subscription.
const TELL_EVERY: Duration = Duration::from_mins(1);
/// Maximum time for the last acknowledgements when the process stops.
const STOP_MAX: Duration = Duration::from_secs(5);

/// The state of the connection.
#[derive(Clone, Debug, Default)]
pub struct Status {
    pub is_connected: bool,
    /// What prevents messages from being recorded, if anything.
    pub problem: Option<String>,
}

/// The running consumer.
#[derive(Debug)]
pub struct Consuming {
    pub status: watch::Receiver<Status>,
    /// Ends when the consumer was stopped and has acknowledged its messages, or could not start.
    pub done: JoinHandle<Result<(), MqttError>>,
}

/// A message, and the connection over which it came.
struct Arrived {
    publish: Publish,
    connection: u64,
    permit: OwnedSemaphorePermit,
}

/// Starts to record from the broker, until `stop`. If that can never work, it ends with the reason and cancels `stop`.
pub fn consume(
    config: MqttConfig,
    gateway: Gateway,
    recorder: Recorder,
    readiness: &Readiness,
    tasks: &Tasks,
    stop: CancellationToken,
) -> Consuming {
    describe();
    let status = watch::Sender::<Status>::default();
    let (watching, shown) = (status.subscribe(), status.subscribe());
    readiness.add("mqtt", move || {
        let Status { is_connected, problem } = watching.borrow().clone();
        std::future::ready(match problem {
            Some(_) if is_connected => Err("messages are not recorded: the log says why".to_owned()),
            _ if !is_connected => Err("the MQTT broker is not connected".to_owned()),
            _ => Ok(()),
        })
    });
    let subscriptions = config.mqtt_subscribe.clone();
    let receiver = Receiver { gateway, recorder, subscriptions, stop: stop.clone() };
    let polling = tasks.clone();
    let done = tasks.spawn("mqtt", async move {
        let ended = run(config, receiver, status, &polling, stop.clone()).await;
        if let Err(error) = &ended {
            tracing::error!("cannot consume from MQTT: {error}");
            stop.cancel();
        }
        ended
    });
    Consuming { status: shown, done }
}

async fn run(
    config: MqttConfig,
    receiver: Receiver,
    status: watch::Sender<Status>,
    tasks: &Tasks,
    stop: CancellationToken,
) -> Result<(), MqttError> {
    let Some(url) = config.mqtt_url.clone() else { return Ok(()) };
    let (client, connection) = AsyncClient::new(options(&config, &url, REQUESTS_MAX)?, REQUESTS_MAX);
    let (arrived, arriving) = mpsc::unbounded_channel();
    let connection = Connection {
        events: connection,
        client: client.clone(),
        address: url.to_string(),
        subscriptions: config.mqtt_subscribe,
        status: status.clone(),
        arrived,
        permits: Arc::new(Semaphore::new(WORKING_MAX)),
        number: 0,
        stop: stop.clone(),
    };
    let polling = tasks.spawn("mqtt connection", connection.poll());
    work(&client, receiver, &status, arriving, stop).await;
    // What was acknowledged last is sent before the end.
    client.try_disconnect().ok();
    let abort = polling.abort_handle();
    if tokio::time::timeout(STOP_MAX, polling).await.is_err() {
        abort.abort();
    }
    Ok(())
}

/// The connection, and what it does when it begins.
struct Connection {
    events: EventLoop,
    client: AsyncClient,
    address: String,
    subscriptions: Vec<Subscription>,
    status: watch::Sender<Status>,
    arrived: mpsc::UnboundedSender<Arrived>,
    permits: Arc<Semaphore>,
    /// Number of connections so far.
    number: u64,
    stop: CancellationToken,
}

impl Connection {
    async fn poll(mut self) {
        let status = self.status.clone();
        let tell = move |problem| status.send_modify(|status| status.problem = problem);
        let mut backoff = Backoff::new(tell, &self.stop);
        loop {
            match self.events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    backoff.reset();
                    self.begin();
                }
                Ok(Event::Incoming(Packet::Publish(publish))) => {
                    // Closed when the process stops. Then messages are left to the broker.
                    let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { continue };
                    let arrived = Arrived { publish, connection: self.number, permit };
                    self.arrived.send(arrived).ok();
                }
                Ok(Event::Incoming(Packet::SubAck(acknowledged))) => {
                    for (subscription, code) in self.subscriptions.iter().zip(acknowledged.return_codes) {
                        if matches!(code, rumqttc::SubscribeReasonCode::Failure) {
                            tracing::error!("the MQTT broker refuses the topics {}", subscription.filter);
                        }
                    }
                }
                Ok(Event::Outgoing(Outgoing::Disconnect)) => return,
                Ok(_) => {}
                Err(error) => {
                    self.connected(false);
                    if self.stop.is_cancelled() {
                        return;
                    }
                    let failure = format!("{}: {}", self.address, told(&error));
                    backoff.wait(&failure, &format!("no connection to the MQTT broker {failure}")).await;
                }
            }
        }
    }

    /// Subscribes. The broker may have lost the session, so this is done each time.
    fn begin(&mut self) {
        self.number += 1;
        self.connected(true);
        let filters = self.subscriptions.iter();
        let filters = filters.map(|one| SubscribeFilter::new(one.filter.clone(), QoS::AtLeastOnce));
        if let Err(error) = self.client.try_subscribe_many(filters) {
            tracing::error!("cannot subscribe: {error}");
        }
        let topics: Vec<_> = self.subscriptions.iter().map(|one| one.filter.as_str()).collect();
        tracing::info!("connected to the MQTT broker {}, recording {}", self.address, topics.join(" "));
    }

    fn connected(&self, is_connected: bool) {
        gauge!("headcount_mqtt_connected").set(f64::from(u8::from(is_connected)));
        self.status.send_modify(|status| status.is_connected = is_connected);
    }
}

/// Works on messages until `stop`, and then finishes those in work.
async fn work(
    client: &AsyncClient,
    receiver: Receiver,
    status: &watch::Sender<Status>,
    mut arriving: mpsc::UnboundedReceiver<Arrived>,
    stop: CancellationToken,
) {
    let mut working = FuturesOrdered::new();
    let (mut connection, mut told) = (0, HashMap::new());
    loop {
        tokio::select! {
            biased;
            Some((arrived, fate)) = working.next() => {
                let Arrived { publish, connection: of, permit } = arrived;
                tell(&receiver.subscriptions, &publish.topic, &fate, &mut told);
                // The broker sends what came over an earlier connection again.
                if fate != Fate::Left && of == connection && client.try_ack(&publish).is_err() {
                    tracing::debug!("an acknowledgement was not sent");
                }
                drop(permit);
                tasks::ran();
            }
            Some(arrived) = arriving.recv(), if !stop.is_cancelled() => {
                let Arrived { connection: of, .. } = &arrived;
                connection = *of;
                let (receiver, status) = (receiver.clone(), status.clone());
                working.push_back(async move {
                    let receiving = tokio::spawn({
                        let publish = arrived.publish.clone();
                        let tell = move |problem| status.send_modify(|status| status.problem = problem);
                        async move {
                            let mut backoff = Backoff::new(tell, &receiver.stop);
                            let fate = receiver.receive(&publish.topic, &publish.payload, &mut backoff).await;
                            backoff.reset();
                            fate
                        }
                    });
                    (arrived, receiving.await.unwrap_or(Fate::Left))
                });
            }
            () = stop.cancelled(), if working.is_empty() => return,
        }
    }
}

/// Counts what became of a message, and logs what is wrong, once a minute for each subscription.
fn tell(subscriptions: &[Subscription], topic: &str, fate: &Fate, told: &mut HashMap<String, Instant>) {
    let (outcome, wrong) = match fate {
        Fate::Recorded { rejected: None } => ("recorded", None),
        Fate::Recorded { rejected: Some(why) } => ("rejected", Some(why)),
        Fate::Unreadable(why) => ("unreadable", Some(why)),
        Fate::Left => return,
    };
    counter!("headcount_mqtt_messages_total", "outcome" => outcome).increment(1);
    let Some(why) = wrong else { return };
    let of = subscriptions.iter().find(|subscription| subscription.has(topic));
    let filter = of.map_or(topic, |subscription| &subscription.filter);
    let now = Instant::now();
    if told.get(filter).is_none_or(|last| now - *last > TELL_EVERY) {
        told.insert(filter.to_owned(), now);
        tracing::warn!(topic, "a message of MQTT was {outcome}: {why}");
    }
}

/// Returns what a failure means, without what was sent to the broker.
fn told(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(code) => {
            format!("it refuses the connection ({code:?}): check user and password")
        }
        other => other.to_string(),
    }
}

fn describe() {
    describe_gauge!("headcount_mqtt_connected", "1 if the MQTT broker is connected.");
    describe_counter!("headcount_mqtt_messages_total", "Messages of MQTT, by outcome.");
}
