//! Receives messages, and acknowledges each after its commit, in the order in which they came.
//!
//! One task polls the connection and nothing else, since polling must not be interrupted; another one works on what came. A
//! permit for each message in work bounds both: without one, the connection is not read.

use std::collections::HashMap;
use std::mem::take;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesOrdered;
use metrics::{counter, describe_counter, describe_gauge, gauge};
use rumqttc::{
    AsyncClient, Event, EventLoop, Outgoing, Packet, Publish, QoS, SubAck, SubscribeFilter,
    SubscribeReasonCode,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::MqttError;
use super::acknowledge::{Acknowledger, REQUESTS_MAX};
use super::config::MqttConfig;
use super::connection::{failure, options};
use super::receive::{Fate, Receiver};
use super::subscription::Subscription;
use crate::broker::Backoff;
use crate::gateway::Gateway;
use crate::ingest::Recorder;
use crate::readiness::Readiness;
use crate::tasks::{self, Tasks};

/// Maximum number of messages in work. They share commits.
const WORKING_MAX: usize = 256;
/// Minimum time that a connection must last for the wait after its end to be short again. So what breaks each connection soon,
/// such as a message that is too long, is not fetched all the time.
const STEADY: Duration = Duration::from_secs(10);
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
    /// Filters of topics that the broker refuses.
    pub refused: Vec<String>,
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
        let status = watching.borrow();
        std::future::ready(if !status.is_connected {
            Err("the MQTT broker is not connected".to_owned())
        } else if status.problem.is_some() {
            Err("messages are not recorded: the log says why".to_owned())
        } else if !status.refused.is_empty() {
            Err("the MQTT broker refuses topics: the log says which".to_owned())
        } else {
            Ok(())
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
    let acknowledger = Acknowledger::new(client.clone());
    let (arrived, arriving) = mpsc::unbounded_channel();
    let connection = Connection {
        events: connection,
        client: client.clone(),
        acknowledger: acknowledger.clone(),
        address: url.to_string(),
        subscriptions: config.mqtt_subscribe,
        status: status.clone(),
        arrived,
        permits: Arc::new(Semaphore::new(WORKING_MAX)),
        stop: stop.clone(),
    };
    let polling = tasks.spawn("mqtt connection", connection.poll());
    work(&acknowledger, receiver, &status, arriving, stop).await;
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
    acknowledger: Acknowledger,
    address: String,
    subscriptions: Vec<Subscription>,
    status: watch::Sender<Status>,
    arrived: mpsc::UnboundedSender<Arrived>,
    permits: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Connection {
    async fn poll(mut self) {
        let status = self.status.clone();
        let tell = move |problem| status.send_modify(|status| status.problem = problem);
        let (mut backoff, mut since) = (Backoff::new(tell, &self.stop), None);
        loop {
            match self.events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    since = Some(Instant::now());
                    self.begin();
                }
                Ok(Event::Incoming(Packet::Publish(publish))) => {
                    // Closed when the process stops. Then messages are left to the broker.
                    let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { continue };
                    let connection = self.acknowledger.connection();
                    let arrived = Arrived { publish, connection, permit };
                    self.arrived.send(arrived).ok();
                }
                Ok(Event::Incoming(Packet::SubAck(answer))) => self.subscribed(&answer),
                Ok(Event::Outgoing(Outgoing::Disconnect)) => return self.connected(false),
                Ok(_) => {}
                Err(error) => {
                    self.lost();
                    if self.stop.is_cancelled() {
                        return;
                    }
                    if since.take().is_some_and(|since: Instant| since.elapsed() >= STEADY) {
                        backoff.reset();
                    }
                    let failure = format!("{}: {}", self.address, failure(&error));
                    backoff.wait(&failure, &format!("no connection to the MQTT broker {failure}")).await;
                }
            }
        }
    }

    /// Subscribes. The broker may have lost the session, so this is done each time.
    fn begin(&self) {
        self.connected(true);
        let filters = self.subscriptions.iter();
        let filters = filters.map(|one| SubscribeFilter::new(one.filter.clone(), QoS::AtLeastOnce));
        if let Err(error) = self.client.try_subscribe_many(filters) {
            tracing::error!("cannot subscribe: {error}");
        }
        let topics: Vec<_> = self.subscriptions.iter().map(|one| one.filter.as_str()).collect();
        tracing::info!("connected to the MQTT broker {}, recording {}", self.address, topics.join(" "));
    }

    /// Notes which topics the broker refuses.
    fn subscribed(&self, answer: &SubAck) {
        let answers = self.subscriptions.iter().zip(&answer.return_codes);
        let refused = answers.filter(|(_, code)| matches!(code, SubscribeReasonCode::Failure));
        let refused: Vec<_> = refused.map(|(subscription, _)| subscription.filter.clone()).collect();
        for filter in &refused {
            tracing::error!(
                "the MQTT broker refuses the topics {filter}: allow this user to read them, or leave them out"
            );
        }
        self.status.send_modify(|status| status.refused = refused);
    }

    /// Drops what belongs to the connection that is lost. The client library keeps it, and would go on with it over the next
    /// connection.
    fn lost(&mut self) {
        self.connected(false);
        self.acknowledger.disconnected();
        // Acknowledgements, which are queued until the line before.
        self.events.clean();
        // Messages that were read and not received yet.
        self.events.state.events.clear();
    }

    fn connected(&self, is_connected: bool) {
        gauge!("headcount_mqtt_connected").set(f64::from(u8::from(is_connected)));
        self.status.send_modify(|status| {
            status.is_connected = is_connected;
            if is_connected {
                status.problem = None;
            }
        });
    }
}

/// Works on messages until `stop`, and then finishes those in work.
async fn work(
    acknowledger: &Acknowledger,
    receiver: Receiver,
    status: &watch::Sender<Status>,
    mut arriving: mpsc::UnboundedReceiver<Arrived>,
    stop: CancellationToken,
) {
    let mut working = FuturesOrdered::new();
    let mut told = HashMap::new();
    loop {
        tokio::select! {
            biased;
            Some((arrived, fate)) = working.next() => {
                let Arrived { publish, connection, permit } = arrived;
                tell(&receiver.subscriptions, &publish.topic, &fate, &mut told);
                if fate != Fate::Left {
                    acknowledger.acknowledge(&publish, connection);
                }
                drop(permit);
                tasks::ran();
            }
            Some(mut arrived) = arriving.recv(), if !stop.is_cancelled() => {
                let (receiver, status) = (receiver.clone(), status.clone());
                working.push_back(async move {
                    let receiving = tokio::spawn({
                        // Its memory is free when it is recorded, also while it waits to be acknowledged in turn.
                        let (topic, message) = (arrived.publish.topic.clone(), take(&mut arrived.publish.payload));
                        let tell = move |problem| status.send_modify(|status| status.problem = problem);
                        async move {
                            let mut backoff = Backoff::new(tell, &receiver.stop);
                            let fate = receiver.receive(&topic, &message, &mut backoff).await;
                            backoff.reset();
                            fate
                        }
                    });
                    let fate = receiving.await.unwrap_or_else(|ended| match ended.try_into_panic() {
                        // The process stops, as after a panic of any background task.
                        Ok(panic) => resume_unwind(panic),
                        Err(_) => Fate::Left,
                    });
                    (arrived, fate)
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

fn describe() {
    describe_gauge!("headcount_mqtt_connected", "1 if the MQTT broker is connected.");
    describe_counter!("headcount_mqtt_messages_total", "Messages of MQTT, by outcome.");
}
