//! Simulates the people who cross, and how a device that reports each of them does so.

use std::collections::HashSet;
use std::ops::Range;

use entity::event::Direction;

use super::HOUR_MS;
use super::building::{Building, ENTERING};
use super::random::Random;
use super::underway::Underway;

/// Number of people in each room when counting starts, who were not counted.
const INSIDE_AT_START: u32 = 8;

/// One person who crosses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Crossing {
    pub(super) ts_ms: i64,
    pub(super) dpu: u32,
    pub(super) direction: Direction,
}

/// Generates the people hour by hour. After the last hour follows one with what arrives later.
pub(super) struct People<'a> {
    building: &'a Building,
    random: Random,
    /// Number of people who really are in each room.
    inside: Vec<u32>,
    events: u64,
    made: u64,
    hours: Range<i64>,
    /// How busy the hours so far were, and all hours.
    busy: (u64, u64),
    underway: Underway<Crossing>,
}

/// What happens in an hour.
pub(super) struct Hour {
    pub(super) ends_ms: i64,
    /// The people who cross, in the order of time.
    pub(super) people: Vec<Crossing>,
    /// The crossings whose reports arrive, in the order of arrival, and whether their rows are quoted.
    pub(super) arrived: Vec<(Crossing, bool)>,
}

impl<'a> People<'a> {
    pub(super) fn new(building: &'a Building, events: u64, seed: u64) -> Self {
        let rooms = usize::try_from(building.spaces).unwrap_or_default();
        Self {
            building,
            random: Random::new(seed),
            inside: vec![INSIDE_AT_START; rooms],
            events,
            made: 0,
            hours: building.hours(),
            busy: (0, building.busy_hours()),
            underway: Underway::new(),
        }
    }

    /// Generates the people of an hour, who are the same whatever the DPUs report.
    fn people(&mut self, hour: i64) -> Vec<Crossing> {
        let (hour_ms, of_day, busy) = self.building.hour(hour);
        self.busy.0 += busy;
        // Rounding the running sum, not each hour, gives exactly the requested number of events.
        let due = u128::from(self.events) * u128::from(self.busy.0) / u128::from(self.busy.1);
        let due = u64::try_from(due).unwrap_or(self.events);
        let mut times: Vec<i64> = (self.made..due).map(|_| hour_ms + self.random.within(HOUR_MS)).collect();
        times.sort_unstable();
        self.made = due;
        let mut taken = HashSet::new();
        let mut people = Vec::with_capacity(times.len());
        for ts_ms in times {
            let crossing = self.crossing(ts_ms, of_day, &mut taken);
            let arrives_ms = self.building.arrival(crossing.dpu, ts_ms, &mut self.random);
            self.underway.send(crossing, arrives_ms, &mut self.random);
            people.push(crossing);
        }
        people
    }

    /// Generates a crossing that is possible and not in `taken`, and adds it there.
    fn crossing(&mut self, ts_ms: i64, of_day: usize, taken: &mut HashSet<Crossing>) -> Crossing {
        loop {
            let dpu = u32::try_from(self.random.below(u64::from(self.building.dpus))).unwrap_or_default();
            let direction =
                if self.random.below(100) < ENTERING[of_day] { Direction::Toward } else { Direction::Away };
            let (entered, left) = self.building.rooms(dpu, ts_ms);
            let (from, to) = match direction {
                Direction::Toward => (left, Some(entered)),
                Direction::Away => (Some(entered), left),
            };
            let crossing = Crossing { ts_ms, dpu, direction };
            let possible = from.is_none_or(|room| self.inside[room as usize] > 0)
                && to.is_none_or(|room| self.inside[room as usize] < self.building.capacity(room));
            if possible && taken.insert(crossing) {
                if let Some(room) = from {
                    self.inside[room as usize] -= 1;
                }
                if let Some(room) = to {
                    self.inside[room as usize] += 1;
                }
                return crossing;
            }
        }
    }

    /// Returns the crossings whose reports arrive before `until_ms`. Some rows are quoted and some are bare, as in
    /// exports that were stitched together.
    fn arrived(&mut self, until_ms: i64) -> Vec<(Crossing, bool)> {
        let mut arrived = Vec::new();
        while let Some(crossing) = self.underway.next_before(until_ms) {
            arrived.push((crossing, self.random.below(3) != 0));
        }
        arrived
    }
}

impl Iterator for People<'_> {
    type Item = Hour;

    fn next(&mut self) -> Option<Hour> {
        let Some(hour) = self.hours.next() else {
            let arrived = self.arrived(i64::MAX);
            let rest = Hour { ends_ms: self.building.end_ms(), people: Vec::new(), arrived };
            return (!rest.arrived.is_empty()).then_some(rest);
        };
        let people = self.people(hour);
        let (starts_ms, ..) = self.building.hour(hour);
        let ends_ms = starts_ms + HOUR_MS;
        Some(Hour { ends_ms, people, arrived: self.arrived(ends_ms) })
    }
}
