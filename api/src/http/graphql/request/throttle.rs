//! Limits the time that expensive subscriptions take.
//!
//! Every change of a count may cause a message to a subscription. Cheap messages are made immediately. Expensive ones
//! are made one at a time, with a pause after each.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Messages that cost more than this are made one at a time.
const LIGHT_COST: u64 = 100;
/// Length of the pause after a message, relative to the time that it took. So they take 1/16 of one core together.
const REST_FACTOR: u32 = 15;

/// Makes the expensive messages of all subscriptions one at a time.
#[derive(Clone, Debug)]
pub(in crate::http::graphql) struct Throttle(Arc<Semaphore>);

/// The throttle of one subscription.
#[derive(Debug)]
pub(in crate::http::graphql) struct SubscriptionThrottle {
    /// `None`: its messages are cheap.
    shared: Option<Throttle>,
    turn: Mutex<Option<Turn>>,
}

#[derive(Debug)]
struct Turn {
    begun: Instant,
    permit: OwnedSemaphorePermit,
}

impl Throttle {
    /// Creates a throttle that gives one turn at a time.
    pub(in crate::http::graphql) fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }

    /// Returns the throttle of a subscription whose messages cost this much.
    pub(in crate::http::graphql) fn of_subscription(&self, cost: u64) -> Arc<SubscriptionThrottle> {
        let shared = (cost > LIGHT_COST).then(|| self.clone());
        Arc::new(SubscriptionThrottle { shared, turn: Mutex::default() })
    }
}

impl SubscriptionThrottle {
    /// Waits until the next message may be made.
    pub(in crate::http::graphql) async fn begin(&self) {
        let Some(Throttle(turns)) = &self.shared else { return };
        self.end();
        // The semaphore is never closed.
        if let Ok(permit) = Arc::clone(turns).acquire_owned().await {
            let turn = Turn { begun: Instant::now(), permit };
            *self.turn.lock().unwrap_or_else(PoisonError::into_inner) = Some(turn);
        }
    }

    /// Ends the turn, whether or not a message was made, and starts the pause.
    pub(in crate::http::graphql) fn end(&self) {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Turn { begun, permit }) = turn {
            let rest = begun.elapsed() * REST_FACTOR;
            tokio::spawn(async move {
                tokio::time::sleep(rest).await;
                drop(permit);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn expensive_messages_take_a_sixteenth_of_the_time_together() {
        let shared = Throttle::new();
        let (one, other) = (shared.of_subscription(LIGHT_COST + 1), shared.of_subscription(10_000));
        let begun = Instant::now();
        for throttle in [&one, &other, &one, &one, &other] {
            throttle.begin().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            throttle.end();
        }
        // The pause after the last message is still to come.
        assert_eq!(begun.elapsed().as_millis(), 5 * 100 + 4 * 1_500);
        let light = shared.of_subscription(LIGHT_COST);
        light.begin().await;
        assert_eq!(begun.elapsed().as_millis(), 6_500, "a cheap message does not wait");
    }
}
