//! Every answer is correct for one state while events are being recorded, by this process and by another one, with
//! caches that hold everything, little or nothing.
//!
//! Each test has one writer and several readers, which run until the writer has made its commits. `STATES_COMMITS`
//! sets a larger number of commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use api::app::App;
use api::database::Database;
use api::http::server::{self, Site};
use api::ingest::{Crossing, Outcome, Report};
use api::limits::Limits;
use api::timelines::CACHE_BYTES;
use axum::body::Body;
use axum::http::{HeaderValue, Request};
use entity::Instant;
use entity::assignment::Placement;
use entity::event::Direction;
use futures::FutureExt;
use futures::future::{join, join_all};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::harness::{NOW, Service, at, on_both, until};

/// Sizes of caches: nothing, little and plenty.
pub(crate) const CACHES: [u64; 3] = [0, 3_000, CACHE_BYTES];

/// One of several processes on a database, as far as any of them can tell.
pub(crate) struct Process {
    pub(crate) app: Arc<App>,
    site: Site,
}

impl Process {
    pub(crate) async fn start(service: &Service, cache_bytes: u64) -> Self {
        let database = Database::connect(&service.url).await.unwrap();
        let (app, _) = App::start(database, service.app.clock.clone(), cache_bytes);
        app.coherence.begins().await;
        let site = server::site(&app, &Limits::default());
        Self { app, site }
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn ask(&self, query: &str) -> Value {
        let request = Request::post("/graphql").header("content-type", "application/json");
        let answer = self.send(request.body(json!({ "query": query }).to_string().into()).unwrap()).await;
        assert!(answer.get("errors").is_none(), "{answer}");
        answer["data"].clone()
    }

    async fn send(&self, mut request: Request<Body>) -> Value {
        request.headers_mut().insert("host", HeaderValue::from_static("localhost"));
        let response = self.site.clone().oneshot(request).await.unwrap();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    async fn record(&self, crossings: impl IntoIterator<Item = Report>) {
        let outcomes = self.app.recorder.record(crossings.into_iter().map(Ok).collect()).await.unwrap();
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Accepted), "{outcomes:?}");
    }
}

fn crossing(serial: &str, ts: Instant, direction: Direction) -> Report {
    Report::Crossing(Crossing { serial: serial.to_owned(), ts: ts.into(), direction, seq: 0 })
}

/// Returns the number of commits that a writer makes.
fn commits() -> i64 {
    std::env::var("STATES_COMMITS").map_or(40, |number| number.parse().unwrap())
}

/// Runs the readers until the writer has made its commits.
async fn while_writing(write: impl AsyncFn(i64), read: impl AsyncFn()) {
    let is_done = AtomicBool::new(false);
    let writing = async {
        for number in 0..commits() {
            write(number).await;
        }
        is_done.store(true, Ordering::SeqCst);
    };
    let reading = async {
        while !is_done.load(Ordering::SeqCst) {
            read().await;
            tokio::task::yield_now().await;
        }
    };
    join(writing, reading).await;
}

/// Runs the test with a reader of each cache size, and a writer in the same process or in another one.
async fn with_each(service: &Service, body: impl AsyncFn(&Process, &Process, i64)) {
    let mut round = 0;
    for cache_bytes in CACHES {
        let reader = Process::start(service, cache_bytes).await;
        let other = Process::start(service, CACHE_BYTES).await;
        for writer in [&reader, &other] {
            body(&reader, writer, round).await;
            round += 1;
        }
    }
}

async fn hall(service: &Service, serial: &str) -> i64 {
    let (space, dpu) = (service.space("Hall").await, service.dpu(serial).await);
    service.assign(dpu, space, Placement::Inside, None, None).await;
    space
}

/// Returns a unique instant of an event, anywhere in the two years before the reset.
fn late(round: i64, number: i64) -> Instant {
    let start = at("2024-01-01").ms();
    Instant::from_ms(start + (round * 1_000_003 + number * 7_919_777) % (2 * 365 * 86_400_000))
}

const TODAY: &str = "2026-03-01T00:00:00Z";

