//! GraphQL: queries, their answers, and their cost.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use entity::assignment::Placement;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::harness::{NOW, Service, at, on_both};

const EVERYTHING: &str = "query ($first: Int) { spaces(first: $first) { nodes {
    id name capacity negativeCounts count early: count(ts: \"2026-01-01T00:00:00Z\") netCount
    dpus { serial name assignments { nodes { placement space { name count } } } }
    assignments { id doorway startsAt endsAt created modified dpu { serial } } created modified
} } }";

async fn many_spaces(service: &Service, count: usize) -> Vec<i64> {
    let mut ids = Vec::new();
    for number in 0..count {
        let space = service.space(&format!("Space {number:02}")).await;
        let dpu = service.dpu(&format!("{number:02}")).await;
        service.assign(dpu, space, Placement::Inside, None, None).await;
        if let Some(previous) = ids.last() {
            service.assign(dpu, *previous, Placement::Outside, None, None).await;
        }
        ids.push(space);
    }
    ids
}

async fn post(
    service: &Service,
    accept: Option<&str>,
    content_type: &str,
    body: &str,
) -> crate::harness::Answer {
    let mut request = Request::post("/graphql").header("content-type", content_type);
    if let Some(accept) = accept {
        request = request.header("accept", accept);
    }
    service.send(request.body(body.to_owned().into()).unwrap()).await
}

async fn a_query_over_many_spaces_needs_as_many_statements_as_over_one(service: &Service) {
    many_spaces(service, 50).await;
    let aliases = (1..=50).fold(String::new(), |query, id| {
        query + &format!("s{id}: space(id: {id}) {{ count dpus {{ serial }} }} ")
    });
    let aliases = format!("{{ {aliases} }}");
    let statements = async |query: &str, first: i32| {
        service.statements_of(service.data(query, json!({ "first": first }))).await
    };
    service.data(EVERYTHING, json!({ "first": 1 })).await;
    for (query, first) in [(EVERYTHING, 1), (EVERYTHING, 50), (&aliases, 50)] {
        service.app.state.forget_all();
        assert_eq!(statements(query, first).await, 1, "all timelines with one statement");
        assert_eq!(statements(query, first).await, 0, "they are in memory");
    }
    service.space("One more").await;
    assert_eq!(statements(EVERYTHING, 51).await, 0, "the mutation has already read the new floor plan");
}

async fn a_space_has_its_properties_and_dpus(service: &Service) {
    let (space, other) = (service.space("Hall").await, service.space("Loft").await);
    let (front, back) = (service.dpu("1").await, service.dpu("2").await);
    let moved = at("2026-02-01");
    service.assign(front, space, Placement::Inside, None, Some(moved)).await;
    service.assign(front, other, Placement::Outside, Some(moved), None).await;
    service.assign(back, space, Placement::Outside, None, None).await;
    service
        .ingest(json!([
            { "dpu": "1", "ts": "2026-01-31T23:59:59.999Z", "direction": "TOWARD" },
            { "dpu": "1", "ts": "2026-02-01T00:00:00Z", "direction": "TOWARD" },
            { "dpu": "2", "ts": "2026-02-02T00:00:00Z", "direction": "TOWARD" },
            { "dpu": "2", "ts": "2026-02-02T00:00:00Z", "direction": "TOWARD", "seq": 1 },
        ]))
        .await;
    let query = "query ($id: ID!, $ts: DateTime) { space(id: $id) {
        id name capacity negativeCounts count(ts: $ts) now: count netCount dpus(ts: $ts) { serial name }
        assignments { placement startsAt endsAt dpu { id serial } space { id } } created modified
    } }";
    let data =
        service.data(query, json!({ "id": space.to_string(), "ts": "2026-01-31T23:59:59.999Z" })).await;
    assert_eq!(
        data,
        json!({ "space": {
        "id": space.to_string(), "name": "Hall", "capacity": null, "negativeCounts": "REPORT",
        "count": 1, "now": -1, "netCount": -1,
        "dpus": [{ "serial": "1", "name": "DPU 1" }, { "serial": "2", "name": "DPU 2" }],
        "assignments": [
            { "placement": "INSIDE", "startsAt": null, "endsAt": "2026-02-01T00:00:00Z",
              "dpu": { "id": front.to_string(), "serial": "1" }, "space": { "id": space.to_string() } },
            { "placement": "OUTSIDE", "startsAt": null, "endsAt": null,
              "dpu": { "id": back.to_string(), "serial": "2" }, "space": { "id": space.to_string() } },
        ],
        "created": NOW, "modified": NOW,
    } })
    );
    let data = service.data(query, json!({ "id": other, "ts": "2026-02-01T00:00:00Z" })).await;
    assert_eq!((&data["space"]["count"], &data["space"]["dpus"][0]["serial"]), (&json!(-1), &json!("1")));
}

