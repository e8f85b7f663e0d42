//! Rate limits of tokens and client addresses.

use std::num::NonZeroU32;
use std::sync::Arc;

use governor::clock::Clock as _;
use governor::{DefaultDirectRateLimiter, Quota};

/// A rate limit, with a burst after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests per second.
    pub per_second: NonZeroU32,
    /// Requests at once.
    pub burst: NonZeroU32,
}

/// Rate limiter of one token or client address. Takes no lock.
#[derive(Debug)]
pub(super) struct RateLimiter(DefaultDirectRateLimiter);

impl RateLimiter {
    pub(super) fn new(rate: Rate) -> Arc<Self> {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        Arc::new(Self(DefaultDirectRateLimiter::direct(quota)))
    }

    /// Counts one more request, or returns the seconds after which one is accepted.
    pub(super) fn check(&self) -> Result<(), u64> {
        self.0.check().map_err(|early| early.wait_time_from(self.0.clock().now()).as_secs() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_further_requests_are_refused() {
        let (per_second, burst) = (NonZeroU32::new(2).unwrap(), NonZeroU32::new(5).unwrap());
        let limiter = RateLimiter::new(Rate { per_second, burst });
        for _ in 0..5 {
            assert_eq!(limiter.check(), Ok(()));
        }
        assert_eq!((0..1_000_000).find_map(|_| limiter.check().err()), Some(1));
    }
}
