//! A floor plan as a TOML file says it.

use std::collections::HashMap;
use std::fmt;

use api::floor_plan::changes::assignment::{AssignmentUpdate, NewAssignment};
use api::floor_plan::changes::dpu::{DpuUpdate, NewDpu};
use api::floor_plan::changes::space::{NewSpace, SpaceUpdate};
use api::floor_plan::changes::{self, assignment, dpu, space};
use api::floor_plan::{ChangeError, FloorPlan};
use entity::assignment::Placement;
use entity::{Instant, ParseInstantError};
use sea_orm::DatabaseTransaction;
use serde::Deserialize;

/// `[[space]]`, `[[dpu]]` and `[[assignment]]` tables.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    #[serde(default)]
    space: Vec<SpaceTable>,
    #[serde(default)]
    dpu: Vec<DpuTable>,
    #[serde(default)]
    assignment: Vec<AssignmentTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpaceTable {
    name: String,
    capacity: Option<i32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DpuTable {
    serial: String,
    name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AssignmentTable {
    dpu: String,
    space: String,
    placement: Side,
    doorway: Option<String>,
    starts_at: Option<Time>,
    ends_at: Option<Time>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    Inside,
    Outside,
}

/// A timestamp, quoted or as TOML writes its own.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Time {
    Quoted(String),
    Bare(toml::value::Datetime),
}

/// Why a plan was not applied; nothing of it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanError {
    /// A table's contents are not accepted.
    #[error("{table}: {reason}")]
    Refused { table: String, reason: ChangeError },
    /// A table's timestamp is none.
    #[error("{table}: {key}: {reason}")]
    Timestamp { table: String, key: &'static str, reason: ParseInstantError },
    /// An assignment names what there is not.
    #[error("{table}: there is no {kind} {name:?}: add a [[{kind}]] table for it")]
    Unknown { table: String, kind: &'static str, name: String },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] ChangeError),
}

/// What applying a plan changed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Changes {
    created: usize,
    corrected: usize,
    unchanged: usize,
}

impl Plan {
    /// Reads a plan; an error says where in the text it is.
    pub(crate) fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// Makes the database hold what the plan says. What is there already and says the same is left alone;
    /// what says otherwise is corrected; nothing is removed.
    pub(crate) async fn apply(
        &self,
        transaction: &DatabaseTransaction,
        now: Instant,
    ) -> Result<Changes, PlanError> {
        changes::take_turn(transaction).await?;
        let current = changes::current(transaction).await?;
        let mut edit = Edit { transaction, now, current: &current, done: Changes::default() };
        let spaces = edit.spaces(&self.space).await?;
        let dpus = edit.dpus(&self.dpu).await?;
        edit.assignments(&self.assignment, &spaces, &dpus).await?;
        Ok(edit.done)
    }
}

/// A plan being applied.
struct Edit<'a> {
    transaction: &'a DatabaseTransaction,
    now: Instant,
    current: &'a FloorPlan,
    done: Changes,
}

