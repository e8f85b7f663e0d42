//! Takes back what should never have counted: an event, an interval or a reading.
//!
//! What is voided stays stored, so that it is known if it is sent again, and stays voided. Every count is right at once:
//! the tallies change in the same transaction, and the change log tells every process.

use std::collections::BTreeMap;

use counting::{Crossings, Interval};
use entity::event::Direction;
use entity::{Instant, dpu, event, interval, reading, void};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{ActiveModelTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel};

use super::ledger::Ledger;
use super::reports::{self, counters, enter_intervals, enter_readings};
use super::tallies::{add_to_tallies, take_from_tallies, tallies};
use crate::database::{CommitId, log_commit};
use crate::floor_plan::{ChangeError, Refusal, RefusalCode, horizon};

/// Maximum length of a reason, in characters.
const REASON_CHARACTERS_MAX: usize = 2_000;

/// What is to be voided, or to count again.
#[derive(Clone, Copy, Debug)]
pub enum Voidable {
    Event { dpu_id: i64, ts: Instant, direction: Direction, seq: i32 },
    Interval { dpu_id: i64, from: Instant, to: Instant },
    Reading { dpu_id: i64, ts: Instant },
}

/// Why something is voided, and by whom.
#[derive(Clone, Debug)]
pub struct Reason {
    pub text: String,
    /// The name of the token. `None`: the server requires none.
    pub by: Option<String>,
}

/// A stored row that can be voided.
#[derive(Clone, Debug)]
pub enum Stored {
    Event(event::Model),
    Interval(interval::Model),
    Reading(reading::Model),
}

/// Voids something. If it is voided already, nothing changes. Returns it as it is then.
pub async fn void(
    transaction: &DatabaseTransaction,
    thing: Voidable,
    reason: Reason,
    now: Instant,
) -> Result<Stored, ChangeError> {
    let text = reason.text.trim();
    if text.is_empty() {
        return Err(
            Refusal::new(RefusalCode::Blank, "reason", "reason is empty: say why it never happened").into()
        );
    }
    if text.chars().nth(REASON_CHARACTERS_MAX).is_some() {
        let message = format!("reason is too long: use at most {REASON_CHARACTERS_MAX} characters");
        return Err(Refusal::new(RefusalCode::TooLong, "reason", message).into());
    }
    let stored = find(transaction, thing).await?;
    if stored.void().is_some() {
        return Ok(stored);
    }
    let row = void::ActiveModel {
        id: NotSet,
        dpu_id: Set(thing.dpu_id()),
        ts: Set(thing.counted_at()),
        reason: Set(text.to_owned()),
        voided_by: Set(reason.by),
        created: Set(now),
    };
    let void = row.insert(transaction).await?.id;
    set(transaction, stored, Some(void), now).await
}

/// Lets something count again. If it counts already, nothing changes. Returns it as it is then.
pub async fn unvoid(
    transaction: &DatabaseTransaction,
    thing: Voidable,
    now: Instant,
) -> Result<Stored, ChangeError> {
    let stored = find(transaction, thing).await?;
    if stored.void().is_none() {
        return Ok(stored);
    }
    set(transaction, stored, None, now).await
}

impl Voidable {
    fn dpu_id(self) -> i64 {
        match self {
            Self::Event { dpu_id, .. } | Self::Interval { dpu_id, .. } | Self::Reading { dpu_id, .. } => {
                dpu_id
            }
        }
    }

    /// Returns the instant from which counts include it.
    fn counted_at(self) -> Instant {
        match self {
            Self::Event { ts, .. } | Self::Reading { ts, .. } => ts,
            Self::Interval { to, .. } => to.just_before(),
        }
    }
}

impl Stored {
    fn void(&self) -> Option<i64> {
        match self {
            Self::Event(row) => row.void,
            Self::Interval(row) => row.void,
            Self::Reading(row) => row.void,
        }
    }
}

