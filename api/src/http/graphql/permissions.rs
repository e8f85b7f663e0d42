//! Permissions that each GraphQL root field needs.
//!
//! A root field that is not listed here is refused to every token. A test walks the schema, and reports those that are
//! not listed.

use async_graphql::parser::types::OperationType;

use crate::auth::Need;

/// Returns the permission that a root field needs. `None`: refused to every token.
pub fn root_field(operation: OperationType, field: &str) -> Option<Need> {
    // The schema contains no data.
    if matches!(field, "__typename" | "__schema" | "__type") {
        return Some(Need::Token);
    }
    let need = match operation {
        OperationType::Query => match field {
            "space" | "spaces" | "dpu" | "dpus" | "node" => Need::Read,
            "unknownDevices" | "tokens" => Need::Admin,
            _ => return None,
        },
        OperationType::Mutation => match field {
            "ingest" | "ingestIntervals" | "ingestTotals" => Need::Ingest,
            "spaceCreate" | "spaceUpdate" | "spaceDelete" | "dpuCreate" | "dpuUpdate" | "dpuMove"
            | "dpuDelete" | "assignmentCreate" | "assignmentUpdate" | "assignmentEnd"
            | "assignmentDelete" | "resetCreate" | "resetUpdate" | "resetDelete" | "resetRuleCreate"
            | "resetRuleUpdate" | "resetRuleDelete" | "eventVoid" | "eventUnvoid" | "intervalVoid"
            | "intervalUnvoid" | "readingVoid" | "readingUnvoid" | "tokenCreate" | "tokenRevoke" => {
                Need::Admin
            }
            _ => return None,
        },
        OperationType::Subscription => match field {
            "countChanged" => Need::Read,
            _ => return None,
        },
    };
    Some(need)
}
