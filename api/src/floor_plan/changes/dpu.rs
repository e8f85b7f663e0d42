//! Mutations that create, change, delete and move DPUs.

use entity::assignment::Placement;
use entity::dpu::{DeviceClock, Reports};
use entity::{Instant, assignment, dpu, tally, token};
use sea_orm::ActiveValue::{NotSet, Set, Unchanged};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DatabaseBackend, EntityTrait, IntoActiveModel,
    PaginatorTrait, QueryFilter, QueryOrder, SqlErr, Statement,
};

use super::assignment::NewAssignment;
use super::{space, values};
use crate::floor_plan::{ChangeError, Refusal, RefusalCode, device_key};
use crate::ids::Kind;

#[derive(Clone, Debug, Default)]
pub struct NewDpu {
    /// The hardware id, unique; at most 200 characters.
    pub serial: String,
    pub name: Option<String>,
    /// The IANA time zone of its clock. `None`: UTC.
    pub time_zone: Option<String>,
    pub reports: Reports,
    /// The width of its counters in bits, 16 or 32. `None`: they never roll over.
    pub counter_bits: Option<i32>,
    /// The highest plausible number of people a minute and direction. `None`: 240.
    pub max_per_minute: Option<i32>,
    /// The time between two of its reports in seconds.
    pub expected_every: Option<i32>,
    pub clock: DeviceClock,
    /// How far the device's clock may be off in seconds, for [`DeviceClock::DeviceWithin`].
    pub clock_within: Option<i32>,
}

/// `None` keeps a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DpuUpdate {
    /// The new serial, for example after the hardware was replaced.
    pub serial: Option<String>,
    /// `Some(None)`: no name.
    pub name: Option<Option<String>>,
    /// The new time zone, for events received from now on. `Some(None)`: no time zone.
    pub time_zone: Option<Option<String>>,
    /// What it reports from now on. Refused if anything is stored of it.
    pub reports: Option<Reports>,
    /// For readings received from now on, as are the other limits. `Some(None)`: they never roll over.
    pub counter_bits: Option<Option<i32>>,
    /// `Some(None)`: the default.
    pub max_per_minute: Option<Option<i32>>,
    /// `Some(None)`: it is not known.
    pub expected_every: Option<Option<i32>>,
    /// For reports received from now on.
    pub clock: Option<DeviceClock>,
    pub clock_within: Option<Option<i32>>,
}

#[derive(Clone, Debug)]
pub struct Destination {
    pub space_id: i64,
    pub placement: Placement,
    pub doorway: Option<String>,
}

pub async fn find(
    transaction: &impl ConnectionTrait,
    field: &str,
    id: i64,
) -> Result<dpu::Model, ChangeError> {
    let row = dpu::Entity::find_by_id(id).one(transaction).await?;
    Ok(row.ok_or_else(|| Refusal::not_found(field, Kind::Dpu, id))?)
}

pub async fn create(
    transaction: &impl ConnectionTrait,
    new: NewDpu,
    now: Instant,
) -> Result<dpu::Model, ChangeError> {
    refuse_if_same_device(transaction, &new.serial, None).await?;
    let row = dpu::ActiveModel {
        id: NotSet,
        serial: Set(values::name("serial", &new.serial)?),
        name: Set(values::optional_name("name", new.name.as_deref())?),
        time_zone: Set(new.time_zone.as_deref().map(values::time_zone).transpose()?),
        reports: Set(new.reports),
        counter_bits: Set(values::counter_bits(new.counter_bits)?),
        max_per_minute: Set(values::positive("maxPerMinute", new.max_per_minute)?),
        expected_every: Set(values::positive("expectedEvery", new.expected_every)?),
        clock: Set(new.clock),
        clock_within: Set(values::clock_within(new.clock, new.clock_within)?),
        created: Set(now),
        modified: Set(now),
    };
    Ok(row.insert(transaction).await?)
}

