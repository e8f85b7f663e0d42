//! The simulated world: the reports of each DPU, and the order in which they arrive.
//!
//! Everything follows from the [`Settings`]: the same settings give the same reports, so nothing needs to be stored
//! to know the true counts afterwards. This module sends nothing and reads no clock.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::bail;
use entity::Instant;
use serde::{Deserialize, Serialize};

use crate::kinds::{Kind, Kinds};
use crate::periods::Periods;
use crate::random::{Purpose, Random};
use crate::report::{Crossing, Report, Saying};

pub(crate) const SECOND_MS: i64 = 1000;
pub(crate) const MINUTE_MS: i64 = 60 * SECOND_MS;
pub(crate) const HOUR_MS: i64 = 60 * MINUTE_MS;
/// The length of a generated slice. Within it, no DPU accidentally has two crossings in one millisecond.
pub(crate) const SLICE_MS: i64 = 10 * MINUTE_MS;

/// The relative traffic of each hour of a day, from midnight.
const BUSY: [u64; 24] =
    [2, 1, 1, 1, 2, 6, 20, 60, 90, 70, 50, 60, 80, 70, 50, 50, 60, 90, 80, 40, 20, 12, 8, 4];
/// The percentage of entrances in each hour; the rest are exits.
const ENTERING: [u64; 24] =
    [30, 30, 30, 40, 60, 80, 85, 85, 80, 70, 55, 40, 45, 60, 50, 45, 35, 20, 15, 20, 20, 20, 20, 20];

/// Maximum number of events of a DPU per hour, on average: an hour has only so many milliseconds.
const EVENTS_HOUR_MAX: u64 = 100_000;
/// One in this many reports is of a crowd, with an event for each person.
const CROWD_ONE_IN: u64 = 25;
const CROWD_MAX: u64 = 9;
/// One in this many events has another person in the same millisecond and direction.
const PAIR_ONE_IN: u64 = 100;
/// One in this many reports is late, by up to two hours.
pub(crate) const LATE_ONE_IN: u64 = 50;
pub(crate) const LATE_MS: i64 = 2 * HOUR_MS;
/// A report that is sent again arrives at most this much later.
pub(crate) const AGAIN_MS: i64 = 20 * MINUTE_MS;
/// One in this many DPUs is disconnected for a while, and delivers its backlog afterwards.
const OUTAGE_ONE_IN: u64 = 20;
/// Maximum number of events of a backlog in one report.
pub(crate) const BACKLOG_EVENTS_MAX: usize = 100;
/// One in this many DPUs has a wrong clock, and the maximum error.
const WRONG_CLOCK_ONE_IN: u64 = 50;
const WRONG_CLOCK_MS: i64 = 6 * HOUR_MS;
/// One in this many DPUs is moved to the next space.
const MOVED_ONE_IN: u32 = 50;
/// One in this many doorways leads from one space to another.
const INNER_ONE_IN: u32 = 3;

/// The settings of the world. They are stored in the journal, so that a check knows what was sent.
#[derive(Clone, Debug, PartialEq, clap::Args, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// Number of DPUs
    #[arg(long, value_name = "NUMBER", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) dpus: u32,
    /// Number of spaces
    #[arg(long, value_name = "NUMBER", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) spaces: u32,
    /// Number of different events
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000_000)]
    pub(crate) events: u64,
    /// Length of the simulated time, in hours
    #[arg(long, value_name = "NUMBER", default_value_t = 24, value_parser = clap::value_parser!(i64).range(1..=87_600))]
    pub(crate) hours: i64,
    /// Start of the simulated time
    #[arg(long, value_name = "TIMESTAMP", default_value = "2025-03-03T00:00:00Z")]
    pub(crate) start: String,
    /// Time at which some DPUs are moved
    #[arg(long, value_name = "TIMESTAMP", default_value = "2025-03-03T12:00:00Z")]
    pub(crate) moved: String,
    /// Share of reports that are sent again later, like by a device without an answer
    #[arg(long, value_name = "SHARE", default_value_t = 0.02)]
    pub(crate) resend: f64,
    /// Share of additional events that are implausible or invalid, and must not count
    #[arg(long, value_name = "SHARE", default_value_t = 0.001)]
    pub(crate) bad: f64,
    /// Number of reports in a batch
    #[arg(long, value_name = "NUMBER", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) batch: u32,
    /// Seed of the random generator
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Kinds of reports
    #[arg(long, value_enum, default_value_t)]
    #[serde(default)]
    pub(crate) kinds: Kinds,
}

/// The assignments of DPUs to spaces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FloorPlan {
    /// Number of DPUs.
    pub(crate) dpus: u32,
    /// Number of spaces.
    pub(crate) spaces: u32,
    /// The time at which some DPUs are moved.
    pub(crate) moved_at: Instant,
    /// The kinds of reports.
    pub(crate) kinds: Kinds,
}

