//! Events through the public interface: their outcomes, in any order, from many senders at once.

use std::sync::Arc;
use std::time::Duration;

use entity::assignment::Placement;
use proptest::test_runner::TestRunner;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::harness::{Service, on_both};
use crate::worlds::{self, input, world};
use counting::oracle;

fn event(dpu: &str, ts: &str, direction: &str) -> Value {
    json!({ "dpu": dpu, "ts": ts, "direction": direction })
}

async fn each_event_has_an_outcome(service: &Service) {
    service.dpu("283").await;
    let payload = service
        .ingest(json!([
            event("283", "2026-01-01T00:00:00Z", "TOWARD"),
            event("283", "2026-01-01T01:00:00+01:00", "TOWARD"),
            event("283", "2026-01-01T00:00:00Z", "AWAY"),
            event("nobody", "2026-01-01", "TOWARD"),
            event("283", "yesterday", "TOWARD"),
            event("283", "2026-03-01T12:05:00.001Z", "TOWARD"),
            event("283", "2026-03-01T12:05:00Z", "TOWARD"),
            event("283", "2009-12-31T23:59:59.999Z", "TOWARD"),
            event("283", "2010-01-01", "TOWARD"),
            { "dpu": "283", "ts": "2026-01-01", "direction": "TOWARD", "seq": -1 },
            { "dpu": "283", "ts": "2026-01-01", "direction": "TOWARD", "seq": i32::MAX },
        ]))
        .await;
    assert_eq!((&payload["accepted"], &payload["duplicates"]), (&json!(5), &json!(1)));
    let rejected: Vec<_> = payload["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rejected| (rejected["index"].as_i64().unwrap(), rejected["code"].as_str().unwrap()))
        .collect();
    assert_eq!(
        rejected,
        [
            (3, "UNKNOWN_DPU"),
            (4, "BAD_TIMESTAMP"),
            (5, "TIMESTAMP_IN_FUTURE"),
            (7, "TIMESTAMP_OUT_OF_RANGE"),
            (9, "BAD_SEQ"),
        ]
    );
    assert_eq!(service.stored_events().await.len(), 5);
}

async fn a_batch_may_be_sent_again(service: &Service) {
    service.dpu("283").await;
    let batch = json!([event("283", "2026-01-01", "TOWARD"), event("283", "2026-01-01", "AWAY")]);
    assert_eq!(service.ingest(batch.clone()).await["accepted"], 2);
    let again = service.ingest(batch).await;
    assert_eq!((&again["accepted"], &again["duplicates"]), (&json!(0), &json!(2)));
    assert_eq!(service.ingest(json!([])).await["accepted"], 0);
}

async fn a_dpu_added_by_another_process_is_known_immediately(service: &Service) {
    assert_eq!(
        service.ingest(json!([event("283", "2026-01-01", "TOWARD")])).await["rejected"][0]["code"],
        "UNKNOWN_DPU"
    );
    service.dpu("283").await;
    assert_eq!(service.ingest(json!([event("283", "2026-01-01", "TOWARD")])).await["accepted"], 1);
}

async fn counts_equal_the_oracle_for_any_order_of_batches(service: &Service) {
    let mut runner = TestRunner::deterministic();
    let world = world(&mut runner);
    let spaces = worlds::build(service, &world).await;
    let (in_batches, one_by_one) = world.events.split_at(world.events.len() * 3 / 4);
    for batch in in_batches.chunks(37) {
        service.ingest(batch.iter().map(input).collect()).await;
    }
    for event in one_by_one {
        service.ingest(json!([input(event)])).await;
    }
    worlds::assert_counts(service, &world, &spaces).await;
}

async fn counts_equal_the_oracle_for_one_batch(service: &Service) {
    let mut runner = TestRunner::deterministic();
    world(&mut runner);
    let world = world(&mut runner);
    let spaces = worlds::build(service, &world).await;
    service.ingest(world.events.iter().map(input).collect()).await;
    worlds::assert_counts(service, &world, &spaces).await;
}

async fn twenty_clients_with_overlapping_batches_while_others_read(service: &Service) {
    const CLIENTS: usize = 20;
    let mut runner = TestRunner::deterministic();
    let world = world(&mut runner);
    let spaces = worlds::build(service, &world).await;
    let clients = (0..CLIENTS).map(|client| {
        // Each sends three quarters of all events, starting at a different one.
        let mut events = world.events.clone();
        let length = events.len();
        events.rotate_left(client * length / CLIENTS);
        events.truncate(length * 3 / 4);
        async move {
            let mut stored = 0;
            for batch in events.chunks(23) {
                let payload = service.ingest(batch.iter().map(input).collect()).await;
                assert_eq!(payload["rejected"], json!([]));
                stored += payload["accepted"].as_u64().unwrap();
            }
            stored
        }
    });
    let readers = async {
        for _ in 0..50 {
            for space in &spaces {
                service.count(*space, "2026-02-01T00:00:00Z").await;
            }
        }
    };
    let (stored, ()) = tokio::join!(futures::future::join_all(clients), readers);
    let distinct: std::collections::HashSet<oracle::Event> = world.events.iter().copied().collect();
    assert_eq!(stored.iter().sum::<u64>(), distinct.len() as u64, "each event is accepted once");
    assert_eq!(service.stored_events().await.len(), distinct.len());
    worlds::assert_counts(service, &world, &spaces).await;
}

async fn waiting_senders_share_a_commit(service: &Service) {
    service.dpu("283").await;
    let alone = service.statements_of(service.ingest(json!([event("283", "2026-01-01", "TOWARD")]))).await;
    let batches = (0..50).map(|second| {
        service.ingest(json!([event("283", &format!("2026-01-01T00:00:{second:02}Z"), "AWAY")]))
    });
    let together = service.statements_of(futures::future::join_all(batches)).await;
    assert!(together < alone * 50 / 2, "{together} statements for 50 batches, {alone} for one");
}

async fn nothing_is_acknowledged_before_it_is_committed(service: &Service) {
    service.dpu("283").await;
    let other = api::database::Database::connect(&service.url).await.unwrap();
    // Another process holds the lock that the commit needs.
    let blocking = other.begin().await.unwrap();
    let block = if service.is_sqlite() { "SELECT 1" } else { "LOCK TABLE tally IN ACCESS EXCLUSIVE MODE" };
    blocking.execute_unprepared(block).await.unwrap();
    let mut sent = Box::pin(service.ingest(json!([event("283", "2026-01-01", "TOWARD")])));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut sent).await;
    assert!(early.is_err(), "acknowledged before the commit: {early:?}");
    assert!(service.stored_events().await.is_empty());
    blocking.commit().await.unwrap();
    // The writer waited for the other process instead of failing.
    assert_eq!(sent.await["accepted"], 1);
    assert_eq!(service.stored_events().await.len(), 1);
}

