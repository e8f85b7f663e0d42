//! Cost model: each field costs one, and the selection below a list counts once for each entry.

use std::collections::HashMap;

use async_graphql::parser::types::{BaseType, FieldDefinition, Type};
use async_graphql::{Name, parser};

use crate::floor_plan::List;
use crate::http::graphql::objects;

/// Assumed length of lists of unknown length: those in the results of mutations.
const FEW: u64 = 10;

/// Costs of all fields of all objects of a schema.
#[derive(Debug)]
pub(in crate::http::graphql) struct CostModel {
    objects: HashMap<Name, HashMap<Name, FieldCost>>,
}

#[derive(Debug)]
struct FieldCost {
    returns: Name,
    entries: Entries,
}

/// Number of objects that a field returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http::graphql) enum Entries {
    /// This number, whatever its arguments.
    Fixed(u64),
    /// One, but several parents may have the same one, such as an assignment's space.
    Shared,
    /// A page, by the arguments `first` and `last`.
    Page,
    /// A page, and at most as many as the list has.
    PageOf(List),
    /// As many as the list has.
    All(List),
    /// As many as are in the list of this argument.
    Events(&'static str),
    Buckets,
    Days,
}

/// The entries of fields of one object, by name.
pub(in crate::http::graphql) type DeclaredEntries = &'static [(&'static str, Entries)];

impl CostModel {
    /// Reads them from a schema in GraphQL's schema language. `declared` are those of objects that are declared beside their
    /// fields.
    pub(in crate::http::graphql) fn new(
        sdl: &str,
        declared: &[(&str, DeclaredEntries)],
    ) -> Result<Self, parser::Error> {
        let declared_of = |object: &str, field: &str| {
            let of_object =
                declared.iter().filter(|(name, _)| *name == object).flat_map(|(_, fields)| *fields);
            of_object.filter(|(name, _)| *name == field).map(|(_, entries)| *entries).next()
        };
        let objects = objects(sdl)?.map(|(object, fields)| {
            let costs = fields.iter().map(|field| {
                let entries =
                    declared_of(&object, &field.name.node).unwrap_or_else(|| entries(&object, field));
                let cost = FieldCost { returns: base(&field.ty.node), entries };
                (field.name.node.clone(), cost)
            });
            let costs = costs.collect();
            (object, costs)
        });
        Ok(Self { objects: objects.collect() })
    }

    /// Returns the type and the number of entries of a field. An unknown field, which validation refuses, has one.
    pub(in crate::http::graphql) fn of<'a>(&'a self, type_name: &'a str, field: &str) -> (&'a str, Entries) {
        match self.objects.get(type_name).and_then(|fields| fields.get(field)) {
            Some(cost) => (cost.returns.as_str(), cost.entries),
            None => (INTROSPECTION, Entries::Fixed(self.introspected(field))),
        }
    }

    /// Returns the approximate number of entries of an introspection field. Its types refer to each other, so a
    /// document can nest them repeatedly.
    fn introspected(&self, field: &str) -> u64 {
        match field {
            "types" => self.objects.len() as u64,
            "fields" => 6,
            "inputFields" | "enumValues" => 3,
            "args" | "directives" | "possibleTypes" => 2,
            _ => 1,
        }
    }
}

/// Stands for all types of introspection, which the schema that they describe does not list.
const INTROSPECTION: &str = "";

/// Returns the number of entries of a field of an object, unless it is declared beside the field.
fn entries(object: &Name, field: &FieldDefinition) -> Entries {
    match (object.as_str(), field.name.node.as_str()) {
        // The page has been counted already.
        (object, "edges" | "nodes") if object.ends_with("Connection") => Entries::Fixed(1),
        (object, "node") if object.ends_with("Edge") => Entries::Fixed(1),
        _ if matches!(&field.ty.node.base, BaseType::Named(name) if matches!(name.as_str(), "Space" | "Dpu")) => {
            Entries::Shared
        }
        _ if field.arguments.iter().any(|argument| argument.node.name.node == "first") => Entries::Page,
        _ if matches!(field.ty.node.base, BaseType::List(_)) => Entries::Fixed(FEW),
        _ => Entries::Fixed(1),
    }
}

/// Returns the type of the innermost entries.
fn base(ty: &Type) -> Name {
    match &ty.base {
        BaseType::Named(name) => name.clone(),
        BaseType::List(ty) => base(ty),
    }
}
