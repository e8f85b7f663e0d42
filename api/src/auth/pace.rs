//! The rate limiter.

use std::num::NonZeroU32;
use std::sync::Arc;

use governor::clock::{Clock as _, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

/// A rate limit, with a burst after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub per_second: NonZeroU32,
    pub burst: NonZeroU32,
}

/// Rate limiter of one token or client address. Takes no lock.
#[derive(Debug)]
pub(super) struct Pace {
    limiter: RateLimiter<NotKeyed, InMemoryState, MonotonicClock, NoOpMiddleware<std::time::Instant>>,
}

impl Pace {
    pub(super) fn new(rate: Rate) -> Arc<Self> {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        Arc::new(Self { limiter: RateLimiter::direct_with_clock(quota, MonotonicClock) })
    }

    /// Counts one more request, or returns the seconds after which one is accepted.
    pub(super) fn step(&self) -> Result<(), u64> {
        self.limiter.check().map_err(|early| {
            let wait = early.wait_time_from(self.limiter.clock().now());
            wait.as_secs() + 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_further_requests_are_refused() {
        let pace =
            Pace::new(Rate { per_second: NonZeroU32::new(2).unwrap(), burst: NonZeroU32::new(5).unwrap() });
        for _ in 0..5 {
            assert_eq!(pace.step(), Ok(()));
        }
        assert_eq!((0..1_000_000).find_map(|_| pace.step().err()), Some(1));
    }
}
