//! Authorization: every route and every root field, requested by every kind of client.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::auth::{self, AuthSettings, Need, NewToken, Origin, Role, Switch};
use api::database::Database;
use api::http::graphql::root_field;
use api::http::route::Route;
use api::http::server::Stopped;
use async_graphql::parser::types::{OperationType, TypeKind, TypeSystemDefinition};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use entity::assignment::Placement;
use entity::{Instant, token};
use futures::SinkExt;
use sea_orm::EntityTrait;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::harness::{Answer, Empty, NOW, Service, Socket, at, on_both};

/// The instant at which DPUs were moved.
const MOVED: &str = "2026-02-01";

/// The clients by name, with the header that each sends.
struct Callers(BTreeMap<&'static str, Option<String>>);

/// Two spaces, of which some tokens show only the first. DPU `a` counts for the first, `b` for the second; `c` was
/// moved from the second to the first, and `d` from the first to the second. Each has an event before and after.
struct World {
    own: i64,
    foreign: i64,
}

async fn world(service: &Service) -> World {
    let (own, foreign) = (service.space("Hall").await, service.space("Loft").await);
    let moved = Some(at(MOVED));
    for (serial, before, after) in
        [("a", own, own), ("b", foreign, foreign), ("c", foreign, own), ("d", own, foreign)]
    {
        let dpu = service.dpu(serial).await;
        service.assign(dpu, before, Placement::Inside, None, moved).await;
        service.assign(dpu, after, Placement::Inside, moved, None).await;
        let event = |ts: &str| json!({ "dpu": serial, "ts": ts, "direction": "TOWARD" });
        let payload = service.ingest(json!([event("2026-01-15"), event("2026-02-15")])).await;
        assert_eq!(payload["accepted"], 2);
    }
    service.reset(foreign, at("2026-01-20"), 7).await;
    World { own, foreign }
}

/// Creates a token as another process does, and waits until the service knows it.
pub(crate) async fn token(service: &Service, name: &str, role: Role, expires: Option<Instant>) -> String {
    let elsewhere = Database::connect(&service.url).await.unwrap();
    let new = NewToken { name: name.to_owned(), role, expires };
    let (_, secret) = auth::create(&elsewhere, at(NOW), new).await.unwrap();
    let header = format!("Bearer {}", secret.reveal());
    let known = async |header: Option<&str>| asks(service, "{ __typename }", header).await.status;
    // The first token ends the mode in which every client may do everything.
    until(async || known(None).await == 401 && known(Some(&header)).await == 200).await;
    header
}

async fn revoke(service: &Service, name: &str) {
    let elsewhere = Database::connect(&service.url).await.unwrap();
    auth::revoke(&elsewhere, at(NOW), name).await.unwrap();
}

impl Callers {
    async fn of(service: &Service, world: &World) -> Self {
        let own = Role::Read(Some(BTreeSet::from([world.own])));
        let admin = token(service, "admin", Role::Admin, None).await;
        let expired = token(service, "expired", Role::Admin, Some(at(NOW).plus_ms(1))).await;
        let revoked = token(service, "revoked", Role::Admin, None).await;
        revoke(service, "revoked").await;
        service.set_now("2026-03-01T12:00:01Z");
        until(async || asks(service, "{ __typename }", Some(&revoked)).await.status == 401).await;
        Self(BTreeMap::from([
            ("nobody", None),
            ("bad", Some(format!("Bearer hc_{}", "0".repeat(64)))),
            ("empty", Some("Bearer ".to_owned())),
            ("basic", Some("Basic YTpi".to_owned())),
            ("expired", Some(expired)),
            ("revoked", Some(revoked)),
            ("read", Some(token(service, "read", Role::Read(None), None).await)),
            ("own", Some(token(service, "own", own, None).await)),
            ("ingest", Some(token(service, "ingest", Role::Ingest(None), None).await)),
            ("one", Some(token(service, "one", Role::Ingest(Some(1)), None).await)),
            ("admin", Some(admin)),
        ]))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.0[name].as_deref()
    }
}

/// Returns the clients that are allowed. Other clients with a valid token are refused because of their role.
fn allowed(need: Need) -> &'static [&'static str] {
    match need {
        Need::Nothing => &[
            "nobody", "bad", "empty", "basic", "expired", "revoked", "read", "own", "ingest", "one", "admin",
        ],
        Need::Token | Need::Operation => &["read", "own", "ingest", "one", "admin"],
        Need::Read => &["read", "own", "admin"],
        Need::ReadAll => &["read", "admin"],
        Need::Ingest => &["ingest", "one", "admin"],
        Need::Admin => &["admin"],
    }
}

/// Returns the status with which the client is refused, if it is.
fn expected(need: Need, caller: &str) -> Option<StatusCode> {
    if allowed(need).contains(&caller) {
        None
    } else if allowed(Need::Token).contains(&caller) {
        Some(StatusCode::FORBIDDEN)
    } else {
        Some(StatusCode::UNAUTHORIZED)
    }
}

fn request(method: &str, path: &str, authorization: Option<&str>) -> axum::http::request::Builder {
    let request = Request::builder().method(method).uri(path);
    match authorization {
        Some(authorization) => request.header("authorization", authorization),
        None => request,
    }
}

async fn asks(service: &Service, query: &str, authorization: Option<&str>) -> Answer {
    let request = request("POST", "/graphql", authorization).header("content-type", "application/json");
    service.send(request.body(json!({ "query": query }).to_string().into()).unwrap()).await
}

async fn gets(service: &Service, path: &str, authorization: Option<&str>) -> Answer {
    service.send(request("GET", path, authorization).body(Body::empty()).unwrap()).await
}

async fn posts_event(service: &Service, serial: &str, authorization: Option<&str>) -> Answer {
    let event = json!({ "ts": "2026-02-20", "direction": 1, "dpu": serial }).to_string();
    let request = request("POST", "/events", authorization).header("content-type", "application/json");
    service.send(request.body(event.into()).unwrap()).await
}

/// Returns the code of a GraphQL answer's first error.
fn code(answer: &Answer) -> Option<String> {
    answer.json()["errors"][0]["extensions"]["code"].as_str().map(str::to_owned)
}

/// Waits until `so` returns true; the test fails after a while.
async fn until(mut so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("waited too long");
}

