//! Questions about the past: histories, breakdowns, events, and last events.

use chrono::{Datelike, Duration, NaiveDate, TimeZone, Utc};
use chrono_tz::Tz;
use serde_json::{Value, json};

use crate::harness::{Service, at, on_both};
use crate::worlds::{self, SPACES, instants, world};
use counting::oracle::World;
use entity::Instant;
use entity::assignment::Placement;
use proptest::test_runner::TestRunner;

const HISTORY: &str =
    "query ($id: ID!, $start: DateTime!, $end: DateTime!, $interval: Interval!, $timeZone: String) {
    space(id: $id) { history(start: $start, end: $end, interval: $interval, timeZone: $timeZone) {
        start end count min max average entrances exits utilization
    } }
}";

impl Service {
    async fn history(&self, id: i64, start: &str, end: &str, interval: &str, time_zone: Value) -> Vec<Value> {
        let variables =
            json!({ "id": id, "start": start, "end": end, "interval": interval, "timeZone": time_zone });
        self.data(HISTORY, variables).await["space"]["history"].as_array().unwrap().clone()
    }
}

/// Creates a space with one doorway; returns its id.
async fn hall(service: &Service, capacity: Option<i32>) -> i64 {
    let (space, dpu) = (service.space("Hall").await, service.dpu("283").await);
    service.assign(dpu, space, Placement::Inside, None, None).await;
    if let Some(capacity) = capacity {
        let update = "mutation ($id: ID!, $capacity: Int) { spaceUpdate(id: $id, input: { capacity: $capacity }) { space { id } } }";
        service.data(update, json!({ "id": space, "capacity": capacity })).await;
    }
    space
}

fn crossing(ts: &str, direction: &str) -> Value {
    json!({ "dpu": "283", "ts": ts, "direction": direction })
}

/// Compares histories and breakdowns of every space with the oracle.
pub(crate) async fn assert_past(service: &Service, world: &World, spaces: &[i64]) {
    let (start, end) = ("2026-01-30T20:30:00Z", "2026-02-02T03:00:00Z");
    for (number, id) in (0..SPACES).zip(spaces) {
        for interval in ["HOUR", "DAY"] {
            for bucket in service.history(*id, start, end, interval, Value::Null).await {
                let edge = |name: &str| at(bucket[name].as_str().unwrap()).ms();
                let (from, until) = (edge("start"), edge("end"));
                assert_eq!(bucket["count"], world.count(number, until - 1), "{bucket}");
                let (entrances, exits) = world.crossings(number, from, until);
                assert_eq!(
                    (&bucket["entrances"], &bucket["exits"]),
                    (&json!(entrances), &json!(exits)),
                    "{bucket}"
                );
                // The count is constant between the instants of events.
                let mut steps: Vec<i64> = world
                    .events
                    .iter()
                    .map(|event| event.ts)
                    .chain(world.resets.iter().map(|r| r.ts))
                    .collect();
                steps.extend([from, until]);
                steps.retain(|ts| (from..=until).contains(ts));
                steps.sort_unstable();
                steps.dedup();
                let counts: Vec<(i64, i64)> =
                    steps.windows(2).map(|step| (world.count(number, step[0]), step[1] - step[0])).collect();
                assert_eq!(bucket["min"], *counts.iter().map(|(count, _)| count).min().unwrap(), "{bucket}");
                assert_eq!(bucket["max"], *counts.iter().map(|(count, _)| count).max().unwrap(), "{bucket}");
                #[allow(clippy::cast_precision_loss)]
                let mean =
                    counts.iter().map(|(count, ms)| count * ms).sum::<i64>() as f64 / (until - from) as f64;
                assert!(
                    (bucket["average"].as_f64().unwrap() - mean).abs() < 1e-9,
                    "{bucket} is not {mean} on average"
                );
            }
        }
        let query = "query ($id: ID!, $ts: DateTime) { space(id: $id) { countBreakdown(ts: $ts) {
            netCount startCount start assignments { entrances exits net }
        } } }";
        for ts in instants(world).into_iter().step_by(7) {
            let data = service.data(query, json!({ "id": id, "ts": Instant::from_ms(ts).to_string() })).await;
            let breakdown = &data["space"]["countBreakdown"];
            let mut sum = breakdown["startCount"].as_i64().unwrap();
            for share in breakdown["assignments"].as_array().unwrap() {
                let number = |name: &str| share[name].as_i64().unwrap();
                assert_eq!(number("net"), number("entrances") - number("exits"));
                sum += number("net");
            }
            assert_eq!(breakdown["netCount"], sum);
            assert_eq!(sum, world.count(number, ts), "space {number} at {ts}");
        }
    }
}

