//! `POST /events`: the same events in every format, invalid events, and invalid bodies.

use std::io::Write;

use axum::body::{Body, Bytes};
use axum::http::{Method, Request, StatusCode};
use futures::stream;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::harness::{Answer, Service, on_both};

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";
const CSV: &str = "text/csv";
const TYPES: [&str; 3] = [JSON, NDJSON, CSV];

async fn post(service: &Service, content_type: &str, body: impl Into<Body>) -> Answer {
    let request = Request::post("/events").header("content-type", content_type);
    service.send(request.body(body.into()).unwrap()).await
}

/// Returns the receipt of a body that must be read to its end.
async fn receipt(service: &Service, content_type: &str, body: impl Into<Body>) -> Value {
    let answer = post(service, content_type, body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.json()
}

/// Returns the detail of a body that must be refused.
async fn detail(service: &Service, content_type: &str, body: impl Into<Body>) -> String {
    let answer = post(service, content_type, body).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.body);
    answer.json()["detail"].as_str().unwrap().to_owned()
}

fn totals(receipt: &Value) -> (u64, u64, u64) {
    let total = |name: &str| receipt[name].as_u64().unwrap();
    (total("accepted"), total("duplicates"), total("rejected"))
}

fn codes(receipt: &Value) -> Vec<(u64, Option<u64>, String)> {
    let errors = receipt["errors"].as_array().unwrap().iter();
    errors
        .map(|error| {
            let code = error["code"].as_str().unwrap().to_owned();
            (error["index"].as_u64().unwrap(), error.get("line").map(|line| line.as_u64().unwrap()), code)
        })
        .collect()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    zstd::encode_all(text, 3).unwrap()
}

/// Returns different events, as the fields of CSV rows.
fn rows(count: i64) -> impl Iterator<Item = (String, i64)> {
    let start = crate::harness::at("2026-01-30T21:00:00Z");
    (0..count)
        .map(move |number| (start.plus_ms(number * 7_001).to_string(), if number % 3 == 0 { -1 } else { 1 }))
}

/// Returns the rows as an array, as NDJSON and as CSV.
fn bodies(count: i64) -> [(&'static str, String); 3] {
    let event = |(ts, direction)| json!({ "timestamp": ts, "direction": direction, "dpu_id": "283" });
    let lines: Vec<_> = rows(count).map(|row| event(row).to_string()).collect();
    let csv: Vec<_> = rows(count).map(|(ts, direction)| format!("{ts},{direction},283")).collect();
    [
        (JSON, format!("[{}]", lines.join(",\n"))),
        (NDJSON, lines.join("\r\n")),
        (CSV, format!("timestamp,direction,dpu_id\n{}", csv.join("\n"))),
    ]
}

async fn one_event_is_answered_byte_for_byte(service: &Service) {
    service.dpu("283").await;
    let event = r#"{"timestamp": "2026-01-01T08:00:00Z", "direction": 1, "dpu_id": "283", "seq": 0}"#;
    let answer = post(service, JSON, event).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.body,
        r#"{"accepted":1,"duplicates":0,"rejected":0,"errors":[],"errors_truncated":false}"#
    );
    assert_eq!(answer.header("content-type"), "application/json");
    let request = Request::post("/events/").header("content-type", "Application/JSON; charset=utf-8");
    let answer = service
        .send(
            request.body(r#"{"ts":"2026-01-01T09:00:00+01:00","direction":"+1","dpu":283}"#.into()).unwrap(),
        )
        .await;
    assert_eq!(
        answer.body,
        r#"{"accepted":0,"duplicates":1,"rejected":0,"errors":[],"errors_truncated":false}"#
    );
    let answer = post(
        service,
        NDJSON,
        format!("{event}\n\n{{\"ts\":\"2026-01-01\",\"direction\":0,\"dpu\":\"283\"}}"),
    )
    .await;
    assert_eq!(
        answer.body,
        "{\"accepted\":0,\"duplicates\":1,\"rejected\":1,\"errors\":[{\"index\":1,\"line\":3,\
        \"code\":\"BAD_DIRECTION\",\"message\":\"invalid direction \\\"0\\\": use 1 (towards the DPU) or -1 (away from it)\"}],\
        \"errors_truncated\":false}"
    );
}

async fn every_format_gives_the_same_events(service: &Service) {
    service.dpu("283").await;
    for (round, (content_type, body)) in bodies(10_000).into_iter().enumerate() {
        let expected = if round == 0 { (10_000, 0, 0) } else { (0, 10_000, 0) };
        assert_eq!(totals(&receipt(service, content_type, body).await), expected, "{content_type}");
    }
    assert_eq!(service.stored_events().await.len(), 10_000);
}

async fn bodies_may_have_any_length(service: &Service) {
    service.dpu("283").await;
    let blank = "\n".repeat(9 * 1024 * 1024);
    let body = format!("{blank}{{\"ts\":\"2026-01-01\",\"direction\":1,\"dpu\":\"283\"}}{blank}");
    assert_eq!(totals(&receipt(service, NDJSON, body).await), (1, 0, 0));
}

async fn a_body_may_arrive_in_pieces(service: &Service) {
    service.dpu("283").await;
    for (round, (content_type, body)) in bodies(300).into_iter().enumerate() {
        let pieces: Vec<_> = body
            .as_bytes()
            .chunks(11)
            .map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece)))
            .collect();
        let expected = if round == 0 { (300, 0, 0) } else { (0, 300, 0) };
        assert_eq!(
            totals(&receipt(service, content_type, Body::from_stream(stream::iter(pieces))).await),
            expected
        );
    }
}

