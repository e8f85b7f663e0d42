//! Public ids: with an id key, no interface ever shows a row's own id.

use api::database::PoolConfig;
use api::ids::{IdsConfig, PublicIds};
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Empty, Service};

/// No row in a test's database has such a large id, and hardly any public id is so small.
const OWN_IDS_MAX: i64 = 100_000;

fn keyed() -> PublicIds {
    PublicIds::new(&IdsConfig { id_key: Some("0f".repeat(32).into()) }).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn row_ids_are_never_shown_on_sqlite() {
    let service = Service::start_with(Empty::on_sqlite(), keyed(), PoolConfig::default()).await;
    own_ids_are_never_shown(&service).await;
    service.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_ids_are_never_shown_on_postgres() {
    let Some(empty) = Empty::on_postgres().await else { return };
    let service = Service::start_with(empty, keyed(), PoolConfig::default()).await;
    own_ids_are_never_shown(&service).await;
    service.finish().await;
}

/// Uses every interface that handles ids.
async fn own_ids_are_never_shown(service: &Service) {
    let session = Session(service);
    let (hall, room) = (session.space("Hall").await, session.space("Room").await);
    let dpu = session.make("dpuCreate(input: {serial: \"7\"})", "dpu").await;
    let input = format!("dpu: \"{dpu}\", space: \"{hall}\", placement: INSIDE, startsAt: \"2025-01-01\"");
    let assignment = session.make(&format!("assignmentCreate(input: {{{input}}})"), "assignment").await;
    let input = format!("space: \"{room}\", ts: \"2025-01-02\", count: 3");
    let reset = session.make(&format!("resetCreate(input: {{{input}}})"), "reset").await;
    let input = format!("space: \"{room}\", timeOfDay: \"03:00\", firstDay: \"2025-01-01\"");
    let rule = session.make(&format!("resetRuleCreate(input: {{{input}}})"), "resetRule").await;

    // Ids of other rows lead to those rows, and given ids are found again.
    let of_hall = session
        .data(&format!(
            "{{ space(id: \"{hall}\") {{ id assignments {{ id dpu {{ id }} space {{ id }} }} }} }}"
        ))
        .await;
    let expected = json!({ "id": hall, "assignments": [
        { "id": assignment, "dpu": { "id": dpu }, "space": { "id": hall } }] });
    assert_eq!(of_hall["space"], expected);
    let of_room = session
        .data(&format!(
            "{{ space(id: \"{room}\") {{ resets {{ nodes {{ id space {{ id }} }} }} resetRules {{ id }} }} }}"
        ))
        .await;
    let expected = json!({ "resets": { "nodes": [{ "id": reset, "space": { "id": room } }] }, "resetRules": [{ "id": rule }] });
    assert_eq!(of_room["space"], expected);

    // Changes with these ids.
    let moved = session
        .data(&format!(
            "mutation {{ dpuMove(input: {{dpu: \"{dpu}\", at: \"2025-02-01\", to: [{{space: \"{room}\", placement: INSIDE}}]}}) {{
                dpu {{ id }} assignments {{ id space {{ id }} }} userErrors {{ message }} }} }}"
        ))
        .await;
    assert_eq!(moved["dpuMove"]["userErrors"], json!([]));
    assert_eq!(moved["dpuMove"]["assignments"][0]["space"]["id"], room);
    let again = session
        .data(&format!(
            "mutation {{ dpuMove(input: {{dpu: \"{dpu}\", at: \"2025-02-01\", to: [{{space: \"{hall}\", placement: INSIDE}}]}}) {{
                userErrors {{ code message }} }} }}"
        ))
        .await;
    let new = moved["dpuMove"]["assignments"][0]["id"].as_str().unwrap();
    let said = again["dpuMove"]["userErrors"][0]["message"].as_str().unwrap();
    assert!(said.ends_with(&format!("correct or delete assignment {new}")), "{said}");
    for (mutation, id) in
        [("resetUpdate", &reset), ("resetRuleUpdate", &rule), ("assignmentUpdate", &assignment)]
    {
        let changed = session
            .data(&format!(
                "mutation {{ {mutation}(id: \"{id}\", input: {{}}) {{ userErrors {{ message }} }} }}"
            ))
            .await;
        assert_eq!(changed[mutation]["userErrors"], json!([]));
    }

    // Lists continue from their cursors.
    session.space("Attic").await;
    for (order, names) in [("ID", ["Hall", "Room", "Attic"]), ("NAME", ["Attic", "Hall", "Room"])] {
        let mut after = Value::Null;
        for name in names {
            let page = session
                .ask_with(
                    &format!(
                        "query ($after: String) {{ spaces(first: 1, orderBy: {order}, after: $after) {{
                        nodes {{ name }} edges {{ cursor }} pageInfo {{ endCursor }} }} }}"
                    ),
                    json!({ "after": after }),
                )
                .await;
            assert_eq!(page["data"]["spaces"]["nodes"][0]["name"], name, "{page}");
            after = page["data"]["spaces"]["pageInfo"]["endCursor"].clone();
        }
    }
    session
        .data("{ dpu(serial: \"7\") { assignments { edges { cursor } } events { edges { cursor } } } }")
        .await;

    // REST.
    let answer = service.get(&format!("/space/{hall}/count?ts=2025-03-01")).await;
    assert_eq!(answer.body, format!(r#"{{"space_id":{hall},"ts":"2025-03-01T00:00:00Z","count":0}}"#));
    let answer =
        service.get(&format!("/space/{room}/counts?start=2025-03-01&end=2025-03-02&interval=day")).await;
    assert_eq!(answer.json()["space_id"].to_string(), room);

    // Subscriptions.
    let mut socket = service.socket().await;
    let watch = "subscription ($ids: [ID!]) { countChanged(spaceIds: $ids) { space { id name } } }";
    socket.subscribe("1", watch, json!({ "ids": [room] })).await;
    assert_eq!(socket.data("1").await["countChanged"]["space"], json!({ "id": room, "name": "Room" }));

    // The rows' own ids are unknown, and messages only repeat what was given.
    for own in ["1", "2", "9007199254740993", "-1", "x"] {
        assert_eq!(
            session.data(&format!("{{ space(id: \"{own}\") {{ name }} }}")).await["space"],
            Value::Null
        );
        assert_eq!(service.get(&format!("/space/{own}/count")).await.status, StatusCode::NOT_FOUND);
        let refused = service
            .data(
                &format!("mutation {{ spaceDelete(id: \"{own}\") {{ userErrors {{ code message }} }} }}"),
                Value::Null,
            )
            .await;
        let expected = json!([{ "code": "NOT_FOUND", "message": format!("there is no space {own}") }]);
        assert_eq!(refused["spaceDelete"]["userErrors"], expected);
    }

    // Another process with the same key shows the same ids.
    let ids = keyed();
    assert_eq!(ids.public(api::ids::Kind::Space, 1).to_string(), hall);
    assert_ne!(ids.public(api::ids::Kind::Dpu, 1).to_string(), hall);
}

/// A client that checks every answer.
struct Session<'a>(&'a Service);

