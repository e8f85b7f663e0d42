//! Random sequences of edits and events through the public API, in any order, with mistakes: at the end, counts,
//! histories and breakdowns equal the oracle's.

use entity::Instant;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::harness::{Service, on_both};
use crate::past::assert_past;
use crate::worlds::{self, SPACES, input, serial, world};
use counting::oracle::{Assignment, Event, Reset, World};

/// An action of the operator or a device.
#[derive(Clone, Debug)]
enum Step {
    /// Sends events, some of them a second time.
    Ingest(Vec<Event>),
    /// Creates an assignment, either correctly or corrected afterwards.
    Assign(Assignment, Detour),
    /// Creates a reset, either correctly or corrected afterwards.
    Reset(Reset, Detour),
    /// Creates something wrong, and deletes it again.
    Mistake(Reset),
}

/// The way to the correct result.
#[derive(Clone, Copy, Debug)]
enum Detour {
    Straight,
    /// By correcting a wrong one.
    Corrected,
    /// An assignment is created without an end and ended later; a reset is deleted and created again.
    Finished,
}

fn steps(world: &World, runner: &mut TestRunner) -> Vec<Step> {
    let detour = prop_oneof![Just(Detour::Straight), Just(Detour::Corrected), Just(Detour::Finished)];
    let detours =
        vec(detour, world.assignments.len() + world.resets.len()).new_tree(runner).unwrap().current();
    let (mut detours, mut steps) = (detours.into_iter(), Vec::new());
    steps.extend(
        world.assignments.iter().map(|assignment| Step::Assign(*assignment, detours.next().unwrap())),
    );
    steps.extend(world.resets.iter().map(|reset| Step::Reset(*reset, detours.next().unwrap())));
    steps.extend(
        world.resets.iter().map(|reset| Step::Mistake(Reset { ts: reset.ts + 7, count: 99, ..*reset })),
    );
    steps.extend(world.events.chunks(29).map(|events| Step::Ingest(events.to_vec())));
    steps.extend(world.events.chunks(90).map(|events| Step::Ingest(events.to_vec())));
    Just(steps).prop_shuffle().new_tree(runner).unwrap().current()
}

/// The ids that the service assigned.
struct Ids {
    spaces: Vec<i64>,
    dpus: Vec<i64>,
}

impl Ids {
    fn space(&self, number: i64) -> i64 {
        self.spaces[usize::try_from(number).unwrap()]
    }

    fn dpu(&self, number: i64) -> i64 {
        self.dpus[usize::try_from(number).unwrap()]
    }
}

/// Runs a mutation that must succeed, and returns the id of the object it created.
async fn mutate(service: &Service, name: &str, object: &str, arguments: &str, variables: Value) -> Value {
    let (declared, passed) = arguments.split_once(" -> ").unwrap();
    let query = format!(
        "mutation ({declared}) {{ {name}({passed}) {{ {object} {{ id }} userErrors {{ message }} }} }}"
    );
    let mut payload = service.data(&query, variables).await[name].take();
    assert_eq!(payload["userErrors"], json!([]), "{name}");
    payload[object]["id"].take()
}

async fn perform(service: &Service, ids: &Ids, step: Step) {
    let text = |ts: Option<i64>| ts.map(|ts| Instant::from_ms(ts).to_string());
    match step {
        Step::Ingest(events) => {
            let payload = service.ingest(events.iter().map(input).collect()).await;
            assert_eq!(payload["rejected"], json!([]));
        }
        Step::Assign(assignment, detour) => {
            let placement = |sign: i64| if sign == 1 { "INSIDE" } else { "OUTSIDE" };
            let (starts_at, ends_at) = (text(assignment.starts_at), text(assignment.ends_at));
            let right = json!({ "dpu": ids.dpu(assignment.dpu), "space": ids.space(assignment.space),
                "placement": placement(assignment.placement), "startsAt": starts_at, "endsAt": ends_at });
            let mut first = right.clone();
            match detour {
                Detour::Straight => {}
                Detour::Corrected => first["placement"] = json!(placement(-assignment.placement)),
                Detour::Finished => first["endsAt"] = Value::Null,
            }
            let create = "$input: AssignmentCreateInput! -> input: $input";
            let id =
                mutate(service, "assignmentCreate", "assignment", create, json!({ "input": first })).await;
            match (detour, ends_at) {
                (Detour::Corrected, _) => {
                    let update = "$id: ID!, $input: AssignmentUpdateInput! -> id: $id, input: $input";
                    mutate(
                        service,
                        "assignmentUpdate",
                        "assignment",
                        update,
                        json!({ "id": id, "input": right }),
                    )
                    .await;
                }
                (Detour::Finished, Some(ends_at)) => {
                    let end = "$id: ID!, $at: DateTime! -> id: $id, at: $at";
                    mutate(service, "assignmentEnd", "assignment", end, json!({ "id": id, "at": ends_at }))
                        .await;
                }
                _ => {}
            }
        }
        Step::Reset(reset, detour) => {
            let create = "$input: ResetCreateInput! -> input: $input";
            let right =
                json!({ "space": ids.space(reset.space), "ts": text(Some(reset.ts)), "count": reset.count });
            let mut first = right.clone();
            if !matches!(detour, Detour::Straight) {
                first["count"] = json!(reset.count + 5);
            }
            let id = mutate(service, "resetCreate", "reset", create, json!({ "input": first })).await;
            match detour {
                Detour::Straight => {}
                Detour::Corrected => {
                    let update = "$id: ID!, $input: ResetUpdateInput! -> id: $id, input: $input";
                    let right = json!({ "id": id, "input": { "count": reset.count } });
                    mutate(service, "resetUpdate", "reset", update, right).await;
                }
                Detour::Finished => {
                    mutate(service, "resetDelete", "reset", "$id: ID! -> id: $id", json!({ "id": id })).await;
                    mutate(service, "resetCreate", "reset", create, json!({ "input": right })).await;
                }
            }
        }
        Step::Mistake(reset) => {
            let create = "$input: ResetCreateInput! -> input: $input";
            let wrong =
                json!({ "space": ids.space(reset.space), "ts": text(Some(reset.ts)), "count": reset.count });
            let id = mutate(service, "resetCreate", "reset", create, json!({ "input": wrong })).await;
            mutate(service, "resetDelete", "reset", "$id: ID! -> id: $id", json!({ "id": id })).await;
        }
    }
}

async fn any_sequence_ends_with_the_counts_of_the_oracle(service: &Service) {
    let mut runner = TestRunner::deterministic();
    for round in 0..4 {
        let world = world(&mut runner);
        let mut ids = Ids { spaces: Vec::new(), dpus: Vec::new() };
        for number in 0..SPACES {
            ids.spaces.push(service.space(&format!("Space {round}.{number}")).await);
        }
        for number in 0..4 {
            // The serials of the last round's DPUs are reused.
            if let Some(old) = service.app.state.floor_plan().await.unwrap().dpu_id(&serial(number)) {
                let rename = "$id: ID!, $input: DpuUpdateInput! -> id: $id, input: $input";
                let retired =
                    json!({ "id": old, "input": { "serial": format!("retired {round}.{number}") } });
                mutate(service, "dpuUpdate", "dpu", rename, retired).await;
            }
            ids.dpus.push(service.dpu(&serial(number)).await);
        }
        for step in steps(&world, &mut runner) {
            perform(service, &ids, step).await;
        }
        worlds::assert_counts(service, &world, &ids.spaces).await;
        assert_past(service, &world, &ids.spaces).await;
    }
}

on_both!(any_sequence_ends_with_the_counts_of_the_oracle);
