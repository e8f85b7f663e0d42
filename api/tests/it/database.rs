//! Database URLs, and time limits of statements.

use std::time::{Duration, Instant};

use api::database::{Database, Failure, PoolConfig};
use api::ids::PublicIds;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use entity::assignment::Placement;
use sea_orm::{ConnectionTrait, DbErr, ExecResult};
use serde_json::json;

use crate::harness::{Empty, Service, on_both};

#[tokio::test]
async fn invalid_urls_are_refused_with_the_accepted_forms() {
    for (url, reason) in [
        ("mysql://root@localhost/x", "neither SQLite nor PostgreSQL"),
        ("", "neither SQLite nor PostgreSQL"),
        ("sqlite::memory:", "not supported"),
        ("sqlite:///nowhere/at/all.db?mode=rwc", "cannot open the database"),
        ("sqlite://x.db?mode=sideways", "mode"),
        ("postgres://me:secret@127.0.0.1:1/x", "cannot open the database postgres://me:…@127.0.0.1:1/x"),
    ] {
        let error = Database::connect(url).await.unwrap_err().to_string();
        assert!(error.contains(reason), "{url}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

/// A statement that never ends and returns no row.
const ENDLESS: &str =
    "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT 1 - n FROM number) SELECT COUNT(*) FROM number";
/// A statement that ends after a few seconds.
const SLOW: &str = "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 6000000) SELECT COUNT(*) FROM number";

/// Returns the result of a statement, which must end.
async fn run(connection: &impl ConnectionTrait, sql: &str) -> Result<ExecResult, DbErr> {
    let running = connection.execute_unprepared(sql);
    tokio::time::timeout(Duration::from_secs(30), running).await.expect("the statement did not end")
}

/// Returns a service that must answer within 200 ms.
async fn hasty(database: Empty) -> Service {
    let pool = PoolConfig { database_answer_ms: 200, ..PoolConfig::default() };
    Service::start_with(database, PublicIds::plain(), pool).await
}

async fn the_database_stops_a_statement_after_its_client_was_answered(service: &Service) {
    // More statements than connections: each connection can be reused.
    for _ in 0..5 {
        let error = run(service.app.database.reader(), ENDLESS).await.unwrap_err();
        assert!(Failure::of(&error) == Failure::Late, "{error}");
    }
    // The time limit starts anew with each use: these take longer than the limit in total.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        run(service.app.database.reader(), "SELECT 1").await.unwrap();
        run(service.app.database.reader(), &SLOW.replace("6000000", "30000")).await.unwrap();
    }
    // Verifying has no time limit.
    let patient = Database::connect(&service.url).await.unwrap();
    run(patient.reader(), SLOW).await.unwrap();
}

#[tokio::test]
async fn the_database_stops_a_statement_after_its_client_was_answered_on_sqlite() {
    let service = hasty(Empty::on_sqlite()).await;
    the_database_stops_a_statement_after_its_client_was_answered(&service).await;
    service.finish().await;
}

#[tokio::test]
async fn the_database_stops_a_statement_after_its_client_was_answered_on_postgres() {
    let Some(database) = Empty::on_postgres().await else { return };
    let service = hasty(database).await;
    the_database_stops_a_statement_after_its_client_was_answered(&service).await;
    service.finish().await;
}

#[tokio::test]
async fn maintenance_has_no_time_limit_but_a_short_wait_for_locks() {
    let Some(database) = Empty::on_postgres().await else { return };
    let service = hasty(database).await;
    let database = &service.app.database;
    let long = "SELECT pg_sleep(1.5)";
    assert_eq!(Failure::of(&run(database.writer(), long).await.unwrap_err()), Failure::Late);
    let transaction = database.begin_maintenance().await.unwrap();
    run(&transaction, long).await.unwrap();
    transaction.commit().await.unwrap();
    // Settings of one transaction do not apply to the next one.
    assert_eq!(Failure::of(&run(database.writer(), long).await.unwrap_err()), Failure::Late);

    let reading = database.begin().await.unwrap();
    run(&reading, "SELECT COUNT(*) FROM event").await.unwrap();
    let transaction = database.begin_maintenance().await.unwrap();
    let error = run(&transaction, "DROP TABLE event").await.unwrap_err();
    assert!(Failure::of(&error) == Failure::Late && error.to_string().contains("lock timeout"), "{error}");
    drop((reading, transaction));
    service.finish().await;
}

/// A user without the privilege to limit temporary files can still be used.
#[tokio::test]
async fn a_user_without_privileges_can_be_served() {
    let Some(database) = Empty::on_postgres().await else { return };
    let service = hasty(database).await;
    let name = service.url.rsplit('/').next().unwrap().to_owned();
    let admin = service.app.database.writer();
    run(admin, &format!("CREATE ROLE {name} LOGIN PASSWORD 'none'")).await.unwrap();
    let (user, _) = service.url.split_once("://").unwrap().1.rsplit_once('@').unwrap_or(("", ""));
    let url = service.url.replacen(&format!("{user}@"), &format!("{name}:none@"), 1);
    let plain = Database::connect_with(&url, PoolConfig::default()).await.unwrap();
    run(plain.reader(), "SELECT 1").await.unwrap();
    let transaction = plain.begin_maintenance().await.unwrap();
    transaction.rollback().await.unwrap();
    drop(plain);
    run(admin, &format!("DROP ROLE {name}")).await.unwrap();
    service.finish().await;
}

async fn an_error_of_the_schema_is_not_reported_as_an_unreachable_database(service: &Service) {
    let (space, dpu) = (service.space("Hall").await, service.dpu("1").await);
    service.assign(dpu, space, Placement::Inside, None, None).await;
    let admin = service.app.database.writer();
    run(admin, "ALTER TABLE tally RENAME TO gone").await.unwrap();
    let count = service.get(&format!("/space/{space}/count")).await;
    assert_eq!(
        (count.status, count.header("retry-after"), count.body.as_str()),
        (
            StatusCode::INTERNAL_SERVER_ERROR,
            "",
            r#"{"detail":"Something went wrong inside the server; its log says what."}"#
        )
    );
    let event = json!({ "timestamp": "2026-02-01T00:00:00Z", "direction": 1, "dpu_id": "1" });
    let request = Request::post("/events").header("content-type", "application/json");
    let sent = service.send(request.body(Body::from(event.to_string())).unwrap()).await;
    assert_eq!(
        (sent.status, sent.header("retry-after")),
        (StatusCode::INTERNAL_SERVER_ERROR, ""),
        "{}",
        sent.body
    );
    for operation in [
        format!("{{ space(id: {space}) {{ count }} }}"),
        r#"mutation { ingest(events: [{dpu: "1", ts: "2026-02-01", direction: TOWARD}]) { accepted } }"#
            .to_owned(),
    ] {
        let request = Request::post("/graphql").header("content-type", "application/json");
        let body = Body::from(json!({ "query": operation }).to_string());
        let answer = service.send(request.body(body).unwrap()).await.json();
        assert_eq!(answer["errors"][0]["extensions"]["code"], "INTERNAL", "{answer}");
    }
    run(admin, "ALTER TABLE gone RENAME TO tally").await.unwrap();
    assert_eq!(service.get(&format!("/space/{space}/count")).await.status, StatusCode::OK);
}

on_both!(an_error_of_the_schema_is_not_reported_as_an_unreachable_database);

#[tokio::test]
async fn the_error_of_opening_a_file_says_once_why_and_what_to_do() {
    let refused = Database::connect("sqlite:///nowhere/at/all.db?mode=rwc").await.unwrap_err();
    assert!(std::error::Error::source(&refused).is_none(), "it would be told once more");
    let said = refused.to_string();
    assert_eq!(said.matches("unable to open database file").count(), 1, "{said}");
    assert!(said.contains("The folder must exist, and this user must be able to read and write"), "{said}");
}
