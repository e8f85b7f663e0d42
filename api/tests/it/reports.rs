//! Intervals and totals beside crossings: compared with the oracle in any order, with another process, with small caches,
//! and with simulated people whose true number is known; and each door, refusal and void.

use std::collections::BTreeSet;

use api::verify::verify;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use entity::Instant;
use entity::assignment::Placement;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::harness::{Service, at, on_both, until};
use crate::states::{CACHES, Process};
use counting::oracle::{self, World};

const HOUR_MS: i64 = 3_600_000;
const START: &str = "2026-01-30T21:00:00Z";
const HOURS: i64 = 52;
/// DPU 0 and 1 report crossings, 2 and 3 intervals, 4 and 5 totals. Even ones hang inside space 0, odd ones outside; all
/// count for space 1 on the other side after a move.
const DPUS: i64 = 6;
const SPACES: i64 = 2;
/// The counters of DPUs that report totals begin here, so that they roll over.
const COUNTER_START: i64 = 65_500;

/// What a sender reports, and what it makes of the world.
#[derive(Clone, Copy, Debug)]
enum Sent {
    Event(oracle::Event),
    Interval(oracle::Interval, bool),
    Totals(oracle::Totals),
}

impl Sent {
    fn json(self) -> Value {
        let text = |ts: i64| Instant::from_ms(ts).to_string();
        let serial = |dpu: i64| format!("D{dpu}");
        match self {
            Self::Event(event) => {
                json!({ "dpu": serial(event.dpu), "ts": text(event.ts), "direction": event.direction, "seq": event.seq })
            }
            Self::Interval(one, revise) => json!({
                "dpu_id": serial(one.dpu), "from": text(one.from), "to": text(one.to), "toward": one.toward,
                "away": one.away, "revise": revise,
            }),
            Self::Totals(one) => json!({
                "dpu_id": serial(one.dpu), "timestamp": text(one.ts), "total_toward": one.toward,
                "total_away": one.away,
            }),
        }
    }

    fn add_to(self, world: &mut World) {
        match self {
            Self::Event(event) => world.events.push(event),
            Self::Interval(interval, _) => world.intervals.push(interval),
            Self::Totals(totals) => world.totals.push(totals),
        }
    }
}

/// Simulated people, how they were reported, and the floor plan.
#[derive(Debug)]
struct Simulation {
    /// Every person, as if all DPUs reported crossings.
    people: World,
    /// In the order in which it is sent.
    sent: Vec<Sent>,
}

fn instant() -> impl Strategy<Value = i64> {
    let start = at(START).ms();
    prop_oneof![
        4 => 0..HOURS * HOUR_MS,
        1 => (0..HOURS).prop_map(|hour| hour * HOUR_MS),
        1 => (1..HOURS).prop_map(|hour| hour * HOUR_MS - 1)
    ]
    .prop_map(move |ms| start + ms)
}

fn simulation(runner: &mut TestRunner) -> Simulation {
    let sign = || prop_oneof![Just(1_i64), Just(-1)];
    let event = (0..DPUS, instant(), sign(), 0..3_i32).prop_map(|(dpu, ts, direction, seq)| oracle::Event {
        dpu,
        ts,
        direction,
        seq,
    });
    let parts = (
        vec(event, 250..350),
        // Ends of intervals and instants of readings.
        vec((2..DPUS, instant(), any::<bool>()), 120),
        vec((0..DPUS, instant()), 3..6),
        vec((0..SPACES, instant(), 0..30_i64), 0..4),
    );
    let (mut events, cuts, moves, resets) = parts.new_tree(runner).unwrap().current();
    events.sort_by_key(|event| (event.dpu, event.ts, event.direction, event.seq));
    events.dedup();
    let mut taken = BTreeSet::new();
    let moves: Vec<_> = moves.into_iter().filter(|(dpu, _)| taken.insert(*dpu)).collect();
    let mut assignments = Vec::new();
    for dpu in 0..DPUS {
        let ends_at = moves.iter().find(|(moved, _)| *moved == dpu).map(|(_, ts)| *ts);
        let placement = if dpu % 2 == 0 { 1 } else { -1 };
        assignments.push(oracle::Assignment { dpu, space: 0, placement, starts_at: None, ends_at });
        if ends_at.is_some() {
            let (space, placement) = (1, -placement);
            assignments.push(oracle::Assignment { dpu, space, placement, starts_at: ends_at, ends_at: None });
        }
    }
    let mut taken = BTreeSet::new();
    let resets = resets.into_iter().filter(|(space, ts, _)| taken.insert((*space, *ts)));
    let people = World {
        resets: resets.map(|(space, ts, count)| oracle::Reset { space, ts, count }).collect(),
        assignments,
        events,
        ..World::default()
    };
    let sent = reports(&people, &cuts);
    Simulation { sent: shuffled(runner, &sent), people }
}

/// Reports the people as their DPUs do: as crossings, as intervals between the cuts, or as totals at the cuts.
fn reports(people: &World, cuts: &[(i64, i64, bool)]) -> Vec<Sent> {
    let (first, last) = (at(START).ms() - 1, at(START).ms() + HOURS * HOUR_MS);
    let mut sent: Vec<Sent> =
        people.events.iter().filter(|event| event.dpu < 2).copied().map(Sent::Event).collect();
    for dpu in 2..DPUS {
        // No interval is longer than a day.
        let regular = (0..=HOURS / 20).map(|part| first + 1 + part * 20 * HOUR_MS);
        let own = cuts.iter().filter(|(of, ..)| *of == dpu).map(|(_, ts, _)| *ts);
        let edges: BTreeSet<i64> = regular.chain(own).chain([first, last]).collect();
        let crossed = |from: i64, to: i64| {
            let of_dpu =
                people.events.iter().filter(move |event| event.dpu == dpu && (from..to).contains(&event.ts));
            let toward = of_dpu.clone().filter(|event| event.direction == 1).count();
            let away = of_dpu.filter(|event| event.direction == -1).count();
            (i64::try_from(toward).unwrap(), i64::try_from(away).unwrap())
        };
        for (from, to) in edges.iter().copied().zip(edges.iter().copied().skip(1)) {
            let is_dropped = cuts.iter().any(|(of, ts, drops)| *drops && (*of, *ts) == (dpu, to));
            if dpu < 4 {
                let (toward, away) = crossed(from, to);
                // The first report of some has other numbers.
                if is_dropped {
                    let early = oracle::Interval { dpu, from, to, toward: toward + 2, away };
                    sent.push(Sent::Interval(early, false));
                }
                sent.push(Sent::Interval(oracle::Interval { dpu, from, to, toward, away }, true));
            } else if !is_dropped || to == last {
                // A lost reading heals.
                let (toward, away) = crossed(first, to + 1);
                let shown = |people: i64| (COUNTER_START + people) % 65_536;
                let (toward, away) = (shown(toward), shown(away));
                sent.push(Sent::Totals(oracle::Totals { dpu, ts: to, toward, away }));
            }
        }
        if dpu >= 4 {
            let (toward, away) = (COUNTER_START, COUNTER_START);
            sent.push(Sent::Totals(oracle::Totals { dpu, ts: first, toward, away }));
        }
    }
    sent
}

