//! What devices send in formats of their own: which DPU it counts for, by which clock, what becomes of devices that nobody
//! knows yet, and who may send it.

use std::fmt::Write;

use api::auth::Role;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use devices::Format;
use entity::assignment::Placement;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::auth::token;
use crate::harness::{Answer, Service, at, on_both, until};

on_both! {
    each_format_counts_from_its_message_to_the_count,
    only_the_kind_that_a_dpu_reports_counts,
    the_clock_of_a_dpu_tells_when_something_happened,
    log_entries_that_come_late_add_nobody,
    intervals_by_the_clock_of_their_arrival_do_not_overlap,
    reports_of_an_unknown_device_wait_for_its_dpu,
    a_kept_report_has_the_time_zone_of_its_sender,
    unknown_devices_are_listed_in_pages,
    the_inbox_is_bounded,
    a_device_is_one_dpu_however_its_address_is_written,
    a_message_is_answered_with_an_error_only_if_nothing_of_it_can_be_read,
    a_message_that_is_not_stored_in_time_is_to_be_sent_again,
    a_token_is_sent_as_a_device_can,
    a_token_of_one_dpu_receives_only_its_reports,
}

/// A message from its sender to the count: what is posted, and the count of the doorway of one line of it afterwards.
struct Case {
    format: Format,
    query: &'static str,
    fixture: &'static str,
    /// Replacements that make an earlier message of the fixture: a baseline of totals.
    earlier: &'static [(&'static str, &'static str)],
    serial: &'static str,
    reports: &'static str,
    count: i64,
}

const CASES: &[Case] = &[
    case(Format::Xovis, "", "live_data.json", "80:1f:12:aa:00:07/3", "CROSSINGS", 2),
    case(Format::Xovis, "?device=801F12AA0008", "logics_data.json", "80:1F:12:AA:00:08/2", "INTERVALS", 0),
    case(Format::Xovis, "", "version_4.json", "80:1F:12:AA:00:04/Door", "INTERVALS", -3),
    case(Format::Xovis, "", "version_4_events.json", "80:1F:12:AA:00:04/0", "CROSSINGS", 1),
    case(Format::Milesight, "", "periodic.json", "6537F40117720042/1", "INTERVALS", 2),
    case(Format::Milesight, "", "trigger.json", "6537F40117720042/1", "CROSSINGS", 1),
    case(Format::Milesight, "", "vs121p.json", "24e124550c9d/1", "INTERVALS", 1),
    Case {
        earlier: &[("5120", "5100"), ("5044", "5040"), ("1772443200", "1772442200")],
        ..case(Format::Milesight, "", "webhook.json", "24E124725D090311/2", "TOTALS", 16)
    },
    case(Format::Axis, "", "retail_data.json", "B8:A4:4F:00:00:01", "INTERVALS", 5),
    Case {
        earlier: &[("\"57\"", "\"50\""), ("1700000000250", "1699999000250")],
        ..case(Format::Axis, "", "crossline.json", "B8A44F000003/Scenario2", "TOTALS", 7)
    },
    Case {
        earlier: &[("40", "30"), ("37", "35"), ("20170503112756", "20170503102756")],
        ..case(Format::Axis, "?time_zone=Europe/Oslo", "people_counter.json", "ACCC8E000002", "TOTALS", 8)
    },
    Case {
        earlier: &[("<enter>41<", "<enter>31<"), ("<exit>37<", "<exit>33<"), ("09:15:30", "09:05:30")],
        ..case(Format::Hikvision, "", "real_time.xml", "44:19:B6:0A:51:7E/2", "TOTALS", 6)
    },
    case(Format::Hikvision, "", "time_range.xml", "44:19:B6:0A:51:7E/2.3", "INTERVALS", 2),
    case(Format::Hourly, "?device=Gate", "axis.csv", "Gate", "INTERVALS", 1),
    case(
        Format::Hourly,
        "?device=Bridge&start=time&in=bridge,%20in&out=bridge,%20out&time_zone=Europe/Berlin",
        "eco_counter.csv",
        "Bridge",
        "INTERVALS",
        10,
    ),
    case(
        Format::Hourly,
        "?device=Door&in=forward%20counter&out=backward%20counter&start=from-time&end=to-time&time_format=%25d/%25m/%25Y%20-%20%25H:%25M",
        "xovis.csv",
        "Door",
        "INTERVALS",
        0,
    ),
    case(Format::Hourly, "?in=entries&out=exits&line=gate", "university.json", "LIB/2", "INTERVALS", 14),
    case(Format::Footfallcam, "", "in.json", "ECD5CC00000000A1/3", "CROSSINGS", 1),
    case(Format::Opendatacam, "", "counter.json", "5d1c6f0e-0001-4a31-8c7e-3f2f6a7b9c10", "CROSSINGS", 1),
    case(
        Format::Opendatacam,
        "?device=Cam",
        "counter.csv",
        "Cam/5d1c6f0e-0001-4a31-8c7e-3f2f6a7b9c10",
        "CROSSINGS",
        1,
    ),
    case(Format::Irisys, "?in=0&out=1", "caught_up.json", "V4D-17020025", "TOTALS", 3),
    Case {
        earlier: &[("785", "65530"), ("745", "65533"), ("09:15:07", "09:05:07")],
        // Both counters have rolled over: 791 people went in and 748 out.
        ..case(Format::Ttn, "", "vs350.json", "24-E1-24-79-1D-20-44-17", "TOTALS", 43)
    },
    case(Format::Ttn, "?preset=vs350", "vs350_history.json", "24E124791D204417", "TOTALS", 4),
    Case {
        earlier: &[("266", "260"), ("249", "247"), ("09:20:41", "09:10:41")],
        ..case(Format::Chirpstack, "?event=up", "up_vs133.json", "24E124725C481203/1", "TOTALS", 4)
    },
];

