//! Limits of requests: each configured limit is allowed, and anything over it is refused before anything runs.

use std::net::SocketAddr;
use std::time::Duration;

use api::database::Database;
use api::http::server::Stopped;
use api::limits::Limits;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use entity::assignment::Placement;
use entity::event;
use sea_orm::EntityTrait;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Answer, Service, Socket};

/// Maximum length of an error, in bytes.
const REFUSAL_BYTES_MAX: usize = 4 << 10;

async fn post(service: &Service, body: impl Into<Body>) -> Answer {
    let request = Request::post("/graphql").header("content-type", "application/json");
    service.send(request.body(body.into()).unwrap()).await
}

fn request(query: &str, variables: &Value) -> String {
    json!({ "query": query, "variables": variables }).to_string()
}

/// Returns the answer to a body, which must be a short error without any statement.
async fn refusal(service: &Service, body: String) -> Value {
    // The token is already cached.
    post(service, request("{ __typename }", &Value::Null)).await;
    // Any resolver that runs would have to read this again.
    service.app.state.refresh().await.unwrap();
    let mut answer = None;
    let statements = service.statements_of(async { answer = Some(post(service, body).await) }).await;
    let answer = answer.unwrap();
    assert_eq!(statements, 0, "{}", answer.body);
    assert!(answer.body.len() <= REFUSAL_BYTES_MAX, "{} bytes", answer.body.len());
    let answer = answer.json();
    assert!(answer.get("data").is_none(), "{answer}");
    answer["errors"][0].clone()
}

async fn assert_too_complex(service: &Service, query: &str, variables: Value, message: &str) {
    let error = refusal(service, request(query, &variables)).await;
    assert!(error["message"].as_str().unwrap().contains(message), "{error}, not {message}");
    assert_eq!(error["extensions"]["code"], "TOO_COMPLEX", "{error}");
}

/// Returns nested fields. Their types do not matter.
fn nested(levels: usize) -> String {
    format!("{}{}", "{ a ".repeat(levels), "}".repeat(levels))
}

/// Returns fragments each of which spreads the next one twice.
fn exponential(levels: usize) -> String {
    let fragments = (0..levels).map(|level| {
        let next = level + 1;
        format!(" fragment F{level} on Query {{ ...F{next} ...F{next} }}")
    });
    format!("{{ ...F0 }}{} fragment F{levels} on Query {{ __typename }}", fragments.collect::<String>())
}

fn events(number: usize) -> Value {
    let event = |seq| json!({ "dpu": "1", "ts": "2026-01-01T00:00:00Z", "direction": "TOWARD", "seq": seq });
    (0..number).map(event).collect()
}

const INGEST: &str = "mutation ($events: [EventInput!]!) { ingest(events: $events) { accepted } }";
const PAGE: &str = "query ($first: Int) { spaces(first: $first) { nodes { name } } }";

