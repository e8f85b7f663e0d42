//! Resources that clients hold without using them: unread answers, places, unfinished bodies.

use std::net::SocketAddr;
use std::time::Duration;

use api::auth::Role;
use api::limits::Limits;
use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Error;

use crate::auth::token;
use crate::harness::{Service, Socket, until};

/// More bytes than the kernel buffers for a connection: a server that accepts all of them stores them itself.
const FLOOD_BYTES: usize = 64 << 20;

/// Returns a connection with a small receive buffer.
async fn narrow(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    socket.connect(address).await.unwrap()
}

/// Returns a WebSocket of which only the handshake's answer is read.
async fn unread_socket(address: SocketAddr) -> TcpStream {
    let mut stream = narrow(address).await;
    let upgrade = "GET /graphql HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
        sec-websocket-protocol: graphql-transport-ws\r\n\r\n";
    stream.write_all(upgrade.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    stream
}

/// Returns a frame as clients send it, masked with zeros.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match u8::try_from(payload.len()) {
        Ok(length) if length < 126 => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 0x7e);
            frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

fn text(message: &Value) -> Vec<u8> {
    frame(1, message.to_string().as_bytes())
}

/// Sends the same data until the server closes the connection; returns the number of bytes.
async fn flood(stream: &mut TcpStream, frame: &[u8]) -> usize {
    let chunk = frame.repeat((64 << 10) / frame.len() + 1);
    let mut sent = 0;
    while sent < FLOOD_BYTES {
        let writing =
            tokio::time::timeout(Duration::from_secs(20), stream.write(&chunk[sent % frame.len()..]));
        match writing.await.expect("the connection did not end") {
            Ok(bytes) => sent += bytes,
            Err(_) => return sent,
        }
    }
    sent
}

#[tokio::test]
async fn a_websocket_is_closed_if_the_client_does_not_read() {
    let service = Service::within(Limits { write_timeout_s: 1, ..Limits::default() }).await;
    let (address, server) = service.listen().await;
    let ping = frame(9, &[b'x'; 125]);
    let message = text(&json!({ "type": "ping" }));
    let init = text(&json!({ "type": "connection_init" }));
    let subscribe = |id: usize| {
        let payload = json!({ "query": "{ __schema { types { name description } } }" });
        text(&json!({ "type": "subscribe", "id": id.to_string(), "payload": payload }))
    };
    let answers = [init.clone(), (0..50).flat_map(subscribe).collect()].concat();
    // Pongs need neither a token nor `connection_init`.
    for (first, repeated) in
        [(&Vec::new(), &ping), (&Vec::new(), &message), (&init, &ping), (&init, &message), (&answers, &ping)]
    {
        let mut stream = unread_socket(address).await;
        stream.write_all(first).await.unwrap();
        let sent = flood(&mut stream, repeated).await;
        assert!(sent < FLOOD_BYTES, "the server accepted {sent} bytes and buffered the answers");
    }
    server.abort();
    service.finish().await;
}

const WATCH: &str = "subscription { countChanged { count } }";

/// Sends `connection_init` on a new WebSocket; returns the answer.
async fn initialized(address: SocketAddr, authorization: &str) -> (Socket, Value) {
    let mut socket = Socket::to(address).await.unwrap();
    socket.send(json!({ "type": "connection_init", "payload": { "authorization": authorization } })).await;
    let answer = socket.next().await;
    (socket, answer)
}

#[tokio::test]
async fn a_websocket_takes_a_place_once_its_connection_init_is_accepted() {
    let limits = Limits { sockets: 1, sockets_initializing: 2, ..Limits::default() };
    let service = Service::within(limits).await;
    let header = token(&service, "one", Role::Admin, None).await;
    let (address, server) = service.listen().await;
    let silent = Socket::to(address).await.unwrap();
    // WebSockets of clients without a token do not count for `--sockets`.
    let (refused, end) = initialized(address, "Bearer none").await;
    assert_eq!(end["close"], 4403, "{end}");
    drop(refused);
    let (first, answer) = initialized(address, &header).await;
    assert_eq!(answer["type"], "connection_ack", "{answer}");
    // The limit of WebSockets without `connection_init` is two.
    let mut second = None;
    until("there is a place for one that says nothing", async || {
        second = Socket::to(address).await.ok();
        second.is_some()
    })
    .await;
    let Err(Error::Http(refused)) = Socket::to(address).await else { panic!("a third socket was opened") };
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "10");
    drop((silent, first, second));
    server.abort();
    service.finish().await;
}