/// Returns the reports in any order, except that revisions come later, and some are sent again at the end.
fn shuffled(runner: &mut TestRunner, sent: &[Sent]) -> Vec<Sent> {
    let key = |interval: &oracle::Interval| (interval.dpu, interval.from);
    let early = |sent: &Sent| match sent {
        Sent::Interval(interval, false) => Some(key(interval)),
        _ => None,
    };
    let revised: BTreeSet<_> = sent.iter().filter_map(early).collect();
    let comes_later =
        |sent: &Sent| matches!(sent, Sent::Interval(interval, true) if revised.contains(&key(interval)));
    let again = sent.iter().filter(|one| early(one).is_none()).step_by(7).copied().collect();
    let (later, first): (Vec<_>, Vec<_>) = sent.iter().copied().partition(comes_later);
    let parts = [first, later, again].map(|part: Vec<Sent>| Just(part).prop_shuffle());
    parts.iter().flat_map(|part| part.new_tree(runner).unwrap().current()).collect()
}

/// Creates the floor plan; returns the ids of its spaces.
async fn build(service: &Service, world: &World) -> Vec<i64> {
    let (mut spaces, mut dpus) = (Vec::new(), Vec::new());
    for space in 0..SPACES {
        spaces.push(service.space(&format!("Space {space}")).await);
    }
    for dpu in 0..DPUS {
        let reports = ["CROSSINGS", "INTERVALS", "TOTALS"][usize::try_from(dpu / 2).unwrap()];
        let input = json!({ "serial": format!("D{dpu}"), "reports": reports, "counterBits": 16 });
        let query = "mutation($input: DpuCreateInput!) { dpuCreate(input: $input) { dpu { id reports } userErrors { message } } }";
        let made = service.data(query, json!({ "input": input })).await;
        assert_eq!(made["dpuCreate"]["dpu"]["reports"], reports, "{made}");
        dpus.push(made["dpuCreate"]["dpu"]["id"].as_str().unwrap().parse::<i64>().unwrap());
    }
    let index = |number: i64| usize::try_from(number).unwrap();
    for assignment in &world.assignments {
        let placement = if assignment.placement == 1 { Placement::Inside } else { Placement::Outside };
        let [starts_at, ends_at] =
            [assignment.starts_at, assignment.ends_at].map(|ts| ts.map(Instant::from_ms));
        let (dpu, space) = (dpus[index(assignment.dpu)], spaces[index(assignment.space)]);
        service.assign(dpu, space, placement, starts_at, ends_at).await;
    }
    for reset in &world.resets {
        let count = i32::try_from(reset.count).unwrap();
        service.reset(spaces[index(reset.space)], Instant::from_ms(reset.ts), count).await;
    }
    spaces
}

async fn post(service: &Service, content_type: &str, body: impl Into<Body>) -> Value {
    let request = Request::post("/events").header("content-type", content_type);
    let answer = service.send(request.body(body.into()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.json()
}

/// Returns the codes of what was rejected, and how many entries were accepted and duplicates.
fn told(receipt: &Value) -> (u64, u64, Vec<String>) {
    let codes = receipt["errors"].as_array().unwrap().iter();
    let codes = codes.map(|error| error["code"].as_str().unwrap().to_owned()).collect();
    (receipt["accepted"].as_u64().unwrap(), receipt["duplicates"].as_u64().unwrap(), codes)
}

const RANGE: &str = "query($id: ID!, $ts: DateTime!) { space(id: $id) {
    count(ts: $ts) countRange(ts: $ts) { low high } resolution(ts: $ts)
    countBreakdown(ts: $ts) { netCount startCount resolution assignments { net } } } }";

/// Compares a space at an instant with the oracle.
async fn assert_right(service: &Service, world: &World, spaces: &[i64], space: i64, ts: i64) -> (i64, i64) {
    let id = spaces[usize::try_from(space).unwrap()].to_string();
    let answer = service.data(RANGE, json!({ "id": id, "ts": Instant::from_ms(ts).to_string() })).await;
    let found = &answer["space"];
    let (low, high) = world.range(space, ts);
    assert_eq!(found["count"], world.count(space, ts), "space {space} at {ts} in {world:?}");
    assert_eq!(
        found["countRange"],
        json!({ "low": low, "high": high }),
        "space {space} at {ts} in {world:?}"
    );
    assert!(low <= world.count(space, ts) && world.count(space, ts) <= high);
    let is_exact = found["resolution"] == "MILLISECOND";
    assert!(low == high || !is_exact, "{found}");
    let breakdown = &found["countBreakdown"];
    let shares =
        breakdown["assignments"].as_array().unwrap().iter().map(|share| share["net"].as_i64().unwrap());
    let sum = shares.sum::<i64>() + breakdown["startCount"].as_i64().unwrap();
    assert_eq!((breakdown["netCount"].as_i64(), sum), (Some(world.count(space, ts)), world.count(space, ts)));
    (low, high)
}

