//! What is needed for what: every route, and every field at the root of GraphQL.
//!
//! A root field that is not named here nobody gets, whatever token they have. A test walks the schema and the routes, and
//! finds what was forgotten.

use async_graphql::parser::types::OperationType;

use crate::routes::Route;

/// What is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: there is no data in it.
    Nothing,
    /// Any valid token.
    Token,
    /// A token to read; one that is limited to some spaces sees these and no others.
    Read,
    /// A token to read that is not limited: what is shown is not about single spaces.
    ReadAll,
    /// A token to record events; one that is limited to a DPU records those of this one.
    Ingest,
    /// A token for everything.
    Admin,
    /// What the operation needs that is sent there: its root fields say it.
    Operation,
}

/// What a route needs. A route that is not among them does not exist.
pub fn route(route: Route) -> Need {
    match route {
        Route::Count | Route::Counts => Need::Read,
        Route::GraphQl => Need::Operation,
        Route::Events => Need::Ingest,
        Route::Metrics => Need::ReadAll,
        // Whether the process lives and is ready; the interface's description; the pages, which hold no data.
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

/// What a field at the root of an operation needs. `None`: nobody gets it.
pub fn root_field(operation: OperationType, field: &str) -> Option<Need> {
    // The schema tells what can be asked, and nothing of what there is.
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
