//! Compares the formula with the oracle on difficult worlds: with only a few instants, crossings, moves and resets
//! often coincide.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono_tz::Tz;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use values::{Direction, Instant, Placement};

use super::oracle::{self, World};
use super::{
    Account, Assignment, Bucket, Buckets, CountRange, Crossings, History, Interval, Odometer, Passed,
    Reading, Reset, Starts, Stretch, Term, fold,
};
use crate::totals::{Counters, MAX_PER_MINUTE, Totals};

/// DPUs that report crossings, intervals and totals.
const DPUS: i64 = 4;
const INTERVAL_DPUS: i64 = 2;
const TOTALS_DPUS: i64 = 2;
const ALL_DPUS: i64 = DPUS + INTERVAL_DPUS + TOTALS_DPUS;
/// Counters show 0 to 15, so that they often roll over.
const BITS: u32 = 4;
const SPACES: i64 = 3;
/// Every instant of a world is in `0..LAST`, in milliseconds.
const LAST: i64 = 24;

fn event() -> impl Strategy<Value = oracle::Event> {
    (0..DPUS, 0..LAST, prop_oneof![Just(1), Just(-1)], 0..2)
        .prop_map(|(dpu, ts, direction, seq)| oracle::Event { dpu, ts, direction, seq })
}

fn assignment() -> impl Strategy<Value = oracle::Assignment> {
    (0..ALL_DPUS, 0..SPACES, prop_oneof![Just(1), Just(-1)], option::of(0..LAST), option::of(1..LAST))
        .prop_map(|(dpu, space, placement, starts_at, length)| oracle::Assignment {
            dpu,
            space,
            placement,
            starts_at,
            ends_at: length.map(|length| starts_at.unwrap_or(0) + length),
        })
}

fn reset() -> impl Strategy<Value = oracle::Reset> {
    (0..SPACES, 0..LAST, 0_i64..20).prop_map(|(space, ts, count)| oracle::Reset { space, ts, count })
}

/// Generates intervals of DPUs of their own, which do not overlap, some of them reported twice with other numbers.
fn intervals() -> impl Strategy<Value = Vec<oracle::Interval>> {
    let cut = vec(0..=LAST, 2..7).prop_flat_map(|edges| {
        let edges: BTreeSet<i64> = edges.into_iter().collect();
        let pairs: Vec<_> = edges.iter().copied().zip(edges.iter().copied().skip(1)).collect();
        let numbers = vec((0..4_i64, 0..4_i64, 0..3_u8), pairs.len());
        numbers.prop_map(move |numbers| {
            let reported = pairs.iter().zip(numbers).filter(|(_, (.., kept))| *kept > 0);
            reported.map(|((from, to), (toward, away, _))| (*from, *to, toward, away)).collect::<Vec<_>>()
        })
    });
    vec(cut, usize::try_from(INTERVAL_DPUS).unwrap()).prop_map(|all| {
        let intervals = (DPUS..).zip(all).flat_map(|(dpu, cut)| {
            cut.into_iter().map(move |(from, to, toward, away)| oracle::Interval {
                dpu,
                from,
                to,
                toward,
                away,
            })
        });
        let mut intervals: Vec<_> = intervals.collect();
        // The first report of one of them had other numbers.
        if let Some(revised) = intervals.first().copied() {
            intervals.insert(0, oracle::Interval { toward: revised.toward + 1, ..revised });
        }
        intervals
    })
}

/// Generates readings of DPUs of their own, some of them reported twice.
fn totals() -> impl Strategy<Value = Vec<oracle::Totals>> {
    let reading =
        (0..TOTALS_DPUS, 0..LAST, 0..1_i64 << BITS, 0..1_i64 << BITS).prop_map(|(dpu, ts, toward, away)| {
            oracle::Totals { dpu: DPUS + INTERVAL_DPUS + dpu, ts, toward, away }
        });
    vec(reading, 0..12).prop_map(|mut readings| {
        let mut taken = HashSet::new();
        readings.retain(|totals| taken.insert((totals.dpu, totals.ts)));
        readings.extend_from_within(..readings.len() / 3);
        readings
    })
}

/// Generates events out of order and repeated, DPUs that are shared, moved and have gaps, and several resets a space.
fn world() -> impl Strategy<Value = World> {
    let events =
        (vec(event(), 0..60), vec(any::<prop::sample::Index>(), 0..10)).prop_map(|(mut events, again)| {
            let sent_again: Vec<_> =
                if events.is_empty() { vec![] } else { again.iter().map(|i| *i.get(&events)).collect() };
            events.extend(sent_again);
            events
        });
    (events.prop_shuffle(), intervals(), totals(), vec(assignment(), 0..14), vec(reset(), 0..6)).prop_map(
        |(events, intervals, totals, mut assignments, mut resets)| {
            // The database refuses these: one DPU twice in one space at a time, two resets at one instant.
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
            World { events, intervals, totals, counter_bits: Some(BITS), assignments, resets }
        },
    )
}

