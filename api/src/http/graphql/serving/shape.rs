//! The shape of an answer: fields in the order of the query, and nulls only where the schema allows them.
//!
//! async-graphql 7.2 orders fields as their resolvers happened to finish, and leaves a failed non-null field out of its
//! object. The specification requires the order of the query, and null for the nearest nullable parent. This module
//! restores both, from the query, the schema and the paths of the errors.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{
    BaseType, ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet, Type,
};
use async_graphql::{Name, PathSegment, Response, Value, parser};

use crate::http::graphql::limits::root;
use crate::http::graphql::objects;

/// The types of all fields of all objects of a schema.
#[derive(Debug)]
pub(in crate::http::graphql) struct Shapes {
    objects: HashMap<Name, HashMap<Name, Type>>,
}

impl Shapes {
    pub(in crate::http::graphql) fn new(sdl: &str) -> Result<Self, parser::Error> {
        let objects = objects(sdl)?.map(|(name, fields)| {
            let types = fields.into_iter().map(|field| (field.name.node, field.ty.node));
            (name, types.collect())
        });
        Ok(Self { objects: objects.collect() })
    }

    pub(in crate::http::graphql) fn has_root(&self, operation: OperationType, field: &str) -> bool {
        self.objects.get(root(operation)).is_some_and(|fields| fields.contains_key(field))
    }

    /// Restores the shape of the answer to an operation of the document. `roots` has the type of each object that a
    /// root field of an abstract type returns. Only root fields have abstract types.
    pub(in crate::http::graphql) fn restore(
        &self,
        document: &ExecutableDocument,
        operation: Option<&str>,
        roots: &HashMap<String, &'static str>,
        response: &mut Response,
    ) {
        let mut named = document.operations.iter();
        let chosen = named.find(|(name, _)| operation.is_none() || name.map(Name::as_str) == operation);
        let (Some((_, chosen)), Value::Object(_)) = (chosen, &response.data) else { return };
        let OperationDefinition { ty, selection_set, .. } = &chosen.node;
        let root = root(*ty);
        if let Value::Object(fields) = std::mem::take(&mut response.data) {
            let failed = response.errors.iter().map(|error| error.path.iter().map(step).collect()).collect();
            let mut walk = Walk { types: &self.objects, roots, document, failed, path: String::new() };
            response.data =
                walk.object(root, &[&selection_set.node], fields).map_or(Value::Null, Value::Object);
        }
    }
}

/// Returns a step of a path as text. A path is the concatenation of its steps.
fn step(segment: &PathSegment) -> String {
    match segment {
        PathSegment::Field(name) => format!("/{name}"),
        PathSegment::Index(index) => format!("/{index}"),
    }
}

/// A walk down an answer, along the query.
struct Walk<'a> {
    types: &'a HashMap<Name, HashMap<Name, Type>>,
    /// The types of objects that root fields of abstract types return.
    roots: &'a HashMap<String, &'static str>,
    document: &'a ExecutableDocument,
    /// The paths at which resolvers failed.
    failed: HashSet<String>,
    /// The current path; maintained only if a resolver failed.
    path: String,
}

