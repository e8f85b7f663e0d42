//! What goes wrong in a REST request, and the one place that turns it into an answer: `{"detail":"…"}`.

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use entity::ParseInstantError;
use sea_orm::DbErr;

use crate::floor_plan::HistoryError;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(super) enum RestError {
    /// There is no such space, or no such route.
    #[error("Not found.")]
    NotFound,
    /// A parameter is no timestamp.
    #[error("{name}: {error}")]
    Timestamp {
        /// The parameter.
        name: &'static str,
        /// What is wrong with it.
        error: ParseInstantError,
    },
    /// A parameter that is needed is not given.
    #[error("{name}: it is missing; give a timestamp, such as 2018-05-01T08:46:00Z")]
    Missing {
        /// The parameter.
        name: &'static str,
    },
    /// A parameter is none of the words that are accepted.
    #[error("{name}: {given:.40?} is not accepted; accepted are {accepted}")]
    NotOneOf {
        /// The parameter.
        name: &'static str,
        /// What was given.
        given: String,
        /// What is accepted.
        accepted: String,
    },
    /// There is no such history.
    #[error("{name}: {0}", name = .0.argument("time_zone"))]
    History(#[from] HistoryError),
    /// An answer could not be written.
    #[error("The service cannot answer now, try again.")]
    Csv(#[from] csv::Error),
    /// The database failed.
    #[error("The service cannot answer now, try again.")]
    Database(#[from] DbErr),
}

impl IntoResponse for RestError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Timestamp { .. } | Self::Missing { .. } | Self::NotOneOf { .. } | Self::History(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::Csv(cause) => {
                tracing::error!(%cause, "an answer could not be written");
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Self::Database(cause) => {
                tracing::error!(%cause, "a request failed");
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        detail(status, &self.to_string())
    }
}

pub(super) async fn not_found() -> RestError {
    RestError::NotFound
}

/// Every route here answers GET, and HEAD with it.
pub(super) async fn method_not_allowed(method: Method) -> Response {
    let mut response = detail(StatusCode::METHOD_NOT_ALLOWED, &format!("Method \"{method}\" not allowed."));
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

fn detail(status: StatusCode, detail: &str) -> Response {
    (status, Json(serde_json::json!({ "detail": detail }))).into_response()
}
