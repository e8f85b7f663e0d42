//! The meaning of database errors: what to tell the client, and whether a retry may succeed.

use std::fmt;
use std::time::Duration;

use sea_orm::{DbErr, RuntimeErr};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The database is unreachable, rejects the login, or has no connection left.
    Unreachable,
    /// The database did not answer in time, or a lock was not available.
    Late,
    /// The disk or memory is full, or the disk or file cannot be used.
    NoRoom,
    /// The server or the schema is at fault: a retry will fail, too.
    Fault,
}

impl Failure {
    pub fn of(error: &DbErr) -> Self {
        match error {
            // Created by `too_late`.
            DbErr::Conn(RuntimeErr::Internal(_)) => Self::Late,
            DbErr::Conn(RuntimeErr::SqlxError(error)) => match Self::of_driver(error) {
                Self::Fault => Self::Unreachable,
                known => known,
            },
            DbErr::ConnectionAcquire(_) => Self::Unreachable,
            DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
                Self::of_driver(error)
            }
            _ => Self::Fault,
        }
    }

    pub fn is_transient(self) -> bool {
        self != Self::Fault
    }

    fn of_driver(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unreachable,
            sqlx::Error::Database(refused) => match sqlite_code(error) {
                Some(code) => Self::of_sqlite(code),
                None => Self::of_postgres(&refused.code().unwrap_or_default()),
            },
            _ => Self::Fault,
        }
    }

    /// By SQLite's result code, whose low byte is the kind.
    fn of_sqlite(code: i32) -> Self {
        match code & 0xff {
            // Busy, locked, interrupted.
            5 | 6 | 9 => Self::Late,
            // No memory, read-only, input or output, full, cannot be opened.
            7 | 8 | 10 | 13 | 14 => Self::NoRoom,
            _ => Self::Fault,
        }
    }

    /// By PostgreSQL's code, whose first two letters are its class.
    fn of_postgres(code: &str) -> Self {
        match code {
            // Too many connections; unknown database; a standby that was the primary a moment ago.
            "53300" | "3D000" | "25006" => Self::Unreachable,
            // A lock, a cancelled statement, a transaction that conflicted with others or was idle for too long.
            "55P03" | "57014" | "40001" | "40P01" | "25P03" => Self::Late,
            // Input or output.
            "58030" => Self::NoRoom,
            // Lost connections; a server that stops or starts; a rejected login.
            _ if ["08", "57P", "28"].iter().any(|class| code.starts_with(class)) => Self::Unreachable,
            // Disk, memory, temporary files.
            _ if code.starts_with("53") => Self::NoRoom,
            _ => Self::Fault,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Unreachable => "the database is not reachable",
            Self::Late => "the database did not answer in time",
            Self::NoRoom => "the database has no room or cannot be written",
            Self::Fault => "something went wrong inside the server",
        })
    }
}

pub(super) fn too_late(after: Duration) -> DbErr {
    DbErr::Conn(RuntimeErr::Internal(format!("no answer within {} ms", after.as_millis())))
}

/// Returns the driver's message. For SQLite, adds what an operator can do.
pub fn explained(error: &DbErr) -> String {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => explained_driver(error),
        other => other.to_string(),
    }
}

pub(super) const READ_ONLY: &str =
    "the database is read-only, so events are refused: connect to the primary, or make the database writable";

/// Returns why something was not written, and what to do, without the driver's text.
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

const UNWRITTEN: &str = "events cannot be written to the database: see the log";

pub(super) fn explained_driver(error: &sqlx::Error) -> String {
    let advice = match sqlite_code(error).map(|code| code & 0xff) {
        Some(8) => {
            ". This user cannot write the file or its folder, where SQLite keeps two more files (-wal, -shm): \
             change their owner or permissions"
        }
        Some(14) => {
            ". The folder must exist, and this user must be able to read and write the file and its folder, where \
             SQLite keeps two more files (-wal, -shm). Add ?mode=rwc to the URL to create a new file"
        }
        _ => "",
    };
    format!("{error}{advice}")
}

/// Returns whether SQLite refused because another process was using the file: result codes whose low byte is 5 (busy)
/// or 6 (locked).
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    sqlite_code(error).is_some_and(|code| matches!(code & 0xff, 5 | 6))
}

/// Returns SQLite's result code. PostgreSQL's codes have five characters, which may all be digits.
fn sqlite_code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?;
    if code.len() < 5 { code.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_map_to_failures() {
        for (code, failure) in [
            ("08006", Failure::Unreachable),
            ("57P01", Failure::Unreachable),
            ("53300", Failure::Unreachable),
            ("28P01", Failure::Unreachable),
            ("57014", Failure::Late),
            ("40P01", Failure::Late),
            ("53100", Failure::NoRoom),
            ("42P01", Failure::Fault),
            ("42501", Failure::Fault),
            ("23505", Failure::Fault),
            ("", Failure::Fault),
        ] {
            assert_eq!(Failure::of_postgres(code), failure, "{code}");
        }
        for (code, failure) in [
            (5, Failure::Late),
            (517, Failure::Late),
            (13, Failure::NoRoom),
            (14, Failure::NoRoom),
            (1544, Failure::NoRoom),
            (778, Failure::NoRoom),
            (1, Failure::Fault),
            (11, Failure::Fault),
            (2067, Failure::Fault),
        ] {
            assert_eq!(Failure::of_sqlite(code), failure, "{code}");
        }
        assert_eq!(Failure::of(&too_late(Duration::from_secs(1))), Failure::Late);
        assert_eq!(Failure::of(&DbErr::Custom(String::new())), Failure::Fault);
    }
}