const fn case(
    format: Format,
    query: &'static str,
    fixture: &'static str,
    serial: &'static str,
    reports: &'static str,
    count: i64,
) -> Case {
    Case { format, query, fixture, earlier: &[], serial, reports, count }
}

/// Returns a message of `devices/fixtures`.
fn fixture(format: Format, name: &str) -> String {
    let path = format!("{}/../devices/fixtures/{format}/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

async fn each_format_counts_from_its_message_to_the_count(service: &Service) {
    service.set_now("2026-12-01T12:00:00Z");
    for Case { format, query, fixture: name, earlier, serial, reports, count } in CASES {
        // Another case may have the same line with another kind.
        let query_id = "query ($serial: String!) { dpu(serial: $serial) { id } }";
        let known = service.data(query_id, json!({ "serial": serial })).await["dpu"]["id"].take();
        if known.is_string() {
            let input = json!({ "serial": format!("formerly {serial}") });
            let update = "mutation ($id: ID!, $input: DpuUpdateInput!) {
                dpuUpdate(id: $id, input: $input) { userErrors { message } } }";
            service.data(update, json!({ "id": known, "input": input })).await;
        }
        let bits = (*reports == "TOTALS").then_some(16).filter(|_| *format == Format::Ttn);
        let input = json!({ "serial": serial, "reports": reports, "counterBits": bits });
        let space = doorway(service, input).await;
        let path = format!("/devices/{format}{query}");
        let message = fixture(*format, name);
        if !earlier.is_empty() {
            let before = earlier.iter().fold(message.clone(), |text, (one, other)| text.replace(one, other));
            assert_eq!(receive(service, &path, before).await["accepted"], 1, "{name}");
        }
        let first = receive(service, &path, message.clone()).await;
        assert!(first["accepted"].as_u64() > Some(0), "{name}: {first}");
        assert_eq!(first["rejected"], 0, "{name}: {first}");
        assert_eq!(service.count(space, "2026-12-01T12:00:00Z").await, *count, "{name}");
        let again = receive(service, &path, message).await;
        assert_eq!(
            (&again["accepted"], &again["duplicates"]),
            (&json!(0), &first["accepted"]),
            "{name}: {again}"
        );
        assert_eq!(service.count(space, "2026-12-01T12:00:00Z").await, *count, "{name}");
    }
    for format in Format::ALL {
        assert!(CASES.iter().any(|case| case.format == format), "{format} has no case");
    }
}

async fn post(service: &Service, path: &str, message: impl Into<Body>) -> Answer {
    service.send(Request::post(path).body(message.into()).unwrap()).await
}

/// Posts a message that must be received.
async fn receive(service: &Service, path: &str, message: impl Into<Body>) -> Value {
    let answer = post(service, path, message).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.json()
}

/// Creates a DPU that hangs inside a new space. Returns the space.
async fn doorway(service: &Service, input: Value) -> i64 {
    let space = service.space(&format!("Room of {} {}", input["serial"], input["reports"])).await;
    let id = create(service, input).await;
    service.assign(id, space, Placement::Inside, None, None).await;
    space
}

async fn create(service: &Service, input: Value) -> i64 {
    let query = "mutation ($input: DpuCreateInput!) {
        dpuCreate(input: $input) { dpu { id } userErrors { code field message } } }";
    let payload = service.data(query, json!({ "input": input })).await["dpuCreate"].take();
    assert_eq!(payload["userErrors"], json!([]), "{payload}");
    payload["dpu"]["id"].as_str().unwrap().parse().unwrap()
}