/// The inputs of the formula for one space.
struct Place {
    assignments: Vec<Assignment>,
    resets: Vec<Reset>,
    /// What each DPU's odometer shows, in any order: people, and the instant from which it shows them.
    crossings: Vec<Vec<(Instant, Crossings)>>,
    /// The intervals of each DPU.
    intervals: Vec<Vec<Interval>>,
}

impl Place {
    fn new(world: &World, space: i64) -> Self {
        let assignments = world.assignments.iter().filter(|assignment| assignment.space == space);
        let assignments = assignments.map(|assignment| Assignment {
            id: 0,
            dpu: assignment.dpu,
            placement: if assignment.placement == 1 { Placement::Inside } else { Placement::Outside },
            starts_at: assignment.starts_at.map(Instant::from_ms),
            ends_at: assignment.ends_at.map(Instant::from_ms),
        });
        let resets = world.resets.iter().filter(|reset| reset.space == space);
        let mut resets: Vec<_> = resets
            .map(|reset| Reset {
                id: 0,
                ts: Instant::from_ms(reset.ts),
                count: i32::try_from(reset.count).unwrap(),
            })
            .collect();
        resets.sort_by_key(|reset| reset.ts);
        let distinct: HashSet<_> = world.events.iter().copied().collect();
        let intervals: Vec<Vec<Interval>> = (0..ALL_DPUS).map(|dpu| Self::intervals(world, dpu)).collect();
        let crossings = (0..ALL_DPUS).zip(&intervals).map(|(dpu, intervals)| {
            let of_dpu = distinct.iter().filter(|event| event.dpu == dpu);
            let crossed = of_dpu.map(|event| {
                (Instant::from_ms(event.ts), Direction::from_sign(event.direction).unwrap().into())
            });
            let counted = intervals.iter().map(|interval| (interval.counted_at(), interval.people));
            crossed.chain(counted).collect()
        });
        Self {
            assignments: assignments.collect(),
            resets,
            crossings: crossings.collect(),
            intervals: intervals.clone(),
        }
    }

    /// Returns the intervals of a DPU: the reported ones, and those between neighbouring readings.
    fn intervals(world: &World, dpu: i64) -> Vec<Interval> {
        let reported = world.intervals.iter().filter(|interval| interval.dpu == dpu);
        let reported: HashMap<_, _> =
            reported.map(|interval| ((interval.from, interval.to), interval)).collect();
        let reported = reported.into_values().map(|interval| Interval {
            starts: Instant::from_ms(interval.from),
            ends: Instant::from_ms(interval.to),
            people: Crossings { toward: interval.toward, away: interval.away },
        });
        let readings = world.totals.iter().filter(|totals| totals.dpu == dpu);
        let readings: BTreeMap<_, _> = readings
            .map(|&oracle::Totals { ts, toward, away, .. }| {
                let ts = Instant::from_ms(ts);
                (ts, Totals { ts, read: Crossings { toward, away }, is_baseline: false })
            })
            .collect();
        let counters = Counters { bits: world.counter_bits, max_per_minute: MAX_PER_MINUTE };
        let pairs = readings.values().zip(readings.values().skip(1));
        let derived = pairs.map(|(one, next)| counters.difference(one, next).unwrap().interval);
        reported.chain(derived).collect()
    }

    fn starts(&self) -> Starts<'_> {
        Starts { resets: &self.resets, rules: &[], zone: Tz::UTC }
    }

    fn account(&self, at: Instant) -> Account<'_> {
        Account::new(&self.assignments, self.starts().newest(at), at)
    }

    fn crossings(&self, dpu: i64) -> &[(Instant, Crossings)] {
        &self.crossings[usize::try_from(dpu).unwrap()]
    }

    /// Returns the count by the formula.
    fn net(&self, at: Instant) -> i64 {
        let account = self.account(at);
        let announced: HashSet<Reading> = account.readings().collect();
        account.net(|reading| {
            assert!(announced.contains(&reading), "{reading:?} was not announced");
            self.crossings(reading.dpu).iter().copied().collect::<Odometer>().at(reading.at)
        })
    }

    /// Returns the lowest and the highest count.
    fn range(&self, at: Instant) -> (i64, i64) {
        let open = |reading: Reading| {
            let intervals = &self.intervals[usize::try_from(reading.dpu).unwrap()];
            intervals.iter().copied().find(|interval| interval.is_open_at(reading.at))
        };
        let CountRange { low, high } = self.account(at).range(self.net(at), open);
        (low, high)
    }

    /// Returns what the odometer shows of a stretch.
    fn stretch(&self, stretch: Stretch) -> Vec<(Instant, Crossings)> {
        let within = |ts: Instant| stretch.after < Some(ts) && ts <= stretch.until;
        self.crossings(stretch.dpu).iter().copied().filter(|(ts, _)| within(*ts)).collect()
    }

    /// Returns the people who entered and left by a term in `[from, until)`.
    fn steps(&self, term: &Term<'_>, from: Instant, until: Instant) -> Vec<(Instant, Passed)> {
        let crossed = self.stretch(term.stretch()).into_iter().filter(|(ts, _)| (from..until).contains(ts));
        let passed = |people: Crossings| Passed {
            entrances: people.entrances(term.placement()).try_into().unwrap(),
            exits: people.exits(term.placement()).try_into().unwrap(),
        };
        crossed.map(|(ts, people)| (ts, passed(people))).collect()
    }

    fn history(&self, edges: Vec<Instant>, answer: impl Fn(i64) -> i64 + Copy) -> Vec<Bucket> {
        let before = self.net(edges[0].just_before());
        let history = History::new(&self.assignments, self.starts(), edges);
        let mut buckets = Buckets::new(history.edges(), before);
        // In pieces of a few milliseconds, some of which end within a bucket.
        while let Some(end) = history.edges().last().copied().filter(|end| buckets.at() < *end) {
            let (from, until) = (buckets.at(), buckets.at().plus_ms(5).min(end));
            let cells = [&[from], buckets.edges_before(until), &[until]].concat();
            let mut steps: Vec<_> =
                history.terms().iter().flat_map(|term| self.steps(term, from, until)).collect();
            steps.sort_by_key(|(ts, _)| *ts);
            let resets = history.resets(from, until);
            if steps.is_empty() && !history.may_be_reset(from, until) {
                buckets.add_quiet(until, answer);
                continue;
            }
            for (until, cell) in cells[1..].iter().zip(fold(buckets.net(), &cells, steps, &resets, answer)) {
                buckets.add(*until, &cell, answer);
            }
        }
        buckets.finish()
    }
}

