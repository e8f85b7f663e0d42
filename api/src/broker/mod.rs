//! The broker: events that devices publish to NATS JetStream, natively or over its MQTT listener.
//!
//! [`consume`] takes messages through a durable pull consumer that any number of processes share, hands their events
//! to the recorder, and acknowledges each message after the commit, never before. A message that can never be recorded
//! is stored in a stream of dead letters first, from where [`DeadLetters`] replays it. Nothing here writes to the
//! database itself, and nothing relies on a message being delivered once: an event's identity decides what is a
//! duplicate.

mod backoff;
mod config;
mod connection;
mod consumer;
mod dead_letter;
mod dead_letters;
mod payload;
mod status;
mod subject;
mod topology;
mod work;

pub(crate) use backoff::Backoff;
pub use config::BrokerConfig;
pub use consumer::{Consuming, consume};
pub use dead_letter::DeadLetter;
pub use dead_letters::{DeadLetters, Replayed};
pub(crate) use payload::unsigned_events;
pub use status::Status;
pub use subject::Subjects;

#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// An operator must change something first: an address, a password, an existing stream.
    #[error("{0}")]
    Unusable(String),
    /// The request failed, and may succeed later.
    #[error("NATS failed to {doing}: {cause}")]
    Failed { doing: &'static str, cause: async_nats::Error },
}

impl BrokerError {
    fn failed<E: Into<async_nats::Error>>(doing: &'static str) -> impl FnOnce(E) -> Self {
        move |cause| Self::Failed { doing, cause: cause.into() }
    }
}