async fn a_clamped_space_reports_zero_and_keeps_the_signed_count(service: &Service) {
    let (space, dpu) = (service.space("Hall").await, service.dpu("1").await);
    service.assign(dpu, space, Placement::Inside, None, None).await;
    let transaction = service.app.database.begin().await.unwrap();
    transaction.execute_unprepared("UPDATE space SET negative_counts = 'CLAMP'").await.unwrap();
    transaction.commit().await.unwrap();
    let away = |ts: &str| json!({ "dpu": "1", "ts": ts, "direction": "AWAY" });
    service.ingest(json!([away("2026-01-01"), away("2026-01-02")])).await;
    service.ingest(json!([{ "dpu": "1", "ts": "2026-01-03", "direction": "TOWARD" }])).await;
    let data =
        service.data("query ($id: ID!) { space(id: $id) { count netCount } }", json!({ "id": space })).await;
    assert_eq!(data["space"], json!({ "count": 0, "netCount": -1 }));
    assert_eq!(service.count(space, "2026-01-02").await, 0);
}

async fn unknown_objects_are_null(service: &Service) {
    many_spaces(service, 1).await;
    for id in ["0", "-1", "abc", "999", "9223372036854775808", ""] {
        let data = service.data("query ($id: ID!) { space(id: $id) { count } }", json!({ "id": id })).await;
        assert_eq!(data, json!({ "space": null }), "{id}");
    }
    assert_eq!(service.data("{ dpu(serial: \"nobody\") { id } }", Value::Null).await, json!({ "dpu": null }));
    assert_eq!(
        service.data("{ dpu(serial: \"00\") { serial } }", Value::Null).await,
        json!({ "dpu": { "serial": "00" } })
    );
}

