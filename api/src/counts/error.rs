//! Why a question about counts is not answered.

use sea_orm::DbErr;

use super::budget::TooMuch;

/// An error of a question, which says whether the question is to be asked again.
pub trait MayMove {
    /// Whether the state has moved on while the question was answered.
    fn has_moved(&self) -> bool;
}

impl MayMove for ReadError {
    fn has_moved(&self) -> bool {
        matches!(self, Self::Moved)
    }
}

/// Why a view could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The state has moved on while it was read: its reader begins again with a view of the database.
    #[error("the state has moved on")]
    Moved,
    /// The answer would take more work than one request may ask for.
    #[error(transparent)]
    TooMuch(#[from] TooMuch),
    /// Too many long histories are being read.
    #[error("too many histories are being read just now: try again in a second")]
    Busy,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbErr),
}
