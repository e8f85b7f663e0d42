//! Generates any number of events, with the irregularities of real ones.
//!
//! People come in the morning and leave in the evening, fewer at the weekend; nobody leaves an empty room or enters a
//! full one. Counting starts with people inside, so counts fall below zero. Some events arrive late, one DPU is offline
//! for a day and delivers its backlog afterwards, some events are sent again, and one DPU is moved halfway through.
//! Rows are in the order of arrival. The same arguments give the same bytes. Memory grows with the backlog only.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::io::{self, Write};
use std::path::PathBuf;

use entity::Instant;
use entity::event::Direction;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// How busy each hour of a working day is, midnight first; only the ratios matter.
const BUSY: [u64; 24] =
    [2, 1, 1, 1, 2, 6, 20, 60, 90, 70, 50, 60, 80, 70, 50, 50, 60, 90, 80, 40, 20, 12, 8, 4];
/// How many of 100 people enter in each hour, the others leaving.
const ENTERING: [u64; 24] =
    [30, 30, 30, 40, 60, 80, 85, 85, 80, 70, 55, 40, 45, 60, 50, 45, 35, 20, 15, 20, 20, 20, 20, 20];
/// Number by which the traffic of a working day is divided on a weekend day.
const WEEKEND_DIVISOR: u64 = 5;
/// Number of people in each room when counting starts, who were not counted.
const INSIDE_AT_START: u32 = 8;

/// Arguments of `seed generate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Generate this many DPUs
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    dpus: u32,
    /// Generate this many spaces. Default: one for two DPUs
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    spaces: Option<u32>,
    /// Generate events of this many days
    #[arg(long, value_name = "NUMBER", default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    days: u32,
    /// Generate this many different events; about one in a hundred is written again, as by a device that got no answer
    #[arg(long, value_name = "NUMBER", default_value_t = 3000)]
    events: u64,
    /// Seed the random numbers with this number
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Begin on this day
    #[arg(long, value_name = "DATE", default_value = "2025-03-03")]
    start: Instant,
    /// Write the events to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: PathBuf,
    /// Write the floor plan to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: PathBuf,
}

/// An event on its way: its time of arrival, a number that keeps the order of equal times, and its contents.
type Arrival = Reverse<(i64, u64, Reported)>;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Reported {
    ts_ms: i64,
    dpu: u32,
    direction: Direction,
}

/// Writes both files. Returns the number of rows of events.
pub(crate) fn write(arguments: &Arguments, plan: &mut impl Write, csv: &mut impl Write) -> io::Result<u64> {
    let building = Building::new(arguments);
    building.write_plan(plan)?;
    let people = vec![INSIDE_AT_START; usize::try_from(building.spaces).unwrap_or_default()];
    Stream { building, people, random: Random::new(arguments.seed), rows: 0, csv }.write(arguments.events)
}

struct Building {
    dpus: u32,
    spaces: u32,
    start_ms: i64,
    days: u32,
}

impl Building {
    fn new(arguments: &Arguments) -> Self {
        Self {
            dpus: arguments.dpus,
            spaces: arguments.spaces.unwrap_or_else(|| arguments.dpus.div_ceil(2)),
            start_ms: arguments.start.floor_to(DAY_MS).ms(),
            days: arguments.days,
        }
    }

    fn serial(dpu: u32) -> u32 {
        1001 + dpu
    }

    fn space(&self, number: u32) -> String {
        format!("Room {}", number % self.spaces + 1)
    }

    fn capacity(&self, number: u32) -> u32 {
        40 + number % self.spaces % 7 * 20
    }

    /// Returns the room that people enter when they walk towards a DPU, and the one that they leave; `None`: outside.
    fn rooms(&self, dpu: u32, ts_ms: i64) -> (u32, Option<u32>) {
        let moved = self.moved() == Some(dpu);
        let entered = if moved && ts_ms >= self.middle().ms() { dpu + 1 } else { dpu };
        let left = (dpu % 3 == 1 && self.spaces > 1 && !moved).then_some((dpu + 1) % self.spaces);
        (entered % self.spaces, left)
    }