async fn events_are_recorded_before_the_body_ends(service: &Service) {
    service.dpu("283").await;
    let (sender, pieces) = futures::channel::mpsc::unbounded::<Result<Bytes, std::io::Error>>();
    let sent = post(service, NDJSON, Body::from_stream(pieces));
    let watched = async {
        for number in 1..=3 {
            let line = format!("{{\"ts\":\"2026-01-0{number}\",\"direction\":1,\"dpu\":\"283\"}}\n");
            sender.unbounded_send(Ok(line.into())).unwrap();
            while service.stored_events().await.len() < number {
                tokio::task::yield_now().await;
            }
        }
        drop(sender);
    };
    let (answer, ()) = tokio::join!(sent, watched);
    assert_eq!(totals(&answer.json()), (3, 0, 0));
}

async fn each_invalid_event_is_reported(service: &Service) {
    service.dpu("283").await;
    let (good, ts) = (json!({ "ts": "2026-01-01", "direction": 1, "dpu": "283" }), "2026-01-02");
    let bad = [
        (json!({ "ts": ts, "direction": 0, "dpu": "283" }), "BAD_DIRECTION"),
        (json!({ "ts": ts, "direction": 2, "dpu": "283" }), "BAD_DIRECTION"),
        (json!({ "ts": ts, "direction": 1.5, "dpu": "283" }), "BAD_DIRECTION"),
        (json!({ "ts": ts, "direction": null, "dpu": "283" }), "BAD_DIRECTION"),
        (json!({ "ts": ts, "direction": "x", "dpu": "283" }), "BAD_DIRECTION"),
        (json!({ "ts": ts, "direction": 1, "dpu_id": null }), "MALFORMED"),
        (json!({ "ts": ts, "direction": 1 }), "MALFORMED"),
        (json!({ "ts": ts, "direction": 1, "dpu": "283", "count": 12 }), "MALFORMED"),
        (json!({ "ts": ts, "direction": 1, "dpu": "283", "sequence": 1 }), "MALFORMED"),
        (json!({ "ts": ts, "direction": 1, "dpu": "nobody" }), "UNKNOWN_DPU"),
        (json!({ "ts": ts, "direction": 1, "dpu": "28\u{0}3" }), "UNKNOWN_DPU"),
        (json!({ "ts": ts, "direction": 1, "dpu": "283", "seq": -1 }), "BAD_SEQ"),
        (json!({ "ts": ts, "direction": 1, "dpu": "283", "seq": 1.5 }), "BAD_SEQ"),
        (json!({ "ts": ts, "direction": 1, "dpu": "283", "seq": 2_147_483_648_u32 }), "BAD_SEQ"),
        (json!({ "ts": "yesterday", "direction": 1, "dpu": "283" }), "BAD_TIMESTAMP"),
        (json!({ "ts": "2018-13-01", "direction": 1, "dpu": "283" }), "BAD_TIMESTAMP"),
        (json!({ "ts": "2018-02-30T00:00:00Z", "direction": 1, "dpu": "283" }), "BAD_TIMESTAMP"),
        (json!({ "ts": "", "direction": 1, "dpu": "283" }), "BAD_TIMESTAMP"),
        (json!({ "ts": "2".repeat(10_000), "direction": 1, "dpu": "283" }), "BAD_TIMESTAMP"),
        (json!({ "ts": "0000-01-01", "direction": 1, "dpu": "283" }), "BAD_TIMESTAMP"),
        (json!({ "ts": "99999-01-01T00:00:00Z", "direction": 1, "dpu": "283" }), "BAD_TIMESTAMP"),
        (json!({ "ts": "\u{0}", "direction": 1, "dpu": "283" }), "BAD_TIMESTAMP"),
        (json!({ "direction": 1, "dpu": "283" }), "BAD_TIMESTAMP"),
        (json!({ "ts": "2009-12-31T23:59:59.999Z", "direction": 1, "dpu": "283" }), "TIMESTAMP_OUT_OF_RANGE"),
        (json!({ "ts": "2026-03-01T12:05:00.001Z", "direction": 1, "dpu": "283" }), "TIMESTAMP_IN_FUTURE"),
        (json!([ts, 1, "283", 0]), "MALFORMED"),
        (json!(12), "MALFORMED"),
        (json!(null), "MALFORMED"),
    ];
    let events: Vec<_> = bad.iter().map(|(event, _)| event).chain([&good]).collect();
    let answer = receipt(service, JSON, json!(events).to_string()).await;
    assert_eq!(totals(&answer), (1, 0, bad.len() as u64));
    let expected: Vec<_> =
        (0..).zip(&bad).map(|(index, (_, code))| (index, None, (*code).to_owned())).collect();
    assert_eq!(codes(&answer), expected);

    let lines: Vec<_> = events.iter().map(|event| format!("{event}\r\n \n")).collect();
    let answer = receipt(service, NDJSON, lines.concat()).await;
    assert_eq!(totals(&answer), (0, 1, bad.len() as u64));
    let expected: Vec<_> =
        (0..).zip(&bad).map(|(index, (_, code))| (index, Some(2 * index + 1), (*code).to_owned())).collect();
    assert_eq!(codes(&answer), expected);

    let csv = "\u{feff}seq,dpu_id,timestamp,direction\r\n0,283,2026-01-01,1\n\nx,283,2026-01-01,1\n-1,283,2026-01-01,1\n0,283,2026-01-01,1.5\n0,283\n0,\"283,2026-01-01,1\n";
    let answer = receipt(service, CSV, csv).await;
    assert_eq!(totals(&answer), (0, 1, 5));
    let expected = [
        (1, 4, "BAD_SEQ"),
        (2, 5, "BAD_SEQ"),
        (3, 6, "BAD_DIRECTION"),
        (4, 7, "MALFORMED"),
        (5, 8, "MALFORMED"),
    ];
    assert_eq!(codes(&answer), expected.map(|(index, line, code)| (index, Some(line), code.to_owned())));

    // An event that is not UTF-8 or not JSON does not affect the next one, if that can be found.
    let mut body = b"[{\"ts\":\"\xff\"},{\"ts\":\"2026-01-01\",\"direction\":1,\"dpu\":\"283\"}]".to_vec();
    assert_eq!(totals(&receipt(service, JSON, body.clone()).await), (0, 1, 1));
    body.extend_from_slice(b"\n\0\n\xff\n{\"ts\":\"\0\"}\n");
    assert_eq!(totals(&receipt(service, NDJSON, body).await), (0, 0, 4));
}

