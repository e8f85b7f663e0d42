//! Rows that exactly repeat another row of their file.

use std::collections::HashMap;

use api::floor_plan::FloorPlan;
use api::ingest::{Identity, Rejection, RejectionCode, Report, zone};

/// Distinguishes equal rows of one file by giving each the next free `seq`.
///
/// The same rows in another order get the same set of numbers, so a file may be loaded twice.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    /// For each identity that is taken, the `seq` to try next: all between are taken as well.
    next: HashMap<Identity, i64>,
}

impl Repeats {
    /// Numbers the row's crossing if an earlier row was equal. Rejects the row if no number is left.
    pub(crate) fn number(&mut self, plan: &FloorPlan, row: &mut Result<Report, Rejection>) {
        let Ok(Report::Crossing(crossing)) = row else { return };
        // A row that cannot be stored needs no number.
        let ts = zone::instant(crossing.ts, plan.zone_of(&crossing.serial));
        let (Some(dpu_id), Ok(ts)) = (plan.dpu_id(&crossing.serial), ts) else { return };
        let identity = Identity { dpu_id, ts, direction: crossing.direction, seq: crossing.seq };
        if let Some(seq) = self.free(identity) {
            crossing.seq = seq;
            return;
        }
        let message = format!(
            "the row repeats another one, and no seq after {} is left to distinguish them",
            crossing.seq
        );
        *row = Err(Rejection::new(RejectionCode::BadSeq, message));
    }

    /// Takes the first free `seq` from the identity's own on.
    fn free(&mut self, identity: Identity) -> Option<i32> {
        let at = |seq| Identity { seq, ..identity };
        let (mut seq, mut passed) = (i64::from(identity.seq), Vec::new());
        while let Ok(number) = i32::try_from(seq)
            && let Some(next) = self.next.get(&at(number))
        {
            passed.push(number);
            seq = *next;
        }
        let free = i32::try_from(seq).ok();
        let next = free.map_or(seq, |_| seq + 1);
        // The next row with one of these numbers needs one step.
        self.next.extend(passed.into_iter().chain(free).map(|number| (at(number), next)));
        free
    }
}

#[cfg(test)]
mod tests {
    use entity::Instant;
    use entity::event::Direction;

    use super::*;

    fn identity(seq: i32) -> Identity {
        Identity { dpu_id: 423, ts: Instant::from_ms(5), direction: Direction::Toward, seq }
    }

    #[test]
    fn each_repeat_gets_the_next_free_number() {
        let mut repeats = Repeats::default();
        let numbered = [0, 1, 0, 0, 7, 3, 6, 5].map(|seq| repeats.free(identity(seq)));
        assert_eq!(numbered, [0, 1, 2, 3, 7, 4, 6, 5].map(Some));
        assert_eq!(repeats.free(identity(0)), Some(8));
    }

    #[test]
    fn after_the_last_number_there_is_none() {
        let mut repeats = Repeats::default();
        let numbered =
            [i32::MAX - 1, i32::MAX - 1, i32::MAX - 1, i32::MAX].map(|seq| repeats.free(identity(seq)));
        assert_eq!(numbered, [Some(i32::MAX - 1), Some(i32::MAX), None, None]);
    }

    #[test]
    fn equal_rows_take_a_time_that_grows_with_their_number_only() {
        let mut repeats = Repeats::default();
        for number in 0..1_000_000 {
            assert_eq!(repeats.free(identity(0)), Some(number));
        }
    }
}
