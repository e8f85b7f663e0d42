//! Changes of the floor plan after a prune: accepted ones leave every count exact, refused ones change nothing.

use entity::Instant;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::harness::{Service, at, on_both};
use crate::retention::pruned;

const HOUR_MS: i64 = 3_600_000;
const SPACES: usize = 3;
const DPUS: usize = 4;
/// Crossings start here, and go on for a little more than two days.
const START: &str = "2026-03-27T20:00:00Z";
const HOURS: i64 = 54;
/// Clocks are turned forward in Europe on the last day, and in Nuuk on the day before, across midnight.
const ZONES: [&str; 3] = ["UTC", "Europe/Berlin", "America/Nuuk"];

/// A change of the floor plan. Indexes select existing rows.
#[derive(Clone, Debug)]
enum Change {
    Assign { dpu: Index, space: Index, inside: bool, starts_at: Option<i64>, ends_at: Option<i64> },
    Correct { assignment: Index, field: Correction },
    End { assignment: Index, at: i64 },
    Unassign { assignment: Index },
    Move { dpu: Index, at: i64, space: Index },
    Reset { space: Index, ts: i64, count: u8 },
    CorrectReset { reset: Index, ts: Option<i64>, count: u8 },
    Unreset { reset: Index },
    Rule { space: Index, time: usize, first_day: i64, last_day: Option<i64> },
    CorrectRule { rule: Index, time: Option<usize>, first_day: Option<i64>, last_day: Option<Option<i64>> },
    Unrule { rule: Index },
    Zone { space: Index, zone: usize },
}

/// The corrected field of an assignment.
#[derive(Clone, Debug)]
enum Correction {
    Dpu(Index),
    Space(Index),
    StartsAt(Option<i64>),
    EndsAt(Option<i64>),
    Placement(bool),
}

/// A service, and the ids that it has assigned.
struct Known<'a> {
    service: &'a Service,
    spaces: Vec<String>,
    dpus: Vec<String>,
    assignments: Vec<String>,
    resets: Vec<String>,
    rules: Vec<String>,
}

fn instant() -> impl Strategy<Value = i64> {
    let start = at(START).ms();
    let half_hours = (0..2 * HOURS).prop_map(|half| half * HOUR_MS / 2);
    let hours = (0..HOURS).prop_map(|hour| hour * HOUR_MS);
    prop_oneof![1 => 0..HOURS * HOUR_MS, 2 => half_hours, 4 => hours].prop_map(move |ms| start + ms)
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<Index>;
    let day = || 26..31_i64;
    let correction = prop_oneof![
        index().prop_map(Correction::Dpu),
        index().prop_map(Correction::Space),
        option::of(instant()).prop_map(Correction::StartsAt),
        option::of(instant()).prop_map(Correction::EndsAt),
        any::<bool>().prop_map(Correction::Placement),
    ];
    prop_oneof![
        3 => (index(), index(), any::<bool>(), option::of(instant()), option::of(instant())).prop_map(
            |(dpu, space, inside, starts_at, ends_at)| Change::Assign { dpu, space, inside, starts_at, ends_at }
        ),
        4 => (index(), correction).prop_map(|(assignment, field)| Change::Correct { assignment, field }),
        1 => (index(), instant()).prop_map(|(assignment, at)| Change::End { assignment, at }),
        1 => index().prop_map(|assignment| Change::Unassign { assignment }),
        2 => (index(), instant(), index()).prop_map(|(dpu, at, space)| Change::Move { dpu, at, space }),
        2 => (index(), instant(), 0..9_u8).prop_map(|(space, ts, count)| Change::Reset { space, ts, count }),
        2 => (index(), option::of(instant()), 0..9_u8)
            .prop_map(|(reset, ts, count)| Change::CorrectReset { reset, ts, count }),
        1 => index().prop_map(|reset| Change::Unreset { reset }),
        2 => (index(), 0..48_usize, day(), option::of(day()))
            .prop_map(|(space, time, first_day, last_day)| Change::Rule { space, time, first_day, last_day }),
        3 => (index(), option::of(0..48_usize), option::of(day()), option::of(option::of(day()))).prop_map(
            |(rule, time, first_day, last_day)| Change::CorrectRule { rule, time, first_day, last_day }
        ),
        1 => index().prop_map(|rule| Change::Unrule { rule }),
        2 => (index(), 0..ZONES.len()).prop_map(|(space, zone)| Change::Zone { space, zone }),
    ]
}

fn drawn<T: std::fmt::Debug>(strategy: impl Strategy<Value = T>, runner: &mut TestRunner) -> T {
    strategy.new_tree(runner).unwrap().current()
}

fn quoted(ms: Option<i64>) -> String {
    ms.map_or("null".to_owned(), |ms| format!("\"{}\"", Instant::from_ms(ms)))
}

fn day(number: i64) -> String {
    format!("\"2026-03-{number}\"")
}

fn time(half_hour: usize) -> String {
    format!("\"{:02}:{:02}\"", half_hour / 2, half_hour % 2 * 30)
}

