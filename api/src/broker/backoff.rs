//! Waits after failures, longer each time.

use std::fmt::Display;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::status::Watched;

/// First wait; it doubles each time.
const FIRST: Duration = Duration::from_millis(100);
/// Longest wait.
const LONGEST: Duration = Duration::from_secs(10);

/// Waits after failures, and reports them in the log and the status.
pub(super) struct Backoff {
    status: Watched,
    stop: CancellationToken,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(status: &Watched, stop: &CancellationToken) -> Self {
        Self { status: status.clone(), stop: stop.clone(), next: FIRST }
    }

    /// Reports a failure, logs what could not be done, and waits; no longer than until the process stops.
    pub(super) async fn wait(&mut self, failure: &(impl Display + Sync), log: &(impl Display + Sync)) {
        self.status.problem(Some(failure.to_string()));
        tracing::warn!("{log}; retrying in {:?}", self.next);
        self.stop.run_until_cancelled(tokio::time::sleep(self.next)).await;
        self.next = (self.next * 2).min(LONGEST);
    }

    /// Reports that it works again, and waits as short as at first after the next failure.
    pub(super) fn reset(&mut self) {
        if self.next != FIRST {
            self.next = FIRST;
            self.status.problem(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[tokio::test]
    async fn waits_become_longer_until_it_works_again() {
        let (status, stop) = (Watched::new(Clock::system()), CancellationToken::new());
        let mut backoff = Backoff::new(&status, &stop);
        // It does not wait while the process stops.
        stop.cancel();
        for expected in [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000] {
            assert_eq!(backoff.next, Duration::from_millis(expected));
            backoff.wait(&"the database is away", &"nothing is recorded").await;
            assert_eq!(status.subscribe().borrow().problem.as_deref(), Some("the database is away"));
        }
        backoff.reset();
        assert_eq!((backoff.next, status.subscribe().borrow().problem.clone()), (FIRST, None));
    }
}
