//! Live counts: the messages of subscriptions, and their cost.

use std::time::Duration;

use api::feed::{SpaceCount, Watch};
use entity::assignment::Placement;
use serde_json::{Value, json};

use crate::harness::{NOW, Service, at, on_both};

const WATCH: &str =
    "subscription ($ids: [ID!]) { countChanged(spaceIds: $ids) { count netCount space { id name } ts } }";

/// Creates a space with one doorway; returns its id.
async fn hall(service: &Service) -> i64 {
    let (space, dpu) = (service.space("Hall").await, service.dpu("283").await);
    service.assign(dpu, space, Placement::Inside, None, None).await;
    space
}

async fn cross(service: &Service, ts: &str, direction: &str) {
    let payload = service.ingest(json!([{ "dpu": "283", "ts": ts, "direction": direction }])).await;
    assert_eq!(payload["accepted"], 1);
}

fn count(data: &Value) -> i64 {
    data["countChanged"]["count"].as_i64().unwrap()
}

/// Returns the next count of a subscription.
async fn told(service: &Service, watch: &mut Watch) -> i64 {
    loop {
        let space = watch.next().await.unwrap();
        let count = service.app.counts.count(space, at(NOW)).await.unwrap().unwrap();
        if watch.tell(space, SpaceCount { count, net: count }) {
            return count;
        }
    }
}

/// Waits until there are no watchers, shortly after a connection was closed.
async fn nobody_watches(service: &Service) {
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    while service.app.feed.watchers() > 0 {
        looks.tick().await;
    }
}

async fn the_current_count_comes_first_and_then_each_change(service: &Service) {
    let space = hall(service).await;
    cross(service, "2026-01-01", "TOWARD").await;
    let mut socket = service.socket().await;
    socket.subscribe("a", WATCH, json!({ "ids": [space] })).await;
    assert_eq!(
        socket.data("a").await,
        json!({ "countChanged": {
        "count": 1, "netCount": 1, "space": { "id": space.to_string(), "name": "Hall" }, "ts": NOW,
    } })
    );
    // An event now, a late event, a reset, and a correction of the past.
    cross(service, "2026-02-01", "TOWARD").await;
    assert_eq!(count(&socket.data("a").await), 2);
    cross(service, "2025-01-01", "AWAY").await;
    assert_eq!(count(&socket.data("a").await), 1);
    let reset = "mutation ($id: ID!) { resetCreate(input: { space: $id, ts: \"2026-01-15\", count: 40 }) { userErrors { code } } }";
    service.data(reset, json!({ "id": space })).await;
    assert_eq!(count(&socket.data("a").await), 41);
    service
        .data("mutation { assignmentEnd(id: 1, at: \"2026-01-20\") { userErrors { code } } }", Value::Null)
        .await;
    assert_eq!(count(&socket.data("a").await), 40);
    // A change that does not affect the count is not sent: the next message is about the next change.
    cross(service, "2026-02-02", "TOWARD").await;
    service
        .data(
            "mutation { assignmentUpdate(id: 1, input: { endsAt: null }) { userErrors { code } } }",
            Value::Null,
        )
        .await;
    assert_eq!(count(&socket.data("a").await), 42);
}

async fn nested_fields_are_of_the_same_state_as_their_message(service: &Service) {
    hall(service).await;
    let mut socket = service.socket().await;
    let query = "subscription { countChanged { space { netCount history(start: \"2026-01-01\", end: \"2026-01-02\", interval: DAY) { count }
        dpus { serial lastEvent { ts } } count } count } }";
    socket.subscribe("a", query, Value::Null).await;
    assert_eq!(count(&socket.data("a").await), 0);
    cross(service, "2026-01-01", "TOWARD").await;
    assert_eq!(
        socket.data("a").await.to_string(),
        json!({ "countChanged": {
        "space": {
            "netCount": 1, "history": [{ "count": 1 }],
            "dpus": [{ "serial": "283", "lastEvent": { "ts": "2026-01-01T00:00:00Z" } }], "count": 1,
        },
        "count": 1,
    } })
        .to_string()
    );
}

async fn all_spaces_are_watched_by_default(service: &Service) {
    hall(service).await;
    let loft = service.space("Loft").await;
    let mut socket = service.socket().await;
    socket.subscribe("all", WATCH, Value::Null).await;
    let name = |data: Value| data["countChanged"]["space"]["name"].as_str().unwrap().to_owned();
    assert_eq!([name(socket.data("all").await), name(socket.data("all").await)], ["Hall", "Loft"]);
    // A space created later by another process, without a notification of the feed.
    service.space("Attic").await;
    assert_eq!(name(socket.data("all").await), "Attic");
    socket.send(json!({ "type": "complete", "id": "all" })).await;
    socket.subscribe("one", WATCH, json!({ "ids": [loft] })).await;
    assert_eq!(name(socket.data("one").await), "Loft");
}