fn formula(world: &World, space: i64, at: i64) -> i64 {
    Place::new(world, space).net(Instant::from_ms(at))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_formula_agrees_with_the_oracle(world in world()) {
        for space in 0..SPACES {
            for at in -1..=LAST {
                prop_assert_eq!(formula(&world, space, at), world.count(space, at), "space {} at {}", space, at);
            }
        }
    }

    #[test]
    fn a_range_agrees_with_the_oracle(world in world()) {
        for space in 0..SPACES {
            let place = Place::new(&world, space);
            for at in -1..=LAST {
                let (low, high) = place.range(Instant::from_ms(at));
                prop_assert_eq!((low, high), world.range(space, at), "space {} at {}", space, at);
                prop_assert!((low..=high).contains(&world.count(space, at)));
            }
        }
    }

    #[test]
    fn a_history_agrees_with_the_counts_at_every_millisecond(
        world in world(), mut edges in vec(0..=LAST, 2..6), clamp in any::<bool>()
    ) {
        edges.sort_unstable();
        edges.dedup();
        let answer = |net: i64| if clamp { net.max(0) } else { net };
        for space in 0..SPACES {
            let instants: Vec<_> = edges.iter().map(|ms| Instant::from_ms(*ms)).collect();
            let buckets = Place::new(&world, space).history(instants, answer);
            prop_assert_eq!(buckets.len(), edges.len() - 1);
            for (bucket, edge) in buckets.iter().zip(edges.windows(2)) {
                let counts: Vec<i64> = (edge[0]..edge[1]).map(|ms| answer(world.count(space, ms))).collect();
                prop_assert_eq!(bucket.count, counts[counts.len() - 1]);
                prop_assert_eq!(Some(&bucket.min), counts.iter().min());
                prop_assert_eq!(Some(&bucket.max), counts.iter().max());
                #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                let mean = counts.iter().sum::<i64>() as f64 / counts.len() as f64;
                prop_assert!((bucket.average - mean).abs() < 1e-9, "{} is not {}", bucket.average, mean);
                let crossed = world.crossings(space, edge[0], edge[1]);
                prop_assert_eq!((bucket.entrances, bucket.exits), crossed);
            }
        }
    }

    #[test]
    fn late_and_repeated_events_do_not_change_counts(
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
        ..World::default()
    };
    // The start is inclusive, the end exclusive.
    assert_eq!([9, 10, 18, 19, 20].map(|at| formula(&world, 0, at)), [0, 1, 1, 2, 2]);
    // A reset includes the crossings at its own instant.
    world.resets.push(oracle::Reset { space: 0, ts: 10, count: 5 });
    assert_eq!([9, 10, 18, 19].map(|at| formula(&world, 0, at)), [0, 5, 5, 6]);
}

#[test]
fn a_door_between_two_spaces_moves_one_person() {
    let event = oracle::Event { dpu: 0, ts: 5, direction: 1, seq: 0 };
    let side =
        |space, placement| oracle::Assignment { dpu: 0, space, placement, starts_at: None, ends_at: None };
    let world = World { events: vec![event], assignments: vec![side(0, 1), side(1, -1)], ..World::default() };
    assert_eq!((formula(&world, 0, 5), formula(&world, 1, 5)), (1, -1));
    assert_eq!(Crossings::from(Direction::Away).net(), -1);
}