/// A log entry of an Irisys sensor with one register for each direction.
fn irisys(ts: &str, into: i64, out: i64) -> String {
    let register = |id, value| json!({ "RegisterId": id, "Value": value });
    let log = json!({ "Timestamp": ts, "LogEntryId": 1, "Counts": [register(0, into), register(1, out)] });
    json!({ "FriendlyDeviceSerial": "V4D-17", "CountLogs": [log] }).to_string()
}

const BOTH: &str = "/devices/irisys?in=0&out=1";

async fn only_the_kind_that_a_dpu_reports_counts(service: &Service) {
    let totals = doorway(service, json!({ "serial": "V4D-17", "reports": "TOTALS" })).await;
    let crossings = doorway(service, json!({ "serial": "V4D-17/0" })).await;
    for (ts, into, out, accepted) in [
        ("2026-03-01T10:00:00Z", 100, 40, 1),
        ("2026-03-01T10:10:00Z", 107, 42, 1),
        ("2026-03-01T10:10:00Z", 107, 42, 0),
    ] {
        let received = receive(service, BOTH, irisys(ts, into, out)).await;
        let expected = json!({ "accepted": accepted, "duplicates": 1 - accepted, "ignored": 0, "unknown": 0,
            "rejected": 0, "errors": [] });
        assert_eq!(received, expected);
        // The same registers as lines of their own. The first one is a DPU that reports crossings.
        let received = receive(service, "/devices/irisys", irisys(ts, into, out)).await;
        assert_eq!((&received["ignored"], &received["unknown"]), (&json!(1), &json!(1)), "{received}");
    }
    assert_eq!(service.count(totals, "2026-03-01T11:00:00Z").await, 5);
    assert_eq!(service.count(crossings, "2026-03-01T11:00:00Z").await, 0);
    // What is ignored proves that it is alive.
    let dpu = service.data("{ dpu(serial: \"V4D-17/0\") { health { lastHeard } } }", json!({})).await;
    assert_eq!(dpu["dpu"]["health"]["lastHeard"], "2026-03-01T12:00:00Z");
}

