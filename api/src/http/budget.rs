//! Budgets of memory: how many bytes the bodies of all requests, and all answers that are not read yet, take together.
//!
//! Limits on a single body or answer do not bound the memory of many. What is short is not counted: the number of
//! connections bounds it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::limits::Limits;

/// Bodies and answers that are not longer are not counted, in bytes.
pub const UNCOUNTED_BYTES: usize = 16 << 10;

/// The budgets of a process.
#[derive(Clone, Debug)]
pub struct Budgets {
    /// For what clients send.
    pub bodies: Budget,
    /// For what they have not read yet.
    pub answers: Budget,
}

/// A number of bytes that all holders share.
#[derive(Clone, Debug)]
pub struct Budget {
    free: Arc<Semaphore>,
}

/// Bytes that are held until this is dropped.
#[derive(Debug)]
pub struct Held {
    budget: Budget,
    bytes: usize,
    counted: Option<OwnedSemaphorePermit>,
}

/// There are too few bytes left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server holds as many bytes for requests as it may: try again")]
pub struct Exhausted;

impl Budgets {
    /// The budgets that the limits set.
    pub fn new(limits: &Limits) -> Self {
        Self { bodies: Budget::new(limits.bodies_bytes), answers: Budget::new(limits.answers_bytes) }
    }
}

impl Budget {
    /// A budget of `bytes` bytes.
    pub fn new(bytes: u32) -> Self {
        Self { free: Arc::new(Semaphore::new(bytes as usize)) }
    }

    /// Holds no bytes yet.
    pub fn none(&self) -> Held {
        Held { budget: self.clone(), bytes: 0, counted: None }
    }

    /// Holds `bytes` bytes.
    pub fn hold(&self, bytes: usize) -> Result<Held, Exhausted> {
        let mut held = self.none();
        held.grow(bytes)?;
        Ok(held)
    }
}

impl Held {
    /// Holds `more` bytes in addition. Where too few are free, it keeps what it held before.
    pub fn grow(&mut self, more: usize) -> Result<(), Exhausted> {
        self.bytes += more;
        if self.bytes <= UNCOUNTED_BYTES {
            return Ok(());
        }
        let uncounted = self.bytes - self.counted.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let uncounted = u32::try_from(uncounted).map_err(|_| Exhausted)?;
        let permit = Arc::clone(&self.budget.free).try_acquire_many_owned(uncounted);
        let permit = permit.map_err(|_: TryAcquireError| Exhausted)?;
        match &mut self.counted {
            Some(counted) => counted.merge(permit),
            none => *none = Some(permit),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_never_more_than_the_budget() {
        let budget = Budget::new(100_000);
        let mut first = budget.hold(60_000).unwrap();
        assert_eq!(budget.hold(60_000).unwrap_err(), Exhausted);
        let mut second = budget.hold(UNCOUNTED_BYTES).unwrap();
        assert_eq!((budget.free.available_permits(), first.grow(40_001)), (40_000, Err(Exhausted)));
        second.grow(30_000 - UNCOUNTED_BYTES).unwrap();
        assert_eq!(budget.free.available_permits(), 10_000);
        drop((first, second));
        assert_eq!(budget.free.available_permits(), 100_000);
    }
}
