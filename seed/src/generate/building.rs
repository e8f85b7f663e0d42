//! The building that people walk through: its rooms and doors, its hours, and its floor plan.

use std::io::{self, Write};
use std::ops::Range;

use entity::Instant;

use super::random::Random;
use super::{DAY_MS, HOUR_MS, MINUTE_MS};

/// How busy each hour of a working day is, midnight first; only the ratios matter.
const BUSY: [u64; 24] =
    [2, 1, 1, 1, 2, 6, 20, 60, 90, 70, 50, 60, 80, 70, 50, 50, 60, 90, 80, 40, 20, 12, 8, 4];
/// How many of 100 people enter in each hour, the others leaving.
pub(super) const ENTERING: [u64; 24] =
    [30, 30, 30, 40, 60, 80, 85, 85, 80, 70, 55, 40, 45, 60, 50, 45, 35, 20, 15, 20, 20, 20, 20, 20];
/// Number by which the traffic of a working day is divided on a weekend day.
const WEEKEND_DIVISOR: u64 = 5;

/// The rooms and doors, and when they are open.
pub(super) struct Building {
    pub(super) dpus: u32,
    pub(super) spaces: u32,
    pub(super) start_ms: i64,
    pub(super) days: u32,
}

impl Building {
    pub(super) fn serial(dpu: u32) -> u32 {
        1001 + dpu
    }

    fn space(&self, number: u32) -> String {
        format!("Room {}", number % self.spaces + 1)
    }

    pub(super) fn capacity(&self, number: u32) -> u32 {
        40 + number % self.spaces % 7 * 20
    }

    /// Returns the room that people enter when they walk towards a DPU, and the one that they leave; `None`: outside.
    pub(super) fn rooms(&self, dpu: u32, ts_ms: i64) -> (u32, Option<u32>) {
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

    /// Writes the floor plan. `dpu_keys` are further lines of each `[[dpu]]` table.
    pub(super) fn write_plan(&self, plan: &mut impl Write, dpu_keys: &str) -> io::Result<()> {
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
            let (serial, number) = (Self::serial(dpu), dpu + 1);
            writeln!(plan, "\n[[dpu]]\nserial = \"{serial}\"\nname = \"Door {number}\"")?;
            plan.write_all(dpu_keys.as_bytes())?;
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

    /// Returns the numbers of the hours of the whole period.
    pub(super) fn hours(&self) -> Range<i64> {
        0..i64::from(self.days) * 24
    }

    /// Returns when an hour begins, which hour of its day it is, and how busy it is.
    pub(super) fn hour(&self, hour: i64) -> (i64, usize, u64) {
        let hour_ms = self.start_ms + hour * HOUR_MS;
        let of_day = usize::try_from(hour % 24).unwrap_or_default();
        // The epoch was a Thursday.
        let weekend = (hour_ms.div_euclid(DAY_MS) + 3).rem_euclid(7) >= 5;
        // Scaled, so that even the quietest hour of a weekend keeps its share.
        let busy = BUSY[of_day] * if weekend { 1 } else { WEEKEND_DIVISOR };
        (hour_ms, of_day, busy)
    }

    /// Returns how busy all hours are together.
    pub(super) fn busy_hours(&self) -> u64 {
        self.hours().map(|hour| self.hour(hour).2).sum()
    }

    /// Returns how many of these people cross under a DPU in a minute of the busiest hour, on average.
    pub(super) fn busiest_minute(&self, people: u64) -> u64 {
        let busiest = self.hours().map(|hour| self.hour(hour).2).max().unwrap_or_default();
        let minutes = 60 * u128::from(self.busy_hours()) * u128::from(self.dpus);
        u64::try_from(u128::from(people) * u128::from(busiest) / minutes).unwrap_or(u64::MAX)
    }

    /// Returns the end of the whole period.
    pub(super) fn end_ms(&self) -> i64 {
        self.start_ms + i64::from(self.days) * DAY_MS
    }

    /// Returns the DPU that is offline, from when, and until when.
    fn outage(&self) -> (u32, i64, i64) {
        let start = self.start_ms + i64::from(self.days) * DAY_MS / 3;
        (0, start, start + DAY_MS.min(i64::from(self.days) * DAY_MS / 6))
    }

    /// Returns when a report of a DPU reaches the server: at once, late, or after the outage.
    pub(super) fn arrival(&self, dpu: u32, ts_ms: i64, random: &mut Random) -> i64 {
        let (offline, start_ms, end_ms) = self.outage();
        if dpu == offline && (start_ms..end_ms).contains(&ts_ms) {
            return end_ms + random.within(10 * MINUTE_MS);
        }
        let late_ms = if random.below(50) == 0 { random.within(2 * HOUR_MS) } else { 0 };
        ts_ms + 50 + late_ms
    }
}