async fn the_clock_of_a_dpu_tells_when_something_happened(service: &Service) {
    let mut spaces = Vec::new();
    for (serial, clock) in [
        ("D", json!({})),
        ("A", json!({ "clock": "ARRIVAL" })),
        ("W", json!({ "clock": "DEVICE_WITHIN", "clockWithin": 600 })),
        ("Z", json!({ "timeZone": "Europe/Berlin" })),
    ] {
        let mut input = json!({ "serial": serial, "reports": "TOTALS" });
        input.as_object_mut().unwrap().extend(clock.as_object().unwrap().clone());
        spaces.push(doorway(service, input).await);
    }
    let all = async |ts: &str, into: i64| {
        for serial in ["D", "A", "W", "Z"] {
            let log = json!({ "Timestamp": ts, "Counts": [{ "RegisterId": 0, "Value": into }, { "RegisterId": 1, "Value": 0 }] });
            let message = json!({ "FriendlyDeviceSerial": serial, "CountLogs": [log] }).to_string();
            let received = receive(service, BOTH, message).await;
            assert_eq!(received["accepted"], 1, "{serial}: {received}");
        }
    };
    // Live, by clocks that are 5 minutes behind. In Berlin it is an hour later.
    service.set_now("2026-03-01T12:00:00Z");
    all("2026-03-01T11:55:00", 1).await;
    service.set_now("2026-03-01T13:00:00Z");
    all("2026-03-01T12:55:00", 4).await;
    // The clocks stand still.
    service.set_now("2026-03-01T14:00:00Z");
    let frozen = "2026-03-01T12:56:00";
    all(frozen, 10).await;
    let counts = async |ts: &str| {
        let mut counts = Vec::new();
        for space in &spaces {
            counts.push(service.count(*space, ts).await);
        }
        counts
    };
    service.set_now("2026-03-01T20:00:00Z");
    assert_eq!(counts("2026-03-01T11:55:00Z").await, [0, 0, 0, 3]);
    assert_eq!(counts("2026-03-01T12:55:00Z").await, [3, 0, 3, 9]);
    assert_eq!(counts("2026-03-01T12:56:00Z").await, [9, 0, 3, 9]);
    assert_eq!(counts("2026-03-01T13:00:00Z").await, [9, 3, 3, 9]);
    assert_eq!(counts("2026-03-01T14:00:00Z").await, [9, 9, 9, 9]);
    let query =
        "query ($serial: String!) { dpu(serial: $serial) { health { clockOffsetMs } clock clockWithin } }";
    let dpu = service.data(query, json!({ "serial": "A" })).await["dpu"].take();
    assert_eq!(
        dpu,
        json!({ "clock": "ARRIVAL", "clockWithin": null, "health": { "clockOffsetMs": -64 * 60_000 } })
    );

    let update = "mutation ($id: ID!, $input: DpuUpdateInput!) {
        dpuUpdate(id: $id, input: $input) { dpu { clock clockWithin } userErrors { field message } } }";
    let id = service.data("{ dpu(serial: \"W\") { id } }", json!({})).await["dpu"]["id"].take();
    for (input, dpu, field) in [
        (json!({ "clockWithin": 0 }), Value::Null, "clockWithin"),
        (json!({ "clock": "ARRIVAL", "clockWithin": 5 }), Value::Null, "clockWithin"),
        (json!({ "clockWithin": null }), Value::Null, "clockWithin"),
        (json!({ "clock": "ARRIVAL" }), json!({ "clock": "ARRIVAL", "clockWithin": null }), ""),
        (json!({ "clock": "DEVICE_WITHIN" }), Value::Null, "clockWithin"),
    ] {
        let payload = service.data(update, json!({ "id": id, "input": input })).await["dpuUpdate"].take();
        assert_eq!(payload["dpu"], dpu, "{input}: {payload}");
        assert_eq!(
            payload["userErrors"][0]["field"][1].as_str().unwrap_or_default(),
            field,
            "{input}: {payload}"
        );
    }
}

