//! The changes that a standby has. No I/O.

use std::collections::HashMap;

/// The known changes, numbered in the order in which this process made or noticed them, and the standby's progress.
#[derive(Debug)]
pub(super) struct Progress {
    newest: u64,
    /// The standby has all changes up to this one.
    replayed: u64,
    /// The newest change that may affect any DPU.
    all: u64,
    /// For each DPU, its newest change that the standby may lack.
    dpus: HashMap<i64, u64>,
}

impl Default for Progress {
    /// Creates the progress of a standby that nothing is known about.
    fn default() -> Self {
        Self { newest: 1, replayed: 0, all: 1, dpus: HashMap::new() }
    }
}

impl Progress {
    pub(super) fn changed(&mut self, dpus: impl IntoIterator<Item = i64>) {
        self.newest += 1;
        self.dpus.extend(dpus.into_iter().map(|dpu| (dpu, self.newest)));
    }

    /// Records that any timeline may have changed, or that the standby's progress is unknown.
    pub(super) fn changed_all(&mut self) {
        self.newest += 1;
        self.all = self.newest;
        self.dpus.clear();
    }

    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    pub(super) fn replayed(&mut self, change: u64) {
        self.replayed = self.replayed.max(change);
        self.dpus.retain(|_, own| *own > self.replayed);
    }

    pub(super) fn has(&self, dpus: impl IntoIterator<Item = i64>) -> bool {
        let has = |change: u64| change <= self.replayed;
        has(self.all) && dpus.into_iter().all(|dpu| self.dpus.get(&dpu).is_none_or(|own| has(*own)))
    }
}

#[cfg(test)]
mod tests {
    use super::Progress;

    #[test]
    fn the_standby_has_exactly_the_changes_up_to_the_replayed_one() {
        let mut progress = Progress::default();
        assert!(!progress.has([]), "nothing is known about it");
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
