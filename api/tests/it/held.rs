//! What clients hold without using it: answers they do not read, places they take, bodies they do not finish.

use std::net::SocketAddr;
use std::time::Duration;

use api::limits::Limits;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::Service;

/// More than the kernel buffers of a connection, in bytes: a server that takes all of it holds it.
const FLOOD_BYTES: usize = 64 << 20;

/// A connection that has little room for what the server sends.
async fn narrow(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    socket.connect(address).await.unwrap()
}

/// A WebSocket of which nothing is read but the answer to the handshake.
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

/// A frame as clients send it, masked with nothing.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match u8::try_from(payload.len()) {
        Ok(length) if length < 126 => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 126);
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

/// Sends the same until the server ends the connection; how many bytes that were.
async fn flood(stream: &mut TcpStream, frame: &[u8]) -> usize {
    let chunk = frame.repeat((64 << 10) / frame.len() + 1);
    let mut sent = 0;
    while sent < FLOOD_BYTES {
        let writing = tokio::time::timeout(Duration::from_secs(20), stream.write(&chunk[sent % frame.len()..]));
        match writing.await.expect("the connection did not end") {
            Ok(bytes) => sent += bytes,
            Err(_) => return sent,
        }
    }
    sent
}

#[tokio::test]
async fn a_client_that_reads_none_of_what_it_asks_for_over_a_websocket_loses_it() {
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
    // Pongs need no token, and no `connection_init`.
    for (first, repeated) in
        [(&Vec::new(), &ping), (&Vec::new(), &message), (&init, &ping), (&init, &message), (&answers, &ping)]
    {
        let mut stream = unread_socket(address).await;
        stream.write_all(first).await.unwrap();
        let sent = flood(&mut stream, repeated).await;
        assert!(sent < FLOOD_BYTES, "the server took {sent} bytes and answered into its memory");
    }
    server.abort();
    service.finish().await;
}
