//! What goes wrong in a REST request, and the one place that turns it into an answer: `{"detail":"…"}`.

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use entity::ParseInstantError;
use sea_orm::DbErr;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(super) enum RestError {
    /// There is no such space, or no such route.
    #[error("Not found.")]
    NotFound,
    /// The parameter `ts` is no timestamp.
    #[error("ts: {0}")]
    Timestamp(#[from] ParseInstantError),
    /// The database failed.
    #[error("The service cannot answer now, try again.")]
    Database(#[from] DbErr),
}

impl IntoResponse for RestError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Timestamp(_) => StatusCode::BAD_REQUEST,
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