/// Whatever is reported, in whatever order, every answer agrees with the oracle of what was reported so far, and in the end
/// the true number of people is within the range.
async fn any_mixture_of_reports_agrees_with_the_oracle(service: &Service) {
    let simulation = simulation(&mut TestRunner::deterministic());
    let mut world = World { events: vec![], counter_bits: Some(16), ..simulation.people.clone() };
    let spaces = build(service, &world).await;
    for (number, batch) in simulation.sent.chunks(11).enumerate() {
        let body: Value = batch.iter().map(|sent| sent.json()).collect();
        let receipt = post(service, "application/json", body.to_string()).await;
        assert_eq!(receipt["errors"], json!([]), "{batch:?}");
        for sent in batch {
            sent.add_to(&mut world);
        }
        let ts = at(START).ms() + i64::try_from(number).unwrap() * 977 * 1_013 % (HOURS * HOUR_MS);
        assert_right(service, &world, &spaces, i64::try_from(number % 2).unwrap(), ts).await;
    }
    let edges = simulation.sent.iter().map(|sent| match sent {
        Sent::Event(event) => event.ts,
        Sent::Interval(interval, _) => interval.to - 1,
        Sent::Totals(totals) => totals.ts,
    });
    let asked = edges.step_by(3).chain(world.resets.iter().map(|reset| reset.ts));
    let asked: BTreeSet<i64> = asked.flat_map(|ts| [ts - 1, ts, ts + 1, ts + 1_234_567]).collect();
    let mut open = 0;
    for ts in asked {
        for space in 0..SPACES {
            let (low, high) = assert_right(service, &world, &spaces, space, ts).await;
            let truth = simulation.people.count(space, ts);
            assert!((low..=high).contains(&truth), "{truth} is not in {low}..={high} at {ts}");
            open += usize::from(low < high);
        }
    }
    assert!(open > 100, "hardly any interval was open");
    assert_coverage(service, &world, &spaces).await;
    assert_intervals(service, &simulation.people).await;
    let verdict = verify(&service.app.database, false, |finding| panic!("{finding}")).await.unwrap();
    assert!(verdict.is_right());
}

/// Returns the times that the reports of a DPU cover, in order.
fn covered(world: &World, dpu: i64) -> Vec<(i64, i64)> {
    let reported = world.intervals.iter().filter(|interval| interval.dpu == dpu);
    let reported: BTreeSet<_> = reported.map(|interval| (interval.from, interval.to)).collect();
    let read: BTreeSet<i64> =
        world.totals.iter().filter(|totals| totals.dpu == dpu).map(|totals| totals.ts + 1).collect();
    let between = read.iter().copied().zip(read.iter().copied().skip(1));
    reported.into_iter().chain(between).collect()
}

/// Compares the coverage of buckets with what was reported.
async fn assert_coverage(service: &Service, world: &World, spaces: &[i64]) {
    let query = "query($id: ID!) { space(id: $id) {
        history(start: \"2026-01-30T20:00:00Z\", end: \"2026-02-02T02:00:00Z\", interval: HOUR) { start end coverage } } }";
    let mut partly = 0;
    for (space, id) in (0..SPACES).zip(spaces) {
        let answer = service.data(query, json!({ "id": id.to_string() })).await;
        for bucket in answer["space"]["history"].as_array().unwrap() {
            let edge = |name: &str| at(bucket[name].as_str().unwrap()).ms();
            let (mut ms, mut covered_ms) = (0, 0);
            for row in world.assignments.iter().filter(|row| row.space == space && row.dpu >= 2) {
                let from = edge("start").max(row.starts_at.unwrap_or(i64::MIN));
                let to = edge("end").min(row.ends_at.unwrap_or(i64::MAX));
                ms += (to - from).max(0);
                let part = |(starts, ends): &(i64, i64)| ((*ends).min(to) - (*starts).max(from)).max(0);
                covered_ms += covered(world, row.dpu).iter().map(part).sum::<i64>();
            }
            if ms == 0 {
                assert_eq!(bucket["coverage"], Value::Null);
                continue;
            }
            #[expect(clippy::cast_precision_loss, reason = "less than a week")]
            let expected = covered_ms as f64 / ms as f64;
            let found = bucket["coverage"].as_f64().unwrap();
            assert!((found - expected).abs() < 1e-9, "{bucket}: {expected}");
            partly += usize::from(0.0 < expected && expected < 1.0);
        }
    }
    assert!(partly > 0, "every bucket is covered as a whole");
}

/// The intervals of each DPU tell of all people under it, and do not overlap.
async fn assert_intervals(service: &Service, people: &World) {
    let query = "query($serial: String!, $after: String) { dpu(serial: $serial) { intervals(first: 20, after: $after) {
        nodes { start end toward away } pageInfo { endCursor hasNextPage } } } }";
    for dpu in 2..DPUS {
        let (mut crossed, mut after, mut last) = ((0, 0), Value::Null, 0);
        loop {
            let answer = service.data(query, json!({ "serial": format!("D{dpu}"), "after": after })).await;
            let page = &answer["dpu"]["intervals"];
            for node in page["nodes"].as_array().unwrap() {
                let edge = |name: &str| at(node[name].as_str().unwrap()).ms();
                assert!(last <= edge("start"), "{node}");
                last = edge("end");
                crossed.0 += node["toward"].as_u64().unwrap();
                crossed.1 += node["away"].as_u64().unwrap();
            }
            if page["pageInfo"]["hasNextPage"] == false {
                break;
            }
            after = page["pageInfo"]["endCursor"].clone();
        }
        let of_dpu = people.events.iter().filter(|event| event.dpu == dpu);
        let number = |direction| of_dpu.clone().filter(|event| event.direction == direction).count() as u64;
        assert_eq!(crossed, (number(1), number(-1)), "DPU {dpu}");
    }
}