impl<'a> Edit<'a> {
    /// Returns the ids of all spaces by their names.
    async fn spaces(&mut self, tables: &'a [SpaceTable]) -> Result<HashMap<&'a str, i64>, PlanError> {
        let rows = self.current.spaces().values().map(|space| &space.row);
        let mut ids: HashMap<_, _> = rows.map(|row| (row.name.as_str(), row.id)).collect();
        for table in tables {
            let refused = |reason| PlanError::Refused { table: format!("space {:?}", table.name), reason };
            match ids.get(table.name.trim()).map(|id| (*id, self.current.space(*id))) {
                Some((id, Some(known)))
                    if table.capacity.is_some() && table.capacity != known.row.capacity =>
                {
                    let update = SpaceUpdate { capacity: Some(table.capacity), ..SpaceUpdate::default() };
                    space::update(self.transaction, id, update, self.now).await.map_err(refused)?;
                    self.done.corrected += 1;
                }
                Some(_) => self.done.unchanged += 1,
                None => {
                    let new = NewSpace {
                        name: table.name.clone(),
                        capacity: table.capacity,
                        ..NewSpace::default()
                    };
                    let row = space::create(self.transaction, new, self.now).await.map_err(refused)?;
                    ids.insert(table.name.trim(), row.id);
                    self.done.created += 1;
                }
            }
        }
        Ok(ids)
    }

    /// Returns the ids of all DPUs by their serials.
    async fn dpus(&mut self, tables: &'a [DpuTable]) -> Result<HashMap<&'a str, i64>, PlanError> {
        let rows = self.current.dpus().values().map(|dpu| &dpu.row);
        let mut ids: HashMap<_, _> = rows.map(|row| (row.serial.as_str(), row.id)).collect();
        for table in tables {
            let refused = |reason| PlanError::Refused { table: format!("dpu {:?}", table.serial), reason };
            match ids.get(table.serial.trim()).map(|id| (*id, self.current.dpu(*id))) {
                Some((id, Some(known))) if table.name.is_some() && table.name != known.row.name => {
                    let update = DpuUpdate { name: Some(table.name.clone()), ..DpuUpdate::default() };
                    dpu::update(self.transaction, id, update, self.now).await.map_err(refused)?;
                    self.done.corrected += 1;
                }
                Some(_) => self.done.unchanged += 1,
                None => {
                    let new = NewDpu { serial: table.serial.clone(), name: table.name.clone() };
                    let row = dpu::create(self.transaction, new, self.now).await.map_err(refused)?;
                    ids.insert(table.serial.trim(), row.id);
                    self.done.created += 1;
                }
            }
        }
        Ok(ids)
    }

    async fn assignments(
        &mut self,
        tables: &[AssignmentTable],
        spaces: &HashMap<&str, i64>,
        dpus: &HashMap<&str, i64>,
    ) -> Result<(), PlanError> {
        for (index, table) in tables.iter().enumerate() {
            let new = table.resolve(index, spaces, dpus)?;
            let refused = |reason| PlanError::Refused { table: table.title(index), reason };
            let known = assignment::starting(self.transaction, new.dpu_id, new.space_id, new.starts_at);
            match known.await.map_err(refused)? {
                // What the plan does not say is left as it is: somebody may have ended the assignment since.
                Some(row) if new.agrees_with(&row) => self.done.unchanged += 1,
                Some(row) => {
                    let update = AssignmentUpdate {
                        placement: Some(new.placement),
                        doorway: new.doorway.map(Some),
                        ends_at: new.ends_at.map(Some),
                        ..AssignmentUpdate::default()
                    };
                    assignment::update(self.transaction, row.id, update, self.now).await.map_err(refused)?;
                    self.done.corrected += 1;
                }
                None => {
                    assignment::create(self.transaction, new, self.now).await.map_err(refused)?;
                    self.done.created += 1;
                }
            }
        }
        Ok(())
    }
}

impl AssignmentTable {
    /// How messages call it.
    fn title(&self, index: usize) -> String {
        format!("assignment {} (dpu {:?}, space {:?})", index + 1, self.dpu, self.space)
    }

    fn resolve(
        &self,
        index: usize,
        spaces: &HashMap<&str, i64>,
        dpus: &HashMap<&str, i64>,
    ) -> Result<NewAssignment, PlanError> {
        let table = || self.title(index);
        let unknown = |kind, name: &str| PlanError::Unknown { table: table(), kind, name: name.to_owned() };
        let instant = |key, time: &Option<Time>| {
            let parsed = time.as_ref().map(Time::instant).transpose();
            parsed.map_err(|reason| PlanError::Timestamp { table: table(), key, reason })
        };
        Ok(NewAssignment {
            dpu_id: *dpus.get(self.dpu.trim()).ok_or_else(|| unknown("dpu", &self.dpu))?,
            space_id: *spaces.get(self.space.trim()).ok_or_else(|| unknown("space", &self.space))?,
            placement: match self.placement {
                Side::Inside => Placement::Inside,
                Side::Outside => Placement::Outside,
            },
            doorway: self.doorway.clone(),
            starts_at: instant("starts_at", &self.starts_at)?,
            ends_at: instant("ends_at", &self.ends_at)?,
        })
    }
}

impl Time {
    fn instant(&self) -> Result<Instant, ParseInstantError> {
        match self {
            Self::Quoted(text) => text.parse(),
            Self::Bare(datetime) => datetime.to_string().parse(),
        }
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { created, corrected, unchanged } = self;
        write!(formatter, "{created} entries created, {corrected} corrected, {unchanged} as they were")
    }
}
