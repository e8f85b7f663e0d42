//! Memory budgets: limits on the total bytes of the bodies of all requests, and of all answers that are yet to be read.
//!
//! Limits on a single body or answer do not bound the memory of many. Short ones are not counted: the number of
//! connections bounds them.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::limits::Limits;

/// Bodies and answers up to this length are not counted, in bytes.
pub const UNCOUNTED_BYTES: usize = 16 << 10;

#[derive(Clone, Debug)]
pub struct Budgets {
    pub bodies: ByteBudget,
    /// For answers that clients have yet to read.
    pub answers: ByteBudget,
}

/// A number of bytes that its holders share.
#[derive(Clone, Debug)]
pub struct ByteBudget {
    free: Arc<Semaphore>,
}

/// Bytes that are reserved until this is dropped.
#[derive(Debug)]
pub struct HeldBytes {
    budget: ByteBudget,
    bytes: usize,
    counted: Option<OwnedSemaphorePermit>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server's memory for requests is used up: try again")]
pub struct Exhausted;

impl Budgets {
    pub fn new(limits: &Limits) -> Self {
        Self { bodies: ByteBudget::new(limits.bodies_bytes), answers: ByteBudget::new(limits.answers_bytes) }
    }
}

impl ByteBudget {
    pub fn new(bytes: u32) -> Self {
        Self { free: Arc::new(Semaphore::new(bytes as usize)) }
    }

    pub fn none(&self) -> HeldBytes {
        HeldBytes { budget: self.clone(), bytes: 0, counted: None }
    }

    pub fn hold(&self, bytes: usize) -> Result<HeldBytes, Exhausted> {
        let mut held = self.none();
        held.grow(bytes)?;
        Ok(held)
    }
}

impl HeldBytes {
    /// On error, keeps the earlier reservation.
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
        let budget = ByteBudget::new(100_000);
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