/// The spaces on both sides of a DPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Door {
    /// The space that a person enters by walking towards the DPU.
    pub(crate) inside: u32,
    /// The space that this person leaves. `None`: outside.
    pub(crate) outside: Option<u32>,
    /// The space that is entered instead after the DPU was moved.
    pub(crate) moved_inside: Option<u32>,
}

impl Settings {
    /// Returns the start of the simulated time.
    pub(crate) fn start(&self) -> anyhow::Result<Instant> {
        Ok(self.start.parse()?)
    }

    /// Returns an instant after all timestamps of the DPUs' clocks.
    pub(crate) fn end(&self) -> anyhow::Result<Instant> {
        Ok(self.start()?.plus_ms(self.hours * HOUR_MS + WRONG_CLOCK_MS))
    }

    /// Returns the assignments of DPUs to spaces.
    pub(crate) fn floor_plan(&self) -> anyhow::Result<FloorPlan> {
        let Self { dpus, spaces, kinds, .. } = *self;
        Ok(FloorPlan { dpus, spaces, moved_at: self.moved.parse()?, kinds })
    }

    /// Returns all reports in the order in which they arrive.
    pub(crate) fn reports(&self) -> anyhow::Result<Reports> {
        Reports::new(self)
    }
}

impl FloorPlan {
    /// Returns the serial of a DPU.
    pub(crate) fn serial(dpu: u32) -> String {
        format!("F{dpu:06}")
    }

    /// Returns the name of a space.
    pub(crate) fn space_name(space: u32) -> String {
        format!("Fleet space {space:06}")
    }

    /// Returns the spaces on both sides of a DPU.
    pub(crate) fn door(&self, dpu: u32) -> Door {
        let next = (dpu + 1) % self.spaces;
        let several = self.spaces > 1;
        let moved = several && dpu % MOVED_ONE_IN == MOVED_ONE_IN - 1;
        Door {
            inside: dpu % self.spaces,
            outside: (several && !moved && dpu % INNER_ONE_IN == 1).then_some(next),
            moved_inside: moved.then_some(next),
        }
    }

    /// Calls `change` with each space whose count a crossing changes, and the difference.
    pub(crate) fn effects(&self, dpu: u32, crossing: &Crossing, mut change: impl FnMut(u32, i64)) {
        let Door { inside, outside, moved_inside } = self.door(dpu);
        let step = i64::from(crossing.direction);
        let entered = moved_inside.filter(|_| crossing.ts_ms >= self.moved_at.ms()).unwrap_or(inside);
        change(entered, step);
        if let Some(left) = outside {
            change(left, -step);
        }
    }
}

/// The reports, generated slice by slice. Memory grows with late and held-back reports.
pub(crate) struct Reports {
    random: Random,
    settings: Settings,
    slice_ms: i64,
    end_ms: i64,
    /// The relative traffic of the slices so far, and of all slices.
    busy: (u64, u64),
    made: u64,
    /// The outages of disconnected DPUs.
    outages: HashMap<u32, (i64, i64)>,
    backlogs: HashMap<u32, Vec<Crossing>>,
    /// The errors of wrong clocks.
    clocks: HashMap<u32, i64>,
    /// The DPUs that report no single crossings.
    periods: Periods,
    /// Sorted by arrival, and then by a number that keeps the order of equal ones.
    underway: BTreeMap<(i64, u64), Report>,
    number: u64,
}

impl Reports {
    fn new(settings: &Settings) -> anyhow::Result<Self> {
        if settings.events / u64::from(settings.dpus) / settings.hours.unsigned_abs() > EVENTS_HOUR_MAX {
            bail!("more than {EVENTS_HOUR_MAX} events an hour from one DPU: name more DPUs, or more hours");
        }
        settings.kinds.check(settings)?;
        let mut random = Random::new(settings.seed, Purpose::World);
        let (slice_ms, span_ms) = (settings.start()?.ms(), settings.hours * HOUR_MS);
        let end_ms = slice_ms + span_ms;
        let (mut outages, mut clocks) = (HashMap::new(), HashMap::new());
        for dpu in 0..settings.dpus {
            if random.one_in(OUTAGE_ONE_IN) {
                let start = slice_ms + random.within(span_ms);
                outages.insert(dpu, (start, start + MINUTE_MS + random.within(span_ms / 4)));
            }
            if random.one_in(WRONG_CLOCK_ONE_IN) {
                let error_ms = random.within(2 * WRONG_CLOCK_MS) - WRONG_CLOCK_MS;
                clocks.insert(dpu, settings.kinds.of(dpu).clock_error(error_ms));
            }
        }
        let all =
            (slice_ms..end_ms).step_by(usize::try_from(SLICE_MS)?).map(|ms| BUSY[hour_of_day(ms)]).sum();
        let periods = Periods::new(settings, &outages, &clocks)?;
        let mut reports = Self {
            random,
            settings: settings.clone(),
            slice_ms,
            end_ms,
            busy: (0, all),
            made: 0,
            outages,
            backlogs: HashMap::new(),
            clocks,
            periods,
            underway: BTreeMap::new(),
            number: 0,
        };
        reports.end_periods();
        Ok(reports)
    }

