//! The GraphQL schema as clients see it.

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{TypeKind, TypeSystemDefinition};

#[test]
fn the_exported_schema_is_the_one_that_is_served() {
    let exported = include_str!("../../../schema.graphql");
    assert_eq!(
        exported,
        api::http::graphql::sdl(),
        "schema.graphql is stale: cargo run -p api -- schema > schema.graphql"
    );
}

#[test]
fn everything_has_a_description() {
    let document = parse_schema(api::http::graphql::sdl()).unwrap();
    let (mut missing, mut seen) = (Vec::new(), 0);
    let mut check = |name: String, described: bool| {
        seen += 1;
        if !described {
            missing.push(name);
        }
    };
    for definition in document.definitions {
        let TypeSystemDefinition::Type(definition) = definition else { continue };
        let (name, definition) = (definition.node.name.node.clone(), definition.node);
        check(name.to_string(), definition.description.is_some());
        match definition.kind {
            TypeKind::Object(object) => {
                for field in object.fields {
                    check(format!("{name}.{}", field.node.name.node), field.node.description.is_some());
                    for argument in field.node.arguments {
                        let path = format!("{name}.{}({})", field.node.name.node, argument.node.name.node);
                        check(path, argument.node.description.is_some());
                    }
                }
            }
            TypeKind::InputObject(input) => {
                for field in input.fields {
                    check(format!("{name}.{}", field.node.name.node), field.node.description.is_some());
                }
            }
            TypeKind::Enum(values) => {
                for value in values.values {
                    check(format!("{name}.{}", value.node.value.node), value.node.description.is_some());
                }
            }
            TypeKind::Scalar | TypeKind::Interface(_) | TypeKind::Union(_) => {}
        }
    }
    assert!(seen > 50, "only {seen} descriptions were checked");
    assert!(missing.is_empty(), "without a description: {missing:#?}");
}
