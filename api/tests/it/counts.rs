//! The history of a space by REST, as JSON and as CSV.

use axum::http::{Request, StatusCode};
use entity::assignment::Placement;
use serde_json::json;

use crate::harness::{Service, on_both};

async fn hall(service: &Service) -> i64 {
    let (space, dpu) = (service.space("Hall").await, service.dpu("283").await);
    service.assign(dpu, space, Placement::Inside, None, None).await;
    let event = |ts: &str, direction: &str| json!({ "dpu": "283", "ts": ts, "direction": direction });
    service
        .ingest(json!([event("2026-01-01T00:15:00Z", "TOWARD"), event("2026-01-01T01:30:00Z", "TOWARD")]))
        .await;
    space
}

async fn a_history_is_answered_as_json_or_as_csv(service: &Service) {
    let space = hall(service).await;
    let path = format!("/space/{space}/counts?start=2026-01-01&end=2026-01-01T02:00:00Z");
    let json = service.get(&path).await;
    assert_eq!((json.status, json.header("content-type")), (StatusCode::OK, "application/json"));
    assert_eq!(
        json.body,
        format!(
            "{{\"space_id\":{space},\"start\":\"2026-01-01T00:00:00Z\",\"end\":\"2026-01-01T02:00:00Z\",\
         \"interval\":\"hour\",\"time_zone\":\"UTC\",\"counts\":[\
         {{\"start\":\"2026-01-01T00:00:00Z\",\"end\":\"2026-01-01T01:00:00Z\",\"count\":1,\"min\":0,\"max\":1,\
         \"average\":0.75,\"entrances\":1,\"exits\":0,\"utilization\":null}},\
         {{\"start\":\"2026-01-01T01:00:00Z\",\"end\":\"2026-01-01T02:00:00Z\",\"count\":2,\"min\":1,\"max\":2,\
         \"average\":1.5,\"entrances\":1,\"exits\":0,\"utilization\":null}}]}}"
        )
    );
    let rows = "start,end,count,min,max,average,entrances,exits,utilization\n\
        2026-01-01T00:00:00Z,2026-01-01T01:00:00Z,1,0,1,0.75,1,0,\n\
        2026-01-01T01:00:00Z,2026-01-01T02:00:00Z,2,1,2,1.5,1,0,\n";
    let csv = service.get(&format!("{path}&format=csv")).await;
    assert_eq!(
        (csv.body.as_str(), csv.header("content-type")),
        (rows, "text/csv; charset=utf-8; header=present")
    );
    for (accept, is_csv) in [
        ("text/csv", true),
        ("text/csv, application/json", true),
        ("application/json, text/csv", false),
        ("*/*", false),
    ] {
        let request = Request::get(&path).header("accept", accept).body(axum::body::Body::empty()).unwrap();
        assert_eq!(service.send(request).await.body == rows, is_csv, "{accept}");
    }
    let empty =
        service.get(&format!("/space/{space}/counts?start=2026-01-01&end=2026-01-01&format=csv")).await;
    assert_eq!(empty.body, "start,end,count,min,max,average,entrances,exits,utilization\n");
}

