//! The floor plan: spaces, DPUs, assignments, resets and reset rules.
//!
//! The floor plan is small, so all of it is in memory as one immutable [`FloorPlan`], which belongs to the process's
//! [`State`](crate::state::State). [`changes`] are made in the database, under its constraints. Each change increments
//! a revision, by which every process notices that its copy is old.

pub mod changes;
mod history;
mod lengths;
mod load;
mod marks;
mod preview;
mod refusal;
mod serials;
mod view;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use chrono_tz::Tz;
use counting::{Account, History, Starts, Stretch};
use entity::{Instant, assignment, dpu, reset, reset_rule, space};
pub use history::{HistoryError, edge, history_edges};
pub use lengths::{Lengths, List};
pub(crate) use load::{horizon, load};
pub(crate) use marks::mark_table;
pub use marks::{Cause, Mark};
pub use preview::PreviewError;
pub use refusal::{ChangeError, Refusal, RefusalCode};
pub use serials::{SERIAL_CHARACTERS_MAX, device_key};
pub use view::Span;

use self::serials::Serials;

#[derive(Debug, Default)]
struct PlanRows {
    spaces: Vec<space::Model>,
    dpus: Vec<dpu::Model>,
    /// In ascending order of their ids.
    assignments: Vec<assignment::Model>,
    /// In ascending order of their instants.
    resets: Vec<reset::Model>,
    /// In ascending order of their ids.
    rules: Vec<reset_rule::Model>,
}

/// All spaces, DPUs, assignments, resets and reset rules at one revision.
#[derive(Debug, Default)]
pub struct FloorPlan {
    edition: Edition,
    spaces: BTreeMap<i64, Arc<Space>>,
    dpus: BTreeMap<i64, Arc<Dpu>>,
    serials: Serials,
    lengths: OnceLock<Lengths>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Edition {
    /// Incremented by each change.
    revision: i64,
    /// Events before this instant are no longer recorded.
    horizon: Option<Instant>,
    /// Events before this instant are deleted.
    digested: Option<Instant>,
}

/// A space and the rows that its count depends on.
#[derive(Debug)]
pub struct Space {
    pub row: space::Model,
    /// Its assignments, by id.
    pub assignments: Vec<assignment::Model>,
    /// Its resets, by instant.
    pub resets: Vec<reset::Model>,
    /// Its reset rules, by id.
    pub rules: Vec<reset_rule::Model>,
    pub zone: Tz,
    formula: Formula,
}

/// The assignments, resets and reset rules of a space as counts are made of them.
#[derive(Debug, Default)]
struct Formula {
    assignments: Vec<counting::Assignment>,
    resets: Vec<counting::Reset>,
    rules: Vec<counting::ResetRule>,
}

#[derive(Debug)]
pub struct Dpu {
    pub row: dpu::Model,
    /// Its assignments, by id.
    pub assignments: Vec<assignment::Model>,
    /// Its time zone, used for timestamps without one.
    pub zone: Option<Tz>,
    /// The time in which its events are visible. `None`: always.
    shown: Option<Vec<Span>>,
}

impl FloorPlan {
    fn new(edition: Edition, rows: PlanRows) -> Self {
        let PlanRows { spaces, dpus, assignments, resets, rules } = rows;
        let serials = Serials::new(dpus.iter().map(|dpu| (dpu.serial.as_str(), dpu.id)));
        let mut spaces: BTreeMap<_, _> = spaces.into_iter().map(|row| (row.id, Space::new(row))).collect();
        let mut dpus: BTreeMap<_, _> = dpus.into_iter().map(|row| (row.id, Dpu::new(row))).collect();
        for assignment in assignments {
            if let Some(dpu) = dpus.get_mut(&assignment.dpu_id) {
                dpu.assignments.push(assignment.clone());
            }
            if let Some(space) = spaces.get_mut(&assignment.space_id) {
                space.formula.assignments.push((&assignment).into());
                space.assignments.push(assignment);
            }
        }
        for reset in resets {
            if let Some(space) = spaces.get_mut(&reset.space_id) {
                space.formula.resets.push((&reset).into());
                space.resets.push(reset);
            }
        }
        for rule in rules {
            if let Some(space) = spaces.get_mut(&rule.space_id) {
                space.formula.rules.push((&rule).into());
                space.rules.push(rule);
            }
        }
        let lengths = OnceLock::new();
        Self { edition, spaces: shared(spaces), dpus: shared(dpus), serials, lengths }
    }

