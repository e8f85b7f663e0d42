//! What the fields of the schema cost: one each, and what is below a list as many times as the list has entries.

use std::collections::HashMap;

use async_graphql::Name;
use async_graphql::parser::types::{
    BaseType, FieldDefinition, ObjectType, Type, TypeKind, TypeSystemDefinition,
};
use async_graphql::parser::{self, parse_schema};

use crate::floor_plan::List;

/// How many entries a list is taken for whose length nothing tells: those of what a mutation did.
const FEW: u64 = 10;

/// The prices of all fields of all objects of a schema.
#[derive(Debug)]
pub(in crate::http::graphql) struct Prices {
    objects: HashMap<Name, HashMap<Name, Price>>,
}

/// What a field costs, and the type of what it answers.
#[derive(Debug)]
pub(in crate::http::graphql) struct Price {
    pub(in crate::http::graphql) returns: Name,
    pub(in crate::http::graphql) entries: Entries,
}

/// How many times what is below a field is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http::graphql) enum Entries {
    /// So many times, whatever its arguments.
    Fixed(u64),
    /// Once, but several parents may have the same one: an assignment's space.
    Shared,
    /// As its argument `first` says.
    Page,
    /// As its argument `first` says, and at most as many as the list has.
    PageOf(List),
    /// As many as the list has.
    All(List),
    /// Once for each event that it is given.
    Events,
    /// Once for each bucket of a history.
    Buckets,
    /// Once for each day of a stretch of time.
    Days,
}

impl Prices {
    /// Learns them from a schema in GraphQL's schema language.
    pub(in crate::http::graphql) fn new(sdl: &str) -> Result<Self, parser::Error> {
        let mut objects = HashMap::new();
        for definition in parse_schema(sdl)?.definitions {
            if let TypeSystemDefinition::Type(definition) = definition
                && let TypeKind::Object(object) = definition.node.kind
            {
                let prices = prices_of(&definition.node.name.node, &object);
                objects.insert(definition.node.name.node, prices);
            }
        }
        Ok(Self { objects })
    }

    /// The price of a field of a type. Validating refuses a field that there is not; its price is one.
    pub(in crate::http::graphql) fn of<'a>(&'a self, type_name: &'a str, field: &str) -> (&'a str, Entries) {
        match self.objects.get(type_name).and_then(|fields| fields.get(field)) {
            Some(price) => (price.returns.as_str(), price.entries),
            None => (INTROSPECTION, Entries::Fixed(self.introspected(field))),
        }
    }

    /// How many entries a field of the schema's description has, about: its types refer to each other, and so a
    /// document can go round and round in it.
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

fn prices_of(object_name: &Name, object: &ObjectType) -> HashMap<Name, Price> {
    let fields = object.fields.iter().map(|field| &field.node);
    let priced = fields.map(|field| {
        let price = Price { returns: base(&field.ty.node), entries: entries(object_name, field) };
        (field.name.node.clone(), price)
    });
    priced.collect()
}

/// How many entries a field of an object has.
fn entries(object: &Name, field: &FieldDefinition) -> Entries {
    match (object.as_str(), field.name.node.as_str()) {
        ("Mutation", "ingest") => Entries::Events,
        ("Space", "history") => Entries::Buckets,
        ("Space", "resetRulePreview") => Entries::Days,
        ("Dpu", "assignments") => Entries::PageOf(List::AssignmentsOfDpu),
        ("Space", "assignments" | "dpus") | ("CountBreakdown", "assignments") => {
            Entries::All(List::AssignmentsOfSpace)
        }
        ("Space", "resetRules") => Entries::All(List::RulesOfSpace),
        // The page, and the batch, are multiplied by already.
        (object, "edges" | "nodes") if object.ends_with("Connection") => Entries::Fixed(1),
        ("IngestPayload", "rejected") => Entries::Fixed(1),
        (object, "node") if object.ends_with("Edge") => Entries::Fixed(1),
        _ if matches!(&field.ty.node.base, BaseType::Named(name) if matches!(name.as_str(), "Space" | "Dpu")) => {
            Entries::Shared
        }
        _ if field.arguments.iter().any(|argument| argument.node.name.node == "first") => Entries::Page,
        _ if matches!(field.ty.node.base, BaseType::List(_)) => Entries::Fixed(FEW),
        _ => Entries::Fixed(1),
    }
}

/// The type beneath all lists.
fn base(ty: &Type) -> Name {
    match &ty.base {
        BaseType::Named(name) => name.clone(),
        BaseType::List(ty) => base(ty),
    }
}
