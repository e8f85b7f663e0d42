//! REST: the route that existing clients rely on, byte for byte, and the other REST routes.

mod count;
mod counts;
mod devices;
mod events;
mod health;
mod metrics;
mod openapi;
mod query;

use std::sync::Arc;

use axum::{Extension, Router};
use utoipa_axum::routes;

use self::openapi::Documented;
use crate::app::App;
use crate::http::budget::Budgets;
use crate::http::error::RestError;
use crate::http::route::RouteTable;
use crate::ids::public_id;

/// Returns the REST routes, with the answer to unknown paths.
pub(super) fn router(app: Arc<App>, budgets: &Budgets, table: &mut RouteTable) -> Router {
    let (schemas, paths, record) = routes!(events::record);
    let record = record.layer(Extension(budgets.bodies.clone()));
    let (device_schemas, device_paths, receive) = routes!(devices::receive);
    let receive = receive.layer(Extension(budgets.bodies.clone()));
    Documented::new(table)
        .add(&count::ROUTE, routes!(count::count))
        .add(&counts::ROUTE, routes!(counts::counts))
        .add(&devices::ROUTE, (device_schemas, device_paths, receive))
        .add(&events::ROUTE, (schemas, paths, record))
        .add(&health::HEALTHZ, routes!(health::healthz))
        .add(&health::READYZ, routes!(health::readyz))
        .add(&metrics::ROUTE, routes!(metrics::text))
        .add_document()
        .into_router()
        .with_state(app)
}

/// Returns the routes that report the status of the process.
pub(super) fn status_router(app: Arc<App>, table: &mut RouteTable) -> Router {
    Documented::new(table)
        .add(&health::HEALTHZ, routes!(health::healthz))
        .add(&health::READYZ, routes!(health::readyz))
        .add(&metrics::ROUTE, routes!(metrics::text))
        .into_router()
        .with_state(app)
}

/// Returns the id in a path, which consists of digits only. Any other text is an unknown space.
fn space_id(text: &str) -> Result<i64, RestError> {
    public_id(text).ok_or(RestError::NotFound)
}
