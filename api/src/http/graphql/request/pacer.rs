//! Keeps subscriptions that ask for much from taking the server's time.
//!
//! A subscription is answered again and again, by whatever changes a count. One whose messages cost little is told at
//! once. The others take turns, and after each of their messages none of them is made for a while.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// A message that costs more than this takes turns.
const LIGHT_COST: u64 = 100;
/// How much longer than a message took no other one is made. So they take a sixteenth of one core together.
const REST_FACTOR: u32 = 15;

/// Where subscriptions take turns.
#[derive(Clone, Debug)]
pub(in crate::http::graphql) struct Pacer(Arc<Semaphore>);

/// The pace of one subscription.
#[derive(Debug)]
pub(in crate::http::graphql) struct Pace {
    /// `None`: its messages cost little.
    pacer: Option<Pacer>,
    turn: Mutex<Option<Turn>>,
}

/// A turn, and when it began.
#[derive(Debug)]
struct Turn {
    begun: Instant,
    permit: OwnedSemaphorePermit,
}

impl Pacer {
    /// One turn at a time.
    pub(in crate::http::graphql) fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }

    /// The pace of a subscription whose messages cost so much.
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

    /// The message is made, or is not made after all.
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
    async fn messages_that_cost_much_take_an_eighth_of_the_time_together() {
        let pacer = Pacer::new();
        let (one, other) = (pacer.pace(LIGHT_COST + 1), pacer.pace(10_000));
        let begun = Instant::now();
        for pace in [&one, &other, &one, &one, &other] {
            pace.begin().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            pace.end();
        }
        // The last one's rest is still to come.
        assert_eq!(begun.elapsed().as_millis(), 5 * 100 + 4 * 700);
        let light = pacer.pace(LIGHT_COST);
        light.begin().await;
        assert_eq!(begun.elapsed().as_millis(), 3_300, "it waits for nobody");
    }
}
