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

/// The turn that expensive subscriptions share.
#[derive(Clone, Debug)]
pub(in crate::http::graphql) struct Pacer(Arc<Semaphore>);

#[derive(Debug)]
pub(in crate::http::graphql) struct Pace {
    /// `None`: its messages are cheap.
    pacer: Option<Pacer>,
    turn: Mutex<Option<Turn>>,
}

#[derive(Debug)]
struct Turn {
    begun: Instant,
    permit: OwnedSemaphorePermit,
}

impl Pacer {
    pub(in crate::http::graphql) fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }

    pub(in crate::http::graphql) fn pace(&self, cost: u64) -> Arc<Pace> {
        let pacer = (cost > LIGHT_COST).then(|| self.clone());
        Arc::new(Pace { pacer, turn: Mutex::default() })
    }
}

impl Pace {
    /// Waits until the next message may be made.
    pub(in crate::http::graphql) async fn begin(&self) {
        let Some(Pacer(turns)) = &self.pacer else { return };
        self.end();
        // The semaphore is never closed.
        if let Ok(permit) = Arc::clone(turns).acquire_owned().await {
            let turn = Turn { begun: Instant::now(), permit };
            *self.turn.lock().unwrap_or_else(PoisonError::into_inner) = Some(turn);
        }
    }

    /// Ends the turn: the message is made, or there is none. The pause begins.
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
        let pacer = Pacer::new();
        let (one, other) = (pacer.pace(LIGHT_COST + 1), pacer.pace(10_000));
        let begun = Instant::now();
        for pace in [&one, &other, &one, &one, &other] {
            pace.begin().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            pace.end();
        }
        // The pause after the last message is still to come.
        assert_eq!(begun.elapsed().as_millis(), 5 * 100 + 4 * 1_500);
        let light = pacer.pace(LIGHT_COST);
        light.begin().await;
        assert_eq!(begun.elapsed().as_millis(), 6_500, "a cheap message does not wait");
    }
}
