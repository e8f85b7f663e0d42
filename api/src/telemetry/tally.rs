//! Counters and histograms for the hot path: a few additions to memory that few threads share, no lock, no allocation,
//! no hashing of labels. They live in statics, only grow, and are written as Prometheus text on request. They have no
//! names; [`metrics`](super::metrics) gives them theirs.

use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Number of threads that can count without contention.
const STRIPES: usize = 8;
/// Maximum number of buckets of a histogram, including the one without a bound.
const BUCKETS_MAX: usize = 16;

/// The counts of some threads, on separate cache lines.
#[repr(align(128))]
struct Stripe<const N: usize>([AtomicU64; N]);

impl<const N: usize> Stripe<N> {
    const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; N])
    }
}

fn stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static STRIPE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES;
    }
    STRIPE.with(|stripe| *stripe)
}

pub struct Counter([Stripe<1>; STRIPES]);

impl Counter {
    pub const fn new() -> Self {
        Self([const { Stripe::new() }; STRIPES])
    }

    pub fn add(&self, more: u64) {
        self.0[stripe()].0[0].fetch_add(more, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.iter().map(|stripe| stripe.0[0].load(Ordering::Relaxed)).sum()
    }
}

impl Default for Counter {
    fn default() -> Self {
        Self::new()
    }
}

/// A distribution of values, which are whole numbers of a small unit, such as microseconds.
pub(super) struct Histogram {
    /// The greatest value of each bucket, ascending; at most [`BUCKETS_MAX`] - 1 of them.
    bounds: &'static [u64],
    /// Number of small units in one unit of the text: 1,000,000 for microseconds and seconds.
    scale: f64,
    /// One count per bucket, then the sum of all values.
    stripes: [Stripe<{ BUCKETS_MAX + 1 }>; STRIPES],
}

impl Histogram {
    pub(super) const fn new(bounds: &'static [u64], scale: f64) -> Self {
        assert!(bounds.len() < BUCKETS_MAX, "too many buckets");
        Self { bounds, scale, stripes: [const { Stripe::new() }; STRIPES] }
    }

    pub(super) fn observe(&self, value: u64) {
        let counts = &self.stripes[stripe()].0;
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        counts[bucket].fetch_add(1, Ordering::Relaxed);
        counts[BUCKETS_MAX].fetch_add(value, Ordering::Relaxed);
    }

    /// Writes the series as Prometheus text. `labels` are written as they are, such as `route="/"`, or nothing.
    pub(super) fn write(&self, text: &mut String, name: &str, labels: &str) -> fmt::Result {
        let total = |place: usize| -> u64 {
            self.stripes.iter().map(|stripe| stripe.0[place].load(Ordering::Relaxed)).sum()
        };
        let comma = if labels.is_empty() { "" } else { "," };
        let mut count = 0;
        for (place, bound) in self.bounds.iter().enumerate() {
            count += total(place);
            writeln!(text, "{name}_bucket{{{labels}{comma}le=\"{}\"}} {count}", self.scaled(*bound))?;
        }
        count += total(self.bounds.len());
        writeln!(text, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}")?;
        let braced = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        writeln!(text, "{name}_sum{braced} {}", self.scaled(total(BUCKETS_MAX)))?;
        writeln!(text, "{name}_count{braced} {count}")
    }

    #[expect(clippy::cast_precision_loss, reason = "what is shown to people may lack its last digits")]
    fn scaled(&self, value: u64) -> f64 {
        value as f64 / self.scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_in_each_bucket_whose_bound_it_does_not_exceed() {
        static SEEN: Histogram = Histogram::new(&[1_000, 2_000], 1_000.0);
        for value in [0, 1_000, 1_001, 2_001, 10_000] {
            SEEN.observe(value);
        }
        let mut text = String::new();
        SEEN.write(&mut text, "seen", "of=\"this\"").unwrap();
        let expected = "seen_bucket{of=\"this\",le=\"1\"} 2\nseen_bucket{of=\"this\",le=\"2\"} 3\n\
            seen_bucket{of=\"this\",le=\"+Inf\"} 5\nseen_sum{of=\"this\"} 14.002\nseen_count{of=\"this\"} 5\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn no_count_is_lost_between_threads() {
        static COUNTED: Counter = Counter::new();
        std::thread::scope(|scope| {
            for _ in 0..2 * STRIPES {
                scope.spawn(|| (0..1_000).for_each(|_| COUNTED.add(2)));
            }
        });
        assert_eq!(COUNTED.get(), 2 * 2 * STRIPES as u64 * 1_000);
    }
}
