//! What permission each field at the root of GraphQL needs.
//!
//! A root field that is not named here is refused to every client. A test walks the schema, and finds what was forgotten.

use async_graphql::parser::types::OperationType;

use crate::auth::Need;

/// Returns what a field at the root of an operation needs. `None`: it is refused to every client.
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