    fn middle(&self) -> Instant {
        Instant::from_ms(self.start_ms + i64::from(self.days) * DAY_MS / 2).floor_to(HOUR_MS)
    }

    /// Returns the DPU that is moved halfway through, if there is another room.
    fn moved(&self) -> Option<u32> {
        (self.dpus > 2 && self.spaces > 1).then_some(self.dpus - 1)
    }

    fn write_plan(&self, plan: &mut impl Write) -> io::Result<()> {
        writeln!(
            plan,
            "# A made-up floor plan. Every third door, from the second on, leads from one room to the next;"
        )?;
        writeln!(plan, "# the others lead outside.")?;
        for number in 0..self.spaces {
            writeln!(
                plan,
                "\n[[space]]\nname = \"{}\"\ncapacity = {}",
                self.space(number),
                40 + number % 7 * 20
            )?;
        }
        for dpu in 0..self.dpus {
            writeln!(plan, "\n[[dpu]]\nserial = \"{}\"\nname = \"Door {}\"", Self::serial(dpu), dpu + 1)?;
        }
        for dpu in 0..self.dpus {
            let moved = (self.moved() == Some(dpu)).then(|| self.middle());
            let bound = |key: &str| moved.map(|at| format!("{key} = \"{at}\""));
            self.write_assignment(plan, dpu, dpu, "inside", bound("ends_at"))?;
            if dpu % 3 == 1 && self.spaces > 1 && moved.is_none() {
                self.write_assignment(plan, dpu, dpu + 1, "outside", None)?;
            }
            if moved.is_some() {
                writeln!(plan, "\n# This DPU was moved.")?;
                self.write_assignment(plan, dpu, dpu + 1, "inside", bound("starts_at"))?;
            }
        }
        Ok(())
    }

    fn write_assignment(
        &self,
        plan: &mut impl Write,
        dpu: u32,
        space: u32,
        placement: &str,
        bound: Option<String>,
    ) -> io::Result<()> {
        let (serial, space) = (Self::serial(dpu), self.space(space));
        writeln!(
            plan,
            "\n[[assignment]]\ndpu = \"{serial}\"\nspace = \"{space}\"\nplacement = \"{placement}\""
        )?;
        writeln!(plan, "doorway = \"Door {}\"", dpu + 1)?;
        bound.map_or(Ok(()), |bound| writeln!(plan, "{bound}"))
    }

    /// Returns how busy each hour of the whole period is.
    fn hours(&self) -> impl Iterator<Item = (i64, usize, u64)> + use<> {
        let (start_ms, days) = (self.start_ms, i64::from(self.days));
        (0..days * 24).map(move |hour| {
            let hour_ms = start_ms + hour * HOUR_MS;
            let of_day = usize::try_from(hour % 24).unwrap_or_default();
            // The epoch was a Thursday.
            let weekend = (hour_ms.div_euclid(DAY_MS) + 3).rem_euclid(7) >= 5;
            // Scaled, so that even the quietest hour of a weekend keeps its share.
            let busy = BUSY[of_day] * if weekend { 1 } else { WEEKEND_DIVISOR };
            (hour_ms, of_day, busy)
        })
    }

    /// Returns the DPU that is offline, from when, and until when.
    fn outage(&self) -> (u32, i64, i64) {
        let start = self.start_ms + i64::from(self.days) * DAY_MS / 3;
        (0, start, start + DAY_MS.min(i64::from(self.days) * DAY_MS / 6))
    }
}

struct Stream<'a, W> {
    building: Building,
    /// Number of people who really are in each room.
    people: Vec<u32>,
    random: Random,
    rows: u64,
    csv: &'a mut W,
}

