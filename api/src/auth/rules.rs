//! Permissions that each route and each GraphQL root field needs.
//!
//! A root field that is not listed here is refused to every token. A test walks the schema and the routes, and reports
//! those that are not listed.

use async_graphql::parser::types::OperationType;

use crate::routes::Route;

/// A needed permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// None: it contains no data.
    Nothing,
    /// Any valid token.
    Token,
    /// A token with permission to read. One that is limited to some spaces sees only these.
    Read,
    /// A token with permission to read all spaces.
    ReadAll,
    /// A token with permission to record events. One that is limited to a DPU records only its events.
    Ingest,
    /// A token with all permissions.
    Admin,
    /// Determined by the root fields of the GraphQL operation.
    Operation,
}

/// Returns the permission that a route needs.
pub fn route(route: Route) -> Need {
    match route {
        Route::Count | Route::Counts => Need::Read,
        Route::GraphQl => Need::Operation,
        Route::Events => Need::Ingest,
        Route::Metrics => Need::ReadAll,
        // Liveness and readiness, the description of the interface, and the pages, which contain no data.
        Route::Healthz
        | Route::Readyz
        | Route::OpenApi
        | Route::Dashboard
        | Route::FloorPlan
        | Route::Space
        | Route::GraphiQl
        | Route::Asset
        | Route::Unmatched => Need::Nothing,
    }
}

/// Returns the permission that a root field needs. `None`: refused to every token.
pub fn root_field(operation: OperationType, field: &str) -> Option<Need> {
    // The schema contains no data.
    if matches!(field, "__typename" | "__schema" | "__type") {
        return Some(Need::Token);
    }
    let need = match operation {
        OperationType::Query => match field {
            "space" | "spaces" | "dpu" | "dpus" | "node" => Need::Read,
            _ => return None,
        },
        OperationType::Mutation => match field {
            "ingest" => Need::Ingest,
            "spaceCreate" | "spaceUpdate" | "spaceDelete" | "dpuCreate" | "dpuUpdate" | "dpuMove"
            | "dpuDelete" | "assignmentCreate" | "assignmentUpdate" | "assignmentEnd"
            | "assignmentDelete" | "resetCreate" | "resetUpdate" | "resetDelete" | "resetRuleCreate"
            | "resetRuleUpdate" | "resetRuleDelete" => Need::Admin,
            _ => return None,
        },
        OperationType::Subscription => match field {
            "countChanged" => Need::Read,
            _ => return None,
        },
    };
    Some(need)
}