/// Runs a query that reaches each limit, and one that exceeds it by one.
#[tokio::test]
async fn each_limit_is_allowed_and_one_more_is_refused() {
    let limits = Limits {
        graphql_bytes: 1_000,
        graphql_tokens: 100,
        graphql_depth: 6,
        graphql_aliases: 4,
        graphql_directives: 3,
        graphql_selections: 20,
        graphql_cost: 3_501,
        ingest_events: 5,
        ..Limits::default()
    };
    let service = Service::within(limits).await;
    service.dpu("1").await;
    let padded = |bytes: usize| format!("{{ __typename }}{}", " ".repeat(bytes - 14));
    let tokens = |number: usize| format!("query({}) {{ __typename }}", "$".repeat(number - 6));
    let deep = |levels: usize| {
        let (open, close) = ("ofType { ".repeat(levels - 2), "} ".repeat(levels - 2));
        format!("{{ __type(name: \"Int\") {{ {open} name {close} }} }}")
    };
    let aliases = |number: usize| {
        format!("{{ {} }}", (0..number).map(|n| format!("a{n}: __typename ")).collect::<Vec<_>>().concat())
    };
    let directives =
        |number: usize| format!("{{ {} }}", "... @include(if: true) { __typename } ".repeat(number));
    let spread =
        |number: usize| format!("{{ {} }} fragment F on Query {{ __typename }}", "...F ".repeat(number));
    for query in [
        padded(1_000),
        deep(6),
        aliases(4),
        directives(3),
        // Ten spreads and their fields.
        spread(10),
        "{ spaces(first: 500) { nodes { id name count netCount timeZone } } }".to_owned(),
    ] {
        service.data(&query, Value::Null).await;
    }
    // Tokens are counted before the document is parsed, so it may be malformed.
    let error = refusal(&service, request(&tokens(100), &Value::Null)).await;
    assert_eq!(error["extensions"]["code"], "BAD_USER_INPUT", "{error}");
    service.data(PAGE, json!({ "first": 500 })).await;
    assert_eq!(service.ingest(events(5)).await["accepted"], 5);

    for (query, message) in [
        (padded(1_001), "the document has 1001 bytes; at most 1000 are accepted"),
        (tokens(101), "the document has 101 tokens; at most 100 are accepted"),
        (deep(7), "the document nests fields and fragments more than 6 deep, which is the maximum"),
        (aliases(5), "the document has 5 aliases; at most 4 are accepted"),
        (directives(4), "the document has 4 directives; at most 3 are accepted"),
        (
            format!("{{ __typename {} }} fragment F on Query {{ __typename }}", "...F ".repeat(10)),
            "21 selections",
        ),
        (
            "{ __typename spaces(first: 500) { nodes { id name count netCount timeZone } } }".to_owned(),
            "the operation costs 3502, about as many fields as its answer can have; at most 3501 are accepted",
        ),
        ("{ spaces(first: 501) { totalCount } }".to_owned(), "first: 501 is not a number from 0 to 500"),
    ] {
        assert_too_complex(&service, &query, Value::Null, message).await;
    }
    assert_too_complex(&service, PAGE, json!({ "first": 501 }), "first: 501 is not a number from 0 to 500")
        .await;
    let message = "events: 6 were given; at most 5 are accepted";
    assert_too_complex(&service, INGEST, json!({ "events": events(6) }), message).await;
    service.finish().await;
}

#[tokio::test]
async fn what_an_operation_costs_depends_on_its_variables() {
    let service = Service::within(Limits { graphql_cost: 2_000, ..Limits::default() }).await;
    let space = service.space("Hall").await;
    let history =
        "query ($id: ID!, $start: DateTime!, $end: DateTime! = \"2026-01-02\", $interval: Interval! = HOUR) {
        space(id: $id) { ...H } }
        fragment H on Space { history(start: $start, end: $end, interval: $interval) { count min max } }";
    let day = json!({ "id": space, "start": "2026-01-01" });
    assert_eq!(service.data(history, day.clone()).await["space"]["history"].as_array().unwrap().len(), 24);
    // The same document, now cached.
    let minutes = json!({ "id": space, "start": "2026-01-01", "interval": "MINUTE" });
    assert_too_complex(&service, history, minutes, "the operation costs 4327").await;
    let years = json!({ "id": space, "start": "2020-01-01", "interval": "DAY" });
    assert_too_complex(&service, history, years, "the operation costs 10970").await;
    service.data(history, day).await;
    // Only the operation that is executed counts.
    let document = "query Cheap { __typename } query Dear { spaces(first: 500) { nodes { id name count dpus { id } } } }";
    let ask = |name| json!({ "query": document, "operationName": name }).to_string();
    assert!(post(&service, ask("Cheap")).await.json().get("errors").is_none());
    assert_eq!(refusal(&service, ask("Dear")).await["extensions"]["code"], "TOO_COMPLEX");
    // The length of a list multiplies everything nested in it, at any depth.
    let nested =
        "query ($first: Int) { spaces(first: $first) { nodes { resets(first: $first) { nodes { id } } } } }";
    service.data(nested, json!({ "first": 20 })).await;
    assert_too_complex(&service, nested, json!({ "first": 50 }), "the operation costs 7651").await;
    // Introspection is allowed, but not cycles in it.
    let round = |times: usize| {
        let (open, close) = ("fields { type { ".repeat(times), "} }".repeat(times));
        format!("{{ __schema {{ types {{ {open} name {close} }} }} }}")
    };
    service.data(&round(1), Value::Null).await;
    assert_too_complex(&service, &round(5), Value::Null, "the operation costs").await;
    service.finish().await;
}