/// Another process and processes with small caches see revisions, late totals and voids as soon as any commit.
async fn other_processes_see_what_is_replaced(service: &Service) {
    let mut runner = TestRunner::deterministic();
    let simulation = simulation(&mut runner);
    let mut world = World { events: vec![], counter_bits: Some(16), ..simulation.people.clone() };
    let spaces = build(service, &world).await;
    let mut others = Vec::new();
    for bytes in CACHES {
        others.push(Process::start(service, bytes).await);
    }
    for (number, batch) in simulation.sent.chunks(40).enumerate() {
        let body: Value = batch.iter().map(|sent| sent.json()).collect();
        post(service, "application/json", body.to_string()).await;
        for sent in batch {
            sent.add_to(&mut world);
        }
        let ts = at(START).ms() + i64::try_from(number).unwrap() * 3_777 * 1_013 % (HOURS * HOUR_MS);
        let text = Instant::from_ms(ts).to_string();
        for (space, id) in (0..SPACES).zip(&spaces) {
            let expected = world.count(space, ts);
            for other in &others {
                let path = format!("/space/{id}/count?ts={text}");
                until("the other process", async || other.get(&path).await["count"] == expected).await;
            }
            // Whole histories, which keep summaries.
            let path =
                format!("/space/{id}/counts?start=2026-01-30&end=2026-02-03&interval=hour&time_zone=UTC");
            let answer = service.get(&path).await.json();
            for bucket in answer["counts"].as_array().unwrap() {
                let edge = |name: &str| at(bucket[name].as_str().unwrap()).ms();
                let (from, end) = (edge("start"), edge("end"));
                assert_eq!(bucket["count"], world.count(space, end - 1), "{bucket}");
                let crossed = world.crossings(space, from, end);
                assert_eq!(
                    (bucket["entrances"].as_i64(), bucket["exits"].as_i64()),
                    (Some(crossed.0), Some(crossed.1))
                );
            }
        }
    }
}

on_both!(any_mixture_of_reports_agrees_with_the_oracle, other_processes_see_what_is_replaced);