async fn a_history_has_the_counts_of_each_bucket(service: &Service) {
    let space = hall(service, Some(4)).await;
    service
        .ingest(json!([
            crossing("2026-01-01T23:00:00Z", "TOWARD"),
            crossing("2026-01-02T06:00:00Z", "TOWARD"),
            crossing("2026-01-02T12:00:00Z", "AWAY"),
            crossing("2026-01-02T12:00:00Z", "TOWARD"),
            crossing("2026-01-02T18:00:00Z", "TOWARD"),
            crossing("2026-01-03T00:00:00Z", "AWAY"),
        ]))
        .await;
    assert_eq!(
        service.history(space, "2026-01-02", "2026-01-04T12:00:00Z", "DAY", Value::Null).await,
        [
            json!({ "start": "2026-01-02T00:00:00Z", "end": "2026-01-03T00:00:00Z", "count": 3, "min": 1, "max": 3,
            "average": 2.0, "entrances": 3, "exits": 1, "utilization": 0.5 }),
            json!({ "start": "2026-01-03T00:00:00Z", "end": "2026-01-04T00:00:00Z", "count": 2, "min": 2, "max": 2,
            "average": 2.0, "entrances": 0, "exits": 1, "utilization": 0.5 }),
            json!({ "start": "2026-01-04T00:00:00Z", "end": "2026-01-04T12:00:00Z", "count": 2, "min": 2, "max": 2,
            "average": 2.0, "entrances": 0, "exits": 0, "utilization": 0.5 }),
        ]
    );
    assert!(service.history(space, "2026-01-02", "2026-01-02", "HOUR", Value::Null).await.is_empty());
}

async fn invalid_histories_are_refused(service: &Service) {
    let space = hall(service, None).await;
    for (start, end, interval, zone, problem) in [
        ("2026-01-02", "2026-01-01", "HOUR", Value::Null, "end: 2026-01-01T00:00:00Z is before start"),
        (
            "2026-01-01",
            "2026-01-02",
            "DAY",
            json!("Mars/Olympus"),
            "timeZone: unknown time zone \"Mars/Olympus\"",
        ),
        ("2026-01-01", "2026-02-01", "MINUTE", Value::Null, "interval: more than 10000 buckets"),
        ("0001-01-01", "9999-12-31", "MINUTE", Value::Null, "interval: more than 10000 buckets"),
        ("yesterday", "2026-02-01", "DAY", Value::Null, "start: \"yesterday\" is not a timestamp"),
        ("2026-01-01", "", "DAY", Value::Null, "end: \"\" is not a timestamp"),
    ] {
        let variables =
            json!({ "id": space, "start": start, "end": end, "interval": interval, "timeZone": zone });
        let answer = service.ask(HISTORY, variables).await;
        assert!(answer["errors"][0]["message"].as_str().unwrap().starts_with(problem), "{answer}");
        assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
    }
    assert_eq!(
        service.history(space, "2026-01-01", "2026-01-07T22:40:00Z", "MINUTE", Value::Null).await.len(),
        10_000
    );
}

