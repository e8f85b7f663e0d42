//! The schema: migrations up, down and up again, and the constraints.

use api::database::Database;
use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, Statement};
use serde_json::json;

use api::limits::Limits;

use crate::harness::{Empty, Service, on_both, refusal};

async fn up_down_up(empty: Empty) {
    let database = Database::connect(&empty.url).await.unwrap();
    let tables = async || {
        let sql = match database.backend() {
            sea_orm::DatabaseBackend::Sqlite => {
                "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN
                ('space', 'dpu', 'assignment', 'reset', 'reset_rule', 'event', 'tally', 'floor_plan', 'token', 'interval')"
            }
            _ => {
                "SELECT count(*) FROM pg_tables WHERE tablename IN
                ('space', 'dpu', 'assignment', 'reset', 'reset_rule', 'event', 'tally', 'floor_plan', 'token', 'interval')"
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
        assert_eq!(tables().await, 10);
        let transaction = database.begin().await.unwrap();
        Migrator::down(&transaction, None).await.unwrap();
        transaction.commit().await.unwrap();
    }
    database.migrate().await.unwrap();
    assert_eq!(tables().await, 10);
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

/// Returns the names of all columns, indexes, constraints and triggers, and the code of all functions.
async fn described(database: &Database) -> Vec<String> {
    let sql = match database.backend() {
        sea_orm::DatabaseBackend::Sqlite => {
            "SELECT type || ' ' || name FROM sqlite_schema UNION ALL
            SELECT tables.name || '.' || column.name || ' ' || column.type
            FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS column WHERE tables.type = 'table'"
        }
        _ => {
            "SELECT table_name || '.' || column_name || ' ' || data_type FROM information_schema.columns
            WHERE table_schema = 'public' UNION ALL
            SELECT indexname FROM pg_indexes WHERE schemaname = 'public' UNION ALL
            SELECT conname || ' ' || contype::text FROM pg_constraint UNION ALL
            SELECT tgname FROM pg_trigger WHERE NOT tgisinternal UNION ALL
            SELECT prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prolang <> 13"
        }
    };
    let statement = Statement::from_string(database.backend(), sql);
    let rows = database.reader().query_all_raw(statement).await.unwrap();
    let mut names: Vec<String> = rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect();
    // The table of migrations is SeaORM's, and the layout of a function's code is not compared.
    names.retain(|name| !name.contains("seaql_migrations"));
    for name in &mut names {
        *name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    names.sort();
    names
}

/// A database of version 0.1.0, with some of the steps that were added later, is taken over with its data.
async fn takes_over(empty: Empty, fresh: Empty) {
    let new = Database::connect(&fresh.url).await.unwrap();
    new.migrate().await.unwrap();
    let database = Database::connect(&empty.url).await.unwrap();
    let schema = match database.backend() {
        sea_orm::DatabaseBackend::Sqlite => include_str!("../fixtures/schema_0_1_0.sqlite.sql"),
        _ => include_str!("../fixtures/schema_0_1_0.postgres.sql"),
    };
    let run = async |sql: &str| database.writer().execute_unprepared(sql).await.map(drop);
    run(schema).await.unwrap();
    run("CREATE TABLE seaql_migrations (version VARCHAR NOT NULL PRIMARY KEY, applied_at BIGINT NOT NULL)")
        .await
        .unwrap();
    run("INSERT INTO seaql_migrations (version, applied_at) VALUES ('m0001_counting', 1), ('m0002_reset_rules', 1),
        ('m0003_floor_plan_news', 1), ('m0004_tokens', 1), ('m0005_retention', 1)")
        .await
        .unwrap();
    let refused = database.migrate().await.unwrap_err().to_string();
    assert!(refused.contains("m0006_one_revision_a_change"), "{refused}");

    run("INSERT INTO seaql_migrations (version, applied_at) VALUES ('m0006_one_revision_a_change', 1)")
        .await
        .unwrap();
    run("INSERT INTO space (id, name, created, modified) VALUES (7, 'Hall', 0, 0)").await.unwrap();
    run("INSERT INTO dpu (id, serial, created, modified) VALUES (3, 'D', 0, 0)").await.unwrap();
    // Sums of pruned events become intervals.
    let ms = |text| crate::harness::at(text).ms();
    let (half, end, hour, day) = (
        ms("2026-01-10T10:29:59.999Z"),
        ms("2026-01-10T10:59:59.999Z"),
        ms("2026-01-10T10:00:00Z"),
        ms("2026-01-10"),
    );
    run(&format!(
        "INSERT INTO assignment (dpu_id, space_id, placement, created, modified) VALUES (3, 7, 1, 0, 0);
        INSERT INTO digest (dpu_id, ts, toward, away) VALUES (3, {half}, 2, 0), (3, {end}, 3, 1);
        INSERT INTO tally (dpu_id, resolution, bucket, toward, away) VALUES (3, 1, {hour}, 5, 1), (3, 24, {day}, 5, 1);
        UPDATE floor_plan SET horizon = {horizon}, digested = {horizon}",
        horizon = ms("2026-02-01"),
    ))
    .await
    .unwrap();
    for _ in 0..2 {
        database.migrate().await.unwrap();
        assert_eq!(described(&database).await, described(&new).await);
    }
    // A database that has all those steps already is only renamed.
    let transaction = database.begin().await.unwrap();
    // To the first one.
    let later = u32::try_from(Migrator::migrations().len() - 1).unwrap();
    Migrator::down(&transaction, Some(later)).await.unwrap();
    transaction.commit().await.unwrap();
    run("DELETE FROM seaql_migrations").await.unwrap();
    for step in [
        "m0001_counting",
        "m0002_reset_rules",
        "m0003_floor_plan_news",
        "m0004_tokens",
        "m0005_retention",
        "m0006_one_revision_a_change",
        "m0007_change_log",
        "m0008_dpu_time_zone",
        "m0009_channel_a_schema",
    ] {
        run(&format!("INSERT INTO seaql_migrations (version, applied_at) VALUES ('{step}', 1)"))
            .await
            .unwrap();
    }
    drop(new);
    fresh.remove().await;
    drop(database);
    let service = Service::start(empty, Limits::default()).await;
    assert_eq!(
        service
            .data(
                "{ spaces { nodes { id name } } dpus { nodes { serial timeZone } } }",
                serde_json::json!({})
            )
            .await,
        serde_json::json!({
            "spaces": { "nodes": [{ "id": "7", "name": "Hall" }] },
            "dpus": { "nodes": [{ "serial": "D", "timeZone": null }] },
        })
    );
    let query = "query($ts: DateTime!) { space(id: 7) { count(ts: $ts) countRange(ts: $ts) { low high } } }";
    for (ts, count, low, high) in [
        ("2026-01-10T10:15:00Z", 0, 0, 2),
        ("2026-01-10T10:29:59.999Z", 2, 2, 2),
        ("2026-01-10T10:40:00Z", 2, 1, 5),
        ("2026-01-10T10:59:59.999Z", 4, 4, 4),
    ] {
        let space = json!({ "count": count, "countRange": { "low": low, "high": high } });
        assert_eq!(service.data(query, json!({ "ts": ts })).await, json!({ "space": space }), "{ts}");
    }
    service.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_of_earlier_versions_are_taken_over_on_sqlite() {
    takes_over(Empty::on_sqlite(), Empty::on_sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_of_earlier_versions_are_taken_over_on_postgres() {
    if let Some(empty) = Empty::on_postgres().await {
        takes_over(empty, Empty::on_postgres().await.unwrap()).await;
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

async fn the_database_enforces_the_rules(service: &Service) {
    let database = &service.app.database;
    let (space, dpu) = (service.space("Hall").await, service.dpu("1").await);
    let assignment = |placement: i32, starts_at: &str, ends_at: &str| {
        format!(
            "INSERT INTO assignment (dpu_id, space_id, placement, starts_at, ends_at, created, modified)
        VALUES ({dpu}, {space}, {placement}, {starts_at}, {ends_at}, 0, 0)"
        )
    };
    let insert = async |sql: String| {
        let transaction = database.begin().await.unwrap();
        transaction.execute_unprepared(&sql).await.unwrap();
        transaction.commit().await.unwrap();
    };
    insert(assignment(1, "100", "200")).await;
    insert(assignment(-1, "200", "NULL")).await;
    insert(format!(
        "INSERT INTO reset (space_id, ts, count, created, modified) VALUES ({space}, 5, 0, 0, 0)"
    ))
    .await;

    for (sql, rule) in [
        (assignment(2, "0", "1"), "placement"),
        (assignment(1, "50", "50"), "assignment_ends_after_start"),
        (assignment(1, "150", "160"), "assignment_overlap"),
        (assignment(1, "NULL", "101"), "assignment_overlap"),
        (assignment(-1, "NULL", "NULL"), "assignment_overlap"),
        (assignment(1, "300", "NULL"), "assignment_overlap"),
        ("UPDATE assignment SET ends_at = 201 WHERE ends_at = 200".to_owned(), "assignment_overlap"),
        (
            format!(
                "INSERT INTO reset (space_id, ts, count, created, modified) VALUES ({space}, 5, 1, 0, 0)"
            ),
            "reset",
        ),
        (
            format!(
                "INSERT INTO reset (space_id, ts, count, created, modified) VALUES ({space}, 6, -1, 0, 0)"
            ),
            "count",
        ),
        ("INSERT INTO space (name, created, modified) VALUES ('Hall', 0, 0)".to_owned(), "name"),
        ("INSERT INTO space (name, created, modified) VALUES ('', 0, 0)".to_owned(), "name"),
        (
            "INSERT INTO space (name, capacity, created, modified) VALUES ('Loft', 0, 0, 0)".to_owned(),
            "capacity",
        ),
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

on_both!(the_database_enforces_the_rules);
