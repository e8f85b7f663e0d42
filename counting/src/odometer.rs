//! An odometer in memory: a DPU's crossings in order, with a running sum.

use values::{Direction, Instant};

use crate::Crossings;

/// The crossings that a DPU had seen by any instant, computed from the crossings it was built from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Odometer {
    /// Instants with crossings, ascending and distinct, each with the total up to and including it.
    steps: Vec<(Instant, Crossings)>,
}

impl Odometer {
    /// Returns the crossings up to and including `ts`.
    pub fn at(&self, ts: Instant) -> Crossings {
        match self.steps.partition_point(|(step, _)| *step <= ts) {
            0 => Crossings::default(),
            after => self.steps[after - 1].1,
        }
    }
}

impl FromIterator<(Instant, Crossings)> for Odometer {
    /// Builds the odometer from crossings in any order, each with the instant from which it shows them.
    fn from_iter<I: IntoIterator<Item = (Instant, Crossings)>>(crossings: I) -> Self {
        let mut crossings: Vec<_> = crossings.into_iter().collect();
        crossings.sort_unstable_by_key(|(ts, _)| *ts);
        let mut steps: Vec<(Instant, Crossings)> = Vec::with_capacity(crossings.len());
        let mut seen = Crossings::default();
        for (ts, people) in crossings {
            seen += people;
            match steps.last_mut() {
                Some((last, total)) if *last == ts => *total = seen,
                _ => steps.push((ts, seen)),
            }
        }
        Self { steps }
    }
}

impl FromIterator<(Instant, Direction)> for Odometer {
    /// Builds the odometer from distinct events in any order.
    fn from_iter<I: IntoIterator<Item = (Instant, Direction)>>(events: I) -> Self {
        events.into_iter().map(|(ts, direction)| (ts, Crossings::from(direction))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shows_what_was_seen_by_an_instant() {
        let at = Instant::from_ms;
        let odometer: Odometer =
            [(at(30), Direction::Away), (at(10), Direction::Toward), (at(10), Direction::Toward)]
                .into_iter()
                .collect();
        assert_eq!(odometer.at(at(9)), Crossings::default());
        assert_eq!(odometer.at(at(10)), Crossings { toward: 2, away: 0 });
        assert_eq!(odometer.at(at(29)), Crossings { toward: 2, away: 0 });
        assert_eq!(odometer.at(at(30)), Crossings { toward: 2, away: 1 });
        assert_eq!(Odometer::default().at(at(0)), Crossings::default());
    }
}