async fn log_entries_that_come_late_add_nobody(service: &Service) {
    let space = doorway(service, json!({ "serial": "V4D-17", "reports": "TOTALS" })).await;
    for (minute, into) in [("00", 100), ("30", 130), ("15", 115)] {
        let received = receive(service, BOTH, irisys(&format!("2026-03-01T10:{minute}:00Z"), into, 9)).await;
        assert_eq!(received["accepted"], 1, "{received}");
    }
    assert_eq!(service.count(space, "2026-03-01T10:15:00Z").await, 15);
    assert_eq!(service.count(space, "2026-03-01T10:30:00Z").await, 30);
}

async fn intervals_by_the_clock_of_their_arrival_do_not_overlap(service: &Service) {
    let input =
        json!({ "serial": "Gate", "reports": "INTERVALS", "clock": "DEVICE_WITHIN", "clockWithin": 60 });
    let space = doorway(service, input).await;
    // The clock stands still. Messages come some seconds early or late.
    for (now, people) in [("12:00:10", 1), ("12:15:05", 2), ("12:30:12", 4), ("12:45:00", 8)] {
        service.set_now(&format!("2026-03-01T{now}Z"));
        let table = format!("start,end,in,out\n2025-05-30 08:00:00,2025-05-30 08:15:00,{people},0\n");
        let received = receive(service, "/devices/hourly?device=Gate", table).await;
        assert_eq!(received["accepted"], 1, "{now}: {received}");
    }
    service.set_now("2026-03-01T13:00:00Z");
    for (ts, count) in [("12:00:09.999", 1), ("12:15:04.999", 3), ("12:30:11.999", 7), ("12:44:59.999", 15)] {
        assert_eq!(service.count(space, &format!("2026-03-01T{ts}Z")).await, count, "{ts}");
    }
}

async fn unknown(service: &Service) -> Value {
    let query = "{ unknownDevices(first: 5) { nodes {
        serial format reports firstHeard lastHeard suggestedReports counterBits sample } } }";
    service.data(query, json!({})).await["unknownDevices"]["nodes"].take()
}

async fn reports_of_an_unknown_device_wait_for_its_dpu(service: &Service) {
    for (now, ts, into) in [
        ("2026-03-01T10:00:01Z", "2026-03-01T10:00:00Z", 100),
        ("2026-03-01T10:10:01Z", "2026-03-01T10:10:00Z", 103),
        ("2026-03-01T10:20:01Z", "2026-03-01T10:20:00Z", 110),
        // Sent again.
        ("2026-03-01T10:20:05Z", "2026-03-01T10:20:00Z", 110),
    ] {
        service.set_now(now);
        let received = receive(service, BOTH, irisys(ts, into, 50)).await;
        assert_eq!((&received["accepted"], &received["unknown"]), (&json!(0), &json!(1)), "{received}");
    }
    let listed = unknown(service).await;
    let sample = r#"{"serial":"V4D-17","totals":{"ts":"2026-03-01T10:20:00Z","toward":110,"away":50}}"#;
    let expected = json!([{
        "serial": "V4D-17", "format": "irisys", "reports": 3, "firstHeard": "2026-03-01T10:00:01Z",
        "lastHeard": "2026-03-01T10:20:05Z", "suggestedReports": "TOTALS", "counterBits": null, "sample": sample,
    }]);
    assert_eq!(listed, expected);

    service.set_now("2026-03-01T10:25:00Z");
    let space =
        doorway(service, json!({ "serial": "V4D-17", "reports": listed[0]["suggestedReports"] })).await;
    until("the inbox is empty", async || unknown(service).await == json!([])).await;
    assert_eq!(service.count(space, "2026-03-01T10:10:00Z").await, 3);
    assert_eq!(service.count(space, "2026-03-01T10:20:00Z").await, 10);
    let received = receive(service, BOTH, irisys("2026-03-01T10:24:00Z", 111, 50)).await;
    assert_eq!(received["accepted"], 1);
    assert_eq!(service.count(space, "2026-03-01T10:24:00Z").await, 11);
}

