//! The floor plan: spaces, DPUs, who counted for whom and when, and resets.
//!
//! It is small, so all of it is kept in memory as one immutable [`FloorPlan`], which belongs to the process's
//! [`State`](crate::state::State). [`changes`] are made in the database, under its constraints, and bump a revision
//! by which every process sees that its copy is old.

pub mod changes;
mod history;
mod lengths;
mod load;
mod marks;
mod preview;
mod refusal;
mod view;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use chrono_tz::Tz;
use entity::{Instant, assignment, dpu, reset, reset_rule, space};
pub use history::{HistoryError, edge, history_edges};
pub use lengths::{Lengths, List};
pub(crate) use load::load;
pub(crate) use marks::listed;
pub use marks::{Cause, Mark};
pub use preview::PreviewError;
pub use refusal::{ChangeError, Refusal, RefusalCode};
pub use view::Span;

use self::changes::composed;

use crate::counting::{Account, History, Starts};

/// The rows that a floor plan is made of.
#[derive(Debug, Default)]
struct Rows {
    spaces: Vec<space::Model>,
    dpus: Vec<dpu::Model>,
    /// In ascending order of their ids.
    assignments: Vec<assignment::Model>,
    /// In ascending order of their instants.
    resets: Vec<reset::Model>,
    /// In ascending order of their ids.
    rules: Vec<reset_rule::Model>,
}

/// All spaces, DPUs, assignments, resets and reset rules as they were at one revision.
#[derive(Debug, Default)]
pub struct FloorPlan {
    edition: Edition,
    spaces: BTreeMap<i64, Arc<Space>>,
    dpus: BTreeMap<i64, Arc<Dpu>>,
    dpu_ids: HashMap<String, i64>,
    lengths: OnceLock<Lengths>,
}

/// Which of all floor plans there were it is.
#[derive(Clone, Copy, Debug, Default)]
struct Edition {
    /// Every change makes it one more.
    revision: i64,
    /// Events before it are not recorded any more.
    horizon: Option<Instant>,
    /// Events before it are gone.
    digested: Option<Instant>,
}

/// A space and what is needed to count the people in it.
#[derive(Debug)]
pub struct Space {
    /// Its row.
    pub row: space::Model,
    /// Its assignments, oldest id first.
    pub assignments: Vec<assignment::Model>,
    /// Its resets, earliest first.
    pub resets: Vec<reset::Model>,
    /// Its reset rules, oldest id first.
    pub rules: Vec<reset_rule::Model>,
    /// Its time zone.
    pub zone: Tz,
}

/// A DPU and where it has hung.
#[derive(Debug)]
pub struct Dpu {
    /// Its row.
    pub row: dpu::Model,
    /// Its assignments, oldest id first.
    pub assignments: Vec<assignment::Model>,
    /// Its time zone, by which its timestamps are read that name none.
    pub zone: Option<Tz>,
    /// When its events may be looked at; `None`: ever.
    shown: Option<Vec<Span>>,
}

impl FloorPlan {
    /// Puts the rows in their places.
    fn new(edition: Edition, rows: Rows) -> Self {
        let Rows { spaces, dpus, assignments, resets, rules } = rows;
        let dpu_ids = dpus.iter().map(|dpu| (composed(&dpu.serial), dpu.id)).collect();
        let mut spaces: BTreeMap<_, _> = spaces.into_iter().map(|row| (row.id, Space::new(row))).collect();
        let mut dpus: BTreeMap<_, _> = dpus.into_iter().map(|row| (row.id, Dpu::new(row))).collect();
        for assignment in assignments {
            if let Some(dpu) = dpus.get_mut(&assignment.dpu_id) {
                dpu.assignments.push(assignment.clone());
            }
            if let Some(space) = spaces.get_mut(&assignment.space_id) {
                space.assignments.push(assignment);
            }
        }
        for reset in resets {
            if let Some(space) = spaces.get_mut(&reset.space_id) {
                space.resets.push(reset);
            }
        }
        for rule in rules {
            if let Some(space) = spaces.get_mut(&rule.space_id) {
                space.rules.push(rule);
            }
        }
        let lengths = OnceLock::new();
        Self { edition, spaces: shared(spaces), dpus: shared(dpus), dpu_ids, lengths }
    }

    /// Its revision: each change makes it one more.
    pub fn revision(&self) -> i64 {
        self.edition.revision
    }

