//! A token: a secret that authenticates a client, stored as a hash, and what it permits.

use sea_orm::entity::prelude::*;

use crate::Instant;

/// A row of `token`. It stays when the token is revoked, and no two tokens that are not revoked share a name.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "token")]
pub struct Model {
    /// The id, by which it can be revoked.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Name of the person or program that has it.
    pub name: String,
    /// The SHA-256 of the token, 32 bytes. The token itself is stored nowhere.
    #[sea_orm(unique)]
    pub digest: Vec<u8>,
    /// Its role.
    pub role: Role,
    /// The ids of the spaces to which a `READ` token is limited, separated by commas; `None`: all. They are not foreign
    /// keys, so that deleting a space does not remove the limit; its id is never used again.
    pub spaces: Option<String>,
    /// The DPU to which an `INGEST` token is limited; `None`: all.
    pub dpu_id: Option<i64>,
    /// The first instant at which it is no longer valid; `None`: until it is revoked.
    pub expires: Option<Instant>,
    /// When it was revoked, if it was.
    pub revoked: Option<Instant>,
    /// Start of the UTC day on which it was last used.
    pub last_used_day: Option<Instant>,
    /// When the row was first written.
    pub created: Instant,
    /// When the row was last changed; using the token is not a change.
    pub modified: Instant,
}

impl ActiveModelBehavior for ActiveModel {}

/// Role of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Role {
    /// Reads and subscribes, and changes nothing.
    #[sea_orm(string_value = "READ")]
    Read,
    /// Records events, and reads nothing.
    #[sea_orm(string_value = "INGEST")]
    Ingest,
    /// Does everything.
    #[sea_orm(string_value = "ADMIN")]
    Admin,
}
