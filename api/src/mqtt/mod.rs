//! MQTT: what devices and network servers publish to any broker.
//!
//! [`consume`] subscribes to topics in a session that the broker keeps, hands each message to the gateway or to the
//! recorder, and acknowledges it after the commit, never before. A message that cannot be read is acknowledged, too, since
//! it would come again for ever; the log says why. Nothing here relies on a message being delivered once.

mod acknowledge;
mod config;
mod connection;
mod consumer;
mod receive;
mod subscription;

pub use config::MqttConfig;
pub use consumer::{Consuming, Status, consume};

/// The end of a consumer that can never work: an operator must change something first.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct MqttError(pub(crate) String);
