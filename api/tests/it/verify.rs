//! `headcount verify`: a damaged database is detected, repaired, and then found correct.

use std::process::Command;
use std::time::Duration;

use api::verify::{Verdict, verify};
use entity::assignment::Placement;
use proptest::test_runner::TestRunner;
use sea_orm::ConnectionTrait;
use serde_json::json;

use crate::harness::{Service, at, on_both};
use crate::worlds;

async fn run(service: &Service, sql: &str) {
    let transaction = service.app.database.begin().await.unwrap();
    transaction.execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{error} in {sql}"));
    transaction.commit().await.unwrap();
}

/// Returns the findings and the verdict.
async fn told(service: &Service, mend: bool) -> (Vec<String>, Verdict) {
    let mut lines = Vec::new();
    let verdict = verify(&service.app.database, mend, |finding| {
        lines.push(finding.to_string());
        Ok(())
    });
    let verdict = verdict.await.unwrap();
    (lines, verdict)
}

/// Creates two DPUs, one of them with crossings in two hours on two days.
async fn two_days(service: &Service) -> i64 {
    let dpu = service.dpu("283").await;
    service.dpu("423").await;
    let event = |ts, direction| json!({ "dpu": "283", "ts": ts, "direction": direction });
    let payload = service.ingest(json!([
        event("2026-01-01T10:00:00Z", "TOWARD"),
        event("2026-01-01T10:59:59.999Z", "TOWARD"),
        event("2026-01-02T23:00:00Z", "AWAY"),
    ]));
    assert_eq!(payload.await["accepted"], 3);
    dpu
}

const RIGHT: Verdict = Verdict { dpus: 2, tallies: 0, mended: 0, rules: 0 };

async fn a_correct_database_has_no_findings(service: &Service) {
    assert_eq!(told(service, false).await, (vec![], Verdict::default()));
    let mut runner = TestRunner::deterministic();
    let world = worlds::world(&mut runner);
    worlds::build(service, &world).await;
    service.ingest(world.events.iter().map(worlds::input).collect()).await;
    for mend in [false, true] {
        let (lines, verdict) = told(service, mend).await;
        assert_eq!((lines.len(), verdict.tallies, verdict.rules), (0, 0, 0), "{lines:?}");
        assert!(verdict.dpus > 0 && verdict.is_right());
    }
}

async fn wrong_tallies_are_found_and_repaired(service: &Service) {
    let dpu = two_days(service).await;
    let (hour, day, other) =
        (at("2026-01-01T10:00:00Z").ms(), at("2026-01-02").ms(), at("1969-12-31T23:00:00Z").ms());
    run(service, &format!(
        "UPDATE tally SET toward = 3, away = 1 WHERE resolution = 1 AND bucket = {hour};
        DELETE FROM tally WHERE resolution = 24 AND bucket = {day};
        INSERT INTO tally (dpu_id, resolution, bucket, toward, away) VALUES ({dpu}, 1, {other}, 1, 0), ({next}, 24, {day}, 0, 7)",
        next = dpu + 1,
    )).await;
    let seen = [
        "tally of DPU 283, hour 1969-12-31T23:00:00Z: found 1 toward and 0 away, expected none",
        "tally of DPU 283, hour 2026-01-01T10:00:00Z: found 3 toward and 1 away, expected 2 toward and 0 away",
        "tally of DPU 283, day 2026-01-02T00:00:00Z: found none, expected 0 toward and 1 away",
        "tally of DPU 423, day 2026-01-02T00:00:00Z: found 0 toward and 7 away, expected none",
    ];
    let broken = Verdict { tallies: 4, ..RIGHT };
    for _ in 0..2 {
        assert_eq!(
            told(service, false).await,
            (seen.map(String::from).to_vec(), broken),
            "looking mends nothing"
        );
    }
    assert!(!broken.is_right());
    let mended = Verdict { mended: 4, ..broken };
    assert_eq!(told(service, true).await, (seen.map(String::from).to_vec(), mended));
    assert!(mended.is_right());
    assert_eq!(told(service, false).await, (vec![], RIGHT));
}

async fn repairing_blocks_writers(service: &Service) {
    two_days(service).await;
    run(service, "DELETE FROM tally").await;
    // Another process repairs.
    let other = api::database::Database::connect(&service.url).await.unwrap();
    let mut sent =
        Box::pin(service.ingest(json!([{ "dpu": "423", "ts": "2026-01-05", "direction": "AWAY" }])));
    let verdict = verify(&other, true, |_| {
        let early = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current()
                .block_on(tokio::time::timeout(Duration::from_millis(200), &mut sent))
        });
        assert!(early.is_err(), "recorded while tallies were being repaired: {early:?}");
        Ok(())
    });
    assert_eq!(verdict.await.unwrap().mended, 4);
    assert_eq!(sent.await["accepted"], 1, "the recorder waited for the repair");
    assert_eq!(told(service, false).await, (vec![], RIGHT));
}

