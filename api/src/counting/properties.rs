//! The formula against the oracle, on worlds that are hard on purpose: few instants, so that crossings,
//! moves and resets fall on one another's very edges.

use std::collections::HashSet;

use entity::assignment::Placement;
use entity::event::Direction;
use entity::{Instant, assignment, reset};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::oracle::{self, World};
use super::{Account, Crossings, Odometer, Reading};

const DPUS: i64 = 4;
const SPACES: i64 = 3;
/// Every instant of a world lies in `0..LAST`, in milliseconds.
const LAST: i64 = 24;

fn event() -> impl Strategy<Value = oracle::Event> {
    (0..DPUS, 0..LAST, prop_oneof![Just(1), Just(-1)], 0..2)
        .prop_map(|(dpu, ts, direction, seq)| oracle::Event { dpu, ts, direction, seq })
}

fn assignment() -> impl Strategy<Value = oracle::Assignment> {
    (0..DPUS, 0..SPACES, prop_oneof![Just(1), Just(-1)], option::of(0..LAST), option::of(1..LAST)).prop_map(
        |(dpu, space, placement, starts_at, length)| oracle::Assignment {
            dpu,
            space,
            placement,
            starts_at,
            ends_at: length.map(|length| starts_at.unwrap_or(0) + length),
        },
    )
}

fn reset() -> impl Strategy<Value = oracle::Reset> {
    (0..SPACES, 0..LAST, 0_i64..20).prop_map(|(space, ts, count)| oracle::Reset { space, ts, count })
}

/// Events out of order and sent again; DPUs shared, moved and with gaps; several resets a space.
fn world() -> impl Strategy<Value = World> {
    let events =
        (vec(event(), 0..60), vec(any::<prop::sample::Index>(), 0..10)).prop_map(|(mut events, again)| {
            let sent_again: Vec<_> =
                if events.is_empty() { vec![] } else { again.iter().map(|i| *i.get(&events)).collect() };
            events.extend(sent_again);
            events
        });
    (events.prop_shuffle(), vec(assignment(), 0..10), vec(reset(), 0..6)).prop_map(
        |(events, mut assignments, mut resets)| {
            // What the database refuses: one DPU twice in one space at a time, two resets at one instant.
            let mut kept: Vec<oracle::Assignment> = Vec::new();
            assignments.retain(|new| {
                let overlaps = |old: &oracle::Assignment| {
                    (old.dpu, old.space) == (new.dpu, new.space)
                        && new.starts_at < old.ends_at.or(Some(i64::MAX))
                        && old.starts_at < new.ends_at.or(Some(i64::MAX))
                };
                let free = !kept.iter().any(overlaps);
                if free {
                    kept.push(*new);
                }
                free
            });
            let mut taken = HashSet::new();
            resets.retain(|reset| taken.insert((reset.space, reset.ts)));
            World { events, assignments, resets }
        },
    )
}

/// The count by the formula, with odometers built from the world's distinct events.
fn formula(world: &World, space: i64, at: i64) -> i64 {
    let epoch = Instant::from_ms(0);
    let assignments: Vec<_> = world
        .assignments
        .iter()
        .filter(|assignment| assignment.space == space)
        .map(|assignment| assignment::Model {
            id: 0,
            dpu_id: assignment.dpu,
            space_id: space,
            placement: if assignment.placement == 1 { Placement::Inside } else { Placement::Outside },
            doorway: None,
            starts_at: assignment.starts_at.map(Instant::from_ms),
            ends_at: assignment.ends_at.map(Instant::from_ms),
            created: epoch,
            modified: epoch,
        })
        .collect();
    let mut resets: Vec<_> = world
        .resets
        .iter()
        .filter(|reset| reset.space == space)
        .map(|reset| reset::Model {
            id: 0,
            space_id: space,
            ts: Instant::from_ms(reset.ts),
            count: i32::try_from(reset.count).unwrap(),
            note: None,
            created: epoch,
            modified: epoch,
        })
        .collect();
    resets.sort_by_key(|reset| reset.ts);

    let distinct: HashSet<_> = world.events.iter().copied().collect();
    let odometers: Vec<Odometer> = (0..DPUS)
        .map(|dpu| {
            let of_dpu = distinct.iter().filter(|event| event.dpu == dpu);
            of_dpu
                .map(|event| (Instant::from_ms(event.ts), Direction::from_sign(event.direction).unwrap()))
                .collect()
        })
        .collect();
    let account = Account::new(&assignments, &resets, Instant::from_ms(at));
    let announced: HashSet<Reading> = account.readings().collect();
    account.net(|reading| {
        assert!(announced.contains(&reading), "{reading:?} was not announced");
        odometers[usize::try_from(reading.dpu).unwrap()].at(reading.at)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_formula_says_what_walking_the_events_says(world in world()) {
        for space in 0..SPACES {
            for at in -1..=LAST {
                prop_assert_eq!(formula(&world, space, at), world.count(space, at), "space {} at {}", space, at);
            }
        }
    }

    #[test]
    fn a_late_or_repeated_event_is_worth_the_same_wherever_it_arrives(
        world in world(), seed in any::<prop::sample::Index>()
    ) {
        let mut shuffled = world.clone();
        if !shuffled.events.is_empty() {
            let middle = seed.index(shuffled.events.len());
            shuffled.events.rotate_left(middle);
            shuffled.events.push(shuffled.events[0]);
        }
        for space in 0..SPACES {
            prop_assert_eq!(formula(&world, space, LAST), formula(&shuffled, space, LAST));
        }
    }
}

#[test]
fn crossings_on_the_edges_of_an_assignment_and_of_a_reset() {
    let event = |ts| oracle::Event { dpu: 0, ts, direction: 1, seq: 0 };
    let assignment =
        oracle::Assignment { dpu: 0, space: 0, placement: 1, starts_at: Some(10), ends_at: Some(20) };
    let mut world = World {
        events: vec![event(9), event(10), event(19), event(20)],
        assignments: vec![assignment],
        resets: vec![],
    };
    // The start is in, the end is out.
    assert_eq!([9, 10, 18, 19, 20].map(|at| formula(&world, 0, at)), [0, 1, 1, 2, 2]);
    // A crossing at the reset's own instant is in the reset.
    world.resets.push(oracle::Reset { space: 0, ts: 10, count: 5 });
    assert_eq!([9, 10, 18, 19].map(|at| formula(&world, 0, at)), [0, 5, 5, 6]);
}

#[test]
fn a_door_between_two_spaces_moves_one_person() {
    let event = oracle::Event { dpu: 0, ts: 5, direction: 1, seq: 0 };
    let side =
        |space, placement| oracle::Assignment { dpu: 0, space, placement, starts_at: None, ends_at: None };
    let world = World { events: vec![event], assignments: vec![side(0, 1), side(1, -1)], resets: vec![] };
    assert_eq!((formula(&world, 0, 5), formula(&world, 1, 5)), (1, -1));
    assert_eq!(Crossings::from(Direction::Away).net(), -1);
}
