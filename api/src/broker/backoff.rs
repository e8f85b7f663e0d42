//! Waits after failures, longer each time.

use std::fmt::Display;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// First wait; it doubles each time.
const FIRST: Duration = Duration::from_millis(100);
/// Longest wait.
const LONGEST: Duration = Duration::from_secs(10);

/// Waits after failures, and reports them in the log and where `problem` does.
pub(crate) struct Backoff {
    problem: Box<dyn Fn(Option<String>) + Send + Sync>,
    stop: CancellationToken,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(
        problem: impl Fn(Option<String>) + Send + Sync + 'static,
        stop: &CancellationToken,
    ) -> Self {
        Self { problem: Box::new(problem), stop: stop.clone(), next: FIRST }
    }

    /// Reports a failure, logs what could not be done, and waits; no longer than until the process stops.
    pub(crate) async fn wait(&mut self, failure: &(impl Display + Sync), log: &(impl Display + Sync)) {
        (self.problem)(Some(failure.to_string()));
        tracing::warn!("{log}; retrying in {:?}", self.next);
        self.stop.run_until_cancelled(tokio::time::sleep(self.next)).await;
        self.next = (self.next * 2).min(LONGEST);
    }

    /// Reports that it works again, and waits as short as at first after the next failure.
    pub(crate) fn reset(&mut self) {
        if self.next != FIRST {
            self.next = FIRST;
            (self.problem)(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;

    #[tokio::test]
    async fn waits_become_longer_until_it_works_again() {
        let (status, stop) = (watch::Sender::new(None), CancellationToken::new());
        let telling = status.clone();
        let mut backoff = Backoff::new(move |problem| drop(telling.send_replace(problem)), &stop);
        // It does not wait while the process stops.
        stop.cancel();
        for expected in [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000] {
            assert_eq!(backoff.next, Duration::from_millis(expected));
            backoff.wait(&"the database is away", &"nothing is recorded").await;
            assert_eq!(status.borrow().as_deref(), Some("the database is away"));
        }
        backoff.reset();
        assert_eq!((backoff.next, status.borrow().clone()), (FIRST, None));
    }
}
