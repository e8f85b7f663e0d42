//! The broker: events that devices publish to NATS JetStream, natively or over its MQTT listener.
//!
//! [`consume`] takes messages through a durable pull consumer that any number of processes share, hands their events
//! to the recorder, and acknowledges each message after the commit, never before. What can never be recorded goes to a
//! stream of dead letters first, from where [`DeadLetters`] puts it back. Nothing here writes to the database by
//! itself, and nothing relies on a message coming once: an event's identity decides what is a duplicate.

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

pub use config::BrokerConfig;
pub use consumer::{Consuming, consume};
pub use dead_letter::DeadLetter;
pub(crate) use dead_letter::headers_as_json;
pub use dead_letters::{DeadLetters, Replayed};
pub use status::Status;
pub use subject::Subjects;

/// Why the broker cannot be used, or has not done what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// Somebody must change something first: an address, a password, a stream that is there already.
    #[error("{0}")]
    Unusable(String),
    /// It may do it another time.
    #[error("NATS failed to {doing}: {cause}")]
    Failed {
        /// What was asked.
        doing: &'static str,
        /// What the client says.
        cause: async_nats::Error,
    },
}

impl BrokerError {
    /// Makes of what the client says an error that tells what was being done.
    fn failed<E: Into<async_nats::Error>>(doing: &'static str) -> impl FnOnce(E) -> Self {
        move |cause| Self::Failed { doing, cause: cause.into() }
    }
}
