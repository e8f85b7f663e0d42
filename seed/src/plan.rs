//! A floor plan in TOML.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::Hash;

use api::floor_plan::changes::assignment::{AssignmentUpdate, NewAssignment};
use api::floor_plan::changes::dpu::{DpuUpdate, NewDpu};
use api::floor_plan::changes::reset::{NewReset, ResetUpdate};
use api::floor_plan::changes::reset_rule::{NewResetRule, ResetRuleUpdate};
use api::floor_plan::changes::space::{NewSpace, SpaceUpdate};
use api::floor_plan::changes::{self, ChangeLock, assignment, composed, dpu, reset, reset_rule, space};
use api::floor_plan::{ChangeError, FloorPlan};
use chrono::{NaiveDate, NaiveTime};
use entity::assignment::Placement;
use entity::dpu::{DeviceClock, Reports};
use entity::space::NegativeCounts;
use entity::{Instant, shown};
use sea_orm::DatabaseTransaction;
use serde::Deserialize;

/// `[[space]]`, `[[dpu]]`, `[[assignment]]`, `[[reset]]` and `[[reset_rule]]` tables.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    #[serde(default)]
    space: Vec<SpaceTable>,
    #[serde(default)]
    dpu: Vec<DpuTable>,
    #[serde(default)]
    assignment: Vec<AssignmentTable>,
    #[serde(default)]
    reset: Vec<ResetTable>,
    #[serde(default)]
    reset_rule: Vec<ResetRuleTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpaceTable {
    name: String,
    capacity: Option<i32>,
    time_zone: Option<String>,
    negative_counts: Option<Negative>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DpuTable {
    serial: String,
    name: Option<String>,
    time_zone: Option<String>,
    reports: Option<Kind>,
    counter_bits: Option<i32>,
    max_per_minute: Option<i32>,
    expected_every: Option<i32>,
    clock: Option<ClockName>,
    clock_within: Option<i32>,
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

/// A known count of a space at an instant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResetTable {
    space: String,
    ts: Time,
    count: i32,
    note: Option<String>,
}

/// A known count of a space at a time of every day.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResetRuleTable {
    space: String,
    time_of_day: Time,
    #[serde(default)]
    count: i32,
    first_day: Time,
    last_day: Option<Time>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    Inside,
    Outside,
}

/// What a DPU reports.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Crossings,
    Intervals,
    Totals,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Negative {
    Report,
    Clamp,
}

/// Which clock tells when something happened that a device sends in a format of its own.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ClockName {
    Device,
    Arrival,
    DeviceWithin,
}

impl From<ClockName> for DeviceClock {
    fn from(name: ClockName) -> Self {
        match name {
            ClockName::Device => Self::Device,
            ClockName::Arrival => Self::Arrival,
            ClockName::DeviceWithin => Self::DeviceWithin,
        }
    }
}

impl From<Kind> for Reports {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Crossings => Self::Crossings,
            Kind::Intervals => Self::Intervals,
            Kind::Totals => Self::Totals,
        }
    }
}

/// A timestamp, day or time of day, quoted or as a TOML date-time.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Time {
    Quoted(String),
    Bare(toml::value::Datetime),
}

