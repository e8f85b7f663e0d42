//! How many requests somebody may make in a time.

use std::num::NonZeroU32;
use std::sync::Arc;

use governor::clock::{Clock as _, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

/// So many requests a second, and so many at once after a rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests a second.
    pub per_second: NonZeroU32,
    /// Requests at once.
    pub burst: NonZeroU32,
}

/// How somebody keeps to a rate. Asking it takes no lock.
#[derive(Debug)]
pub(super) struct Pace {
    limiter: RateLimiter<NotKeyed, InMemoryState, MonotonicClock, NoOpMiddleware<std::time::Instant>>,
}

impl Pace {
    pub(super) fn new(rate: Rate) -> Arc<Self> {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        Arc::new(Self { limiter: RateLimiter::direct_with_clock(quota, MonotonicClock) })
    }

    /// Takes note of one more request, or says after how many seconds there may be one.
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
    fn a_burst_passes_and_a_crowd_is_slowed_down() {
        let pace =
            Pace::new(Rate { per_second: NonZeroU32::new(2).unwrap(), burst: NonZeroU32::new(5).unwrap() });
        for _ in 0..5 {
            assert_eq!(pace.step(), Ok(()));
        }
        assert_eq!((0..1_000_000).find_map(|_| pace.step().err()), Some(1));
    }
}
