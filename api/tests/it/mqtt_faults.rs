//! What the MQTT consumer does when the broker or the connection does something unusual. The broker is played by the test,
//! which sends and reads packets of MQTT 3.1.1.

use std::time::{Duration, Instant};

use api::mqtt::{Consuming, MqttConfig, Status};
use entity::assignment::Placement;
use sea_orm::ConnectionTrait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::harness::{Service, until};

/// How long something may take that should happen at once.
const SOON: Duration = Duration::from_secs(20);
const CONNECT: u8 = 1;
const PUBACK: u8 = 4;
const SUBSCRIBE: u8 = 8;
/// The broker refuses a subscription.
const REFUSED: u8 = 0x80;

/// A broker that does what the test says.
struct Broker {
    listener: TcpListener,
}

/// A client's connection to it.
struct Connection {
    stream: TcpStream,
}

impl Broker {
    async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    fn consume(&self, service: &Service, subscription: &str) -> (Consuming, CancellationToken) {
        let port = self.listener.local_addr().unwrap().port();
        let config = MqttConfig {
            mqtt_url: Some(format!("mqtt://127.0.0.1:{port}").parse().unwrap()),
            mqtt_subscribe: vec![subscription.parse().unwrap()],
            mqtt_client_id: "headcount".to_owned(),
            mqtt_ca: None,
        };
        let stop = CancellationToken::new();
        (service.app.consume_mqtt(config, stop.clone()), stop)
    }

    /// Accepts the next connection. The broker has no session of the client, and answers its subscription so.
    async fn accept(&self, answer: u8) -> Connection {
        let (stream, _) = tokio::time::timeout(SOON, self.listener.accept()).await.unwrap().unwrap();
        let mut connection = Connection { stream };
        assert_eq!(connection.next().await.0, CONNECT);
        connection.stream.write_all(&[0x20, 2, 0, 0]).await.unwrap();
        let (kind, packet) = connection.next().await;
        assert_eq!(kind, SUBSCRIBE);
        connection.stream.write_all(&[0x90, 3, packet[0], packet[1], answer]).await.unwrap();
        connection
    }
}

impl Connection {
    /// Returns the kind and the contents of the next packet, except of pings.
    async fn next(&mut self) -> (u8, Vec<u8>) {
        let reading = async {
            loop {
                let kind = self.stream.read_u8().await.unwrap() >> 4;
                let (mut length, mut shift) = (0, 0);
                loop {
                    let byte = self.stream.read_u8().await.unwrap();
                    length |= usize::from(byte & 0x7f) << shift;
                    shift += 7;
                    if byte < 0x80 {
                        break;
                    }
                }
                let mut contents = vec![0; length];
                self.stream.read_exact(&mut contents).await.unwrap();
                if kind != 12 {
                    return (kind, contents);
                }
            }
        };
        tokio::time::timeout(SOON, reading).await.unwrap()
    }

    /// Returns the number of the message that is acknowledged next.
    async fn acknowledged(&mut self) -> u16 {
        let (kind, packet) = self.next().await;
        assert_eq!(kind, PUBACK);
        u16::from_be_bytes([packet[0], packet[1]])
    }
}

/// Returns a message to the topic `gates/7` that wants an acknowledgement, as a packet.
fn publish(number: u16, message: &str) -> Vec<u8> {
    let topic = "gates/7";
    let length = u8::try_from(2 + topic.len() + 2 + message.len()).unwrap();
    assert!(length < 0x80);
    let mut packet = vec![0x32, length, 0, u8::try_from(topic.len()).unwrap()];
    packet.extend(topic.bytes().chain(number.to_be_bytes()).chain(message.bytes()));
    packet
}