/// Creates a space with a DPU inside that reports `kind`. Returns the ids of both.
async fn room(service: &Service, serial: &str, input: Value) -> (i64, String) {
    let mut input = input;
    input["serial"] = json!(serial);
    let query = "mutation($input: DpuCreateInput!) { dpuCreate(input: $input) { dpu { id } userErrors { field message } } }";
    let made = service.data(query, json!({ "input": input })).await;
    let dpu = made["dpuCreate"]["dpu"]["id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
    let space = service.space(&format!("Room of {serial}")).await;
    service.assign(dpu.parse().unwrap(), space, Placement::Inside, None, None).await;
    (space, dpu)
}

async fn ranges(service: &Service, space: i64, instants: &[&str]) -> Vec<(i64, i64, i64)> {
    let mut found = Vec::new();
    for ts in instants {
        let answer = service.data(RANGE, json!({ "id": space.to_string(), "ts": ts })).await;
        let number = |name: &str| answer["space"]["countRange"][name].as_i64().unwrap();
        found.push((answer["space"]["count"].as_i64().unwrap(), number("low"), number("high")));
    }
    found
}

async fn each_door_takes_each_kind(service: &Service) {
    let (hall, _) = room(service, "I", json!({ "reports": "INTERVALS" })).await;
    let (lobby, _) = room(service, "T", json!({ "reports": "TOTALS", "counterBits": 16 })).await;
    for (content_type, body, expected) in [
        (
            "application/json",
            r#"{"dpu_id":"I","from":"2026-02-01T10:00:00Z","to":"2026-02-01T10:01:00Z","toward":3,"away":1}"#,
            (1, 0, vec![]),
        ),
        (
            "application/x-ndjson",
            "{\"dpu\":\"I\",\"from\":\"2026-02-01T10:01:00Z\",\"to\":\"2026-02-01T10:02:00Z\",\"toward\":\"0\",\"away\":0}\n\
             {\"dpu\":\"T\",\"ts\":1769940000,\"total_toward\":65530,\"total_away\":7}\n\
             {\"dpu\":\"T\",\"ts\":\"2026-02-01T10:01:00Z\",\"total_toward\":2,\"total_away\":8}",
            (3, 0, vec![]),
        ),
        (
            "text/csv",
            "from,to,toward,away,dpu_id\n2026-02-01T10:02:00Z,2026-02-01T10:03:00Z,5,0,I\n\
             2026-02-01T10:00:00Z,2026-02-01T10:01:00Z,3,1,I\n",
            (1, 1, vec![]),
        ),
        (
            "text/csv",
            "dpu_id;timestamp;Total_Toward;total_away;Force\nT;2026-02-01T10:02:00Z;4;9;\n",
            (1, 0, vec![]),
        ),
        (
            "application/json",
            r#"[{"dpu":"I","ts":"2026-02-01T10:00:00Z","direction":1},
                {"dpu":"T","from":"2026-02-01T10:00:00Z","to":"2026-02-01T10:01:00Z","toward":3,"away":1},
                {"dpu":"I","ts":"2026-02-01T10:00:00Z","total_toward":3,"total_away":1},
                {"dpu":"I","from":"2026-02-01T10:00:00Z","to":"2026-02-01T10:01:00Z","toward":4,"away":1},
                {"dpu":"I","from":"2026-02-01T10:00:30Z","to":"2026-02-01T10:01:30Z","toward":4,"away":1},
                {"dpu":"I","from":"2026-02-01T10:01:00Z","to":"2026-02-01T10:01:00Z","toward":4,"away":1},
                {"dpu":"I","from":"2026-02-01T11:00:00Z","to":"2026-02-02T11:00:00.001Z","toward":4,"away":1},
                {"dpu":"I","from":"2026-02-01T11:00:00Z","to":"2026-02-01T12:00:00Z","toward":-4,"away":1},
                {"dpu":"I","from":"2026-02-01T11:00:00Z","to":"2026-02-01T12:00:00Z","away":1},
                {"dpu":"T","ts":"2026-02-01T10:03:00Z","total_toward":65536,"total_away":9},
                {"dpu":"T","ts":"2026-02-01T10:03:00Z","total_toward":4.5,"total_away":9},
                {"dpu":"T","ts":"2026-02-01T10:03:00Z","total_toward":245,"total_away":9},
                {"dpu":"T","ts":"2026-02-01T10:02:00Z","total_toward":5,"total_away":9},
                {"dpu":"T","ts":"2026-02-01T10:02:00Z","total_toward":4,"total_away":9,"direction":1},
                {"dpu":"I","from":"2026-03-01T12:00:00Z","to":"2026-03-01T12:06:00Z","toward":4,"away":1},
                {"dpu":"I","from":"1970-01-01T00:00:00Z","to":"1970-01-01T00:06:00Z","toward":4,"away":1}]"#,
            (
                0,
                0,
                vec![
                    "WRONG_KIND",
                    "WRONG_KIND",
                    "WRONG_KIND",
                    "CONFLICT",
                    "OVERLAP",
                    "BAD_INTERVAL",
                    "BAD_INTERVAL",
                    "BAD_INTERVAL",
                    "BAD_INTERVAL",
                    "BAD_TOTAL",
                    "BAD_TOTAL",
                    "IMPLAUSIBLE",
                    "CONFLICT",
                    "MALFORMED",
                    "TIMESTAMP_IN_FUTURE",
                    "TIMESTAMP_OUT_OF_RANGE",
                ],
            ),
        ),
    ] {
        let receipt = post(service, content_type, body).await;
        let (accepted, duplicates, codes) = told(&receipt);
        let codes: Vec<&str> = codes.iter().map(String::as_str).collect();
        assert_eq!((accepted, duplicates, codes), expected, "{receipt}");
    }
    let instants = [
        "2026-02-01T09:59:59.999Z",
        "2026-02-01T10:00:30Z",
        "2026-02-01T10:00:59.999Z",
        "2026-02-01T10:02:00Z",
        "2026-02-01T10:03:00Z",
    ];
    assert_eq!(
        ranges(service, hall, &instants).await,
        [(0, 0, 0), (0, -1, 3), (2, 2, 2), (2, 2, 7), (7, 7, 7)]
    );
    // 65,530 to 2 is a rollover.
    let instants =
        ["2026-02-01T10:00:00Z", "2026-02-01T10:00:30Z", "2026-02-01T10:01:00Z", "2026-02-01T10:02:00Z"];
    assert_eq!(ranges(service, lobby, &instants).await, [(0, 0, 0), (0, -1, 8), (7, 7, 7), (8, 8, 8)]);

    let query = "mutation($intervals: [IntervalInput!]!, $totals: [TotalInput!]!) {
        ingestIntervals(intervals: $intervals) { accepted duplicates rejected { index code } }
        ingestTotals(totals: $totals) { accepted duplicates rejected { index code message } } }";
    let interval = |toward: i64, revise: bool| {
        json!({
            "dpu": "I", "from": "2026-02-01T10:02:00Z", "to": "2026-02-01T10:03:00Z", "toward": toward, "away": 0, "revise": revise
        })
    };
    let total = |toward: f64, force: bool| {
        json!({
            "dpu": "T", "ts": "2026-02-01T10:03:00Z", "totalToward": toward, "totalAway": 9, "force": force
        })
    };
    let answer = service
        .data(
            query,
            json!({
                "intervals": [interval(6, false), interval(6, true), interval(6, false)],
                "totals": [total(300.0, false), total(0.5, false), total(300.0, true), total(300.0, false)],
            }),
        )
        .await;
    assert_eq!(
        answer["ingestIntervals"],
        json!({ "accepted": 1, "duplicates": 1, "rejected": [{ "index": 0, "code": "CONFLICT" }] })
    );
    let totals = &answer["ingestTotals"];
    assert_eq!((&totals["accepted"], &totals["duplicates"]), (&json!(1), &json!(1)), "{totals}");
    let message = totals["rejected"][0]["message"].as_str().unwrap();
    assert!(message.contains("296 people in 60 s are more than the 240 that can be"), "{message}");
    assert_eq!(totals["rejected"][1]["code"], "BAD_TOTAL");
    assert_eq!(ranges(service, hall, &["2026-02-01T10:03:00Z"]).await, [(8, 8, 8)]);
    assert_eq!(ranges(service, lobby, &["2026-02-01T10:03:00Z"]).await, [(8, 8, 8)]);
    let listed = "{ dpus(first: 2) { nodes { serial intervals(first: 9) { nodes { start end toward away source isGap void { reason } } }
        readings(newestFirst: true, first: 2) { nodes { ts totalToward totalAway isBaseline } pageInfo { hasNextPage } } } } }";
    let listed = service.data(listed, json!({})).await;
    assert_eq!(
        listed["dpus"]["nodes"][1]["intervals"]["nodes"],
        json!([
            { "start": "2026-02-01T10:00:00.001Z", "end": "2026-02-01T10:01:00.001Z", "toward": 8, "away": 1,
              "source": "DERIVED", "isGap": false, "void": null },
            { "start": "2026-02-01T10:01:00.001Z", "end": "2026-02-01T10:02:00.001Z", "toward": 2, "away": 1,
              "source": "DERIVED", "isGap": false, "void": null },
            { "start": "2026-02-01T10:02:00.001Z", "end": "2026-02-01T10:03:00.001Z", "toward": 0, "away": 0,
              "source": "DERIVED", "isGap": true, "void": null },
        ])
    );
    assert_eq!(
        listed["dpus"]["nodes"][1]["readings"],
        json!({
            "nodes": [
                { "ts": "2026-02-01T10:03:00Z", "totalToward": 300.0, "totalAway": 9.0, "isBaseline": true },
                { "ts": "2026-02-01T10:02:00Z", "totalToward": 4.0, "totalAway": 9.0, "isBaseline": false },
            ],
            "pageInfo": { "hasNextPage": true },
        })
    );
}

