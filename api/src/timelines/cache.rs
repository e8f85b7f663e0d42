//! A map of limited total weight, read without a lock. No I/O; never blocks.
//!
//! When the map is full, the oldest entry is evicted, unless it was read since it was last examined: then it moves to
//! the end of the queue, and the next one is examined (the second-chance algorithm). Reading only sets a flag, so
//! frequent reads cost no bookkeeping. The bookkeeping is done by callers that insert an entry, which have just read
//! from the database.

use std::collections::VecDeque;
use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ahash::RandomState;
use papaya::HashMap;

/// A map whose entries have a limited total weight.
pub(super) struct Cache<K, V> {
    entries: HashMap<K, Held<V>, RandomState>,
    /// The key of every entry, once. Inserting a new key adds it; removing a key from the queue removes the entry.
    queue: Mutex<VecDeque<K>>,
    weight: AtomicI64,
    weight_max: i64,
}

struct Held<V> {
    value: V,
    weight: i64,
    /// Whether it was read since it was last examined.
    is_used: AtomicBool,
}

impl<K: Copy + Hash + Eq, V> Cache<K, V> {
    pub(super) fn new(weight_max: u64) -> Self {
        Self {
            entries: HashMap::with_hasher(RandomState::new()),
            queue: Mutex::default(),
            weight: AtomicI64::default(),
            weight_max: i64::try_from(weight_max).unwrap_or(i64::MAX),
        }
    }

    /// Applies `look` to the entry; returns `None` if it is missing. Takes no lock.
    pub(super) fn get<R>(&self, key: &K, look: impl FnOnce(&V) -> R) -> Option<R> {
        let entries = self.entries.pin();
        let held = entries.get(key)?;
        // Usually set already: checking first avoids writing to a cache line that all readers share.
        if !held.is_used.load(Ordering::Relaxed) {
            held.is_used.store(true, Ordering::Relaxed);
        }
        Some(look(&held.value))
    }

    /// Inserts or replaces an entry, and evicts others until the weight is within the limit.
    pub(super) fn put(&self, key: K, value: V, weight: usize) {
        let weight = i64::try_from(weight).unwrap_or(i64::MAX);
        let entries = self.entries.pin();
        let replaced = entries.insert(key, Held { value, weight, is_used: AtomicBool::new(false) });
        let more = weight - replaced.map_or(0, |held| held.weight);
        let is_new = replaced.is_none();
        let now = self.weight.fetch_add(more, Ordering::Relaxed) + more;
        let over = now > self.weight_max;
        if is_new || over {
            let mut queue = self.queue();
            queue.extend(is_new.then_some(key));
            if over {
                self.make_room(&mut queue, self.weight_max);
            }
        }
    }

    pub(super) fn weight(&self) -> u64 {
        u64::try_from(self.weight.load(Ordering::Relaxed)).unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn clear(&self) {
        self.make_room(&mut self.queue(), 0);
    }

    fn make_room(&self, queue: &mut VecDeque<K>, weight_max: i64) {
        let entries = self.entries.pin();
        while self.weight.load(Ordering::Relaxed) > weight_max
            && let Some(key) = queue.pop_front()
        {
            if entries.get(&key).is_some_and(|held| held.is_used.swap(false, Ordering::Relaxed)) {
                queue.push_back(key);
            } else if let Some(gone) = entries.remove(&key) {
                self.weight.fetch_sub(gone.weight, Ordering::Relaxed);
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<K>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Cache({:?} of {})", self.weight, self.weight_max)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn read_entries_get_a_second_chance() {
        let cache = Cache::new(3);
        for key in 0..3 {
            cache.put(key, key, 1);
        }
        assert_eq!(cache.get(&0, |value| *value), Some(0));
        cache.put(3, 3, 1);
        // 1 was the first that had not been read.
        assert_eq!([0, 1, 2, 3].map(|key| cache.entries.pin().contains_key(&key)), [true, false, true, true]);
        // 2 has not been read either, and 0 only once.
        cache.put(4, 4, 2);
        assert_eq!(
            [0, 2, 3, 4].map(|key| cache.entries.pin().contains_key(&key)),
            [true, false, false, true]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// After any inserts and reads, the weight is right and within the limit, and each key is queued once.
        #[test]
        fn its_weight_is_bounded(puts in prop::collection::vec((0_u8..12, 0_usize..6, any::<bool>()), 1..80)) {
            let cache = Cache::new(20);
            for (key, weight, read) in puts {
                cache.put(key, weight, weight);
                let found = cache.get(&key, |value| *value);
                prop_assert!(found.is_none_or(|found| found == weight));
                if !read {
                    cache.get(&(key / 2), |_| ());
                }
                let entries = cache.entries.pin();
                let held: i64 = entries.iter().map(|(_, held)| held.weight).sum();
                prop_assert_eq!(held, cache.weight.load(Ordering::Relaxed));
                prop_assert!(held <= 20);
                let mut queued: Vec<_> = cache.queue().iter().copied().collect();
                queued.sort_unstable();
                let mut keys: Vec<_> = entries.keys().copied().collect();
                keys.sort_unstable();
                prop_assert_eq!(queued, keys);
            }
        }
    }

    /// After threads insert the same few keys at once, no entry is left that cannot be evicted.
    #[test]
    fn concurrent_inserts_leave_no_unevictable_entry() {
        let cache = Cache::new(50);
        thread::scope(|scope| {
            for thread in 0..3_usize {
                let cache = &cache;
                scope.spawn(move || {
                    for number in 0..20_000 {
                        let key = (number * 7 + thread) % 23;
                        cache.put(key, number, number % 11);
                        cache.get(&(number % 23), |_| ());
                    }
                });
            }
        });
        assert!(cache.weight() <= 50);
        assert_eq!(cache.queue().len(), cache.entries.len());
        cache.clear();
        assert_eq!((cache.weight(), cache.entries.len()), (0, 0));
    }
}