async fn the_list_of_errors_is_limited_but_the_total_is_exact(service: &Service) {
    for (events, truncated) in [(1_000, false), (1_001, true)] {
        let answer = receipt(service, NDJSON, "{}\n".repeat(events)).await;
        assert_eq!(totals(&answer), (0, 0, events as u64));
        assert_eq!(answer["errors"].as_array().unwrap().len(), 1_000);
        assert_eq!(answer["errors_truncated"], truncated);
    }
}

async fn events_before_the_end_of_an_incomplete_body_are_recorded(service: &Service) {
    service.dpu("283").await;
    let [(_, array), ..] = bodies(10_000);
    let cut = &array[..array.len() - 5];
    let detail = detail(service, JSON, cut.to_owned()).await;
    assert_eq!(
        detail,
        "the JSON breaks off before its end. Of the events before it 9999 were accepted, 0 were \
        duplicates and 0 were rejected; all of them may be sent again, none counts twice."
    );
    assert_eq!(service.stored_events().await.len(), 9_999);
    assert_eq!(totals(&receipt(service, JSON, array.clone()).await), (1, 9_999, 0));

    // The client disconnects.
    let pieces = [Ok(Bytes::from(array)), Err(std::io::Error::other("the connection was reset"))];
    let detail = self::detail(service, JSON, Body::from_stream(stream::iter(pieces))).await;
    assert!(
        detail.starts_with("the body cannot be read: ") && detail.contains("10000 were duplicates"),
        "{detail}"
    );
}

