//! Errors of resolvers, and the one place that turns them into GraphQL errors.

use std::sync::Arc;

use async_graphql::{Error, ErrorExtensionValues, Response, ServerError, Value};
use sea_orm::DbErr;

use crate::auth::Denied;
use crate::counts::ReadError;
use crate::database::Failure;
use crate::http::graphql::limits::TOO_COMPLEX;
use crate::http::request::request_id;
use crate::ingest::RecordError;

/// Error of a resolver. Only the error types below convert into it, so that `?` cannot pass internals on to a client.
#[derive(Debug)]
pub(in crate::http::graphql) enum Fault {
    /// The client's input is invalid; the message says what is accepted.
    BadInput(String),
    /// The answer would take too much work; the message says how much, and how to request less.
    TooMuch(String),
    /// The state has changed: the operation is run again, unnoticed by the client.
    Moved,
    /// The service is temporarily unavailable; the client may try again.
    Unavailable(String),
    Internal(String),
}

pub(in crate::http::graphql) type Result<T> = std::result::Result<T, Fault>;

impl From<DbErr> for Fault {
    fn from(error: DbErr) -> Self {
        Self::of_database(&error)
    }
}

impl Fault {
    fn of_database(error: &DbErr) -> Self {
        match Failure::of(error) {
            Failure::Fault => Self::Internal(error.to_string()),
            failure => {
                tracing::error!(%error, request_id = request_id(), "{failure}");
                Self::Unavailable(format!("{failure}: try again"))
            }
        }
    }
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        Arc::new(error).into()
    }
}

impl From<Arc<ReadError>> for Fault {
    fn from(error: Arc<ReadError>) -> Self {
        match &*error {
            ReadError::Moved => Self::Moved,
            ReadError::TooMuch(too_much) => Self::TooMuch(too_much.to_string()),
            ReadError::Busy => Self::Unavailable(error.to_string()),
            ReadError::Database(cause) => Self::of_database(cause),
        }
    }
}

impl From<RecordError> for Fault {
    fn from(error: RecordError) -> Self {
        match error {
            // The recorder has logged the cause.
            RecordError::Database(cause) => match Failure::of(&cause) {
                Failure::Fault => Self::Internal(cause.to_string()),
                failure => Self::Unavailable(format!(
                    "the events could not be recorded ({failure}): send them again"
                )),
            },
            RecordError::Stopping => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        let mut named = None;
        let (code, message) = match fault {
            Fault::BadInput(message) => (BAD_USER_INPUT, message),
            Fault::TooMuch(message) => (TOO_COMPLEX, message),
            Fault::Moved => ("UNAVAILABLE", "the data changed while it was read: try again".to_owned()),
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

/// Nothing was run.
pub(in crate::http::graphql) fn refused(refusal: &Denied) -> Response {
    let mut error = ServerError::new(refusal.to_string(), None);
    error.extensions.get_or_insert_default().set("code", refusal.code());
    Response::from_errors(vec![error])
}

pub(in crate::http::graphql) fn too_many(message: &str) -> ServerError {
    let mut error = ServerError::new(message, None);
    error.extensions.get_or_insert_default().set("code", "RATE_LIMITED");
    error
}

/// Returns the error for a request that names its document by a hash. Clients recognize its message and its code, and
/// send the document from then on.
pub(in crate::http::graphql) fn no_persisted_queries() -> ServerError {
    let mut error = ServerError::new("PersistedQueryNotSupported", None);
    error.extensions.get_or_insert_default().set("code", "PERSISTED_QUERY_NOT_SUPPORTED");
    error
}

pub(in crate::http::graphql) fn is_forbidden(error: &ServerError) -> bool {
    let code = error.extensions.as_ref().and_then(|extensions| extensions.get("code"));
    matches!(code, Some(Value::String(code)) if code == Denied::Forbidden.code())
}

/// Returns whether a response says that a request was not executed. Errors without a path concern the whole request,
/// and then there is no data.
pub(in crate::http::graphql) fn is_refusal(response: &Response) -> bool {
    response.data == Value::Null
        && !response.errors.is_empty()
        && response.errors.iter().all(|error| error.path.is_empty())
}

const BAD_USER_INPUT: &str = "BAD_USER_INPUT";

/// Maximum number of reported errors about a document, which could have thousands.
const DOCUMENT_ERRORS_MAX: usize = 5;
/// Maximum length of a message, in bytes. The library quotes what it cannot parse, which may be the whole document.
const MESSAGE_BYTES_MAX: usize = 400;

/// Gives every error a code, and limits the number and the length of errors. Errors without a code are the library's
/// own, about the document.
pub(in crate::http::graphql) fn finish_errors(errors: &mut Vec<ServerError>) {
    if errors.len() > DOCUMENT_ERRORS_MAX && errors.iter().all(|error| error.path.is_empty()) {
        let more = errors.len() - DOCUMENT_ERRORS_MAX;
        errors.truncate(DOCUMENT_ERRORS_MAX);
        errors.push(ServerError::new(format!("{more} more errors are left out"), None));
    }
    for error in errors {
        shorten(&mut error.message);
        let extensions = error.extensions.get_or_insert_with(ErrorExtensionValues::default);
        if extensions.get("code").is_none() {
            extensions.set("code", BAD_USER_INPUT);
        }
    }
}

pub(in crate::http::graphql) fn shorten(message: &mut String) {
    if message.len() > MESSAGE_BYTES_MAX {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        message.push('…');
    }
}