/// Reasons why a plan was not applied, not even in part.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanError {
    #[error("{table}: {reason}")]
    Refused { table: String, reason: ChangeError },
    #[error("{table}: {key}: {reason}")]
    Time { table: String, key: &'static str, reason: String },
    #[error("{table}: unknown {kind} {name:?}: add a [[{kind}]] table for it")]
    Unknown { table: String, kind: &'static str, name: String },
    /// Two tables have the same key, so that one of them would be lost.
    #[error("{table}: another table has the same {key}: keep one of them")]
    Twice { table: String, key: &'static str },
    /// The plan as a whole is not accepted, or the database failed.
    #[error(transparent)]
    Whole(#[from] ChangeError),
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Changes {
    created: usize,
    corrected: usize,
    unchanged: usize,
}

impl Plan {
    /// Parses a plan; an error has its position in the text.
    pub(crate) fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// Applies the plan to the database. Existing entries that agree with it are left alone, those that differ are
    /// corrected, and none are removed.
    pub(crate) async fn apply(
        &self,
        transaction: &DatabaseTransaction,
        now: Instant,
    ) -> Result<Changes, PlanError> {
        let turn = ChangeLock::take(transaction).await?;
        let current = changes::current(transaction).await?;
        let mut edit = Edit { transaction, now, current: &current, done: Changes::default() };
        let ids = Ids { spaces: edit.spaces(&self.space).await?, dpus: edit.dpus(&self.dpu).await? };
        edit.assignments(&self.assignment, &ids).await?;
        edit.resets(&self.reset, &ids).await?;
        edit.reset_rules(&self.reset_rule, &ids).await?;
        let done = edit.done;
        turn.end(transaction).await?;
        Ok(done)
    }
}

/// The ids of spaces by their names, and of DPUs by their serials.
struct Ids {
    spaces: HashMap<String, i64>,
    dpus: HashMap<String, i64>,
}

/// A plan being applied.
struct Edit<'a> {
    transaction: &'a DatabaseTransaction,
    now: Instant,
    current: &'a FloorPlan,
    done: Changes,
}

impl Edit<'_> {
    /// Returns the ids of all spaces by their names.
    async fn spaces(&mut self, tables: &[SpaceTable]) -> Result<HashMap<String, i64>, PlanError> {
        let rows = self.current.spaces().values().map(|space| &space.row);
        let mut ids: HashMap<_, _> = rows.map(|row| (composed(&row.name), row.id)).collect();
        let mut seen = HashSet::new();
        for table in tables {
            let (name, title) = (composed(&table.name), || format!("space {:?}", table.name));
            once(&mut seen, name.clone(), "name", title)?;
            let refused = |reason| PlanError::Refused { table: title(), reason };
            let negative_counts = table.negative_counts.map(NegativeCounts::from);
            if let Some(known) = ids.get(&name).and_then(|id| self.current.space(*id)) {
                let row = &known.row;
                let update = SpaceUpdate {
                    capacity: differing(table.capacity.map(Some).as_ref(), &row.capacity),
                    time_zone: differing(table.time_zone.as_ref(), &row.time_zone),
                    negative_counts: differing(negative_counts.as_ref(), &row.negative_counts),
                    ..SpaceUpdate::default()
                };
                let is_same = update.capacity.is_none()
                    && update.time_zone.is_none()
                    && update.negative_counts.is_none();
                if !is_same {
                    space::update(self.transaction, row.id, update, self.now).await.map_err(refused)?;
                }
                self.done.count(is_same);
            } else {
                let new = NewSpace {
                    name: table.name.clone(),
                    capacity: table.capacity,
                    time_zone: table.time_zone.clone(),
                    negative_counts: negative_counts.unwrap_or_default(),
                };
                let row = space::create(self.transaction, new, self.now).await.map_err(refused)?;
                ids.insert(name, row.id);
                self.done.created += 1;
            }
        }
        Ok(ids)
    }

    /// Returns the ids of all DPUs by their serials.
    async fn dpus(&mut self, tables: &[DpuTable]) -> Result<HashMap<String, i64>, PlanError> {
        let rows = self.current.dpus().values().map(|dpu| &dpu.row);
        let mut ids: HashMap<_, _> = rows.map(|row| (composed(&row.serial), row.id)).collect();
        let mut seen = HashSet::new();
        for table in tables {
            let (serial, title) = (composed(&table.serial), || format!("dpu {:?}", table.serial));
            once(&mut seen, serial.clone(), "serial", title)?;
            let refused = |reason| PlanError::Refused { table: title(), reason };
            if let Some(known) = ids.get(&serial).and_then(|id| self.current.dpu(*id)) {
                let row = &known.row;
                let update = DpuUpdate {
                    serial: None,
                    name: differing(table.name.clone().map(Some).as_ref(), &row.name),
                    time_zone: differing(table.time_zone.clone().map(Some).as_ref(), &row.time_zone),
                    reports: differing(table.reports.map(Reports::from).as_ref(), &row.reports),
                    counter_bits: differing(table.counter_bits.map(Some).as_ref(), &row.counter_bits),
                    max_per_minute: differing(table.max_per_minute.map(Some).as_ref(), &row.max_per_minute),
                    expected_every: differing(table.expected_every.map(Some).as_ref(), &row.expected_every),
                    clock: differing(table.clock.map(DeviceClock::from).as_ref(), &row.clock),
                    clock_within: differing(table.clock_within.map(Some).as_ref(), &row.clock_within),
                };
                let is_same = update == DpuUpdate::default();
                if !is_same {
                    dpu::update(self.transaction, known.row.id, update, self.now).await.map_err(refused)?;
                }
                self.done.count(is_same);
            } else {
                let new = NewDpu {
                    serial: table.serial.clone(),
                    name: table.name.clone(),
                    time_zone: table.time_zone.clone(),
                    reports: table.reports.map(Reports::from).unwrap_or_default(),
                    counter_bits: table.counter_bits,
                    max_per_minute: table.max_per_minute,
                    expected_every: table.expected_every,
                    clock: table.clock.map(DeviceClock::from).unwrap_or_default(),
                    clock_within: table.clock_within,
                };
                let row = dpu::create(self.transaction, new, self.now).await.map_err(refused)?;
                ids.insert(serial, row.id);
                self.done.created += 1;
            }
        }
        Ok(ids)
    }

    async fn assignments(&mut self, tables: &[AssignmentTable], ids: &Ids) -> Result<(), PlanError> {
        let mut seen = HashSet::new();
        for (index, table) in tables.iter().enumerate() {
            let new = table.resolve(index, ids)?;
            let key = (new.dpu_id, new.space_id, new.starts_at);
            once(&mut seen, key, "dpu, space and starts_at", || table.title(index))?;
            let refused = |reason| PlanError::Refused { table: table.title(index), reason };
            let known = assignment::starting(self.transaction, new.dpu_id, new.space_id, new.starts_at);
            match known.await.map_err(refused)? {
                // What the plan leaves out stays as it is: the assignment may have been ended since.
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

    async fn resets(&mut self, tables: &[ResetTable], ids: &Ids) -> Result<(), PlanError> {
        let mut seen = HashSet::new();
        for (index, table) in tables.iter().enumerate() {
            let title = || format!("reset {} (space {:?})", index + 1, table.space);
            let (space_id, ts) = (ids.space(&table.space, title)?, table.ts.instant("ts", title)?);
            once(&mut seen, (space_id, ts), "space and ts", title)?;
            let refused = |reason| PlanError::Refused { table: title(), reason };
            let ResetTable { count, note, .. } = table;
            let resets = self.current.space(space_id).map_or(&[][..], |space| &space.resets);
            if let Some(row) = resets.iter().find(|reset| reset.ts == ts) {
                let update = ResetUpdate {
                    count: differing(Some(count), &row.count),
                    note: differing(note.clone().map(Some).as_ref(), &row.note),
                    ..ResetUpdate::default()
                };
                let is_same = update.count.is_none() && update.note.is_none();
                if !is_same {
                    reset::update(self.transaction, row.id, update, self.now).await.map_err(refused)?;
                }
                self.done.count(is_same);
            } else {
                let new = NewReset { space_id, ts, count: *count, note: note.clone() };
                reset::create(self.transaction, new, self.now).await.map_err(refused)?;
                self.done.created += 1;
            }
        }
        Ok(())
    }

    async fn reset_rules(&mut self, tables: &[ResetRuleTable], ids: &Ids) -> Result<(), PlanError> {
        let mut seen = HashSet::new();
        for (index, table) in tables.iter().enumerate() {
            let title = || format!("reset_rule {} (space {:?})", index + 1, table.space);
            let new = table.resolve(ids, title)?;
            let key = (new.space_id, new.time_of_day, new.first_day);
            once(&mut seen, key, "space, time_of_day and first_day", title)?;
            let refused = |reason| PlanError::Refused { table: title(), reason };
            let rules = self.current.space(new.space_id).map_or(&[][..], |space| &space.rules);
            if let Some(row) = rules.iter().find(|row| (row.space_id, row.time_of_day, row.first_day) == key)
            {
                let update = ResetRuleUpdate {
                    count: differing(Some(&new.count), &row.count),
                    last_day: differing(new.last_day.map(Some).as_ref(), &row.last_day),
                    ..ResetRuleUpdate::default()
                };
                let is_same = update.count.is_none() && update.last_day.is_none();
                if !is_same {
                    reset_rule::update(self.transaction, row.id, update, self.now).await.map_err(refused)?;
                }
                self.done.count(is_same);
            } else {
                reset_rule::create(self.transaction, new, self.now).await.map_err(refused)?;
                self.done.created += 1;
            }
        }
        Ok(())
    }
}

/// Refuses a table with the key of an earlier table.
fn once<K: Eq + Hash>(
    seen: &mut HashSet<K>,
    key: K,
    name: &'static str,
    title: impl FnOnce() -> String,
) -> Result<(), PlanError> {
    if seen.insert(key) { Ok(()) } else { Err(PlanError::Twice { table: title(), key: name }) }
}

/// Returns the value in the plan, if it has one that differs from the known value.
fn differing<T: Clone + PartialEq>(wanted: Option<&T>, known: &T) -> Option<T> {
    wanted.filter(|wanted| *wanted != known).cloned()
}

impl Ids {
    fn space(&self, name: &str, title: impl FnOnce() -> String) -> Result<i64, PlanError> {
        let unknown = || PlanError::Unknown { table: title(), kind: "space", name: name.to_owned() };
        self.spaces.get(&composed(name)).copied().ok_or_else(unknown)
    }

    fn dpu(&self, serial: &str, title: impl FnOnce() -> String) -> Result<i64, PlanError> {
        let unknown = || PlanError::Unknown { table: title(), kind: "dpu", name: serial.to_owned() };
        self.dpus.get(&composed(serial)).copied().ok_or_else(unknown)
    }
}

impl AssignmentTable {
    fn title(&self, index: usize) -> String {
        format!("assignment {} (dpu {:?}, space {:?})", index + 1, self.dpu, self.space)
    }

    fn resolve(&self, index: usize, ids: &Ids) -> Result<NewAssignment, PlanError> {
        let title = || self.title(index);
        let instant =
            |key, time: &Option<Time>| time.as_ref().map(|time| time.instant(key, title)).transpose();
        Ok(NewAssignment {
            dpu_id: ids.dpu(&self.dpu, title)?,
            space_id: ids.space(&self.space, title)?,
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

impl ResetRuleTable {
    fn resolve(&self, ids: &Ids, title: impl Fn() -> String) -> Result<NewResetRule, PlanError> {
        Ok(NewResetRule {
            space_id: ids.space(&self.space, &title)?,
            time_of_day: self.time_of_day.time_of_day("time_of_day", &title)?,
            count: self.count,
            first_day: self.first_day.day("first_day", &title)?,
            last_day: self.last_day.as_ref().map(|day| day.day("last_day", &title)).transpose()?,
        })
    }
}

impl Time {
    fn text(&self) -> String {
        match self {
            Self::Quoted(text) => text.clone(),
            Self::Bare(datetime) => datetime.to_string(),
        }
    }

    fn instant(&self, key: &'static str, title: impl FnOnce() -> String) -> Result<Instant, PlanError> {
        let instant: Result<Instant, _> = self.text().parse();
        instant.map_err(|error| PlanError::Time { table: title(), key, reason: error.to_string() })
    }

    fn day(&self, key: &'static str, title: impl FnOnce() -> String) -> Result<NaiveDate, PlanError> {
        let text = self.text();
        NaiveDate::parse_from_str(&text, "%Y-%m-%d").map_err(|_| {
            let reason = format!("{} is not a day: write it YYYY-MM-DD, such as 2026-03-01", shown(&text));
            PlanError::Time { table: title(), key, reason }
        })
    }

    fn time_of_day(&self, key: &'static str, title: impl FnOnce() -> String) -> Result<NaiveTime, PlanError> {
        let text = self.text();
        let read = |format| NaiveTime::parse_from_str(&text, format);
        read("%H:%M:%S").or_else(|_| read("%H:%M")).map_err(|_| {
            let reason =
                format!("{} is not a time of day: write it hh:mm or hh:mm:ss, such as 04:00", shown(&text));
            PlanError::Time { table: title(), key, reason }
        })
    }
}

impl From<Negative> for NegativeCounts {
    fn from(negative: Negative) -> Self {
        match negative {
            Negative::Report => Self::Report,
            Negative::Clamp => Self::Clamp,
        }
    }
}

impl Changes {
    /// Counts an existing entry, which either agreed or was corrected.
    fn count(&mut self, is_same: bool) {
        if is_same {
            self.unchanged += 1;
        } else {
            self.corrected += 1;
        }
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { created, corrected, unchanged } = self;
        write!(formatter, "{created} entries created, {corrected} corrected, {unchanged} as they were")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TABLES: [&str; 8] = [
        "[[space]]\nname = \"Hall\"\ncapacity = 10\ntime_zone = \"UTC\"\nnegative_counts = \"clamp\"\n",
        "[[dpu]]\nserial = \"283\"\nname = \"Door\"\n",
        "[[assignment]]\ndpu = \"283\"\nspace = \"Hall\"\nplacement = \"inside\"\nstarts_at = 2018-02-01T00:00:00Z\n",
        "[[reset]]\nspace = \"Hall\"\nts = \"2026-01-01\"\ncount = 5\n",
        "[[reset_rule]]\nspace = \"Hall\"\ntime_of_day = 04:00:00\nfirst_day = 2026-01-02\n",
        "ends_at = \"2019\"\n",
        "# a comment\n",
        "name = '''\n",
    ];

    /// Resolves the tables as far as possible without a database. Returns how many were resolved or not.
    fn resolved(plan: &Plan) -> usize {
        let ids = Ids {
            spaces: plan.space.iter().zip(1..).map(|(table, id)| (composed(&table.name), id)).collect(),
            dpus: plan.dpu.iter().zip(1..).map(|(table, id)| (composed(&table.serial), id)).collect(),
        };
        let assignments = plan.assignment.iter().enumerate();
        let assignments = assignments.map(|(index, table)| table.resolve(index, &ids).is_ok());
        let rules = plan.reset_rule.iter().map(|table| table.resolve(&ids, String::new).is_ok());
        let resets = plan.reset.iter().map(|table| table.ts.instant("ts", String::new).is_ok());
        assignments.chain(rules).chain(resets).count()
    }

    proptest! {
        #[test]
        fn fuzz_plan(
            tables in prop::collection::vec(prop::sample::select(&TABLES[..]), 0..9),
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<Option<char>>()), 0..6),
        ) {
            let whole = tables.concat();
            let mut text: Vec<char> = whole.chars().collect();
            for (place, edit) in edits {
                let place = place.index(text.len() + 1);
                match edit {
                    Some(character) => text.insert(place, character),
                    None => text.truncate(place),
                }
            }
            match Plan::parse(&text.iter().collect::<String>()) {
                Ok(plan) => prop_assert!(resolved(&plan) <= tables.len()),
                // It shows the invalid line, with the reason beneath it.
                Err(error) => prop_assert!(error.to_string().len() < 1000 + 10 * text.len(), "{}", error),
            }
            // A table is in the plan, or the plan is refused.
            if let Ok(Plan { space, dpu, assignment, reset, reset_rule }) = Plan::parse(&whole) {
                let known = space.len() + dpu.len() + assignment.len() + reset.len() + reset_rule.len();
                prop_assert_eq!(known, whole.matches("[[").count());
            }
        }
    }
}