async fn bodies_without_events_are_refused(service: &Service) {
    service.dpu("283").await;
    let huge = format!("[{{\"ts\":\"{}\"}}]", "x".repeat(1 << 20));
    let deep = "[".repeat(10_000);
    for (content_type, body, reason) in [
        (JSON, "", "the body is empty"),
        (NDJSON, "", "the body is empty"),
        (CSV, "", "empty"),
        (JSON, " \r\n\t", "the body is empty"),
        (NDJSON, " \r\n\t", "the body is empty"),
        (CSV, " \r\n\t", "empty"),
        (JSON, "\u{feff}", "the body is empty"),
        (JSON, "\0", "not a JSON object"),
        (JSON, "timestamp,direction,dpu_id", "not a JSON object"),
        (JSON, "{\"ts\":\"2026-01-01\"", "the JSON breaks off"),
        (JSON, &deep, "the JSON breaks off"),
        (JSON, &huge, "an event is longer than 65536 bytes"),
        (CSV, "2026-01-01,1,283", "no header"),
        (CSV, "timestamp,direction\n", "lacks the column dpu_id"),
        (CSV, &huge, "the header cannot be read"),
    ] {
        let detail = detail(service, content_type, body.to_owned()).await;
        assert!(detail.contains(reason) && detail.len() < 400, "{detail}");
    }
    let closed = format!("[{}{}]", deep, "]".repeat(10_000));
    assert_eq!(codes(&receipt(service, JSON, closed).await), [(0, None, "MALFORMED".to_owned())]);
    for body in [huge, deep] {
        assert_eq!(codes(&receipt(service, NDJSON, body).await), [(0, Some(1), "MALFORMED".to_owned())]);
    }
    assert_eq!(totals(&receipt(service, JSON, "[]").await), (0, 0, 0));
    assert_eq!(totals(&receipt(service, CSV, "timestamp,direction,dpu_id").await), (0, 0, 0));
    assert!(service.stored_events().await.is_empty());
}

async fn another_kind_of_body_or_method_is_refused(service: &Service) {
    for content_type in ["text/plain", "application/xml", "application/jsonp", ""] {
        let answer = post(service, content_type, "{}").await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content_type}");
        assert!(
            answer.json()["detail"].as_str().unwrap().contains("application/x-ndjson"),
            "{}",
            answer.body
        );
    }
    let request = Request::post("/events").body("{}".into()).unwrap();
    assert_eq!(service.send(request).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    for path in ["/events", "/events/"] {
        for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE] {
            let request = Request::builder().method(&method).uri(path).body(Body::empty()).unwrap();
            let answer = service.send(request).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!(answer.header("allow"), "POST");
            assert!(
                method == Method::HEAD
                    || answer.body == format!("{{\"detail\":\"Method \\\"{method}\\\" not allowed.\"}}")
            );
        }
    }
}

