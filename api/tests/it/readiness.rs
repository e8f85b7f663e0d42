//! `/readyz`: its checks are true, apart from one second of caching.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use api::database::Database;
use api::ingest::RecordError;
use api::limits::Limits;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use sea_orm::ConnectionTrait;
use serde_json::json;

use crate::harness::{Empty, Service, on_both, until};

/// Returns the result of the check.
async fn said(service: &Service, check: &str) -> String {
    let answer = service.get("/readyz").await;
    let checks = &answer.json()["checks"];
    let is_ready = checks.as_object().unwrap().values().all(|said| said == "ok");
    assert_eq!(answer.status == StatusCode::OK, is_ready, "{}", answer.body);
    checks[check].as_str().unwrap_or_default().to_owned()
}

async fn until_it_says(service: &Service, check: &str, text: &str) {
    let says = async || said(service, check).await.contains(text);
    until(&format!("{check} says {text:?}"), says).await;
}

async fn until_a_task_panics(service: &Service) {
    let panicked = service.app.tasks.panicked();
    tokio::time::timeout(Duration::from_secs(20), panicked).await.expect("a task panics");
}

/// Sends one event; returns the status of the answer.
async fn send(service: &Service, ts: &str) -> StatusCode {
    let body = json!({ "timestamp": ts, "direction": 1, "dpu_id": "283" }).to_string();
    let request = Request::post("/events").header("content-type", "application/json");
    service.send(request.body(Body::from(body)).unwrap()).await.status
}

/// Makes the database read-only, or writable again.
async fn set_read_only(service: &Service, is_read_only: bool) {
    let switch = if is_read_only { "on" } else { "off" };
    if service.is_sqlite() {
        let pragma = format!("PRAGMA query_only = {switch}");
        service.app.database.writer().execute_unprepared(&pragma).await.unwrap();
        return;
    }
    let (_, name) = service.url.rsplit_once('/').unwrap();
    let admin = Database::connect(&service.url).await.unwrap();
    let set = format!(
        "BEGIN READ WRITE; ALTER DATABASE {name} SET default_transaction_read_only = {switch}; COMMIT;
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()"
    );
    admin.reader().execute_unprepared(&set).await.unwrap();
}

async fn a_read_only_database_makes_the_service_unready(service: &Service) {
    let (space, _) = (service.space("Hall").await, service.dpu("283").await);
    until_it_says(service, "writes", "ok").await;
    set_read_only(service, true).await;
    if service.is_sqlite() {
        // A read-only file is noticed only by writing.
        assert_eq!(send(service, "2026-03-01T11:00:00Z").await, StatusCode::SERVICE_UNAVAILABLE);
    }
    until_it_says(service, "writes", "the database is read-only").await;
    assert_eq!(send(service, "2026-03-01T11:00:00Z").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(service.count(space, "2026-03-01").await, 0, "it can still be read");
    // It stays unready: this is the result of a later trial, not the cached one.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert!(said(service, "writes").await.contains("read-only"));
    set_read_only(service, false).await;
    // Without an event, because no events are sent to a service that is not ready.
    until_it_says(service, "writes", "ok").await;
    until("events are recorded", async || send(service, "2026-03-01T11:00:00Z").await == StatusCode::OK)
        .await;
    assert_eq!(service.stored_events().await.len(), 1);
    let tables =
        service.app.database.reader().execute_unprepared("SELECT * FROM headcount_write_trial").await;
    assert!(tables.is_err(), "the trials leave nothing behind");
}

async fn a_task_that_panics_makes_the_service_unready(service: &Service) {
    assert_eq!(said(service, "tasks").await, "ok");
    // Another process changes the floor plan, and the listener reads it.
    let other = Database::connect(&service.url).await.unwrap();
    service.set_panics(true);
    other.writer().execute_unprepared("UPDATE floor_plan SET revision = revision + 1").await.unwrap();
    until_a_task_panics(service).await;
    service.set_panics(false);
    until_it_says(service, "tasks", "the background task \"listener\" panicked").await;
    let panicked = service.app.tasks.check().unwrap_err().to_string();
    assert!(panicked.contains("the use of a statement") && panicked.contains("Start it again"), "{panicked}");
}

async fn a_feed_that_panics_is_named(service: &Service) {
    service.set_panics(true);
    let watching = service.app.feed.watch(None);
    until_a_task_panics(service).await;
    service.set_panics(false);
    drop(watching);
    assert_eq!(service.app.tasks.check().unwrap_err().task, "live counts");
}

async fn a_migration_that_is_missing_makes_the_service_unready(service: &Service) {
    assert_eq!(
        service.get("/readyz").await.body,
        r#"{"status":"ready","checks":{"coherence":"ok","database":"ok","migrations":"ok","tasks":"ok","writes":"ok"}}"#
    );
    let run = async |sql: &str| {
        let transaction = service.app.database.begin().await.unwrap();
        transaction.execute_unprepared(sql).await.unwrap();
        transaction.commit().await.unwrap();
    };
    run("UPDATE seaql_migrations SET version = 'later' WHERE version LIKE '%m0001%'").await;
    until_it_says(service, "migrations", "not applied: m0001").await;
    let answer = service.get("/readyz").await;
    assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "1"));
    let said = answer.json()["checks"]["migrations"].as_str().unwrap().to_owned();
    assert!(said.ends_with("run `headcount migrate`"), "{said}");
    run("UPDATE seaql_migrations SET version = 'm0001_schema' WHERE version = 'later'").await;
}