    pub fn revision(&self) -> i64 {
        self.edition.revision
    }

    /// Returns the start of the time whose events are stored one by one; before it, sums are. `None`: no limit.
    pub fn horizon(&self) -> Option<Instant> {
        self.edition.horizon
    }

    /// Returns the start of the time whose events still exist. `None`: no limit. At most the horizon, which it
    /// approaches while events are being pruned.
    pub fn digested(&self) -> Option<Instant> {
        self.edition.digested
    }

    /// Returns whether `at` is before the horizon, where crossings are known only per hour.
    pub fn is_digested(&self, at: Instant) -> bool {
        self.edition.horizon.is_some_and(|horizon| at < horizon)
    }

    pub fn lengths(&self) -> &Lengths {
        self.lengths.get_or_init(|| Lengths::new(self))
    }

    pub fn space(&self, id: i64) -> Option<&Arc<Space>> {
        self.spaces.get(&id)
    }

    pub fn spaces(&self) -> &BTreeMap<i64, Arc<Space>> {
        &self.spaces
    }

    pub fn dpu(&self, id: i64) -> Option<&Arc<Dpu>> {
        self.dpus.get(&id)
    }

    pub fn dpus(&self) -> &BTreeMap<i64, Arc<Dpu>> {
        &self.dpus
    }

    /// Returns the id of the DPU with this serial. Surrounding blanks and uncomposed characters are accepted, and any
    /// spelling of a MAC address or an EUI.
    pub fn dpu_id(&self, serial: &str) -> Option<i64> {
        self.serials.id(serial)
    }

    pub fn zone_of(&self, serial: &str) -> Option<Tz> {
        self.dpu(self.dpu_id(serial)?)?.zone
    }
}

fn shared<T>(things: BTreeMap<i64, T>) -> BTreeMap<i64, Arc<T>> {
    things.into_iter().map(|(id, thing)| (id, Arc::new(thing))).collect()
}

impl Space {
    fn new(row: space::Model) -> Self {
        // Only valid names are stored. A name that a newer tz database has dropped is read as UTC.
        let zone = row.time_zone.parse().unwrap_or(Tz::UTC);
        Self {
            row,
            assignments: Vec::new(),
            resets: Vec::new(),
            rules: Vec::new(),
            zone,
            formula: Formula::default(),
        }
    }

    pub fn starts(&self) -> Starts<'_> {
        Starts { resets: &self.formula.resets, rules: &self.formula.rules, zone: self.zone }
    }

    pub fn account(&self, at: Instant) -> Account<'_> {
        Account::new(&self.formula.assignments, self.starts().newest(at), at)
    }

    pub fn history(&self, edges: Vec<Instant>) -> History<'_> {
        History::new(&self.formula.assignments, self.starts(), edges)
    }

    /// Returns the stretches of time in which its DPUs counted for it, up to the end of time.
    pub fn stretches(&self) -> impl Iterator<Item = Stretch> + use<'_> {
        Account::new(&self.formula.assignments, None, Instant::MAX).terms().map(|term| term.stretch())
    }

    pub fn assignment(&self, id: i64) -> Option<&assignment::Model> {
        let place = self.assignments.binary_search_by_key(&id, |row| row.id);
        place.ok().map(|place| &self.assignments[place])
    }

    /// Returns the reported count for a signed count: negative counts may be clamped to 0.
    pub fn answer(&self, net: i64) -> i64 {
        match self.row.negative_counts {
            space::NegativeCounts::Report => net,
            space::NegativeCounts::Clamp => net.max(0),
        }
    }

    /// Returns the ids of the DPUs that count for the space at `at`, ascending and distinct.
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
        // As for spaces, a name that a newer tz database has dropped is read as UTC.
        let zone = row.time_zone.as_deref().and_then(|name| name.parse().ok());
        Self { row, assignments: Vec::new(), zone, shown: None }
    }

    pub fn is_assigned(&self, at: Instant) -> bool {
        self.assignments.iter().any(|assignment| holds(assignment, at))
    }
}

fn holds(assignment: &assignment::Model, at: Instant) -> bool {
    assignment.starts_at.is_none_or(|starts_at| starts_at <= at)
        && assignment.ends_at.is_none_or(|ends_at| at < ends_at)
}