#[tokio::test]
async fn websockets_and_subscriptions_of_a_token_are_limited() {
    let limits = Limits { sockets_per_token: 2, subscriptions_per_token: 3, ..Limits::default() };
    let service = Service::within(limits).await;
    service.space("Hall").await;
    let [one, other] =
        [token(&service, "one", Role::Admin, None).await, token(&service, "other", Role::Admin, None).await];
    let (address, server) = service.listen().await;
    let [(mut first, _), (mut second, answer)] =
        [initialized(address, &one).await, initialized(address, &one).await];
    assert_eq!(answer["type"], "connection_ack", "{answer}");
    let (_, end) = initialized(address, &one).await;
    assert_eq!(end["close"], 1013, "{end}");
    let (mut of_other, answer) = initialized(address, &other).await;
    assert_eq!(answer["type"], "connection_ack", "{answer}");

    for (socket, ids) in [(&mut first, &["a", "b"][..]), (&mut second, &["c"]), (&mut of_other, &["a"])] {
        for id in ids {
            socket.subscribe(id, WATCH, Value::Null).await;
            socket.data(id).await;
        }
    }
    for socket in [&mut first, &mut second] {
        socket.subscribe("d", WATCH, Value::Null).await;
        let message = socket.next().await;
        assert_eq!((&message["type"], &message["id"]), (&json!("error"), &json!("d")), "{message}");
        assert_eq!(message["payload"][0]["extensions"]["code"], "RATE_LIMITED", "{message}");
    }
    // Closing a WebSocket releases its place and those of its subscriptions.
    drop(first);
    until("there is a place for a socket", async || {
        let (mut socket, answer) = initialized(address, &one).await;
        if answer["type"] == "connection_ack" {
            socket.subscribe("e", WATCH, Value::Null).await;
            socket.data("e").await;
            return true;
        }
        false
    })
    .await;
    drop((second, of_other));
    server.abort();
    service.finish().await;
}

/// Returns whether the server closes the connection without an answer.
async fn ends(stream: &mut TcpStream) -> bool {
    let mut rest = [0; 100];
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut rest));
    matches!(read.await.expect("the connection did not end"), Ok(0) | Err(_))
}

#[tokio::test]
async fn connections_without_a_request_are_closed_first() {
    let limits = Limits { header_timeout_s: 1, idle_timeout_s: 60, ..Limits::default() };
    let service = Service::within(limits).await;
    let (address, server) = service.listen().await;
    let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let (mut silent, mut used) =
        (TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap());
    used.write_all(request).await.unwrap();
    assert!(used.read(&mut [0; 1_000]).await.unwrap() > 0);
    assert!(ends(&mut silent).await);
    used.write_all(request).await.unwrap();
    assert!(used.read(&mut [0; 1_000]).await.unwrap() > 0);
    server.abort();
    drop(used);
    service.finish().await;
}

#[tokio::test]
async fn connections_of_an_address_are_limited() {
    let limits = Limits { connections_per_address: Some(2), ..Limits::default() };
    let service = Service::within(limits).await;
    let (address, server) = service.listen().await;
    let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let connect = async |from: &str| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        stream.write_all(request).await.ok();
        let mut answer = [0; 1_000];
        let answered = stream.read(&mut answer).await.is_ok_and(|bytes| bytes > 0);
        answered.then_some(stream)
    };
    let first = connect("127.0.0.1").await;
    let second = connect("127.0.0.1").await;
    assert!(first.is_some() && second.is_some());
    assert!(connect("127.0.0.1").await.is_none());
    assert!(connect("127.0.0.2").await.is_some());
    drop(first);
    until("there is a place again", async || connect("127.0.0.1").await.is_some()).await;
    drop(second);
    server.abort();
    service.finish().await;
}

