//! Tests with NATS servers of their own: one with the sample configuration, to which devices publish over MQTT, and one
//! that stops and comes back.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use entity::event::Direction;
use tempfile::TempDir;

use crate::harness::{Service, say_once, until};
use crate::nats::{Nats, sees};

/// A server process that ends with the value.
struct Server {
    process: Child,
    _folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Returns whether a program is installed. If not, prints it visibly, or fails where programs are required.
pub(crate) fn there_is(program: &str) -> bool {
    let found =
        Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    assert!(found || std::env::var("TEST_NATS_REQUIRED").is_err(), "{program} is required");
    if !found {
        say_once(&format!("some tests were left out: there is no {program}"));
    }
    found
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn nats_server() -> Command {
    let mut command = Command::new("nats-server");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Publishes over MQTT as the device `user`; returns whether the server accepted it, as far as the device can tell.
fn publish(port: u16, user: &str, password: &str, topic: &str, payload: &str) -> bool {
    let port = port.to_string();
    let arguments = [
        "-h",
        "127.0.0.1",
        "-p",
        &port,
        "-u",
        user,
        "-P",
        password,
        "-V",
        "mqttv311",
        "-q",
        "1",
        "-t",
        topic,
        "-m",
        payload,
    ];
    let mut publishing = Command::new("mosquitto_pub")
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // A refused device is disconnected, and would try again forever.
    for _ in 0..100 {
        if let Some(status) = publishing.try_wait().unwrap() {
            return status.success();
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    publishing.kill().unwrap();
    publishing.wait().unwrap();
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_can_publish_only_under_its_own_serial() {
    if !there_is("nats-server") || !there_is("mosquitto_pub") {
        return;
    }
    let service = Service::on_sqlite().await;
    for serial in ["1001", "1002"] {
        service.dpu(serial).await;
    }
    // The unchanged sample, except for ports and the folder.
    let (port, mqtt, folder) = (free_port(), free_port(), tempfile::tempdir().unwrap());
    let mut sample = include_str!("../../../deploy/nats/nats.conf").to_owned();
    for (there, here) in [
        ("127.0.0.1:4222", format!("127.0.0.1:{port}")),
        ("0.0.0.0:1883", format!("127.0.0.1:{mqtt}")),
        ("/var/lib/nats", format!("{:?}", folder.path())),
    ] {
        assert!(sample.contains(there), "{there}");
        sample = sample.replace(there, &here);
    }
    let file = folder.path().join("nats.conf");
    std::fs::write(&file, sample).unwrap();
    let process = nats_server()
        .arg("-c")
        .arg(&file)
        .envs([
            ("HEADCOUNT_PASSWORD", "p@ss:word"),
            ("DPU_1001_PASSWORD", "one"),
            ("DPU_1002_PASSWORD", "two"),
        ])
        .spawn()
        .unwrap();
    let _server = Server { process, _folder: folder };
    let url = format!("nats://headcount:p%40ss%3Aword@127.0.0.1:{port}");
    let options =
        || async_nats::ConnectOptions::with_user_and_password("headcount".into(), "p@ss:word".into());
    let address = format!("127.0.0.1:{port}");
    until("the server answers", async || options().connect(&address).await.is_ok()).await;
    let jetstream = async_nats::jetstream::new(options().connect(&address).await.unwrap());

    // The names in the sample, since its permissions are for them.
    let nats = Nats {
        config: api::broker::BrokerConfig {
            nats_url: vec![url.parse().unwrap()],
            nats_stream: "EVENTS".to_owned(),
            nats_dead_letters: "EVENTS_DEAD".to_owned(),
            nats_prefix: "dpu".parse().unwrap(),
            ..Nats::config("sample")
        },
        jetstream,
    };
    let running = nats.consume_ready(&service).await;
    let event = |second: u32| format!(r#"{{"timestamp":"2026-01-01T00:00:0{second}Z","direction":1}}"#);
    assert!(publish(mqtt, "1001", "one", "dpu/1001/events", &event(0)));
    assert!(publish(mqtt, "1002", "two", "dpu/1002/events", "2026-01-01T00:00:01Z,-1,1002"));
    assert!(!publish(mqtt, "1001", "two", "dpu/1001/events", &event(2)), "a wrong password");
    // Whatever the device is told, messages under another serial, or as a dead letter, are not stored.
    publish(mqtt, "1001", "one", "dpu/1002/events", &event(3));
    publish(mqtt, "1001", "one", "deadletter/dpu", &event(4));
    assert!(publish(mqtt, "1001", "one", "dpu/1001/events", &event(5)));
    // An unrecordable event becomes a dead letter and is replayed, with the sample's permissions.
    assert!(publish(mqtt, "1001", "one", "dpu/1001/events", "2026-03-02T00:00:00Z,1,1001"));
    until("four messages came", async || nats.stream().await.state.last_sequence == 4).await;
    nats.drained().await;
    assert_eq!(service.stored_events().await.len(), 3);
    let letters = nats.dead_letters().await;
    assert_eq!(letters.len(), 1, "{letters:#?}");
    assert!(letters[0].reason.starts_with("TIMESTAMP_IN_FUTURE"));
    service.set_now("2026-03-02T00:00:00Z");
    assert_eq!(nats.open_dead_letters().await.replay_all().await.unwrap().replayed, 1);
    until("the replayed message came", async || nats.stream().await.state.last_sequence == 5).await;
    nats.drained().await;
    let events = service.stored_events().await;
    let away = events.iter().filter(|event| event.direction == Direction::Away).count();
    assert_eq!((events.len(), away), (4, 1));
    assert!(nats.dead_letters().await.is_empty());
    running.stop().await;
    service.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_consumer_reconnects_when_the_broker_comes_back() {
    if !there_is("nats-server") {
        return;
    }
    let service = Service::on_sqlite().await;
    service.dpu("283").await;
    let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
    let store = folder.path().to_owned();
    let start = || {
        let port = port.to_string();
        nats_server().args(["-a", "127.0.0.1", "-p", &port, "-js", "-sd"]).arg(&store).spawn().unwrap()
    };
    let url = format!("nats://127.0.0.1:{port}");
    // The consumer starts first: it waits for a server.
    let mut config = Nats::config("outage");
    config.nats_url = vec![url.parse().unwrap()];
    let stop = tokio_util::sync::CancellationToken::new();
    let consuming = service.app.consume(config.clone(), stop.clone());
    let status = &consuming.status;
    let alone = sees(status, "there is no server", |status| status.problem.is_some()).await;
    assert!(!alone.connected && alone.problem.unwrap().contains(&format!("127.0.0.1:{port}")));
    let ready = service.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json()["checks"]["broker"], "NATS is not connected");

    let mut server = Server { process: start(), _folder: folder };
    for round in 0..3_u64 {
        sees(status, "the server is found", |status| {
            status.connected && status.connections > round && status.observed.is_some()
        })
        .await;
        let nats = Nats { config: config.clone(), ..Nats::at(&url).await };
        for number in 0..10 {
            nats.publish("283", format!("2026-01-01T00:0{round}:0{number}Z,1,283")).await;
        }
        nats.drained().await;
        let stopped =
            Command::new("kill").args(["-TERM", &server.process.id().to_string()]).status().unwrap();
        assert!(stopped.success() && server.process.wait().is_ok());
        sees(status, "the server is gone", |status| !status.connected).await;
        server.process = start();
    }
    sees(status, "the server is found", |status| status.connected).await;
    assert_eq!(service.stored_events().await.len(), 30);
    stop.cancel();
    consuming.done.await.unwrap().unwrap();
    drop(server);
    service.finish().await;
}
