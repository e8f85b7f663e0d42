//! Checks the reading of states against a model, for any interleaving of readers and writers.
//!
//! The model of the database is a list of commits; a snapshot has the first ones. The process is a real [`Memory`]; its
//! readers are a real [`Basis`] and what they load from the model. Reading, committing and refreshing are split into
//! the steps between which other tasks can run, and the steps run in arbitrary order.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use entity::Instant;
use entity::event::Direction;
use entity::tally::TallyLength;
use proptest::prelude::*;

use super::basis::{Basis, Reached};
use crate::database::{Changes, CommitId, LoggedCommit, Position};
use crate::floor_plan::FloorPlan;
use crate::state::Memory;
use crate::timelines::{DayTotal, Days, Lacking, Loaded, Page, PageKey, Patch, Since, Step};
use counting::{Crossings, Odometer, Reading};

const DAY_MS: i64 = 24 * 3_600_000;
/// Few of each, so that they often interact.
const DPUS: i64 = 3;
const DAYS: i64 = 2;
const READERS: usize = 3;

type Event = (i64, Instant, Direction, i32);

/// Commits, in the order in which they were made.
#[derive(Debug, Default)]
struct Database(Vec<Commit>);

#[derive(Debug)]
struct Commit {
    id: CommitId,
    added: BTreeSet<Event>,
    /// Events that no longer count, as a revision, a late reading or a void leaves them.
    removed: BTreeSet<Event>,
}

/// What is committed: events, of which only those that are not stored yet are added, and the places of events to remove
/// among those of a DPU that count, some of which are replaced by their opposite, so that the day stays as long.
#[derive(Clone, Debug)]
struct Content {
    events: Vec<Event>,
    removed: Vec<(i64, usize, bool)>,
}

impl Database {
    /// Commits the content. Returns what changes in the memory of the process that commits.
    fn commit(&mut self, id: CommitId, content: &Content) -> Option<Patch> {
        let live = |dpu| self.live(dpu, |_, _| true);
        let at = |(dpu, place, is_replaced): &(i64, usize, bool)| {
            Some((live(*dpu).into_iter().nth(*place)?, *is_replaced))
        };
        let found: Vec<(Event, bool)> = content.removed.iter().filter_map(at).collect();
        let removed: BTreeSet<Event> = found.iter().map(|(event, _)| *event).collect();
        let opposite = |(dpu, ts, direction, seq): Event| match direction {
            Direction::Toward => (dpu, ts, Direction::Away, seq + 100),
            Direction::Away => (dpu, ts, Direction::Toward, seq + 100),
        };
        let replacing =
            found.iter().filter(|(_, is_replaced)| *is_replaced).map(|(event, _)| opposite(*event));
        // What was removed stays so when it is sent again.
        let is_new = |event: &Event| !self.0.iter().any(|commit| commit.added.contains(event));
        let added = content.events.iter().copied().chain(replacing).filter(is_new);
        let added: BTreeSet<Event> = added.collect();
        if added.is_empty() && removed.is_empty() {
            return None;
        }
        let mut patch = Patch::new(added.iter().map(|(dpu, ts, direction, _)| (*dpu, *ts, *direction)));
        for (dpu, ..) in &removed {
            patch.replace(*dpu);
        }
        self.0.push(Commit { id, added, removed });
        Some(patch)
    }

    /// Returns the events of a DPU that count after the commits for which `is_in` holds.
    fn live(&self, dpu: i64, is_in: impl Fn(usize, CommitId) -> bool) -> BTreeSet<Event> {
        let mut live = BTreeSet::new();
        for (_, commit) in self.0.iter().enumerate().filter(|(place, commit)| is_in(*place, commit.id)) {
            live.extend(commit.added.iter().filter(|event| event.0 == dpu));
            live.retain(|event| !commit.removed.contains(event));
        }
        live
    }

    /// Returns the same without what distinguishes events of one instant.
    fn events(&self, dpu: i64, is_in: impl Fn(usize, CommitId) -> bool) -> Vec<(Instant, Direction)> {
        self.live(dpu, is_in).into_iter().map(|(_, ts, direction, _)| (ts, direction)).collect()
    }

    /// Returns how many of the first commits removed events of a DPU's day.
    fn edition(&self, dpu: i64, day: Instant, commits: usize) -> i32 {
        let of_day = |event: &Event| event.0 == dpu && TallyLength::Day.bucket(event.1) == day;
        let removing = self.0[..commits].iter().filter(|commit| commit.removed.iter().any(of_day));
        i32::try_from(removing.count()).unwrap()
    }

    /// Returns the odometer's reading in the state at a position.
    fn show(&self, position: &Position, reading: Reading) -> Crossings {
        self.events(reading.dpu, |_, id| position.has(id)).into_iter().collect::<Odometer>().at(reading.at)
    }

