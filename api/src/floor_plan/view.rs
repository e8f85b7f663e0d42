//! The part of a floor plan that a token restricted to some spaces can see.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use entity::{Instant, assignment};

use super::serials::Serials;
use super::{Dpu, FloorPlan};
use counting::Stretch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Start of the span, inclusive. `None`: from the beginning.
    pub start: Option<Instant>,
    /// End of the span, exclusive. `None`: no end.
    pub end: Option<Instant>,
}

impl FloorPlan {
    /// Returns the floor plan reduced to these spaces: without assignments to other spaces, and without DPUs that
    /// were never assigned to one of these.
    #[must_use]
    pub fn only(&self, spaces: &BTreeSet<i64>) -> Self {
        let seen = |assignment: &&assignment::Model| spaces.contains(&assignment.space_id);
        let dpus = self.dpus.iter().filter_map(|(id, dpu)| {
            let assignments: Vec<_> = dpu.assignments.iter().filter(seen).cloned().collect();
            let shown = Some(Span::union(&assignments));
            (!assignments.is_empty())
                .then(|| (*id, Arc::new(Dpu { row: dpu.row.clone(), assignments, zone: dpu.zone, shown })))
        });
        let dpus: std::collections::BTreeMap<_, _> = dpus.collect();
        Self {
            edition: self.edition,
            spaces: spaces.iter().filter_map(|id| Some((*id, Arc::clone(self.spaces.get(id)?)))).collect(),
            serials: Serials::new(dpus.values().map(|dpu| (dpu.row.serial.as_str(), dpu.row.id))),
            dpus,
            lengths: OnceLock::new(),
        }
    }
}

impl Dpu {
    /// Returns the time in which the DPU's events are visible: always, or, for a restricted token, while it was
    /// assigned to a visible space. The spans are in order and do not touch.
    pub fn shown(&self) -> &[Span] {
        self.shown.as_deref().unwrap_or(&[Span::EVER])
    }
}

impl Span {
    pub const EVER: Self = Self { start: None, end: None };

    /// Returns the overlap with `[start, end)`, or `None` if it is empty.
    pub fn within(self, start: Option<Instant>, end: Option<Instant>) -> Option<Self> {
        // `None` sorts before every instant, as a missing start must.
        let start = self.start.max(start);
        let end = match (self.end, end) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let is_empty = start.zip(end).is_some_and(|(start, end)| end <= start);
        (!is_empty).then_some(Self { start, end })
    }

    pub fn stretch(self, dpu: i64) -> Stretch {
        let last = |end: Instant| end.just_before();
        Stretch { dpu, after: self.start.map(last), until: self.end.map_or(Instant::MAX, last) }
    }

    /// Returns the instants at which at least one of these assignments holds.
    fn union(assignments: &[assignment::Model]) -> Vec<Self> {
        let mut spans: Vec<_> =
            assignments.iter().map(|row| Self { start: row.starts_at, end: row.ends_at }).collect();
        spans.sort_unstable_by_key(|span| span.start);
        let mut union: Vec<Self> = Vec::with_capacity(spans.len());
        for span in spans {
            match union.last_mut() {
                Some(last) if last.end.is_none_or(|end| span.start.is_none_or(|start| start <= end)) => {
                    last.end = last.end.zip(span.end).map(|(one, other)| one.max(other));
                }
                _ => union.push(span),
            }
        }
        union
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Instant {
        Instant::from_ms(ms)
    }

    fn span(start: Option<i64>, end: Option<i64>) -> Span {
        Span { start: start.map(at), end: end.map(at) }
    }

    fn union(spans: &[(Option<i64>, Option<i64>)]) -> Vec<Span> {
        let rows: Vec<_> = (1..)
            .zip(spans)
            .map(|(id, (starts_at, ends_at))| assignment::Model {
                id,
                dpu_id: 1,
                space_id: id,
                placement: assignment::Placement::Inside,
                doorway: None,
                starts_at: starts_at.map(at),
                ends_at: ends_at.map(at),
                created: at(0),
                modified: at(0),
            })
            .collect();
        Span::union(&rows)
    }

    #[test]
    fn adjacent_spans_are_merged() {
        assert_eq!(union(&[]), []);
        assert_eq!(union(&[(Some(5), None), (None, Some(5))]), [Span::EVER]);
        assert_eq!(union(&[(Some(1), Some(9)), (Some(2), Some(3))]), [span(Some(1), Some(9))]);
        assert_eq!(union(&[(Some(1), Some(4)), (Some(3), Some(9))]), [span(Some(1), Some(9))]);
        let apart = [(Some(1), Some(4)), (Some(5), None)];
        assert_eq!(union(&apart), apart.map(|(start, end)| span(start, end)));
        assert_eq!(union(&[(None, None), (None, Some(2)), (Some(7), Some(8))]), [Span::EVER]);
    }

    #[test]
    fn the_overlap_of_spans() {
        let within = |one: Span, start: Option<i64>, end: Option<i64>| one.within(start.map(at), end.map(at));
        assert_eq!(within(Span::EVER, Some(1), None), Some(span(Some(1), None)));
        assert_eq!(within(span(Some(1), Some(9)), None, Some(4)), Some(span(Some(1), Some(4))));
        assert_eq!(within(span(Some(1), Some(9)), Some(9), None), None);
        assert_eq!(within(span(None, Some(9)), Some(3), Some(20)), Some(span(Some(3), Some(9))));
    }
}