async fn added_checks_are_run_too(service: &Service) {
    let well = Arc::new(AtomicU8::new(0));
    let seen = Arc::clone(&well);
    service.app.readiness.add("broker", move || {
        let well = seen.load(Ordering::SeqCst);
        async move { if well > 0 { Ok(()) } else { Err("it is not connected".to_owned()) } }
    });
    assert_eq!(said(service, "broker").await, "it is not connected");
    well.store(1, Ordering::SeqCst);
    until_it_says(service, "broker", "ok").await;
}

on_both!(
    a_read_only_database_makes_the_service_unready,
    a_task_that_panics_makes_the_service_unready,
    a_feed_that_panics_is_named,
    a_migration_that_is_missing_makes_the_service_unready,
    added_checks_are_run_too
);

/// Each background task that fails is named by `/readyz`, and no longer runs.
async fn each_task_is_supervised(service: impl AsyncFn() -> Option<Service>) {
    let Some(first) = service().await else { return };
    let start_all = |service: &Service| (service.app.feed.watch(None), service.app.schedule(None));
    let running = start_all(&first);
    let names: Vec<_> = first.app.tasks.observe().iter().map(|observed| observed.task).collect();
    assert!(names.len() >= 5 && names.contains(&"recorder"), "{names:?}");
    first.dpu("283").await;
    assert_eq!(send(&first, "2026-03-01T11:00:00Z").await, StatusCode::OK);
    let observed = |service: &Service, name| {
        let all = service.app.tasks.observe();
        all.into_iter().find(|observed| observed.task == name).unwrap()
    };
    assert!(observed(&first, "recorder").last_run_s > 0);
    drop(running);
    first.finish().await;
    for name in names {
        let service = service().await.unwrap();
        let running = start_all(&service);
        assert_eq!(observed(&service, name).running, 1, "{name}");
        service.app.tasks.fail(name);
        until_it_says(&service, "tasks", &format!("\"{name}\"")).await;
        assert_eq!(observed(&service, name).running, 0, "{name}");
        drop(running);
        assert_eq!(service.end().await.is_err(), name == "recorder", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_task_is_supervised_on_sqlite() {
    each_task_is_supervised(async || Some(Service::on_sqlite().await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_task_is_supervised_on_postgres() {
    each_task_is_supervised(Service::on_postgres).await;
}

/// When the recorder has panicked, senders are told to send again, and the service is not ready.
async fn the_recorder_panics(empty: Empty) {
    let service = Service::start(empty, Limits::default()).await;
    service.set_panics(true);
    let refused = service.app.recorder.record(Vec::new()).await;
    service.set_panics(false);
    assert!(matches!(refused, Err(RecordError::Stopping)), "{refused:?}");
    service.dpu("283").await;
    assert_eq!(send(&service, "2026-03-01T11:00:00Z").await, StatusCode::SERVICE_UNAVAILABLE);
    until_it_says(&service, "tasks", "\"recorder\"").await;
    assert!(service.end().await.unwrap_err().is_panic());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_that_panics_makes_the_service_unready_on_sqlite() {
    the_recorder_panics(Empty::on_sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_that_panics_makes_the_service_unready_on_postgres() {
    let Some(empty) = Empty::on_postgres().await else { return };
    the_recorder_panics(empty).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_panics_is_named() {
    let service = Service::on_sqlite().await;
    service.set_panics(true);
    let schedule = service.app.schedule(None);
    until_a_task_panics(&service).await;
    service.set_panics(false);
    drop(schedule);
    let panicked = service.app.tasks.check().unwrap_err();
    assert_eq!((panicked.task, panicked.message.as_str()), ("schedule", "a bug in the use of the clock"));
    service.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_health_says_whether_a_server_is_ready() {
    let service = Service::on_sqlite().await;
    let (address, server) = service.listen().await;
    let ask = async |url: String| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_headcount"));
        command.args(["health", &url]);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let told =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), told)
    };
    let (code, told) = ask(format!("http://{address}")).await;
    assert!(code == Some(0) && told.contains("\"status\":\"ready\""), "{code:?} {told}");
    service.app.readiness.add("broken", || std::future::ready(Err("it is broken".to_owned())));
    until("it is noticed", async || ask(format!("http://{address}/")).await.1.contains("it is broken")).await;
    let (code, _) = ask(format!("http://{address}")).await;
    assert_eq!(code, Some(1));
    server.abort();
    server.await.ok();
    let (code, told) = ask(format!("http://{address}")).await;
    assert!(code == Some(1) && told.contains("refused"), "{code:?} {told}");
    service.finish().await;
}