/// Returns an operation for each root field, what it needs, and its path in the answer. None of them changes anything.
fn operations() -> BTreeMap<String, (String, Need)> {
    let ask = |field: &str, rest: &str, need: Need| {
        let (kind, name) = field.split_once('.').unwrap();
        (field.to_owned(), (format!("{} {{ {name}{rest} }}", kind.to_lowercase()), need))
    };
    let refused = "{ userErrors { code } }";
    [
        ask("Query.space", "(id: 1) { name }", Need::Read),
        ask("Query.spaces", "{ totalCount }", Need::Read),
        ask("Query.dpu", "(serial: \"a\") { name }", Need::Read),
        ask("Query.dpus", "{ totalCount }", Need::Read),
        ask("Query.node", "(id: 1) { nodeId }", Need::Read),
        ask("Query.tokens", "{ totalCount }", Need::Admin),
        ask("Query.unknownDevices", "{ nodes { serial } }", Need::Admin),
        ask("Mutation.ingest", "(events: []) { accepted }", Need::Ingest),
        ask("Mutation.ingestIntervals", "(intervals: []) { accepted }", Need::Ingest),
        ask("Mutation.ingestTotals", "(totals: []) { accepted }", Need::Ingest),
        ask(
            "Mutation.eventVoid",
            &format!("(dpu: 99, ts: \"2026-01-01\", direction: AWAY, reason: \"x\") {refused}"),
            Need::Admin,
        ),
        ask(
            "Mutation.eventUnvoid",
            &format!("(dpu: 99, ts: \"2026-01-01\", direction: AWAY) {refused}"),
            Need::Admin,
        ),
        ask(
            "Mutation.intervalVoid",
            &format!("(dpu: 99, from: \"2026-01-01\", to: \"2026-01-02\", reason: \"x\") {refused}"),
            Need::Admin,
        ),
        ask(
            "Mutation.intervalUnvoid",
            &format!("(dpu: 99, from: \"2026-01-01\", to: \"2026-01-02\") {refused}"),
            Need::Admin,
        ),
        ask(
            "Mutation.readingVoid",
            &format!("(dpu: 99, ts: \"2026-01-01\", reason: \"x\") {refused}"),
            Need::Admin,
        ),
        ask("Mutation.readingUnvoid", &format!("(dpu: 99, ts: \"2026-01-01\") {refused}"), Need::Admin),
        ask("Mutation.tokenCreate", &format!("(input: {{ name: \"\", role: READ }}) {refused}"), Need::Admin),
        ask("Mutation.tokenRevoke", &format!("(name: \"\") {refused}"), Need::Admin),
        ask("Mutation.spaceCreate", &format!("(input: {{ name: \"\" }}) {refused}"), Need::Admin),
        ask("Mutation.spaceUpdate", &format!("(id: 99, input: {{}}) {refused}"), Need::Admin),
        ask("Mutation.spaceDelete", &format!("(id: 99) {refused}"), Need::Admin),
        ask("Mutation.dpuCreate", &format!("(input: {{ serial: \"\" }}) {refused}"), Need::Admin),
        ask("Mutation.dpuUpdate", &format!("(id: 99, input: {{}}) {refused}"), Need::Admin),
        ask("Mutation.dpuDelete", &format!("(id: 99) {refused}"), Need::Admin),
        ask(
            "Mutation.dpuMove",
            &format!("(input: {{ dpu: 99, at: \"2026-01-01\", to: [] }}) {refused}"),
            Need::Admin,
        ),
        ask(
            "Mutation.assignmentCreate",
            &format!("(input: {{ dpu: 99, space: 99, placement: INSIDE }}) {refused}"),
            Need::Admin,
        ),
        ask("Mutation.assignmentUpdate", &format!("(id: 99, input: {{}}) {refused}"), Need::Admin),
        ask("Mutation.assignmentEnd", &format!("(id: 99, at: \"2026-01-01\") {refused}"), Need::Admin),
        ask("Mutation.assignmentDelete", &format!("(id: 99) {refused}"), Need::Admin),
        ask(
            "Mutation.resetCreate",
            &format!("(input: {{ space: 99, ts: \"2026-01-01\", count: 0 }}) {refused}"),
            Need::Admin,
        ),
        ask("Mutation.resetUpdate", &format!("(id: 99, input: {{}}) {refused}"), Need::Admin),
        ask("Mutation.resetDelete", &format!("(id: 99) {refused}"), Need::Admin),
        ask(
            "Mutation.resetRuleCreate",
            &format!("(input: {{ space: 99, timeOfDay: \"04:00\", firstDay: \"2026-01-01\" }}) {refused}"),
            Need::Admin,
        ),
        ask("Mutation.resetRuleUpdate", &format!("(id: 99, input: {{}}) {refused}"), Need::Admin),
        ask("Mutation.resetRuleDelete", &format!("(id: 99) {refused}"), Need::Admin),
        ask("Subscription.countChanged", "{ count }", Need::Read),
    ]
    .into()
}

/// Returns the same operation with its root in a fragment.
fn in_a_fragment(query: &str) -> String {
    let (kind, root) = query.split_once('{').unwrap();
    let object = match kind.trim() {
        "mutation" => "Mutation",
        "subscription" => "Subscription",
        _ => "Query",
    };
    format!("{kind} {{ ...root }} fragment root on {object} {{{root}")
}

/// Returns the root fields of the schema.
fn root_fields() -> Vec<(OperationType, String)> {
    let document = async_graphql::parser::parse_schema(api::http::graphql::sdl()).unwrap();
    let mut fields = Vec::new();
    for definition in document.definitions {
        let TypeSystemDefinition::Type(definition) = definition else { continue };
        let operation = match definition.node.name.node.as_str() {
            "Query" => OperationType::Query,
            "Mutation" => OperationType::Mutation,
            "Subscription" => OperationType::Subscription,
            _ => continue,
        };
        let TypeKind::Object(object) = definition.node.kind else { panic!("{operation:?} is not an object") };
        fields.extend(object.fields.into_iter().map(|field| (operation, field.node.name.node.to_string())));
    }
    fields
}

/// Returns every route, documented or not, with a path that it answers and what it needs.
async fn routes(service: &Service) -> Vec<(String, String, Need)> {
    let document = service.get("/openapi.json").await.json();
    let described = document["paths"].as_object().unwrap().iter().flat_map(|(path, item)| {
        item.as_object().unwrap().keys().map(move |method| (method.to_uppercase(), path.clone()))
    });
    let others = ["/", "/floor-plan", "/spaces/{id}", "/graphiql", "/assets/{name}"];
    let others = others.into_iter().map(|path| ("GET".to_owned(), path.to_owned()));
    let served = Route::served();
    let mut routes = Vec::new();
    for (method, path) in described.chain(others) {
        let need = match path.as_str() {
            "/space/{id}/count" | "/space/{id}/counts" => Need::Read,
            "/events" | "/devices/{format}" => Need::Ingest,
            "/metrics" => Need::ReadAll,
            _ => Need::Nothing,
        };
        let route =
            served.iter().find(|route| route.path == path).unwrap_or_else(|| panic!("{path} is not served"));
        assert_eq!(route.need, need, "{path}");
        routes.push((method, path.replace("{id}", "1").replace("{format}", "irisys"), need));
    }
    // A new route is added here, beside GraphQL and the answer to unknown paths.
    let others = ["/graphql", "unmatched"];
    let listed: BTreeSet<_> =
        routes.iter().map(|(_, path, _)| path.replace("/1", "/{id}").replace("irisys", "{format}")).collect();
    let served: BTreeSet<_> = served.iter().map(|route| route.path.to_owned()).collect();
    assert_eq!(served, listed.into_iter().chain(others.map(str::to_owned)).collect());
    routes
}

async fn opened(service: &Service, payload: Value) -> (Socket, Value) {
    let mut socket = service.raw_socket().await;
    socket.send(json!({ "type": "connection_init", "payload": payload })).await;
    let answer = socket.next().await;
    (socket, answer)
}