#[tokio::test]
async fn lists_of_the_floor_plan_cost_their_actual_length() {
    let service = Service::within(Limits { graphql_cost: 3_000, ..Limits::default() }).await;
    let (hall, shop) = (service.space("Hall").await, service.space("Shop").await);
    for door in 0..12 {
        let dpu = service.dpu(&format!("D{door}")).await;
        service.assign(dpu, hall, Placement::Inside, None, None).await;
        service.assign(dpu, shop, Placement::Outside, None, None).await;
    }
    // All lists together are at most as long as the list of all assignments, however many spaces are requested.
    let of_all = "{ spaces(first: 500) { nodes { assignments { dpu { serial name } } } } }";
    service.data(of_all, Value::Null).await;
    // The space of an assignment is like any other space: 12 times 12 times 12.
    let round = |times: usize| {
        let (open, close) = ("assignments { space { ".repeat(times), "} }".repeat(times));
        format!("query ($id: ID!) {{ space(id: $id) {{ {open} id {close} }} }}")
    };
    service.data(&round(2), json!({ "id": hall })).await;
    let cost = 1 + 1 + 12 * (1 + 1) + 144 * (1 + 1) + 1_728 * (1 + 1);
    let message = format!("the operation costs {cost}");
    assert_too_complex(&service, &round(3), json!({ "id": hall }), &message).await;
    service.finish().await;
}

/// Documents that would keep a server busy, with the limit that stops each.
fn hostile() -> Vec<(String, Value, &'static str)> {
    let many = |number: usize, part: fn(usize) -> String| (0..number).map(part).collect::<String>();
    let cycle = "{ ...A } fragment A on Query { ...B ...B } fragment B on Query { ...A ...A }".to_owned();
    let deep_value =
        format!("{{ spaces(after: {}{}) {{ totalCount }} }}", "[".repeat(10_000), "]".repeat(10_000));
    vec![
        (format!("{{ {} }}", many(10_000, |n| format!("a{n}:__typename "))), Value::Null, "bytes"),
        (format!("{{ {} }}", many(4_000, |n| format!("a{n}:id "))), Value::Null, "4000 aliases"),
        (format!("{{ __typename {} }}", "@a ".repeat(100_000)), Value::Null, "bytes"),
        (format!("{{ __typename {} }}", "@a".repeat(30_000)), Value::Null, "30000 directives"),
        (cycle, Value::Null, "contains itself"),
        (exponential(30), Value::Null, "more than 24 deep"),
        (exponential(20), Value::Null, "3145727 selections"),
        (nested(1_000), Value::Null, "1000 brackets"),
        (nested(60), Value::Null, "more than 24 deep"),
        (deep_value, Value::Null, "10002 brackets"),
        (format!("query({}) {{ __typename }}", "$a: [Int] ".repeat(3_000)), Value::Null, "tokens"),
        (format!("{{ space(id: 1) {{ {} }} }}", "x".repeat(60_000)), Value::Null, "a name of 60000 letters"),
        ("{ spaces(first: 2147483647) { nodes { id } } }".to_owned(), Value::Null, "first: 2147483647"),
        (PAGE.to_owned(), json!({ "first": 2_147_483_647 }), "first: 2147483647"),
        (INGEST.to_owned(), json!({ "events": events(5_001) }), "a list of 5001 entries"),
        (format!("{{ {}", "x ".repeat(4_000)), Value::Null, "brackets do not match"),
    ]
}

