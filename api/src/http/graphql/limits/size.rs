//! Size of a document with its fragments expanded, computed without expanding them.

use std::collections::HashMap;

use async_graphql::Name;
use async_graphql::parser::types::{ExecutableDocument, Selection, SelectionSet};

use super::{DocumentError, Measure};
use crate::limits::Limits;

/// Refuses a document that is nested too deeply, has too many selections, or has a fragment that contains itself. Each
/// fragment is visited once, unused ones included, since validation walks all of them.
pub(in crate::http::graphql) fn check_size(
    document: &ExecutableDocument,
    limits: &Limits,
) -> Result<(), DocumentError> {
    let mut walk = Walk { document, depth_max: limits.graphql_depth, fragments: HashMap::new() };
    let mut selections = 0_u64;
    for (_, operation) in document.operations.iter() {
        let size = walk.size(&operation.node.selection_set.node, 1)?;
        selections = selections.saturating_add(size.selections);
    }
    for name in document.fragments.keys() {
        // Used fragments have been counted where they are spread.
        if !walk.fragments.contains_key(name) {
            let size = walk.fragment(name, 1)?;
            selections = selections.saturating_add(size.selections);
        }
    }
    Measure::Selections.check(selections, limits.graphql_selections)
}

#[derive(Clone, Copy, Default)]
struct Size {
    selections: u64,
    depth: u32,
}

struct Walk<'a> {
    document: &'a ExecutableDocument,
    depth_max: u32,
    /// The sizes of fragments; `None` while one is being computed.
    fragments: HashMap<&'a Name, Option<Size>>,
}

impl<'a> Walk<'a> {
    /// Returns the size of a selection that is nested in `level - 1` others.
    fn size(&mut self, selection: &'a SelectionSet, level: u32) -> Result<Size, DocumentError> {
        if level > self.depth_max {
            return Err(DocumentError::Depth { accepted: self.depth_max });
        }
        let mut size = Size::default();
        for item in &selection.items {
            let inner = match &item.node {
                Selection::Field(field) if field.node.selection_set.node.items.is_empty() => Size::default(),
                Selection::Field(field) => self.size(&field.node.selection_set.node, level + 1)?,
                Selection::InlineFragment(fragment) => {
                    self.size(&fragment.node.selection_set.node, level + 1)?
                }
                Selection::FragmentSpread(spread) => {
                    self.fragment(&spread.node.fragment_name.node, level + 1)?
                }
            };
            size.selections = size.selections.saturating_add(1).saturating_add(inner.selections);
            size.depth = size.depth.max(inner.depth);
        }
        size.depth += 1;
        Ok(size)
    }

    /// Returns the size of a fragment whose selection is nested in `level - 1` others. Validation refuses unknown
    /// fragments.
    fn fragment(&mut self, name: &'a Name, level: u32) -> Result<Size, DocumentError> {
        let Some(fragment) = self.document.fragments.get(name) else { return Ok(Size::default()) };
        match self.fragments.get(name) {
            Some(None) => Err(DocumentError::Cycle(name.clone())),
            // It was visited at another level, where it was not too deep.
            Some(Some(size)) if level - 1 + size.depth > self.depth_max => {
                Err(DocumentError::Depth { accepted: self.depth_max })
            }
            Some(Some(size)) => Ok(*size),
            None => {
                self.fragments.insert(name, None);
                let size = self.size(&fragment.node.selection_set.node, level)?;
                self.fragments.insert(name, Some(size));
                Ok(size)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    fn check(text: &str, graphql_depth: u32, graphql_selections: u32) -> Result<(), DocumentError> {
        let limits = Limits { graphql_depth, graphql_selections, ..Limits::default() };
        check_size(&parse_query(text).unwrap(), &limits)
    }

    #[track_caller]
    fn assert_size(text: &str, depth: u32, selections: u32) {
        assert_eq!(check(text, depth, selections), Ok(()));
        assert_eq!(check(text, depth - 1, selections), Err(DocumentError::Depth { accepted: depth - 1 }));
        let (measure, found, accepted) = (Measure::Selections, selections.into(), selections - 1);
        assert_eq!(check(text, depth, accepted), Err(DocumentError::Excess { measure, found, accepted }));
    }

    #[test]
    fn fields_and_fragments_count_and_nest() {
        assert_size("{ a b { c d { e } } }", 3, 5);
        assert_size("{ a { ... { b } ...F } } fragment F on T { c { d } }", 4, 6);
        assert_size("query A { a } query B { b { c } }", 2, 3);
        // Visited first where it is shallow.
        assert_size("{ ...F a { b { ...F } } } fragment F on T { c { d } }", 5, 8);
    }

    #[test]
    fn unused_fragments_count_once() {
        assert_size("{ a } fragment F on T { b { c } }", 2, 3);
    }

    #[test]
    fn fragments_that_grow_exponentially_are_counted_without_expanding_them() {
        let fragment = |level: i32| {
            let next = level + 1;
            format!(" fragment F{level} on T {{ ...F{next} ...F{next} }}")
        };
        let fragments: String = (0..20).map(fragment).collect();
        let text = format!("{{ ...F0 }}{fragments} fragment F20 on T {{ a }}");
        let found = 1 + (1 << 21) - 2 + (1 << 20);
        let refused = DocumentError::Excess { measure: Measure::Selections, found, accepted: 1_000 };
        assert_eq!(check(&text, 30, 1_000), Err(refused));
    }

    #[test]
    fn a_fragment_that_contains_itself_is_refused() {
        for text in [
            "{ ...A } fragment A on T { ...A }",
            "{ ...A } fragment A on T { b { ...B } } fragment B on T { ...A }",
            "{ a } fragment A on T { ...B ...B } fragment B on T { ...A ...A }",
        ] {
            assert!(matches!(check(text, 30, 1_000), Err(DocumentError::Cycle(_))), "{text}");
        }
        assert_eq!(check("{ ...A }", 30, 1_000), Ok(()));
    }
}
