//! The oracle: computes how many people are in a space by replaying every report, person by person.
//!
//! Deliberately slow and simple. It shares nothing with the formula: no prefix sums, no cutting of intervals, no
//! assumption about the order of arrival. Tests compare everything else with it.

use std::collections::{BTreeSet, HashMap, HashSet};

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

/// What a device reported of `[from, to)`: how many people crossed each way. Times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// The DPU.
    pub dpu: i64,
    /// Start, inclusive.
    pub from: i64,
    /// End, exclusive.
    pub to: i64,
    /// People towards the DPU.
    pub toward: i64,
    /// People away from it.
    pub away: i64,
}

/// What a device's counters showed at `ts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// The DPU.
    pub dpu: i64,
    /// When they were read, in milliseconds.
    pub ts: i64,
    /// People towards the DPU since the device was started.
    pub toward: i64,
    /// People away from it.
    pub away: i64,
}

/// A person, who crossed at some instant of `first..=last`.
#[derive(Clone, Copy, Debug)]
struct Person {
    dpu: i64,
    first: i64,
    last: i64,
    direction: i64,
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
    /// The intervals. One that was reported before with other numbers replaces them.
    pub intervals: Vec<Interval>,
    /// The readings, some of them reported twice.
    pub totals: Vec<Totals>,
    /// The width of all counters, in bits. `None`: they never roll over.
    pub counter_bits: Option<u32>,
    /// The assignments.
    pub assignments: Vec<Assignment>,
    /// The resets.
    pub resets: Vec<Reset>,
}

impl World {
    /// Returns the number of people in `space` at `ts`.
    pub fn count(&self, space: i64, ts: i64) -> i64 {
        let (reset, count) = self.start(space, ts);
        let shares =
            self.people().into_iter().map(|person| self.share(space, reset, ts, person, person.last));
        count + shares.sum::<i64>()
    }

    /// Returns the lowest and the highest number of people that can have been in `space` at `ts`.
    pub fn range(&self, space: i64, ts: i64) -> (i64, i64) {
        let (reset, count) = self.start(space, ts);
        // What a person adds changes only where something begins or ends.
        let edges = self.assignments.iter().flat_map(|a| [a.starts_at, a.ends_at]);
        let edges = edges.chain([reset.map(|reset| reset + 1), Some(ts + 1)]).flatten();
        let edges: BTreeSet<i64> = edges.flat_map(|edge| [edge - 1, edge]).collect();
        let (mut low, mut high) = (count, count);
        for person in self.people() {
            let instants = edges.range(person.first..=person.last).copied();
            let shares = instants.chain([person.first, person.last]);
            let shares = shares.map(|at| self.share(space, reset, ts, person, at));
            let (mut least, mut most) = (i64::MAX, i64::MIN);
            for share in shares {
                (least, most) = (least.min(share), most.max(share));
            }
            (low, high) = (low + least, high + most);
        }
        (low, high)
    }

    /// Returns the number of people who entered and who left `space` in `[start, end)`.
    pub fn crossings(&self, space: i64, start: i64, end: i64) -> (i64, i64) {
        let (mut entrances, mut exits) = (0, 0);
        for person in self.people().into_iter().filter(|person| (start..end).contains(&person.last)) {
            for placement in self.placements(space, person.dpu, person.last) {
                match placement * person.direction {
                    1 => entrances += 1,
                    _ => exits += 1,
                }
            }
        }
        (entrances, exits)
    }

    /// Returns the instant and the count of the newest reset by `ts`.
    fn start(&self, space: i64, ts: i64) -> (Option<i64>, i64) {
        let resets = self.resets.iter().filter(|reset| reset.space == space && reset.ts <= ts);
        let newest = resets.max_by_key(|reset| reset.ts);
        (newest.map(|reset| reset.ts), newest.map_or(0, |reset| reset.count))
    }

    /// Returns what a person who crossed at `at` adds to the count of `space` at `ts`.
    fn share(&self, space: i64, reset: Option<i64>, ts: i64, person: Person, at: i64) -> i64 {
        if at > ts || reset.is_some_and(|reset| at <= reset) {
            return 0;
        }
        let placements = self.placements(space, person.dpu, at);
        placements.map(|placement| placement * person.direction).sum()
    }

    /// Returns the placement of each assignment of the DPU to `space` that was in effect at `at`.
    fn placements(&self, space: i64, dpu: i64, at: i64) -> impl Iterator<Item = i64> {
        let of_both = self.assignments.iter().filter(move |a| a.space == space && a.dpu == dpu);
        let holding = of_both.filter(move |a| {
            a.starts_at.is_none_or(|starts_at| starts_at <= at)
                && a.ends_at.is_none_or(|ends_at| at < ends_at)
        });
        holding.map(|assignment| assignment.placement)
    }

    /// Returns every person who was reported, once.
    fn people(&self) -> Vec<Person> {
        let mut people = Vec::new();
        let mut seen = HashSet::new();
        for event in self.events.iter().filter(|event| seen.insert(**event)) {
            let Event { dpu, ts, direction, .. } = *event;
            people.push(Person { dpu, first: ts, last: ts, direction });
        }
        let mut add = |dpu, first, last, toward, away| {
            people.extend((0..toward).map(|_| Person { dpu, first, last, direction: 1 }));
            people.extend((0..away).map(|_| Person { dpu, first, last, direction: -1 }));
        };
        let mut intervals = HashMap::new();
        for interval in &self.intervals {
            intervals.insert((interval.dpu, interval.from, interval.to), *interval);
        }
        for Interval { dpu, from, to, toward, away } in intervals.into_values() {
            add(dpu, from, to - 1, toward, away);
        }
        let mut readings = self.totals.clone();
        readings.sort_by_key(|totals| (totals.dpu, totals.ts));
        for pair in readings.windows(2).filter(|pair| pair[0].dpu == pair[1].dpu && pair[0].ts < pair[1].ts) {
            let crossed = |from: i64, to: i64| match self.counter_bits {
                _ if to >= from => to - from,
                // Whether it rolled over or was restarted: a value falls from near the end only by rolling over.
                Some(bits) if from >= 1 << (bits - 1) && to < 1 << (bits - 1) => to + (1 << bits) - from,
                _ => to,
            };
            let (toward, away) =
                (crossed(pair[0].toward, pair[1].toward), crossed(pair[0].away, pair[1].away));
            add(pair[0].dpu, pair[0].ts + 1, pair[1].ts, toward, away);
        }
        people
    }
}
