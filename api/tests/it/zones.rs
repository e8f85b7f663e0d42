//! Timestamps without a time zone, on every way in.

use axum::http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Answer, Service, on_both};
use crate::nats::Nats;

/// Creates a DPU whose clock is in New York's time zone.
async fn in_new_york(service: &Service, serial: &str) -> Value {
    let create = "mutation ($input: DpuCreateInput!) { dpuCreate(input: $input) { dpu { id timeZone } userErrors { field message } } }";
    let input = json!({ "serial": serial, "timeZone": "America/New_York" });
    let created = service.data(create, json!({ "input": input })).await["dpuCreate"]["dpu"].take();
    assert_eq!(created["timeZone"], "America/New_York");
    created["id"].clone()
}

async fn post(service: &Service, query: &str, content_type: &str, body: &str) -> Answer {
    let request = Request::post(format!("/events{query}")).header("content-type", content_type);
    service.send(request.body(body.to_owned().into()).unwrap()).await
}

/// Returns the instants of the stored events, earliest first.
async fn stored(service: &Service) -> Vec<String> {
    let mut stored: Vec<_> = service.stored_events().await.iter().map(|event| event.ts).collect();
    stored.sort_unstable();
    stored.iter().map(ToString::to_string).collect()
}

async fn the_most_specific_zone_is_used(service: &Service) {
    in_new_york(service, "1").await;
    service.dpu("2").await;
    let event = |ts: &str, dpu: &str| json!({ "ts": ts, "direction": 1, "dpu": dpu }).to_string();
    for (query, ts, dpu, expected) in [
        ("", "2026-01-01T00:00:00", "1", "2026-01-01T05:00:00Z"),
        ("", "2026-01-01T00:00:00", "2", "2026-01-01T00:00:00Z"),
        ("", "2026-01-01T00:00:01Z", "1", "2026-01-01T00:00:01Z"),
        ("?time_zone=Europe/Berlin", "2026-01-01T00:00:02", "1", "2025-12-31T23:00:02Z"),
        ("?time_zone=Europe%2FBerlin", "2026-01-01T00:00:03", "2", "2025-12-31T23:00:03Z"),
        ("?time_zone=Europe/Berlin", "2026-01-01T00:00:04+00:00", "2", "2026-01-01T00:00:04Z"),
        ("?time_zone=Europe/Berlin", "1767225605", "2", "2026-01-01T00:00:05Z"),
        // A time that occurs twice means the earlier one.
        ("?time_zone=Europe/Berlin", "2025-10-26T02:30:00", "2", "2025-10-26T00:30:00Z"),
    ] {
        let before = stored(service).await;
        let answer = post(service, query, "application/json", &event(ts, dpu)).await;
        assert_eq!(answer.json()["accepted"], 1, "{ts}: {}", answer.body);
        let added: Vec<_> = stored(service).await.into_iter().filter(|ts| !before.contains(ts)).collect();
        assert_eq!(added, [expected], "{query} {ts}");
    }
    // A time that the clocks skip.
    for (query, ts, dpu) in
        [("?time_zone=Europe/Berlin", "2025-03-30T02:30:00", "2"), ("", "2025-03-09T02:30:00", "1")]
    {
        let answer = post(service, query, "application/json", &event(ts, dpu)).await.json();
        assert_eq!(answer["errors"][0]["code"], "BAD_TIMESTAMP", "{answer}");
        assert!(
            answer["errors"][0]["message"].as_str().unwrap().contains("the clocks skipped it"),
            "{answer}"
        );
    }
    let answer = post(service, "?time_zone=Berlin", "application/json", &event("2026-01-01", "2")).await;
    let expected = r#"{"detail":"time_zone: \"Berlin\" is not a time zone: use a name of the tz database, such as Europe/Berlin"}"#;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::BAD_REQUEST, expected));
}

async fn the_zone_of_a_dpu_applies_on_every_way_in(service: &Service) {
    in_new_york(service, "1").await;
    let line = r#"{"ts":"2026-01-01T00:00:01","direction":1,"dpu":"1"}"#;
    assert_eq!(post(service, "", "application/x-ndjson", line).await.json()["accepted"], 1);
    let csv = "timestamp,direction,dpu_id\n2026-01-01T00:00:02,1,1\n";
    assert_eq!(post(service, "", "text/csv", csv).await.json()["accepted"], 1);
    let payload =
        service.ingest(json!([{ "dpu": "1", "ts": "2026-01-01T00:00:03", "direction": "TOWARD" }])).await;
    assert_eq!(payload["accepted"], 1, "{payload}");
    let mut expected = vec!["2026-01-01T05:00:01Z", "2026-01-01T05:00:02Z", "2026-01-01T05:00:03Z"];
    if let Some(nats) = Nats::new().await {
        let running = nats.consume_ready(service).await;
        nats.publish("1", "2026-01-01T00:00:04,1,1").await;
        nats.drained().await;
        running.stop().await;
        nats.finish().await;
        expected.push("2026-01-01T05:00:04Z");
    }
    assert_eq!(stored(service).await, expected);
}

async fn a_new_zone_of_a_dpu_applies_to_later_events(service: &Service) {
    let id = in_new_york(service, "1").await;
    let update = "mutation ($id: ID!, $input: DpuUpdateInput!) {
        dpuUpdate(id: $id, input: $input) { dpu { timeZone } userErrors { field code } }
    }";
    let event = json!([{ "dpu": "1", "ts": "2026-01-01T00:00:00", "direction": "TOWARD" }]);
    for (zone, kept, expected) in [
        (json!({}), json!("America/New_York"), 1),
        (json!({ "timeZone": " Asia/Tokyo" }), json!("Asia/Tokyo"), 1),
        (json!({ "name": "Door" }), json!("Asia/Tokyo"), 0),
        (json!({ "timeZone": null }), Value::Null, 1),
    ] {
        let updated = service.data(update, json!({ "id": id, "input": zone })).await;
        assert_eq!(updated["dpuUpdate"]["dpu"]["timeZone"], kept, "{updated}");
        assert_eq!(service.ingest(event.clone()).await["accepted"], expected, "{kept}");
    }
    assert_eq!(
        stored(service).await,
        ["2025-12-31T15:00:00Z", "2026-01-01T00:00:00Z", "2026-01-01T05:00:00Z"]
    );
    let refused = service.data(update, json!({ "id": id, "input": { "timeZone": "Mars/Base" } })).await;
    assert_eq!(
        refused["dpuUpdate"]["userErrors"],
        json!([{ "field": ["input", "timeZone"], "code": "INVALID" }])
    );
}

on_both!(
    the_most_specific_zone_is_used,
    the_zone_of_a_dpu_applies_on_every_way_in,
    a_new_zone_of_a_dpu_applies_to_later_events
);
