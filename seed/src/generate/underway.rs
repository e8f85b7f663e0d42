//! Reports on their way: they arrive late, after an outage, or twice.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::MINUTE_MS;
use super::random::Random;

/// Reports that have not arrived yet.
pub(super) struct Underway<T> {
    /// Times of arrival, numbers that keep the order of equal times, and the reports.
    arrivals: BinaryHeap<Reverse<(i64, u64, T)>>,
    number: u64,
}

impl<T: Copy + Ord> Underway<T> {
    pub(super) fn new() -> Self {
        Self { arrivals: BinaryHeap::new(), number: 0 }
    }

    /// Sends a report, and about one in a hundred again, as a device does that got no answer.
    pub(super) fn send(&mut self, report: T, arrives_ms: i64, random: &mut Random) {
        let again_ms = (random.below(100) == 0).then(|| arrives_ms + 1000 + random.within(20 * MINUTE_MS));
        for arrives_ms in [Some(arrives_ms), again_ms].into_iter().flatten() {
            self.arrivals.push(Reverse((arrives_ms, self.number, report)));
            self.number += 1;
        }
    }

    /// Removes the report that arrives first, if it does so before `until_ms`.
    pub(super) fn next_before(&mut self, until_ms: i64) -> Option<T> {
        let Reverse((arrives_ms, ..)) = self.arrivals.peek()?;
        if *arrives_ms >= until_ms {
            return None;
        }
        self.arrivals.pop().map(|Reverse((.., report))| report)
    }
}
