//! The number of people who walked each way under a DPU.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};

use values::{Direction, Placement};

/// An odometer's reading, or the difference between two: people each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crossings {
    /// People who walked towards the DPU.
    pub toward: i64,
    /// People who walked away from it.
    pub away: i64,
}

impl Crossings {
    /// Returns towards minus away: `P` in the formula.
    pub const fn net(self) -> i64 {
        self.toward - self.away
    }

    /// Returns the number of crossings in both directions.
    pub const fn count(self) -> i64 {
        self.toward + self.away
    }

    /// Returns the maximum of each direction.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { toward: self.toward.max(other.toward), away: self.away.max(other.away) }
    }

    /// Returns the number of people who entered a space, for a DPU on the side `placement`.
    pub const fn entrances(self, placement: Placement) -> i64 {
        match placement {
            Placement::Inside => self.toward,
            Placement::Outside => self.away,
        }
    }

    /// Returns the number of people who left that space.
    pub const fn exits(self, placement: Placement) -> i64 {
        match placement {
            Placement::Inside => self.away,
            Placement::Outside => self.toward,
        }
    }
}

impl From<Direction> for Crossings {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Toward => Self { toward: 1, away: 0 },
            Direction::Away => Self { toward: 0, away: 1 },
        }
    }
}

impl Add for Crossings {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { toward: self.toward + other.toward, away: self.away + other.away }
    }
}

impl AddAssign for Crossings {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Crossings {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { toward: self.toward - other.toward, away: self.away - other.away }
    }
}

impl Sum for Crossings {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), Add::add)
    }
}
