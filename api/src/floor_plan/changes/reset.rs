//! Mutations that create, correct and delete resets.

use entity::{Instant, reset};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{ActiveModelTrait, ConnectionTrait, EntityTrait, IntoActiveModel};

use super::{space, values};
use crate::floor_plan::{ChangeError, Refusal};
use crate::ids::Kind;

#[derive(Clone, Debug)]
pub struct NewReset {
    pub space_id: i64,
    /// The instant at which the count was true. Unique within the space.
    pub ts: Instant,
    /// The number of people in the space, 0 or more.
    pub count: i32,
    /// A note, such as the reason or who counted; at most 2000 characters.
    pub note: Option<String>,
}

/// `None` keeps a value.
#[derive(Clone, Debug, Default)]
pub struct ResetUpdate {
    pub ts: Option<Instant>,
    pub count: Option<i32>,
    /// `Some(None)`: no note.
    pub note: Option<Option<String>>,
}

pub async fn find(transaction: &impl ConnectionTrait, id: i64) -> Result<reset::Model, ChangeError> {
    let row = reset::Entity::find_by_id(id).one(transaction).await?;
    Ok(row.ok_or_else(|| Refusal::not_found("id", Kind::Reset, id))?)
}

pub async fn create(
    transaction: &impl ConnectionTrait,
    new: NewReset,
    now: Instant,
) -> Result<reset::Model, ChangeError> {
    space::find(transaction, "space", new.space_id).await?;
    let row = reset::ActiveModel {
        id: NotSet,
        space_id: Set(new.space_id),
        ts: Set(new.ts),
        count: Set(values::people(new.count)?),
        note: Set(note(new.note.as_deref())?),
        created: Set(now),
        modified: Set(now),
    };
    Ok(row.insert(transaction).await?)
}

pub async fn update(
    transaction: &impl ConnectionTrait,
    id: i64,
    update: ResetUpdate,
    now: Instant,
) -> Result<reset::Model, ChangeError> {
    let mut row = find(transaction, id).await?.into_active_model();
    if let Some(ts) = update.ts {
        row.ts = Set(ts);
    }
    if let Some(count) = update.count {
        row.count = Set(values::people(count)?);
    }
    if let Some(text) = update.note {
        row.note = Set(note(text.as_deref())?);
    }
    row.modified = Set(now);
    Ok(row.update(transaction).await?)
}

/// Deletes a reset, as if the count had never been stated.
pub async fn delete(transaction: &impl ConnectionTrait, id: i64) -> Result<(), ChangeError> {
    find(transaction, id).await?;
    reset::Entity::delete_by_id(id).exec(transaction).await?;
    Ok(())
}

fn note(given: Option<&str>) -> Result<Option<String>, Refusal> {
    given.map(|given| values::text("note", given, values::NOTE_CHARACTERS_MAX)).transpose()
}
