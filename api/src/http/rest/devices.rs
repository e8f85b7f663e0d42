//! `POST /devices/{format}`: receives what devices send in formats of their own.

use std::sync::Arc;
use std::time::Duration;

use ::devices::{Format, SettingsError, Unreadable};
use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, RawQuery, State};
use axum::http::HeaderMap;
use serde::Serialize;
use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoResponses, ToSchema};

use super::openapi::{Refused, Unavailable, failures};
use crate::app::App;
use crate::auth::{Access, Need};
use crate::gateway::{Received, Source, SourceError};
use crate::http::body::{self, BodyError, BodyLimits};
use crate::http::budget::ByteBudget;
use crate::http::error::RestError;
use crate::http::route::{Answers, Route};
use crate::http::unpack::Coding;
use crate::ingest::{Rejection, RejectionCode};

pub(super) static ROUTE: Route = Route::new("/devices/{format}", Need::Ingest, Answers::Short);

/// Devices send at most some thousands of rows at once.
const MESSAGE: BodyLimits = BodyLimits { bytes: 1 << 20, seconds: 30 };
/// A byte of JSON takes at most about so many bytes once it is parsed.
const PARSED_BYTES: usize = 32;
/// Network servers wait for five seconds.
const ANSWER_MAX: Duration = Duration::from_millis(4_500);
/// Maximum number of errors that an answer lists.
const ERRORS_MAX: usize = 100;

/// What became of a device's message. Fields are written in this order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "accepted": 2, "duplicates": 0, "ignored": 1, "unknown": 0, "rejected": 0, "errors": [],
}))]
pub(super) struct DeviceReceipt {
    /// Number of reports that are stored now and were not before.
    accepted: u64,
    /// Number of reports that were stored already.
    duplicates: u64,
    /// Number of reports that count nobody: signs of life, and those of another kind than their DPU reports.
    ignored: u64,
    /// Number of reports of devices that no DPU has the serial of. They are kept, and recorded once there is such a DPU.
    unknown: u64,
    /// Number of reports that are not stored.
    rejected: u64,
    /// The first 100 reports that are not stored, and parts of the message that cannot be read, with the reasons.
    errors: Vec<DeviceError>,
    /// Why there is nothing to count. Left out if there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, required = false)]
    nothing_to_count: Option<&'static str>,
}

/// A report that is not stored, or a part of a message that cannot be read.
#[derive(Debug, Serialize, ToSchema)]
struct DeviceError {
    /// The serial of the DPU. Left out for a part of a message that cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, required = false)]
    serial: Option<String>,
    /// Kind of reason.
    code: RejectionCode,
    /// What is wrong and what is accepted.
    message: String,
}

/// Receives what a device or a network server sends.
///
/// The reports of each line of a device go to the DPU whose serial is `DEVICE` or `DEVICE/LINE`. Only reports of the kind that
/// the DPU reports count. They may be sent again: those that are already stored count once. Reports of devices that no DPU has the
/// serial of are kept, and recorded once there is such a DPU. A connection test is answered with 200.
///
/// The token may be sent as for every route. A device that can be given nothing but an address has it in the path,
/// `/devices/{format}/t/{token}`: it must have the role `ingest`.
///
/// Which settings a format has, and how to set up devices, is described in docs/devices.md.
#[utoipa::path(
    post,
    path = "/devices/{format}",
    operation_id = "receive_message",
    params(
        ("format" = String, Path, description = "The format of the message.", example = "xovis"),
        ("device" = Option<String>, Query, description = "The device, if its messages do not name it.", example = "V4D-17020025"),
        ("time_zone" = Option<String>, Query, description = "The IANA time zone of times without one. Default: that \
            of their DPU, or UTC if it has none.", example = "Europe/Zurich"),
    ),
    request_body(
        description = "The message, at most 1 MiB long. Its Content-Type is not read.",
        content((Object = "application/json"), (String = "application/xml"), (String = "text/csv"))
    ),
    responses(
        (status = 200, body = DeviceReceipt, description = "What became of the reports, even if all of them were rejected."),
        ReceiveFailures, Refused, Unavailable
    ),
    security((), ("token" = []))
)]
pub(super) async fn receive(
    State(app): State<Arc<App>>,
    access: Access,
    Extension(budget): Extension<ByteBudget>,
    Path(format): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<DeviceReceipt>, RestError> {
    let mut source = Source::parse(format.parse()?, query.as_deref().unwrap_or_default())?;
    if let Some(dpu) = access.only_dpu() {
        source.only = Some(dpu);
        if source.settings.device.is_none() {
            let plan = app.state.floor_plan().await?;
            let serial = plan.dpu(dpu).map(|dpu| dpu.row.serial.as_str());
            // The device of a line that the token is limited to.
            source.settings.device = serial.and_then(|serial| serial.split('/').next()).map(str::to_owned);
        }
    }
    let mut held = budget.none();
    let message = body::read(body, Coding::of(&headers)?, MESSAGE, &budget, &mut held).await?;
    held.grow(message.len() * PARSED_BYTES).map_err(BodyError::from)?;
    let receiving = Box::pin(app.gateway.receive(&message, &source));
    match tokio::time::timeout(ANSWER_MAX, receiving).await {
        Ok(received) => Ok(Json(received?.into())),
        Err(_) => Err(RestError::Late(5)),
    }
}

/// Errors of a request that sends a device's message.
struct ReceiveFailures;

impl IntoResponses for ReceiveFailures {
    fn responses() -> std::collections::BTreeMap<String, RefOr<Response>> {
        let setting = SourceError::Settings(SettingsError::Half { given: "in", lacking: "out" });
        let cause = Unreadable::whole("the message is not JSON: send an object, or an array of objects");
        let mut responses = failures([
            ("A setting is unknown or invalid.", RestError::Source(setting)),
            ("The message is too long.", RestError::Whole(BodyError::TooLong(MESSAGE.bytes))),
            ("The message is not stored in time.", RestError::Late(5)),
        ]);
        let unreadable = RestError::Message { format: Format::Xovis, cause };
        responses
            .extend(failures([("The message is not of the format, or a setting is invalid.", unreadable)]));
        if let Err(unknown) = "xovi".parse::<Format>() {
            responses.extend(failures([("No such format.", RestError::UnknownFormat(unknown))]));
        }
        responses
    }
}

impl From<Received> for DeviceReceipt {
    fn from(received: Received) -> Self {
        let Received { accepted, duplicates, ignored, unknown, rejected, unreadable, nothing } = received;
        let reports = rejected.len() as u64;
        let refused = rejected.into_iter().map(|(serial, Rejection { code, message })| DeviceError {
            serial: Some(serial),
            code,
            message,
        });
        let unread = unreadable.into_iter().map(|unreadable| DeviceError {
            serial: None,
            code: RejectionCode::Malformed,
            message: unreadable.to_string(),
        });
        Self {
            accepted,
            duplicates,
            ignored,
            unknown,
            rejected: reports,
            errors: refused.chain(unread).take(ERRORS_MAX).collect(),
            nothing_to_count: nothing,
        }
    }
}
