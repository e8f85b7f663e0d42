//! Errors of questions about counts.

use sea_orm::DbErr;

use super::budget::TooMuch;

/// An error that may mean that the question must be asked again.
pub trait MayMove {
    /// Returns whether the state moved on while the question was being answered.
    fn has_moved(&self) -> bool;
}

impl MayMove for ReadError {
    fn has_moved(&self) -> bool {
        matches!(self, Self::Moved)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The state moved on while it was read: the reader starts again with a view of the database.
    #[error("the state has moved on")]
    Moved,
    #[error(transparent)]
    TooMuch(#[from] TooMuch),
    #[error("too many long histories are being read: try again in a second")]
    Busy,
    #[error(transparent)]
    Database(#[from] DbErr),
}
