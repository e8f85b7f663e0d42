//! Several processes on one database: each sees the commits of the others, and nothing else.

use std::sync::Arc;

use api::app::App;
use api::database::Database;
use api::ingest::Crossing;
use api::limits::Limits;
use api::timelines::CACHE_BYTES;
use entity::assignment::Placement;
use entity::event::Direction;
use sea_orm::ConnectionTrait;

use crate::harness::{Empty, NOW, Service, at, on_both, until};

/// Another process on the same database, as far as the two can tell.
async fn other(service: &Service) -> Arc<App> {
    let database = Database::connect(&service.url).await.unwrap();
    let (other, _) = App::start(database, service.app.clock.clone(), CACHE_BYTES);
    other.coherence.begins().await;
    other
}

async fn crosses(app: &App, serial: &str, ts: &str) {
    let crossing =
        Crossing { serial: serial.to_owned(), ts: at(ts).into(), direction: Direction::Toward, seq: 0 };
    let outcomes = app.recorder.record(vec![Ok(crossing.into())]).await.unwrap();
    assert_eq!(outcomes, [api::ingest::Outcome::Accepted]);
}

async fn count(app: &App, space: i64, ts: &str) -> i64 {
    app.counts.count(space, at(ts)).await.unwrap().unwrap()
}

async fn hall(service: &Service) -> i64 {
    let (space, dpu) = (service.space("Hall").await, service.dpu("283").await);
    service.assign(dpu, space, Placement::Inside, None, None).await;
    space
}

async fn events_of_other_processes_are_seen(service: &Service) {
    let space = hall(service).await;
    let (here, there) = (Arc::clone(&service.app), other(service).await);
    // Today's events, and some that are late by years: the other process has both in memory.
    let instants =
        ["2026-03-01T11:00:00Z", "2020-01-01T00:00:00Z", "2026-03-01T11:00:01Z", "2020-01-01T00:00:01Z"];
    for (before, ts) in (0..).zip(instants) {
        let (writer, reader) = if before % 2 == 0 { (&here, &there) } else { (&there, &here) };
        assert_eq!((count(writer, space, NOW).await, count(reader, space, NOW).await), (before, before));
        crosses(writer, "283", ts).await;
        assert_eq!(count(writer, space, NOW).await, before + 1, "a process sees its own commit immediately");
        until("another's event", async || count(reader, space, NOW).await == before + 1).await;
    }
}

async fn changes_by_other_processes_are_seen(service: &Service) {
    let there = other(service).await;
    assert!(there.state.floor_plan().await.unwrap().spaces().is_empty());
    let space = service.space("Hall").await;
    until("another's space", async || there.state.floor_plan().await.unwrap().space(space).is_some()).await;
    // A DPU that this process does not know yet is looked up.
    service.dpu("283").await;
    crosses(&there, "283", "2026-01-01").await;
}

async fn repairs_of_tallies_by_other_processes_are_seen(service: &Service) {
    let space = hall(service).await;
    crosses(&service.app, "283", "2026-01-01").await;
    let broken = Database::connect(&service.url).await.unwrap();
    let transaction = broken.begin().await.unwrap();
    transaction.execute_unprepared("UPDATE tally SET toward = 5 WHERE resolution = 24").await.unwrap();
    transaction.commit().await.unwrap();
    service.app.state.forget_all();
    assert_eq!(count(&service.app, space, NOW).await, 5);
    api::verify::verify(&broken, true, |_| Ok(())).await.unwrap();
    until("the mended tally", async || count(&service.app, space, NOW).await == 1).await;
}

on_both!(
    events_of_other_processes_are_seen,
    changes_by_other_processes_are_seen,
    repairs_of_tallies_by_other_processes_are_seen
);