async fn days_of_any_zone_match_an_independent_calculation(service: &Service) {
    let space = hall(service, None).await;
    // One person enters every 47 minutes.
    let (first, last) = (at("2026-03-01").ms(), at("2026-11-10").ms());
    for (zone, start, end) in [
        (Tz::America__New_York, (2026, 3, 5), (2026, 3, 12)),
        (Tz::America__New_York, (2026, 10, 29), (2026, 11, 4)),
        (Tz::Asia__Kolkata, (2026, 3, 5), (2026, 3, 12)),
        (Tz::Pacific__Apia, (2026, 4, 1), (2026, 4, 8)),
    ] {
        service.set_now("2026-12-01T00:00:00Z");
        let events: Vec<i64> = (first..last).step_by(47 * 60_000).collect();
        let inputs = |chunk: &[i64]| {
            chunk.iter().map(|ms| crossing(&Instant::from_ms(*ms).to_string(), "TOWARD")).collect()
        };
        for chunk in events.chunks(5000) {
            service.ingest(inputs(chunk)).await;
        }
        // The expected result comes from the local date of every event, as chrono computes it.
        let day_of = |ms: i64| {
            zone.from_utc_datetime(&Utc.timestamp_millis_opt(ms).unwrap().naive_utc())
                .format("%Y-%m-%d")
                .to_string()
        };
        let date = |(year, month, day): (i32, u32, u32)| NaiveDate::from_ymd_opt(year, month, day).unwrap();
        let midnight = |date: NaiveDate| {
            let noon =
                zone.with_ymd_and_hms(date.year(), date.month(), date.day(), 12, 0, 0).unwrap().to_utc();
            // Back from noon, minute by minute, as long as it is the same day.
            let minutes = (0..).take_while(|minutes| {
                day_of((noon - Duration::minutes(*minutes)).timestamp_millis()) == date.to_string()
            });
            (noon - Duration::minutes(minutes.last().unwrap())).timestamp_millis()
        };
        let (from, until) = (midnight(date(start)), midnight(date(end)));
        let texts = [from, until].map(|ms| Instant::from_ms(ms).to_string());
        let buckets = service.history(space, &texts[0], &texts[1], "DAY", json!(zone.name())).await;
        let days: Vec<String> =
            date(start).iter_days().take_while(|day| *day < date(end)).map(|day| day.to_string()).collect();
        assert_eq!(buckets.len(), days.len());
        for (bucket, day) in buckets.iter().zip(&days) {
            let entered = events.iter().filter(|ms| day_of(**ms) == *day).count();
            assert_eq!(bucket["entrances"], entered, "{zone} {day}: {bucket}");
            assert_eq!(day_of(at(bucket["start"].as_str().unwrap()).ms()), *day);
            assert_eq!(midnight(day.parse().unwrap()), at(bucket["start"].as_str().unwrap()).ms());
        }
    }
}

async fn days_of_a_space_are_in_its_own_zone_by_default(service: &Service) {
    let space = hall(service, None).await;
    let update = "mutation ($id: ID!) { spaceUpdate(id: $id, input: { timeZone: \"Asia/Kolkata\" }) { space { timeZone } } }";
    service.data(update, json!({ "id": space })).await;
    let own = service.history(space, "2026-01-01", "2026-01-02", "DAY", Value::Null).await;
    assert_eq!(own[0]["end"], "2026-01-01T18:30:00Z");
    let utc = service.history(space, "2026-01-01", "2026-01-02", "DAY", json!("UTC")).await;
    assert_eq!(utc.len(), 1);
}

async fn a_breakdown_explains_a_count(service: &Service) {
    let (space, front, side) =
        (service.space("Hall").await, service.dpu("283").await, service.dpu("423").await);
    service.assign(front, space, Placement::Inside, None, Some(at("2026-01-10"))).await;
    service.assign(side, space, Placement::Outside, Some(at("2026-01-05")), None).await;
    service.reset(space, at("2026-01-01"), 7).await;
    let side = |ts: &str, direction: &str| json!({ "dpu": "423", "ts": ts, "direction": direction });
    service
        .ingest(json!([
            crossing("2025-12-31", "TOWARD"),
            crossing("2026-01-01", "TOWARD"),
            crossing("2026-01-02", "TOWARD"),
            crossing("2026-01-03", "TOWARD"),
            crossing("2026-01-04", "AWAY"),
            crossing("2026-01-10", "AWAY"),
            side("2026-01-04", "TOWARD"),
            side("2026-01-05", "TOWARD"),
            side("2026-01-06", "AWAY"),
        ]))
        .await;
    let query = "query ($id: ID!, $ts: DateTime) { space(id: $id) { countBreakdown(ts: $ts) {
        ts count netCount start startCount reset { count } resetRule { count }
        assignments { dpu { serial } doorway after until entrances exits net assignment { placement } }
    } } }";
    let data = service.data(query, json!({ "id": space, "ts": "2026-02-01" })).await;
    assert_eq!(
        data["space"]["countBreakdown"],
        json!({
            "ts": "2026-02-01T00:00:00Z", "count": 8, "netCount": 8, "start": "2026-01-01T00:00:00Z", "startCount": 7,
            "reset": { "count": 7 }, "resetRule": null,
            "assignments": [
                { "dpu": { "serial": "283" }, "doorway": null, "after": "2026-01-01T00:00:00Z",
                  "until": "2026-01-09T23:59:59.999Z", "entrances": 2, "exits": 1, "net": 1, "assignment": { "placement": "INSIDE" } },
                { "dpu": { "serial": "423" }, "doorway": null, "after": "2026-01-04T23:59:59.999Z",
                  "until": "2026-02-01T00:00:00Z", "entrances": 1, "exits": 1, "net": 0, "assignment": { "placement": "OUTSIDE" } },
            ],
        })
    );
    let early = service.data(query, json!({ "id": space, "ts": "2025-12-31" })).await;
    assert_eq!(early["space"]["countBreakdown"]["start"], Value::Null);
    assert_eq!(early["space"]["countBreakdown"]["assignments"][0]["after"], Value::Null);
    let rule = "mutation ($id: ID!) { resetRuleCreate(input: { space: $id, timeOfDay: \"00:00\", firstDay: \"2026-02-01\" }) { userErrors { code } } }";
    service.data(rule, json!({ "id": space })).await;
    let ruled = service.data(query, json!({ "id": space, "ts": "2026-02-01" })).await;
    assert_eq!(ruled["space"]["countBreakdown"]["resetRule"], json!({ "count": 0 }));
    assert_eq!(ruled["space"]["countBreakdown"]["assignments"], json!([]));
}