async fn every_row_of_a_csv_is_stored_or_reported(service: &Service) {
    service.dpu("283").await;
    let header = "timestamp,direction,dpu_id\n";
    let row = |second: u32| format!("2026-01-02T00:00:{second:02}Z,1,283");
    let body = format!("{header}{}\r{}\n{}\n", row(1), row(2), row(3));
    assert_eq!(totals(&receipt(service, CSV, body).await), (3, 0, 0));
    let body = format!("{header}{}\r{}\r\n{}\n{}", row(4), row(5), row(6), row(7)).replace('\n', "\r");
    assert_eq!(totals(&receipt(service, CSV, body).await), (4, 0, 0));
    let body = format!("{header}2026-01-02,\"1,283\r{}\r{}\r", row(1), row(8));
    let answer = receipt(service, CSV, body).await;
    assert_eq!((totals(&answer), codes(&answer)), ((1, 1, 1), vec![(0, Some(2), "MALFORMED".to_owned())]));
}

async fn csv_dialects_are_read(service: &Service) {
    service.dpu("283").await;
    for (body, expected) in [
        ("Timestamp;Direction;DPU_ID;seq\r\n2026-01-02 00:00:01;1;283;\r\n", (1, 0, 0)),
        ("sep=;\r\ntimestamp;direction;dpu_id\r\n2026-01-02 00:00:02;-1.0;283;;\r\n", (1, 0, 0)),
        ("timestamp\tdirection\tdpu_id\n1767312003\t1\t283\n1767312003000\t1\t283\n", (1, 1, 0)),
        ("timestamp,direction,dpu_id,seq\n2026-01-02 00:00:03 UTC,1.0,283,0.0\n", (0, 1, 0)),
    ] {
        let answer = receipt(service, CSV, body).await;
        assert_eq!(totals(&answer), expected, "{body}: {answer}");
        assert!(answer.get("ignored_columns").is_none(), "{answer}");
    }
    let answer =
        receipt(service, CSV, "note,timestamp,direction,dpu_id,sequence\nx,2026-01-03,1,283,1\n").await;
    assert_eq!((totals(&answer), &answer["ignored_columns"]), ((1, 0, 0), &json!(["note", "sequence"])));
    let refused = detail(service, CSV, "timestamp|direction|dpu_id\n2026-01-03|1|283\n").await;
    assert!(refused.contains("commas, semicolons or tabs"), "{refused}");
}

async fn unknown_parameters_are_refused(service: &Service) {
    let (space, event) = (service.space("Hall").await, r#"{"ts":"2026-01-01","direction":1,"dpu":"283"}"#);
    let request = Request::post("/events?timezone=Europe/Berlin").header("content-type", JSON);
    let answer = service.send(request.body(event.into()).unwrap()).await;
    let expected = r#"{"detail":"unknown parameter \"timezone\": the only one is time_zone"}"#;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::BAD_REQUEST, expected));
    let counts = format!("/space/{space}/counts?start=2026-01-01&end=2026-01-02");
    for (path, detail) in [
        (
            format!("/space/{space}/count?timestamp=2026-01-01"),
            "unknown parameter \"timestamp\": the only one is ts",
        ),
        (format!("/space/{space}/count?ts=2026-01-01&x"), "unknown parameter \"x\": the only one is ts"),
        (
            format!("{counts}&intervall=day"),
            "unknown parameter \"intervall\": accepted are start, end, interval, time_zone, format",
        ),
        (format!("{counts}&timezone=UTC"), "unknown parameter \"timezone\": accepted are"),
        ("/healthz?verbose=1".to_owned(), "unknown parameter \"verbose\": this path has none"),
        ("/readyz?x=".to_owned(), "unknown parameter \"x\": this path has none"),
        ("/metrics?name=x".to_owned(), "unknown parameter \"name\": this path has none"),
        ("/openapi.json?x".to_owned(), "unknown parameter \"x\": this path has none"),
    ] {
        let answer = service.get(&path).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}: {}", answer.body);
        let found = answer.json();
        assert!(found["detail"].as_str().unwrap().starts_with(detail), "{path}: {found}");
    }
    // For an unknown space, parameters are not checked.
    assert_eq!(service.get("/space/999/count?timestamp=x").await.status, StatusCode::NOT_FOUND);
}