    /// Returns the result of a statement whose snapshot has the first `commits`.
    fn load(&self, commits: usize, lacking: &Lacking, position: &Position) -> (Loaded, Changes) {
        let mut loaded = Loaded::default();
        for dpu in &lacking.days {
            let mut days: BTreeMap<Instant, DayTotal> = BTreeMap::new();
            for day in (0..DAYS).map(|day| Instant::from_ms(day * DAY_MS)) {
                days.entry(day).or_default().edition = self.edition(*dpu, day, commits);
            }
            for (ts, direction) in self.events(*dpu, |place, _| place < commits) {
                days.entry(TallyLength::Day.bucket(ts)).or_default().people += direction.into();
            }
            loaded.days.insert(*dpu, days.into_iter().collect());
        }
        for key in &lacking.pages {
            let events = self.events(key.dpu, |place, _| place < commits);
            let of_day = events.into_iter().filter(|(ts, _)| TallyLength::Day.bucket(*ts) == key.day);
            let steps = of_day.map(|(ts, way)| Step::new(key.day, ts, way));
            let edition = self.edition(key.dpu, key.day, commits);
            loaded.pages.insert(*key, Page::of_crossings(steps).of_edition(edition));
        }
        (loaded, self.changes(commits, position))
    }

    fn changes(&self, commits: usize, position: &Position) -> Changes {
        let lacking = self.0[..commits].iter().filter(|commit| !position.has(commit.id));
        let logged = lacking.map(|commit| {
            let dpus: BTreeSet<i64> =
                commit.added.iter().chain(&commit.removed).map(|event| event.0).collect();
            LoggedCommit { id: commit.id, dpus: Some(dpus.into_iter().collect()) }
        });
        Changes { commits: logged.collect(), ..Changes::default() }
    }
}

struct Reader {
    readings: Vec<Reading>,
    basis: Basis,
    reached: Reached,
    loaded: Loaded,
    /// The database's answer, before the reader has processed it.
    answered: Option<(Loaded, Changes)>,
    /// What the reader has read before.
    shown: HashMap<Reading, Crossings>,
    /// The snapshot of all its loads, if they have a common one.
    snapshot: Option<usize>,
}

#[derive(Clone, Debug)]
enum Move {
    /// A reader begins, in the state of memory or of the database.
    Begin(usize, Vec<Reading>, bool),
    /// A reader asks the database for what memory lacks.
    Ask(usize),
    /// A reader processes the answer, and asks for more readings once it has everything.
    Take(usize, Vec<Reading>),
    /// This process commits.
    Commit(Content),
    /// Its commit is applied to memory.
    Apply,
    /// The outcome of the process's commit is unknown.
    Lose,
    /// Another process commits.
    Foreign(i64, Content),
    /// The process reads from the database what others have committed.
    Look,
    /// Memory moves on by what was read.
    Refresh,
    /// Everything cached is evicted.
    Evict,
}

fn instant() -> impl Strategy<Value = Instant> {
    (0..DAYS, prop_oneof![0_i64..3, DAY_MS - 3..DAY_MS])
        .prop_map(|(day, ms)| Instant::from_ms(day * DAY_MS + ms))
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let direction = || prop_oneof![Just(Direction::Toward), Just(Direction::Away)];
    let content = move || {
        let events = prop::collection::vec((0..DPUS, instant(), direction(), 0_i32..3), 0..6);
        let removed = prop_oneof![2 => Just(vec![]), 1 => prop::collection::vec((0..DPUS, 0_usize..4, any::<bool>()), 1..3)];
        (events, removed).prop_map(|(events, removed)| Content { events, removed })
    };
    let reading = || (0..DPUS, instant()).prop_map(|(dpu, at)| Reading { dpu, at });
    let readings = move || prop::collection::vec(reading(), 1..4);
    let one = prop_oneof![
        6 => (0..READERS, readings(), any::<bool>()).prop_map(|(place, all, fresh)| Move::Begin(place, all, fresh)),
        6 => (0..READERS).prop_map(Move::Ask),
        6 => (0..READERS, readings()).prop_map(|(place, more)| Move::Take(place, more)),
        4 => content().prop_map(Move::Commit),
        5 => Just(Move::Apply),
        1 => Just(Move::Lose),
        3 => (100_i64..102, content()).prop_map(|(writer, content)| Move::Foreign(writer, content)),
        2 => Just(Move::Look),
        2 => Just(Move::Refresh),
        1 => Just(Move::Evict),
    ];
    prop::collection::vec(one, 1..80)
}

