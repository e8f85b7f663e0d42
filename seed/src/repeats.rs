//! Rows that repeat another row of their file exactly.

use std::collections::{HashMap, HashSet};

use api::ingest::Crossing;
use entity::Instant;
use entity::event::Direction;

/// Tells rows of one file apart that are exactly alike, by giving each the next free `seq`.
///
/// The same rows in another order get the same set of numbers, so a file may be loaded twice.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    serials: HashMap<String, usize>,
    taken: HashSet<(usize, Instant, Direction, i32)>,
}

impl Repeats {
    /// Numbers the crossing, unless no row before it was the same.
    pub(crate) fn number(&mut self, crossing: &mut Crossing) {
        let next = self.serials.len();
        let serial = *self.serials.entry(crossing.serial.clone()).or_insert(next);
        while !self.taken.insert((serial, crossing.ts, crossing.direction, crossing.seq)) {
            crossing.seq = crossing.seq.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_repeat_gets_the_next_free_number() {
        let crossing = |seq| Crossing {
            serial: "423".to_owned(),
            ts: Instant::from_ms(5),
            direction: Direction::Toward,
            seq,
        };
        let mut repeats = Repeats::default();
        let numbered = [0, 1, 0, 0, 7].map(|seq| {
            let mut crossing = crossing(seq);
            repeats.number(&mut crossing);
            crossing.seq
        });
        assert_eq!(numbered, [0, 1, 2, 3, 7]);
    }
}
