//! HTTP behavior for clients, browsers and proxies that does not depend on the route.

use api::limits::Limits;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Answer, Service};

/// Returns the answer to a GET with these headers.
async fn get(service: &Service, path: &str, headers: &[(&'static str, &str)]) -> Answer {
    let request =
        headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
    service.send(request.body(Body::empty()).unwrap()).await
}

async fn post(service: &Service, path: &str, body: &Value) -> Answer {
    let request = Request::post(path).header("content-type", "application/json");
    service.send(request.body(body.to_string().into()).unwrap()).await
}

/// Returns everything that a new connection answers to these bytes, until it is closed.
async fn says(service: &Service, bytes: &str) -> String {
    let (address, server) = service.listen().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    server.abort();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_may_end_with_a_slash() {
    let service = Service::on_sqlite().await;
    let request = json!({ "query": "{ spaces { totalCount } }" });
    let (plain, slashed) =
        (post(&service, "/graphql", &request).await, post(&service, "/graphql/", &request).await);
    assert_eq!((slashed.status, slashed.body), (StatusCode::OK, plain.body));
    assert_eq!(get(&service, "/graphql/?query=%7B__typename%7D", &[]).await.status, StatusCode::OK);
    let mut socket = service.socket_at("/graphql/").await;
    socket.subscribe("a", "{ __typename }", Value::Null).await;
    assert_eq!(socket.data("a").await, json!({ "__typename": "Query" }));
    drop(socket);
    // A page has one address; the redirect also works behind a proxy that adds a path.
    for (path, location) in [
        ("/graphiql/", "../graphiql"),
        ("/floor-plan/", "../floor-plan"),
        ("/spaces/1/?at=2026-01-01", "../1?at=2026-01-01"),
    ] {
        let answer = get(&service, path, &[]).await;
        assert_eq!((answer.status, answer.header("location")), (StatusCode::PERMANENT_REDIRECT, location));
    }
    service.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_nothing_more_gets_its_answer() {
    let service = Service::on_sqlite().await;
    let (address, server) = service.listen().await;
    for (method, length, body, expected) in [
        ("GET /space/1/count", 0, "", "404 Not Found"),
        ("POST /events", 2, "[]", "200 OK"),
        // The body is not whole.
        ("POST /events", 9, "[]", "400 Bad Request"),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!("{method} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json");
        let request = format!("{head}\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains(expected), "{request}: {answer}");
    }
    server.abort();
    service.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_requests_to_graphql_get_an_error_that_explains_the_right_ones() {
    let service = Service::on_sqlite().await;
    let message = |answer: &Answer| answer.json()["errors"][0]["message"].as_str().unwrap().to_owned();
    let explore = "in a browser, open /graphiql";
    for (accept, status) in
        [("text/html", StatusCode::NOT_ACCEPTABLE), ("text/html,*/*;q=0.8", StatusCode::BAD_REQUEST)]
    {
        let answer = get(&service, "/graphql", &[("accept", accept)]).await;
        assert_eq!(answer.status, status);
        assert!(message(&answer).contains(explore), "{}", answer.body);
    }
    let answer = get(&service, "/graphql", &[]).await;
    assert_eq!(message(&answer), "the parameter query is missing: it holds the GraphQL document");
    let answer = post(&service, "/graphql", &json!({ "variables": {} })).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(message(&answer).ends_with(": the member query is missing"), "{}", answer.body);
    // A WebSocket through a proxy that does not pass on Upgrade.
    let socket = [
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "graphql-transport-ws"),
    ];
    let answer = get(&service, "/graphql", &socket).await;
    assert_eq!((answer.status, answer.header("upgrade")), (StatusCode::UPGRADE_REQUIRED, "websocket"));
    assert!(answer.body.contains("`Upgrade` is missing"), "{}", answer.body);
    service.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn persisted_queries_are_refused_with_the_standard_code() {
    let service = Service::on_sqlite().await;
    let extensions = json!({ "persistedQuery": { "version": 1, "sha256Hash": "0".repeat(64) } });
    let not_supported = json!([
        { "message": "PersistedQueryNotSupported", "extensions": { "code": "PERSISTED_QUERY_NOT_SUPPORTED" } }
    ]);
    let by_hash = json!({ "extensions": extensions, "variables": {} });
    let encoded = form_urlencoded::byte_serialize(extensions.to_string().as_bytes()).collect::<String>();
    for answer in [
        post(&service, "/graphql", &by_hash).await,
        get(&service, &format!("/graphql?extensions={encoded}"), &[]).await,
    ] {
        assert_eq!((answer.status, &answer.json()["errors"]), (StatusCode::OK, &not_supported));
    }
    let mut socket = service.socket().await;
    socket.send(json!({ "type": "subscribe", "id": "a", "payload": by_hash })).await;
    let message = socket.next().await;
    assert_eq!((&message["type"], &message["payload"]), (&json!("error"), &not_supported), "{message}");
    // A request that includes the document is answered normally.
    let whole = json!({ "extensions": extensions, "query": "{ __typename }" });
    assert_eq!(post(&service, "/graphql", &whole).await.json(), json!({ "data": { "__typename": "Query" } }));
    drop(socket);
    service.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_must_have_exactly_one_host() {
    let service = Service::within(Limits { idle_timeout_s: 1, ..Limits::default() }).await;
    let ask = async |version: &str, target: &str, hosts: &[&str]| {
        let hosts: Vec<_> = hosts.iter().map(|host| format!("Host: {host}\r\n")).collect();
        let hosts = hosts.concat();
        says(&service, &format!("GET {target} {version}\r\n{hosts}Connection: close\r\n\r\n")).await
    };
    let (old, new) = ("HTTP/1.0", "HTTP/1.1");
    for (version, target, hosts) in [
        (new, "/healthz", &["localhost"][..]),
        (new, "http://LOCALHOST/healthz", &["localhost"]),
        (old, "/healthz", &[]),
        (old, "/healthz", &["localhost"]),
    ] {
        let answer = ask(version, target, hosts).await;
        assert!(answer.starts_with(&format!("{version} 200")), "{version} {target} {hosts:?}: {answer}");
    }
    for (version, target, hosts) in [
        (new, "/healthz", &[][..]),
        (new, "/healthz", &["localhost", "localhost"]),
        (old, "/healthz", &["localhost", "evil.example"]),
        (new, "http://localhost/healthz", &["evil.example"]),
    ] {
        let answer = ask(version, target, hosts).await;
        assert!(answer.starts_with(&format!("{version} 400")), "{version} {target} {hosts:?}: {answer}");
        assert!(answer.contains("{\"detail\":\"invalid Host: "), "{answer}");
    }
    service.finish().await;
}

/// Returns the uncompressed length, from the last four bytes of a gzip file.
fn plain_length(gzip: &[u8]) -> usize {
    assert!(gzip.starts_with(&[0x1f, 0x8b]), "{:?}", &gzip[..2]);
    u32::from_le_bytes(gzip[gzip.len() - 4..].try_into().unwrap()) as usize
}

#[tokio::test(flavor = "multi_thread")]
async fn long_answers_are_compressed_where_the_client_accepts_it() {
    let service = Service::on_sqlite().await;
    service.space("Hall").await;
    let counts = "/space/1/counts?start=2026-01-01&end=2026-01-31";
    let history = "{ space(id: 1) { history(start: \"2026-01-01\", end: \"2026-01-31\", interval: HOUR) { start count } } }";
    let requests = |path: &str, method: Method| {
        let body = if path == "/graphql" { json!({ "query": history }).to_string() } else { String::new() };
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        request.body(Body::from(body)).unwrap()
    };
    let csv = format!("{counts}&format=csv");
    for (path, method) in [
        (counts, Method::GET),
        (&csv, Method::GET),
        ("/graphql", Method::POST),
        ("/openapi.json", Method::GET),
        ("/metrics", Method::GET),
    ] {
        let plain = service.send(requests(path, method.clone())).await;
        assert_eq!(
            (plain.header("content-encoding"), plain.header("vary")),
            ("", "accept-encoding"),
            "{path}"
        );
        let magic: [(&str, &str, &[u8]); 2] = [
            ("gzip, deflate, br", "gzip", &[0x1f, 0x8b]),
            ("gzip, br, zstd", "zstd", &[0x28, 0xb5, 0x2f, 0xfd]),
        ];
        for (accepted, encoding, magic) in magic {
            let mut request = requests(path, method.clone());
            request.headers_mut().insert(header::ACCEPT_ENCODING, accepted.parse().unwrap());
            let (head, body) = service.send_for_bytes(request).await;
            assert_eq!(
                (head.status, &head.headers["content-encoding"]),
                (StatusCode::OK, &encoding.parse().unwrap())
            );
            assert!(body.starts_with(magic) && body.len() * 2 < plain.body.len(), "{path}: {}", body.len());
            assert!(
                !head.headers.contains_key("content-length") && head.headers["cache-control"] == "no-store"
            );
            if encoding == "gzip" && path != "/metrics" {
                assert_eq!(plain_length(&body), plain.body.len(), "{path}");
            }
        }
    }
    // HEAD returns the same headers as GET.
    let mut head = requests(counts, Method::HEAD);
    head.headers_mut().insert(header::ACCEPT_ENCODING, "gzip".parse().unwrap());
    let (head, body) = service.send_for_bytes(head).await;
    assert_eq!((&head.headers["content-encoding"], body.len()), (&"gzip".parse().unwrap(), 0));
    assert!(!head.headers.contains_key("content-length"));
    // Short answers are not compressed, and a count never changes its form.
    let short = get(&service, "/graphql?query=%7B__typename%7D", &[("accept-encoding", "gzip")]).await;
    assert_eq!((short.header("content-encoding"), short.header("vary")), ("", "accept-encoding"));
    let count = get(&service, "/space/1/count", &[("accept-encoding", "gzip")]).await;
    assert_eq!((count.header("content-encoding"), count.header("vary")), ("", ""));
    service.finish().await;
}
