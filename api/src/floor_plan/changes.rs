//! Changes of the floor plan, each inside a transaction of the caller's.
//!
//! What concerns one value is checked here; what concerns several rows the database's constraints
//! check, so that no two processes can break a rule together.

use entity::assignment::{self, Placement};
use entity::{Instant, dpu, space};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter};

use super::plans::load_in;
use super::{ChangeError, FloorPlan, Refusal, RefusalCode};

/// The most characters that a name, serial or doorway may have.
pub const TEXT_CHARACTERS_MAX: usize = 200;

/// A space to be.
#[derive(Clone, Debug)]
pub struct NewSpace {
    /// Unique; at most [`TEXT_CHARACTERS_MAX`] characters.
    pub name: String,
    /// How many people it is meant to hold, 1 or more.
    pub capacity: Option<i32>,
}

/// A DPU to be.
#[derive(Clone, Debug)]
pub struct NewDpu {
    /// The hardware id, unique; at most [`TEXT_CHARACTERS_MAX`] characters.
    pub serial: String,
    /// What people call it.
    pub name: Option<String>,
}

/// An assignment to be.
#[derive(Clone, Debug)]
pub struct NewAssignment {
    /// The DPU's id.
    pub dpu_id: i64,
    /// The space's id.
    pub space_id: i64,
    /// Which side of the doorway the DPU hangs on.
    pub placement: Placement,
    /// What people call the doorway.
    pub doorway: Option<String>,
    /// The first instant that counts; `None`: since ever.
    pub starts_at: Option<Instant>,
    /// The first instant that no longer counts; `None`: until further notice.
    pub ends_at: Option<Instant>,
}

impl NewAssignment {
    /// Whether the row says the same already.
    pub fn agrees_with(&self, row: &assignment::Model) -> bool {
        (self.dpu_id, self.space_id, self.placement, &self.doorway, self.starts_at, self.ends_at)
            == (row.dpu_id, row.space_id, row.placement, &row.doorway, row.starts_at, row.ends_at)
    }
}

/// The floor plan as the transaction sees it, its own changes included.
pub async fn current(transaction: &impl ConnectionTrait) -> Result<FloorPlan, ChangeError> {
    Ok(load_in(transaction).await?)
}

/// Adds a space.
pub async fn create_space(
    transaction: &impl ConnectionTrait,
    new: NewSpace,
    now: Instant,
) -> Result<space::Model, ChangeError> {
    let row = space::ActiveModel {
        id: NotSet,
        name: Set(text("name", &new.name)?),
        capacity: Set(capacity(new.capacity)?),
        time_zone: Set("UTC".to_owned()),
        negative_counts: Set(space::NegativeCounts::default()),
        created: Set(now),
        modified: Set(now),
    };
    Ok(row.insert(transaction).await?)
}

/// Says how many people a space is meant to hold.
pub async fn set_capacity(
    transaction: &impl ConnectionTrait,
    space: space::Model,
    people: Option<i32>,
    now: Instant,
) -> Result<space::Model, ChangeError> {
    let mut row = space.into_active_model();
    row.capacity = Set(capacity(people)?);
    row.modified = Set(now);
    Ok(row.update(transaction).await?)
}

/// Adds a DPU.
pub async fn create_dpu(
    transaction: &impl ConnectionTrait,
    new: NewDpu,
    now: Instant,
) -> Result<dpu::Model, ChangeError> {
    let row = dpu::ActiveModel {
        id: NotSet,
        serial: Set(text("serial", &new.serial)?),
        name: Set(optional_text("name", new.name.as_deref())?),
        created: Set(now),
        modified: Set(now),
    };
    Ok(row.insert(transaction).await?)
}

/// Names a DPU.
pub async fn rename_dpu(
    transaction: &impl ConnectionTrait,
    dpu: dpu::Model,
    name: Option<&str>,
    now: Instant,
) -> Result<dpu::Model, ChangeError> {
    let mut row = dpu.into_active_model();
    row.name = Set(optional_text("name", name)?);
    row.modified = Set(now);
    Ok(row.update(transaction).await?)
}

/// Lets a DPU count for a space.
pub async fn create_assignment(
    transaction: &impl ConnectionTrait,
    new: NewAssignment,
    now: Instant,
) -> Result<assignment::Model, ChangeError> {
    let row = assignment::ActiveModel {
        id: NotSet,
        dpu_id: Set(new.dpu_id),
        space_id: Set(new.space_id),
        placement: Set(new.placement),
        doorway: Set(optional_text("doorway", new.doorway.as_deref())?),
        starts_at: Set(new.starts_at),
        ends_at: Set(new.ends_at),
        created: Set(now),
        modified: Set(now),
    };
    Ok(row.insert(transaction).await?)
}

/// Corrects what an assignment says, for all the time that it holds.
pub async fn correct_assignment(
    transaction: &impl ConnectionTrait,
    old: assignment::Model,
    corrected: NewAssignment,
    now: Instant,
) -> Result<assignment::Model, ChangeError> {
    let mut row = old.into_active_model();
    row.dpu_id = Set(corrected.dpu_id);
    row.space_id = Set(corrected.space_id);
    row.placement = Set(corrected.placement);
    row.doorway = Set(optional_text("doorway", corrected.doorway.as_deref())?);
    row.starts_at = Set(corrected.starts_at);
    row.ends_at = Set(corrected.ends_at);
    row.modified = Set(now);
    Ok(row.update(transaction).await?)
}

/// The assignment of this DPU to this space that starts at this instant.
pub async fn assignment_starting(
    transaction: &impl ConnectionTrait,
    dpu_id: i64,
    space_id: i64,
    starts_at: Option<Instant>,
) -> Result<Option<assignment::Model>, ChangeError> {
    let of_both = assignment::Entity::find()
        .filter(assignment::Column::DpuId.eq(dpu_id))
        .filter(assignment::Column::SpaceId.eq(space_id));
    let starting = match starts_at {
        Some(starts_at) => of_both.filter(assignment::Column::StartsAt.eq(starts_at)),
        None => of_both.filter(assignment::Column::StartsAt.is_null()),
    };
    Ok(starting.one(transaction).await?)
}

/// The text without blanks around it, or what is wrong with it.
fn text(field: &'static str, given: &str) -> Result<String, Refusal> {
    let kept = given.trim();
    let refused = |code, message| Err(Refusal { code, field, message });
    if kept.is_empty() {
        return refused(RefusalCode::Blank, format!("{field} is empty: give it at least one character"));
    }
    if kept.chars().any(char::is_control) {
        return refused(
            RefusalCode::BadCharacter,
            format!("{field} holds a control character: leave it out"),
        );
    }
    if kept.chars().nth(TEXT_CHARACTERS_MAX).is_some() {
        let most = format!("{field} is too long: at most {TEXT_CHARACTERS_MAX} characters are kept");
        return refused(RefusalCode::TooLong, most);
    }
    Ok(kept.to_owned())
}

fn optional_text(field: &'static str, given: Option<&str>) -> Result<Option<String>, Refusal> {
    given.map(|given| text(field, given)).transpose()
}

fn capacity(people: Option<i32>) -> Result<Option<i32>, Refusal> {
    match people {
        Some(people) if people < 1 => Err(Refusal {
            code: RefusalCode::OutOfRange,
            field: "capacity",
            message: format!("a capacity is 1 or more, not {people}"),
        }),
        within => Ok(within),
    }
}
