//! Records one message.

use tokio_util::sync::CancellationToken;

use super::subscription::{Reading, Subscription};
use crate::broker::{Backoff, unsigned_events};
use crate::gateway::{Gateway, ReceiveError, Received};
use crate::ingest::{Outcome, OutcomeCounts, RecordError, Recorder};

/// Maximum length of a message, in bytes.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is durable. `rejected` says what is not, if anything.
    Recorded { rejected: Option<String> },
    /// Nothing of it can be read.
    Unreadable(String),
    /// The process stops first: the broker sends it again.
    Left,
}

/// Records messages.
#[derive(Clone, Debug)]
pub(super) struct Receiver {
    pub(super) gateway: Gateway,
    pub(super) recorder: Recorder,
    pub(super) subscriptions: Vec<Subscription>,
    pub(super) stop: CancellationToken,
}

impl Receiver {
    /// Returns once the message is durable, or never can be. While the database fails it is tried again.
    pub(super) async fn receive(&self, topic: &str, message: &[u8], backoff: &mut Backoff) -> Fate {
        let Some(subscription) = self.subscriptions.iter().find(|subscription| subscription.has(topic))
        else {
            return Fate::Unreadable("no subscription has this topic any more".to_owned());
        };
        if message.len() > MESSAGE_BYTES_MAX {
            return Fate::Unreadable(format!(
                "the message has {} bytes, at most {MESSAGE_BYTES_MAX} are read",
                message.len()
            ));
        }
        loop {
            let tried = match &subscription.reading {
                Reading::Device(source) => {
                    self.gateway.receive(message, source).await.map(|received| of_device(&received))
                }
                Reading::Own => self.own(topic, message).await,
            };
            match tried {
                Ok(fate) => return fate,
                Err(ReceiveError::Unreadable { cause, .. }) => return Fate::Unreadable(cause.to_string()),
                Err(ReceiveError::Record(RecordError::Stopping)) => return Fate::Left,
                Err(error) => {
                    let log = format!("a message of MQTT could not be recorded: {error}");
                    backoff.wait(&error, &log).await;
                }
            }
            if self.stop.is_cancelled() {
                return Fate::Left;
            }
        }
    }

    async fn own(&self, topic: &str, message: &[u8]) -> Result<Fate, ReceiveError> {
        let serial = topic.rsplit('/').next().unwrap_or_default();
        let (events, broken) = unsigned_events(serial, message);
        if events.is_empty() {
            return Ok(broken.map_or(Fate::Recorded { rejected: None }, Fate::Unreadable));
        }
        let mut counts = OutcomeCounts::default();
        let mut first = broken;
        for outcome in self.recorder.record(events).await? {
            counts.add(&outcome);
            if let Outcome::Rejected(rejection) = outcome {
                first = first.or(Some(rejection.message));
            }
        }
        Ok(Fate::Recorded { rejected: first })
    }
}

fn of_device(received: &Received) -> Fate {
    let rejected = received.rejected.first().map(|(serial, rejection)| format!("{serial}: {rejection}"));
    let rejected = rejected.or_else(|| received.unreadable.first().map(ToString::to_string));
    Fate::Recorded { rejected }
}
