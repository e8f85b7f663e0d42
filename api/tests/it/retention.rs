//! Pruning: counts after the horizon do not change, and those before it are exact at the ends of hours.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use api::database::Database;
use api::http::server::Stopped;
use api::limits::Limits;
use api::retention::{Pruned, prune};
use api::verify::verify;
use entity::assignment::Placement;
use entity::{Instant, interval};
use proptest::test_runner::TestRunner;
use sea_orm::{ConnectionTrait, DatabaseBackend, DatabaseTransaction, EntityTrait, Statement};
use serde_json::{Value, json};

use crate::harness::{Empty, Service, at, on_both, until};
use crate::worlds;

const HOUR_MS: i64 = 3_600_000;

/// Another process, whose changes this one notices.
async fn pruned_elsewhere(service: &Service, until: &str) -> Pruned {
    let database = Database::connect(&service.url).await.unwrap();
    prune(&database, at(until)).await.unwrap().unwrap()
}

/// Prunes, and waits until the service has noticed.
pub(crate) async fn pruned(service: &Service, until: &str) -> Pruned {
    let done = pruned_elsewhere(service, until).await;
    service.app.state.refresh().await.unwrap();
    done
}

async fn assert_right(service: &Service) {
    let mut findings = Vec::new();
    let verdict = verify(&service.app.database, false, |finding| {
        findings.push(finding.to_string());
        Ok(())
    });
    assert!(verdict.await.unwrap().is_right(), "{findings:?}");
}

fn event(ts: &str) -> Value {
    json!({ "dpu": "283", "ts": ts, "direction": "TOWARD" })
}

async fn hall(service: &Service) -> i64 {
    let (space, dpu) = (service.space("Hall").await, service.dpu("283").await);
    service.assign(dpu, space, Placement::Inside, None, None).await;
    space
}

async fn user_error(service: &Service, mutation: &str) -> Value {
    let query = format!("mutation {{ done: {mutation} {{ userErrors {{ code field message }} }} }}");
    let errors = service.data(&query, json!({})).await;
    errors["done"]["userErrors"].get(0).cloned().unwrap_or_default()
}

async fn counts_are_exact_after_the_horizon_and_at_hours_before_it(service: &Service) {
    let mut runner = TestRunner::deterministic();
    let world = worlds::world(&mut runner);
    let spaces = worlds::build(service, &world).await;
    service.ingest(world.events.iter().map(worlds::input).collect()).await;
    // Also with the unpruned pages in memory.
    worlds::assert_counts(service, &world, &spaces).await;
    let distinct: BTreeSet<_> = world.events.iter().map(|e| (e.dpu, e.ts, e.direction, e.seq)).collect();
    let mut gone = 0;
    // Within a month, and at its end, where PostgreSQL drops a partition.
    for until in ["2026-01-31T15:00:00Z", "2026-02-01T00:00:00Z"] {
        let horizon = at(until).floor_to(24 * HOUR_MS);
        let done = pruned(service, until).await;
        let before = distinct.iter().filter(|event| event.1 < horizon.ms()).count() as u64;
        assert_eq!(done, Pruned { horizon, events: before - gone });
        assert!(before > gone, "nothing was there to be pruned");
        gone = before;
        assert_eq!(service.stored_events().await.len() as u64, distinct.len() as u64 - gone);
        let hours = (0..60).map(|hour| at("2026-01-30T20:00:00Z").ms() + hour * HOUR_MS - 1);
        let exact = worlds::instants(&world).into_iter().filter(|ts| *ts >= horizon.ms()).chain(hours);
        for ts in exact {
            for (number, id) in (0_i64..).zip(&spaces) {
                let text = Instant::from_ms(ts).to_string();
                assert_eq!(
                    service.count(*id, &text).await,
                    world.count(number, ts),
                    "space {number} at {text}"
                );
            }
        }
        assert_right(service).await;
    }
    // A second time there is nothing to do, and the horizon does not move back.
    let done = pruned(service, "2026-01-01").await;
    assert_eq!(done, Pruned { horizon: at("2026-02-01"), events: 0 });
}

