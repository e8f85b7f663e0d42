//! How long the lists of a floor plan are.

use super::FloorPlan;

/// The lists of spaces and DPUs that a client cannot ask for in pages, or that are shorter than a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// The assignments of a space. Its DPUs are no more.
    AssignmentsOfSpace,
    /// The reset rules of a space.
    RulesOfSpace,
    /// The assignments of a DPU.
    AssignmentsOfDpu,
}

/// How many entries the lists of one kind have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Length {
    /// The longest of them.
    pub longest: u64,
    /// All of them together.
    pub all: u64,
}

/// How long the lists of each kind are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lengths {
    assignments_of_space: Length,
    rules_of_space: Length,
    assignments_of_dpu: Length,
}

impl Lengths {
    pub(super) fn new(plan: &FloorPlan) -> Self {
        let spaces = || plan.spaces().values();
        Self {
            assignments_of_space: Length::of(spaces().map(|space| space.assignments.len())),
            rules_of_space: Length::of(spaces().map(|space| space.rules.len())),
            assignments_of_dpu: Length::of(plan.dpus().values().map(|dpu| dpu.assignments.len())),
        }
    }

    /// How long the lists of a kind are.
    pub fn of(&self, list: List) -> Length {
        match list {
            List::AssignmentsOfSpace => self.assignments_of_space,
            List::RulesOfSpace => self.rules_of_space,
            List::AssignmentsOfDpu => self.assignments_of_dpu,
        }
    }
}

impl Length {
    fn of(lists: impl Iterator<Item = usize>) -> Self {
        lists.map(|length| length as u64).fold(Self::default(), |Self { longest, all }, length| Self {
            longest: longest.max(length),
            all: all + length,
        })
    }
}
