//! The memory against a model of the database, whatever comes between a question and its answer.
//!
//! The model is a list of events, and what a process knows is a [`Memory`] and the database as it was when the
//! process last looked. Reading is taken apart into its steps, and commits, patches, news and evictions come
//! between them in every order that can be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use entity::Instant;
use entity::event::Direction;
use entity::tally::Resolution;
use proptest::prelude::*;

use super::memory::{Lacking, Loaded, Memory};
use super::page::Step;
use super::{Commit, Timelines};
use crate::counting::{Crossings, Reading};

type Event = (i64, Instant, Direction, i32);

/// A database: the events that are committed.
#[derive(Clone, Debug, Default)]
struct Model(BTreeSet<Event>);

impl Model {
    /// What the odometer shows, by walking all events.
    fn show(&self, reading: Reading) -> Crossings {
        let seen = self.0.iter().filter(|(dpu, ts, ..)| *dpu == reading.dpu && *ts <= reading.at);
        seen.map(|(_, _, direction, _)| Crossings::from(*direction)).sum()
    }

    /// Commits events, and says what the process that did so learns of it.
    fn commit(&mut self, events: &[Event]) -> Commit {
        let inserted: Vec<_> = events.iter().copied().filter(|event| self.0.insert(*event)).collect();
        let days: BTreeSet<_> =
            inserted.iter().map(|(dpu, ts, ..)| (*dpu, Resolution::Day.bucket(*ts))).collect();
        let totals: Vec<_> = days.into_iter().map(|(dpu, day)| (dpu, day, self.total(dpu, day))).collect();
        Commit::new(inserted.into_iter().map(|(dpu, ts, direction, _)| (dpu, ts, direction)), totals)
    }

    fn total(&self, dpu: i64, day: Instant) -> Crossings {
        let end = Instant::from_ms(day.ms() + DAY_MS).just_before();
        self.show(Reading { dpu, at: end }) - self.show(Reading { dpu, at: day.just_before() })
    }

    /// What a statement would answer.
    fn load(&self, lacking: &Lacking) -> Loaded {
        let days = lacking.days.iter().map(|dpu| {
            let days: BTreeMap<_, _> = self
                .0
                .iter()
                .filter(|event| event.0 == *dpu)
                .map(|event| Resolution::Day.bucket(event.1))
                .map(|day| (day, self.total(*dpu, day)))
                .collect();
            (*dpu, days.into_iter().collect())
        });
        let pages = lacking.pages.iter().map(|key| {
            let of_day = self
                .0
                .iter()
                .filter(|(dpu, ts, ..)| *dpu == key.dpu && Resolution::Day.bucket(*ts) == key.day);
            let steps = of_day.map(|(_, ts, direction, _)| Step::new(key.day, *ts, *direction));
            (*key, steps.collect())
        });
        Loaded { days: days.collect(), pages: pages.collect() }
    }
}

const DAY_MS: i64 = 24 * 3_600_000;
/// Enough for all that these tests keep.
const PLENTY: u64 = 1 << 24;

/// Few, so that everything meets everything.
const DPUS: i64 = 2;
const DAYS: i64 = 2;

fn event() -> impl Strategy<Value = Event> {
    let direction = prop_oneof![Just(Direction::Toward), Just(Direction::Away)];
    (0..DPUS, instant(), direction, 0_i32..3)
}

fn instant() -> impl Strategy<Value = Instant> {
    (0..DAYS, prop_oneof![0_i64..3, DAY_MS - 3..DAY_MS])
        .prop_map(|(day, ms)| Instant::from_ms(day * DAY_MS + ms))
}

fn reading() -> impl Strategy<Value = Reading> {
    (0..DPUS, instant()).prop_map(|(dpu, at)| Reading { dpu, at })
}

/// A step of what goes on around one memory.
#[derive(Clone, Debug)]
enum Move {
    /// A reader does all its steps with nothing between them.
    Read(Reading),
    /// A reader finds out what is lacking.
    Ask(Reading),
    /// The reader at this place asks the database.
    Load(usize),
    /// And keeps what it was told.
    Keep(usize),
    /// This process commits.
    Commit(Vec<Event>),
    /// And patches the memory by the oldest commit that has not yet.
    Patch,
    /// Another process commits.
    Foreign(Vec<Event>),
    /// The news of all that others have committed so far comes: of each DPU, or of everything.
    News(bool),
    /// Everything that is kept goes, as where there is no room for it.
    Evict,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let events = || prop::collection::vec(event(), 1..6);
    let one = prop_oneof![
        6 => reading().prop_map(Move::Read),
        4 => reading().prop_map(Move::Ask),
        4 => (0_usize..3).prop_map(Move::Load),
        4 => (0_usize..3).prop_map(Move::Keep),
        3 => events().prop_map(Move::Commit),
        3 => Just(Move::Patch),
        1 => events().prop_map(Move::Foreign),
        1 => any::<bool>().prop_map(Move::News),
        1 => Just(Move::Evict),
    ];
    prop::collection::vec(one, 1..60)
}