async fn events_before_the_horizon_are_rejected_even_by_a_process_that_was_not_notified(service: &Service) {
    let space = hall(service).await;
    service.ingest(json!([event("2026-02-01T10:20:00Z"), event("2026-02-03T10:20:00Z")])).await;
    pruned_elsewhere(service, "2026-02-02").await;
    // An event that is in a digest, a new one, and one after the horizon.
    let payload = service
        .ingest(json!([
            event("2026-02-01T10:20:00Z"),
            event("2026-02-01T23:59:59.999Z"),
            event("2026-02-02T00:00:00Z"),
        ]))
        .await;
    assert_eq!((&payload["accepted"], &payload["duplicates"]), (&json!(1), &json!(0)), "{payload}");
    for (place, ts) in ["2026-02-01T10:20:00Z", "2026-02-01T23:59:59.999Z"].into_iter().enumerate() {
        let rejected = &payload["rejected"][place];
        assert_eq!((&rejected["index"], &rejected["code"]), (&json!(place), &json!("TIMESTAMP_PRUNED")));
        let message = rejected["message"].as_str().unwrap();
        assert!(message.contains(ts) && message.contains("2026-02-02T00:00:00Z"), "{message}");
    }
    assert_eq!(service.count(space, "2026-02-02T00:00:00Z").await, 2);
    assert_right(service).await;
}

async fn answers_state_their_time_resolution(service: &Service) {
    let space = hall(service).await;
    service.ingest(json!([event("2026-02-01T10:20:00Z"), event("2026-02-03T10:20:00Z")])).await;
    let query = r#"query ($id: ID!) { space(id: $id) {
        before: resolution(ts: "2026-02-01T23:59:59.999Z") after: resolution(ts: "2026-02-02") now: resolution
        countBreakdown(ts: "2026-02-01T10:30:00Z") { resolution count }
        history(start: "2026-02-01", end: "2026-02-04", interval: DAY) { resolution count entrances max }
    } }"#;
    let all = |before: &str, count: i64| {
        json!({ "space": {
        "before": before, "after": "MILLISECOND", "now": "MILLISECOND",
        "countBreakdown": { "resolution": before, "count": count },
        "history": [
            { "resolution": before, "count": 1, "entrances": 1, "max": 1 },
            { "resolution": "MILLISECOND", "count": 1, "entrances": 0, "max": 1 },
            { "resolution": "MILLISECOND", "count": 2, "entrances": 1, "max": 2 },
        ],
    } })
    };
    assert_eq!(service.data(query, json!({ "id": space.to_string() })).await, all("MILLISECOND", 1));
    pruned(service, "2026-02-02").await;
    // Crossings within the hour count at its end, in every interface.
    assert_eq!(service.data(query, json!({ "id": space.to_string() })).await, all("HOUR", 0));
    for (ts, count) in [("10:59:59.998Z", 0), ("10:59:59.999Z", 1)] {
        assert_eq!(service.count(space, &format!("2026-02-01T{ts}")).await, count);
    }
}

