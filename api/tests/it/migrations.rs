//! The schema: migrations up, down and up again, and the constraints.

use api::database::Database;
use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, Statement};

use crate::harness::{Empty, on_both, refusal};

async fn up_down_up(empty: Empty) {
    let database = Database::connect(&empty.url).await.unwrap();
    let tables = async || {
        let sql = match database.backend() {
            sea_orm::DatabaseBackend::Sqlite => {
                "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN
                ('space', 'dpu', 'assignment', 'reset', 'reset_rule', 'event', 'tally', 'floor_plan', 'token')"
            }
            _ => {
                "SELECT count(*) FROM pg_tables WHERE tablename IN
                ('space', 'dpu', 'assignment', 'reset', 'reset_rule', 'event', 'tally', 'floor_plan', 'token')"
            }
        };
        let row = database
            .reader()
            .query_one_raw(Statement::from_string(database.backend(), sql))
            .await
            .unwrap()
            .unwrap();
        row.try_get_by_index::<i64>(0).unwrap()
    };
    for _ in 0..2 {
        assert_eq!(tables().await, 0);
        database.migrate().await.unwrap();
        assert_eq!(tables().await, 9);
        let transaction = database.begin().await.unwrap();
        Migrator::down(&transaction, None).await.unwrap();
        transaction.commit().await.unwrap();
    }
    database.migrate().await.unwrap();
    assert_eq!(tables().await, 9);
    empty.remove().await;
}

#[tokio::test]
async fn up_down_up_on_sqlite() {
    up_down_up(Empty::on_sqlite()).await;
}

#[tokio::test]
async fn up_down_up_on_postgres() {
    if let Some(empty) = Empty::on_postgres().await {
        up_down_up(empty).await;
    }
}

async fn together(empty: Empty) {
    let starts = (0..4).map(|_| {
        let url = empty.url.clone();
        tokio::spawn(async move { Database::connect(&url).await.unwrap().migrate().await })
    });
    for start in starts.collect::<Vec<_>>() {
        start.await.unwrap().unwrap();
    }
    empty.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_together_take_turns_on_sqlite() {
    together(Empty::on_sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_together_take_turns_on_postgres() {
    if let Some(empty) = Empty::on_postgres().await {
        together(empty).await;
    }
}

on_both! {
    async fn the_database_enforces_the_rules(service: &Service) {
        let database = &service.app.database;
        let (space, dpu) = (service.space("Hall").await, service.dpu("1").await);
        let assignment = |placement: i32, starts_at: &str, ends_at: &str| format!(
            "INSERT INTO assignment (dpu_id, space_id, placement, starts_at, ends_at, created, modified)
            VALUES ({dpu}, {space}, {placement}, {starts_at}, {ends_at}, 0, 0)"
        );
        let insert = async |sql: String| {
            let transaction = database.begin().await.unwrap();
            transaction.execute_unprepared(&sql).await.unwrap();
            transaction.commit().await.unwrap();
        };
        insert(assignment(1, "100", "200")).await;
        insert(assignment(-1, "200", "NULL")).await;
        insert(format!("INSERT INTO reset (space_id, ts, count, created, modified) VALUES ({space}, 5, 0, 0, 0)")).await;

        for (sql, rule) in [
            (assignment(2, "0", "1"), "placement"),
            (assignment(1, "50", "50"), "assignment_ends_after_start"),
            (assignment(1, "150", "160"), "assignment_overlap"),
            (assignment(1, "NULL", "101"), "assignment_overlap"),
            (assignment(-1, "NULL", "NULL"), "assignment_overlap"),
            (assignment(1, "300", "NULL"), "assignment_overlap"),
            ("UPDATE assignment SET ends_at = 201 WHERE ends_at = 200".to_owned(), "assignment_overlap"),
            (format!("INSERT INTO reset (space_id, ts, count, created, modified) VALUES ({space}, 5, 1, 0, 0)"), "reset"),
            (format!("INSERT INTO reset (space_id, ts, count, created, modified) VALUES ({space}, 6, -1, 0, 0)"), "count"),
            ("INSERT INTO space (name, created, modified) VALUES ('Hall', 0, 0)".to_owned(), "name"),
            ("INSERT INTO space (name, created, modified) VALUES ('', 0, 0)".to_owned(), "name"),
            ("INSERT INTO space (name, capacity, created, modified) VALUES ('Loft', 0, 0, 0)".to_owned(), "capacity"),
            ("INSERT INTO dpu (serial, created, modified) VALUES ('1', 0, 0)".to_owned(), "serial"),
            (format!("DELETE FROM dpu WHERE id = {dpu}"), ""),
            (format!("DELETE FROM space WHERE id = {space}"), ""),
        ] {
            let refused = refusal(database, &sql).await.unwrap_or_else(|| panic!("allowed: {sql}"));
            assert!(refused.to_lowercase().contains(rule), "{sql}: {refused}");
        }
        // Adjacent periods do not overlap.
        assert_eq!(refusal(database, &assignment(1, "NULL", "100")).await, None);
        assert_eq!(refusal(database, "UPDATE assignment SET ends_at = 199 WHERE ends_at = 200").await, None);

        service.ingest(serde_json::json!([{ "dpu": "1", "ts": "2026-01-01", "direction": "TOWARD" }])).await;
        for (sql, rule) in [
            ("UPDATE event SET direction = 0", "direction"),
            ("UPDATE event SET seq = -1", "seq"),
            ("UPDATE event SET dpu_id = 99", "foreign key"),
            ("UPDATE tally SET toward = -1", "toward"),
            ("UPDATE tally SET resolution = 2", "resolution"),
            ("UPDATE tally SET bucket = bucket + 1", "bucket"),
        ] {
            let refused = refusal(database, sql).await.unwrap_or_else(|| panic!("allowed: {sql}"));
            assert!(refused.to_lowercase().contains(rule), "{sql}: {refused}");
        }
    }
}