/// Returns a request with this body, possibly incomplete.
fn post(path: &str, content_type: &str, length: usize, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// Returns the head of the answer to a request on a connection of its own, which stays open.
async fn head_of(address: SocketAddr, request: &str) -> (TcpStream, String) {
    let mut stream = narrow(address).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = tokio::time::timeout(Duration::from_secs(20), stream.read_u8());
        head.push(byte.await.expect("no answer came").unwrap());
    }
    (stream, String::from_utf8(head).unwrap())
}

fn is_exhausted(head: &str) -> bool {
    head.starts_with("HTTP/1.1 503") && head.contains("retry-after: 1\r\n")
}

#[tokio::test]
async fn the_total_size_of_all_bodies_is_limited() {
    let service = Service::within(Limits { bodies_bytes: 1_000_000, ..Limits::default() }).await;
    service.dpu("1").await;
    let (address, server) = service.listen().await;
    let padded = |bytes: usize| format!("{{\"query\":\"{{__typename}}\"{}}}", " ".repeat(bytes - 24));
    let whole = post("/graphql", "application/json", 600_000, &padded(600_000));
    let (stream, head) = head_of(address, &whole).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    drop(stream);
    // A body of 700,000 bytes that is never finished.
    let mut unfinished = narrow(address).await;
    let part = post("/graphql", "application/json", 1_000_000, &" ".repeat(700_000));
    unfinished.write_all(part.as_bytes()).await.unwrap();
    until("what has come is held", async || is_exhausted(&head_of(address, &whole).await.1)).await;
    let short = post("/graphql", "application/json", 24, &padded(24));
    assert!(head_of(address, &short).await.1.starts_with("HTTP/1.1 200"));
    let event = "{\"timestamp\":\"2026-01-01T00:00:00Z\",\"direction\":1,\"dpu_id\":\"1\"}\n";
    let events = |number: usize| {
        let body = event.repeat(number);
        post("/events", "application/x-ndjson", body.len(), &body)
    };
    assert!(head_of(address, &events(10)).await.1.starts_with("HTTP/1.1 200"));
    drop(unfinished);
    until("nothing is held any more", async || head_of(address, &whole).await.1.starts_with("HTTP/1.1 200"))
        .await;
    server.abort();
    service.finish().await;

    // Events that wait to be recorded count, too.
    let service = Service::within(Limits { bodies_bytes: 20_000, ..Limits::default() }).await;
    let (address, server) = service.listen().await;
    assert!(is_exhausted(&head_of(address, &events(2_000)).await.1));
    server.abort();
    service.finish().await;
}

#[tokio::test]
async fn the_total_size_of_unread_answers_is_limited() {
    let limits = Limits {
        answers_bytes: 12 << 20,
        graphql_cost: 100_000_000,
        graphql_aliases: 1_000,
        graphql_tokens: 100_000,
        graphql_selections: 100_000,
        ..Limits::default()
    };
    let service = Service::within(limits).await;
    let (address, server) = service.listen().await;
    // More than the kernel buffers for a client that does not read.
    let field =
        |n: usize| format!("a{n}: __schema {{ types {{ name description fields {{ name description }} }} }}");
    let query = format!("{{ {} }}", (0..300).map(field).collect::<Vec<_>>().join(" "));
    let body = json!({ "query": query }).to_string();
    let request = post("/graphql", "application/json", body.len(), &body);
    let (unread, head) = head_of(address, &request).await;
    let length = head.split_once("content-length: ").unwrap().1.split("\r\n").next().unwrap();
    let length: usize = length.parse().unwrap();
    assert!(((6 << 20) + 1..12 << 20).contains(&length), "{length} bytes");
    assert!(is_exhausted(&head_of(address, &request).await.1));
    assert!(
        head_of(address, "GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n").await.1.contains(" 200 ")
    );
    // The same over WebSockets.
    let mut socket = Socket::to(address).await.unwrap();
    socket.send(json!({ "type": "connection_init" })).await;
    assert_eq!(socket.next().await["type"], "connection_ack");
    socket.subscribe("a", &query, Value::Null).await;
    assert_eq!(socket.next().await["close"], 1013);
    drop((socket, unread));
    until("nothing is held any more", async || {
        head_of(address, &request).await.1.starts_with("HTTP/1.1 200")
    })
    .await;
    server.abort();
    service.finish().await;
}