async fn broken_rules_are_found_and_left(service: &Service) {
    let dpu = two_days(service).await;
    let space = service.space("Hall").await;
    service.assign(dpu, space, Placement::Inside, None, None).await;
    service.reset(space, at("2026-01-01"), 1).await;
    // First the schema's own guards are removed.
    let unguarded = if service.is_sqlite() {
        ["assignment", "reset", "event"].map(|table| format!(
            "CREATE TABLE bare AS SELECT * FROM {table}; DROP TABLE {table}; ALTER TABLE bare RENAME TO {table};"
        )).concat()
    } else {
        "ALTER TABLE assignment DROP CONSTRAINT assignment_overlap, DROP CONSTRAINT assignment_ends_after_start,
            DROP CONSTRAINT assignment_placement_check, DROP CONSTRAINT assignment_space_id_fkey;
        ALTER TABLE reset DROP CONSTRAINT reset_one_per_instant, DROP CONSTRAINT reset_count_check;
        ALTER TABLE event DROP CONSTRAINT event_direction_check, DROP CONSTRAINT event_dpu_id_fkey;
        CREATE TABLE event_before PARTITION OF event FOR VALUES FROM (MINVALUE) TO (10);".to_owned()
    };
    run(service, &unguarded).await;
    run(service, &format!(
        "INSERT INTO assignment (id, dpu_id, space_id, placement, starts_at, ends_at, created, modified) VALUES
            (10, {dpu}, {space}, 0, 1000, 2000, 0, 0), (11, {dpu}, 99, 1, 2000, 2000, 0, 0);
        INSERT INTO reset (id, space_id, ts, count, created, modified) SELECT 10, space_id, ts, -1, 0, 0 FROM reset;
        INSERT INTO event (dpu_id, ts, direction, seq, created) VALUES ({dpu}, -1, 0, 0, 0), (77, 5, 1, 0, 0)"
    )).await;
    let seen = [
        "broken rule: no two assignments of one DPU and one space overlap: assignments 1 and 10, at 1970-01-01T00:00:01Z".to_owned(),
        "broken rule: an assignment ends after its start: assignment 11, at 1970-01-01T00:00:02Z".to_owned(),
        "broken rule: a placement is 1 or -1: assignment 10".to_owned(),
        "broken rule: an assignment's DPU and space exist: assignment 11".to_owned(),
        format!("broken rule: a space has one reset at an instant: space {space}, at 2026-01-01T00:00:00Z"),
        "broken rule: a reset's count is 0 or more: reset 10, at 2026-01-01T00:00:00Z".to_owned(),
        format!("broken rule: an event's direction is 1 or -1 and its seq is 0 or more: DPU id {dpu}, direction 0, seq 0, at 1969-12-31T23:59:59.999Z"),
        format!("broken rule: no event is before 1970: DPU id {dpu}, at 1969-12-31T23:59:59.999Z"),
        "broken rule: an event's DPU exists: DPU id 77, at 1970-01-01T00:00:00.005Z".to_owned(),
    ];
    for mend in [false, true, false] {
        let (lines, verdict) = told(service, mend).await;
        assert_eq!(lines[..seen.len()], seen);
        assert_eq!(verdict.rules, seen.len() as u64);
        assert!(!verdict.is_right());
        let of_nobody = lines.iter().filter(|line| line.contains("DPU (id 77, not found)")).count();
        assert_eq!(of_nobody, 2, "no tally is created for an unknown DPU: {lines:?}");
    }
    run(service, "DELETE FROM event WHERE ts < 10; DELETE FROM tally WHERE bucket < 10").await;
}

async fn the_command_prints_findings_and_sets_its_exit_code(service: &Service) {
    two_days(service).await;
    let headcount = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_headcount"))
            .arg("verify")
            .args(arguments)
            .env("DATABASE_URL", &service.url)
            .output()
            .unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let right = (
        0,
        "2 DPUs verified: 0 tallies differed from their events, 0 of them repaired; rules broken: 0\n"
            .to_owned(),
    );
    assert_eq!(headcount(&[]), right);
    run(service, "DELETE FROM tally WHERE resolution = 24 AND away = 1").await;
    let line = "tally of DPU 283, day 2026-01-02T00:00:00Z: found none, expected 0 toward and 1 away\n";
    let verdict = |mended| {
        format!(
            "{line}2 DPUs verified: 1 tallies differed from their events, {mended} of them repaired; rules broken: 0\n"
        )
    };
    assert_eq!(headcount(&[]), (1, verdict(0)));
    assert_eq!(headcount(&["--repair"]), (0, verdict(1)));
    assert_eq!(headcount(&[]), right);
}

on_both!(
    a_correct_database_has_no_findings,
    wrong_tallies_are_found_and_repaired,
    repairing_blocks_writers,
    broken_rules_are_found_and_left,
    the_command_prints_findings_and_sets_its_exit_code
);