async fn a_kept_report_has_the_time_zone_of_its_sender(service: &Service) {
    let table = "start,end,in,out\n2026-02-28 08:00:00,2026-02-28 08:15:00,3,0\n";
    let path = "/devices/hourly?device=Gate&time_zone=America/New_York";
    assert_eq!(receive(service, path, table).await["unknown"], 1);
    let input = json!({ "serial": "Gate", "reports": "INTERVALS", "timeZone": "Europe/Berlin" });
    let space = doorway(service, input).await;
    until("the inbox is empty", async || unknown(service).await == json!([])).await;
    assert_eq!(service.count(space, "2026-02-28T13:14:59Z").await, 0);
    assert_eq!(service.count(space, "2026-02-28T13:15:00Z").await, 3);
}

async fn unknown_devices_are_listed_in_pages(service: &Service) {
    for device in ["e", "a", "d", "b", "c"] {
        let message = irisys("2026-03-01T10:00:00Z", 1, 1).replace("V4D-17", device);
        receive(service, BOTH, message).await;
    }
    let query = "query ($first: Int, $after: String, $last: Int, $before: String) {
        unknownDevices(first: $first, after: $after, last: $last, before: $before) {
            nodes { serial } pageInfo { startCursor endCursor hasNextPage hasPreviousPage } } }";
    let page = async |arguments: Value| {
        let page = service.data(query, arguments).await["unknownDevices"].take();
        let serials =
            page["nodes"].as_array().unwrap().iter().map(|node| node["serial"].as_str().unwrap().to_owned());
        (serials.collect::<String>(), page["pageInfo"].clone())
    };
    let (first, info) = page(json!({ "first": 2 })).await;
    assert_eq!((first.as_str(), &info["hasNextPage"]), ("ab", &json!(true)));
    let (second, next) = page(json!({ "first": 3, "after": info["endCursor"] })).await;
    assert_eq!((second.as_str(), &next["hasNextPage"]), ("cde", &json!(false)));
    let (last, _) = page(json!({ "last": 2 })).await;
    assert_eq!(last, "de");
    let (before, info) = page(json!({ "last": 2, "before": next["endCursor"] })).await;
    assert_eq!((before.as_str(), &info["hasPreviousPage"]), ("cd", &json!(true)));
}

async fn the_inbox_is_bounded(service: &Service) {
    let mut table = "start,in,out\n".to_owned();
    for minute in 0..20_100 {
        let ts = at("2026-02-01T00:00:00Z").plus_ms(minute * 60_000);
        writeln!(table, "{ts},1,0").unwrap();
    }
    let received = receive(service, "/devices/hourly?device=Gate&minutes=1", table).await;
    assert_eq!(received["unknown"], 20_100, "{received}");
    let kept = async || {
        service.app.gateway.inbox().trim(service.app.clock.now()).await.unwrap();
        unknown(service).await.get(0).map(|device| device["reports"].clone())
    };
    assert_eq!(kept().await, Some(json!(20_000)));
    service.set_now("2026-04-01T12:00:01Z");
    assert_eq!(kept().await, None);
}

async fn a_device_is_one_dpu_however_its_address_is_written(service: &Service) {
    let space = doorway(service, json!({ "serial": "80:1F:12:D5:30:DC" })).await;
    let event = |dpu: &str, seq: i64| json!({ "dpu": dpu, "ts": "2026-03-01T10:00:00Z", "direction": "TOWARD", "seq": seq });
    let payload = service
        .ingest(json!([event("801f12d530dc", 0), event("80-1F-12-d5-30-DC", 1), event("801f12d530d", 2)]))
        .await;
    assert_eq!(payload["accepted"], 2, "{payload}");
    assert_eq!(service.count(space, "2026-03-01T11:00:00Z").await, 2);
    let query = "mutation ($input: DpuCreateInput!) { dpuCreate(input: $input) { userErrors { code field message } } }";
    let input = json!({ "input": { "serial": "801f.12d5.30dc" } });
    let errors = service.data(query, input).await["dpuCreate"]["userErrors"].take();
    let message = "\"80:1F:12:D5:30:DC\" is the same serial in another spelling: it is that of DPU 1";
    assert_eq!(errors, json!([{ "code": "TAKEN", "field": ["input", "serial"], "message": message }]));
    // Its own serial may change its spelling.
    let query = "mutation ($id: ID!) { dpuUpdate(id: $id, input: { serial: \"801F12D530DC\" }) {
        dpu { serial } userErrors { message } } }";
    let id = service.data("{ dpu(serial: \"801f12d530dc\") { id } }", json!({})).await["dpu"]["id"].take();
    let payload = service.data(query, json!({ "id": id })).await["dpuUpdate"].take();
    assert_eq!(payload, json!({ "dpu": { "serial": "801F12D530DC" }, "userErrors": [] }));
}

