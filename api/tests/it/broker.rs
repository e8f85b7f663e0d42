//! Events through NATS JetStream: each is recorded exactly once, whatever happens on the way, or becomes a dead letter.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use api::broker::{Replayed, Status};
use api::database::Database;
use async_nats::HeaderMap;
use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::{self, AckPolicy, PullConsumer, pull, push};
use async_nats::jetstream::stream::{self, DiscardPolicy, RetentionPolicy};
use futures::StreamExt;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::harness::{NOW, Service, at, on_both, until};
use crate::nats::{Nats, sees};

/// Number of publishing DPUs, and of events of each.
const DPUS: u32 = 10;
const EVENTS: u32 = 300;

fn event(number: u32) -> Value {
    json!({ "timestamp": format!("2026-01-01T00:00:{:02}.{:03}Z", number / 1000, number % 1000), "direction": 1 })
}

/// Returns the instants and sequence numbers of the stored events, by DPU.
async fn stored(service: &Service) -> BTreeSet<(i64, String, i32)> {
    let events = service.stored_events().await;
    let all: BTreeSet<_> =
        events.iter().map(|event| (event.dpu_id, event.ts.to_string(), event.seq)).collect();
    assert_eq!(all.len(), events.len(), "each event is stored once");
    all
}

async fn every_form_is_recorded_and_acknowledged(service: &Service) {
    let Some(nats) = Nats::new().await else { return };
    let (door, gate) = (service.dpu("283").await, service.dpu("12.5 A/ü").await);
    let running = nats.consume_ready(service).await;
    nats.publish("283", r#"{"timestamp":"2026-01-01T00:00:00Z","direction":1,"dpu_id":"283"}"#).await;
    nats.publish("283", r#"[{"ts":"2026-01-01T00:00:01Z","direction":"AWAY"},{"ts":"2026-01-01T00:00:02Z","direction":1,"seq":1}]"#).await;
    nats.publish("283", "2026-01-01T00:00:03Z,-1,283").await;
    nats.publish("12.5 A/ü", "2026-01-01T00:00:04Z,1,12.5 A/ü,7\n2026-01-01T00:00:05Z,1,12.5 A/ü").await;
    nats.publish("283", "[]").await;
    nats.drained().await;
    let expected = [(door, 0, 0), (door, 1, 0), (door, 2, 1), (door, 3, 0), (gate, 4, 7), (gate, 5, 0)];
    let expected = expected.map(|(dpu, second, seq)| (dpu, format!("2026-01-01T00:00:0{second}Z"), seq));
    assert_eq!(stored(service).await, BTreeSet::from(expected));
    assert_eq!(nats.stream().await.state.messages, 0, "recorded messages are removed");
    assert!(nats.dead_letters().await.is_empty());

    let status = sees(&running.consuming.status, "all is recorded", |status| {
        status.backlog() == 0 && status.last_recorded.is_some()
    })
    .await;
    assert!(status.connected && status.connections == 1 && status.oldest.is_none());
    assert_eq!((status.dead_letters, status.problem, status.observed), (0, None, Some(at(NOW))));
    running.stop().await;
    nats.finish().await;
}

async fn a_message_that_comes_again_is_recorded_once(service: &Service) {
    let Some(nats) = Nats::new().await else { return };
    service.dpu("283").await;
    nats.consume_ready(service).await.stop().await;
    for number in 0..10 {
        nats.publish("283", event(number).to_string()).await;
    }
    // As if a consumer recorded some and stopped before acknowledging them.
    let stream = nats.jetstream.get_stream(&nats.config.nats_stream).await.unwrap();
    let consumer: PullConsumer = stream.get_consumer(&nats.config.nats_consumer).await.unwrap();
    let mut messages = consumer.fetch().max_messages(6).messages().await.unwrap();
    while let Some(Ok(message)) = messages.next().await {
        let mut event: Value = serde_json::from_slice(&message.payload).unwrap();
        let input = json!([{ "dpu": "283", "ts": event["timestamp"].take(), "direction": "TOWARD" }]);
        assert_eq!(service.ingest(input).await["accepted"], 1);
        message.ack_with(AckKind::Nak(None)).await.unwrap();
    }
    nats.jetstream.client().flush().await.unwrap();
    assert_eq!(stored(service).await.len(), 6);

    let running = nats.consume(service);
    nats.drained().await;
    assert_eq!(stored(service).await.len(), 10);
    running.stop().await;
    nats.finish().await;
}

async fn consumers_share_the_work_and_may_come_and_go(service: &Service) {
    let Some(nats) = Nats::new().await else { return };
    let mut expected = BTreeSet::new();
    for dpu in 0..DPUS {
        let id = service.dpu(&dpu.to_string()).await;
        expected.extend(
            (0..EVENTS)
                .map(|number| (id, event(number)["timestamp"].as_str().unwrap().replace(".000Z", "Z"), 0)),
        );
    }
    let (first, mut second) = (nats.consume_ready(service).await, nats.consume_ready(service).await);
    for number in 0..EVENTS {
        for dpu in 0..DPUS {
            // Without waiting for acknowledgements, so that there is a backlog.
            let subject = nats.config.nats_prefix.events_of(&dpu.to_string());
            drop(nats.jetstream.publish(subject, event(number).to_string().into()).await.unwrap());
        }
        if number % 100 == 50 {
            // One stops in the middle of its work, and another one starts.
            second.stop().await;
            second = nats.consume(service);
        }
    }
    nats.jetstream.wait_for_acks().await;
    nats.drained().await;
    assert_eq!(stored(service).await, expected);
    assert!(nats.dead_letters().await.is_empty());
    first.stop().await;
    second.stop().await;
    nats.finish().await;
}

async fn unrecordable_messages_become_dead_letters(service: &Service) {
    let Some(nats) = Nats::new().await else { return };
    service.dpu("283").await;
    let running = nats.consume_ready(service).await;
    let cases: [(&str, &[u8], &str); 11] = [
        ("283", b"hello", "MALFORMED: the line has 1 values"),
        ("283", b"", "the payload is empty"),
        ("283", b"\xff\xfe{}", "MALFORMED: the row is not UTF-8 text"),
        ("283", br#"{"ts":"2026-01-01","direction":5}"#, "BAD_DIRECTION: invalid direction \"5\""),
        ("283", br#"{"ts":"yesterday","direction":1}"#, "BAD_TIMESTAMP: \"yesterday\" is not a timestamp"),
        (
            "283",
            br#"{"ts":"2026-01-01","direction":1,"dpu":"284"}"#,
            "MALFORMED: the event is of the DPU \"284\"",
        ),
        ("9", br#"{"ts":"2026-01-01","direction":1}"#, "UNKNOWN_DPU: no DPU has the serial \"9\""),
        ("283", br#"{"ts":"2026-01-01","direction":1,"count":12}"#, "MALFORMED: unknown member \"count\""),
        (
            "283",
            br#"{"ts":"2009-12-31T23:59:59.999Z","direction":1}"#,
            "TIMESTAMP_OUT_OF_RANGE: 2009-12-31T23:59:59.999Z",
        ),
        (
            "283",
            b"timestamp,direction,dpu_id\r2009-12-31,1,283\r",
            "2 of 2 events were rejected; event 0: BAD_TIMESTAMP: \"timestamp\" is not a timestamp",
        ),
        ("283", b"2026-03-02,1,283", "TIMESTAMP_IN_FUTURE: 2026-03-02T00:00:00Z lies in the future"),
    ];
    for (serial, payload, _) in cases {
        nats.publish(serial, payload).await;
    }
    nats.publish("283", event(0).to_string()).await;
    nats.drained().await;
    assert_eq!(stored(service).await.len(), 1, "the one valid event");
    let letters = nats.dead_letters().await;
    assert_eq!(letters.len(), cases.len());
    for (serial, payload, reason) in cases {
        let found =
            letters.iter().find(|letter| letter.reason.starts_with(reason) && letter.payload == payload);
        let letter = found.unwrap_or_else(|| panic!("{reason} in {letters:#?}"));
        assert_eq!(letter.subject, nats.config.nats_prefix.events_of(serial));
        assert!(letter.published.is_some() && letter.headers.is_empty());
    }
    let told = |status: &Status| status.dead_letters == cases.len() as u64 && status.backlog() == 0;
    sees(&running.consuming.status, "the dead letters are counted", told).await;

    // The causes are fixed: the DPU is known now, and the time has come.
    service.dpu("9").await;
    service.set_now("2026-03-03T00:00:00Z");
    let all = Replayed { replayed: cases.len() as u64, missing: 0 };
    assert_eq!(nats.open_dead_letters().await.replay_all().await.unwrap(), all);
    nats.drained().await;
    assert_eq!(stored(service).await.len(), 3);
    assert_eq!(nats.dead_letters().await.len(), cases.len() - 2, "letters that are still invalid are back");
    running.stop().await;
    nats.finish().await;
}

async fn the_valid_events_of_an_array_are_recorded(service: &Service) {
    let Some(nats) = Nats::new().await else { return };
    service.dpu("283").await;
    let running = nats.consume_ready(service).await;
    let bad = json!({ "timestamp": "2026-01-01", "direction": 0 });
    let array = json!([event(0), bad, event(1), bad, bad, event(0)]).to_string();
    nats.publish("283", array.as_bytes()).await;
    let cut = format!("[{},{},{{\"ts\":", event(2), bad);
    nats.publish("283", cut.as_bytes()).await;
    nats.drained().await;
    assert_eq!(stored(service).await.len(), 3);
    let mut letters = nats.dead_letters().await;
    letters.sort_by_key(|letter| letter.payload.len());
    let [cut_off, partly] = letters.as_slice() else { panic!("{letters:#?}") };
    assert_eq!((partly.rejected.as_str(), partly.payload.as_ref()), ("1,3-4", array.as_bytes()));
    assert!(
        partly.reason.starts_with("3 of 6 events were rejected; event 1: BAD_DIRECTION: "),
        "{}",
        partly.reason
    );
    assert_eq!((cut_off.rejected.as_str(), cut_off.payload.as_ref()), ("1", cut.as_bytes()));
    assert!(
        cut_off.reason.ends_with("; after 2 events: the JSON breaks off before its end"),
        "{}",
        cut_off.reason
    );
    // A replay does not record the valid ones again.
    let numbers = BTreeSet::from([partly.sequence, cut_off.sequence, 1000]);
    let replayed = nats.open_dead_letters().await.replay(&numbers).await.unwrap();
    assert_eq!(replayed, Replayed { replayed: 2, missing: 1 });
    nats.drained().await;
    assert_eq!((stored(service).await.len(), nats.dead_letters().await.len()), (3, 2));
    running.stop().await;
    nats.finish().await;
}

async fn a_dead_letter_keeps_the_message_unchanged(service: &Service) {
    let Some(nats) = Nats::new().await else { return };
    let running = nats.consume_ready(service).await;
    let mut headers = HeaderMap::new();
    headers.insert("Firmware", "1.2.3");
    headers.append("Firmware", "rc 1");
    // These headers would make the server refuse the dead letter or remove others.
    headers.insert("Nats-Expected-Stream", nats.config.nats_stream.as_str());
    headers.insert("Nats-Msg-Id", "1");
    let payload: Vec<u8> = (0..=255).collect();
    nats.publish_with("283", payload.clone(), headers.clone()).await;
    nats.drained().await;
    let letters = nats.dead_letters().await;
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].payload.as_ref(), &letters[0].headers), (payload.as_slice(), &headers));

    running.stop().await;
    nats.open_dead_letters().await.replay_all().await.unwrap();
    assert!(nats.dead_letters().await.is_empty());
    let stream = nats.jetstream.get_stream(&nats.config.nats_stream).await.unwrap();
    let consumer: PullConsumer = stream.get_consumer(&nats.config.nats_consumer).await.unwrap();
    let mut messages = consumer.fetch().max_messages(1).messages().await.unwrap();
    let message = messages.next().await.unwrap().unwrap();
    assert_eq!(message.subject.as_str(), nats.config.nats_prefix.events_of("283"));
    headers = HeaderMap::new();
    headers.insert("Firmware", "1.2.3");
    headers.append("Firmware", "rc 1");
    assert_eq!(
        (message.payload.as_ref(), message.headers.as_ref()),
        (payload.as_slice(), Some(&headers)),
        "without headers for the server, such as the deduplication id"
    );
    nats.finish().await;
}

async fn a_message_of_maximum_length_becomes_a_dead_letter(service: &Service) {
    let Some(nats) = Nats::new().await else { return };
    service.dpu("283").await;
    let running = nats.consume_ready(service).await;
    let longest = nats.jetstream.client().server_info().max_payload - 32;
    let payload = format!("[{}1]", "1,".repeat((longest - 3) / 2));
    nats.publish("283", payload.clone()).await;
    nats.publish("283", event(0).to_string()).await;
    nats.drained().await;
    running.stop().await;
    assert_eq!(stored(service).await.len(), 1);
    let letters = nats.dead_letters().await;
    let [letter] = &letters[..] else { panic!("{} dead letters", letters.len()) };
    assert!(payload.as_bytes().starts_with(&letter.payload) && letter.payload.len() > payload.len() / 2);
    assert_eq!(
        (letter.length, letter.digest.as_ref().map(String::len)),
        (Some(payload.len() as u64), Some(64))
    );
    assert!(letter.reason.ends_with("the rest is ignored"), "{}", letter.reason);
    let refused = nats.open_dead_letters().await.replay_all().await.unwrap_err().to_string();
    assert!(refused.contains("bytes were kept: the device must send it again"), "{refused}");
    nats.finish().await;
}

async fn a_forged_dead_letter_is_published_to_no_other_subject(service: &Service) {
    let Some(nats) = Nats::new().await else { return };
    nats.consume_ready(service).await.stop().await;
    let mut headers = HeaderMap::new();
    headers.insert("Headcount-Subject", format!("$JS.API.STREAM.PURGE.{}", nats.config.nats_stream).as_str());
    let published =
        nats.jetstream.publish_with_headers(nats.config.nats_prefix.dead_letters(), headers, "".into());
    published.await.unwrap().await.unwrap();
    let refused = nats.open_dead_letters().await.replay_all().await.unwrap_err().to_string();
    assert!(refused.contains("the subject is not under"), "{refused}");
    assert_eq!(nats.dead_letters().await.len(), 1);
    nats.finish().await;
}

async fn a_message_is_not_acknowledged_before_its_dead_letter_is_stored(service: &Service) {
    let Some(nats) = Nats::new().await else { return };
    service.dpu("283").await;
    let full = stream::Config {
        name: nats.config.nats_dead_letters.clone(),
        subjects: vec![nats.config.nats_prefix.dead_letters()],
        discard: DiscardPolicy::New,
        max_messages: 1,
        ..stream::Config::default()
    };
    nats.jetstream.create_stream(full).await.unwrap();
    let running = nats.consume_ready(service).await;
    for payload in ["bad", "worse", &event(0).to_string()] {
        nats.publish("283", payload).await;
    }
    let told = |status: &Status| status.dead_letters == 1 && status.backlog() == 1;
    sees(&running.consuming.status, "one has a dead letter", told).await;
    assert_eq!(
        (stored(service).await.len(), nats.stream().await.state.messages),
        (1, 1),
        "it blocks nothing"
    );
    running.stop().await;
    nats.finish().await;
}

async fn existing_streams_and_consumers_are_not_changed(service: &Service) {
    let Some(nats) = Nats::new().await else { return };
    service.dpu("283").await;
    let name = nats.config.nats_stream.clone();
    let stream = stream::Config {
        name: name.clone(),
        subjects: vec![format!("{name}.>")],
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::Old,
        max_messages: 1_000,
        ..stream::Config::default()
    };
    let durable = pull::Config {
        durable_name: Some(nats.config.nats_consumer.clone()),
        ack_policy: AckPolicy::Explicit,
        max_deliver: 5,
        max_batch: 2,
        ..pull::Config::default()
    };
    let made = nats.jetstream.create_stream(stream).await.unwrap();
    made.create_consumer(durable).await.unwrap();
    let before =
        (nats.stream().await.config, made.consumer_info(&nats.config.nats_consumer).await.unwrap().config);
    let running = nats.consume_ready(service).await;
    for number in 0..9 {
        nats.publish("283", event(number).to_string()).await;
    }
    // This consumer gets it too, because it has no filter.
    nats.jetstream.publish(format!("{name}.other"), "x".into()).await.unwrap().await.unwrap();
    nats.drained().await;
    assert_eq!(stored(service).await.len(), 9);
    assert_eq!(nats.dead_letters().await[0].reason, format!("the subject is not {name}.SERIAL.events"));
    running.stop().await;
    let after =
        (nats.stream().await.config, made.consumer_info(&nats.config.nats_consumer).await.unwrap().config);
    assert_eq!(after, before);
    nats.finish().await;
}

on_both!(
    every_form_is_recorded_and_acknowledged,
    a_message_that_comes_again_is_recorded_once,
    consumers_share_the_work_and_may_come_and_go,
    unrecordable_messages_become_dead_letters,
    the_valid_events_of_an_array_are_recorded,
    a_dead_letter_keeps_the_message_unchanged,
    a_message_of_maximum_length_becomes_a_dead_letter,
    a_forged_dead_letter_is_published_to_no_other_subject,
    a_message_is_not_acknowledged_before_its_dead_letter_is_stored,
    existing_streams_and_consumers_are_not_changed
);

/// Returns the error of a consumer that cannot start.
async fn refusal(service: &Service, nats: &Nats) -> String {
    nats.consume(service).refusal().await
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_configurations_are_refused() {
    let Some(nats) = Nats::new().await else { return };
    let service = Service::on_sqlite().await;
    let name = nats.config.nats_stream.clone();
    let with = |subject: String| stream::Config {
        name: name.clone(),
        subjects: vec![subject],
        ..Default::default()
    };

    let made = nats.jetstream.create_stream(with(format!("{name}.1.events"))).await.unwrap();
    let said = refusal(&service, &nats).await;
    assert!(
        said.contains(&format!("does not take what DPUs publish to {name}.*.events, but {name}.1.events")),
        "{said}"
    );

    nats.jetstream.update_stream(with(format!("{name}.*.events"))).await.unwrap();
    let durable = |ack_policy| pull::Config {
        durable_name: Some("headcount".to_owned()),
        ack_policy,
        ..Default::default()
    };
    for policy in [AckPolicy::None, AckPolicy::All] {
        made.create_consumer(durable(policy)).await.unwrap();
        let said = refusal(&service, &nats).await;
        assert!(said.contains("does not require an acknowledgement of each message"), "{said}");
        made.delete_consumer("headcount").await.unwrap();
    }
    let filtered =
        pull::Config { filter_subject: format!("{name}.1.events"), ..durable(AckPolicy::Explicit) };
    made.create_consumer(filtered).await.unwrap();
    let said = refusal(&service, &nats).await;
    assert!(
        said.contains(&format!("does not take what DPUs publish to {name}.*.events, but {name}.1.events")),
        "{said}"
    );
    made.delete_consumer("headcount").await.unwrap();
    let pushed = push::Config {
        durable_name: Some("headcount".to_owned()),
        deliver_subject: format!("{name}.pushed"),
        ..Default::default()
    };
    let _: consumer::Consumer<push::Config> = made.create_consumer(pushed).await.unwrap();
    let said = refusal(&service, &nats).await;
    assert!(said.contains("is a push consumer"), "{said}");
    made.delete_consumer("headcount").await.unwrap();

    let mut one = Nats { config: nats.config.clone(), jetstream: nats.jetstream.clone() };
    one.config.nats_dead_letters.clone_from(&name);
    assert!(refusal(&service, &one).await.contains("have the same name"));
    one.config.nats_stream = format!("{name}_other");
    one.config.nats_dead_letters = format!("{name}_other_dead");
    let said = refusal(&service, &one).await;
    assert!(said.contains("subjects overlap with an existing stream"), "{said}");
    one.finish().await;

    let other = stream::Config {
        name: nats.config.nats_dead_letters.clone(),
        subjects: vec!["x".to_owned() + &name],
        ..Default::default()
    };
    nats.jetstream.delete_stream(&nats.config.nats_dead_letters).await.unwrap();
    nats.jetstream.create_stream(other).await.unwrap();
    let said = refusal(&service, &nats).await;
    assert!(
        said.contains(&format!("does not take dead letters, published to deadletter.{name}, but x{name}")),
        "{said}"
    );
    nats.finish().await;
    service.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_wait_for_the_database() {
    let Some(nats) = Nats::new().await else { return };
    let Some(service) = Service::on_postgres().await else { return };
    service.dpu("283").await;
    let running = nats.consume_ready(&service).await;
    nats.publish("283", event(0).to_string()).await;
    nats.drained().await;

    let (server, name) = service.url.rsplit_once('/').unwrap();
    let admin = Database::connect(&format!("{server}/postgres")).await.unwrap();
    let run = async |sql: String| admin.reader().execute_unprepared(&sql).await.unwrap();
    run(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await;
    run(format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")).await;
    for number in 1..100 {
        nats.publish("283", event(number).to_string()).await;
    }
    let told = |status: &Status| status.problem.is_some() && status.backlog() == 99;
    let down = sees(&running.consuming.status, "what waits is told", told).await;
    assert!(down.oldest.is_some() && down.connected);
    let ready = service.get("/readyz").await.json();
    assert_eq!(ready["checks"]["broker"], "events are not recorded: the log says why");
    run(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")).await;
    nats.drained().await;
    assert_eq!(stored(&service).await.len(), 100);
    assert!(nats.dead_letters().await.is_empty(), "a database failure makes no dead letters");
    sees(&running.consuming.status, "the problem is over", |status| status.problem.is_none()).await;
    running.stop().await;
    nats.finish().await;
    service.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_consume_list_and_replay() {
    let Some(nats) = Nats::new().await else { return };
    let service = Service::on_sqlite().await;
    service.dpu("283").await;
    let command = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_headcount"));
        command
            .args(arguments)
            .env("DATABASE_URL", &service.url)
            .env("LISTEN", "127.0.0.1:0")
            .env("NATS_URL", nats.config.nats_url[0].as_url_str())
            .env("NATS_STREAM", &nats.config.nats_stream)
            .env("NATS_DEAD_LETTERS", &nats.config.nats_dead_letters)
            .env("NATS_PREFIX", nats.config.nats_prefix.to_string())
            .stderr(Stdio::null());
        command
    };
    for (number, arguments) in (0..).zip([&["consume"][..], &["serve", "--consume"]]) {
        let mut running =
            command(arguments).env("STATUS_LISTEN", "127.0.0.1:0").stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(running.stderr.take().unwrap()).lines().map(Result::unwrap);
        let line = log.find(|line| line.contains("http://127.0.0.1:")).unwrap();
        let address = line.split("http://").nth(1).unwrap().split(['/', ' ', '\u{1b}']).next().unwrap();
        let address = address.trim_end_matches(':').to_owned();
        // Otherwise it would block when the pipe is full.
        std::thread::spawn(move || log.for_each(drop));
        until("the stream is made", async || {
            nats.jetstream.get_stream(&nats.config.nats_dead_letters).await.is_ok()
        })
        .await;
        nats.publish("283", event(number).to_string()).await;
        nats.publish("284", format!("2026-01-01T00:00:0{number}Z,1,284")).await;
        nats.drained().await;
        let ask = |path: &str| {
            let mut stream = TcpStream::connect(&address).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        let checks = r#"{"broker":"ok","coherence":"ok","database":"ok","migrations":"ok","tasks":"ok","writes":"ok"}"#;
        assert!(ask("/readyz").contains(checks), "{}", ask("/readyz"));
        assert!(ask("/healthz").starts_with("HTTP/1.1 200 OK"));
        assert!(ask("/metrics").contains("\nheadcount_broker_connected 1\n"), "{}", ask("/metrics"));
        let rest = ask("/space/1/count");
        assert!(rest.ends_with(r#"{"detail":"Not found."}"#), "{rest}");
        let stopped = Command::new("kill").args(["-TERM", &running.id().to_string()]).status().unwrap();
        assert!(stopped.success());
        assert!(running.wait().unwrap().success());
    }
    assert_eq!(stored(&service).await.len(), 2);
    let output = |arguments: &[&str]| {
        let output = command(arguments).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (_, table) = output(&["deadletter", "list", "--limit", "1"]);
    let lines: Vec<_> = table.lines().collect();
    assert_eq!((lines.len(), lines[2]), (3, "1 of 2 dead letters"), "{table}");
    assert!(lines[1].contains("UNKNOWN_DPU: no DPU has the serial \"284\""), "{table}");
    let (_, objects) = output(&["deadletter", "list", "--json"]);
    let objects: Vec<Value> = objects.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (&objects[1]["sequence"], &objects[1]["payload"]),
        (&json!(2), &json!("2026-01-01T00:00:01Z,1,284"))
    );

    service.dpu("284").await;
    assert_eq!(
        output(&["deadletter", "replay", "2", "7"]),
        (false, "1 dead letters replayed, 1 not found\n".to_owned())
    );
    assert_eq!(
        output(&["deadletter", "replay", "--all"]),
        (true, "1 dead letters replayed, 0 not found\n".to_owned())
    );
    let running = nats.consume(&service);
    nats.drained().await;
    assert_eq!(stored(&service).await.len(), 4);
    running.stop().await;
    nats.finish().await;
    service.finish().await;
}