async fn pages_follow_each_other(service: &Service) {
    many_spaces(service, 7).await;
    let query = "query ($after: String) { spaces(first: 3, after: $after) {
        nodes { name } edges { cursor node { name } } totalCount
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    } }";
    let (mut names, mut after) = (Vec::new(), Value::Null);
    for page in 0..3 {
        let mut data = service.data(query, json!({ "after": after })).await;
        let connection = data["spaces"].take();
        assert_eq!(connection["totalCount"], 7);
        assert_eq!(connection["pageInfo"]["hasPreviousPage"], page > 0);
        assert_eq!(connection["pageInfo"]["hasNextPage"], page < 2);
        let nodes = connection["nodes"].as_array().unwrap();
        names.extend(nodes.iter().map(|node| node["name"].as_str().unwrap().to_owned()));
        after = connection["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(names, (0..7).map(|number| format!("Space {number:02}")).collect::<Vec<_>>());
    // A cursor of another list is invalid.
    for (query, message) in [
        ("query ($after: String) { dpus(after: $after) { totalCount } }", "not a cursor of this list"),
        ("{ spaces(after: \"?\") { totalCount } }", "not a cursor of this list"),
        ("{ spaces(first: -1) { totalCount } }", "first: -1 is not a number from 0 to 500"),
        ("{ spaces(first: 501) { totalCount } }", "first: 501 is not a number from 0 to 500"),
    ] {
        let answer = service.ask(query, json!({ "after": after })).await;
        assert!(answer["errors"][0]["message"].as_str().unwrap().contains(message), "{answer}");
        let code = if query.contains("501") { "TOO_COMPLEX" } else { "BAD_USER_INPUT" };
        assert_eq!(answer["errors"][0]["extensions"]["code"], code);
    }
    let none =
        service.data("{ spaces(first: 0) { nodes { id } pageInfo { hasNextPage } } }", Value::Null).await;
    assert_eq!(none["spaces"], json!({ "nodes": [], "pageInfo": { "hasNextPage": true } }));
}

async fn fields_are_answered_in_the_order_of_the_query(service: &Service) {
    many_spaces(service, 2).await;
    let query = r#"{"query":"{ spaces(first: 1) { nodes { count name netCount dpus { serial } id } } }"}"#;
    let answer = post(service, None, "application/json", query).await;
    assert_eq!(
        answer.body,
        "{\"data\":{\"spaces\":{\"nodes\":[{\"count\":0,\"name\":\"Space 00\",\"netCount\":0,\"dpus\":[{\"serial\":\"00\"},{\"serial\":\"01\"}],\"id\":\"1\"}]}}}"
    );
}

async fn a_field_that_fails_makes_its_nearest_nullable_parent_null(service: &Service) {
    many_spaces(service, 1).await;
    let answer = service
        .ask("{ space(id: 1) { name count(ts: \"yesterday\") } dpu(serial: \"00\") { serial } }", Value::Null)
        .await;
    assert_eq!(answer["data"], json!({ "space": null, "dpu": { "serial": "00" } }));
    let error = &answer["errors"][0];
    assert_eq!(
        (&error["path"], &error["extensions"]["code"]),
        (&json!(["space", "count"]), &json!("BAD_USER_INPUT"))
    );
    assert!(error["message"].as_str().unwrap().contains("ts: \"yesterday\" is not a timestamp"), "{error}");
    for ts in ["2018-13-01", "2018-02-30T00:00:00Z", "", "0000-01-01", "99999-01-01T00:00:00Z"] {
        let query = "query ($ts: DateTime) { space(id: 1) { count(ts: $ts) netCount(ts: $ts) dpus(ts: $ts) { id } } }";
        let answer = service.ask(query, json!({ "ts": ts })).await;
        assert_eq!(answer["errors"].as_array().unwrap().len(), 3, "{ts}: {answer}");
    }
}

on_both!(
    a_query_over_many_spaces_needs_as_many_statements_as_over_one,
    a_space_has_its_properties_and_dpus,
    a_clamped_space_reports_zero_and_keeps_the_signed_count,
    unknown_objects_are_null,
    pages_follow_each_other,
    fields_are_answered_in_the_order_of_the_query,
    a_field_that_fails_makes_its_nearest_nullable_parent_null
);

#[tokio::test]
async fn graphql_over_http_follows_its_specification() {
    const JSON: &str = "application/json";
    const GRAPHQL: &str = "application/graphql-response+json";
    let service = Service::on_sqlite().await;
    let query = r#"{"query":"{ __typename }"}"#;
    for (accept, answered) in [
        (None, JSON),
        (Some("*/*"), JSON),
        (Some("application/json"), JSON),
        (Some("application/graphql-response+json"), GRAPHQL),
        (Some("application/json;q=0.5, application/graphql-response+json"), GRAPHQL),
        (Some("text/html, application/json;q=0.9"), JSON),
    ] {
        let answer = post(&service, accept, "application/json; charset=utf-8", query).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (StatusCode::OK, "{\"data\":{\"__typename\":\"Query\"}}")
        );
        assert_eq!(answer.header("content-type"), format!("{answered}; charset=utf-8"), "{accept:?}");
    }
    assert_eq!(post(&service, Some("text/html"), JSON, query).await.status, StatusCode::NOT_ACCEPTABLE);

    for content_type in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
    {
        let answer = post(&service, None, content_type, query).await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content_type}");
    }
    for body in
        ["", "{", "[]", "{}", "{\"query\":1}", "{\"query\":\"{__typename}\",\"variables\":\"x\"}", "\u{0}"]
    {
        let answer = post(&service, None, JSON, body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(answer.json()["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
    }
    // What cannot be executed has no data, and gets status 400 only in the newer media type.
    for body in [
        r#"{"query":"{"}"#,
        r#"{"query":"{ nothing }"}"#,
        r#"{"query":"query A { __typename } query B { __typename }"}"#,
    ] {
        for (accept, status) in [(JSON, StatusCode::OK), (GRAPHQL, StatusCode::BAD_REQUEST)] {
            let answer = post(&service, Some(accept), JSON, body).await;
            assert_eq!(answer.status, status, "{body}");
            assert!(answer.json().get("data").is_none(), "{}", answer.body);
            assert_eq!(answer.json()["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
        }
    }
    let answer = service.get("/graphql?query=%7B__typename%7D&operationName=&variables=%7B%7D").await;
    assert_eq!(answer.body, "{\"data\":{\"__typename\":\"Query\"}}");
    let answer = service
        .get("/graphql?query=query%20A%7B__typename%7D%20mutation%20B%7B__typename%7D&operationName=A")
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let answer = service.get("/graphql?query=mutation%7Bingest(events:[])%7Baccepted%7D%7D").await;
    assert_eq!((answer.status, answer.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "POST"));
    for query in ["", "?query=%7B__typename%7D&variables=x", "?query=%7B__typename%7D&variables=[]"] {
        assert_eq!(service.get(&format!("/graphql{query}")).await.status, StatusCode::BAD_REQUEST, "{query}");
    }
    let put = Request::put("/graphql").body(Body::empty()).unwrap();
    assert_eq!(service.send(put).await.status, StatusCode::METHOD_NOT_ALLOWED);
    service.finish().await;
}