    /// The first instant from which on events are kept one by one; before it, digests are. `None`: all are kept.
    pub fn horizon(&self) -> Option<Instant> {
        self.edition.horizon
    }

    /// The first instant that has its events still; those before are gone. `None`: all have. At most the horizon,
    /// which it follows while events are pruned.
    pub fn digested(&self) -> Option<Instant> {
        self.edition.digested
    }

    /// Whether `at` is before the horizon, so that crossings are known by the hour.
    pub fn is_digested(&self, at: Instant) -> bool {
        self.edition.horizon.is_some_and(|horizon| at < horizon)
    }

    /// How long its lists are.
    pub fn lengths(&self) -> &Lengths {
        self.lengths.get_or_init(|| Lengths::new(self))
    }

    /// The space with this id.
    pub fn space(&self, id: i64) -> Option<&Arc<Space>> {
        self.spaces.get(&id)
    }

    /// Every space, in the order of their ids.
    pub fn spaces(&self) -> &BTreeMap<i64, Arc<Space>> {
        &self.spaces
    }

    /// The DPU with this id.
    pub fn dpu(&self, id: i64) -> Option<&Arc<Dpu>> {
        self.dpus.get(&id)
    }

    /// Every DPU, in the order of their ids.
    pub fn dpus(&self) -> &BTreeMap<i64, Arc<Dpu>> {
        &self.dpus
    }

    /// The id of the DPU with this serial, which may have blanks around it, and characters that are not composed.
    pub fn dpu_id(&self, serial: &str) -> Option<i64> {
        let known = self.dpu_ids.get(serial.trim());
        let known =
            if serial.is_ascii() { known } else { known.or_else(|| self.dpu_ids.get(&composed(serial))) };
        known.copied()
    }

    /// The time zone of the DPU with this serial, if it has one.
    pub fn zone_of(&self, serial: &str) -> Option<Tz> {
        self.dpu(self.dpu_id(serial)?)?.zone
    }
}

fn shared<T>(things: BTreeMap<i64, T>) -> BTreeMap<i64, Arc<T>> {
    things.into_iter().map(|(id, thing)| (id, Arc::new(thing))).collect()
}

impl Space {
    fn new(row: space::Model) -> Self {
        // Only names of zones are ever stored; a name that a newer tz database has dropped reads as UTC.
        let zone = row.time_zone.parse().unwrap_or(Tz::UTC);
        Self { row, assignments: Vec::new(), resets: Vec::new(), rules: Vec::new(), zone }
    }

    /// All that states its counts.
    pub fn starts(&self) -> Starts<'_> {
        Starts { resets: &self.resets, rules: &self.rules, zone: self.zone }
    }

    /// What the count at `at` is made of.
    pub fn account(&self, at: Instant) -> Account<'_> {
        Account::new(&self.assignments, self.starts().newest(at), at)
    }

    /// What its history is made of, in the buckets between the edges.
    pub fn history(&self, edges: Vec<Instant>) -> History<'_> {
        History::new(&self.assignments, self.starts(), edges)
    }

    /// What a count of `net` people is answered as: below zero it may be clamped.
    pub fn answer(&self, net: i64) -> i64 {
        match self.row.negative_counts {
            space::NegativeCounts::Report => net,
            space::NegativeCounts::Clamp => net.max(0),
        }
    }

    /// The ids of the DPUs that count for it at `at`, ascending, each once.
    pub fn dpu_ids(&self, at: Instant) -> Vec<i64> {
        let holding = self.assignments.iter().filter(|assignment| holds(assignment, at));
        let mut ids: Vec<_> = holding.map(|assignment| assignment.dpu_id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

impl Dpu {
    fn new(row: dpu::Model) -> Self {
        // As with a space's, a name that a newer tz database has dropped reads as UTC.
        let zone = row.time_zone.as_deref().and_then(|name| name.parse().ok());
        Self { row, assignments: Vec::new(), zone, shown: None }
    }

    /// Whether it counts for some space at `at`.
    pub fn is_assigned(&self, at: Instant) -> bool {
        self.assignments.iter().any(|assignment| holds(assignment, at))
    }
}

/// Whether the assignment holds at `at`.
fn holds(assignment: &assignment::Model, at: Instant) -> bool {
    assignment.starts_at.is_none_or(|starts_at| starts_at <= at)
        && assignment.ends_at.is_none_or(|ends_at| at < ends_at)
}
