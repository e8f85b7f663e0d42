//! What goes wrong in a resolver, and the one place that turns it into a GraphQL error.

use std::sync::Arc;

use async_graphql::{Error, ErrorExtensionValues, ServerError};
use sea_orm::DbErr;

use crate::database::is_unreachable;
use crate::ingest::RecordError;
use crate::telemetry::request_id;

/// What went wrong. On purpose nothing converts into it by itself but what is listed here, so that no
/// internals reach a client by way of `?`.
#[derive(Debug)]
pub(super) enum Fault {
    /// The client asked for something that is not accepted; the message says what is.
    BadInput(String),
    /// The service cannot do it now; the client may try again.
    Unavailable(String),
    /// Something failed that the client has no part in.
    Internal(String),
}

pub(super) type Result<T> = std::result::Result<T, Fault>;

impl From<DbErr> for Fault {
    fn from(error: DbErr) -> Self {
        Arc::new(error).into()
    }
}

impl From<Arc<DbErr>> for Fault {
    fn from(error: Arc<DbErr>) -> Self {
        if is_unreachable(&error) {
            tracing::error!(%error, request_id = request_id(), "the database is not reachable");
            Self::Unavailable("the database is not reachable: try again".to_owned())
        } else {
            Self::Internal(error.to_string())
        }
    }
}

impl From<RecordError> for Fault {
    fn from(error: RecordError) -> Self {
        match error {
            // The recorder has logged the cause.
            RecordError::Database(_) => {
                Self::Unavailable("the events could not be recorded: send them again".to_owned())
            }
            RecordError::Stopping => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        let mut named = None;
        let (code, message) = match fault {
            Fault::BadInput(message) => (BAD_USER_INPUT, message),
            Fault::Unavailable(message) => ("UNAVAILABLE", message),
            Fault::Internal(cause) => {
                named = request_id();
                tracing::error!(cause, request_id = named, "a resolver failed");
                ("INTERNAL", "something went wrong inside the server; its log says what".to_owned())
            }
        };
        let mut error = Error::new(message);
        let extensions = error.extensions.get_or_insert_default();
        extensions.set("code", code);
        if let Some(id) = named {
            extensions.set("requestId", id);
        }
        error
    }
}

const BAD_USER_INPUT: &str = "BAD_USER_INPUT";

/// Gives every error a code: those that have none are the library's own, about the document itself.
pub(super) fn with_codes(errors: &mut [ServerError]) {
    for error in errors {
        let extensions = error.extensions.get_or_insert_with(ErrorExtensionValues::default);
        if extensions.get("code").is_none() {
            extensions.set("code", BAD_USER_INPUT);
        }
    }
}
