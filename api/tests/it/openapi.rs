//! `GET /openapi.json`: it describes every REST route, and the descriptions are true.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Answer, Service, on_both};

async fn document(service: &Service) -> Value {
    let answer = service.get("/openapi.json").await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "application/json"));
    answer.json()
}

/// Returns the schema, or the one it refers to.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let reference = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    reference.map_or(schema, |pointer| document.pointer(pointer).unwrap_or_else(|| panic!("no {pointer}")))
}

/// Checks that the value conforms to the schema. Supports only the keywords that this document uses.
fn assert_matches(document: &Value, schema: &Value, value: &Value) {
    let schema = resolved(document, schema);
    if let Some(kinds) = schema["enum"].as_array() {
        assert!(kinds.contains(value), "{value} is not one of {kinds:?}");
    }
    match value {
        Value::Object(fields) if schema["properties"].is_object() => {
            for name in schema["required"].as_array().into_iter().flatten() {
                assert!(fields.contains_key(name.as_str().unwrap()), "{name} is missing in {value}");
            }
            for (name, value) in fields {
                let property = &schema["properties"][name];
                assert!(!property.is_null(), "{name} is not described");
                assert_matches(document, property, value);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| assert_matches(document, &schema["items"], item)),
        Value::String(_) => assert_eq!(schema["type"], "string", "{value}"),
        Value::Number(number) => {
            let kind = schema["type"].as_array().map_or(&schema["type"], |kinds| &kinds[0]);
            assert!(
                kind == "number" || kind == "integer" && number.is_i64(),
                "{value} is not of type {kind}"
            );
        }
        _ => {}
    }
}

/// Checks that the answer is one of those that the document describes for the operation.
fn assert_described(document: &Value, operation: &Value, answer: &Answer) {
    let described = &operation["responses"][answer.status.as_str()];
    assert!(!described.is_null(), "{} is not described: {}", answer.status, answer.body);
    assert_matches(document, &described["content"]["application/json"]["schema"], &answer.json());
    for name in described["headers"].as_object().into_iter().flatten().map(|(name, _)| name) {
        assert!(!answer.header(name).is_empty(), "{name} is missing");
    }
}

fn post(content_type: &str, body: &str) -> Request<Body> {
    Request::post("/events").header("content-type", content_type).body(body.to_owned().into()).unwrap()
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

async fn every_rest_route_is_described_and_no_other(service: &Service) {
    let document = document(service).await;
    assert_eq!(document["openapi"].as_str().unwrap().split('.').next(), Some("3"));
    let described: Vec<_> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(move |method| format!("{method} {path}"))
        })
        .collect();
    assert_eq!(
        described,
        [
            "post /devices/{format}",
            "post /events",
            "get /healthz",
            "get /metrics",
            "get /openapi.json",
            "get /readyz",
            "get /space/{id}/count",
            "get /space/{id}/counts"
        ]
    );
    let space = service.space("Hall").await.to_string();
    for route in &described {
        let (method, path) = route.split_once(' ').unwrap();
        let path = path.replace("{id}", &space).replace("{format}", "xovis");
        for path in [path.clone(), format!("{path}/")] {
            // The answer to an unknown method lists the methods of the route.
            let ask =
                |method: &str| Request::builder().method(method).uri(&path).body(Body::empty()).unwrap();
            let answer = service.send(ask("BREW")).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
            let allowed: Vec<_> =
                answer.header("allow").split(", ").filter(|method| *method != "HEAD").collect();
            assert_eq!(allowed, [method.to_uppercase()]);
            let answer = service.send(ask(&method.to_uppercase())).await;
            assert!(!matches!(answer.status.as_u16(), 404 | 405), "{route}: {}", answer.status);
        }
    }
}

async fn everything_has_a_description(service: &Service) {
    let document = document(service).await;
    for (path, item) in document["paths"].as_object().unwrap() {
        for operation in item.as_object().unwrap().values() {
            assert!(operation["summary"].is_string(), "{path}");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(
                    parameter["description"].is_string() && !parameter["example"].is_null(),
                    "{parameter}"
                );
            }
            for response in operation["responses"].as_object().unwrap().values() {
                assert!(!response["description"].as_str().unwrap().is_empty(), "{path}");
            }
        }
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(schema["description"].is_string(), "{name}");
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            let described = property["description"].is_string()
                || property["$ref"].is_string()
                || property["oneOf"].is_array();
            assert!(described, "{name}.{field}");
        }
    }
}

async fn answers_match_their_descriptions(service: &Service) {
    let document = document(service).await;
    let operation = |method: &str, path: &str| &document["paths"][path][method];
    let space = service.space("Hall").await;
    service.dpu("1001").await;

    let count = operation("get", "/space/{id}/count");
    for (query, status) in [("", 200), ("?ts=2018-05-01", 200), ("?ts=yesterday", 400)] {
        let answer = service.send(get(&format!("/space/{space}/count{query}"))).await;
        assert_eq!(answer.status, status);
        assert_described(&document, count, &answer);
    }
    assert_described(&document, count, &service.get("/space/0/count").await);
    assert_described(&document, operation("get", "/healthz"), &service.get("/healthz").await);

    let counts = operation("get", "/space/{id}/counts");
    let answer = service.get(&format!("/space/{space}/counts?start=2025-03-06&end=2025-03-07")).await;
    assert_eq!(answer.json()["counts"].as_array().unwrap().len(), 24);
    assert_described(&document, counts, &answer);
    for path in [format!("/space/{space}/counts"), "/space/0/counts".to_owned()] {
        assert_described(&document, counts, &service.get(&path).await);
    }

    let events = operation("post", "/events");
    let request_bodies = events["requestBody"]["content"].as_object().unwrap();
    assert_eq!(
        request_bodies.keys().collect::<Vec<_>>(),
        ["application/json", "application/x-ndjson", "text/csv"]
    );
    for (content_type, body) in request_bodies {
        let example = match &body["example"] {
            Value::String(text) => text.clone(),
            _ => document["components"]["schemas"]["Event"]["example"].to_string(),
        };
        let answer = service.send(post(content_type, &example)).await;
        let receipt = answer.json();
        assert_eq!((&receipt["rejected"], answer.status), (&json!(0), StatusCode::OK), "{example}");
        assert_described(&document, events, &answer);
    }
    for (content_type, body, status) in [
        ("application/x-ndjson", "{}\n{\"ts\":\"2026-01-01\",\"direction\":1,\"dpu\":\"9\"}", 200),
        ("application/json", "[", 400),
        ("text/plain", "", 415),
    ] {
        let answer = service.send(post(content_type, body)).await;
        assert_eq!(answer.status, status);
        assert_described(&document, events, &answer);
    }
    assert_eq!(
        service
            .send(Request::builder().method(Method::PUT).uri("/openapi.json").body(Body::empty()).unwrap())
            .await
            .status,
        405
    );
}

async fn examples_match_their_schemas(service: &Service) {
    let document = document(service).await;
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for name in ["Count", "Receipt", "Health", "Problem"] {
        assert_matches(&document, &schemas[name], &schemas[name]["example"]);
    }
    for item in
        document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values())
    {
        for response in item["responses"].as_object().unwrap().values() {
            let content = &response["content"]["application/json"];
            if !content["example"].is_null() {
                assert_matches(&document, &content["schema"], &content["example"]);
            }
        }
    }
}

on_both!(
    every_rest_route_is_described_and_no_other,
    everything_has_a_description,
    answers_match_their_descriptions,
    examples_match_their_schemas
);