// One doorway, a reset, and seven people since: events before the reset change no count after it.
async fn late_events_before_a_reset_change_no_count_after_it(service: &Service) {
    let space = hall(service, "1").await;
    let create = "mutation ($id: ID!) { resetCreate(input: { space: $id, ts: \"2026-02-27\", count: 0 }) { userErrors { code } } }";
    service.data(create, json!({ "id": space })).await;
    // On three days, so that the odometer is read from several pages.
    service
        .app
        .recorder
        .record(
            (1..=7)
                .map(|number| {
                    Ok(crossing("1", at("2026-02-27").plus_ms(number * 8 * 3_600_000), Direction::Toward))
                })
                .collect(),
        )
        .await
        .unwrap();
    let query = format!(
        "{{ space(id: {space}) {{ count countBreakdown {{ netCount assignments {{ net }} }}
        history(start: \"2026-02-27\", end: \"{NOW}\", interval: HOUR) {{ count min }} }} }}"
    );
    with_each(service, async |reader, writer, round| {
        while_writing(
            async |commit| {
                let events = (0..100).map(|event| {
                    let ts = late(round, commit * 100 + event);
                    crossing("1", ts, if event % 3 == 0 { Direction::Toward } else { Direction::Away })
                });
                writer.record(events).await;
            },
            async || {
                let (rest, graphql) =
                    join(reader.get(&format!("/space/{space}/count")), reader.ask(&query)).await;
                assert_eq!(rest["count"], 7, "REST");
                let space = &graphql["space"];
                assert_eq!((&space["count"], &space["countBreakdown"]["netCount"]), (&json!(7), &json!(7)));
                assert_eq!(space["countBreakdown"]["assignments"][0]["net"], 7);
                let history = space["history"].as_array().unwrap();
                assert_eq!(history.last().unwrap()["count"], 7);
                assert!(history.iter().all(|bucket| bucket["min"].as_i64().unwrap() >= 0), "{history:?}");
            },
        )
        .await;
    })
    .await;
}

// Two rooms joined by one doorway always have the same total, within one request.
async fn a_person_between_two_rooms_is_counted_exactly_once(service: &Service) {
    let (one, two) = (service.space("One").await, service.space("Two").await);
    let (front, inner) = (service.dpu("front").await, service.dpu("inner").await);
    service.assign(front, one, Placement::Inside, None, None).await;
    service.assign(inner, one, Placement::Outside, None, None).await;
    service.assign(inner, two, Placement::Inside, None, None).await;
    let today = at(TODAY);
    let enter = (0..100).map(|number| Ok(crossing("front", today.plus_ms(number), Direction::Toward)));
    service.app.recorder.record(enter.collect()).await.unwrap();
    let query = "{ a: space(id: 1) { count netCount } b: space(id: 2) { count }
        spaces { nodes { history(start: \"2026-03-01\", end: \"2026-03-02\", interval: DAY) { count } } } }";
    with_each(service, async |reader, writer, round| {
        while_writing(
            async |commit| {
                let at = |event: i64| today.plus_ms(1_000_000 + round * 5_000_000 + commit * 100 + event);
                writer.record((0..20).map(|event| crossing("inner", at(event), Direction::Toward))).await;
                writer.record((20..40).map(|event| crossing("inner", at(event), Direction::Away))).await;
            },
            async || {
                let data = reader.ask(query).await;
                let people = |value: &Value| value.as_i64().unwrap();
                let (a, b) = (people(&data["a"]["count"]), people(&data["b"]["count"]));
                assert_eq!((a + b, people(&data["a"]["netCount"])), (100, a), "{data}");
                let last = |space: usize| people(&data["spaces"]["nodes"][space]["history"][0]["count"]);
                assert_eq!((last(0), last(1)), (a, b), "a history ends with the count: {data}");
            },
        )
        .await;
    })
    .await;
}

// A commit is seen whole or not at all, even if it affects several DPUs.
async fn a_commit_of_two_doorways_is_seen_whole_or_not_at_all(service: &Service) {
    let (one, two) = (service.space("One").await, service.space("Two").await);
    for (serial, space) in [("1", one), ("2", two)] {
        let dpu = service.dpu(serial).await;
        service.assign(dpu, space, Placement::Inside, None, None).await;
    }
    let query = "{ a: space(id: 1) { count } b: space(id: 2) { count lastEvent { ts } }
        dpus { nodes { serial events { totalCount nodes { ts } } lastEvent { ts } } } }";
    with_each(service, async |reader, writer, round| {
        while_writing(
            async |commit| {
                let ts = late(round, commit);
                writer.record(["1", "2"].map(|serial| crossing(serial, ts, Direction::Toward))).await;
            },
            async || {
                let data = reader.ask(query).await;
                assert_eq!(data["a"]["count"], data["b"]["count"], "{data}");
                let (one, two) = (&data["dpus"]["nodes"][0], &data["dpus"]["nodes"][1]);
                assert_eq!(one["events"], two["events"], "{data}");
                assert_eq!(one["events"]["totalCount"], data["a"]["count"], "{data}");
                assert_eq!(
                    (&one["lastEvent"], &two["lastEvent"]),
                    (&data["b"]["lastEvent"], &data["b"]["lastEvent"])
                );
            },
        )
        .await;
    })
    .await;
}

// If people only enter, no later answer of a process has a smaller count: for any client and interface.
async fn states_never_go_back(service: &Service) {
    let space = hall(service, "1").await;
    let events = "{ dpu(serial: \"1\") { events { totalCount } } }";
    with_each(service, async |reader, writer, round| {
        let mut watch = reader.app.feed.watch(Some(vec![space]));
        let (mut known, mut told) = (0, 0);
        let newest = std::sync::Mutex::new(&mut known);
        let told = std::sync::Mutex::new((&mut watch, &mut told));
        while_writing(
            async |commit| writer.record([crossing("1", late(round, commit), Direction::Toward)]).await,
            async || {
                let rest = reader.get(&format!("/space/{space}/count")).await["count"].as_i64().unwrap();
                let graphql = reader.ask(events).await["dpu"]["events"]["totalCount"].as_i64().unwrap();
                let counted = join_all((0..3).map(|_| reader.app.counts.count(space, at(NOW)))).await;
                let mut newest = newest.lock().unwrap();
                assert!(**newest <= rest && rest <= graphql, "{newest} {rest} {graphql}");
                for counted in counted {
                    let counted = counted.unwrap().unwrap();
                    assert!(graphql <= counted, "{graphql} {counted}");
                    **newest = counted.max(**newest);
                }
                let mut told = told.lock().unwrap();
                let (watch, last) = &mut *told;
                if let Some(Some(_)) = watch.next().now_or_never() {
                    assert!(**last <= **newest);
                    **last = **newest;
                }
            },
        )
        .await;
    })
    .await;
}

// A subscription's message is correct for one state: its count, and the fields nested in it.
async fn a_message_is_of_one_state(service: &Service) {
    let (one, two) = (service.space("One").await, service.space("Two").await);
    let (front, inner) = (service.dpu("front").await, service.dpu("inner").await);
    service.assign(front, one, Placement::Inside, None, None).await;
    service.assign(inner, one, Placement::Outside, None, None).await;
    service.assign(inner, two, Placement::Inside, None, None).await;
    let mut socket = service.socket().await;
    let query = "subscription { countChanged { count space { count
        dpus { assignments { nodes { space { count } } } } history(start: \"2026-03-01\", end: \"2026-03-02\", interval: DAY) { count } } } }";
    socket.subscribe("a", query, Value::Null).await;
    let writer = Process::start(service, CACHE_BYTES).await;
    let today = at(TODAY);
    let writing = async {
        for commit in 0..commits() {
            let ts = |event: i64| today.plus_ms(commit * 1_000 + event);
            writer.record((0..10).map(|event| crossing("front", ts(event), Direction::Toward))).await;
            writer.record((0..10).map(|event| crossing("inner", ts(event), Direction::Toward))).await;
        }
    };
    let reading = async {
        let mut last = 0;
        while last < 10 * commits() {
            let data = socket.data("a").await;
            let change = &data["countChanged"];
            assert_eq!(change["count"], change["space"]["count"], "{change}");
            assert_eq!(change["count"], change["space"]["history"][0]["count"], "{change}");
            // Each person is counted in exactly one room.
            let sums = change["space"]["dpus"].as_array().unwrap().iter().map(|dpu| {
                let rooms = dpu["assignments"]["nodes"].as_array().unwrap().iter();
                rooms.map(|room| room["space"]["count"].as_i64().unwrap()).sum::<i64>()
            });
            let most = sums.max().unwrap();
            assert!(most % 10 == 0 && most >= last, "{most} after {last}: {change}");
            last = most;
        }
    };
    join(writing, reading).await;
}

// After another process changes a serial, an old floor plan never resolves it.
async fn events_are_recorded_for_the_current_dpu_of_their_serial(service: &Service) {
    let (one, two) = (service.dpu("x").await, service.dpu("y").await);
    let there = Process::start(service, CACHE_BYTES).await;
    for round in 0..commits() {
        let (from, to) = if round % 2 == 0 { (one, two) } else { (two, one) };
        let rename = |dpu: i64, serial: &str| {
            format!(
                "mutation {{ dpuUpdate(id: {dpu}, input: {{ serial: \"{serial}\" }}) {{ userErrors {{ message }} }} }}"
            )
        };
        for (dpu, serial) in [(from, format!("old {round}")), (to, "x".to_owned())] {
            let data = service.data(&rename(dpu, &serial), Value::Null).await;
            assert_eq!(data["dpuUpdate"]["userErrors"], json!([]));
        }
        let ts = at(TODAY).plus_ms(round);
        there.record([crossing("x", ts, Direction::Toward)]).await;
        let events = format!(
            "{{ dpu(serial: \"x\") {{ id events(start: \"{ts}\", newestFirst: true) {{ totalCount }} }} }}"
        );
        until("the event is seen", async || {
            let data = service.data(&events, Value::Null).await;
            assert_eq!(data["dpu"]["id"], to.to_string());
            data["dpu"]["events"]["totalCount"] == 1
        })
        .await;
    }
}

on_both!(
    late_events_before_a_reset_change_no_count_after_it,
    a_person_between_two_rooms_is_counted_exactly_once,
    a_commit_of_two_doorways_is_seen_whole_or_not_at_all,
    states_never_go_back,
    a_message_is_of_one_state,
    events_are_recorded_for_the_current_dpu_of_their_serial
);
