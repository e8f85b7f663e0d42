//! Messages of devices over MQTT, through a Mosquitto of the test's own.

use std::fs;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use api::mqtt::{Consuming, MqttConfig, Status};
use entity::assignment::Placement;
use serde_json::json;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::harness::{Service, refusal, until};
use crate::mqtt::{free_port, there_is};

/// A broker that keeps its sessions in a folder.
struct Broker {
    folder: TempDir,
    port: u16,
    process: Option<Child>,
}

impl Broker {
    /// `None`, with a visible message, if Mosquitto is not installed and not required.
    fn start(options: &str) -> Option<Self> {
        if !there_is("mosquitto") || !there_is("mosquitto_pub") {
            return None;
        }
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let place = folder.path().display();
        let settings = format!(
            "user root\npersistence true\npersistence_location {place}/\nlistener {port} 127.0.0.1\n{}\n",
            options.replace("FOLDER", &place.to_string())
        );
        fs::write(folder.path().join("mosquitto.conf"), settings).unwrap();
        // The user `sensors`, for brokers that ask for a password.
        let users = folder.path().join("users");
        fs::write(&users, "").unwrap();
        let mut command = Command::new("mosquitto_passwd");
        assert!(command.arg("-b").arg(&users).args(["sensors", "right-secret"]).status().unwrap().success());
        let mut broker = Self { folder, port, process: None };
        broker.resume();
        Some(broker)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn resume(&mut self) {
        let mut command = Command::new("mosquitto");
        let command = command.arg("-c").arg(self.path("mosquitto.conf"));
        self.process = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.process.as_mut().and_then(|process| process.try_wait().unwrap());
            assert!(ended.is_none(), "mosquitto does not start: {ended:?}");
            std::thread::yield_now();
        }
    }

    /// Ends it, so that it writes its sessions.
    fn end(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        Command::new("kill").arg(process.id().to_string()).status().unwrap();
        process.wait().unwrap();
    }

    fn publish(&self, topic: &str, message: &str, options: &[&str]) {
        let port = self.port.to_string();
        let mut command = Command::new("mosquitto_pub");
        let command = command.args(["-p", &port, "-q", "1", "-t", topic, "-m", message]).args(options);
        assert!(command.status().unwrap().success());
    }

    fn config(&self, credentials: &str, subscriptions: &[&str]) -> MqttConfig {
        MqttConfig {
            mqtt_url: Some(format!("mqtt://{credentials}localhost:{}", self.port).parse().unwrap()),
            mqtt_subscribe: subscriptions.iter().map(|one| one.parse().unwrap()).collect(),
            mqtt_client_id: "headcount".to_owned(),
            mqtt_ca: None,
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().ok();
            process.wait().ok();
        }
    }
}

/// A consumer, and how it is stopped.
struct Consumer {
    consuming: Consuming,
    stop: CancellationToken,
}

impl Consumer {
    async fn start(service: &Service, config: MqttConfig) -> Self {
        let stop = CancellationToken::new();
        let consumer = Self { consuming: service.app.consume_mqtt(config, stop.clone()), stop };
        consumer.has("a connection", |status| status.is_connected && status.problem.is_none()).await;
        consumer
    }

    async fn has(&self, what: &str, so: impl FnMut(&Status) -> bool) {
        let mut status = self.consuming.status.clone();
        let waiting = tokio::time::timeout(Duration::from_secs(20), status.wait_for(so));
        waiting.await.unwrap_or_else(|_| panic!("the consumer never has {what}")).unwrap();
    }

    async fn end(self) {
        self.stop.cancel();
        self.consuming.done.await.unwrap().unwrap();
    }
}

/// Creates a DPU over the door of a new space.
async fn doorway(service: &Service, serial: &str, reports: &str) -> i64 {
    let space = service.space(&format!("Room of {serial}")).await;
    let query = "mutation ($input: DpuCreateInput!) { dpuCreate(input: $input) { dpu { id } } }";
    let input = json!({ "serial": serial, "reports": reports });
    let created = service.data(query, json!({ "input": input })).await;
    let id = created["dpuCreate"]["dpu"]["id"].as_str().unwrap().parse().unwrap();
    service.assign(id, space, Placement::Inside, None, None).await;
    space
}

const TOPIC: &str = "v3/app@tenant/devices/door/up";

/// An uplink of a device, as The Things Stack publishes it.
fn uplink(ts: &str, into: i64, out: i64) -> String {
    json!({
        "end_device_ids": { "device_id": "door", "dev_eui": "24E124791D204417" },
        "uplink_message": { "received_at": ts, "f_port": 85, "decoded_payload": { "total_in": into, "total_out": out } },
    })
    .to_string()
}