fn event(second: u16) -> String {
    format!(r#"{{"ts":"2026-03-01T10:00:{second:02}Z","direction":1}}"#)
}

/// Waits for a status.
async fn has(consuming: &Consuming, so: impl FnMut(&Status) -> bool) -> Status {
    let mut status = consuming.status.clone();
    tokio::time::timeout(SOON, status.wait_for(so)).await.unwrap().unwrap().clone()
}

async fn end(consuming: Consuming, stop: CancellationToken) {
    stop.cancel();
    consuming.done.await.unwrap().unwrap();
}

async fn gate(service: &Service) -> i64 {
    let (dpu, space) = (service.dpu("7").await, service.space("Hall").await);
    service.assign(dpu, space, Placement::Inside, None, None).await;
    space
}

async fn run(service: &Service, sql: &str) {
    let transaction = service.app.database.begin().await.unwrap();
    transaction.execute_unprepared(sql).await.unwrap();
    transaction.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_a_lost_connection_is_not_acknowledged_over_the_next_one() {
    let service = Service::on_sqlite().await;
    let space = gate(&service).await;
    let broker = Broker::start().await;
    let (consuming, stop) = broker.consume(&service, "gates/+=headcount");
    run(&service, "CREATE TRIGGER full BEFORE INSERT ON event BEGIN SELECT RAISE(FAIL, 'disk is full'); END")
        .await;
    let mut connection = broker.accept(1).await;
    connection.stream.write_all(&publish(1, &event(0))).await.unwrap();
    has(&consuming, |status| status.problem.is_some()).await;
    drop(connection);
    // To this broker, which knows nothing of the earlier connection, 1 would be another message.
    let mut connection = broker.accept(1).await;
    has(&consuming, |status| status.is_connected).await;
    run(&service, "DROP TRIGGER full").await;
    until("the first event is stored", async || service.count(space, "2026-03-01T11:00:00Z").await == 1)
        .await;
    connection.stream.write_all(&publish(9, &event(1))).await.unwrap();
    assert_eq!(connection.acknowledged().await, 9);
    end(consuming, stop).await;
    service.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_came_just_before_the_connection_was_lost_are_left_to_the_broker() {
    let service = Service::on_sqlite().await;
    gate(&service).await;
    let broker = Broker::start().await;
    let (consuming, stop) = broker.consume(&service, "gates/+=headcount");
    let mut connection = broker.accept(1).await;
    // They are read at once, and the end of the connection with them.
    let messages: Vec<u8> = (1..=5).flat_map(|number| publish(number, &event(number))).collect();
    connection.stream.write_all(&messages).await.unwrap();
    drop(connection);
    let mut connection = broker.accept(1).await;
    connection.stream.write_all(&publish(9, &event(9))).await.unwrap();
    assert_eq!(connection.acknowledged().await, 9);
    end(consuming, stop).await;
    service.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_is_acknowledged_in_order_however_many_come_at_once() {
    const MESSAGES: u16 = 20_000;
    let service = Service::on_sqlite().await;
    let broker = Broker::start().await;
    let (consuming, stop) = broker.consume(&service, "gates/+=ttn");
    let connection = broker.accept(1).await;
    let (reading, mut writing) = connection.stream.into_split();
    let sending = tokio::spawn(async move {
        for number in 1..=MESSAGES {
            writing.write_all(&publish(number, "x")).await.unwrap();
        }
        writing
    });
    let mut reading = tokio::io::BufReader::new(reading);
    for number in 1..=MESSAGES {
        let mut packet = [0; 4];
        tokio::time::timeout(SOON, reading.read_exact(&mut packet)).await.unwrap().unwrap();
        assert_eq!(packet, [0x40, 2, number.to_be_bytes()[0], number.to_be_bytes()[1]]);
    }
    drop(sending.await.unwrap());
    end(consuming, stop).await;
    service.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_subscription_is_told() {
    let service = Service::on_sqlite().await;
    let broker = Broker::start().await;
    let (consuming, stop) = broker.consume(&service, "gates/+=headcount");
    let connection = broker.accept(REFUSED).await;
    let status = has(&consuming, |status| !status.refused.is_empty()).await;
    assert!(status.is_connected && status.refused == ["gates/+"], "{status:?}");
    let refused = "the MQTT broker refuses topics: the log says which";
    until("it is not ready", async || service.get("/readyz").await.json()["checks"]["mqtt"] == refused).await;
    drop(connection);
    let _connection = broker.accept(1).await;
    has(&consuming, |status| status.is_connected && status.refused.is_empty()).await;
    // Results of the checks are cached for a second.
    until("it is ready", async || service.get("/readyz").await.status == 200).await;
    end(consuming, stop).await;
    service.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_that_is_too_long_is_told_and_not_fetched_all_the_time() {
    let service = Service::on_sqlite().await;
    let broker = Broker::start().await;
    let (consuming, stop) = broker.consume(&service, "gates/+=headcount");
    let start = Instant::now();
    for _ in 0..5 {
        let mut connection = broker.accept(1).await;
        // The beginning of a message of 32 MiB.
        connection.stream.write_all(&[0x32, 0x80, 0x80, 0x80, 0x10]).await.unwrap();
        let status = has(&consuming, |status| !status.is_connected && status.problem.is_some()).await;
        let problem = status.problem.unwrap();
        assert!(problem.contains("33554432 bytes") && problem.contains("16777216"), "{problem}");
    }
    // After 100, 200, 400 and 800 ms.
    assert!(start.elapsed() >= Duration::from_millis(1_500), "{:?}", start.elapsed());
    end(consuming, stop).await;
    service.finish().await;
}