async fn commits_of_other_processes_and_the_passing_of_time_are_seen(service: &Service) {
    let space = hall(service).await;
    let mut socket = service.socket().await;
    socket.subscribe("a", WATCH, json!({ "ids": [space] })).await;
    assert_eq!(count(&socket.data("a").await), 0);
    let database = api::database::Database::connect(&service.url).await.unwrap();
    let (other, _) = api::app::App::start(database, service.app.clock.clone(), api::timelines::CACHE_BYTES);
    let crossing = |ts: &str| {
        let (serial, ts) = ("283".to_owned(), at(ts));
        Ok(api::ingest::Report::Crossing(api::ingest::Crossing {
            serial,
            ts: ts.into(),
            direction: entity::event::Direction::Toward,
            seq: 0,
        }))
    };
    other.recorder.record(vec![crossing("2026-01-01")]).await.unwrap();
    assert_eq!(count(&socket.data("a").await), 1);
    // An event from a clock two minutes ahead: it counts when its time has come.
    other.recorder.record(vec![crossing("2026-03-01T12:02:00Z")]).await.unwrap();
    other.recorder.record(vec![crossing("2026-02-01")]).await.unwrap();
    assert_eq!(count(&socket.data("a").await), 2);
    service.set_now("2026-03-01T12:02:00Z");
    assert_eq!(count(&socket.data("a").await), 3);
}

async fn slow_readers_get_only_the_newest_count(service: &Service) {
    let space = hall(service).await;
    let mut watch = service.app.feed.watch(Some(vec![space]));
    assert_eq!(told(service, &mut watch).await, 0);
    for second in 0..300 {
        cross(service, &format!("2026-01-01T00:{:02}:{:02}Z", second / 60, second % 60), "TOWARD").await;
    }
    let mut seen = vec![told(service, &mut watch).await];
    while seen.last() != Some(&300) {
        seen.push(told(service, &mut watch).await);
    }
    // All changes before it read are one message, and those during the read another.
    assert!(seen.len() <= 2, "{seen:?}");
}

async fn watching_costs_the_same_for_one_and_many_and_nothing_without_watchers(service: &Service) {
    hall(service).await;
    let watches = |number: usize| (0..number).map(|_| service.app.feed.watch(None)).collect::<Vec<_>>();
    let mut one = watches(1);
    told(service, &mut one[0]).await;
    let before = service
        .statements_of(async {
            cross(service, "2026-01-01", "TOWARD").await;
            told(service, &mut one[0]).await;
        })
        .await;
    let mut many = watches(50);
    futures::future::join_all(many.iter_mut().map(|watch| told(service, watch))).await;
    let after = service
        .statements_of(async {
            cross(service, "2026-01-02", "TOWARD").await;
            futures::future::join_all(many.iter_mut().map(|watch| told(service, watch))).await;
        })
        .await;
    // The hub may read once more in the meantime: two statements.
    assert!(after <= before + 4, "{after} statements for 51, {before} for one");
    drop((one, many));
    nobody_watches(service).await;
    let quiet = service.statements_of(tokio::time::sleep(Duration::from_millis(1500))).await;
    assert!(quiet <= 2, "{quiet} statements without watchers");
}

async fn unknown_spaces_are_refused(service: &Service) {
    hall(service).await;
    let mut socket = service.socket().await;
    for id in ["99", "abc", ""] {
        socket.subscribe(id, WATCH, json!({ "ids": [id] })).await;
        let message = socket.next().await;
        let errors = &message["payload"]["errors"];
        assert!(errors[0]["message"].as_str().unwrap().contains("there is no space"), "{message}");
        assert_eq!(errors[0]["extensions"]["code"], "BAD_USER_INPUT", "{message}");
        assert_eq!(socket.next().await["type"], "complete");
    }
}

on_both!(
    the_current_count_comes_first_and_then_each_change,
    nested_fields_are_of_the_same_state_as_their_message,
    all_spaces_are_watched_by_default,
    commits_of_other_processes_and_the_passing_of_time_are_seen,
    slow_readers_get_only_the_newest_count,
    watching_costs_the_same_for_one_and_many_and_nothing_without_watchers,
    unknown_spaces_are_refused
);

#[tokio::test(flavor = "multi_thread")]
async fn the_protocol_is_graphql_transport_ws() {
    let service = Service::on_sqlite().await;
    hall(&service).await;
    let mut socket = service.socket().await;
    socket.send(json!({ "type": "ping" })).await;
    assert_eq!(socket.next().await["type"], "pong");
    // Queries and mutations are possible, too.
    socket.subscribe("q", "{ space(id: 1) { count name } }", Value::Null).await;
    assert_eq!(socket.data("q").await.to_string(), "{\"space\":{\"count\":0,\"name\":\"Hall\"}}");
    assert_eq!(socket.next().await["type"], "complete");
    // Nothing is answered before the handshake.
    let mut early = service.raw_socket().await;
    early.subscribe("a", WATCH, Value::Null).await;
    assert_eq!(early.next().await["close"], 4401);
    // Subscriptions do not work with a plain request.
    let answer = service.ask(WATCH, Value::Null).await;
    assert!(answer["errors"][0]["extensions"]["code"].is_string(), "{answer}");
    // When the server stops, it closes the connection properly.
    socket.subscribe("w", WATCH, Value::Null).await;
    assert_eq!(count(&socket.data("w").await), 0);
    service.app.feed.stop();
    assert_eq!(socket.next().await["close"], 1001);
    drop((socket, early));
    nobody_watches(&service).await;
    service.finish().await;
}