async fn a_failed_commit_stores_nothing_and_is_reported(service: &Service) {
    let (space, dpu) = (service.space("Hall").await, service.dpu("283").await);
    service.assign(dpu, space, Placement::Inside, None, None).await;
    let transaction = service.app.database.begin().await.unwrap();
    transaction.execute_unprepared("ALTER TABLE tally RENAME TO elsewhere").await.unwrap();
    transaction.commit().await.unwrap();
    let answer = service.ask(
        "mutation { ingest(events: [{ dpu: \"283\", ts: \"2026-01-01\", direction: TOWARD }]) { accepted } }",
        Value::Null,
    ).await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "INTERNAL", "{answer}");
    assert_eq!(answer["data"], Value::Null);
    assert!(!answer.to_string().contains("tally"), "internals are not shown: {answer}");
    let transaction = service.app.database.begin().await.unwrap();
    transaction.execute_unprepared("ALTER TABLE elsewhere RENAME TO tally").await.unwrap();
    transaction.commit().await.unwrap();
    assert!(service.stored_events().await.is_empty());
    assert_eq!(service.ingest(json!([event("283", "2026-01-01", "TOWARD")])).await["accepted"], 1);
}

on_both!(
    each_event_has_an_outcome,
    a_batch_may_be_sent_again,
    a_dpu_added_by_another_process_is_known_immediately,
    counts_equal_the_oracle_for_any_order_of_batches,
    counts_equal_the_oracle_for_one_batch,
    twenty_clients_with_overlapping_batches_while_others_read,
    waiting_senders_share_a_commit,
    nothing_is_acknowledged_before_it_is_committed,
    a_failed_commit_stores_nothing_and_is_reported
);

#[tokio::test]
async fn two_processes_that_write_events_of_one_dpu_do_not_deadlock() {
    let Some(service) = Service::on_postgres().await else { return };
    service.dpu("283").await;
    let service = Arc::new(service);
    // A second process on the same database.
    let database = api::database::Database::connect(&service.url).await.unwrap();
    let (other, recording) =
        api::app::App::start(database, service.app.clock.clone(), api::timelines::CACHE_BYTES);
    let crossing = |second: i64| {
        Ok(api::ingest::Report::Crossing(api::ingest::Crossing {
            serial: "283".to_owned(),
            ts: crate::harness::at("2026-01-31T23:50:00Z").plus_ms(second * 1000).into(),
            direction: entity::event::Direction::Toward,
            seq: 0,
        }))
    };
    let node = |app: Arc<api::app::App>, backwards: bool| async move {
        let mut accepted = 0;
        for round in 0..40 {
            let mut batch: Vec<_> = (round * 20..round * 20 + 60).map(crossing).collect();
            if backwards {
                batch.reverse();
            }
            let outcomes = app.recorder.record(batch).await.unwrap();
            accepted += outcomes.iter().filter(|outcome| **outcome == api::ingest::Outcome::Accepted).count();
        }
        accepted
    };
    let (here, there) = tokio::join!(node(Arc::clone(&service.app), false), node(Arc::clone(&other), true));
    assert_eq!(here + there, 840);
    drop(other);
    recording.await.unwrap();
    Arc::into_inner(service).unwrap().finish().await;
}
