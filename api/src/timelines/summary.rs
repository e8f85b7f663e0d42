//! Summaries: what a space's count did during each hour of one UTC day.

use entity::Instant;

use super::days::Extent;
use counting::Cell;

/// The identity of a summary: the space, the UTC day and the length of the cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SummaryKey {
    pub(crate) space: i64,
    /// The start of the day.
    pub(crate) day: Instant,
    pub(crate) grain: Grain,
}

/// The length of a summary's cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Grain {
    Hour,
    /// A quarter of an hour, for time zones whose days do not start on a whole hour of UTC.
    Quarter,
}

/// What a space's count did during one UTC day, and what that was computed from.
///
/// Most hours of most days are quiet: there are no crossings, and the count does not change. They take no memory.
#[derive(Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) source: SummarySource,
    /// The cells that are not quiet, in order.
    busy: Box<[BusyCell]>,
}

/// A cell and the number of cells before it. Most of the cache's summaries consist of these, so they are small.
#[derive(Debug, PartialEq)]
struct BusyCell {
    people_ms: i64,
    net: i32,
    min: i32,
    max: i32,
    entrances: u32,
    exits: u32,
    place: u8,
}

/// What a summary was computed from. Equal sources give equal summaries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SummarySource {
    pub(crate) revision: i64,
    /// The signed count just before the day.
    pub(crate) before: i64,
    /// What the DPU's day had, for each assignment in effect on that day.
    pub(crate) extents: Vec<Extent>,
}

impl Grain {
    pub(crate) const fn ms(self) -> i64 {
        match self {
            Self::Hour => 3_600_000,
            Self::Quarter => 900_000,
        }
    }
}

impl Summary {
    /// Creates the summary of a day from its consecutive cells. `None` if a count does not fit in 32 bits.
    pub(crate) fn new(source: SummarySource, cells: &[Cell]) -> Option<Self> {
        let mut before = source.before;
        let busy = (0..).zip(cells).filter(|(_, cell)| {
            let is_quiet =
                cell.net == before && cell.min == cell.max && cell.entrances == 0 && cell.exits == 0;
            before = cell.net;
            !is_quiet
        });
        let busy = busy.map(|(place, cell)| BusyCell::new(place, cell)).collect::<Option<_>>()?;
        Some(Self { source, busy })
    }

    /// Returns the cells that are not quiet, in order, each with the number of cells before it.
    pub(crate) fn busy(&self) -> impl Iterator<Item = (i64, Cell)> {
        self.busy.iter().map(|busy| (busy.place.into(), busy.cell()))
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.busy) + size_of_val(&*self.source.extents)
    }
}

impl BusyCell {
    fn new(place: u8, cell: &Cell) -> Option<Self> {
        let Cell { net, min, max, people_ms, entrances, exits } = *cell;
        let (net, min, max) = (net.try_into().ok()?, min.try_into().ok()?, max.try_into().ok()?);
        Some(Self { people_ms, net, min, max, entrances, exits, place })
    }

    fn cell(&self) -> Cell {
        let Self { people_ms, net, min, max, entrances, exits, .. } = *self;
        Cell { net: net.into(), min: min.into(), max: max.into(), people_ms, entrances, exits }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(net: i64) -> Cell {
        Cell { net, min: net - 1, max: net + 1, people_ms: i64::MAX, entrances: u32::MAX, exits: 7 }
    }

    fn summary(cells: &[Cell]) -> Option<Summary> {
        Summary::new(SummarySource { revision: 1, before: 5, extents: vec![] }, cells)
    }

    #[test]
    fn busy_cells_keep_their_places() {
        let quiet = Cell { net: 5, min: 5, max: 5, people_ms: 1, entrances: 0, exits: 0 };
        let largest = i64::from(i32::MAX) - 1;
        let found: Vec<_> = summary(&[quiet, cell(-3), cell(largest)]).unwrap().busy().collect();
        assert_eq!(found, [(1, cell(-3)), (2, cell(largest))]);
    }

    #[test]
    fn a_day_with_a_count_beyond_32_bits_has_no_summary() {
        assert_eq!(summary(&[cell(0), cell(i32::MAX.into())]), None);
        assert_eq!(summary(&[cell(i32::MIN.into())]), None);
    }
}