async fn a_date_alone_is_a_day_of_the_time_zone(service: &Service) {
    let space = hall(service).await;
    // Clocks were turned forward in Berlin on 29 March 2026, and Apia skipped 30 December 2011.
    for (dates, zone, starts, end) in [
        (["2026-01-01", "2026-01-02"], "Asia/Kolkata", &["2025-12-31T18:30:00Z"][..], "2026-01-01T18:30:00Z"),
        (
            ["2026-03-28", "2026-03-30"],
            "Europe/Berlin",
            &["2026-03-27T23:00:00Z", "2026-03-28T23:00:00Z"],
            "2026-03-29T22:00:00Z",
        ),
        (["2011-12-30", "2012-01-01"], "Pacific/Apia", &["2011-12-30T10:00:00Z"], "2011-12-31T10:00:00Z"),
        (["2026-01-01", "2026-01-02"], "UTC", &["2026-01-01T00:00:00Z"], "2026-01-02T00:00:00Z"),
        // A date with a time is UTC.
        (
            ["2026-01-01T00:00", "2026-01-01T18:30"],
            "Asia/Kolkata",
            &["2026-01-01T00:00:00Z"],
            "2026-01-01T18:30:00Z",
        ),
    ] {
        let [first, last] = dates;
        let query = format!("start={first}&end={last}&interval=day&time_zone={zone}");
        let history = service.get(&format!("/space/{space}/counts?{query}")).await.json();
        let given: Vec<_> =
            history["counts"].as_array().unwrap().iter().map(|bucket| bucket["start"].clone()).collect();
        assert_eq!(json!(given), json!(starts), "{query}");
        assert_eq!((&history["start"], &history["end"]), (&json!(starts[0]), &json!(end)), "{query}");
        let query = r"query ($id: ID!, $start: DateTime!, $end: DateTime!, $zone: String!) {
            space(id: $id) { history(start: $start, end: $end, interval: DAY, timeZone: $zone) { start } } }";
        let asked = json!({ "id": space.to_string(), "start": first, "end": last, "zone": zone });
        let given = service.data(query, asked).await["space"]["history"].take();
        let given: Vec<_> = given.as_array().unwrap().iter().map(|bucket| bucket["start"].clone()).collect();
        assert_eq!(json!(given), json!(starts), "{query} {zone}");
    }
    // In the space's own zone if none is given; the same for the preview of a rule.
    let update = format!(
        r#"mutation {{ spaceUpdate(id: {space}, input: {{timeZone: "Europe/Berlin"}}) {{ userErrors {{ message }} }} }}"#
    );
    service.data(&update, json!({})).await;
    let history = service
        .get(&format!("/space/{space}/counts?start=2026-03-29&end=2026-03-30&interval=day"))
        .await
        .json();
    assert_eq!(
        (&history["start"], &history["end"]),
        (&json!("2026-03-28T23:00:00Z"), &json!("2026-03-29T22:00:00Z"))
    );
    let preview = format!(
        r#"{{ space(id: {space}) {{
        resetRulePreview(timeOfDay: "00:00", firstDay: "2026-01-01", start: "2026-03-29", end: "2026-03-30") {{ ts }} }} }}"#
    );
    assert_eq!(
        service.data(&preview, json!({})).await["space"]["resetRulePreview"],
        json!([{ "ts": "2026-03-28T23:00:00Z" }])
    );
}

async fn invalid_histories_are_refused(service: &Service) {
    let space = hall(service).await;
    for (query, problem) in [
        ("", "start is missing"),
        ("?start=2026-01-01", "end is missing"),
        ("?start=yesterday&end=2026-01-01", "start: \"yesterday\" is not a timestamp"),
        ("?start=2026-01-02&end=2026-01-01", "end: 2026-01-01T00:00:00Z is before start"),
        (
            "?start=2026-01-01&end=2026-01-02&interval=fortnight",
            "interval: invalid value \"fortnight\": use one of minute, ",
        ),
        (
            "?start=2026-01-01&end=2026-01-02&format=xml",
            "format: invalid value \"xml\": use one of json, csv",
        ),
        ("?start=2026-01-01&end=2026-01-02&time_zone=Mars", "time_zone: unknown time zone \"Mars\""),
        ("?start=2020-01-01&end=2026-01-02&interval=minute", "interval: more than 10000 buckets"),
    ] {
        let answer = service.get(&format!("/space/{space}/counts{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with(problem), "{query}: {detail}");
    }
    for id in ["999", "abc", "-1"] {
        let answer = service.get(&format!("/space/{id}/counts?start=x")).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (StatusCode::NOT_FOUND, "{\"detail\":\"Not found.\"}")
        );
    }
}

on_both!(
    a_history_is_answered_as_json_or_as_csv,
    a_date_alone_is_a_day_of_the_time_zone,
    invalid_histories_are_refused
);