async fn what_a_dpu_reports_changes_only_before_it_has_reported(service: &Service) {
    let (_, dpu) = room(service, "I", json!({})).await;
    let query = "mutation($id: ID!, $input: DpuUpdateInput!) { dpuUpdate(id: $id, input: $input) {
        dpu { reports counterBits maxPerMinute expectedEvery } userErrors { code field } } }";
    let update = async |input: Value| {
        service.data(query, json!({ "id": dpu, "input": input })).await["dpuUpdate"].clone()
    };
    let updated =
        update(json!({ "reports": "INTERVALS", "counterBits": 32, "maxPerMinute": 9, "expectedEvery": 60 }));
    let all = json!({ "reports": "INTERVALS", "counterBits": 32, "maxPerMinute": 9, "expectedEvery": 60 });
    assert_eq!(updated.await, json!({ "dpu": all, "userErrors": [] }));
    for (input, field, code) in [
        (json!({ "counterBits": 24 }), "counterBits", "OUT_OF_RANGE"),
        (json!({ "maxPerMinute": 0 }), "maxPerMinute", "OUT_OF_RANGE"),
        (json!({ "expectedEvery": -1 }), "expectedEvery", "OUT_OF_RANGE"),
    ] {
        let refused = update(input).await;
        assert_eq!(refused["userErrors"], json!([{ "code": code, "field": ["input", field] }]));
    }
    let interval =
        r#"{"dpu_id":"I","from":"2026-02-01T10:00:00Z","to":"2026-02-01T10:01:00Z","toward":0,"away":0}"#;
    assert_eq!(post(service, "application/json", interval).await["accepted"], 1);
    let refused = update(json!({ "reports": "TOTALS" })).await;
    assert_eq!(refused["userErrors"], json!([{ "code": "IN_USE", "field": ["input", "reports"] }]));
    let kept = update(json!({ "reports": "INTERVALS", "counterBits": null })).await;
    assert_eq!(kept["dpu"]["counterBits"], Value::Null);
}

async fn what_is_voided_counts_nowhere_until_it_is_unvoided(service: &Service) {
    let (hall, door) = room(service, "C", json!({})).await;
    let (lobby, line) = room(service, "I", json!({ "reports": "INTERVALS" })).await;
    let (yard, meter) = room(service, "T", json!({ "reports": "TOTALS" })).await;
    let reports = r#"[
        {"dpu":"C","ts":"2026-02-01T10:00:00Z","direction":1},
        {"dpu":"C","ts":"2026-02-01T10:00:00Z","direction":1,"seq":1},
        {"dpu":"I","from":"2026-02-01T10:00:00Z","to":"2026-02-01T10:01:00Z","toward":3,"away":1},
        {"dpu":"T","ts":"2026-02-01T10:00:00Z","total_toward":0,"total_away":0},
        {"dpu":"T","ts":"2026-02-01T10:01:00Z","total_toward":90,"total_away":0},
        {"dpu":"T","ts":"2026-02-01T10:02:00Z","total_toward":2,"total_away":0}]"#;
    assert_eq!(post(service, "application/json", reports).await["accepted"], 6);
    let other = Process::start(service, CACHES[2]).await;
    let counts = async |expected: [i64; 3]| {
        for (space, expected) in [hall, lobby, yard].into_iter().zip(expected) {
            assert_eq!(service.count(space, "2026-02-02").await, expected);
            let path = format!("/space/{space}/count?ts=2026-02-02");
            until("the other process", async || other.get(&path).await["count"] == expected).await;
            let path =
                format!("/space/{space}/counts?start=2026-02-01&end=2026-02-02&interval=hour&time_zone=UTC");
            let history = service.get(&path).await.json();
            assert_eq!(history["counts"].as_array().unwrap().last().unwrap()["count"], expected);
        }
    };
    counts([2, 2, 92]).await;
    let event = "dpu: $door, ts: \"2026-02-01T10:00:00Z\", direction: TOWARD, seq: 1";
    let interval = "dpu: $line, from: \"2026-02-01T10:00:00Z\", to: \"2026-02-01T10:01:00Z\"";
    let reading = "dpu: $meter, ts: \"2026-02-01T10:01:00Z\"";
    let change = async |verb: &str, reason: &str| {
        let query = format!(
            "mutation($door: ID!, $line: ID!, $meter: ID!) {{
                event{verb}({event} {reason}) {{ event {{ seq void {{ reason voidedBy }} }} userErrors {{ message }} }}
                interval{verb}({interval} {reason}) {{ interval {{ toward void {{ reason }} }} userErrors {{ message }} }}
                reading{verb}({reading} {reason}) {{ reading {{ totalToward void {{ reason }} }} userErrors {{ message }} }}
            }}"
        );
        service.data(&query, json!({ "door": door, "line": line, "meter": meter })).await
    };
    for _ in 0..2 {
        let voided = change("Void", ", reason: \"a ladder\"").await;
        assert_eq!(
            voided,
            json!({
                "eventVoid": { "event": { "seq": 1, "void": { "reason": "a ladder", "voidedBy": null } }, "userErrors": [] },
                "intervalVoid": { "interval": { "toward": 3, "void": { "reason": "a ladder" } }, "userErrors": [] },
                "readingVoid": { "reading": { "totalToward": 90.0, "void": { "reason": "a ladder" } }, "userErrors": [] },
            })
        );
        counts([1, 0, 2]).await;
        // What was voided stays voided when it is sent again.
        let receipt = post(service, "application/json", reports).await;
        assert_eq!(told(&receipt), (0, 6, vec![]), "{receipt}");
        counts([1, 0, 2]).await;
    }
    let listed = service
        .data(
            "{ dpus(first: 3) { nodes {
                events(voided: true) { totalCount nodes { seq void { reason } } } counted: events { totalCount }
                intervals(voided: true) { nodes { toward } } readings(voided: true) { nodes { totalToward } } } } }",
            json!({}),
        )
        .await;
    let nodes = &listed["dpus"]["nodes"];
    assert_eq!(
        nodes[0]["events"],
        json!({ "totalCount": 1, "nodes": [{ "seq": 1, "void": { "reason": "a ladder" } }] })
    );
    assert_eq!(nodes[0]["counted"]["totalCount"], 1);
    assert_eq!(nodes[1]["intervals"]["nodes"], json!([{ "toward": 3 }]));
    assert_eq!(nodes[2]["readings"]["nodes"], json!([{ "totalToward": 90.0 }]));
    let verdict = verify(&service.app.database, false, |finding| panic!("{finding}")).await.unwrap();
    assert!(verdict.is_right());
    for _ in 0..2 {
        let counted = change("Unvoid", "").await;
        assert_eq!(counted["eventUnvoid"]["event"]["void"], Value::Null);
        counts([2, 2, 92]).await;
    }
    let query = "mutation($dpu: ID!, $reason: String!) {
        eventVoid(dpu: $dpu, ts: \"2026-02-01T11:00:00Z\", direction: AWAY, reason: $reason) {
            event { seq } userErrors { code field } } }";
    for (reason, code, field) in [("x", "NOT_FOUND", "ts"), (" ", "BLANK", "reason")] {
        let refused = service.data(query, json!({ "dpu": door, "reason": reason })).await;
        assert_eq!(
            refused["eventVoid"],
            json!({ "event": null, "userErrors": [{ "code": code, "field": [field] }] })
        );
    }
}