#[tokio::test(flavor = "multi_thread")]
async fn writes_to_a_file_without_the_change_log_are_seen() {
    let service = Service::on_sqlite().await;
    let space = hall(&service).await;
    assert_eq!(count(&service.app, space, NOW).await, 0);
    // As an older version of this program does.
    let old = Database::connect(&service.url).await.unwrap();
    let transaction = old.begin().await.unwrap();
    let (ts, day) = (at("2026-01-01T10:00:00Z").ms(), at("2026-01-01").ms());
    for sql in [
        format!("INSERT INTO event (dpu_id, ts, direction, seq, created) VALUES (1, {ts}, 1, 0, 0)"),
        format!(
            "INSERT INTO tally (dpu_id, resolution, bucket, toward, away)
            VALUES (1, 1, {ts}, 1, 0), (1, 24, {day}, 1, 0)"
        ),
    ] {
        transaction.execute_unprepared(&sql).await.unwrap();
    }
    transaction.commit().await.unwrap();
    until("the event", async || count(&service.app, space, NOW).await == 1).await;
    service.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_a_notification_is_seen_later_and_immediately_when_sent_again() {
    let Some(service) = Service::on_postgres().await else { return };
    let space = hall(&service).await;
    let there = other(&service).await;
    // It is in memory: the notification of the event has arrived, and no other is pending.
    assert_eq!(count(&there, space, NOW).await, 0);
    crosses(&service.app, "283", "2026-01-01T00:00:00Z").await;
    assert_eq!(count(&service.app, space, NOW).await, 1);
    until("the event", async || count(&there, space, NOW).await == 1).await;
    // As by a process that is killed before it notifies the others.
    let silent = Database::connect(&service.url).await.unwrap();
    let plan = service.app.state.floor_plan().await.unwrap();
    let crossing = Crossing {
        serial: "283".to_owned(),
        ts: at("2026-01-01T00:00:01Z").into(),
        direction: Direction::Toward,
        seq: 0,
    };
    let (partitions, batch) = (api::database::Partitions::default(), vec![Ok(crossing.clone().into())]);
    let intake = api::ingest::Intake {
        id: api::database::CommitId::new_writer().next(),
        now: at(NOW),
        earliest: api::ingest::EARLIEST,
    };
    let transaction = silent.begin().await.unwrap();
    api::ingest::record(&transaction, &partitions, &plan, intake, &[batch]).await.ok().unwrap();
    transaction.commit().await.unwrap();
    let outcomes = there.recorder.record(vec![Ok(crossing.into())]).await.unwrap();
    assert_eq!(outcomes, [api::ingest::Outcome::Duplicate]);
    assert_eq!(count(&there, space, NOW).await, 2, "it is seen immediately where it was sent again");
    until("the event", async || count(&service.app, space, NOW).await == 2).await;
    service.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_of_one_database_do_not_notify_each_other() {
    let Some(empty) = Empty::on_postgres().await else { return };
    let schema = empty.in_schema("Beside").await;
    let (one, beside) =
        (Service::start(empty, Limits::default()).await, Service::start(schema, Limits::default()).await);
    let (one_space, space) = (hall(&one).await, hall(&beside).await);
    assert_eq!(beside.count(space, NOW).await, 0);
    assert_eq!(beside.statements_of(beside.count(space, NOW)).await, 0, "not all of it is in memory");
    // Events, the floor plan and tokens of the other schema.
    crosses(&one.app, "283", "2026-01-01").await;
    one.space("Studio").await;
    let token =
        "INSERT INTO token (name, digest, role, created, modified) VALUES ('x', sha256('x'), 'READ', 0, 0)";
    one.app.database.writer().execute_unprepared(token).await.unwrap();
    assert_eq!(count(&one.app, one_space, NOW).await, 1);
    // This notification is received after those of the other schema.
    let rename = "UPDATE space SET name = 'Foyer'";
    beside.app.database.writer().execute_unprepared(rename).await.unwrap();
    let is_seen =
        async || beside.app.state.floor_plan().await.unwrap().space(space).unwrap().row.name == "Foyer";
    until("the floor plan of its own schema", is_seen).await;
    assert_eq!(
        beside.statements_of(beside.count(space, NOW)).await,
        0,
        "it was notified by the other schema"
    );
    assert_eq!(beside.count(space, NOW).await, 0);
    beside.finish().await;
    one.finish().await;
}

/// Ends all listening connections, and returns how many there were.
async fn deafen(admin: &Database) -> usize {
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND query LIKE 'LISTEN%' AND pid <> pg_backend_pid()";
    let statement = sea_orm::Statement::from_string(admin.backend(), sql);
    admin.reader().query_all_raw(statement).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_cannot_listen_is_still_correct() {
    let Some(service) = Service::on_postgres().await else { return };
    let space = hall(&service).await;
    let there = other(&service).await;
    for number in 1..=20 {
        // Whatever state the listener is in: disconnected, reconnecting or connected.
        assert!(deafen(&there.database).await <= 2);
        until("the connection is lost or back", async || count(&service.app, space, NOW).await == number - 1)
            .await;
        crosses(&there, "283", &format!("2026-01-01T00:00:{number:02}Z")).await;
        until("another's event", async || count(&service.app, space, NOW).await == number).await;
    }
    service.app.coherence.begins().await;
    drop(there);
    service.finish().await;
}
