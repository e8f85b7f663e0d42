//! What a database URL may say, and for how long statements run.

use std::time::{Duration, Instant};

use api::database::{Database, PoolConfig, is_unreachable};
use api::ids::PublicIds;
use sea_orm::{ConnectionTrait, DbErr, ExecResult};

use crate::harness::{Empty, Service};

#[tokio::test]
async fn a_url_that_is_not_usable_says_what_is() {
    for (url, reason) in [
        ("mysql://root@localhost/x", "neither SQLite nor PostgreSQL"),
        ("", "neither SQLite nor PostgreSQL"),
        ("sqlite::memory:", "cannot be shared"),
        ("sqlite:///nowhere/at/all.db?mode=rwc", "cannot open the database"),
        ("sqlite://x.db?mode=sideways", "mode"),
        ("postgres://me:secret@127.0.0.1:1/x", "cannot open the database postgres://me:…@127.0.0.1:1/x"),
    ] {
        let error = Database::connect(url).await.unwrap_err().to_string();
        assert!(error.contains(reason), "{url}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

/// A statement that never ends, and returns no row meanwhile.
const ENDLESS: &str =
    "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT 1 - n FROM number) SELECT COUNT(*) FROM number";
/// One that ends after a second or a few.
const SLOW: &str = "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 6000000) SELECT COUNT(*) FROM number";

/// What becomes of a statement, which has to end.
async fn run(connection: &impl ConnectionTrait, sql: &str) -> Result<ExecResult, DbErr> {
    let running = connection.execute_unprepared(sql);
    tokio::time::timeout(Duration::from_secs(30), running).await.expect("the statement did not end")
}

/// A service that answers within 200 ms.
async fn hasty(database: Empty) -> Service {
    let pool = PoolConfig { database_answer_ms: 200, ..PoolConfig::default() };
    Service::start_with(database, PublicIds::plain(), pool).await
}

async fn the_database_stops_a_statement_whose_client_has_been_told(service: &Service) {
    // More of them than connections: each connection is of use again.
    for _ in 0..5 {
        let error = run(service.app.database.reader(), ENDLESS).await.unwrap_err();
        assert!(is_unreachable(&error), "{error}");
    }
    // A connection's time begins anew with each use: these take longer than the limit together.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        run(service.app.database.reader(), "SELECT 1").await.unwrap();
        run(service.app.database.reader(), &SLOW.replace("6000000", "30000")).await.unwrap();
    }
    // Those who verify take their time.
    let patient = Database::connect(&service.url).await.unwrap();
    run(patient.reader(), SLOW).await.unwrap();
}

#[tokio::test]
async fn the_database_stops_a_statement_whose_client_has_been_told_on_sqlite() {
    let service = hasty(Empty::on_sqlite()).await;
    the_database_stops_a_statement_whose_client_has_been_told(&service).await;
    service.finish().await;
}

#[tokio::test]
async fn the_database_stops_a_statement_whose_client_has_been_told_on_postgres() {
    let Some(database) = Empty::on_postgres().await else { return };
    let service = hasty(database).await;
    the_database_stops_a_statement_whose_client_has_been_told(&service).await;
    service.finish().await;
}

#[tokio::test]
async fn maintenance_takes_its_time_and_waits_for_no_lock_for_long() {
    let Some(database) = Empty::on_postgres().await else { return };
    let service = hasty(database).await;
    let database = &service.app.database;
    let long = "SELECT pg_sleep(1.5)";
    assert!(is_unreachable(&run(database.writer(), long).await.unwrap_err()));
    let transaction = database.begin_maintenance().await.unwrap();
    run(&transaction, long).await.unwrap();
    transaction.commit().await.unwrap();
    // What was said to one transaction does not hold for the next.
    assert!(is_unreachable(&run(database.writer(), long).await.unwrap_err()));

    let reading = database.begin().await.unwrap();
    run(&reading, "SELECT COUNT(*) FROM event").await.unwrap();
    let transaction = database.begin_maintenance().await.unwrap();
    let error = run(&transaction, "DROP TABLE event").await.unwrap_err();
    assert!(is_unreachable(&error) && error.to_string().contains("lock timeout"), "{error}");
    drop((reading, transaction));
    service.finish().await;
}

/// A user who may not limit temporary files is served all the same.
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