#[tokio::test]
async fn hostile_documents_are_refused_before_anything_runs() {
    let service = Service::on_sqlite().await;
    for (query, variables, message) in hostile() {
        let error = refusal(&service, request(&query, &variables)).await;
        assert!(error["message"].as_str().unwrap().contains(message), "{error}, not {message}");
        let is_mistake = ["contains itself", "brackets do not match"].contains(&message);
        let code = if is_mistake { "BAD_USER_INPUT" } else { "TOO_COMPLEX" };
        assert_eq!(error["extensions"]["code"], code, "{error}");
    }
    // By GET, unless the query string is too long.
    let answer = service.get("/graphql?query=%7Bspaces(first:2147483647)%7BtotalCount%7D%7D").await;
    assert_eq!(answer.json()["errors"][0]["extensions"]["code"], "TOO_COMPLEX");
    // Documents within the limits that are invalid get a short error.
    let wrong = format!("{{ {} }}", (0..1_500).map(|n| format!("nothing{n} ")).collect::<Vec<_>>().concat());
    let error = refusal(&service, request(&wrong, &Value::Null)).await;
    assert_eq!(error["extensions"]["code"], "BAD_USER_INPUT", "{error}");
    for body in [
        request(&format!("{{ {}", "x ".repeat(4_000)), &Value::Null),
        json!({ "query": "{ __typename }", "operationName": "x".repeat(1 << 20) }).to_string(),
        json!({ "query": "{ __typename }", "variables": "x".repeat(1 << 20) }).to_string(),
        json!({ "query": "{ __typename }", "variables": { "x".repeat(1 << 20): 1 } }).to_string(),
    ] {
        let answer = post(&service, body).await;
        assert!(answer.body.len() <= REFUSAL_BYTES_MAX, "{}", answer.body.len());
    }
    service.finish().await;
}

