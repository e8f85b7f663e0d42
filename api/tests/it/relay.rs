//! Features for Relay and other clients with a cache of objects: global ids, and pages from both ends.

use std::collections::BTreeSet;

use api::auth::Role;
use api::database::PoolConfig;
use api::ids::{IdsConfig, PublicIds};
use axum::body::Body;
use axum::http::Request;
use entity::assignment::Placement;
use serde_json::{Value, json};

use crate::auth::token;
use crate::harness::{Empty, Service, at, on_both};

/// Creates two spaces, a DPU assigned to the first, a reset and a rule of the first, and an event.
async fn world(service: &Service) {
    let (hall, dpu) = (service.space("Hall").await, service.dpu("283").await);
    service.space("Loft").await;
    service.assign(dpu, hall, Placement::Inside, None, None).await;
    service.reset(hall, at("2026-01-01"), 3).await;
    let rule = "mutation ($space: ID!) { resetRuleCreate(input: { space: $space, timeOfDay: \"04:00\", firstDay: \"2030-01-01\" }) {
        userErrors { message } } }";
    let public =
        service.data("{ spaces { nodes { id } } }", Value::Null).await["spaces"]["nodes"][0]["id"].take();
    let data = service.data(rule, json!({ "space": public })).await;
    assert_eq!(data["resetRuleCreate"]["userErrors"], json!([]));
    service.ingest(json!([{ "dpu": "283", "ts": "2026-01-02", "direction": "TOWARD" }])).await;
}

/// Returns the global ids of everything, by type name.
async fn node_ids(service: &Service) -> Vec<(String, Value, Value)> {
    let query = "{ spaces { nodes { __typename id nodeId resets { nodes { __typename id nodeId } } resetRules { __typename id nodeId }
            assignments { __typename id nodeId } dpus { __typename id nodeId } } } }";
    let mut found = Vec::new();
    let mut open = vec![service.data(query, Value::Null).await];
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(fields) => {
                if let Some(name) = fields.get("__typename") {
                    found.push((
                        name.as_str().unwrap().to_owned(),
                        fields["id"].clone(),
                        fields["nodeId"].clone(),
                    ));
                }
                open.extend(fields.into_iter().map(|(_, value)| value));
            }
            _ => {}
        }
    }
    found
}

async fn every_object_is_found_by_its_global_id(service: &Service) {
    world(service).await;
    let all = node_ids(service).await;
    let names: BTreeSet<_> = all.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["Assignment", "Dpu", "Reset", "ResetRule", "Space"]));
    // Plain ids are integers that several types share; each global id is unique.
    assert!(all.iter().filter(|(_, id, _)| id == "1").count() > 3);
    assert_eq!(all.iter().map(|(.., node)| node.to_string()).collect::<BTreeSet<_>>().len(), all.len());
    let query = "query ($id: ID!) { node(id: $id) { __typename nodeId
        ... on Space { id } ... on Dpu { id } ... on Assignment { id } ... on Reset { id } ... on ResetRule { id } } }";
    for (name, id, node) in all {
        let data = service.data(query, json!({ "id": node })).await;
        assert_eq!(data["node"], json!({ "__typename": name, "nodeId": node, "id": id }));
    }
    for id in ["", "1", "Space:1", "U3BhY2U6OTk", "U3BhY2U6", "RXZlbnQ6MQ", "Q3Vyc29yOjE"] {
        assert_eq!(
            service.data("query ($id: ID!) { node(id: $id) { nodeId } }", json!({ "id": id })).await["node"],
            Value::Null
        );
    }
}

