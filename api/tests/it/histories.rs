//! Compares histories with the oracle: with caches that hold everything, little or nothing, with late events from this
//! and another process, and with corrections of the floor plan.

use entity::Instant;
use futures::future::{join, join_all};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::harness::{Service, at, on_both, until};
use crate::states::{CACHES, Process};
use crate::worlds::{self, SPACES, input, world};
use counting::oracle::{self, World};

/// Ranges that begin and end on whole days and between them, in zones whose days begin on whole, half and quarter hours
/// of UTC, with all bucket lengths that make a difference.
const ASKED: [(&str, &str, &str, &str); 6] = [
    ("2026-01-29T00:00:00Z", "2026-02-04T00:00:00Z", "day", "UTC"),
    ("2026-01-29T00:00:00Z", "2026-02-04T00:00:00Z", "hour", "America/New_York"),
    ("2026-01-28T18:30:00Z", "2026-02-03T18:30:00Z", "day", "Asia/Kolkata"),
    ("2026-01-28T12:34:56.789Z", "2026-02-03T01:02:03.004Z", "day", "Asia/Kathmandu"),
    ("2026-01-30T20:00:00.001Z", "2026-02-02T02:00:00Z", "fifteen_minutes", "UTC"),
    ("2025-12-01T00:00:00Z", "2026-03-01T00:00:00Z", "month", "Europe/Berlin"),
];

impl Process {
    async fn histories(&self, spaces: &[i64]) -> Vec<(i64, Vec<Value>)> {
        let mut found = Vec::new();
        for (number, space) in (0..SPACES).zip(spaces) {
            for (start, end, interval, zone) in ASKED {
                let path = format!(
                    "/space/{space}/counts?start={start}&end={end}&interval={interval}&time_zone={zone}"
                );
                let answer = self.get(&path).await;
                found.push((
                    number,
                    answer["counts"].as_array().unwrap_or_else(|| panic!("{answer}")).clone(),
                ));
            }
        }
        found
    }
}

/// Returns what is wrong with a bucket of a space's history according to the oracle.
fn problem(world: &World, space: i64, bucket: &Value) -> Option<String> {
    let edge = |name: &str| at(bucket[name].as_str().unwrap()).ms();
    let (from, until) = (edge("start"), edge("end"));
    // The count is constant between the instants of events.
    let happened = world.events.iter().map(|event| event.ts).chain(world.resets.iter().map(|reset| reset.ts));
    let mut steps: Vec<i64> = happened.filter(|ts| (from..until).contains(ts)).chain([from, until]).collect();
    steps.sort_unstable();
    steps.dedup();
    let counts: Vec<(i64, i64)> =
        steps.windows(2).map(|step| (world.count(space, step[0]), step[1] - step[0])).collect();
    let (entrances, exits) = world.crossings(space, from, until);
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let average = counts.iter().map(|(count, ms)| count * ms).sum::<i64>() as f64 / (until - from) as f64;
    let right = json!({
        "count": counts.last().unwrap().0,
        "min": counts.iter().map(|(count, _)| count).min(),
        "max": counts.iter().map(|(count, _)| count).max(),
        "entrances": entrances,
        "exits": exits,
    });
    let names = right.as_object().unwrap().keys();
    let mut wrong: Vec<_> = names.filter(|name| bucket[*name] != right[*name]).map(String::as_str).collect();
    // The test's parser may lose the last digit of a number.
    if (bucket["average"].as_f64().unwrap() - average).abs() > 1e-9 {
        wrong.push("average");
    }
    (!wrong.is_empty())
        .then(|| format!("{wrong:?} of space {space} in {bucket}, right: {right} and {average}"))
}

/// Returns the first error in the histories.
fn first_problem(world: &World, histories: &[(i64, Vec<Value>)]) -> Option<String> {
    histories
        .iter()
        .flat_map(|(space, buckets)| buckets.iter().map(move |bucket| (space, bucket)))
        .find_map(|(space, bucket)| problem(world, *space, bucket))
}

