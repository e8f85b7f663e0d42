//! A map of bounded weight that is read without a lock. No I/O, no waiting.
//!
//! Where there is no room, the entry that came first goes, unless somebody has read it since: then it stands last
//! again, and the next one is looked at (a second chance). To read notes no more than that it was read, so
//! what is often read costs no bookkeeping; all of that is for those who put something in, and they have just been to
//! the database.

use std::collections::VecDeque;
use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ahash::RandomState;
use papaya::HashMap;

/// Entries whose weights are together no more than so much.
pub(super) struct Cache<K, V> {
    entries: HashMap<K, Held<V>, RandomState>,
    /// The key of every entry, once: whoever puts one in where none was adds it, whoever takes it out takes the entry.
    queue: Mutex<VecDeque<K>>,
    weight: AtomicI64,
    weight_max: i64,
}

struct Held<V> {
    value: V,
    weight: i64,
    /// Whether it was read since it was last looked at.
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

    /// Returns what `look` finds in the entry; `None` if there is no entry. Takes no lock.
    pub(super) fn get<R>(&self, key: &K, look: impl FnOnce(&V) -> R) -> Option<R> {
        let entries = self.entries.pin();
        let held = entries.get(key)?;
        // Nearly always set already: to look first leaves the line of memory with all who read.
        if !held.is_used.load(Ordering::Relaxed) {
            held.is_used.store(true, Ordering::Relaxed);
        }
        Some(look(&held.value))
    }

    /// Puts an entry in, in the place of one with the same key, and lets go of what there is no room for.
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

    /// Returns the weight of all entries.
    pub(super) fn weight(&self) -> u64 {
        u64::try_from(self.weight.load(Ordering::Relaxed)).unwrap_or_default()
    }

    /// Lets everything go, as if there were no room for it.
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
    fn what_was_read_gets_a_second_chance() {
        let cache = Cache::new(3);
        for key in 0..3 {
            cache.put(key, key, 1);
        }
        assert_eq!(cache.get(&0, |value| *value), Some(0));
        cache.put(3, 3, 1);
        // 1 was the first that nobody had read.
        assert_eq!([0, 1, 2, 3].map(|key| cache.entries.pin().contains_key(&key)), [true, false, true, true]);
        // Nobody has read 2 either, and 0 only once.
        cache.put(4, 4, 2);
        assert_eq!(
            [0, 2, 3, 4].map(|key| cache.entries.pin().contains_key(&key)),
            [true, false, false, true]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever is put in and read, the weight is that of what is there, within the bound, and each key is queued once.
        #[test]
        fn it_holds_what_it_says(puts in prop::collection::vec((0_u8..12, 0_usize..6, any::<bool>()), 1..80)) {
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

    /// Threads that put in the same few keys at once leave nothing behind that nobody can let go of.
    #[test]
    fn threads_leave_nothing_behind() {
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