async fn changes_that_need_pruned_events_are_refused(service: &Service) {
    let space = hall(service).await;
    service.ingest(json!([event("2026-02-01T10:20:00Z"), event("2026-02-01T10:40:00Z")])).await;
    // A room with a reset and an occurrence of a rule in an hour with crossings, and another DPU that is assigned
    // during a part of that hour.
    let (room, other) = (service.space("Room").await, service.dpu("284").await);
    service.reset(room, at("2026-02-01T10:30:00Z"), 7).await;
    service.reset(space, at("2026-02-03T10:30:00Z"), 7).await;
    let (starts_at, ends_at) = (Some(at("2026-02-01T10:30:00Z")), Some(at("2026-02-01T10:45:00Z")));
    service.assign(other, room, Placement::Inside, starts_at, ends_at).await;
    let rule = format!(
        r#"resetRuleCreate(input: {{space: {space}, timeOfDay: "11:30", count: 0, firstDay: "2026-01-01", lastDay: "2026-01-05"}})"#
    );
    assert_eq!(user_error(service, &rule).await, Value::Null);
    let rule = format!(
        r#"resetRuleCreate(input: {{space: {space}, timeOfDay: "10:30", count: 0, firstDay: "2026-01-01", lastDay: "2026-01-31"}})"#
    );
    assert_eq!(user_error(service, &rule).await, Value::Null);
    pruned(service, "2026-02-02").await;
    let refused = [
        (
            format!(
                r#"dpuMove(input: {{dpu: 1, at: "2026-02-01T10:30:00Z", to: [{{space: {space}, placement: OUTSIDE}}]}})"#
            ),
            "at",
        ),
        (r#"assignmentEnd(id: 1, at: "2026-02-01T10:30:00Z")"#.to_owned(), "at"),
        (
            format!(
                r#"assignmentCreate(input: {{dpu: 1, space: {room}, placement: INSIDE, startsAt: "2026-02-01T10:30:00Z"}})"#
            ),
            "startsAt",
        ),
        (format!(r#"resetCreate(input: {{space: {space}, ts: "2026-02-01T10:00:00Z", count: 3}})"#), "ts"),
        (r#"resetUpdate(id: 2, input: {ts: "2026-02-01T10:00:00Z"})"#.to_owned(), "ts"),
        (
            format!(
                r#"resetRuleCreate(input: {{space: {space}, timeOfDay: "10:00", count: 0, firstDay: "2026-02-01"}})"#
            ),
            "firstDay",
        ),
        // Counts of the room continue from its DPUs' readings at 10:30.
        (format!(r"assignmentCreate(input: {{dpu: 1, space: {room}, placement: INSIDE}})"), "startsAt"),
        (
            format!(
                r#"assignmentCreate(input: {{dpu: 1, space: {room}, placement: INSIDE, startsAt: "2026-02-01T10:00:00Z"}})"#
            ),
            "startsAt",
        ),
        (format!(r"assignmentUpdate(id: 1, input: {{space: {room}}})"), "space"),
        (
            format!(
                r#"dpuMove(input: {{dpu: 1, at: "2026-02-01T10:00:00Z", to: [{{space: {room}, placement: INSIDE}}]}})"#
            ),
            "at",
        ),
        (r"assignmentUpdate(id: 2, input: {dpu: 1})".to_owned(), "dpu"),
        (r#"resetRuleUpdate(id: 2, input: {lastDay: "2026-02-01"})"#.to_owned(), "lastDay"),
        (r"resetRuleUpdate(id: 2, input: {lastDay: null})".to_owned(), "lastDay"),
    ];
    for (mutation, field) in refused {
        let error = user_error(service, &mutation).await;
        assert_eq!(
            (&error["code"], error["field"].as_array().and_then(|path| path.last())),
            (&json!("OUT_OF_RANGE"), Some(&json!(field))),
            "{mutation}: {error}"
        );
        assert!(error["message"].as_str().unwrap().ends_with("from 2026-02-02T00:00:00Z on"), "{error}");
    }
    let accepted = [
        // Existing values are given again.
        r#"assignmentUpdate(id: 2, input: {startsAt: "2026-02-01T10:30:00Z", endsAt: "2026-02-01T10:45:00Z", dpu: 2})"#,
        r#"resetUpdate(id: 1, input: {ts: "2026-02-01T10:30:00Z", count: 8})"#,
        // There are no crossings in these hours, or under this DPU.
        r#"assignmentUpdate(id: 2, input: {startsAt: "2026-02-01T10:35:00Z"})"#,
        r#"resetRuleUpdate(id: 1, input: {lastDay: "2026-02-01"})"#,
        // The reading at the end of an hour is known.
        r#"assignmentEnd(id: 1, at: "2026-02-01T11:00:00Z")"#,
        "resetRuleDelete(id: 1)",
    ];
    for mutation in accepted {
        assert_eq!(user_error(service, mutation).await, Value::Null, "{mutation}");
    }
    assert_eq!(service.count(space, "2026-02-02").await, 2);
}

async fn changes_of_time_zones_that_need_pruned_events_are_refused(service: &Service) {
    // Apia skipped 30 December 2011: the rule's first day is the day after it, from 10:00 UTC on the 30th.
    let space = hall(service).await;
    service.ingest(json!([event("2011-12-30T10:40:00Z"), event("2012-02-01T00:00:00Z")])).await;
    assert_eq!(
        user_error(service, &format!(r#"spaceUpdate(id: {space}, input: {{timeZone: "Pacific/Apia"}})"#))
            .await,
        Value::Null
    );
    pruned(service, "2012-01-15").await;
    let create = format!(
        r#"resetRuleCreate(input: {{space: {space}, timeOfDay: "00:30", count: 0, firstDay: "2011-12-30", lastDay: "2012-01-03"}})"#
    );
    assert_eq!(user_error(service, &create).await["field"], json!(["input", "firstDay"]));
    // There are no crossings in that hour of UTC, so the rule can be created, and then the zone cannot be changed.
    assert_eq!(
        user_error(service, &format!(r#"spaceUpdate(id: {space}, input: {{timeZone: "UTC"}})"#)).await,
        Value::Null
    );
    assert_eq!(user_error(service, &create).await, Value::Null);
    let back = format!(r#"spaceUpdate(id: {space}, input: {{timeZone: "Pacific/Apia"}})"#);
    assert_eq!(user_error(service, &back).await["field"], json!(["input", "timeZone"]));
    assert_eq!(service.count(space, "2012-02-01").await, 1);
}

async fn a_history_counts_nothing_twice_while_its_days_are_pruned(service: &Service) {
    let space = hall(service).await;
    let days: Vec<_> = (0..50).map(|day| at("2026-01-01").plus_ms(day * 24 * HOUR_MS)).collect();
    let crossings = days.iter().flat_map(|day| {
        [20, 40].map(|minute| event(&day.plus_ms(10 * HOUR_MS + minute * 60_000).to_string()))
    });
    service.ingest(crossings.collect()).await;
    let is_done = AtomicBool::new(false);
    let pruning = async {
        let done = pruned_elsewhere(service, "2026-02-20").await;
        is_done.store(true, Ordering::SeqCst);
        done
    };
    // The history begins between the two crossings of an hour.
    let query = r"query ($id: ID!, $before: DateTime!, $start: DateTime!, $last: DateTime!, $end: DateTime!) { space(id: $id) {
        before: count(ts: $before) last: count(ts: $last)
        history(start: $start, end: $end, interval: HOUR) { entrances resolution } } }";
    let asking = async {
        let mut finely = 0;
        for day in days.iter().cycle() {
            let (start, end) = (day.plus_ms(10 * HOUR_MS + 30 * 60_000), day.plus_ms(12 * HOUR_MS));
            let asked = json!({ "id": space.to_string(), "before": start.just_before().to_string(), "start": start.to_string(),
                "last": end.just_before().to_string(), "end": end.to_string() });
            let space = service.data(query, asked).await["space"].take();
            let (before, last) = (space["before"].as_i64().unwrap(), space["last"].as_i64().unwrap());
            let buckets = space["history"].as_array().unwrap();
            let entered: i64 = buckets.iter().map(|bucket| bucket["entrances"].as_i64().unwrap()).sum();
            assert_eq!(before + entered, last, "{day}: {space}");
            // Counts that are known only per hour say so.
            assert!(entered == 1 || buckets[0]["resolution"] == "HOUR", "{day}: {space}");
            finely += usize::from(entered == 1);
            if is_done.load(Ordering::SeqCst) {
                break;
            }
        }
        finely
    };
    let (done, finely) = tokio::join!(pruning, asking);
    assert_eq!(done.events, 100);
    assert!(finely > 0, "every day was pruned before it was read");
}

async fn pruning_is_possible_during_ingestion(service: &Service) {
    let space = hall(service).await;
    let old: Vec<_> =
        (0..400).map(|hour| event(&at("2026-01-10").plus_ms(hour * HOUR_MS + 1).to_string())).collect();
    service.ingest(json!(old)).await;
    let coming = async {
        for minute in 0..40 {
            let ts = at("2026-02-20").plus_ms(minute * 60_000).to_string();
            assert_eq!(service.ingest(json!([event(&ts)])).await["accepted"], 1);
            // Counts after the horizon do not depend on the progress of pruning.
            assert_eq!(service.count(space, &ts).await, 401 + minute);
        }
    };
    let (done, ()) = tokio::join!(pruned_elsewhere(service, "2026-02-01"), coming);
    assert_eq!(done.events, 400);
    service.app.state.refresh().await.unwrap();
    assert_eq!(service.count(space, "2026-02-28").await, 440);
    assert_eq!(interval::Entity::find().all(service.app.database.reader()).await.unwrap().len(), 400);
    assert_right(service).await;
}

on_both!(
    counts_are_exact_after_the_horizon_and_at_hours_before_it,
    events_before_the_horizon_are_rejected_even_by_a_process_that_was_not_notified,
    answers_state_their_time_resolution,
    changes_that_need_pruned_events_are_refused,
    changes_of_time_zones_that_need_pruned_events_are_refused,
    a_history_counts_nothing_twice_while_its_days_are_pruned,
    pruning_is_possible_during_ingestion
);

/// Returns the partitions of the events, by name.
async fn partitions(service: &Service) -> Vec<String> {
    let database = &service.app.database;
    let sql =
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'event'::regclass ORDER BY 1";
    let rows =
        database.reader().query_all_raw(Statement::from_string(database.backend(), sql)).await.unwrap();
    rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_creates_partitions_for_this_month_and_the_next() {
    let Some(service) = Service::on_postgres().await else { return };
    service.set_now("2026-12-31T23:59:59Z");
    hall(&service).await;
    let before = partitions(&service).await;
    assert!(!before.iter().any(|name| name == "event_2026_12" || name == "event_2027_01"), "{before:?}");
    let house = service.app.schedule(None);
    let expected: Vec<String> =
        before.into_iter().chain(["event_2026_12".to_owned(), "event_2027_01".to_owned()]).collect();
    until("the partitions are created", async || partitions(&service).await == expected).await;
    drop(house);
    // The first event of a month then has a partition.
    service.ingest(json!([event("2026-12-31T23:59:59Z")])).await;
    service.set_now("2027-01-01T00:00:01Z");
    service.ingest(json!([event("2027-01-01T00:00:00Z")])).await;
    assert_eq!(partitions(&service).await, expected);
    service.finish().await;
}

/// Blocks every prune of this database until it is dropped.
async fn lock(database: &Database) -> DatabaseTransaction {
    let lock = database.begin().await.unwrap();
    if database.backend() == DatabaseBackend::Postgres {
        lock.execute_unprepared("LOCK TABLE event IN ROW EXCLUSIVE MODE").await.unwrap();
    }
    lock
}

async fn stops_during_a_prune(empty: Empty) {
    let service = Service::start(empty, Limits { stop_timeout_s: 1, ..Limits::default() }).await;
    hall(&service).await;
    service.ingest(json!([event("2026-02-01T10:20:00Z")])).await;
    let other = Database::connect(&service.url).await.unwrap();
    let lock = lock(&other).await;
    let reads = service.clock_reads();
    let schedule = service.app.schedule(Some("1d".parse().unwrap()));
    until("the prune has begun", async || service.clock_reads() > reads).await;
    let (_, stop, serving, empty) = service.serve().await;
    stop.send(()).unwrap();
    assert_eq!(serving.await.unwrap(), Stopped::Finished);
    drop((schedule, lock, other));
    empty.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_stops_during_a_prune_on_sqlite() {
    stops_during_a_prune(Empty::on_sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_stops_during_a_prune_on_postgres() {
    let Some(empty) = Empty::on_postgres().await else { return };
    stops_during_a_prune(empty).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_is_0_after_a_stop_during_a_prune() {
    let Some(service) = Service::on_postgres().await else { return };
    let lock = lock(&service.app.database).await;
    let mut server = Command::new(env!("CARGO_BIN_EXE_headcount"))
        .args(["serve", "--prune-older-than", "1d", "--stop-timeout", "1", "--listen", "127.0.0.1:0"])
        .args(["--database-url", &service.url])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let sql = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'event'::regclass)";
    let database = &service.app.database;
    until("the prune waits for the lock", async || {
        let row = database.reader().query_one_raw(Statement::from_string(database.backend(), sql)).await;
        row.unwrap().unwrap().try_get_by_index(0).unwrap()
    })
    .await;
    assert!(Command::new("kill").args(["-TERM", &server.id().to_string()]).status().unwrap().success());
    let ended = tokio::task::spawn_blocking(move || server.wait().unwrap()).await.unwrap();
    assert_eq!(ended.code(), Some(0), "{ended}");
    lock.rollback().await.unwrap();
    service.finish().await;
}