async fn histories_and_breakdowns_equal_the_oracle(service: &Service) {
    let mut runner = TestRunner::deterministic();
    for _ in 0..3 {
        world(&mut runner);
    }
    let world = world(&mut runner);
    let spaces = worlds::build(service, &world).await;
    service.ingest(world.events.iter().map(worlds::input).collect()).await;
    assert_past(service, &world, &spaces).await;
}

async fn events_come_in_pages(service: &Service) {
    hall(service, None).await;
    let mut events: Vec<Value> =
        (0..7).map(|day| crossing(&format!("2026-01-0{}", day + 1), "TOWARD")).collect();
    events.push(crossing("2026-01-03", "AWAY"));
    events.push(json!({ "dpu": "283", "ts": "2026-01-03", "direction": "TOWARD", "seq": 1 }));
    service.ingest(events.into()).await;
    let query = "query ($start: DateTime, $end: DateTime, $direction: Direction, $newestFirst: Boolean! = false, $after: String) {
        dpu(serial: \"283\") { events(start: $start, end: $end, direction: $direction, newestFirst: $newestFirst, first: 4, after: $after) {
            nodes { ts direction seq created dpu { serial } } edges { cursor } totalCount pageInfo { hasNextPage hasPreviousPage endCursor }
        } }
    }";
    for newest_first in [false, true] {
        let (mut seen, mut after) = (Vec::new(), Value::Null);
        for page in 0..3 {
            let mut data = service.data(query, json!({ "newestFirst": newest_first, "after": after })).await;
            let events = data["dpu"]["events"].take();
            assert_eq!(events["totalCount"], 9);
            assert_eq!(events["pageInfo"]["hasNextPage"], page < 2);
            assert_eq!(events["pageInfo"]["hasPreviousPage"], page > 0);
            for node in events["nodes"].as_array().unwrap() {
                seen.push((
                    node["ts"].as_str().unwrap().to_owned(),
                    node["direction"] == "TOWARD",
                    node["seq"].as_i64().unwrap(),
                ));
            }
            after = events["pageInfo"]["endCursor"].clone();
        }
        let mut sorted = seen.clone();
        sorted.sort();
        sorted.dedup();
        if newest_first {
            sorted.reverse();
        }
        assert_eq!(seen, sorted);
        assert_eq!(seen.len(), 9);
        // A cursor of one order is invalid in the other.
        let answer = service.ask(query, json!({ "newestFirst": !newest_first, "after": after })).await;
        assert!(
            answer["errors"][0]["message"].as_str().unwrap().contains("not a cursor of this list"),
            "{answer}"
        );
    }
    let some = service
        .data(query, json!({ "start": "2026-01-03", "end": "2026-01-05", "direction": "TOWARD" }))
        .await;
    assert_eq!(
        (&some["dpu"]["events"]["totalCount"], &some["dpu"]["events"]["nodes"][0]["ts"]),
        (&json!(3), &json!("2026-01-03T00:00:00Z"))
    );
    for variables in [json!({ "start": "x" }), json!({ "end": "x" }), json!({ "after": "x" })] {
        let answer = service.ask(query, variables).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{answer}");
    }
    let counted = service
        .statements_of(service.data("{ dpus { nodes { events { totalCount nodes { ts } } } } }", Value::Null))
        .await;
    let listed = service
        .statements_of(service.data("{ dpus { nodes { events { nodes { ts } } } } }", Value::Null))
        .await;
    assert_eq!((counted, listed), (2, 2), "the number of events is known from the tallies");
}