/// A reader under way.
struct Reader {
    lacking: Lacking,
    loaded: Option<Loaded>,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Once nothing is under way, what is in memory is what is in the database.
    #[test]
    fn what_is_kept_is_true(moves in moves()) {
        let memory = Memory::new(PLENTY);
        let mut database = Model::default();
        let mut readers: Vec<Reader> = Vec::new();
        let (mut unpatched, mut unheard) = (Vec::new(), BTreeSet::new());
        let patch = |commit: Commit| commit.0.into_iter().for_each(|(dpu, added)| memory.patch(dpu, added));
        for step in moves {
            match step {
                Move::Read(reading) => {
                    let lacking = memory.lacking(&[reading]);
                    memory.keep(&lacking, &database.load(&lacking));
                }
                Move::Ask(reading) => readers.push(Reader { lacking: memory.lacking(&[reading]), loaded: None }),
                Move::Load(place) => if let Some(reader) = readers.get_mut(place) {
                    reader.loaded = Some(database.load(&reader.lacking));
                },
                Move::Keep(place) => if let Some(Reader { lacking, loaded: Some(loaded) }) = readers.get(place) {
                    memory.keep(lacking, loaded);
                    readers.remove(place);
                },
                Move::Commit(events) => unpatched.push(database.commit(&events)),
                Move::Patch => if !unpatched.is_empty() {
                    patch(unpatched.remove(0));
                },
                Move::Foreign(events) => unheard.extend(database.commit(&events).dpus()),
                Move::News(true) => {
                    unheard.clear();
                    memory.forget_all();
                }
                Move::News(false) => std::mem::take(&mut unheard).into_iter().for_each(|dpu| memory.forget(dpu)),
                Move::Evict => memory.evict(),
            }
        }
        for Reader { lacking, loaded } in readers {
            memory.keep(&lacking, &loaded.unwrap_or_else(|| database.load(&lacking)));
        }
        unpatched.into_iter().for_each(patch);
        for dpu in unheard {
            memory.forget(dpu);
        }
        let instants = (0..DAYS).flat_map(|day| [0, 1, DAY_MS - 2].map(|ms| day * DAY_MS + ms));
        let readings: Vec<_> = (0..DPUS)
            .flat_map(|dpu| instants.clone().map(move |ms| Reading { dpu, at: Instant::from_ms(ms) }))
            .collect();
        // As it is, and once all days are known: then each page that is there is believed or not.
        for _ in 0..2 {
            for reading in &readings {
                let shown = memory.show(*reading);
                prop_assert!(shown.is_none_or(|shown| shown == database.show(*reading)), "{:?}", reading);
            }
            let mut lacking = memory.lacking(&readings);
            lacking.pages.clear();
            memory.keep(&lacking, &database.load(&lacking));
        }
    }

    /// A patch finds what is in memory, so that a busy DPU is not read anew after each commit.
    #[test]
    fn what_is_patched_stays(first in prop::collection::vec(event(), 0..20), then in prop::collection::vec(event(), 1..20), at in reading()) {
        let memory = Memory::new(PLENTY);
        let mut database = Model::default();
        database.commit(&first);
        let lacking = memory.lacking(&[at]);
        memory.keep(&lacking, &database.load(&lacking));
        let known = memory.show(at);
        prop_assert_eq!(known, Some(database.show(at)));
        let had_page = database.total(at.dpu, Resolution::Day.bucket(at.at)) != Crossings::default();
        database.commit(&then).0.into_iter().for_each(|(dpu, added)| memory.patch(dpu, added));
        let shown = memory.show(at);
        prop_assert!(shown.is_some() || !had_page, "the page of {:?} was lost", at);
        prop_assert!(shown.is_none_or(|shown| shown == database.show(at)));
    }
}

/// Readers and a writer on threads of their own: whatever is answered lies between what was committed and
/// patched before the question and what was committed when the answer came.
#[test]
fn threads_agree() {
    let database = Mutex::new(Model::default());
    let timelines = Timelines::new(1 << 14);
    let done = AtomicBool::new(false);
    let event = |number: i64| {
        // All over three days and four DPUs, in no order of time.
        let ms = number * 7_919_777 % (3 * DAY_MS);
        (number % 4, Instant::from_ms(ms), Direction::Toward, 0)
    };
    thread::scope(|scope| {
        let readers: Vec<_> = (0..3_i64)
            .map(|reader| {
                let (database, memory, done) = (&database, &timelines.memory, &done);
                scope.spawn(move || {
                    let mut known = 0;
                    let mut number = reader;
                    while !done.load(Ordering::SeqCst) {
                        number += 3;
                        let reading = Reading {
                            dpu: number % 4,
                            at: Instant::from_ms(number * 1_299_709 % (3 * DAY_MS)),
                        };
                        let before =
                            memory.show(reading).map(|shown| (shown, database.lock().unwrap().show(reading)));
                        if let Some((shown, now)) = before {
                            known += 1;
                            assert!(shown.toward <= now.toward, "{reading:?} shows what is not committed");
                        } else {
                            let lacking = memory.lacking(&[reading]);
                            let loaded = database.lock().unwrap().load(&lacking);
                            memory.keep(&lacking, &loaded);
                        }
                    }
                    known
                })
            })
            .collect();
        for commit in 0..400 {
            let events: Vec<_> = (commit * 3..commit * 3 + 5).map(event).collect();
            let committed = database.lock().unwrap().commit(&events);
            let dpus: Vec<_> = committed.dpus().collect();
            timelines.patch(committed);
            let database = database.lock().unwrap();
            for dpu in dpus {
                let reading = Reading { dpu, at: Instant::from_ms(3 * DAY_MS) };
                let shown = timelines.show(reading);
                assert!(
                    shown.is_none_or(|shown| shown == database.show(reading)),
                    "a commit was patched, and is not seen"
                );
            }
        }
        done.store(true, Ordering::SeqCst);
        for reader in readers {
            assert!(reader.join().unwrap() > 0, "nothing was ever in memory");
        }
    });
}
