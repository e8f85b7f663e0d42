//! What goes wrong in a resolver, and the one place that turns it into a GraphQL error.

use std::sync::Arc;

use async_graphql::{Error, ErrorExtensionValues, Response, ServerError, Value};
use sea_orm::DbErr;

use crate::auth::Denied;
use crate::counts::ReadError;
use crate::database::Failure;
use crate::http::graphql::limits::TOO_COMPLEX;
use crate::http::request::request_id;
use crate::ingest::RecordError;

/// What went wrong. On purpose nothing converts into it by itself but what is listed here, so that no
/// internals reach a client by way of `?`.
#[derive(Debug)]
pub(in crate::http::graphql) enum Fault {
    /// The client asked for something that is not accepted; the message says what is.
    BadInput(String),
    /// The answer would take more work than is accepted; the message says how much, and how to ask for less.
    TooMuch(String),
    /// The state has moved on: the operation is run again, and the client does not hear of this.
    Moved,
    /// The service cannot do it now; the client may try again.
    Unavailable(String),
    /// Something failed that the client has no part in.
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
                    "the events could not be recorded, since {failure}: send them again"
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
            Fault::Moved => ("UNAVAILABLE", "the state has moved on: try again".to_owned()),
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

/// The answer to whoever may not: nothing was run.
pub(in crate::http::graphql) fn refused(refusal: &Denied) -> Response {
    let mut error = ServerError::new(refusal.to_string(), None);
    error.extensions.get_or_insert_default().set("code", refusal.code());
    Response::from_errors(vec![error])
}

/// Error for an operation that is not run because as many run already as are accepted.
pub(in crate::http::graphql) fn too_many(message: &str) -> ServerError {
    let mut error = ServerError::new(message, None);
    error.extensions.get_or_insert_default().set("code", "RATE_LIMITED");
    error
}

/// Error for a request that names its document by a hash. Clients know it by its message and its code, and send the
/// document from then on.
pub(in crate::http::graphql) fn no_persisted_queries() -> ServerError {
    let mut error = ServerError::new("PersistedQueryNotSupported", None);
    error.extensions.get_or_insert_default().set("code", "PERSISTED_QUERY_NOT_SUPPORTED");
    error
}

/// Whether the error says that whoever asks may not.
pub(in crate::http::graphql) fn is_forbidden(error: &ServerError) -> bool {
    let code = error.extensions.as_ref().and_then(|extensions| extensions.get("code"));
    matches!(code, Some(Value::String(code)) if code == Denied::Forbidden.code())
}

/// Whether a response says that a request was not executed. Errors without a path concern the request, and then there
/// is no data to speak of.
pub(in crate::http::graphql) fn is_refusal(response: &Response) -> bool {
    response.data == Value::Null
        && !response.errors.is_empty()
        && response.errors.iter().all(|error| error.path.is_empty())
}

const BAD_USER_INPUT: &str = "BAD_USER_INPUT";

/// How many errors about a document are told; a document of nothing but mistakes could have thousands.
const DOCUMENT_ERRORS_MAX: usize = 5;
/// The longest message, in bytes: the library quotes what it cannot read, which may be all that was sent.
const MESSAGE_BYTES_MAX: usize = 400;

/// Gives every error a code, and the answer an end: those errors that have no code are the library's own, about the
/// document itself.
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

/// Cuts a message that is too long.
pub(in crate::http::graphql) fn shorten(message: &mut String) {
    if message.len() > MESSAGE_BYTES_MAX {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        message.push('…');
    }
}