#[tokio::test]
async fn bodies_that_are_too_large_and_batches_are_refused() {
    let limits =
        Limits { body_bytes: 100_000, json_values: 40_000, ingest_events: 40_000, ..Limits::default() };
    let service = Service::within(limits).await;
    let padded = |bytes: usize| format!("{{\"query\":\"{{__typename}}\"{}}}", " ".repeat(bytes - 24));
    assert_eq!(post(&service, padded(100_000)).await.status, StatusCode::OK);
    let chunked = |body: String| {
        let pieces = body
            .into_bytes()
            .chunks(7_000)
            .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()))
            .collect::<Vec<_>>();
        Body::from_stream(futures::stream::iter(pieces))
    };
    assert_eq!(post(&service, chunked(padded(100_000))).await.status, StatusCode::OK);
    for body in [padded(100_001).into(), chunked(padded(100_001)), vec![b' '; 20 << 20].into()] {
        let answer = post(&service, body).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
        let message = answer.json()["errors"][0]["message"].as_str().unwrap().to_owned();
        assert!(message.contains("more than 100000 bytes"), "{message}");
    }
    let values = |number: usize| {
        let list = "1,".repeat(number - 5);
        format!("{{\"query\":\"query ($a: [Int!]) {{ __typename }}\",\"variables\":{{\"a\":[{list}1]}}}}")
    };
    let error = refusal(&service, values(40_000)).await;
    assert_ne!(error["extensions"]["code"], "TOO_COMPLEX", "{error}");
    let error = refusal(&service, values(40_001)).await;
    assert_eq!(error["message"], "the request has more than 40000 values, which is the maximum");
    let few = Limits { ingest_events: 100, ..limits };
    let few = Service::within(few).await;
    let error = refusal(&few, values(35_000)).await;
    assert_eq!(error["message"], "the request has a list of 34996 entries; at most 100 are accepted");
    few.finish().await;
    let batch = format!("[{}]", vec![r#"{"query":"{__typename}"}"#; 1_000].join(","));
    for batch in [&batch, r#" ["{ __typename }", null, null, null]"#] {
        let error = refusal(&service, batch.to_owned()).await;
        assert!(
            error["message"].as_str().unwrap().contains("a batch of requests is not accepted"),
            "{error}"
        );
    }
    service.finish().await;
}

#[tokio::test]
async fn the_same_limits_hold_over_a_websocket() {
    let limits = Limits { socket_bytes: 1 << 20, ..Limits::default() };
    let service = Service::within(limits).await;
    let mut socket = service.socket().await;
    for (query, variables, _) in hostile() {
        let statements = service.statements_of(async {
            socket.subscribe("a", &query, variables).await;
            let message = socket.next().await;
            assert_eq!((&message["type"], &message["id"]), (&json!("error"), &json!("a")), "{message}");
            assert!(message.to_string().len() <= REFUSAL_BYTES_MAX);
        });
        assert_eq!(statements.await, 0);
    }
    socket.subscribe("a", "{ __typename }", Value::Null).await;
    assert_eq!(socket.data("a").await["__typename"], "Query");
    drop(socket);
    service.finish().await;
}

const WATCH: &str = "subscription { countChanged { count } }";

#[tokio::test]
async fn a_websocket_is_closed_on_a_protocol_error() {
    let limits = Limits { socket_init_timeout_s: 1, socket_bytes: 10_000, ..Limits::default() };
    let service = Service::within(limits).await;
    let init = json!({ "type": "connection_init" });
    let subscribe = json!({ "type": "subscribe", "id": "a", "payload": { "query": WATCH } });
    let long_id = json!({ "type": "subscribe", "id": "é".repeat(1_000), "payload": { "query": WATCH } });
    let long = json!({ "type": "ping", "payload": { "a": "x".repeat(10_000) } });
    for (messages, code) in [
        (vec![&subscribe], 4401),
        (vec![&init, &init], 4429),
        (vec![&init, &subscribe, &subscribe], 4409),
        (vec![&init, &long_id, &long_id], 4409),
        (vec![&json!({ "type": "x".repeat(5_000) })], 4400),
        (vec![&json!([])], 4400),
        (vec![&long], 1009),
        (vec![], 4408),
    ] {
        let mut socket = service.raw_socket().await;
        for message in messages {
            socket.send(message.clone()).await;
        }
        let mut end = socket.next().await;
        while end.get("close").is_none() {
            end = socket.next().await;
        }
        assert_eq!(end["close"], code, "{end}");
        assert!(!end["reason"].as_str().unwrap().is_empty());
    }
    service.finish().await;
}

#[tokio::test]
async fn subscriptions_of_a_websocket_and_websockets_are_limited() {
    let limits = Limits { socket_subscriptions: 2, sockets: 1, ..Limits::default() };
    let service = Service::within(limits).await;
    service.space("Hall").await;
    let (address, server) = service.listen().await;
    let mut socket = Socket::to(address).await.unwrap();
    socket.send(json!({ "type": "connection_init" })).await;
    assert_eq!(socket.next().await["type"], "connection_ack");
    for id in ["a", "b"] {
        socket.subscribe(id, WATCH, Value::Null).await;
        socket.data(id).await;
    }
    socket.subscribe("c", WATCH, Value::Null).await;
    let message = socket.next().await;
    assert_eq!((&message["type"], &message["id"]), (&json!("error"), &json!("c")), "{message}");
    assert_eq!(message["payload"][0]["extensions"]["code"], "TOO_COMPLEX", "{message}");
    // A finished subscription makes room for another one, even with the same id.
    socket.send(json!({ "type": "complete", "id": "a" })).await;
    socket.subscribe("a", WATCH, Value::Null).await;
    socket.data("a").await;
    let mut second = Socket::to(address).await.unwrap();
    second.send(json!({ "type": "connection_init" })).await;
    let end = second.next().await;
    assert_eq!(
        (&end["close"], end["reason"].as_str().unwrap().starts_with("1 WebSockets")),
        (&json!(1013), true)
    );
    drop((socket, second));
    server.abort();
    service.finish().await;
}

/// Returns everything until the server closes the connection; the test fails after a while.
async fn rest_of(stream: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    // A connection that is closed while data was in transit is reset.
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest));
    read.await.expect("the connection did not end").ok();
    String::from_utf8(rest).unwrap()
}