async fn pruning_joins_intervals_and_keeps_counts(service: &Service) {
    let mut runner = TestRunner::deterministic();
    let simulation = simulation(&mut runner);
    let mut world = World { events: vec![], counter_bits: Some(16), ..simulation.people.clone() };
    let spaces = build(service, &world).await;
    let body: Value = simulation.sent.iter().map(|sent| sent.json()).collect();
    post(service, "application/json", body.to_string()).await;
    for sent in &simulation.sent {
        sent.add_to(&mut world);
    }
    let horizon = at("2026-02-01");
    let counted = async || {
        let mut found = Vec::new();
        for hour in 0..=HOURS {
            let at_hour = at(START).plus_ms(hour * HOUR_MS);
            // After the horizon at any instant, before it at the end of each hour.
            for ts in [at_hour.just_before(), at_hour.plus_ms(HOUR_MS / 3)] {
                if ts >= horizon || ts == at_hour.just_before() {
                    for space in &spaces {
                        found.push((ts, *space, service.count(*space, &ts.to_string()).await));
                    }
                }
            }
        }
        found
    };
    let before = counted().await;
    let pruned = api::retention::prune(&service.app.database, horizon).await.unwrap().unwrap();
    assert!(pruned.events > 50, "{pruned:?}");
    service.app.state.refresh().await.unwrap();
    assert_eq!(counted().await, before);
    // With nothing in memory.
    let fresh = Process::start(service, 0).await;
    for (ts, space, count) in &before {
        assert_eq!(fresh.get(&format!("/space/{space}/count?ts={ts}")).await["count"], *count);
    }
    let verdict = verify(&service.app.database, false, |finding| panic!("{finding}")).await.unwrap();
    assert!(verdict.is_right());
    // The last reading before the horizon is still compared with the next one, and a pruned hour is a range.
    for ts in [horizon.plus_ms(-1_800_000), horizon.plus_ms(60_000)] {
        for (space, id) in (0..SPACES).zip(&spaces) {
            let text = ts.to_string();
            let (count, low, high) = ranges(service, *id, &[&text]).await[0];
            assert!(low <= count && count <= high);
            let truth = simulation.people.count(space, ts.ms());
            assert!((low..=high).contains(&truth), "{truth} is not in {low}..={high} at {ts}");
        }
    }
}

async fn a_rolling_counter_with_losses_and_restarts_is_exact_but_for_the_restarts(service: &Service) {
    let (space, _) = room(service, "T", json!({ "reports": "TOTALS", "counterBits": 16 })).await;
    let start = at("2026-01-10");
    let mut state = 1_u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let (mut shown, mut inside, mut lost_at_restarts, mut since_reading) = (65_000_i64, 0_i64, 0_i64, 0_i64);
    let (mut rows, mut expected, mut people) = (Vec::new(), Vec::new(), 0_i64);
    for number in 0..2_880 {
        let came = if number == 0 { 0 } else { i64::try_from(random(139)).unwrap() };
        people += came;
        inside += came;
        since_reading += came;
        // A restart loses who came since the last reading that arrived, half of whom came before it.
        if [900, 2_000].contains(&number) {
            let before = since_reading / 2;
            lost_at_restarts += before;
            shown = since_reading - before;
        } else {
            shown = (shown + came) % 65_536;
        }
        let is_lost = random(50) == 0 && number > 0 && ![899, 900, 1_999, 2_000].contains(&number);
        if !is_lost {
            since_reading = 0;
            let ts = start.plus_ms(number * 600_000);
            rows.push(format!("{ts},{shown},0,T\n"));
            expected.push((ts, inside - lost_at_restarts));
        }
    }
    assert!(people > 190_000, "{people}");
    let late = rows.drain(1_000..1_300).collect::<Vec<_>>();
    for part in [&rows[..], &late[..]] {
        let body = format!("timestamp,total_toward,total_away,dpu_id\n{}", part.concat());
        let receipt = post(service, "text/csv", body).await;
        assert_eq!(told(&receipt), (u64::try_from(part.len()).unwrap(), 0, vec![]), "{receipt}");
    }
    for (ts, count) in expected.iter().step_by(17).chain(expected.last()) {
        assert_eq!(service.count(space, &ts.to_string()).await, *count, "{ts}");
    }
    let gaps = "{ dpus(first: 1) { nodes { intervals(first: 500, start: \"2026-01-16\", end: \"2026-01-16T12:00\") { nodes { isGap } } } } }";
    let gaps = service.data(gaps, json!({})).await;
    let nodes = gaps["dpus"]["nodes"][0]["intervals"]["nodes"].as_array().unwrap();
    assert_eq!(nodes.iter().filter(|node| node["isGap"] == true).count(), 1, "the first restart is marked");
}

