//! Why a change of the floor plan was refused.

use sea_orm::DbErr;

use crate::ids::{Kind, PublicIds, Row};

/// A change that the rules do not allow: what was wrong, where, and what is accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.told(&PublicIds::plain()))]
pub struct Refusal {
    /// What kind of thing was wrong.
    pub code: RefusalCode,
    /// The input's field that was wrong: its path, with a dot between the steps.
    pub field: String,
    /// What was wrong and what is accepted, for people; the row that it is about is named after it.
    pub message: String,
    /// The row that it is about, if it is about one.
    pub row: Option<Row>,
}

impl Refusal {
    /// A refusal.
    pub fn new(code: RefusalCode, field: &str, message: impl Into<String>) -> Self {
        Self { code, field: field.to_owned(), message: message.into(), row: None }
    }

    /// There is no row of this kind with the id that `field` names.
    pub fn not_found(field: &str, kind: Kind, id: i64) -> Self {
        Self::new(RefusalCode::NotFound, field, format!("there is no {}", kind.name())).about(kind, id)
    }

    /// The same, about this row.
    #[must_use]
    pub fn about(self, kind: Kind, id: i64) -> Self {
        Self { row: Some(Row { kind, id }), ..self }
    }

    /// The message with the row's public id.
    pub fn told(&self, ids: &PublicIds) -> String {
        match self.row {
            Some(Row { kind, id }) => format!("{} {}", self.message, ids.public(kind, id)),
            None => self.message.clone(),
        }
    }
}

/// What kind of thing was wrong with a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCode {
    /// A text is empty, or nothing but blanks.
    Blank,
    /// A text has more characters than are kept.
    TooLong,
    /// A text holds a control character.
    BadCharacter,
    /// A number or an instant lies outside what is accepted.
    OutOfRange,
    /// The name, serial or instant belongs to another one already.
    Taken,
    /// What the change refers to does not exist.
    NotFound,
    /// One DPU would count twice for one space at a time.
    Overlap,
    /// A stretch of time would end before it has started.
    EndsBeforeStart,
    /// Something still refers to what would be deleted.
    InUse,
    /// A text cannot be read as what it should be.
    Invalid,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The rules do not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(DbErr),
}

impl From<DbErr> for ChangeError {
    /// The database holds the rules that concern several rows; what it refuses by one of them is a refusal.
    fn from(error: DbErr) -> Self {
        /// What each constraint is called in the errors of SQLite and PostgreSQL, and what it means.
        const CONSTRAINTS: [(&[&str], RefusalCode, &str, &str); 7] = [
            (&["space.name", "space_name_key"], RefusalCode::Taken, "name", "another space has this name"),
            (&["dpu.serial", "dpu_serial_key"], RefusalCode::Taken, "serial", "another DPU has this serial"),
            (
                &["reset.space_id, reset.ts", "reset_one_per_instant"],
                RefusalCode::Taken,
                "ts",
                "the space has a reset at this very instant already",
            ),
            (
                &["assignment_overlap"],
                RefusalCode::Overlap,
                "startsAt",
                "this DPU counts for this space already during a part of this time: end or correct that assignment",
            ),
            (
                &["assignment_ends_after_start"],
                RefusalCode::EndsBeforeStart,
                "endsAt",
                "an assignment ends after it starts",
            ),
            (
                &["reset_rule_days_in_order"],
                RefusalCode::EndsBeforeStart,
                "lastDay",
                "a rule's last day is its first day or a later one",
            ),
            (
                &["FOREIGN KEY constraint failed", "violates foreign key constraint"],
                RefusalCode::NotFound,
                "id",
                "the DPU or the space does not exist",
            ),
        ];
        let said = error.to_string();
        let constraint = CONSTRAINTS.iter().find(|(names, ..)| names.iter().any(|name| said.contains(name)));
        match constraint {
            Some((_, code, field, message)) => Refusal::new(*code, field, *message).into(),
            None => Self::Database(error),
        }
    }
}