/// Returns one of these, if there are any.
fn one(ids: &[String], index: Index) -> Option<&String> {
    (!ids.is_empty()).then(|| index.get(ids))
}

impl<'a> Known<'a> {
    /// Creates the same world on a service.
    async fn build(service: &'a Service) -> Known<'a> {
        let (mut spaces, mut dpus) = (Vec::new(), Vec::new());
        for space in 0..SPACES {
            spaces.push(service.space(&format!("Space {space}")).await.to_string());
        }
        for dpu in 0..DPUS {
            dpus.push(service.dpu(&format!("D{dpu}")).await.to_string());
        }
        let none = Vec::new;
        Known { service, spaces, dpus, assignments: none(), resets: none(), rules: none() }
    }

    /// Returns the mutation for a change, and where to add the new id. `None`: there is nothing to change.
    fn mutation(&self, change: &Change) -> Option<(String, &'static str)> {
        let side = |inside: bool| if inside { "INSIDE" } else { "OUTSIDE" };
        Some(match change {
            Change::Assign { dpu, space, inside, starts_at, ends_at } => {
                let (dpu, space, placement) =
                    (one(&self.dpus, *dpu)?, one(&self.spaces, *space)?, side(*inside));
                let (starts_at, ends_at) = (quoted(*starts_at), quoted(*ends_at));
                let input = format!(
                    "dpu: {dpu}, space: {space}, placement: {placement}, startsAt: {starts_at}, endsAt: {ends_at}"
                );
                (format!("assignmentCreate(input: {{{input}}})"), "assignment { id }")
            }
            Change::Correct { assignment, field } => {
                let field = match field {
                    Correction::Dpu(dpu) => format!("dpu: {}", one(&self.dpus, *dpu)?),
                    Correction::Space(space) => format!("space: {}", one(&self.spaces, *space)?),
                    Correction::StartsAt(at) => format!("startsAt: {}", quoted(*at)),
                    Correction::EndsAt(at) => format!("endsAt: {}", quoted(*at)),
                    Correction::Placement(inside) => format!("placement: {}", side(*inside)),
                };
                (
                    format!(
                        "assignmentUpdate(id: {}, input: {{{field}}})",
                        one(&self.assignments, *assignment)?
                    ),
                    "",
                )
            }
            Change::End { assignment, at } => (
                format!(
                    "assignmentEnd(id: {}, at: {})",
                    one(&self.assignments, *assignment)?,
                    quoted(Some(*at))
                ),
                "",
            ),
            Change::Unassign { assignment } => {
                (format!("assignmentDelete(id: {})", one(&self.assignments, *assignment)?), "")
            }
            Change::Move { dpu, at, space } => {
                let to = format!("{{space: {}, placement: INSIDE}}", one(&self.spaces, *space)?);
                let at = quoted(Some(*at));
                (
                    format!("dpuMove(input: {{dpu: {}, at: {at}, to: [{to}]}})", one(&self.dpus, *dpu)?),
                    "assignments { id }",
                )
            }
            Change::Reset { space, ts, count } => {
                let (space, ts) = (one(&self.spaces, *space)?, quoted(Some(*ts)));
                (format!("resetCreate(input: {{space: {space}, ts: {ts}, count: {count}}})"), "reset { id }")
            }
            Change::CorrectReset { reset, ts, count } => {
                let ts = ts.map(|ts| format!("ts: {},", quoted(Some(ts)))).unwrap_or_default();
                (
                    format!(
                        "resetUpdate(id: {}, input: {{{ts} count: {count}}})",
                        one(&self.resets, *reset)?
                    ),
                    "",
                )
            }
            Change::Unreset { reset } => (format!("resetDelete(id: {})", one(&self.resets, *reset)?), ""),
            Change::Rule { space, time: of_day, first_day, last_day } => {
                let (space, of_day, first_day) = (one(&self.spaces, *space)?, time(*of_day), day(*first_day));
                let last_day = last_day.map_or("null".to_owned(), day);
                let input = format!(
                    "space: {space}, timeOfDay: {of_day}, count: 0, firstDay: {first_day}, lastDay: {last_day}"
                );
                (format!("resetRuleCreate(input: {{{input}}})"), "resetRule { id }")
            }
            Change::CorrectRule { rule, time: of_day, first_day, last_day } => {
                let of_day = of_day.map(|of_day| format!("timeOfDay: {},", time(of_day))).unwrap_or_default();
                let first_day =
                    first_day.map(|number| format!("firstDay: {},", day(number))).unwrap_or_default();
                let last_day =
                    last_day.map(|last| format!("lastDay: {},", last.map_or("null".to_owned(), day)));
                let fields = format!("{of_day}{first_day}{} count: 1", last_day.unwrap_or_default());
                (format!("resetRuleUpdate(id: {}, input: {{{fields}}})", one(&self.rules, *rule)?), "")
            }
            Change::Unrule { rule } => (format!("resetRuleDelete(id: {})", one(&self.rules, *rule)?), ""),
            Change::Zone { space, zone } => {
                let zone = ZONES[*zone];
                (
                    format!("spaceUpdate(id: {}, input: {{timeZone: {zone:?}}})", one(&self.spaces, *space)?),
                    "",
                )
            }
        })
    }

    /// Makes a change; returns the code if it is refused.
    async fn make(&mut self, change: &Change) -> Option<String> {
        let (mutation, made) = self.mutation(change)?;
        let query =
            format!("mutation {{ done: {mutation} {{ {made} userErrors {{ code field message }} }} }}");
        let payload = self.service.data(&query, json!({})).await["done"].take();
        if let Some(error) = payload["userErrors"].get(0) {
            return Some(error["code"].as_str().unwrap().to_owned());
        }
        let id = |object: &Value| object["id"].as_str().unwrap().to_owned();
        match change {
            Change::Assign { .. } => self.assignments.push(id(&payload["assignment"])),
            Change::Move { .. } => self.assignments.push(id(&payload["assignments"][0])),
            Change::Reset { .. } => self.resets.push(id(&payload["reset"])),
            Change::Rule { .. } => self.rules.push(id(&payload["resetRule"])),
            Change::Unassign { assignment } => {
                drop(self.assignments.remove(assignment.index(self.assignments.len())));
            }
            Change::Unreset { reset } => drop(self.resets.remove(reset.index(self.resets.len()))),
            Change::Unrule { rule } => drop(self.rules.remove(rule.index(self.rules.len()))),
            _ => {}
        }
        None
    }

    /// Returns every space's counts at these instants.
    async fn counts(&self, instants: &[Instant]) -> Vec<(usize, Instant, Value)> {
        let mut counts = Vec::new();
        for some in instants.chunks(30) {
            let of_one = |(place, ts): (usize, &Instant)| format!("c{place}: count(ts: \"{ts}\")");
            let fields: String = some.iter().enumerate().map(of_one).collect::<Vec<_>>().join(" ");
            let query = format!("{{ spaces {{ nodes {{ {fields} }} }} }}");
            let spaces = self.service.data(&query, json!({})).await["spaces"]["nodes"].take();
            for (space, of_space) in spaces.as_array().unwrap().iter().enumerate() {
                let count =
                    |(place, ts): (usize, &Instant)| (space, *ts, of_space[format!("c{place}")].clone());
                counts.extend(some.iter().enumerate().map(count));
            }
        }
        counts
    }
}

/// Hundreds of crossings. One DPU sees few people, so that there are hours without crossings.
fn events(runner: &mut TestRunner) -> Value {
    let event = (0..12_usize, instant(), any::<bool>()).prop_map(|(dpu, ts, toward)| {
        let direction = if toward { "TOWARD" } else { "AWAY" };
        json!({ "dpu": format!("D{}", dpu.min(DPUS - 1) % DPUS), "ts": Instant::from_ms(ts + 1).to_string(), "direction": direction })
    });
    let often = drawn(proptest::collection::vec(event, 400), runner);
    json!(often)
}

async fn changes_accepted_after_a_prune_leave_every_count_exact(service: &Service) {
    let mut runner = TestRunner::deterministic();
    // The same world without pruning.
    let twin = Service::on_sqlite().await;
    let (mut pruning, mut keeping) = (Known::build(service).await, Known::build(&twin).await);
    for known in [&pruning, &keeping] {
        known.service.set_now("2026-04-01T00:00:00Z");
    }
    let events = events(&mut runner);
    for known in [&pruning, &keeping] {
        known.service.ingest(events.clone()).await;
    }
    let (mut accepted, mut refused) = (0, 0);
    for horizon in [None, Some("2026-03-28"), Some("2026-03-29")] {
        if let Some(horizon) = horizon {
            pruned(service, horizon).await;
        }
        let horizon = horizon.map_or(Instant::MIN, at);
        let exact = |ts: &Instant| *ts >= horizon || ts.plus_ms(1).floor_to(HOUR_MS) == ts.plus_ms(1);
        let half_hours =
            (0..2 * HOURS).flat_map(|half| [-1, 0].map(|ms| at(START).plus_ms(half * HOUR_MS / 2 + ms)));
        let instants: Vec<_> = half_hours.filter(exact).collect();
        for _ in 0..60 {
            let change = drawn(change(), &mut runner);
            match pruning.make(&change).await.as_deref() {
                Some("OUT_OF_RANGE") => refused += 1,
                code => {
                    assert_eq!(keeping.make(&change).await.as_deref(), code, "{change:?}");
                    accepted += usize::from(horizon > Instant::MIN && code.is_none());
                }
            }
            let (counts, right) = (pruning.counts(&instants).await, keeping.counts(&instants).await);
            let wrong = counts.iter().zip(&right).find(|(count, right)| count != right);
            assert_eq!(wrong, None, "after {change:?}");
        }
    }
    assert!(accepted > 20 && refused > 10, "{accepted} accepted, {refused} refused");
    twin.finish().await;
}

on_both!(changes_accepted_after_a_prune_leave_every_count_exact);