async fn compressed_bodies_are_decompressed(service: &Service) {
    service.dpu("283").await;
    let packed = |coding: &'static str, body: &[u8]| {
        let request =
            Request::post("/events").header("content-type", NDJSON).header("content-encoding", coding);
        service.send(request.body(body.to_vec().into()).unwrap())
    };
    let [_, (_, lines), _] = bodies(10_000);
    for (coding, body, expected) in
        [("gzip", gzip(lines.as_bytes()), (10_000, 0, 0)), ("zstd", zstd(lines.as_bytes()), (0, 10_000, 0))]
    {
        let answer = packed(coding, &body).await;
        assert_eq!((answer.status, totals(&answer.json())), (StatusCode::OK, expected), "{coding}");
        let answer = packed(coding, &body[..body.len() / 2]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.body);
        assert!(
            answer.body.contains("is incomplete") && answer.body.contains("were duplicates"),
            "{}",
            answer.body
        );
    }
    for (coding, body) in [
        ("br", lines.as_bytes()),
        ("gzip, gzip", lines.as_bytes()),
        ("gzip", lines.as_bytes()),
        ("zstd", lines.as_bytes()),
    ] {
        let answer = packed(coding, body).await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{coding}: {}", answer.body);
        assert_eq!(answer.header("accept-encoding"), "gzip, zstd");
        assert!(answer.json()["detail"].as_str().unwrap().contains("gzip"), "{}", answer.body);
    }

    let query = br#"{"query":"{ spaces { totalCount } }"}"#;
    let ask = |coding: &'static str, body: Vec<u8>| {
        let request =
            Request::post("/graphql").header("content-type", JSON).header("content-encoding", coding);
        service.send(request.body(body.into()).unwrap())
    };
    for (coding, body) in [("gzip", gzip(query)), ("zstd", zstd(query)), ("identity", query.to_vec())] {
        let answer = ask(coding, body).await;
        assert_eq!(answer.body, r#"{"data":{"spaces":{"totalCount":0}}}"#, "{coding}");
    }
    for coding in ["gzip", "br"] {
        let answer = ask(coding, query.to_vec()).await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{coding}");
        assert!(answer.body.contains("gzip") && answer.body.contains("zstd"), "{}", answer.body);
    }
    // A short body that would decompress to a long one.
    let bomb = gzip(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 100_000);
    assert_eq!(ask("gzip", bomb).await.status, StatusCode::PAYLOAD_TOO_LARGE);
}

async fn whole_floats_of_graphql_variables_are_integers(service: &Service) {
    service.dpu("283").await;
    let events = json!([{ "dpu": "283", "ts": "2026-01-01", "direction": "TOWARD", "seq": 1.0 }]);
    let query = "mutation ($events: [EventInput!]!) { ingest(events: $events) { accepted } }";
    assert_eq!(service.data(query, json!({ "events": events })).await["ingest"]["accepted"], 1);
    assert_eq!(service.stored_events().await[0].seq, 1);
    let without = json!([{ "dpu": " 283 ", "ts": "2026-01-01", "direction": "TOWARD", "seq": null }]);
    assert_eq!(service.data(query, json!({ "events": without })).await["ingest"]["accepted"], 1);
    let half = json!([{ "dpu": "283", "ts": "2026-01-01", "direction": "TOWARD", "seq": 1.5 }]);
    assert!(service.ask(query, json!({ "events": half })).await["errors"].is_array());
}