/// A process on the model.
struct Process {
    database: Database,
    memory: Memory,
    /// The commit that is made but not in memory yet.
    in_flight: Option<(CommitId, Patch)>,
    /// What others have committed, as it was read.
    seen: Vec<Changes>,
    foreign: BTreeMap<i64, i64>,
    readers: Vec<Option<Reader>>,
    /// The positions of all answers.
    answered: Vec<Position>,
}

impl Process {
    fn new(bytes: u64) -> Self {
        let memory = Memory::new(bytes, None);
        memory.begin(Arc::new(FloorPlan::default()), Position::start(CommitId::new_writer()));
        Self {
            database: Database::default(),
            memory,
            in_flight: None,
            seen: Vec::new(),
            foreign: BTreeMap::new(),
            readers: (0..READERS).map(|_| None).collect(),
            answered: Vec::new(),
        }
    }

    fn step(&mut self, step: Move) -> Result<(), TestCaseError> {
        match step {
            Move::Begin(place, readings, of_database) => self.begin(place, readings, of_database)?,
            Move::Ask(place) => self.ask(place),
            Move::Take(place, more) => self.take(place, more)?,
            Move::Commit(content) => {
                let id = self.memory.head().unwrap().position.own.next();
                if self.in_flight.is_none() {
                    self.in_flight = self.database.commit(id, &content).map(|patch| (id, patch));
                }
            }
            Move::Apply => {
                if let Some((id, patch)) = self.in_flight.take() {
                    self.memory.committed(id, patch);
                }
            }
            Move::Lose => {
                if self.in_flight.take().is_some() {
                    self.memory.change_writer();
                }
            }
            Move::Foreign(writer, content) => {
                let number = self.foreign.entry(writer).or_default();
                let id = CommitId { writer, number: *number + 1 };
                *number += i64::from(self.database.commit(id, &content).is_some());
            }
            Move::Look => {
                let position = self.memory.head().unwrap().position.clone();
                self.seen.push(self.database.changes(self.database.0.len(), &position));
            }
            Move::Refresh => {
                if let Some(changes) = self.seen.pop() {
                    self.memory.advance(&changes, None, false);
                }
            }
            Move::Evict => self.memory.timelines().evict(),
        }
        Ok(())
    }

    fn begin(
        &mut self,
        place: usize,
        readings: Vec<Reading>,
        of_database: bool,
    ) -> Result<(), TestCaseError> {
        let head = self.memory.head().unwrap();
        for answered in &self.answered {
            prop_assert!(is_within(answered, &head.position), "a state goes back: {answered:?}, {head:?}");
        }
        let mut reader = Reader {
            readings,
            basis: Basis::new(head.version, 0, None),
            reached: Reached::new(head.position.clone()),
            loaded: Loaded::default(),
            answered: None,
            shown: HashMap::new(),
            snapshot: None,
        };
        if of_database {
            let commits = self.database.0.len();
            let changes = self.database.changes(commits, &head.position);
            if self.is_waiting_for(&changes) {
                return Ok(());
            }
            let caught_up = self.memory.advance(&changes, None, false);
            prop_assert!(reader.basis.go_on(&mut reader.reached, &changes, caught_up).is_ok());
            reader.snapshot = Some(commits);
        }
        self.readers[place] = Some(reader);
        Ok(())
    }

    /// Returns whether a commit of this process is among the changes but not in memory yet; a reader waits for it.
    fn is_waiting_for(&self, changes: &Changes) -> bool {
        let in_flight = self.in_flight.as_ref().map(|(id, _)| *id);
        changes.commits.iter().any(|commit| Some(commit.id) == in_flight)
    }

    fn ask(&mut self, place: usize) {
        let Some(reader) = &mut self.readers[place] else { return };
        let (_, lacking) = reader.basis.show(self.memory.timelines(), &reader.readings, &reader.loaded);
        if reader.answered.is_none() && !lacking.is_empty() {
            let commits = reader.snapshot.unwrap_or(self.database.0.len());
            reader.answered = Some(self.database.load(commits, &lacking, &reader.reached.position));
        }
    }

    fn take(&mut self, place: usize, more: Vec<Reading>) -> Result<(), TestCaseError> {
        let Some(mut reader) = self.readers[place].take() else { return Ok(()) };
        if let Some((loaded, changes)) = reader.answered.take() {
            if self.is_waiting_for(&changes) {
                reader.answered = Some((loaded, changes));
                self.readers[place] = Some(reader);
                return Ok(());
            }
            let caught_up = self.memory.advance(&changes, None, false);
            if reader.basis.go_on(&mut reader.reached, &changes, caught_up).is_err() {
                prop_assert!(reader.snapshot.is_none(), "a view of the database has moved");
                return Ok(());
            }
            self.memory.keep(reader.basis.since(&reader.reached), &loaded);
            reader.loaded.append(loaded);
        }
        let phase = reader.basis.phase();
        let (shown, lacking) = reader.basis.show(self.memory.timelines(), &reader.readings, &reader.loaded);
        if lacking.is_empty() {
            prop_assert!(reader.basis.use_it(phase));
            reader.shown.extend(shown);
            for (reading, crossings) in &reader.shown {
                let right = self.database.show(&reader.reached.position, *reading);
                prop_assert_eq!(*crossings, right, "{:?} at {:?}", reading, reader.reached);
            }
            self.answered.push(reader.reached.position.clone());
            (reader.readings, reader.loaded) = (more, Loaded::default());
        }
        self.readers[place] = Some(reader);
        Ok(())
    }
}