    /// Generates the next slice. Returns `false` after the last one.
    fn slice(&mut self) -> bool {
        if self.slice_ms >= self.end_ms {
            return false;
        }
        let hour = hour_of_day(self.slice_ms);
        self.busy.0 += BUSY[hour];
        // Rounding the running total instead of each slice gives exactly the requested number of events.
        let due = u128::from(self.settings.events) * u128::from(self.busy.0) / u128::from(self.busy.1.max(1));
        let due = u64::try_from(due).unwrap_or(u64::MAX);
        let mut taken = HashSet::new();
        while self.made < due {
            self.crowd(hour, due - self.made, &mut taken);
        }
        self.slice_ms += SLICE_MS;
        let over: Vec<u32> =
            self.backlogs.keys().copied().filter(|dpu| self.outages[dpu].1 < self.slice_ms).collect();
        self.deliver_backlogs(over);
        self.end_periods();
        true
    }

    /// Schedules the reports of the DPUs that report no single crossings.
    fn end_periods(&mut self) {
        for (arrives_ms, report) in self.periods.end_slice(self.slice_ms) {
            self.put(arrives_ms, report);
        }
    }

    /// Generates one or more people, at most `events`, at one doorway.
    fn crowd(&mut self, hour: usize, events: u64, taken: &mut HashSet<(u32, i64)>) {
        let dpu = u32::try_from(self.random.below(self.settings.dpus.into())).unwrap_or_default();
        let people = if self.random.one_in(CROWD_ONE_IN) { 2 + self.random.below(CROWD_MAX - 1) } else { 1 };
        let (mut offset_ms, mut crossings) = (self.random.within(SLICE_MS), Vec::new());
        for _ in 0..people.min(events) {
            // If a millisecond of the doorway is taken, use the next free one.
            while !taken.insert((dpu, offset_ms)) {
                offset_ms = (offset_ms + 1) % SLICE_MS;
            }
            let direction = if self.random.below(100) < ENTERING[hour] { 1 } else { -1 };
            crossings.push(Crossing { ts_ms: self.slice_ms + offset_ms, direction, seq: 0 });
            offset_ms = (offset_ms + self.random.within(SECOND_MS)) % SLICE_MS;
        }
        if let Some(first) = crossings.first().copied()
            && crossings.len() < usize::try_from(events).unwrap_or(usize::MAX)
            && self.random.one_in(PAIR_ONE_IN)
        {
            crossings.push(Crossing { seq: 1, ..first });
        }
        self.made += crossings.len() as u64;
        let happened_ms = crossings[0].ts_ms;
        let wrong_ms = self.clocks.get(&dpu).copied().unwrap_or_default();
        for crossing in &mut crossings {
            crossing.ts_ms += wrong_ms;
        }
        self.periods.count(dpu, &crossings);
        if self.outages.get(&dpu).is_some_and(|(start, end)| (*start..*end).contains(&happened_ms)) {
            self.backlogs.entry(dpu).or_default().append(&mut crossings);
        } else {
            let late = if self.random.one_in(LATE_ONE_IN) { self.random.within(LATE_MS) } else { 0 };
            self.send(happened_ms + 50 + late, dpu, crossings);
        }
        if self.random.chance(self.settings.bad) {
            self.nonsense(dpu, happened_ms);
        }
    }

    /// Schedules the arrival of a report, and sometimes a second one.
    fn send(&mut self, arrives_ms: i64, dpu: u32, crossings: Vec<Crossing>) {
        let report = Report { serial: FloorPlan::serial(dpu), saying: Saying::Crossings(dpu, crossings) };
        if self.random.chance(self.settings.resend) {
            let again_ms = arrives_ms + SECOND_MS + self.random.within(AGAIN_MS);
            self.put(again_ms, report.clone());
        }
        self.put(arrives_ms, report);
    }

    /// Generates an event that must not count: implausible, or malformed.
    fn nonsense(&mut self, dpu: u32, arrives_ms: i64) {
        let serial = FloorPlan::serial(dpu);
        let (serial, ts, direction) = match self.random.below(5) {
            0 => (serial, "1969-12-31T23:59:59Z", 1),
            1 => (serial, "2999-01-01T00:00:00Z", -1),
            2 => (serial, "25:61 o'clock", 1),
            3 => (serial, "2025-03-03T12:00:00Z", 0),
            _ => (format!("{serial}-unknown"), "2025-03-03T12:00:00Z", 1),
        };
        self.put(arrives_ms, Report { serial, saying: Saying::Nonsense(ts, direction) });
    }