impl<'a> Walk<'a> {
    /// Returns the object with its fields in order; `None` if a non-null field failed.
    fn object(
        &mut self,
        type_name: &str,
        selections: &[&'a SelectionSet],
        mut found: IndexMap<Name, Value>,
    ) -> Option<IndexMap<Name, Value>> {
        let mut asked: IndexMap<&Name, Vec<&'a Field>> = IndexMap::new();
        for selection in selections {
            self.collect(type_name, selection, &mut asked);
        }
        let types = self.types;
        let mut ordered = IndexMap::with_capacity(found.len());
        for (key, fields) in asked {
            let value = found.swap_remove(key);
            // The schema does not list introspection, which is resolved without waiting, and so in order.
            let Some(ty) = types.get(type_name).and_then(|object| object.get(&fields[0].name.node)) else {
                ordered.extend(value.map(|value| (key.clone(), value)));
                continue;
            };
            let parent = self.enter(key);
            let selections = || fields.iter().map(|field| &field.selection_set.node).collect::<Vec<_>>();
            let shaped = match value {
                Some(Value::Object(fields)) if self.is_abstract(ty) => {
                    let concrete = self.roots.get(key.as_str()).copied().unwrap_or_default();
                    let shaped = self.object(concrete, &selections(), fields).map(Value::Object);
                    Some(if ty.nullable { Some(shaped.unwrap_or_default()) } else { shaped })
                }
                Some(value) => Some(self.value(ty, &selections(), value)),
                None if self.failed.contains(&self.path) => Some(ty.nullable.then_some(Value::Null)),
                // A directive excluded it.
                None => None,
            };
            self.path.truncate(parent);
            if let Some(shaped) = shaped {
                ordered.insert(key.clone(), shaped?);
            }
        }
        Some(ordered)
    }

    /// Returns the value; `None` if it is null and must not be.
    fn value(&mut self, ty: &Type, selections: &[&'a SelectionSet], value: Value) -> Option<Value> {
        let shaped = match (&ty.base, value) {
            (BaseType::List(ty), Value::List(items)) => {
                let mut shaped = Vec::with_capacity(items.len());
                for (index, item) in items.into_iter().enumerate() {
                    let parent = self.enter(&index);
                    shaped.push(self.value(ty, selections, item));
                    self.path.truncate(parent);
                }
                shaped.into_iter().collect::<Option<_>>().map(Value::List)
            }
            (BaseType::Named(name), Value::Object(fields)) => {
                self.object(name, selections, fields).map(Value::Object)
            }
            // All of the object's fields failed, or directives excluded all of them.
            (BaseType::Named(name), Value::Null) if !ty.nullable && self.types.contains_key(name) => {
                let failed = self.failed.iter().any(|path| path.starts_with(&format!("{}/", self.path)));
                (!failed).then(|| Value::Object(IndexMap::new()))
            }
            (_, Value::Null) => None,
            (_, leaf) => Some(leaf),
        };
        if ty.nullable { Some(shaped.unwrap_or_default()) } else { shaped }
    }

    fn is_abstract(&self, ty: &Type) -> bool {
        matches!(&ty.base, BaseType::Named(name) if !self.types.contains_key(name))
    }

    /// Returns whether a fragment on the type `condition` applies to objects of this type.
    fn concerns(&self, condition: &Name, type_name: &str) -> bool {
        condition == type_name || !self.types.contains_key(condition)
    }

    /// Collects the selected fields, in order, by response key.
    fn collect(
        &self,
        type_name: &str,
        selection: &'a SelectionSet,
        asked: &mut IndexMap<&'a Name, Vec<&'a Field>>,
    ) {
        for item in &selection.items {
            let (condition, selection) = match &item.node {
                Selection::Field(field) => {
                    asked.entry(&field.node.response_key().node).or_default().push(&field.node);
                    continue;
                }
                Selection::FragmentSpread(spread) => {
                    let Some(fragment) = self.document.fragments.get(&spread.node.fragment_name.node) else {
                        continue;
                    };
                    (Some(&fragment.node.type_condition), &fragment.node.selection_set)
                }
                Selection::InlineFragment(fragment) => {
                    (fragment.node.type_condition.as_ref(), &fragment.node.selection_set)
                }
            };
            if condition.is_none_or(|condition| self.concerns(&condition.node.on.node, type_name)) {
                self.collect(type_name, &selection.node, asked);
            }
        }
    }

    /// Appends a step to the path, and returns the length of the path before it.
    fn enter(&mut self, step: &impl Display) -> usize {
        let parent = self.path.len();
        if !self.failed.is_empty() {
            self.path.push('/');
            self.path.push_str(&step.to_string());
        }
        parent
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use async_graphql::{ServerError, value};

    use super::*;

    const SDL: &str = "type Query { a: Thing b: Thing! list: [Thing!]! maybe: [Thing] node: Node }
        interface Node { id: ID! }
        type Thing implements Node { id: ID! x: Int! y: Int thing: Thing! }
        type Other implements Node { id: ID! x: Int! z: Int }";

    fn restored(query: &str, data: Value, failed: &[&[&str]]) -> Value {
        let segment = |text: &&str| {
            text.parse().map_or_else(|_| PathSegment::Field(text.to_string()), PathSegment::Index)
        };
        let mut response = Response::new(data);
        response.errors = failed
            .iter()
            .map(|path| ServerError {
                path: path.iter().map(segment).collect(),
                ..ServerError::new("failed", None)
            })
            .collect();
        let roots = HashMap::from([("n".to_owned(), "Other")]);
        Shapes::new(SDL).unwrap().restore(&parse_query(query).unwrap(), None, &roots, &mut response);
        response.data
    }

    /// Compares with the order of fields, which `==` on objects ignores.
    fn assert_same(left: &Value, right: &Value) {
        assert_eq!(left.to_string(), right.to_string());
    }

    #[test]
    fn fields_come_in_the_order_of_the_query() {
        let query =
            "{ b { ...F x } a { y @skip(if: true) x } b { thing { x } } } fragment F on Thing { z: y x }";
        let data = value!({ "a": { "x": 1 }, "b": { "thing": { "x": 4 }, "x": 2, "z": 3 } });
        let wanted = value!({ "b": { "z": 3, "x": 2, "thing": { "x": 4 } }, "a": { "x": 1 } });
        assert_same(&restored(query, data, &[]), &wanted);
    }

    #[test]
    fn the_nearest_nullable_parent_of_a_failed_field_is_null() {
        let query = "{ a { x thing { y x } } b { y } }";
        let data = value!({ "a": { "x": 1, "thing": { "y": 2 } }, "b": { "y": 3 } });
        let wanted = value!({ "a": null, "b": { "y": 3 } });
        assert_same(&restored(query, data, &[&["a", "thing", "x"]]), &wanted);

        let query = "{ maybe { x } }";
        let data = value!({ "maybe": [{ "x": 1 }, null] });
        assert_same(
            &restored(query, data, &[&["maybe", "1", "x"]]),
            &value!({ "maybe": [{ "x": 1 }, null] }),
        );

        let query = "{ list { x } a { y } }";
        let data = value!({ "list": [{ "x": 1 }, null], "a": { "y": 2 } });
        assert_same(&restored(query, data, &[&["list", "1", "x"]]), &Value::Null);
    }

    #[test]
    fn an_object_of_an_abstract_type_has_the_fields_of_its_own_type() {
        let query =
            "{ n: node { ... on Thing { y x } ...F ... on Other { z } id } } fragment F on Node { k: id }";
        let data = value!({ "n": { "id": "1", "z": 2, "k": "1" } });
        assert_same(&restored(query, data, &[]), &value!({ "n": { "k": "1", "z": 2, "id": "1" } }));
        let query = "{ n: node { id ... on Other { x } } a { y } }";
        let data = value!({ "n": { "id": "1" }, "a": { "y": 2 } });
        assert_same(&restored(query, data, &[&["n", "x"]]), &value!({ "n": null, "a": { "y": 2 } }));
    }

    #[test]
    fn an_object_whose_fields_are_all_excluded_by_directives_is_empty() {
        let query = "{ b { x @skip(if: true) } }";
        assert_same(&restored(query, value!({ "b": null }), &[]), &value!({ "b": {} }));
    }
}
