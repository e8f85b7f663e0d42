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
    let mut moved = BTreeSet::new();
    let moves: Vec<_> = moves.into_iter().filter(|(dpu, _)| moved.insert(*dpu)).collect();
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
    Simulation { sent: shuffled(runner, sent), people }
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
fn shuffled(runner: &mut TestRunner, sent: Vec<Sent>) -> Vec<Sent> {
    let key = |interval: &oracle::Interval| (interval.dpu, interval.from);
    let early = |sent: &Sent| match sent {
        Sent::Interval(interval, false) => Some(key(interval)),
        _ => None,
    };
    let revised: BTreeSet<_> = sent.iter().filter_map(early).collect();
    let revises =
        |sent: &Sent| matches!(sent, Sent::Interval(interval, true) if revised.contains(&key(interval)));
    let again = sent.iter().filter(|one| early(one).is_none()).step_by(7).copied().collect();
    let (later, first): (Vec<_>, Vec<_>) = sent.iter().copied().partition(revises);
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
        batch.iter().for_each(|sent| sent.add_to(&mut world));
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
    let verdict = verify(&service.app.database, false, |finding| panic!("{finding}")).await.unwrap();
    assert!(verdict.is_right());
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
        batch.iter().for_each(|sent| sent.add_to(&mut world));
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
