//! Refused changes of the floor plan.

use sea_orm::DbErr;

use crate::ids::{Kind, PublicIds, Row};

/// A change that the rules forbid: what is wrong, where, and what is accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.told(&PublicIds::plain()))]
pub struct Refusal {
    pub code: RefusalCode,
    /// The path of the invalid input field, joined by dots.
    pub field: String,
    /// What is wrong and what is accepted. The id of `row` is appended.
    pub message: String,
    pub row: Option<Row>,
}

impl Refusal {
    pub fn new(code: RefusalCode, field: &str, message: impl Into<String>) -> Self {
        Self { code, field: field.to_owned(), message: message.into(), row: None }
    }

    pub fn not_found(field: &str, kind: Kind, id: i64) -> Self {
        Self::new(RefusalCode::NotFound, field, format!("there is no {}", kind.name())).about(kind, id)
    }

    #[must_use]
    pub fn about(self, kind: Kind, id: i64) -> Self {
        Self { row: Some(Row { kind, id }), ..self }
    }

    /// Returns the message, with the row's public id.
    pub fn told(&self, ids: &PublicIds) -> String {
        match self.row {
            Some(Row { kind, id }) => format!("{} {}", self.message, ids.public(kind, id)),
            None => self.message.clone(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCode {
    Blank,
    TooLong,
    /// A text contains a control character, or one that changes the direction of writing.
    BadCharacter,
    OutOfRange,
    /// Another row already has this name, serial or instant.
    Taken,
    NotFound,
    /// A DPU would be assigned twice to one space at the same time.
    Overlap,
    /// A period would not end after it starts.
    EndsBeforeStart,
    /// The row to delete is still referenced.
    InUse,
    /// A text has the wrong format.
    Invalid,
}

#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the database failed: {0}")]
    Database(DbErr),
}

impl From<DbErr> for ChangeError {
    /// Turns an error of a constraint, which enforces a rule that concerns several rows, into a refusal.
    fn from(error: DbErr) -> Self {
        /// The names of each constraint in errors of SQLite and PostgreSQL, and the refusal that it means.
        const CONSTRAINTS: [(&[&str], RefusalCode, &str, &str); 7] = [
            (&["space.name", "space_name_key"], RefusalCode::Taken, "name", "another space has this name"),
            (&["dpu.serial", "dpu_serial_key"], RefusalCode::Taken, "serial", "another DPU has this serial"),
            (
                &["reset.space_id, reset.ts", "reset_one_per_instant"],
                RefusalCode::Taken,
                "ts",
                "the space already has a reset at this instant",
            ),
            (
                &["assignment_overlap"],
                RefusalCode::Overlap,
                "startsAt",
                "this DPU is already assigned to this space during part of this period: end or correct that assignment",
            ),
            (
                &["assignment_ends_after_start"],
                RefusalCode::EndsBeforeStart,
                "endsAt",
                "an assignment must end after it starts",
            ),
            (
                &["reset_rule_days_in_order"],
                RefusalCode::EndsBeforeStart,
                "lastDay",
                "the last day must not be before the first day",
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