    fn put(&mut self, arrives_ms: i64, report: Report) {
        // Not earlier: every kind draws the same random numbers, and so the same people cross.
        if let Saying::Crossings(dpu, _) = report.saying
            && self.settings.kinds.of(dpu) != Kind::Crossings
        {
            return;
        }
        self.underway.insert((arrives_ms, self.number), report);
        self.number += 1;
    }

    /// Delivers the backlogs of reconnected DPUs, sometimes newest first.
    fn deliver_backlogs(&mut self, mut dpus: Vec<u32>) {
        dpus.sort_unstable();
        for dpu in dpus {
            let mut backlog = self.backlogs.remove(&dpu).unwrap_or_default();
            if self.random.one_in(2) {
                backlog.reverse();
            }
            let end_ms = self.outages.get(&dpu).map_or(self.end_ms, |(_, end)| *end);
            for some in backlog.chunks(BACKLOG_EVENTS_MAX) {
                let arrives_ms = end_ms + self.random.within(MINUTE_MS);
                self.send(arrives_ms, dpu, some.to_vec());
            }
        }
    }
}

impl Iterator for Reports {
    type Item = Report;

    fn next(&mut self) -> Option<Report> {
        loop {
            // Reports that arrive before the next slice are complete: nothing later can precede them.
            if let Some(first) = self.underway.first_entry()
                && (first.key().0 < self.slice_ms || self.slice_ms >= self.end_ms && self.backlogs.is_empty())
            {
                return Some(first.remove());
            }
            if !self.slice() {
                if self.backlogs.is_empty() {
                    return None;
                }
                let rest = self.backlogs.keys().copied().collect();
                self.deliver_backlogs(rest);
            }
        }
    }
}

fn hour_of_day(ms: i64) -> usize {
    usize::try_from(ms.div_euclid(HOUR_MS).rem_euclid(24)).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn settings() -> Settings {
        Settings {
            dpus: 200,
            spaces: 20,
            events: 20_000,
            hours: 24,
            start: "2025-03-03".to_owned(),
            moved: "2025-03-03T12:00:00Z".to_owned(),
            resend: 0.02,
            bad: 0.01,
            batch: 100,
            seed: 7,
            kinds: Kinds::Crossings,
        }
    }

    #[test]
    fn the_same_settings_give_the_same_reports() {
        for kinds in [Kinds::Crossings, Kinds::Mixed, Kinds::Totals] {
            let settings = Settings { kinds, ..settings() };
            let all = || settings.reports().unwrap().collect::<Vec<_>>();
            assert_eq!(all(), all());
            let other = Settings { seed: 8, ..settings.clone() }.reports().unwrap();
            assert!(!other.eq(all()));
        }
    }

    /// Returns who crossed, sorted: their DPU, and their time, direction and number.
    fn people(settings: &Settings) -> Vec<(u32, Crossing)> {
        let reports = settings.reports().unwrap().filter_map(Report::people);
        let people = reports.flat_map(|(dpu, people)| people.into_iter().map(move |one| (dpu, one)));
        let mut people: Vec<_> = people.collect::<HashSet<_>>().into_iter().collect();
        people.sort_unstable();
        people
    }

    #[test]
    fn the_same_people_cross_whatever_is_reported_of_them() {
        let one_by_one = people(&settings());
        // Only the errors of wrong clocks differ.
        let right = |people: Vec<(u32, Crossing)>| {
            let clocks = settings().reports().unwrap().clocks;
            people.into_iter().filter(|(dpu, _)| !clocks.contains_key(dpu)).collect::<Vec<_>>()
        };
        let one_by_one = right(one_by_one);
        for kinds in [Kinds::Mixed, Kinds::Totals] {
            let others = people(&Settings { kinds, ..settings() });
            assert_eq!(others.len(), 20_000);
            assert_eq!(right(others), one_by_one);
        }
    }

    #[test]
    fn there_are_as_many_different_events_as_asked_for() {
        let (mut different, mut sent, mut nonsense) = (HashSet::new(), 0, 0);
        for report in settings().reports().unwrap() {
            match report.saying {
                Saying::Crossings(dpu, crossings) => crossings.into_iter().for_each(|crossing| {
                    different.insert((dpu, crossing.ts_ms, crossing.direction, crossing.seq));
                    sent += 1;
                }),
                Saying::Nonsense(..) => nonsense += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(different.len(), 20_000);
        assert!(sent > 20_200, "{sent}");
        assert!(nonsense > 50, "{nonsense}");
        let end = settings().end().unwrap().ms();
        assert!(different.iter().all(|(_, ts_ms, ..)| *ts_ms < end));
    }
}
