//! Summaries: what a space's count did during each hour of one UTC day.

use entity::Instant;

use crate::counting::Cell;

/// Which summary: of this space, of the UTC day that begins then, in cells of this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SummaryKey {
    /// The space's id.
    pub(crate) space: i64,
    /// When the day begins.
    pub(crate) day: Instant,
    /// The length of a cell.
    pub(crate) grain: Grain,
}

/// The length of a summary's cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Grain {
    /// An hour.
    Hour,
    /// A quarter of an hour, for time zones whose days do not begin on a whole hour of UTC.
    Quarter,
}

/// What a space's count did during one UTC day, and what that was made of.
///
/// Most hours of most days are quiet: nobody crosses, and the count stays what it was. They take no memory.
#[derive(Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) source: SummarySource,
    /// The cells that are not quiet, each with its place in the day.
    busy: Box<[(u8, Cell)]>,
}

/// What a summary is made of. Equal sources make equal summaries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SummarySource {
    /// The revision of the floor plan.
    pub(crate) revision: i64,
    /// The signed count just before the day.
    pub(crate) before: i64,
    /// The number of crossings of the day, for each assignment that holds during it.
    pub(crate) lengths: Vec<i64>,
}

impl Grain {
    /// Its length in milliseconds.
    pub(crate) const fn ms(self) -> i64 {
        match self {
            Self::Hour => 3_600_000,
            Self::Quarter => 900_000,
        }
    }
}

impl Summary {
    /// The summary of a day of these cells, one after the other.
    pub(crate) fn new(source: SummarySource, cells: &[Cell]) -> Self {
        let mut before = source.before;
        let busy = (0..).zip(cells).filter(|(_, cell)| {
            let is_quiet =
                cell.net == before && cell.min == cell.max && cell.entrances == 0 && cell.exits == 0;
            before = cell.net;
            !is_quiet
        });
        Self { busy: busy.map(|(place, cell)| (place, *cell)).collect(), source }
    }

    /// The cells that are not quiet, in order, each with the number of cells before it.
    pub(crate) fn busy(&self) -> impl Iterator<Item = (i64, &Cell)> {
        self.busy.iter().map(|(place, cell)| (i64::from(*place), cell))
    }

    /// The number of bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.busy) + size_of_val(&*self.source.lengths)
    }
}
