//! Creates, lists and revokes tokens. Running servers notice the changes.

use std::collections::BTreeSet;

use entity::{Instant, shown, space, token};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    SqlErr,
};

use super::secret::Secret;
use super::token::Role;
use crate::database::Database;
use crate::floor_plan;
use crate::floor_plan::changes::composed;

const NAME_CHARACTERS_MAX: usize = 200;

#[derive(Clone, Debug)]
pub struct NewToken {
    /// No other unrevoked token may have this name.
    pub name: String,
    pub role: Role,
    /// Expiry, exclusive. `None`: never.
    pub expires: Option<Instant>,
}

#[derive(Debug, thiserror::Error)]
pub enum ManageError {
    #[error(
        "invalid token name {}: use 1 to {NAME_CHARACTERS_MAX} characters, not all of them digits, since that would be \
         an id",
        shown(.0)
    )]
    Name(String),
    #[error("a token named {0:?} exists already: choose another name, or revoke that one first")]
    Taken(String),
    #[error("the expiry {expires} is in the past (it is {now}): give an instant in the future")]
    Expired { expires: Instant, now: Instant },
    #[error("there is no space {0:?}: --space takes its name, --space-id its id")]
    Space(String),
    #[error("there is no space with the id {0}: --space-id takes an id as in the API, --space a name")]
    SpaceId(i64),
    #[error("no DPU has the serial {0:?}")]
    Dpu(String),
    #[error("unknown or revoked token {0:?}: give its id or its name, as `headcount token list` shows them")]
    NotFound(String),
    #[error("cannot get random bytes from the operating system: {0}")]
    Random(#[from] getrandom::Error),
    #[error(transparent)]
    Database(#[from] DbErr),
}

/// The returned secret is stored nowhere.
pub async fn create(
    database: &Database,
    now: Instant,
    new: NewToken,
) -> Result<(token::Model, Secret), ManageError> {
    let NewToken { name, role, expires } = new;
    let is_id = name.bytes().all(|byte| byte.is_ascii_digit());
    if is_id || name.trim().is_empty() || name.chars().count() > NAME_CHARACTERS_MAX {
        return Err(ManageError::Name(name));
    }
    if let Some(expires) = expires.filter(|expires| *expires <= now) {
        return Err(ManageError::Expired { expires, now });
    }
    let secret = Secret::new()?;
    let (role, spaces, dpu_id) = match role {
        Role::Read(spaces) => {
            let text = |ids: BTreeSet<i64>| ids.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
            (token::Role::Read, spaces.map(text), None)
        }
        Role::Ingest(dpu) => (token::Role::Ingest, None, dpu),
        Role::Admin => (token::Role::Admin, None, None),
    };
    let row = token::ActiveModel {
        id: NotSet,
        name: Set(name.clone()),
        digest: Set(secret.digest().bytes().to_vec()),
        role: Set(role),
        spaces: Set(spaces),
        dpu_id: Set(dpu_id),
        expires: Set(expires),
        revoked: Set(None),
        last_used_day: Set(None),
        created: Set(now),
        modified: Set(now),
    };
    let transaction = database.begin().await?;
    let row = row.insert(&transaction).await.map_err(|error| match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => ManageError::Taken(name),
        _ => error.into(),
    })?;
    transaction.commit().await?;
    Ok((row, secret))
}

/// Returns all tokens, oldest first, revoked ones included.
pub async fn list(database: &Database) -> Result<Vec<token::Model>, DbErr> {
    token::Entity::find().order_by_asc(token::Column::Id).all(database.reader()).await
}

/// Revokes the token with this id or name at `now`. Cannot be undone.
pub async fn revoke(database: &Database, now: Instant, given: &str) -> Result<token::Model, ManageError> {
    let named = match given.parse::<i64>() {
        Ok(id) => token::Column::Id.eq(id),
        Err(_) => token::Column::Name.eq(given),
    };
    let transaction = database.begin().await?;
    let meant = Condition::all().add(named).add(token::Column::Revoked.is_null());
    let found = token::Entity::find().filter(meant).one(&transaction).await?;
    let mut row = found.ok_or_else(|| ManageError::NotFound(given.to_owned()))?.into_active_model();
    row.revoked = Set(Some(now));
    row.modified = Set(now);
    let row = row.update(&transaction).await?;
    transaction.commit().await?;
    Ok(row)
}

/// Returns the row ids of the spaces with these names, and of those with these pairs of public and row ids.
pub(crate) async fn space_ids(
    database: &Database,
    names: &[String],
    ids: &[(i64, i64)],
) -> Result<BTreeSet<i64>, ManageError> {
    let spaces = space::Entity::find().all(database.reader()).await?;
    let by_name = names.iter().map(|name| {
        let found = spaces.iter().find(|space| composed(&space.name) == composed(name));
        found.map(|space| space.id).ok_or_else(|| ManageError::Space(name.clone()))
    });
    let by_id = ids.iter().map(|(public, id)| {
        spaces.iter().find(|space| space.id == *id).map(|space| space.id).ok_or(ManageError::SpaceId(*public))
    });
    by_name.chain(by_id).collect()
}

pub(crate) async fn dpu_id(database: &Database, serial: &str) -> Result<i64, ManageError> {
    let plan = floor_plan::load(database.reader()).await?;
    plan.dpu_id(serial).ok_or_else(|| ManageError::Dpu(serial.to_owned()))
}