impl Session<'_> {
    async fn ask_with(&self, query: &str, variables: Value) -> Value {
        let answer = self.0.ask(query, variables).await;
        assert_shows_no_own_id(&answer);
        answer
    }

    async fn data(&self, query: &str) -> Value {
        let mut answer = self.ask_with(query, Value::Null).await;
        assert!(answer.get("errors").is_none(), "{answer:#}");
        answer["data"].take()
    }

    /// Returns the id of the object that a mutation created.
    async fn make(&self, mutation: &str, made: &str) -> String {
        let data = self
            .data(&format!("mutation {{ made: {mutation} {{ {made} {{ id }} userErrors {{ message }} }} }}"))
            .await;
        data["made"][made]["id"].as_str().unwrap_or_else(|| panic!("{data}")).to_owned()
    }

    async fn space(&self, name: &str) -> String {
        self.make(&format!("spaceCreate(input: {{name: \"{name}\"}})"), "space").await
    }
}

/// Checks that no id, cursor or number in a message is a row's own id.
fn assert_shows_no_own_id(answer: &Value) {
    match answer {
        Value::Array(items) => items.iter().for_each(assert_shows_no_own_id),
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value.as_str()) {
                    ("id", Some(id)) => assert!(id.parse::<i64>().unwrap() > OWN_IDS_MAX, "{answer}"),
                    ("cursor" | "endCursor" | "startCursor", Some(cursor)) => {
                        let bytes = data_encoding::BASE64URL_NOPAD.decode(cursor.as_bytes()).unwrap();
                        let (_, key): (String, Value) = serde_json::from_slice(&bytes).unwrap();
                        let numbers = key.as_array().cloned().unwrap_or_else(|| vec![key.clone()]);
                        for number in numbers.iter().filter_map(Value::as_i64) {
                            assert!(number > OWN_IDS_MAX, "{key}");
                        }
                    }
                    ("message", Some(message)) => {
                        let mut numbers =
                            message.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok());
                        assert!(numbers.all(|number: i64| number > OWN_IDS_MAX), "{message}");
                    }
                    _ => assert_shows_no_own_id(value),
                }
            }
        }
        _ => {}
    }
}