async fn the_last_event_of_spaces_and_dpus(service: &Service) {
    let space = hall(service, None).await;
    let other = service.space("Loft").await;
    let query = "query ($id: ID!) { space(id: $id) { lastEvent { ts created dpu { serial } } } dpu(serial: \"283\") { lastEvent { ts direction } } }";
    let none = service.data(query, json!({ "id": space })).await;
    assert_eq!(none, json!({ "space": { "lastEvent": null }, "dpu": { "lastEvent": null } }));
    service.ingest(json!([crossing("2026-01-02", "AWAY"), crossing("2026-01-01", "TOWARD")])).await;
    service.set_now("2026-03-05T00:00:00Z");
    // A late event is earlier, whenever it arrives.
    service.ingest(json!([crossing("2025-12-01", "TOWARD")])).await;
    let data = service.data(query, json!({ "id": space })).await;
    assert_eq!(
        data,
        json!({
            "space": { "lastEvent": { "ts": "2026-01-02T00:00:00Z", "created": crate::harness::NOW, "dpu": { "serial": "283" } } },
            "dpu": { "lastEvent": { "ts": "2026-01-02T00:00:00Z", "direction": "AWAY" } },
        })
    );
    // After a move, a space's last event is the last one that counted for it.
    let moved = "mutation ($id: ID!) { dpuMove(input: { dpu: 1, at: \"2026-01-02\", to: [{ space: $id, placement: INSIDE }] }) { userErrors { code } } }";
    service.data(moved, json!({ "id": other })).await;
    let data = service.data(query, json!({ "id": space })).await;
    assert_eq!(data["space"]["lastEvent"]["ts"], "2026-01-01T00:00:00Z");
    let data = service.data(query, json!({ "id": other })).await;
    assert_eq!(data["space"]["lastEvent"]["ts"], "2026-01-02T00:00:00Z");
}

async fn lists_are_filtered_and_ordered(service: &Service) {
    for name in ["Hall", "attic", "Hallway"] {
        service.space(name).await;
    }
    let (first, _) = (service.dpu("b2").await, service.dpu("a1").await);
    service.assign(first, 1, Placement::Inside, None, None).await;
    let names = async |arguments: &str| {
        let data = service
            .data(&format!("{{ spaces({arguments}) {{ totalCount nodes {{ name }} }} }}"), Value::Null)
            .await;
        data["spaces"]["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|node| node["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names("nameContains: \"hall\"").await, ["Hall", "Hallway"]);
    assert_eq!(names("orderBy: NAME").await, ["Hall", "Hallway", "attic"]);
    assert_eq!(names(r#"nameContains: "\ud83d\ude42 \u0048all""#).await, Vec::<String>::new(), "surrogates");
    assert_eq!(names("nameContains: \"nowhere\"").await, Vec::<String>::new());
    let serials = async |arguments: &str| {
        let data =
            service.data(&format!("{{ dpus({arguments}) {{ nodes {{ serial }} }} }}"), Value::Null).await;
        data["dpus"]["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|node| node["serial"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(serials("orderBy: SERIAL").await, ["a1", "b2"]);
    assert_eq!(serials("orderBy: NAME").await, ["a1", "b2"]);
    assert_eq!(serials("unassigned: true").await, ["a1"]);
    assert_eq!(serials("unassigned: false").await, ["b2"]);
    assert_eq!(serials("nameContains: \"DPU A\"").await, ["a1"]);
    let cursor =
        service.data("{ spaces(orderBy: NAME, first: 1) { pageInfo { endCursor } } }", Value::Null).await;
    let cursor = cursor["spaces"]["pageInfo"]["endCursor"].as_str().unwrap().to_owned();
    assert_eq!(names(&format!("orderBy: NAME, after: \"{cursor}\"")).await, ["Hallway", "attic"]);
    let answer =
        service.ask(&format!("{{ spaces(after: \"{cursor}\") {{ totalCount }} }}"), Value::Null).await;
    assert!(
        answer["errors"][0]["message"].as_str().unwrap().contains("not a cursor of this list"),
        "{answer}"
    );
}

on_both!(
    a_history_has_the_counts_of_each_bucket,
    invalid_histories_are_refused,
    days_of_any_zone_match_an_independent_calculation,
    days_of_a_space_are_in_its_own_zone_by_default,
    a_breakdown_explains_a_count,
    histories_and_breakdowns_equal_the_oracle,
    events_come_in_pages,
    the_last_event_of_spaces_and_dpus,
    lists_are_filtered_and_ordered
);
