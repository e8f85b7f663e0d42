//! The REST route that existing clients rely on, byte for byte.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use entity::assignment::Placement;
use serde_json::json;

use crate::harness::{Service, on_both};

/// Creates a space with two people from 2018-05-01T08:46:00Z on.
async fn space_with_two_people(service: &Service) -> i64 {
    let (space, dpu) = (service.space("Hall").await, service.dpu("283").await);
    service.assign(dpu, space, Placement::Inside, None, None).await;
    let event =
        |seq| json!({ "dpu": "283", "ts": "2018-05-01T08:46:00Z", "direction": "TOWARD", "seq": seq });
    let payload = service.ingest(json!([event(0), event(1)])).await;
    assert_eq!(payload["accepted"], 2);
    space
}

async fn a_count_is_answered_byte_for_byte(service: &Service) {
    let space = space_with_two_people(service).await;
    for (ts, echoed, count) in [
        ("2018-05-01T08:46:00Z", "2018-05-01T08:46:00Z", 2),
        ("2018-05-01T08:45:59.999Z", "2018-05-01T08:45:59.999Z", 0),
        ("2018-05-01T08:46:00.0009Z", "2018-05-01T08:46:00Z", 2),
        ("2018-05-01T08:46:00.5", "2018-05-01T08:46:00.500Z", 2),
        ("2018-05-01T10:46:00%2B02:00", "2018-05-01T08:46:00Z", 2),
        ("2018-05-01T10:46:00+02:00", "2018-05-01T08:46:00Z", 2),
        ("2018-05-01%2008:46:00", "2018-05-01T08:46:00Z", 2),
        ("2018-05-01+08:46", "2018-05-01T08:46:00Z", 2),
        ("2018-05-01", "2018-05-01T00:00:00Z", 0),
        ("0001-01-01", "0001-01-01T00:00:00Z", 0),
        ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z", 2),
    ] {
        for path in [
            format!("/space/{space}/count"),
            format!("/space/{space}/count/"),
            format!("/space/0{space}/count"),
        ] {
            let answer = service.get(&format!("{path}?ts={ts}")).await;
            assert_eq!(answer.status, StatusCode::OK, "{ts}: {}", answer.body);
            assert_eq!(
                answer.body,
                format!("{{\"space_id\":{space},\"ts\":\"{echoed}\",\"count\":{count}}}")
            );
            assert_eq!(answer.header("content-type"), "application/json");
        }
    }
}

async fn without_ts_it_is_now(service: &Service) {
    let space = space_with_two_people(service).await;
    service.set_now("2026-03-01T12:00:00.250Z");
    let answer = service.get(&format!("/space/{space}/count")).await;
    assert_eq!(
        answer.body,
        format!("{{\"space_id\":{space},\"ts\":\"2026-03-01T12:00:00.250Z\",\"count\":2}}")
    );
}

async fn an_unknown_space_is_not_found(service: &Service) {
    space_with_two_people(service).await;
    let long = "1".repeat(5000);
    for id in
        ["0", "999", "-1", "+1", "abc", "1.0", "%31%20", "9223372036854775807", "9223372036854775808", &long]
    {
        let answer = service.get(&format!("/space/{id}/count?ts=yesterday")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{id}");
        assert_eq!(answer.body, "{\"detail\":\"Not found.\"}");
    }
    let answer = service.get("/nowhere").await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::NOT_FOUND, "{\"detail\":\"Not found.\"}"));
}

async fn an_invalid_ts_is_refused(service: &Service) {
    let space = space_with_two_people(service).await;
    let long = "2".repeat(10_000);
    for ts in [
        "yesterday",
        "2018-13-01",
        "2018-02-30T00:00:00Z",
        "",
        &long,
        "0000-01-01",
        "99999-01-01T00:00:00Z",
        "%00",
        "%ff",
    ] {
        let answer = service.get(&format!("/space/{space}/count?ts={ts}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{ts}: {}", answer.body);
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with("ts: ") && detail.contains("is not a timestamp"), "{detail}");
        assert!(detail.contains("Accepted is ISO-8601, such as 2018-05-01T08:46:00Z"), "{detail}");
        assert!(answer.body.len() < 400, "{}", answer.body);
    }
}

async fn another_method_is_not_allowed(service: &Service) {
    let space = space_with_two_people(service).await;
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
        let request =
            Request::builder().method(&method).uri(format!("/space/{space}/count")).body(Body::empty());
        let answer = service.send(request.unwrap()).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.body, format!("{{\"detail\":\"Method \\\"{method}\\\" not allowed.\"}}"));
        assert_eq!(answer.header("allow"), "GET, HEAD");
    }
    let head = Request::head(format!("/space/{space}/count")).body(Body::empty()).unwrap();
    let answer = service.send(head).await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, ""));
}

async fn the_process_says_that_it_lives(service: &Service) {
    let answer = service.get("/healthz").await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "{\"status\":\"ok\"}"));
}

on_both!(
    a_count_is_answered_byte_for_byte,
    without_ts_it_is_now,
    an_unknown_space_is_not_found,
    an_invalid_ts_is_refused,
    another_method_is_not_allowed,
    the_process_says_that_it_lives
);