async fn blanks_around_a_serial_are_ignored(service: &Service) {
    service.dpu(" 283 ").await;
    for (content_type, body) in [
        (JSON, r#"{"ts":"2026-01-01","direction":1,"dpu":" 283\t"}"#),
        (NDJSON, r#"{"ts":"2026-01-01","direction":1,"dpu":"283 "}"#),
        (CSV, "timestamp,direction,dpu_id\n2026-01-01,1,\" 283 \"\n"),
    ] {
        assert_eq!(totals(&receipt(service, content_type, body).await).2, 0, "{body}");
    }
    assert_eq!(service.stored_events().await.len(), 1);
    let found = service.data("{ dpu(serial: \" 283\") { serial } }", Value::Null).await;
    assert_eq!(found["dpu"]["serial"], "283");
}

async fn an_event_before_the_floor_is_rejected_in_every_format(service: &Service) {
    service.dpu("283").await;
    for (content_type, body) in [
        (JSON, r#"{"ts":"2009-12-31T23:59:59.999Z","direction":1,"dpu":"283"}"#),
        (NDJSON, r#"{"ts":1000000000,"direction":1,"dpu":"283"}"#),
        (CSV, "timestamp,direction,dpu_id\n1970-01-01T00:00:03Z,1,283\n"),
    ] {
        let answer = receipt(service, content_type, body).await;
        assert_eq!(answer["errors"][0]["code"], "TIMESTAMP_OUT_OF_RANGE", "{answer}");
    }
}

async fn a_failure_of_the_recorder_is_reported(service: &Service) {
    service.dpu("283").await;
    let rename = async |from: &str, to: &str| {
        let transaction = service.app.database.begin().await.unwrap();
        transaction.execute_unprepared(&format!("ALTER TABLE {from} RENAME TO {to}")).await.unwrap();
        transaction.commit().await.unwrap();
    };
    let [(_, body), ..] = bodies(1);
    rename("tally", "elsewhere").await;
    let answer = post(service, JSON, body.clone()).await;
    rename("elsewhere", "tally").await;
    assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::INTERNAL_SERVER_ERROR, ""));
    assert!(
        answer.body.starts_with("{\"detail\":\"The events could not be recorded: something went wrong"),
        "{}",
        answer.body
    );
    assert_eq!(totals(&receipt(service, JSON, body).await), (1, 0, 0));
}

on_both!(
    one_event_is_answered_byte_for_byte,
    every_format_gives_the_same_events,
    bodies_may_have_any_length,
    a_body_may_arrive_in_pieces,
    events_are_recorded_before_the_body_ends,
    each_invalid_event_is_reported,
    the_list_of_errors_is_limited_but_the_total_is_exact,
    events_before_the_end_of_an_incomplete_body_are_recorded,
    bodies_without_events_are_refused,
    another_kind_of_body_or_method_is_refused,
    every_row_of_a_csv_is_stored_or_reported,
    csv_dialects_are_read,
    unknown_parameters_are_refused,
    compressed_bodies_are_decompressed,
    whole_floats_of_graphql_variables_are_integers,
    blanks_around_a_serial_are_ignored,
    an_event_before_the_floor_is_rejected_in_every_format,
    a_failure_of_the_recorder_is_reported
);

#[tokio::test]
async fn no_body_causes_an_internal_error() {
    let service = Service::on_sqlite().await;
    service.dpu("283").await;
    let mut runner = TestRunner::deterministic();
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..20),
        "[\\[\\]{},:\"\n0-9a-z\\\\]{0,20}".prop_map(String::into_bytes),
        Just(br#"{"ts":"2026-01-01","direction":1,"dpu":"283"}"#.to_vec()),
        Just(b"timestamp,direction,dpu_id\n2026-01-01,1,283\n".to_vec()),
    ];
    let body = proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat());
    for _ in 0..300 {
        let body = body.new_tree(&mut runner).unwrap().current();
        for content_type in TYPES {
            let answer = post(&service, content_type, body.clone()).await;
            assert!(matches!(answer.status.as_u16(), 200 | 400), "{} for {body:?}", answer.status);
            assert!(answer.json().is_object());
        }
    }
    service.finish().await;
}
