//! What an error of the database means: whether the same may succeed a little later.

use std::time::Duration;

use sea_orm::{DbErr, RuntimeErr};

/// That the database did not answer in time.
pub(super) fn too_late(after: Duration) -> DbErr {
    DbErr::Conn(RuntimeErr::Internal(format!("no answer within {} ms", after.as_millis())))
}

/// Whether it is the database that is away, or has no room just now: the same may succeed a little later.
pub fn is_unreachable(error: &DbErr) -> bool {
    match error {
        DbErr::Conn(_) | DbErr::ConnectionAcquire(_) => true,
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
            match &**error {
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed => true,
                sqlx::Error::Database(refused) => {
                    // PostgreSQL's classes of lost connections and of a server that stops or starts, and its codes for
                    // one that has no connection left, for a statement or a lock that took too long, and for too many
                    // temporary files.
                    let code = refused.code().unwrap_or_default();
                    code.starts_with("08")
                        || code.starts_with("57P")
                        || matches!(&*code, "53300" | "53400" | "55P03" | "57014")
                        || is_busy(error)
                        || is_interrupted(error)
                }
                _ => false,
            }
        }
        _ => false,
    }
}

/// That the database takes no writes, and what to do.
pub(super) const READ_ONLY: &str = "the database is read-only, so events are refused: connect to the primary, or let the \
    database be written to";

/// Why something was not written, in words of ours, and what to do.
pub(super) fn why_not_written(error: &DbErr) -> &'static str {
    let (DbErr::Exec(failed) | DbErr::Query(failed) | DbErr::Conn(failed)) = error else { return UNWRITTEN };
    let RuntimeErr::SqlxError(error) = failed else { return UNWRITTEN };
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default();
    match (sqlite_code(error).map(|code| code & 0xff), &*code) {
        (Some(13), _) | (None, "53100") => {
            "the disk of the database is full, so events are refused: make room on it"
        }
        (Some(8), _) | (None, "25006") => READ_ONLY,
        _ => UNWRITTEN,
    }
}

const UNWRITTEN: &str = "events cannot be written to the database: the log says why";

/// Whether SQLite stopped a statement that took too long.
fn is_interrupted(error: &sqlx::Error) -> bool {
    sqlite_code(error) == Some(9)
}

/// Whether SQLite refused because another process was at it: its result codes 5 (busy) and 6 (locked),
/// and those whose low byte they are.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    sqlite_code(error).is_some_and(|code| matches!(code & 0xff, 5 | 6))
}

/// SQLite's result code. Those of PostgreSQL have five characters, and some of them only digits.
fn sqlite_code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?;
    if code.len() < 5 { code.parse().ok() } else { None }
}
