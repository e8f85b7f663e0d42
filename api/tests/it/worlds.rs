//! Generated worlds for the service and the oracle: spaces, DPUs, moves, resets and events.

use entity::Instant;
use entity::assignment::Placement;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::harness::{Service, at};
use counting::oracle::{self, World};

pub(crate) const SPACES: i64 = 3;
const DPUS: i64 = 4;
/// Worlds start here, and last a little more than two days, across hours, days and the end of a month.
const START: &str = "2026-01-30T21:00:00Z";
const HOURS: i64 = 52;

fn instant() -> impl Strategy<Value = i64> {
    let start = at(START).ms();
    // Anywhere, or at the start or end of an hour, where tallies change.
    prop_oneof![
        0..HOURS * 3_600_000,
        (0..HOURS).prop_map(|hour| hour * 3_600_000),
        (1..HOURS).prop_map(|hour| hour * 3_600_000 - 1)
    ]
    .prop_map(move |ms| start + ms)
}

/// Generates a world of some hundred events, many of them repeated, in any order.
pub(crate) fn world(runner: &mut TestRunner) -> World {
    let sign = || prop_oneof![Just(1_i64), Just(-1)];
    let event = (0..DPUS, instant(), sign(), 0..2_i32).prop_map(|(dpu, ts, direction, seq)| oracle::Event {
        dpu,
        ts,
        direction,
        seq,
    });
    let events = vec(event, 150..250).prop_map(|mut events| {
        events.extend_from_within(..40);
        events
    });
    // A move: a DPU is assigned here until some instant, and there after it, with or without a gap.
    let moves =
        vec((0..DPUS, 0..SPACES, 0..SPACES, sign(), sign(), instant(), option::of(1..7_200_000_i64)), 2..5);
    let moves = moves.prop_map(|moves| {
        let mut taken = std::collections::HashSet::new();
        let mut assignments = Vec::new();
        for (dpu, from, to, before, after, moved, gap) in moves {
            if from == to || !taken.insert((dpu, from)) || !taken.insert((dpu, to)) {
                continue;
            }
            let starts_at = Some(moved + gap.unwrap_or(0));
            assignments.push(oracle::Assignment {
                dpu,
                space: from,
                placement: before,
                starts_at: None,
                ends_at: Some(moved),
            });
            assignments.push(oracle::Assignment {
                dpu,
                space: to,
                placement: after,
                starts_at,
                ends_at: None,
            });
        }
        assignments
    });
    let resets = vec((0..SPACES, instant(), 0..30_i64), 0..4).prop_map(|resets| {
        let mut taken = std::collections::HashSet::new();
        let resets = resets.into_iter().filter(|(space, ts, _)| taken.insert((*space, *ts)));
        resets.map(|(space, ts, count)| oracle::Reset { space, ts, count }).collect()
    });
    let world = (events.prop_shuffle(), moves, resets).prop_map(|(events, assignments, resets)| World {
        events,
        assignments,
        resets,
        ..World::default()
    });
    world.new_tree(runner).unwrap().current()
}

/// Returns the interesting instants: every edge of the world, and the milliseconds around it.
pub(crate) fn instants(world: &World) -> Vec<i64> {
    let edges = world.events.iter().map(|event| event.ts).step_by(20);
    let edges = edges.chain(world.assignments.iter().flat_map(|a| [a.starts_at, a.ends_at]).flatten());
    let edges = edges.chain(world.resets.iter().map(|reset| reset.ts));
    edges
        .flat_map(|ts| [ts - 1, ts, ts + 1])
        .chain([at(START).ms() - 1, at(START).ms() + HOURS * 3_600_000])
        .collect()
}

pub(crate) fn serial(dpu: i64) -> String {
    format!("D{dpu}")
}

/// Returns the event as input for `ingest`.
pub(crate) fn input(event: &oracle::Event) -> Value {
    let direction = if event.direction == 1 { "TOWARD" } else { "AWAY" };
    let ts = Instant::from_ms(event.ts).to_string();
    json!({ "dpu": serial(event.dpu), "ts": ts, "direction": direction, "seq": event.seq })
}

/// Creates the world's floor plan; returns the ids of its spaces.
pub(crate) async fn build(service: &Service, world: &World) -> Vec<i64> {
    let (mut spaces, mut dpus) = (Vec::new(), Vec::new());
    for space in 0..SPACES {
        spaces.push(service.space(&format!("Space {space}")).await);
    }
    for dpu in 0..DPUS {
        dpus.push(service.dpu(&serial(dpu)).await);
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
        let (space, count) = (spaces[index(reset.space)], i32::try_from(reset.count).unwrap());
        service.reset(space, Instant::from_ms(reset.ts), count).await;
    }
    spaces
}

/// Compares every space's count at every interesting instant with the oracle's.
pub(crate) async fn assert_counts(service: &Service, world: &World, spaces: &[i64]) {
    for ts in instants(world) {
        let text = Instant::from_ms(ts).to_string();
        for (number, id) in spaces.iter().enumerate() {
            let expected = world.count(i64::try_from(number).unwrap(), ts);
            assert_eq!(service.count(*id, &text).await, expected, "space {number} at {text} in {world:?}");
        }
    }
}