async fn every_route_is_authorized(service: &Service) {
    let world = world(service).await;
    let routes = routes(service).await;
    let callers = Callers::of(service, &world).await;
    for (method, path, need) in &routes {
        for (caller, authorization) in &callers.0 {
            for path in [path.clone(), format!("{}/", path.trim_end_matches('/'))] {
                let request = request(method, &path, authorization.as_deref());
                let answer = service.send(request.body(Body::empty()).unwrap()).await;
                let refused = [401, 403].contains(&answer.status.as_u16()).then_some(answer.status);
                assert_eq!(refused, expected(*need, caller), "{method} {path} by {caller}: {}", answer.body);
                if refused.is_some() {
                    assert_eq!(answer.header("content-type"), "application/json");
                    assert!(
                        answer.json()["detail"].is_string() && answer.json().as_object().unwrap().len() == 1
                    );
                    let challenge = if refused == Some(StatusCode::UNAUTHORIZED) { "Bearer" } else { "" };
                    assert_eq!(answer.header("www-authenticate"), challenge);
                }
            }
        }
    }
    assert_eq!(gets(service, "/nowhere", None).await.body, "{\"detail\":\"Not found.\"}");
    // Devices may send their token in a header of its own, and those with permission to record in the path.
    for (caller, authorization) in callers.0.iter().filter(|(caller, _)| **caller != "basic") {
        let Some(authorization) = authorization else { continue };
        let secret = authorization.strip_prefix("Bearer ").unwrap();
        let posted = async |path: &str, key: Option<&str>| {
            let request =
                key.into_iter().fold(Request::post(path), |request, key| request.header("x-api-key", key));
            let status = service.send(request.body(Body::empty()).unwrap()).await.status;
            [401, 403].contains(&status.as_u16()).then_some(status)
        };
        let by_header = expected(Need::Ingest, caller);
        assert_eq!(posted("/devices/irisys", Some(secret)).await, by_header, "{caller}");
        let by_path = if *caller == "admin" { Some(StatusCode::FORBIDDEN) } else { by_header };
        assert_eq!(posted(&format!("/devices/irisys/t/{secret}"), None).await, by_path, "{caller}");
    }
}

async fn every_root_field_is_authorized(service: &Service) {
    let operations = operations();
    let fields = root_fields();
    for (operation, field) in &fields {
        let name = format!("{operation:?}.{field}");
        let need = root_field(*operation, field);
        assert_eq!(
            need,
            operations.get(&name).map(|asked| asked.1),
            "{name} is not classified, or differently"
        );
    }
    assert_eq!(fields.len(), operations.len());
    assert_eq!(root_field(OperationType::Query, "secrets"), None);

    let world = world(service).await;
    let callers = Callers::of(service, &world).await;
    let whole = Need::Token;
    let introspection = ("{ __schema { queryType { name } } }".to_owned(), whole);
    let typename = ("{ __typename }".to_owned(), whole);
    for (query, need) in operations.values().chain([&introspection, &typename]) {
        let fragment = in_a_fragment(query);
        for (caller, authorization) in &callers.0 {
            let expected = expected(*need, caller);
            for query in [query, &fragment] {
                let answer = asks(service, query, authorization.as_deref()).await;
                let refused = [401, 403].contains(&answer.status.as_u16()).then_some(answer.status);
                assert_eq!(refused, expected, "{query} by {caller}: {}", answer.body);
                if let Some(status) = refused {
                    let expected = if status == 401 { "UNAUTHENTICATED" } else { "FORBIDDEN" };
                    assert_eq!(code(&answer).as_deref(), Some(expected));
                    assert!(answer.json().get("data").is_none(), "{}", answer.body);
                    let challenge = if status == 401 { "Bearer" } else { "" };
                    assert_eq!(answer.header("www-authenticate"), challenge);
                } else if !query.starts_with("subscription") {
                    assert!(answer.json().get("errors").is_none(), "{query} by {caller}: {}", answer.body);
                }
            }
        }
    }
    // An unknown field is reported as such.
    assert_eq!(
        code(&asks(service, "{ nothing }", callers.header("one")).await).as_deref(),
        Some("BAD_USER_INPUT")
    );
    // A permitted field does not let a forbidden one through.
    let mixed = "mutation { ingest(events: []) { accepted } spaceDelete(id: 2) { userErrors { code } } }";
    assert_eq!(asks(service, mixed, callers.header("ingest")).await.status, StatusCode::FORBIDDEN);
    let named = "query a { __typename } mutation b { spaceDelete(id: 2) { userErrors { code } } }";
    let body = json!({ "query": named, "operationName": "b" }).to_string();
    let request =
        request("POST", "/graphql", callers.header("read")).header("content-type", "application/json");
    assert_eq!(service.send(request.body(body.into()).unwrap()).await.status, StatusCode::FORBIDDEN);
}

async fn websockets_are_authorized(service: &Service) {
    let world = world(service).await;
    let callers = Callers::of(service, &world).await;
    for (caller, authorization) in &callers.0 {
        let payload = authorization
            .as_ref()
            .map_or(json!({}), |authorization| json!({ "authorization": authorization }));
        let (mut socket, answer) = opened(service, payload).await;
        if expected(Need::Token, caller).is_some() {
            assert_eq!(answer["close"], if *caller == "nobody" { 4401 } else { 4403 }, "{caller}");
            continue;
        }
        assert_eq!(answer["type"], "connection_ack", "{caller}");
        for (field, (query, need)) in operations() {
            socket.subscribe(&field, &query, Value::Null).await;
            let answer = socket.next().await;
            let errors =
                if answer["type"] == "error" { &answer["payload"] } else { &answer["payload"]["errors"] };
            let forbidden = errors[0]["extensions"]["code"] == "FORBIDDEN";
            assert_eq!(forbidden, expected(need, caller).is_some(), "{query} by {caller}: {answer}");
            socket.send(json!({ "type": "complete", "id": field })).await;
            // Read the remaining messages, until the subscription has ended.
            socket.send(json!({ "type": "ping" })).await;
            while socket.next().await["type"] != "pong" {}
        }
        // The same with the token in a header.
        let header = authorization.as_deref().unwrap();
        let mut socket = service.raw_socket_with(&[("authorization", header)]).await.unwrap();
        socket.send(json!({ "type": "connection_init" })).await;
        assert_eq!(socket.next().await["type"], "connection_ack");
    }
    for caller in ["bad", "expired", "revoked"] {
        let header = callers.header(caller).unwrap();
        assert_eq!(
            service.raw_socket_with(&[("authorization", header)]).await.err(),
            Some(StatusCode::UNAUTHORIZED)
        );
    }
    // Nothing is answered before the handshake.
    let mut early = service.raw_socket().await;
    early.subscribe("a", "{ __typename }", Value::Null).await;
    assert_eq!(early.next().await["close"], 4401);
}