async fn a_message_is_answered_with_an_error_only_if_nothing_of_it_can_be_read(service: &Service) {
    let long = format!("{{\"x\":\"{}\"}}", "x".repeat(2 << 20));
    for (path, message, status, detail) in [
        ("/devices/iris", "{}".to_owned(), 404, "unknown format \"iris\": accepted are xovis, "),
        (
            "/devices/irisys",
            "{}".to_owned(),
            400,
            "The message is not of the format irisys: missing field `CountLogs`",
        ),
        (
            "/devices/irisys",
            "hello".to_owned(),
            400,
            "The message is not of the format irisys: the message is not JSON",
        ),
        ("/devices/irisys?in=1", "{}".to_owned(), 400, "in is given without out: give both"),
        ("/devices/irisys?ts=1", "{}".to_owned(), 400, "unknown setting \"ts\" of the format irisys"),
        ("/devices/irisys?time_zone=Mars", "{}".to_owned(), 400, "time_zone: \"Mars\" is not a time zone"),
        ("/devices/irisys", long, 413, "The body has more than 1048576 bytes, which is the maximum"),
    ] {
        let answer = post(service, path, message).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.body);
        let found = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(found.starts_with(detail), "{path}: {found}");
    }
    assert_eq!(service.get("/devices/irisys").await.status, 405);
    // A report that is rejected.
    doorway(service, json!({ "serial": "V4D-17", "reports": "TOTALS" })).await;
    let received = receive(service, BOTH, irisys("2031-01-01T00:00:00Z", 1, 1)).await;
    assert_eq!(
        (&received["rejected"], &received["errors"][0]["code"]),
        (&json!(1), &json!("TIMESTAMP_IN_FUTURE"))
    );
    assert_eq!(received["errors"][0]["serial"], "V4D-17");
}

async fn a_message_that_is_not_stored_in_time_is_to_be_sent_again(service: &Service) {
    let space = doorway(service, json!({ "serial": "V4D-17", "reports": "TOTALS" })).await;
    receive(service, BOTH, irisys("2026-03-01T10:00:00Z", 1, 1)).await;
    // Somebody else holds the row of the floor plan, or on SQLite the whole database.
    let held = service.app.database.begin().await.unwrap();
    held.execute_unprepared("UPDATE floor_plan SET revision = revision").await.unwrap();
    held.execute_unprepared("UPDATE dpu SET modified = modified").await.unwrap();
    let answer = post(service, BOTH, irisys("2026-03-01T10:10:00Z", 5, 1)).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"), "{}", answer.body);
    held.rollback().await.unwrap();
    let again = receive(service, BOTH, irisys("2026-03-01T10:10:00Z", 5, 1)).await;
    assert_eq!(again["accepted"].as_u64().unwrap() + again["duplicates"].as_u64().unwrap(), 1, "{again}");
    assert_eq!(service.count(space, "2026-03-01T11:00:00Z").await, 4);
}