async fn the_fields_of_a_node_come_in_the_order_of_the_query(service: &Service) {
    world(service).await;
    // The count waits for the database, but the fields after it do not.
    let query = "{ a: node(id: \"U3BhY2U6MQ\") { ...F nodeId ... on Dpu { serial } ... on Space { name } }
        b: node(id: \"RHB1OjE\") { ... on Space { id } ... on Dpu { lastEvent { ts } serial } }
        } fragment F on Node { ... on Space { count(ts: \"2026-01-02\") } }";
    let request = Request::post("/graphql").header("content-type", "application/json");
    let answer = service.send(request.body(json!({ "query": query }).to_string().into()).unwrap()).await;
    let expected = "{\"data\":{\"a\":{\"count\":4,\"nodeId\":\"U3BhY2U6MQ\",\"name\":\"Hall\"},\
        \"b\":{\"lastEvent\":{\"ts\":\"2026-01-02T00:00:00Z\"},\"serial\":\"283\"}}}";
    assert_eq!(answer.body, expected);
    let failed = service
        .ask("{ a: node(id: \"U3BhY2U6MQ\") { ... on Space { name count(ts: \"never\") } } }", Value::Null)
        .await;
    assert_eq!(
        (&failed["data"], &failed["errors"][0]["path"]),
        (&json!({ "a": null }), &json!(["a", "count"]))
    );
}

async fn pages_come_from_both_ends(service: &Service) {
    for number in 0..7 {
        service.space(&format!("Space {number}")).await;
    }
    let query = "query ($first: Int, $after: String, $last: Int, $before: String) {
        list: spaces(first: $first, after: $after, last: $last, before: $before) {
            nodes { name } edges { cursor } totalCount pageInfo { hasPreviousPage hasNextPage startCursor } } }";
    assert_pages(service, query, 7).await;
    for query in [
        "query { spaces(first: 1, last: 1) { totalCount } }",
        "query { spaces(last: -1) { totalCount } }",
        "query { spaces(last: 501) { totalCount } }",
        "query { spaces(before: \"x\") { totalCount } }",
    ] {
        let answer = service.ask(query, Value::Null).await;
        let message = answer["errors"][0]["message"].as_str().unwrap();
        assert!(
            message.starts_with("first and last")
                || message.starts_with("last: ")
                || message.starts_with("before: "),
            "{message}"
        );
    }
}

async fn events_come_from_both_ends(service: &Service) {
    service.dpu("283").await;
    let day = |day: usize, direction: &str| json!({ "dpu": "283", "ts": format!("2026-01-0{day}"), "direction": direction });
    let mut events: Vec<_> = (1..6).map(|number| day(number, "TOWARD")).collect();
    events.extend([
        day(3, "AWAY"),
        json!({ "dpu": "283", "ts": "2026-01-03", "direction": "TOWARD", "seq": 1 }),
    ]);
    service.ingest(events.into()).await;
    for order in ["", "newestFirst: true, "] {
        let query = format!("query ($first: Int, $after: String, $last: Int, $before: String) {{ dpu(serial: \"283\") {{
            list: events({order}first: $first, after: $after, last: $last, before: $before) {{
                nodes {{ ts direction seq }} edges {{ cursor }} totalCount pageInfo {{ hasPreviousPage hasNextPage startCursor }} }} }} }}");
        assert_pages(service, &query, 7).await;
    }
}

async fn a_dpu_is_deleted_unless_it_is_referenced(service: &Service) {
    let hall = service.space("Hall").await;
    for serial in ["new", "assigned", "seen", "trusted"] {
        let dpu = service.dpu(serial).await;
        if serial == "assigned" {
            service.assign(dpu, hall, Placement::Inside, None, None).await;
        }
    }
    service.ingest(json!([{ "dpu": "seen", "ts": "2026-01-02", "direction": "TOWARD" }])).await;
    let delete = async |id: i64, cascade: bool| {
        let mutation = "mutation ($id: ID!, $cascade: Boolean!) { dpuDelete(id: $id, cascade: $cascade) {
            dpu { serial } userErrors { code field message } } }";
        service.data(mutation, json!({ "id": id, "cascade": cascade })).await["dpuDelete"].take()
    };
    assert_eq!(delete(1, false).await, json!({ "dpu": { "serial": "new" }, "userErrors": [] }));
    let refused = |id: i64, code: &str, message: &str, payload: &Value| {
        let message = json!([{ "code": code, "field": ["id"], "message": message }]);
        assert_eq!(*payload, json!({ "dpu": null, "userErrors": message }), "{id}");
    };
    refused(1, "NOT_FOUND", "there is no DPU 1", &delete(1, true).await);
    refused(
        2,
        "IN_USE",
        "the DPU has 1 assignments: delete them first, or set cascade",
        &delete(2, false).await,
    );
    assert_eq!(delete(2, true).await["dpu"], json!({ "serial": "assigned" }));
    let events = "the DPU has events, which are never deleted: end its assignments instead";
    refused(3, "IN_USE", events, &delete(3, true).await);
    let left =
        service.data("{ dpus { nodes { serial } } space(id: 1) { assignments { id } } }", Value::Null).await;
    assert_eq!(
        left,
        json!({ "dpus": { "nodes": [{ "serial": "seen" }, { "serial": "trusted" }] }, "space": { "assignments": [] } })
    );
    // Serials of deleted DPUs may be reused, for other DPUs.
    assert_eq!(service.dpu("new").await, 5);
    // A token that is limited to a DPU must not become unlimited.
    let admin = token(service, "admin", Role::Admin, None).await;
    token(service, "device", Role::Ingest(Some(4)), None).await;
    let request =
        Request::post("/graphql").header("content-type", "application/json").header("authorization", admin);
    let mutation = "mutation { dpuDelete(id: 4, cascade: true) { dpu { id } userErrors { message } } }";
    let answer =
        service.send(request.body(Body::from(json!({ "query": mutation }).to_string())).unwrap()).await;
    assert!(answer.body.contains("the token \\\"device\\\" is limited to the DPU"), "{}", answer.body);
}