pub async fn update(
    transaction: &impl ConnectionTrait,
    id: i64,
    update: DpuUpdate,
    now: Instant,
) -> Result<dpu::Model, ChangeError> {
    let known = find(transaction, "id", id).await?;
    let clock = update.clock.unwrap_or(known.clock);
    // Its seconds stay only while they matter.
    let within = update.clock_within.unwrap_or(known.clock_within.filter(|_| clock == known.clock));
    let mut row = known.into_active_model();
    row.clock = Set(clock);
    row.clock_within = Set(values::clock_within(clock, within)?);
    if let Some(serial) = update.serial {
        refuse_if_same_device(transaction, &serial, Some(id)).await?;
        row.serial = Set(values::name("serial", &serial)?);
    }
    if let Some(name) = update.name {
        row.name = Set(values::optional_name("name", name.as_deref())?);
    }
    if let Some(time_zone) = update.time_zone {
        row.time_zone = Set(time_zone.as_deref().map(values::time_zone).transpose()?);
    }
    if let Some(reports) = update.reports
        && row.reports != Set(reports)
        && row.reports != Unchanged(reports)
    {
        refuse_if_reported(transaction, id).await?;
        row.reports = Set(reports);
    }
    if let Some(bits) = update.counter_bits {
        row.counter_bits = Set(values::counter_bits(bits)?);
    }
    if let Some(people) = update.max_per_minute {
        row.max_per_minute = Set(values::positive("maxPerMinute", people)?);
    }
    if let Some(seconds) = update.expected_every {
        row.expected_every = Set(values::positive("expectedEvery", seconds)?);
    }
    row.modified = Set(now);
    Ok(row.update(transaction).await?)
}

/// Refuses a serial that names the device of another DPU in another spelling.
async fn refuse_if_same_device(
    transaction: &impl ConnectionTrait,
    serial: &str,
    own: Option<i64>,
) -> Result<(), ChangeError> {
    let key = device_key(serial);
    // The index `dpu_device` has this expression. It finds every serial with this key, and others that are like it.
    let spelling = "lower(replace(replace(replace(serial, ':', ''), '-', ''), '.', ''))";
    let coarse = serial.trim().to_ascii_lowercase().replace([':', '-', '.'], "");
    let alike = Expr::cust(spelling).eq(coarse);
    let alike = dpu::Entity::find().filter(alike).order_by_asc(dpu::Column::Id).all(transaction).await?;
    let same = |known: &dpu::Model| {
        Some(known.id) != own && known.serial != serial.trim() && device_key(&known.serial) == key
    };
    let Some(known) = alike.into_iter().find(same) else { return Ok(()) };
    let message = format!("{:?} is the same serial in another spelling: it is that of DPU", known.serial);
    Err(Refusal::new(RefusalCode::Taken, "serial", message).about(Kind::Dpu, known.id).into())
}

/// Refuses to change what a DPU reports if anything is stored of it.
async fn refuse_if_reported(transaction: &impl ConnectionTrait, id: i64) -> Result<(), ChangeError> {
    let backend = transaction.get_database_backend();
    if backend == DatabaseBackend::Postgres {
        // Commits that began before are seen, and later ones see the change.
        let lock = "LOCK TABLE event, interval, reading IN SHARE ROW EXCLUSIVE MODE";
        transaction.execute_unprepared(lock).await?;
    }
    let stored = |table| format!("SELECT 1 FROM {table} WHERE dpu_id = {id}");
    let sql = format!(
        "SELECT 1 WHERE EXISTS ({}) OR EXISTS ({}) OR EXISTS ({})",
        stored("event"),
        stored("interval"),
        stored("reading")
    );
    if transaction.query_one_raw(Statement::from_string(backend, sql)).await?.is_none() {
        return Ok(());
    }
    let message =
        "something is already stored of the DPU, so that what it reports cannot change: create another DPU";
    Err(Refusal::new(RefusalCode::InUse, "reports", message).into())
}

