//! Permissions of an operation, which depend on the fields at its root.

use std::collections::HashSet;

use async_graphql::parser::types::{ExecutableDocument, Selection, SelectionSet};

use super::shape::Shapes;
use crate::auth::{Access, Refusal, root_field};

/// Checks whether the client may run the operation with this name, or the only one. Runs before any resolver.
pub(super) fn permit(
    document: &ExecutableDocument,
    name: Option<&str>,
    access: &Access,
    introspection: bool,
    shapes: &Shapes,
) -> Result<(), Refusal> {
    if introspection && access.token().is_none() {
        return Ok(());
    }
    let would_run = |found: Option<&async_graphql::Name>| {
        name.is_none() || found.map(async_graphql::Name::as_str) == name
    };
    for (_, operation) in document.operations.iter().filter(|(found, _)| would_run(*found)) {
        let mut roots = Roots { document, fragments: HashSet::new(), found: Vec::new() };
        roots.walk(&operation.node.selection_set.node);
        for field in roots.found {
            if !introspection && matches!(field, "__schema" | "__type") {
                return Err(Refusal::NoIntrospection);
            }
            match root_field(operation.node.ty, field) {
                Some(need) => access.permit(need)?,
                None if shapes.has_root(operation.node.ty, field) => return Err(Refusal::Forbidden),
                // The field is unknown: validation reports it.
                None => {}
            }
        }
    }
    Ok(())
}

/// The fields at the root, and the fragments that have been walked. Each fragment is walked once.
struct Roots<'a> {
    document: &'a ExecutableDocument,
    fragments: HashSet<&'a str>,
    found: Vec<&'a str>,
}

impl<'a> Roots<'a> {
    fn walk(&mut self, selections: &'a SelectionSet) {
        for selection in &selections.items {
            match &selection.node {
                Selection::Field(field) => self.found.push(&field.node.name.node),
                Selection::InlineFragment(fragment) => self.walk(&fragment.node.selection_set.node),
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    if self.fragments.insert(name)
                        && let Some(fragment) = self.document.fragments.get(name)
                    {
                        self.walk(&fragment.node.selection_set.node);
                    }
                }
            }
        }
    }
}
