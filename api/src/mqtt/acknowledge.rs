//! Acknowledges messages, each over the connection over which it came.
//!
//! A message's number means something to one connection only: to a broker that has lost the session, the same number is another
//! message, which may not be recorded yet. So nothing is acknowledged over a later connection; the broker sends it again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rumqttc::{AsyncClient, Publish};

/// Room for requests to the broker. A broker numbers the messages that are not acknowledged yet with 16 bits, so there are never
/// more acknowledgements; the rest is for subscriptions and the end of the connection. The queue grows only when it is used.
pub(super) const REQUESTS_MAX: usize = (1 << 16) + 1_024;

/// Acknowledges messages. Clones share the number of the connection.
#[derive(Clone, Debug)]
pub(super) struct Acknowledger {
    client: AsyncClient,
    /// Number of connections that were lost so far.
    connection: Arc<Mutex<u64>>,
}

impl Acknowledger {
    pub(super) fn new(client: AsyncClient) -> Self {
        Self { client, connection: Arc::default() }
    }

    /// Returns the number of the current connection.
    pub(super) fn connection(&self) -> u64 {
        *self.current()
    }

    /// Ends the current connection: from now on, no message that came over it is acknowledged.
    pub(super) fn disconnected(&self) {
        *self.current() += 1;
    }

    /// Acknowledges a message that came over this connection, if that is the current one.
    pub(super) fn acknowledge(&self, publish: &Publish, connection: u64) {
        // Locked until it is queued, so that the connection cannot end in between.
        let current = self.current();
        if *current == connection
            && let Err(error) = self.client.try_ack(publish)
        {
            tracing::warn!("an acknowledgement was not sent: {error}");
        }
    }

    fn current(&self) -> MutexGuard<'_, u64> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