async fn foreign_objects_look_like_unknown_ones(service: &Service) {
    let world = world(service).await;
    let callers = Callers::of(service, &world).await;
    let (own, one) = (callers.header("own"), callers.header("one"));
    let foreign = world.foreign.to_string();
    let same = |foreign: &Answer, missing: &Answer, given: (&str, &str)| {
        assert_eq!(
            (foreign.status, foreign.body.replace(given.0, given.1)),
            (missing.status, missing.body.clone())
        );
        assert_eq!(foreign.headers.keys().collect::<Vec<_>>(), missing.headers.keys().collect::<Vec<_>>());
    };
    for path in [
        "/space/{}/count",
        "/space/{}/count?ts=2026-01-01",
        "/space/{}/count?ts=nonsense",
        "/space/{}/counts?start=2026-01-01&end=2026-01-02",
    ] {
        let there = gets(service, &path.replace("{}", &foreign), own).await;
        same(&there, &gets(service, &path.replace("{}", "99"), own).await, ("", ""));
        assert_eq!(
            (there.status, there.body.as_str()),
            (StatusCode::NOT_FOUND, "{\"detail\":\"Not found.\"}")
        );
    }
    let space = "{ space(id: ID) { name count history(start: \"2026-01-01\", end: \"2026-01-02\", interval: DAY) { count } countBreakdown { count } lastEvent { ts } } }";
    let there = asks(service, &space.replace("ID", &foreign), own).await;
    same(&there, &asks(service, &space.replace("ID", "99"), own).await, ("", ""));
    assert_eq!(there.body, "{\"data\":{\"space\":null}}");
    let dpu = "{ dpu(serial: \"SERIAL\") { name events { totalCount } lastEvent { ts } } }";
    let there = asks(service, &dpu.replace("SERIAL", "b"), own).await;
    same(&there, &asks(service, &dpu.replace("SERIAL", "z"), own).await, ("", ""));
    assert_eq!(there.body, "{\"data\":{\"dpu\":null}}");
    // Events of another DPU than the token's.
    let ingest = "mutation { ingest(events: [{ dpu: \"SERIAL\", ts: \"2026-02-20\", direction: TOWARD }]) { accepted rejected { code message } } }";
    let there = asks(service, &ingest.replace("SERIAL", "b"), one).await;
    same(&there, &asks(service, &ingest.replace("SERIAL", "z"), one).await, ("\\\"b\\\"", "\\\"z\\\""));
    assert_eq!(there.json()["data"]["ingest"]["rejected"][0]["code"], "UNKNOWN_DPU");
    let there = posts_event(service, "b", one).await;
    same(&there, &posts_event(service, "z", one).await, ("\\\"b\\\"", "\\\"z\\\""));
    assert_eq!(
        (&there.json()["rejected"], &there.json()["errors"][0]["code"]),
        (&json!(1), &json!("UNKNOWN_DPU"))
    );
    assert_eq!(posts_event(service, "a", one).await.json()["accepted"], 1);
    assert_eq!(posts_event(service, "b", callers.header("ingest")).await.json()["accepted"], 1);
    // Subscriptions.
    let watch = "subscription ($ids: [ID!]) { countChanged(spaceIds: $ids) { count } }";
    let (mut socket, _) = opened(service, json!({ "authorization": own })).await;
    let mut answers = Vec::new();
    for id in [&foreign, "99"] {
        socket.subscribe("x", watch, json!({ "ids": [id] })).await;
        let mut answer = socket.next().await;
        while answer["type"] != "error" && answer["type"] != "next" {
            answer = socket.next().await;
        }
        // Its id may be reused once it is complete.
        if answer["type"] == "next" {
            assert_eq!(socket.next().await["type"], "complete");
        }
        answers.push(answer.to_string().replace(&format!(r#"no space \"{id}\""#), "no space ?"));
    }
    assert_eq!(answers[0], answers[1]);
    assert!(answers[0].contains("there is no space ?"), "{}", answers[0]);
}

async fn a_limited_token_sees_its_spaces_and_no_others(service: &Service) {
    let world = world(service).await;
    let callers = Callers::of(service, &world).await;
    let own = callers.header("own");
    let answer = asks(service, "{
        spaces { totalCount nodes { name count assignments { dpu { serial } } dpus { serial } lastEvent { ts } resets { totalCount }
            countBreakdown { assignments { dpu { serial } entrances } } } }
        dpus { totalCount nodes { serial assignments { totalCount nodes { space { name } } }
            events { totalCount nodes { ts } } newest: events(newestFirst: true, first: 1) { nodes { ts } pageInfo { hasNextPage } }
            lastEvent { ts } } }
        unassigned: dpus(unassigned: true) { nodes { serial } }
    }", own).await;
    let (before, after) = ("2026-01-15T00:00:00Z", "2026-02-15T00:00:00Z");
    let dpu = |serial: &str, assignments: usize, events: &[&str]| {
        let events: Vec<_> = events.iter().map(|ts| json!({ "ts": ts })).collect();
        let spaces = vec![json!({ "space": { "name": "Hall" } }); assignments];
        json!({
            "serial": serial, "assignments": { "totalCount": assignments, "nodes": spaces },
            "events": { "totalCount": events.len(), "nodes": events },
            "newest": { "nodes": [events.last()], "pageInfo": { "hasNextPage": events.len() > 1 } },
            "lastEvent": events.last(),
        })
    };
    assert_eq!(
        answer.json(),
        json!({ "data": {
        "spaces": { "totalCount": 1, "nodes": [{
            "name": "Hall", "count": 4,
            "assignments": [{ "dpu": { "serial": "a" } }, { "dpu": { "serial": "a" } }, { "dpu": { "serial": "c" } }, { "dpu": { "serial": "d" } }],
            "dpus": [{ "serial": "a" }, { "serial": "c" }], "lastEvent": { "ts": after }, "resets": { "totalCount": 0 },
            "countBreakdown": { "assignments": [
                { "dpu": { "serial": "a" }, "entrances": 1 }, { "dpu": { "serial": "a" }, "entrances": 1 },
                { "dpu": { "serial": "c" }, "entrances": 1 }, { "dpu": { "serial": "d" }, "entrances": 1 },
            ] },
        }] },
        "dpus": { "totalCount": 3, "nodes": [dpu("a", 2, &[before, after]), dpu("c", 1, &[after]), dpu("d", 1, &[before])] },
        "unassigned": { "nodes": [{ "serial": "d" }] },
    } })
    );
    // Figures are the same as for other tokens.
    let path = format!("/space/{}/count", world.own);
    assert_eq!(gets(service, &path, own).await.body, gets(service, &path, callers.header("read")).await.body);
    // A subscription without a list of spaces gets the visible ones.
    let (mut socket, _) = opened(service, json!({ "authorization": own })).await;
    socket.subscribe("a", "subscription { countChanged { space { name } count } }", Value::Null).await;
    assert_eq!(socket.data("a").await["countChanged"], json!({ "space": { "name": "Hall" }, "count": 4 }));
    for serial in ["b", "d", "a"] {
        assert_eq!(posts_event(service, serial, callers.header("ingest")).await.json()["accepted"], 1);
    }
    assert_eq!(socket.data("a").await["countChanged"], json!({ "space": { "name": "Hall" }, "count": 5 }));
    // Changes of the floor plan are visible.
    let moved = "mutation { dpuMove(input: { dpu: 2, at: \"2026-02-02\", to: [{ space: 1, placement: INSIDE }] }) { userErrors { code } } }";
    assert!(asks(service, moved, callers.header("admin")).await.json().get("errors").is_none());
    let seen = asks(service, "{ dpu(serial: \"b\") { events { totalCount } } }", own).await;
    assert_eq!(seen.json()["data"]["dpu"]["events"]["totalCount"], 2);
}

async fn revoking_and_expiring_take_effect_at_once(service: &Service) {
    world(service).await;
    let watch = "subscription { countChanged { count } }";
    // As long as no token exists, every client is admitted.
    let mut early = service.socket().await;
    early.subscribe("a", watch, Value::Null).await;
    early.data("a").await;
    let kiosk = token(service, "kiosk", Role::Read(None), None).await;
    assert_eq!(closed(&mut early).await, 4403, "the server now requires tokens");
    assert_eq!(gets(service, "/space/1/count", None).await.status, StatusCode::UNAUTHORIZED);
    let guest = token(service, "guest", Role::Read(None), Some(at("2026-03-01T12:00:10Z"))).await;
    let mut sockets = Vec::new();
    for header in [&kiosk, &guest] {
        let (mut socket, _) = opened(service, json!({ "authorization": header })).await;
        socket.subscribe("a", watch, Value::Null).await;
        socket.data("a").await;
        sockets.push(socket);
    }
    revoke(service, "kiosk").await;
    assert_eq!(closed(&mut sockets[0]).await, 4403);
    assert_eq!(gets(service, "/space/1/count", Some(&kiosk)).await.status, StatusCode::UNAUTHORIZED);
    // The other token works until it expires.
    assert_eq!(gets(service, "/space/1/count", Some(&guest)).await.status, StatusCode::OK);
    service.set_now("2026-03-01T12:00:10Z");
    assert_eq!(gets(service, "/space/1/count", Some(&guest)).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(closed(&mut sockets[1]).await, 4403);
    // Once the last token is revoked, no client is admitted: the server remembers that tokens existed.
    assert_eq!(gets(service, "/space/1/count", None).await.status, StatusCode::UNAUTHORIZED);
}

async fn a_streamed_body_ends_when_its_token_is_revoked(service: &Service) {
    world(service).await;
    let header = token(service, "sender", Role::Ingest(None), None).await;
    let (mut lines, body) = futures::channel::mpsc::channel::<std::io::Result<String>>(1);
    let request = request("POST", "/events", Some(&header)).header("content-type", "application/x-ndjson");
    let line = |ts: &str| Ok(format!("{{\"ts\":\"{ts}\",\"direction\":1,\"dpu\":\"a\"}}\n"));
    let before = service.stored_events().await.len();
    let sending = async {
        lines.send(line("2026-02-20")).await.unwrap();
        until(async || service.stored_events().await.len() == before + 1).await;
        revoke(service, "sender").await;
        until(async || asks(service, "{ __typename }", Some(&header)).await.status == 401).await;
        lines.send(line("2026-02-21")).await.unwrap();
        lines.close_channel();
    };
    let (answer, ()) = futures::join!(service.send(request.body(Body::from_stream(body)).unwrap()), sending);
    assert_eq!((answer.status, answer.header("www-authenticate")), (StatusCode::UNAUTHORIZED, "Bearer"));
    assert!(answer.body.contains("1 were accepted"), "{}", answer.body);
    assert_eq!(service.stored_events().await.len(), before + 1);
}

async fn authentication_needs_no_statement_and_is_recorded_once_a_day(service: &Service) {
    let world = world(service).await;
    let header = token(service, "kiosk", Role::Read(Some(BTreeSet::from([world.own]))), None).await;
    let used = async || {
        token::Entity::find().one(service.app.database.reader()).await.unwrap().unwrap().last_used_day
    };
    until(async || used().await == Some(at("2026-03-01"))).await;
    // After everything that it needs is in memory.
    until(async || {
        0 == service
            .statements_of(async {
                assert_eq!(gets(service, "/space/1/count", Some(&header)).await.status, StatusCode::OK);
                assert_eq!(
                    asks(service, "{ spaces { nodes { count } } }", Some(&header)).await.status,
                    StatusCode::OK
                );
            })
            .await
    })
    .await;
    service.set_now("2026-03-02T00:00:00Z");
    assert_eq!(gets(service, "/space/1/count", Some(&header)).await.status, StatusCode::OK);
    until(async || used().await == Some(at("2026-03-02"))).await;
    let row = token::Entity::find().one(service.app.database.reader()).await.unwrap().unwrap();
    assert_eq!(row.modified, at(NOW));
    assert!(!header.contains(std::str::from_utf8(&row.digest).unwrap_or("?")));
}

async fn tokens_are_created_listed_and_revoked(service: &Service) {
    let (database, now) = (&service.app.database, at(NOW));
    let new = |name: &str, role: Role| NewToken { name: name.to_owned(), role, expires: None };
    let (kiosk, secret) = auth::create(database, now, new("kiosk", Role::Admin)).await.unwrap();
    assert!(!format!("{kiosk:?}").contains(secret.reveal().trim_start_matches("hc_")));
    let refused = async |new: NewToken| auth::create(database, now, new).await.unwrap_err().to_string();
    assert!(refused(new("kiosk", Role::Admin)).await.contains("a token named \"kiosk\" exists already"));
    for name in ["", " ", "17", &"x".repeat(201)] {
        assert!(refused(new(name, Role::Admin)).await.contains("invalid token name"), "{name}");
    }
    let past = NewToken { expires: Some(now), ..new("past", Role::Admin) };
    assert!(refused(past).await.contains("is in the past"));
    assert_eq!(auth::revoke(database, now, "kiosk").await.unwrap().revoked, Some(now));
    for gone in ["kiosk", "1", "nobody", "99"] {
        assert!(
            auth::revoke(database, now, gone)
                .await
                .unwrap_err()
                .to_string()
                .contains("unknown or revoked token"),
            "{gone}"
        );
    }
    // Its name may be used again, and its row is kept.
    let (again, _) = auth::create(database, now, new("kiosk", Role::Ingest(None))).await.unwrap();
    auth::revoke(database, now, &again.id.to_string()).await.unwrap();
    assert_eq!(auth::list(database).await.unwrap().len(), 2);
}

on_both!(
    every_route_is_authorized,
    every_root_field_is_authorized,
    websockets_are_authorized,
    foreign_objects_look_like_unknown_ones,
    a_limited_token_sees_its_spaces_and_no_others,
    revoking_and_expiring_take_effect_at_once,
    a_streamed_body_ends_when_its_token_is_revoked,
    authentication_needs_no_statement_and_is_recorded_once_a_day,
    tokens_are_created_listed_and_revoked
);

/// Returns the code with which the connection is closed, ignoring other messages.
async fn closed(socket: &mut Socket) -> i64 {
    loop {
        let message = socket.next().await;
        if let Some(code) = message["close"].as_i64() {
            return code;
        }
    }
}

async fn with(settings: AuthSettings) -> Service {
    Service::guarded(Empty::on_sqlite(), settings).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_server_admits_its_own_machine_only() {
    let service = with(AuthSettings::default()).await;
    service.space("Hall").await;
    let by_name = async |service: &Service, host: &str| {
        let mut statuses = Vec::new();
        for path in ["/space/1/count", "/graphql?query=%7B__typename%7D"] {
            let request = Request::get(path).header("host", host).body(Body::empty()).unwrap();
            statuses.push(service.send(request).await.status);
        }
        assert_eq!(statuses[0], statuses[1]);
        statuses[0]
    };
    for host in ["localhost:8000", "127.0.0.1", "[::1]:8000"] {
        assert_eq!(by_name(&service, host).await, StatusCode::OK, "{host}");
    }
    assert_eq!(by_name(&service, "rebound.example:8000").await, StatusCode::FORBIDDEN);
    let header = [("host", "rebound.example:8000")];
    assert_eq!(service.raw_socket_with(&header).await.err(), Some(StatusCode::FORBIDDEN));
    // With a token, host names do not matter.
    let token = token(&service, "kiosk", Role::Read(None), None).await;
    let request =
        Request::get("/space/1/count").header("host", "counts.example").header("authorization", token);
    assert_eq!(service.send(request.body(Body::empty()).unwrap()).await.status, StatusCode::OK);
    service.finish().await;
    // Neither do they if the server was started as open on purpose.
    let service = with(AuthSettings { this_machine_only: false, ..AuthSettings::default() }).await;
    service.space("Hall").await;
    assert_eq!(by_name(&service, "counts.example").await, StatusCode::OK);
    service.finish().await;
}

/// Returns the answer to a GET with these headers.
async fn gets_with(service: &Service, path: &str, headers: &[(&'static str, &str)]) -> Answer {
    let request =
        headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
    service.send(request.body(Body::empty()).unwrap()).await
}

/// Paths that return data, each on another route.
const DATA: [&str; 4] = [
    "/space/1/count",
    "/space/1/counts?start=2026-01-01&end=2026-01-02",
    "/graphql?query=%7B__typename%7D",
    "/metrics",
];

#[tokio::test(flavor = "multi_thread")]
async fn an_open_server_refuses_requests_through_a_proxy() {
    let service = with(AuthSettings::default()).await;
    service.space("Hall").await;
    let proxied = [
        ("forwarded", "for=203.0.113.9"),
        ("via", "1.1 proxy"),
        ("x-real-ip", "203.0.113.9"),
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-proto", "https"),
    ];
    for header in proxied {
        for path in DATA {
            let answer = gets_with(&service, path, &[header]).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {header:?}");
            let said = format!("This request came through a proxy (it has the header {})", header.0);
            assert!(
                answer.body.contains(&said) && answer.body.contains("headcount token create"),
                "{}",
                answer.body
            );
        }
        assert_eq!(service.raw_socket_with(&[header]).await.err(), Some(StatusCode::FORBIDDEN), "{header:?}");
        let event = request("POST", "/events", None).header("content-type", "application/json");
        let event = service.send(event.header(header.0, header.1).body("{}".into()).unwrap()).await;
        assert_eq!(event.status, StatusCode::FORBIDDEN, "{header:?}");
        // Health checks are answered, and so are routes without data.
        for path in ["/healthz", "/readyz", "/openapi.json"] {
            assert_eq!(
                gets_with(&service, path, &[header]).await.status,
                StatusCode::OK,
                "{path} {header:?}"
            );
        }
    }
    // A proxy that adds no header still passes on the browser's headers.
    let page = [("sec-fetch-site", "same-origin"), ("origin", "https://counts.example")];
    for path in DATA {
        assert_eq!(gets_with(&service, path, &page).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    let token = token(&service, "kiosk", Role::Read(None), None).await;
    for path in DATA {
        let headers = [proxied[0], page[0], page[1], ("authorization", token.as_str())];
        assert_eq!(gets_with(&service, path, &headers).await.status, StatusCode::OK, "{path}");
    }
    service.finish().await;
    // Proxies are admitted if the server was started as open on purpose.
    let service = with(AuthSettings { this_machine_only: false, ..AuthSettings::default() }).await;
    service.space("Hall").await;
    for path in DATA {
        let headers = [proxied[0], page[0], page[1]];
        assert_eq!(gets_with(&service, path, &headers).await.status, StatusCode::OK, "{path}");
    }
    service.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_be_the_password_of_http_basic() {
    let service = with(AuthSettings::default()).await;
    service.space("Hall").await;
    service.dpu("a").await;
    let bearer = token(&service, "sensor", Role::Admin, None).await;
    let basic = |user: &str, secret: &str| {
        format!("Basic {}", data_encoding::BASE64.encode(format!("{user}:{secret}").as_bytes()))
    };
    let secret = bearer.strip_prefix("Bearer ").unwrap();
    for user in ["sensor", ""] {
        let basic = basic(user, secret);
        assert_eq!(posts_event(&service, "a", Some(&basic)).await.status, StatusCode::OK);
        assert_eq!(asks(&service, "{ __typename }", Some(&basic)).await.status, StatusCode::OK);
        assert!(service.raw_socket_with(&[("authorization", &basic)]).await.is_ok());
        // A browser sends a stored password with the requests of any page.
        for site in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")] {
            let headers = [("authorization", basic.as_str()), site];
            assert_eq!(gets_with(&service, "/space/1/count", &headers).await.status, StatusCode::FORBIDDEN);
        }
    }
    for wrong in [basic(secret, ""), basic("sensor", "hc_0"), "Basic !".to_owned()] {
        let refused = posts_event(&service, "a", Some(&wrong)).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{wrong}");
        let challenges: Vec<_> = refused.headers.get_all("www-authenticate").iter().collect();
        assert_eq!(challenges, ["Bearer", "Basic realm=\"headcount\""]);
    }
    // GraphQL is requested by pages, and the challenge would make browsers ask their users for a password.
    let refused = asks(&service, "{ __typename }", None).await;
    let challenges: Vec<_> = refused.headers.get_all("www-authenticate").iter().collect();
    assert_eq!(challenges, ["Bearer"]);
    service.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_must_send_a_preflight_request() {
    let service = with(AuthSettings::default()).await;
    service.space("Hall").await;
    let mutation = json!({ "query": "mutation { spaceDelete(id: 1) { userErrors { code } } }" }).to_string();
    let event = json!({ "ts": "2026-02-20", "direction": 1, "dpu": "a" }).to_string();
    for (path, body) in [("/graphql", &mutation), ("/events", &event)] {
        for kind in [
            None,
            Some(""),
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
            Some("multipart/form-data; boundary=x"),
            Some("text/plain; x=application/json"),
        ] {
            let request =
                kind.iter().fold(Request::post(path), |request, kind| request.header("content-type", *kind));
            let answer = service.send(request.body(body.clone().into()).unwrap()).await;
            assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path} as {kind:?}");
        }
    }
    let answer =
        service.get("/graphql?query=mutation%7BspaceDelete(id:1)%7BuserErrors%7Bcode%7D%7D%7D").await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(service.get("/space/1/count").await.status, StatusCode::OK);
    service.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_server_refuses_pages_of_other_sites() {
    // All origins are allowed, but only for pages that send a token.
    let origins = vec!["https://app.example".parse().unwrap(), Origin::Any];
    let service = with(AuthSettings { origins, ..AuthSettings::default() }).await;
    service.space("Hall").await;
    let status =
        async |path: &str, headers: &[(&'static str, &str)]| gets_with(&service, path, headers).await.status;
    let from = "sec-fetch-site";
    for path in DATA {
        for site in ["same-origin", "none"] {
            assert_eq!(status(path, &[(from, site)]).await, StatusCode::OK, "{path} {site}");
        }
        assert_eq!(status(path, &[("origin", "http://localhost")]).await, StatusCode::OK, "{path}");
        // Requested as an image, and by a script.
        let (cross_site, evil) = ((from, "cross-site"), ("origin", "https://evil.example"));
        let neighbour = ("origin", "http://localhost:3000");
        for headers in
            [&[cross_site][..], &[cross_site, evil], &[(from, "same-site"), neighbour], &[evil], &[neighbour]]
        {
            let answer = gets_with(&service, path, headers).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {headers:?}");
            assert!(answer.body.contains("A page of another origin"), "{}", answer.body);
        }
        let app = ("origin", "https://app.example");
        for headers in [&[cross_site, app][..], &[app]] {
            assert_eq!(status(path, headers).await, StatusCode::OK, "{path} {headers:?}");
        }
    }
    // The dashboard may be linked from any site.
    let same = status("/", &[]).await;
    assert_eq!(status("/", &[(from, "cross-site")]).await, same);
    // Only pages that have a token can send it.
    let token = token(&service, "kiosk", Role::Read(None), None).await;
    let headers = [(from, "cross-site"), ("authorization", &*token)];
    assert_eq!(status("/space/1/count", &headers).await, StatusCode::OK);
    service.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_neither_cached_nor_sniffed() {
    let service = with(AuthSettings::default()).await;
    service.space("Hall").await;
    for path in [
        "/space/1/count",
        "/space/9/count",
        "/space/1/counts?start=2026-01-01&end=2026-01-02",
        "/graphql?query=%7B__typename%7D",
        "/graphql",
        "/events",
        "/openapi.json",
        "/healthz",
        "/readyz",
        "/metrics",
        "/nothing",
    ] {
        let answer = service.get(path).await;
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
    }
    service.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn configured_origins_are_admitted() {
    let preflight = |origin: &str| {
        let request = Request::builder().method(Method::OPTIONS).uri("/graphql").header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        request
            .header("access-control-request-headers", "authorization,content-type")
            .body(Body::empty())
            .unwrap()
    };
    let allowed = |answer: &Answer| answer.header("access-control-allow-origin").to_owned();
    let service = with(AuthSettings::default()).await;
    assert_eq!(allowed(&service.send(preflight("https://app.example")).await), "");
    let evil = [("origin", "https://evil.example")];
    assert_eq!(service.raw_socket_with(&evil).await.err(), Some(StatusCode::FORBIDDEN));
    service.finish().await;

    let origins = ["https://app.example", "https://*.walls.example"].map(|origin| origin.parse().unwrap());
    let service = with(AuthSettings { origins: origins.into(), ..AuthSettings::default() }).await;
    let token = token(&service, "page", Role::Read(None), None).await;
    for origin in ["https://app.example", "https://north.walls.example", "https://a.b.walls.example"] {
        let answer = service.send(preflight(origin)).await;
        assert_eq!((answer.status, allowed(&answer).as_str()), (StatusCode::OK, origin));
        for name in [
            "authorization",
            "content-type",
            "traceparent",
            "x-request-id",
            "apollographql-client-name",
            "apollographql-client-version",
            "apollo-require-preflight",
        ] {
            assert!(answer.header("access-control-allow-headers").contains(name), "{name}");
        }
        assert!(service.raw_socket_with(&[("origin", origin)]).await.is_ok(), "{origin}");
    }
    for origin in ["https://walls.example", "http://north.walls.example", "https://north.walls.example.org"] {
        assert_eq!(allowed(&service.send(preflight(origin)).await), "", "{origin}");
        let refused = service.raw_socket_with(&[("origin", origin)]).await.err();
        assert_eq!(refused, Some(StatusCode::FORBIDDEN), "{origin}");
    }
    assert_eq!(allowed(&service.send(preflight("https://evil.example")).await), "");
    let ask = |authorization: &str| {
        let request = Request::get("/space/1/count").header("origin", "https://app.example");
        request.header("authorization", authorization).body(Body::empty()).unwrap()
    };
    // Refusals must be readable by the page, too.
    for authorization in [token.as_str(), "Bearer none"] {
        let answer = service.send(ask(authorization)).await;
        assert_eq!(allowed(&answer), "https://app.example");
        assert!(answer.header("access-control-expose-headers").contains("x-request-id"));
        assert!(!answer.header("x-request-id").is_empty());
    }
    assert!(service.raw_socket_with(&[("origin", "https://app.example")]).await.is_ok());
    assert_eq!(service.raw_socket_with(&evil).await.err(), Some(StatusCode::FORBIDDEN));
    service.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disabled_features_are_off() {
    let service =
        with(AuthSettings { graphiql: Switch::Off, introspection: Switch::Off, ..AuthSettings::default() })
            .await;
    service.space("Hall").await;
    let answer = service.get("/graphiql").await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::NOT_FOUND, "{\"detail\":\"Not found.\"}"));
    let hidden = [
        "{ __schema { types { name } } }",
        "{ __type(name: \"Space\") { name } }",
        "{ a: __schema { types { name } } spaces { totalCount } }",
        "{ ...f } fragment f on Query { ... { __schema { types { name } } } }",
    ];
    let mut socket = service.socket().await;
    for query in hidden {
        let answer = asks(&service, query, None).await;
        assert_eq!((answer.status, code(&answer).as_deref()), (StatusCode::FORBIDDEN, Some("FORBIDDEN")));
        assert!(answer.body.contains("Introspection is turned off"), "{}", answer.body);
        socket.subscribe("a", query, Value::Null).await;
        let message = socket.next().await;
        assert!(message.to_string().contains("Introspection is turned off"), "{message}");
        if message["type"] == "next" {
            assert_eq!(socket.next().await["type"], "complete");
        }
    }
    let answer = asks(&service, "{ __typename spaces { __typename nodes { __typename name } } }", None).await;
    let named = json!({ "__typename": "Query", "spaces": { "__typename": "SpaceConnection", "nodes": [{ "__typename": "Space", "name": "Hall" }] } });
    assert_eq!(answer.json(), json!({ "data": named }));
    drop(socket);
    // Nor does it suggest existing names.
    let answer = asks(&service, "{ spacs { totalCount } }", None).await;
    assert!(!answer.body.contains("spaces"), "{}", answer.body);
    service.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_are_refused() {
    let rate = auth::Rate { per_second: 1.try_into().unwrap(), burst: 5.try_into().unwrap() };
    let service = with(AuthSettings { token_rate: Some(rate), ..AuthSettings::default() }).await;
    service.space("Hall").await;
    let elsewhere = Database::connect(&service.url).await.unwrap();
    let mut headers = Vec::new();
    for name in ["busy", "other", "socket", "broken"] {
        let new = NewToken { name: name.to_owned(), role: Role::Read(None), expires: None };
        headers.push(format!("Bearer {}", auth::create(&elsewhere, at(NOW), new).await.unwrap().1.reveal()));
    }
    until(async || gets(&service, "/space/1/count", None).await.status == StatusCode::UNAUTHORIZED).await;
    let (busy, other) = (Some(headers[0].as_str()), Some(headers[1].as_str()));
    for _ in 0..5 {
        assert_eq!(gets(&service, "/space/1/count", busy).await.status, StatusCode::OK);
    }
    let mut refused = gets(&service, "/space/1/count", busy).await;
    while refused.status == StatusCode::OK {
        refused = gets(&service, "/space/1/count", busy).await;
    }
    assert_eq!((refused.status, refused.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "1"));
    assert_eq!(refused.json(), json!({ "detail": "Too many requests: try again in 1 s." }));
    let mut refused = asks(&service, "{ __typename }", busy).await;
    while refused.status == StatusCode::OK {
        refused = asks(&service, "{ __typename }", busy).await;
    }
    assert_eq!((refused.status, refused.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "1"));
    assert_eq!(code(&refused).as_deref(), Some("RATE_LIMITED"));
    // Each token has its own rate, and requests over a WebSocket count, too.
    assert_eq!(gets(&service, "/space/1/count", other).await.status, StatusCode::OK);
    let (mut socket, _) = opened(&service, json!({ "authorization": headers[2] })).await;
    loop {
        socket.subscribe("a", "{ __typename }", Value::Null).await;
        let message = socket.next().await;
        if message.to_string().contains("RATE_LIMITED") {
            break;
        }
        assert_eq!(socket.next().await["type"], "complete");
    }
    drop(socket);
    // Refused documents count, too.
    let (mut socket, _) = opened(&service, json!({ "authorization": headers[3] })).await;
    loop {
        socket.subscribe("a", "{ never ends", Value::Null).await;
        let message = socket.next().await;
        assert_eq!(message["type"], "error", "{message}");
        if message["payload"][0]["extensions"]["code"] == "RATE_LIMITED" {
            break;
        }
    }
    drop(socket);
    service.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tokens_each_address_has_its_own_rate() {
    let rate = auth::Rate { per_second: 1.try_into().unwrap(), burst: 5.try_into().unwrap() };
    let service = with(AuthSettings { address_rate: Some(rate), ..AuthSettings::default() }).await;
    service.space("Hall").await;
    let (server, stop, serving, empty) = service.serve().await;
    // Returns the whole answer to a request from one of this machine's own addresses.
    let asks = async |from: &str, path: &str| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
        let mut stream = socket.connect(server).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    for _ in 0..5 {
        let answer = asks("127.0.0.1", "/space/1/count").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    let mut refused = asks("127.0.0.1", "/space/1/count").await;
    while refused.starts_with("HTTP/1.1 200 ") {
        refused = asks("127.0.0.1", "/space/1/count").await;
    }
    assert!(refused.starts_with("HTTP/1.1 429 ") && refused.contains("retry-after: 1\r\n"), "{refused}");
    assert!(refused.ends_with("{\"detail\":\"Too many requests: try again in 1 s.\"}"), "{refused}");
    // Health checks are not limited, and neither are other addresses.
    for (from, path) in [("127.0.0.1", "/healthz"), ("127.0.0.2", "/space/1/count")] {
        let answer = asks(from, path).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    stop.send(()).unwrap();
    assert_eq!(serving.await.unwrap(), Stopped::Finished);
    empty.remove().await;
}

const CREATE: &str = "mutation ($input: TokenCreateInput!) { tokenCreate(input: $input) {
    secret token { name role spaces { name } dpu { serial } expires } userErrors { code field } } }";

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_created_and_revoked_by_graphql() {
    let service = Service::on_sqlite().await;
    let (hall, dpu) = (service.space("Hall").await, service.dpu("1").await);
    for (input, code, field) in [
        (json!({ "name": "12", "role": "READ" }), "INVALID", "name"),
        (json!({ "name": "a", "role": "READ", "expires": "2020-01-01" }), "OUT_OF_RANGE", "expires"),
        (json!({ "name": "a", "role": "READ", "spaces": [] }), "BLANK", "spaces"),
        (json!({ "name": "a", "role": "READ", "spaces": [99] }), "NOT_FOUND", "spaces"),
        (json!({ "name": "a", "role": "READ", "dpu": dpu }), "INVALID", "dpu"),
        (json!({ "name": "a", "role": "ADMIN", "spaces": [hall] }), "INVALID", "spaces"),
        (json!({ "name": "a", "role": "INGEST", "dpu": 99 }), "NOT_FOUND", "dpu"),
    ] {
        let payload = service.data(CREATE, json!({ "input": input })).await["tokenCreate"].take();
        assert_eq!((&payload["token"], &payload["secret"]), (&Value::Null, &Value::Null), "{input}");
        let error = &payload["userErrors"][0];
        assert_eq!((&error["code"], &error["field"][1]), (&json!(code), &json!(field)), "{input}: {payload}");
    }
    // The first one ends the mode in which every client may do everything.
    let input = json!({ "name": "me", "role": "ADMIN", "expires": "2027-01-01T00:00:00Z" });
    let payload = service.data(CREATE, json!({ "input": input })).await["tokenCreate"].take();
    let token = json!({ "name": "me", "role": "ADMIN", "spaces": null, "dpu": null, "expires": "2027-01-01T00:00:00Z" });
    assert_eq!((&payload["token"], &payload["userErrors"]), (&token, &json!([])));
    let admin = format!("Bearer {}", payload["secret"].as_str().unwrap());
    assert_eq!(asks(&service, "{ tokens { totalCount } }", None).await.status, 401);

    let ask = async |query: &str, variables: Value, header: &str| {
        let request = request("POST", "/graphql", Some(header)).header("content-type", "application/json");
        let body = json!({ "query": query, "variables": variables }).to_string();
        service.send(request.body(body.into()).unwrap()).await.json()["data"].take()
    };
    let input = json!({ "name": "wall", "role": "READ", "spaces": [hall] });
    let payload = ask(CREATE, json!({ "input": input }), &admin).await["tokenCreate"].take();
    assert_eq!(payload["token"]["spaces"], json!([{ "name": "Hall" }]));
    let wall = format!("Bearer {}", payload["secret"].as_str().unwrap());
    let payload = ask(CREATE, json!({ "input": input }), &admin).await["tokenCreate"].take();
    assert_eq!(payload["userErrors"], json!([{ "code": "TAKEN", "field": ["input", "name"] }]));
    let input = json!({ "name": "door", "role": "INGEST", "dpu": dpu });
    let payload = ask(CREATE, json!({ "input": input }), &admin).await["tokenCreate"].take();
    assert_eq!(payload["token"]["dpu"], json!({ "serial": "1" }));
    assert_eq!(asks(&service, "{ spaces { totalCount } }", Some(&wall)).await.status, 200);

    let revoke = "mutation ($name: String!) { tokenRevoke(name: $name) {
        token { name revoked } userErrors { code field } } }";
    let payload = ask(revoke, json!({ "name": "wall" }), &admin).await["tokenRevoke"].take();
    assert_eq!(payload, json!({ "token": { "name": "wall", "revoked": NOW }, "userErrors": [] }));
    assert_eq!(asks(&service, "{ spaces { totalCount } }", Some(&wall)).await.status, 401);
    let payload = ask(revoke, json!({ "name": "wall" }), &admin).await["tokenRevoke"].take();
    assert_eq!(payload["userErrors"], json!([{ "code": "NOT_FOUND", "field": ["name"] }]));
    let tokens =
        ask("{ tokens { nodes { name revoked lastUsed } } }", json!({}), &admin).await["tokens"].take();
    let names: Vec<_> =
        tokens["nodes"].as_array().unwrap().iter().map(|token| token["name"].clone()).collect();
    assert_eq!(names, [json!("me"), json!("wall"), json!("door")]);
    service.finish().await;
}