async fn a_token_is_sent_as_a_device_can(service: &Service) {
    let ingest = token(service, "ingest", Role::Ingest(None), None).await;
    let admin = token(service, "admin", Role::Admin, None).await;
    let read = token(service, "read", Role::Read(None), None).await;
    let secret = |header: &str| header.strip_prefix("Bearer ").unwrap().to_owned();
    let basic = |header: &str| {
        format!("Basic {}", data_encoding::BASE64.encode(format!("sensor:{}", secret(header)).as_bytes()))
    };
    let status = async |path: &str, headers: &[(&str, &str)]| {
        let request =
            headers.iter().fold(Request::post(path), |request, (name, value)| request.header(*name, *value));
        let message = irisys("2026-03-01T10:00:00Z", 1, 1);
        let answer = service.send(request.body(message.into()).unwrap()).await;
        assert!(!answer.body.contains("hc_"), "{}", answer.body);
        answer.status.as_u16()
    };
    let path = |header: &str| format!("/devices/irisys/t/{}?in=0&out=1", secret(header));
    for (given, expected) in
        [(&ingest, [200, 200, 200, 200]), (&admin, [200, 200, 200, 403]), (&read, [403, 403, 403, 403])]
    {
        let key = secret(given);
        let found = [
            status(BOTH, &[("authorization", given)]).await,
            status(BOTH, &[("authorization", &basic(given))]).await,
            status(BOTH, &[("x-api-key", &key)]).await,
            status(&path(given), &[]).await,
        ];
        assert_eq!(found, expected);
    }
    assert_eq!(status(BOTH, &[]).await, 401);
    assert_eq!(status(BOTH, &[("x-api-key", "hc_0")]).await, 401);
    assert_eq!(status("/devices/irisys/t/hc_0", &[]).await, 401);
    assert_eq!(status(&format!("{}/more", path(&ingest).split('?').next().unwrap()), &[]).await, 401);
    // No other path takes it.
    assert_eq!(status(&format!("/events/t/{}", secret(&ingest)), &[]).await, 404);
}

async fn a_token_of_one_dpu_receives_only_its_reports(service: &Service) {
    let space = doorway(service, json!({ "serial": "A/0", "reports": "TOTALS" })).await;
    doorway(service, json!({ "serial": "V4D-17/0", "reports": "TOTALS" })).await;
    let id = service.data("{ dpu(serial: \"A/0\") { id } }", json!({})).await["dpu"]["id"].take();
    let one = token(service, "one", Role::Ingest(Some(id.as_str().unwrap().parse().unwrap())), None).await;
    let sent = async |message: String| {
        let request = Request::post("/devices/irisys").header("authorization", &one);
        let answer = service.send(request.body(message.into()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.json()
    };
    // Registers of another device: one that is known, one that is not.
    let received = sent(irisys("2026-03-01T10:00:00Z", 1, 1)).await;
    assert_eq!((&received["rejected"], &received["unknown"]), (&json!(2), &json!(0)), "{received}");
    assert_eq!(received["errors"][0]["code"], "UNKNOWN_DPU");
    // A message that does not name its device is of the token's.
    for (ts, value) in [("2026-03-01T10:00:00Z", 5), ("2026-03-01T10:10:00Z", 9)] {
        let log = json!({ "Timestamp": ts, "Counts": [{ "RegisterId": 0, "Value": value }] });
        let received = sent(json!({ "CountLogs": [log] }).to_string()).await;
        assert_eq!(received["accepted"], 1, "{received}");
    }
    assert!(at("2026-03-01T10:10:00Z") < service.app.clock.now());
    let query = json!({ "query": "query ($id: ID!) { space(id: $id) { count(ts: \"2026-03-01T11:00:00Z\") } }",
        "variables": { "id": space.to_string() } });
    let admin = token(service, "admin", Role::Admin, None).await;
    let request =
        Request::post("/graphql").header("authorization", admin).header("content-type", "application/json");
    let answer = service.send(request.body(query.to_string().into()).unwrap()).await;
    assert_eq!(answer.json()["data"]["space"]["count"], 4, "{}", answer.body);
}
