//! A void: an administrator's statement that something that was reported never happened.

use sea_orm::entity::prelude::*;

use crate::Instant;

/// A row of `void`, to which the voided event, interval or reading refers.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "void")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The DPU that reported it.
    pub dpu_id: i64,
    /// The instant of the event or reading, or the last millisecond of the interval.
    pub ts: Instant,
    /// Why it is taken back.
    pub reason: String,
    /// The name of the token that was used; `None` if the server requires none.
    pub voided_by: Option<String>,
    /// When it was taken back.
    pub created: Instant,
}

impl ActiveModelBehavior for ActiveModel {}
