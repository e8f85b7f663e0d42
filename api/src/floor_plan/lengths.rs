//! The lengths of the lists in a floor plan.

use super::FloorPlan;

/// Lists of spaces and DPUs that have no pages, or that are shorter than a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// The assignments of a space, which are at least as many as its DPUs.
    AssignmentsOfSpace,
    RulesOfSpace,
    AssignmentsOfDpu,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Length {
    pub longest: u64,
    pub all: u64,
}

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
