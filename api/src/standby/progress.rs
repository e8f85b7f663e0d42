//! Which changes a standby has. No I/O.

use std::collections::HashMap;

/// Changes, numbered as this process makes them or hears of them, and how far the standby has come.
#[derive(Debug)]
pub(super) struct Progress {
    newest: u64,
    /// The standby has every change up to this one.
    replayed: u64,
    /// The newest change that may be about any DPU.
    all: u64,
    /// By a DPU's id, the newest change of its own that the standby may lack.
    dpus: HashMap<i64, u64>,
}

impl Default for Progress {
    /// Returns a standby of which nothing is known.
    fn default() -> Self {
        Self { newest: 1, replayed: 0, all: 1, dpus: HashMap::new() }
    }
}

impl Progress {
    /// The timelines of these DPUs have changed.
    pub(super) fn changed(&mut self, dpus: impl IntoIterator<Item = i64>) {
        self.newest += 1;
        self.dpus.extend(dpus.into_iter().map(|dpu| (dpu, self.newest)));
    }

    /// Who knows what has changed, or who knows what the standby has.
    pub(super) fn changed_all(&mut self) {
        self.newest += 1;
        self.all = self.newest;
        self.dpus.clear();
    }

    /// Returns the number of the newest change.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// The standby has every change up to this one.
    pub(super) fn replayed(&mut self, change: u64) {
        self.replayed = self.replayed.max(change);
        self.dpus.retain(|_, own| *own > self.replayed);
    }

    /// Returns whether the standby has all that is known of these DPUs.
    pub(super) fn has(&self, dpus: impl IntoIterator<Item = i64>) -> bool {
        let has = |change: u64| change <= self.replayed;
        has(self.all) && dpus.into_iter().all(|dpu| self.dpus.get(&dpu).is_none_or(|own| has(*own)))
    }
}

#[cfg(test)]
mod tests {
    use super::Progress;

    #[test]
    fn it_has_what_was_changed_before_it_was_asked_and_no_more() {
        let mut progress = Progress::default();
        assert!(!progress.has([]), "nothing is known of it");
        progress.replayed(progress.newest());
        assert!(progress.has([1, 2]));
        progress.changed([1]);
        let asked = progress.newest();
        progress.changed([2]);
        assert!(!progress.has([1]) && !progress.has([3, 2]) && progress.has([3]));
        progress.replayed(asked);
        assert!(progress.has([1, 3]) && !progress.has([2]));
        progress.changed([1]);
        progress.changed_all();
        assert!(!progress.has([3]) && !progress.has([]));
        progress.replayed(asked + 1);
        assert!(!progress.has([3]));
        progress.replayed(progress.newest());
        assert!(progress.has([1, 2, 3]));
    }
}