on_both!(
    every_object_is_found_by_its_global_id,
    the_fields_of_a_node_come_in_the_order_of_the_query,
    pages_come_from_both_ends,
    events_come_from_both_ends,
    a_dpu_is_deleted_unless_it_is_referenced
);

/// Walks through a list of `length` entries from both ends, and compares each page with the whole list.
async fn assert_pages(service: &Service, query: &str, length: usize) {
    let page = async |variables: Value| {
        let mut data = service.data(query, variables).await;
        if data["list"].is_null() { data["dpu"]["list"].take() } else { data["list"].take() }
    };
    let whole = page(json!({})).await;
    let (nodes, edges) = (whole["nodes"].as_array().unwrap(), whole["edges"].as_array().unwrap());
    assert_eq!((nodes.len(), &whole["totalCount"]), (length, &json!(length)));
    let cursor = |place: usize| edges[place]["cursor"].clone();
    for size in 0..=length + 1 {
        for (after, before) in [
            (None, None),
            (Some(1), None),
            (None, Some(5)),
            (Some(1), Some(5)),
            (Some(5), Some(1)),
            (Some(2), Some(3)),
        ] {
            let start = after.map_or(0, |after: usize| after + 1);
            let end = before.unwrap_or(length).max(start);
            for side in ["first", "last"] {
                let given = json!({ side: size, "after": after.map(cursor), "before": before.map(cursor) });
                let (from, to) = if side == "first" {
                    (start, end.min(start + size))
                } else {
                    (start.max(end.saturating_sub(size)), end)
                };
                let found = page(given.clone()).await;
                assert_eq!(found["nodes"], json!(nodes[from..to]), "{given}");
                let info = &found["pageInfo"];
                // If the cursors leave no entries, the page is empty.
                if before.is_none_or(|before| before >= start) {
                    assert_eq!(
                        (&info["hasPreviousPage"], &info["hasNextPage"]),
                        (&json!(from > 0), &json!(to < length)),
                        "{given}"
                    );
                }
                assert_eq!(
                    info["startCursor"],
                    if from < to { cursor(from) } else { Value::Null },
                    "{given}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn global_ids_are_authorized_like_other_ids() {
    let ids = PublicIds::new(&IdsConfig { id_key: Some("0123456789abcdef".repeat(4).into()) }).unwrap();
    let service = Service::start_with(Empty::on_sqlite(), ids, PoolConfig::default()).await;
    world(&service).await;
    let all = node_ids(&service).await;
    for (name, id, node) in &all {
        let text = data_encoding::BASE64URL_NOPAD.decode(node.as_str().unwrap().as_bytes()).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), format!("{name}:{}", id.as_str().unwrap()));
        let data = service.data("query ($id: ID!) { node(id: $id) { nodeId } }", json!({ "id": node })).await;
        assert_eq!(data["node"]["nodeId"], *node);
    }
    // A token limited to the other space.
    let limited = token(&service, "loft", Role::Read(Some(BTreeSet::from([2]))), None).await;
    let mut seen = Vec::new();
    for (name, _, node) in &all {
        let body =
            json!({ "query": "query ($id: ID!) { node(id: $id) { nodeId } }", "variables": { "id": node } });
        let request = Request::post("/graphql").header("content-type", "application/json");
        let request = request.header("authorization", &limited).body(body.to_string().into()).unwrap();
        if !service.send(request).await.json()["data"]["node"].is_null() {
            seen.push(name.as_str());
        }
    }
    assert_eq!(seen, ["Space"]);
    service.finish().await;
}