async fn find(transaction: &DatabaseTransaction, thing: Voidable) -> Result<Stored, ChangeError> {
    let counted_at = thing.counted_at();
    if let Some(horizon) = horizon(transaction).await?.filter(|horizon| counted_at < *horizon) {
        let message = format!("what happened before {horizon} has been pruned: only its sums are stored");
        return Err(Refusal::new(RefusalCode::OutOfRange, thing.field(), message).into());
    }
    let found = match thing {
        Voidable::Event { dpu_id, ts, direction, seq } => {
            let row = event::Entity::find_by_id((dpu_id, ts, direction, seq)).one(transaction).await?;
            row.map(Stored::Event)
        }
        Voidable::Interval { dpu_id, from, to } => {
            let row = interval::Entity::find_by_id((dpu_id, to)).one(transaction).await?;
            let is_reported = |row: &interval::Model| {
                row.starts == from && row.source == interval::IntervalSource::Reported
            };
            row.filter(is_reported).map(Stored::Interval)
        }
        Voidable::Reading { dpu_id, ts } => {
            reading::Entity::find_by_id((dpu_id, ts)).one(transaction).await?.map(Stored::Reading)
        }
    };
    found.ok_or_else(|| {
        let what = match thing {
            Voidable::Event { ts, seq, .. } => format!("event in this direction at {ts} with seq {seq}"),
            Voidable::Interval { from, to, .. } => format!("interval from {from} to {to}"),
            Voidable::Reading { ts, .. } => format!("reading at {ts}"),
        };
        Refusal::new(RefusalCode::NotFound, thing.field(), format!("the DPU has reported no {what}")).into()
    })
}

impl Voidable {
    /// Returns the argument that says when it was.
    fn field(self) -> &'static str {
        match self {
            Self::Event { .. } | Self::Reading { .. } => "ts",
            Self::Interval { .. } => "to",
        }
    }
}

/// Sets or removes the void of a row, and changes what is counted.
async fn set(
    transaction: &DatabaseTransaction,
    stored: Stored,
    void: Option<i64>,
    now: Instant,
) -> Result<Stored, ChangeError> {
    let (dpu_id, stored) = match stored {
        Stored::Event(row) => {
            let (starts, ends) = (row.ts, row.ts.plus_ms(1));
            count(transaction, row.dpu_id, Interval { starts, ends, people: row.direction.into() }, void)
                .await?;
            let (dpu_id, mut row) = (row.dpu_id, row.into_active_model());
            row.void = Set(void);
            (dpu_id, Stored::Event(row.update(transaction).await?))
        }
        Stored::Interval(row) => {
            let people = Crossings { toward: row.toward, away: row.away };
            let interval = Interval { starts: row.starts, ends: row.ends, people };
            count(transaction, row.dpu_id, interval, void).await?;
            let (dpu_id, mut row) = (row.dpu_id, row.into_active_model());
            row.void = Set(void);
            (dpu_id, Stored::Interval(row.update(transaction).await?))
        }
        Stored::Reading(row) => {
            let (dpu_id, ts) = (row.dpu_id, row.ts);
            let mut row = row.into_active_model();
            row.void = Set(void);
            join_or_split(transaction, dpu_id, ts, void.is_some(), now).await?;
            (dpu_id, Stored::Reading(row.update(transaction).await?))
        }
    };
    // As another writer's commit, so that this process learns of it as every other one does.
    log_commit(transaction, CommitId::new_writer().next(), Some(vec![dpu_id])).await?;
    Ok(stored)
}

/// Takes people from the tallies, or adds them again.
async fn count(
    transaction: &impl ConnectionTrait,
    dpu_id: i64,
    interval: Interval,
    void: Option<i64>,
) -> Result<(), ChangeError> {
    let rows = tallies([(dpu_id, interval)].into_iter());
    match void {
        Some(_) => take_from_tallies(transaction, rows).await?,
        None => add_to_tallies(transaction, rows).await?,
    }
    Ok(())
}

/// Joins the intervals around a reading that is voided, or splits the one that a reading lies in.
async fn join_or_split(
    transaction: &DatabaseTransaction,
    dpu_id: i64,
    ts: Instant,
    is_void: bool,
    now: Instant,
) -> Result<(), ChangeError> {
    let Some(dpu) = dpu::Entity::find_by_id(dpu_id).one(transaction).await? else { return Ok(()) };
    let ledger = Ledger::new(counters(&dpu), interval::IntervalSource::Derived);
    let mut ledgers = BTreeMap::from([(dpu_id, ledger)]);
    enter_intervals(transaction, &mut ledgers, vec![(dpu_id, ts), (dpu_id, ts.plus_ms(1))]).await?;
    enter_readings(transaction, &mut ledgers, vec![(dpu_id, ts)]).await?;
    let changes = ledgers.into_iter().map(|(dpu, mut ledger)| {
        if is_void {
            ledger.void_reading(ts);
        } else {
            ledger.unvoid_reading(ts);
        }
        (dpu, ledger.changes())
    });
    let changes: BTreeMap<_, _> = changes.collect();
    reports::write(transaction, &changes, now).await?;
    Ok(())
}