/// Deletes a DPU. With `cascade`, also deletes its assignments; without, fails if it has any.
///
/// A DPU with recorded events cannot be deleted, because events are facts that counts are computed from. Neither can a
/// DPU that a token is limited to.
pub async fn delete(transaction: &impl ConnectionTrait, id: i64, cascade: bool) -> Result<(), ChangeError> {
    find(transaction, "id", id).await?;
    let in_use = |message: String| ChangeError::from(Refusal::new(RefusalCode::InUse, "id", message));
    let has_events =
        || in_use("the DPU has events, which are never deleted: end its assignments instead".to_owned());
    // Every event is in a tally, even after it was pruned.
    if tally::Entity::find().filter(tally::Column::DpuId.eq(id)).one(transaction).await?.is_some() {
        return Err(has_events());
    }
    let limited = token::Entity::find().filter(token::Column::DpuId.eq(id)).one(transaction).await?;
    if let Some(token) = limited {
        let message =
            format!("the token {:?} is limited to the DPU, and tokens are never deleted", token.name);
        return Err(in_use(message));
    }
    let assignments = assignment::Column::DpuId.eq(id);
    if cascade {
        assignment::Entity::delete_many().filter(assignments).exec(transaction).await?;
    } else {
        let assignments = assignment::Entity::find().filter(assignments).count(transaction).await?;
        if assignments > 0 {
            let message = format!("the DPU has {assignments} assignments: delete them first, or set cascade");
            return Err(in_use(message));
        }
    }
    match dpu::Entity::delete_by_id(id).exec(transaction).await {
        Ok(_) => Ok(()),
        // An event arrived in the meantime.
        Err(error) if matches!(error.sql_err(), Some(SqlErr::ForeignKeyConstraintViolation(_))) => {
            Err(has_events())
        }
        Err(error) => Err(error.into()),
    }
}

/// Moves a DPU: ends its current assignments at `at`, and assigns it to one or two spaces.
///
/// The new assignments last as long as the old ones would have, or until the DPU's next assignment. So a move in the
/// past can be recorded, too. Returns the ids of the new assignments.
pub async fn relocate(
    transaction: &impl ConnectionTrait,
    id: i64,
    at: Instant,
    destinations: Vec<Destination>,
    now: Instant,
) -> Result<Vec<i64>, ChangeError> {
    find(transaction, "dpu", id).await?;
    if destinations.is_empty() || destinations.len() > 2 {
        let message = format!("{} destinations: a doorway joins one or two spaces", destinations.len());
        return Err(Refusal::new(RefusalCode::OutOfRange, "to", message).into());
    }
    let of_dpu = assignment::Entity::find().filter(assignment::Column::DpuId.eq(id));
    let known = of_dpu.order_by_asc(assignment::Column::Id).all(transaction).await?;
    let ends_at =
        known.iter().flat_map(|row| [row.starts_at, row.ends_at]).flatten().filter(|ts| *ts > at).min();
    for row in known {
        let began = row.starts_at.is_none_or(|starts_at| starts_at <= at);
        let lasts = row.ends_at.is_none_or(|ends_at| at < ends_at);
        if !(began && lasts) {
            continue;
        }
        if row.starts_at == Some(at) {
            let message =
                "an assignment of this DPU already starts at this instant: correct or delete assignment";
            let refusal = Refusal::new(RefusalCode::Overlap, "at", message);
            return Err(refusal.about(Kind::Assignment, row.id).into());
        }
        let mut row = row.into_active_model();
        row.ends_at = Set(Some(at));
        row.modified = Set(now);
        row.update(transaction).await?;
    }
    let mut made = Vec::new();
    for (index, to) in destinations.into_iter().enumerate() {
        let inside = |refused| within(refused, index);
        space::find(transaction, "space", to.space_id).await.map_err(inside)?;
        let Destination { space_id, placement, doorway } = to;
        let new = NewAssignment { dpu_id: id, space_id, placement, doorway, starts_at: Some(at), ends_at };
        made.push(super::assignment::create(transaction, new, now).await.map_err(inside)?.id);
    }
    Ok(made)
}

/// Adds the destination's place in the list to the field of a refusal.
fn within(error: ChangeError, index: usize) -> ChangeError {
    match error {
        ChangeError::Refused(refusal) => {
            Refusal { field: format!("to.{index}.{}", refusal.field), ..refusal }.into()
        }
        database @ ChangeError::Database(_) => database,
    }
}