async fn histories_are_exact_for_any_cache_and_writer(service: &Service) {
    let mut runner = TestRunner::deterministic();
    let full = world(&mut runner);
    let mut known = World { events: Vec::new(), ..full.clone() };
    let spaces = worlds::build(service, &full).await;
    let processes = join_all(CACHES.map(|bytes| Process::start(service, bytes))).await;
    for (number, events) in full.events.chunks(40).enumerate() {
        let mut after = known.clone();
        after.events.extend_from_slice(events);
        // The processes write in turn, while all of them read.
        let writing = async {
            let inputs: Vec<Value> = events.iter().map(input).collect();
            let query = format!(
                "mutation {{ ingest(events: [{}]) {{ accepted rejected {{ message }} }} }}",
                inputs
                    .iter()
                    .map(|event| {
                        format!(
                            "{{ dpu: {}, ts: {}, direction: {}, seq: {} }}",
                            event["dpu"],
                            event["ts"],
                            event["direction"].as_str().unwrap(),
                            event["seq"]
                        )
                    })
                    .collect::<Vec<_>>()
                    .join(" ")
            );
            let data = processes[number % processes.len()].ask(&query).await;
            assert_eq!(data["ingest"]["rejected"], json!([]));
        };
        let ((), read) =
            join(writing, join_all(processes.iter().map(|process| process.histories(&spaces)))).await;
        for histories in read {
            for history in histories.chunks(1) {
                let (early, late) = (first_problem(&known, history), first_problem(&after, history));
                assert!(early.is_none() || late.is_none(), "matches neither state: {early:?}, {late:?}");
            }
        }
        known = after;
        for process in &processes {
            process.app.state.refresh().await.unwrap();
            // From pages, and from the summaries of them.
            for _ in 0..2 {
                assert_eq!(first_problem(&known, &process.histories(&spaces).await), None);
            }
        }
        correct(service, number, &mut known, &spaces).await;
        until("the correction is seen", async || {
            let histories = join_all(processes.iter().map(|process| process.histories(&spaces))).await;
            histories.iter().all(|histories| first_problem(&known, histories).is_none())
        })
        .await;
    }
}

on_both!(histories_are_exact_for_any_cache_and_writer);

/// Corrects the floor plan: ends an assignment earlier, adds a reset, or toggles the clamping of negative counts.
async fn correct(service: &Service, number: usize, known: &mut World, spaces: &[i64]) {
    if number.is_multiple_of(2) && !known.assignments.is_empty() {
        let place = number % known.assignments.len();
        let assignment = &mut known.assignments[place];
        let end = Instant::from_ms(at("2026-02-01T05:07:00Z").ms() + i64::try_from(number).unwrap() * 61_000);
        if assignment.starts_at.is_none_or(|start| start < end.ms())
            && assignment.ends_at.is_none_or(|known| end.ms() < known)
        {
            assignment.ends_at = Some(end.ms());
            let query = format!(
                "mutation {{ assignmentUpdate(id: {}, input: {{ endsAt: \"{end}\" }}) {{ userErrors {{ message }} }} }}",
                place + 1
            );
            let data = service.data(&query, Value::Null).await;
            assert_eq!(data["assignmentUpdate"]["userErrors"], json!([]));
        }
    } else {
        let ts = at("2026-01-31T13:00:00Z").plus_ms(i64::try_from(number).unwrap() * 3_600_000 + 1);
        known.resets.push(oracle::Reset { space: 1, ts: ts.ms(), count: 9 });
        let query = format!(
            "mutation {{ resetCreate(input: {{ space: {}, ts: \"{ts}\", count: 9 }}) {{ userErrors {{ message }} }} }}",
            spaces[1]
        );
        let data = service.data(&query, Value::Null).await;
        assert_eq!(data["resetCreate"]["userErrors"], json!([]));
    }
}