#[tokio::test]
async fn slow_clients_are_disconnected() {
    let limits = Limits { header_timeout_s: 1, idle_timeout_s: 1, body_timeout_s: 1, ..Limits::default() };
    let service = Service::within(limits).await;
    let (address, server) = service.listen().await;
    let ended = async |sent: &str| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        rest_of(&mut stream).await
    };
    assert_eq!(ended("").await, "");
    assert_eq!(ended("GET /healthz HTTP/1.1\r\nhost: localhost\r\n").await, "");
    // A connection may be reused before it has been idle for too long.
    assert!(ended("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.starts_with("HTTP/1.1 200"));
    let slow = "POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    let answer = ended(slow).await;
    assert!(
        answer.starts_with("HTTP/1.1 408") && answer.contains("did not arrive within 1 seconds"),
        "{answer}"
    );
    server.abort();
    service.finish().await;
}

#[tokio::test]
async fn connections_over_the_limit_wait() {
    let service = Service::within(Limits { connections: 1, ..Limits::default() }).await;
    let (address, server) = service.listen().await;
    let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut answer = [0; 1_000];
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(request).await.unwrap();
    assert!(first.read(&mut answer).await.unwrap() > 0);
    let mut second = TcpStream::connect(address).await.unwrap();
    second.write_all(request).await.unwrap();
    // The first is served while it is open, and the second is not.
    for _ in 0..20 {
        first.write_all(request).await.unwrap();
        assert!(first.read(&mut answer).await.unwrap() > 0);
    }
    assert_eq!(second.try_read(&mut answer).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    drop(first);
    assert!(second.read(&mut answer).await.unwrap() > 0);
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    drop(second);
    server.abort();
    service.finish().await;
}

#[tokio::test]
async fn a_large_body_is_answered_while_it_is_still_being_sent() {
    let service = Service::on_sqlite().await;
    let (address, server) = service.listen().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        20 << 20
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; 20 << 20]).await.unwrap();
    let answer = rest_of(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    server.abort();
    drop(stream);
    service.finish().await;
}

const EVENT: &str = "{\"timestamp\":\"2026-01-01T00:00:00Z\",\"direction\":1,\"dpu_id\":\"1\"}\n";

/// Returns a request that records events one by one, after the first of two is recorded.
async fn recording(address: SocketAddr, url: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n",
        2 * EVENT.len()
    );
    stream.write_all(format!("{head}{EVENT}").as_bytes()).await.unwrap();
    let database = Database::connect(url).await.unwrap();
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    while event::Entity::find().all(database.reader()).await.unwrap().is_empty() {
        looks.tick().await;
    }
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_finishes_accepted_requests() {
    let service = Service::on_sqlite().await;
    service.dpu("1").await;
    service.space("Hall").await;
    let (address, stop, stopped, database) = service.serve().await;
    let mut socket = Socket::to(address).await.unwrap();
    socket.send(json!({ "type": "connection_init" })).await;
    assert_eq!(socket.next().await["type"], "connection_ack");
    socket.subscribe("a", WATCH, Value::Null).await;
    socket.data("a").await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    let mut sending = recording(address, &database.url).await;
    stop.send(()).unwrap();
    assert_eq!(socket.next().await["close"], 1001);
    // Idle connections are closed, and no new ones are accepted.
    assert_eq!(rest_of(&mut idle).await, "");
    assert!(TcpStream::connect(address).await.is_err());
    sending.write_all(EVENT.as_bytes()).await.unwrap();
    let answer = rest_of(&mut sending).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("\"accepted\":1,\"duplicates\":1"),
        "{answer}"
    );
    drop(socket);
    assert_eq!(stopped.await.unwrap(), Stopped::Finished);
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_drops_requests_that_do_not_end() {
    let service = Service::within(Limits { stop_timeout_s: 1, ..Limits::default() }).await;
    service.dpu("1").await;
    let (address, stop, stopped, database) = service.serve().await;
    let mut sending = recording(address, &database.url).await;
    stop.send(()).unwrap();
    assert_eq!(stopped.await.unwrap(), Stopped::Dropped);
    assert_eq!(rest_of(&mut sending).await, "");
    database.remove().await;
}