impl<W: Write> Stream<'_, W> {
    fn write(mut self, events: u64) -> io::Result<u64> {
        writeln!(self.csv, "\"timestamp\",\"direction\",\"dpu_id\"")?;
        let total: u64 = self.building.hours().map(|(.., busy)| busy).sum();
        let mut underway: BinaryHeap<Arrival> = BinaryHeap::new();
        let (mut busy_so_far, mut made, mut number) = (0, 0, 0);
        for (hour_ms, of_day, busy) in self.building.hours() {
            busy_so_far += busy;
            // Rounding the running sum, not each hour, gives exactly the requested number of events.
            let due = u64::try_from(u128::from(events) * u128::from(busy_so_far) / u128::from(total))
                .unwrap_or(events);
            let mut times: Vec<i64> = (made..due).map(|_| hour_ms + self.random.within(HOUR_MS)).collect();
            times.sort_unstable();
            made = due;
            let mut taken = HashSet::new();
            for ts_ms in times {
                let reported = self.crossing(ts_ms, of_day, &mut taken);
                let arrives = self.arrival(&reported);
                let again = (self.random.below(100) == 0)
                    .then(|| arrives + 1000 + self.random.within(20 * MINUTE_MS));
                for arrives in [Some(arrives), again].into_iter().flatten() {
                    underway.push(Reverse((arrives, number, reported)));
                    number += 1;
                }
            }
            self.deliver(&mut underway, hour_ms + HOUR_MS)?;
        }
        self.deliver(&mut underway, i64::MAX)?;
        Ok(self.rows)
    }

    /// Generates a crossing that is possible and not in `taken`, and adds it there.
    fn crossing(&mut self, ts_ms: i64, of_day: usize, taken: &mut HashSet<Reported>) -> Reported {
        loop {
            let dpu = u32::try_from(self.random.below(u64::from(self.building.dpus))).unwrap_or_default();
            let wanted =
                if self.random.below(100) < ENTERING[of_day] { Direction::Toward } else { Direction::Away };
            let (entered, left) = self.building.rooms(dpu, ts_ms);
            let (from, to) = match wanted {
                Direction::Toward => (left, Some(entered)),
                Direction::Away => (Some(entered), left),
            };
            let reported = Reported { ts_ms, dpu, direction: wanted };
            let possible = from.is_none_or(|room| self.people[room as usize] > 0)
                && to.is_none_or(|room| self.people[room as usize] < self.building.capacity(room));
            if possible && taken.insert(reported) {
                if let Some(room) = from {
                    self.people[room as usize] -= 1;
                }
                if let Some(room) = to {
                    self.people[room as usize] += 1;
                }
                return reported;
            }
        }
    }

    /// Returns when an event reaches the server: at once, late, or after the outage.
    fn arrival(&mut self, event: &Reported) -> i64 {
        let (dpu, start, end) = self.building.outage();
        if event.dpu == dpu && (start..end).contains(&event.ts_ms) {
            return end + self.random.within(10 * MINUTE_MS);
        }
        let late = if self.random.below(50) == 0 { self.random.within(2 * HOUR_MS) } else { 0 };
        event.ts_ms + 50 + late
    }

    /// Writes what has arrived before `until_ms`.
    fn deliver(&mut self, underway: &mut BinaryHeap<Arrival>, until_ms: i64) -> io::Result<()> {
        while underway.peek().is_some_and(|Reverse((arrives, ..))| *arrives < until_ms)
            && let Some(Reverse((_, _, event))) = underway.pop()
        {
            let (ts, direction) = (Instant::from_ms(event.ts_ms), event.direction.sign());
            let serial = Building::serial(event.dpu);
            // Some rows are quoted and some are bare, as in exports that were stitched together.
            if self.random.below(3) == 0 {
                writeln!(self.csv, "\"{ts}\",{direction},{serial}")?;
            } else {
                writeln!(self.csv, "\"{ts}\",\"{direction}\",\"{serial}\"")?;
            }
            self.rows += 1;
        }
        Ok(())
    }
}

/// Random numbers, the same on every machine and in every version.
struct Random(ChaCha8Rng);

impl Random {
    fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Returns a number from 0 up to but not including `end`.
    fn below(&mut self, end: u64) -> u64 {
        // The upper half of the product: as even as 64 bits allow, and without a division.
        u64::try_from((u128::from(self.0.next_u64()) * u128::from(end)) >> 64).unwrap_or_default()
    }

    /// Returns a duration from 0 up to but not including `end_ms`.
    fn within(&mut self, end_ms: i64) -> i64 {
        i64::try_from(self.below(end_ms.unsigned_abs())).unwrap_or_default()
    }
}