async fn counts(service: &Service, space: i64, count: i64) {
    let what = format!("space {space} has {count} people");
    until(&what, async || service.count(space, "2026-12-01T12:00:00Z").await == count).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_recorded_from_any_broker() {
    let Some(broker) = Broker::start("allow_anonymous true") else { return };
    let service = Service::on_sqlite().await;
    let door = doorway(&service, "24:E1:24:79:1D:20:44:17", "TOTALS").await;
    let gate = doorway(&service, "7", "CROSSINGS").await;
    let config = broker.config("", &["v3/+/devices/+/up=ttn", "gates/#=headcount"]);
    let consumer = Consumer::start(&service, config).await;
    // What cannot be read does not hold up the others.
    broker.publish(TOPIC, "no uplink", &[]);
    broker.publish(TOPIC, &uplink("2026-03-01T10:00:00Z", 100, 50), &[]);
    for _ in 0..2 {
        broker.publish(TOPIC, &uplink("2026-03-01T10:10:00Z", 107, 52), &[]);
    }
    broker.publish("gates/7", r#"{"ts":"2026-03-01T10:00:00Z","direction":1}"#, &[]);
    broker.publish("gates/all", r#"[{"ts":"2026-03-01T10:00:01Z","direction":1,"dpu":"7"},{"ts":"x"}]"#, &[]);
    counts(&service, door, 5).await;
    counts(&service, gate, 2).await;
    assert_eq!(service.get("/readyz").await.status, 200);
    consumer.end().await;
    service.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn formats_of_devices_come_over_mqtt() {
    let Some(broker) = Broker::start("allow_anonymous true") else { return };
    let service = Service::on_sqlite().await;
    service.set_now("2026-12-01T12:00:00Z");
    let formats = ["xovis", "milesight", "axis", "chirpstack", "footfallcam"];
    let subscriptions = formats.map(|format| format!("from/{format}/#={format}"));
    let config = broker.config("", &subscriptions.each_ref().map(String::as_str));
    let consumer = Consumer::start(&service, config).await;
    let fixture = |format: &str, name: &str| {
        fs::read_to_string(format!("{}/../devices/fixtures/{format}/{name}", env!("CARGO_MANIFEST_DIR")))
            .unwrap()
    };
    for (format, name, earlier, serial, reports, count) in [
        ("xovis", "live_data.json", None, "801F12AA0007/3", "CROSSINGS", 2),
        ("milesight", "periodic.json", None, "6537F40117720042/1", "INTERVALS", 2),
        ("footfallcam", "in.json", None, "ecd5cc00000000a1/3", "CROSSINGS", 1),
        (
            "axis",
            "crossline.json",
            Some([("\"57\"", "\"50\""), ("1700000000250", "1699999000250")]),
            "B8A44F000003/Scenario2",
            "TOTALS",
            7,
        ),
        (
            "chirpstack",
            "up_vs133.json",
            Some([("266", "260"), ("09:20:41", "09:10:41")]),
            "24E124725C481203/1",
            "TOTALS",
            6,
        ),
    ] {
        let space = doorway(&service, serial, reports).await;
        let message = fixture(format, name);
        if let Some(earlier) = earlier {
            let before = earlier.iter().fold(message.clone(), |text, (one, other)| text.replace(one, other));
            broker.publish(&format!("from/{format}/door"), &before, &[]);
        }
        for _ in 0..2 {
            broker.publish(&format!("from/{format}/door"), &message, &[]);
        }
        counts(&service, space, count).await;
    }
    consumer.end().await;
    service.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_the_consumer_or_the_broker_is_away() {
    let Some(mut broker) = Broker::start("allow_anonymous true") else { return };
    let service = Service::on_sqlite().await;
    let gate = doorway(&service, "7", "CROSSINGS").await;
    let event = |second: u32| format!(r#"{{"ts":"2026-03-01T10:00:{second:02}Z","direction":1}}"#);
    let config = broker.config("", &["gates/+=headcount"]);
    let consumer = Consumer::start(&service, config.clone()).await;
    broker.publish("gates/7", &event(0), &[]);
    counts(&service, gate, 1).await;
    consumer.end().await;
    // The broker keeps what is published meanwhile, also when it is started again.
    for second in 1..10 {
        broker.publish("gates/7", &event(second), &[]);
    }
    broker.end();
    broker.resume();
    let consumer = Consumer::start(&service, config).await;
    counts(&service, gate, 10).await;
    broker.end();
    consumer.has("lost its connection", |status| !status.is_connected).await;
    broker.resume();
    consumer.has("a connection again", |status| status.is_connected).await;
    for second in 10..20 {
        broker.publish("gates/7", &event(second), &[]);
    }
    counts(&service, gate, 20).await;
    consumer.end().await;
    service.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_acknowledged_after_its_commit() {
    let Some(broker) = Broker::start("allow_anonymous true") else { return };
    let service = Service::on_sqlite().await;
    let gate = doorway(&service, "7", "CROSSINGS").await;
    let config = broker.config("", &["gates/+=headcount"]);
    let consumer = Consumer::start(&service, config.clone()).await;
    // Commits fail until the trigger is gone.
    let database = &service.app.database;
    let run = async |sql: &str| {
        use sea_orm::ConnectionTrait;
        let transaction = database.begin().await.unwrap();
        transaction.execute_unprepared(sql).await.unwrap();
        transaction.commit().await.unwrap();
    };
    run("CREATE TRIGGER full BEFORE INSERT ON event BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END").await;
    broker.publish("gates/7", r#"{"ts":"2026-03-01T10:00:00Z","direction":1}"#, &[]);
    consumer.has("a failure", |status| status.problem.is_some()).await;
    consumer.end().await;
    assert_eq!(service.count(gate, "2026-03-01T12:00:00Z").await, 0);
    run("DROP TRIGGER full").await;
    assert_eq!(refusal(database, "SELECT 1").await, None);
    let consumer = Consumer::start(&service, config).await;
    counts(&service, gate, 1).await;
    consumer.end().await;
    service.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_and_not_shown() {
    let Some(broker) = Broker::start("allow_anonymous false\npassword_file FOLDER/users") else { return };
    let service = Service::on_sqlite().await;
    let gate = doorway(&service, "7", "CROSSINGS").await;
    let stop = CancellationToken::new();
    let wrong = broker.config("sensors:wrong-secret@", &["gates/+=headcount"]);
    assert!(!format!("{wrong:?}").contains("wrong-secret"));
    let consuming = service.app.consume_mqtt(wrong, stop.clone());
    let mut status = consuming.status.clone();
    let refused =
        |status: &Status| status.problem.as_ref().is_some_and(|why| why.contains("check user and password"));
    let status = tokio::time::timeout(Duration::from_secs(20), status.wait_for(refused))
        .await
        .unwrap()
        .unwrap()
        .clone();
    assert!(!format!("{status:?}").contains("wrong-secret"), "{status:?}");
    until("it is not ready", async || {
        service.get("/readyz").await.body.contains("the MQTT broker is not connected")
    })
    .await;
    stop.cancel();
    consuming.done.await.unwrap().unwrap();
    let right = broker.config("sensors:right-secret@", &["gates/+=headcount"]);
    let consumer = Consumer::start(&service, right).await;
    let event = r#"{"ts":"2026-03-01T10:00:00Z","direction":1}"#;
    broker.publish("gates/7", event, &["-u", "sensors", "-P", "right-secret"]);
    counts(&service, gate, 1).await;
    consumer.end().await;
    service.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_may_be_encrypted() {
    if !there_is("openssl") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (key, certificate) = (folder.path().join("key.pem"), folder.path().join("cert.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:::1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stderr(Stdio::null())
        .status();
    assert!(made.unwrap().success());
    let encrypted = format!("certfile {}\nkeyfile {}", certificate.display(), key.display());
    // Also at an IPv6 address, where the machine has them.
    let other = std::net::TcpListener::bind("[::1]:0").ok().map(|free| free.local_addr().unwrap().port());
    let other_listener = other.map(|port| format!("\nlistener {port} ::1\n{encrypted}")).unwrap_or_default();
    let Some(broker) = Broker::start(&format!("allow_anonymous true\n{encrypted}{other_listener}")) else {
        return;
    };
    let service = Service::on_sqlite().await;
    let gate = doorway(&service, "7", "CROSSINGS").await;
    let config = MqttConfig {
        mqtt_url: Some(format!("mqtts://localhost:{}", broker.port).parse().unwrap()),
        mqtt_ca: Some(certificate.clone()),
        ..broker.config("", &["gates/+=headcount"])
    };
    let consumer = Consumer::start(&service, config).await;
    let authority = certificate.display().to_string();
    let event = r#"{"ts":"2026-03-01T10:00:00Z","direction":1}"#;
    broker.publish("gates/7", event, &["-h", "localhost", "--cafile", &authority]);
    counts(&service, gate, 1).await;
    consumer.end().await;
    if let Some(port) = other {
        let config = MqttConfig {
            mqtt_url: Some(format!("mqtts://[::1]:{port}").parse().unwrap()),
            mqtt_ca: Some(certificate.clone()),
            ..broker.config("", &["gates/+=headcount"])
        };
        Consumer::start(&service, config).await.end().await;
    }
    // Without the authority it is not trusted.
    let config = MqttConfig {
        mqtt_url: Some(format!("mqtts://localhost:{}", broker.port).parse().unwrap()),
        ..broker.config("", &["gates/+=headcount"])
    };
    let stop = CancellationToken::new();
    let consuming = service.app.consume_mqtt(config, stop.clone());
    let mut status = consuming.status.clone();
    let untrusted =
        |status: &Status| status.problem.as_ref().is_some_and(|why| why.contains("invalid peer certificate"));
    tokio::time::timeout(Duration::from_secs(20), status.wait_for(untrusted)).await.unwrap().unwrap();
    stop.cancel();
    consuming.done.await.unwrap().unwrap();
    service.finish().await;
}