async fn a_dpu_says_whether_it_is_alive(service: &Service) {
    let input = json!({ "reports": "INTERVALS", "expectedEvery": 60 });
    let (hall, _) = room(service, "I", input).await;
    room(service, "C", json!({})).await;
    let query = "query($id: ID!) { space(id: $id) { health stale
        history(start: \"2026-03-01T11:50:00Z\", end: \"2026-03-01T12:10:00Z\", interval: FIVE_MINUTES) { resolution coverage }
        dpus { health { state lastHeard expectedEvery lateBySeconds clockOffsetMs battery faults missedReports gaps } } } }";
    let health = async || service.data(query, json!({ "id": hall.to_string() })).await["space"].clone();
    let first = health().await;
    assert_eq!((&first["health"], &first["stale"]), (&json!("NEVER"), &json!(true)), "{first}");
    assert_eq!(first["history"][0], json!({ "resolution": "INTERVAL", "coverage": 0.0 }));
    assert_eq!(first["history"][2]["coverage"], Value::Null, "it has not begun");
    service.set_now("2026-03-01T12:00:01Z");
    let intervals = r#"[
        {"dpu_id":"I","from":"2026-03-01T11:52:00Z","to":"2026-03-01T11:54:30Z","toward":0,"away":0},
        {"dpu_id":"I","from":"2026-03-01T11:59:00Z","to":"2026-03-01T12:00:00Z","toward":0,"away":0}]"#;
    assert_eq!(post(service, "application/json", intervals).await["accepted"], 2);
    let online = health().await;
    assert_eq!((&online["health"], &online["stale"]), (&json!("ONLINE"), &json!(false)), "{online}");
    let coverage: Vec<_> =
        online["history"].as_array().unwrap().iter().map(|bucket| &bucket["coverage"]).collect();
    assert_eq!(coverage[..2], [&json!(0.5), &json!(0.2)]);
    let dpu = &online["dpus"][0]["health"];
    assert_eq!(
        (&dpu["lastHeard"], &dpu["lateBySeconds"], &dpu["clockOffsetMs"], &dpu["gaps"]),
        (&json!("2026-03-01T12:00:01Z"), &json!(0), &json!(-1000), &json!(0)),
        "{dpu}"
    );
    let heartbeats = r#"[{"dpu_id":"I","heartbeat":true,"battery":87,"faults":["lens covered","tilted"]},
        {"dpu_id":"C","heartbeat":true}, {"dpu_id":"I","heartbeat":true,"battery":101},
        {"dpu_id":"I","heartbeat":true,"load":1}, {"dpu_id":"X","heartbeat":true}]"#;
    service.set_now("2026-03-01T12:04:30Z");
    let receipt = post(service, "application/json", heartbeats).await;
    assert_eq!(told(&receipt), (2, 0, ["MALFORMED", "MALFORMED", "UNKNOWN_DPU"].map(str::to_owned).to_vec()));
    let alive = health().await;
    // It is alive, but what it knows is old.
    assert_eq!((&alive["health"], &alive["stale"]), (&json!("ONLINE"), &json!(true)), "{alive}");
    let dpu = &alive["dpus"][0]["health"];
    assert_eq!((&dpu["battery"], &dpu["faults"]), (&json!(87.0), &json!("lens covered, tilted")));
    service.set_now("2026-03-01T12:06:31Z");
    assert_eq!(health().await["health"], "LATE");
    service.set_now("2026-03-01T12:14:31Z");
    let offline = health().await;
    assert_eq!(
        (&offline["health"], &offline["dpus"][0]["health"]["lateBySeconds"]),
        (&json!("OFFLINE"), &json!(541))
    );
    let dpus = service.data("{ dpus { nodes { serial health { state missedReports } } } }", json!({})).await;
    assert_eq!(
        dpus["dpus"]["nodes"][1],
        json!({ "serial": "C", "health": { "state": "UNKNOWN", "missedReports": null } })
    );
    // Another process knows it from the database.
    service.app.hearings.exchange().await.unwrap();
    let other = Process::start(service, 0).await;
    let states = other.ask("{ dpus { nodes { health { state battery } } } }").await;
    assert_eq!(states["dpus"]["nodes"][0]["health"], json!({ "state": "OFFLINE", "battery": 87.0 }));
}

on_both!(
    each_door_takes_each_kind,
    what_a_dpu_reports_changes_only_before_it_has_reported,
    what_is_voided_counts_nowhere_until_it_is_unvoided,
    pruning_joins_intervals_and_keeps_counts,
    a_rolling_counter_with_losses_and_restarts_is_exact_but_for_the_restarts,
    a_dpu_says_whether_it_is_alive,
);

/// `headcount verify` finds intervals that do not follow from their readings, and that overlap.
async fn wrong_intervals_are_found(service: &Service) {
    room(service, "T", json!({ "reports": "TOTALS" })).await;
    room(service, "I", json!({ "reports": "INTERVALS" })).await;
    let reports = r#"[
        {"dpu":"T","ts":"2026-02-01T10:00:00Z","total_toward":0,"total_away":0},
        {"dpu":"T","ts":"2026-02-01T10:01:00Z","total_toward":5,"total_away":0},
        {"dpu":"T","ts":"2026-02-01T10:02:00Z","total_toward":7,"total_away":0},
        {"dpu":"I","from":"2026-02-01T10:00:00Z","to":"2026-02-01T10:01:00Z","toward":3,"away":1},
        {"dpu":"I","from":"2026-02-01T10:01:00Z","to":"2026-02-01T10:02:00Z","toward":3,"away":1}]"#;
    assert_eq!(post(service, "application/json", reports).await["accepted"], 5);
    let broken = async || {
        let mut rules = BTreeSet::new();
        let tell = |finding: &api::verify::Finding| {
            if let api::verify::Finding::Rule { rule, .. } = finding {
                rules.insert(*rule);
            }
            Ok(())
        };
        verify(&service.app.database, false, tell).await.unwrap();
        rules.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(broken().await, Vec::<&str>::new());
    let run =
        async |sql: String| service.app.database.writer().execute_unprepared(&sql).await.map(drop).unwrap();
    let ends = at("2026-02-01T10:01:00Z").plus_ms(1).ms();
    run(format!("UPDATE interval SET toward = 4 WHERE dpu_id = 1 AND ends = {ends}")).await;
    assert_eq!(broken().await, ["between two readings there is one interval, of the people that they tell"]);
    run(format!("UPDATE interval SET toward = 5 WHERE dpu_id = 1 AND ends = {ends}")).await;
    run(format!("UPDATE interval SET starts = starts - 1 WHERE dpu_id = 2 AND ends > {ends}")).await;
    assert_eq!(broken().await, ["no two intervals of a DPU overlap"]);
    run(format!("UPDATE interval SET starts = starts + 1 WHERE dpu_id = 2 AND ends > {ends}")).await;
    run("UPDATE dpu SET reports = 'CROSSINGS' WHERE id = 2".to_owned()).await;
    assert_eq!(broken().await, ["a DPU has crossings, intervals or readings: those of its kind"]);
}

on_both!(wrong_intervals_are_found);
