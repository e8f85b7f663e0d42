//! A token: what somebody shows to be let in, kept as a hash, and what it lets them do.

use sea_orm::entity::prelude::*;

use crate::Instant;

/// A row of `token`. It stays when the token is revoked, and no two tokens that are not revoked share a name.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "token")]
pub struct Model {
    /// By which it is revoked.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Who or what has it, in words.
    pub name: String,
    /// The SHA-256 of the token, 32 bytes. The token itself is stored nowhere.
    #[sea_orm(unique)]
    pub digest: Vec<u8>,
    /// What it is for.
    pub role: Role,
    /// The ids of the only spaces that a `READ` token shows, with commas between; `None`: all. They refer to nothing,
    /// so that a space that is deleted takes no limit away; its id is never used again.
    pub spaces: Option<String>,
    /// The only DPU that an `INGEST` token reports for; `None`: all.
    pub dpu_id: Option<i64>,
    /// The first instant at which it is not valid any more; `None`: until it is revoked.
    pub expires: Option<Instant>,
    /// When it was revoked, if it was.
    pub revoked: Option<Instant>,
    /// When the UTC day began on which it was last used.
    pub last_used_day: Option<Instant>,
    /// When the row was first written.
    pub created: Instant,
    /// When the row was last changed by somebody; its use is no change.
    pub modified: Instant,
}

impl ActiveModelBehavior for ActiveModel {}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Role {
    /// Asks and watches, and changes nothing.
    #[sea_orm(string_value = "READ")]
    Read,
    /// Records events, and sees nothing.
    #[sea_orm(string_value = "INGEST")]
    Ingest,
    /// Does everything.
    #[sea_orm(string_value = "ADMIN")]
    Admin,
}