/// Returns whether all commits at the first position are in the state at the second.
fn is_within(one: &Position, other: &Position) -> bool {
    let others = one.others.iter().map(|(writer, number)| CommitId { writer: *writer, number: *number });
    others.chain([one.own]).all(|id| other.has(id))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Everything that one reader reads is correct for one state, and no later reader sees an earlier state.
    #[test]
    fn each_reader_sees_one_state(moves in moves(), bytes in prop_oneof![Just(0), Just(3_000), Just(1 << 24)]) {
        let mut process = Process::new(bytes);
        for step in moves {
            process.step(step)?;
        }
    }

    /// A commit of this process keeps the cached data usable, so that a busy DPU is not reloaded after each commit.
    #[test]
    fn a_commit_evicts_nothing_from_memory(commits in prop::collection::vec((0..DAYS, 0..DAY_MS), 1..150)) {
        let process = Process::new(1 << 24);
        let mut database = Database::default();
        let readings: Vec<_> =
            (0..DAYS).map(|day| Reading { dpu: 0, at: Instant::from_ms((day + 1) * DAY_MS - 1) }).collect();
        let lacking = Lacking { days: vec![0], pages: readings.iter().map(|at| PageKey::of(*at)).collect() };
        let head = process.memory.head().unwrap();
        let (loaded, _) = database.load(0, &lacking, &head.position);
        process.memory.keep(Since { begun: head.version, caught_up: None }, &loaded);
        for (number, (day, ms)) in (0..).zip(commits) {
            let head = process.memory.head().unwrap();
            let event = (0, Instant::from_ms(day * DAY_MS + ms), Direction::Toward, number);
            let id = head.position.own.next();
            let content = Content { events: vec![event], removed: vec![] };
            process.memory.committed(id, database.commit(id, &content).unwrap());
            let after = process.memory.head().unwrap();
            for reading in &readings {
                let known = |version| process.memory.timelines().show(version, *reading, false);
                if let Some(shown) = known(after.version) {
                    prop_assert_eq!(shown, database.show(&after.position, *reading));
                }
                // A reader that began earlier finds the old data, unless its page was packed again.
                if let Some(shown) = known(head.version) {
                    prop_assert_eq!(shown, database.show(&head.position, *reading));
                }
            }
            prop_assert!(process.memory.timelines().days(0, after.version).is_some());
        }
    }
}

/// Readers and a writer on threads of their own. Each commit is about two DPUs, and a reader sees as many crossings of
/// both as its state has commits.
#[test]
fn readers_on_other_threads_see_whole_commits() {
    const COMMITS: i64 = 5_000;
    let process = Process::new(1 << 24);
    let head = process.memory.head().unwrap();
    let loaded = Loaded { days: [(0, Days::default()), (1, Days::default())].into(), ..Loaded::default() };
    process.memory.keep(Since { begun: head.version, caught_up: None }, &loaded);
    let memory = &process.memory;
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(move || {
                    let mut seen = 0;
                    loop {
                        let head = memory.head().unwrap();
                        let number = head.position.own.number;
                        let total = |dpu| {
                            let days = memory.timelines().days(dpu, head.version)?;
                            Some(days.ends().map_or(0, |(_, last)| {
                                let (before, during) = days.around(last);
                                (before + during).count()
                            }))
                        };
                        // If a reader was suspended during several commits, its version is gone.
                        for total in [total(0), total(1)].into_iter().flatten() {
                            seen += 1;
                            assert_eq!(total, number);
                        }
                        if number == COMMITS {
                            return seen;
                        }
                    }
                })
            })
            .collect();
        for number in 1..=COMMITS {
            let event = |dpu| (dpu, Instant::from_ms(number * 40_009 % (3 * DAY_MS)), Direction::Toward);
            let id = memory.head().unwrap().position.own.next();
            memory.committed(id, Patch::new([event(0), event(1)]));
        }
        for reader in readers {
            assert!(reader.join().unwrap() > 0, "nothing was ever in memory");
        }
    });
}
