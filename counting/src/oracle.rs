//! The oracle: computes how many people are in a space by replaying every raw event.
//!
//! Deliberately slow and simple. It shares nothing with the formula: no prefix sums, no cutting of intervals, no
//! assumption about the order of arrival. Tests compare everything else with it.

use std::collections::HashSet;

/// One crossing as a device reported it. Times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// The DPU.
    pub dpu: i64,
    /// When it happened.
    pub ts: i64,
    /// `1` towards the DPU, `-1` away from it.
    pub direction: i64,
    /// Distinguishes crossings in the same millisecond.
    pub seq: i32,
}

/// A DPU that counted for a space during `[starts_at, ends_at)`.
#[derive(Clone, Copy, Debug)]
pub struct Assignment {
    /// The DPU.
    pub dpu: i64,
    /// The space.
    pub space: i64,
    /// `1` inside, `-1` outside.
    pub placement: i64,
    /// Start, inclusive; `None`: from the beginning.
    pub starts_at: Option<i64>,
    /// End, exclusive; `None`: no end.
    pub ends_at: Option<i64>,
}

/// A statement that `count` people were in a space at `ts`.
#[derive(Clone, Copy, Debug)]
pub struct Reset {
    /// The space.
    pub space: i64,
    /// When the count was true.
    pub ts: i64,
    /// The number of people.
    pub count: i64,
}

/// Everything that happened, in the order in which it was reported.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// The crossings, some of them reported twice.
    pub events: Vec<Event>,
    /// The assignments.
    pub assignments: Vec<Assignment>,
    /// The resets.
    pub resets: Vec<Reset>,
}

impl World {
    /// Returns the number of people in `space` at `ts`.
    pub fn count(&self, space: i64, ts: i64) -> i64 {
        let reset = self
            .resets
            .iter()
            .filter(|reset| reset.space == space && reset.ts <= ts)
            .max_by_key(|reset| reset.ts);
        let mut count = reset.map_or(0, |reset| reset.count);
        let mut seen = HashSet::new();
        for event in &self.events {
            let known_by_then = event.ts <= ts;
            let in_the_reset = reset.is_some_and(|reset| event.ts <= reset.ts);
            if !seen.insert(*event) || !known_by_then || in_the_reset {
                continue;
            }
            for assignment in &self.assignments {
                let holds = assignment.starts_at.is_none_or(|starts_at| starts_at <= event.ts)
                    && assignment.ends_at.is_none_or(|ends_at| event.ts < ends_at);
                if assignment.space == space && assignment.dpu == event.dpu && holds {
                    count += assignment.placement * event.direction;
                }
            }
        }
        count
    }

    /// Returns the number of people who entered and who left `space` in `[start, end)`.
    pub fn crossings(&self, space: i64, start: i64, end: i64) -> (i64, i64) {
        let (mut entrances, mut exits) = (0, 0);
        let distinct: HashSet<_> =
            self.events.iter().filter(|event| (start..end).contains(&event.ts)).collect();
        for event in distinct {
            for assignment in self.assignments.iter().filter(|a| a.space == space && a.dpu == event.dpu) {
                let holds = assignment.starts_at.is_none_or(|starts_at| starts_at <= event.ts)
                    && assignment.ends_at.is_none_or(|ends_at| event.ts < ends_at);
                match (holds, assignment.placement * event.direction) {
                    (true, 1) => entrances += 1,
                    (true, _) => exits += 1,
                    (false, _) => {}
                }
            }
        }
        (entrances, exits)
    }
}
