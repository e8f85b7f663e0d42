//! Generates any number of events, with the irregularities of real ones.
//!
//! People come in the morning and leave in the evening, fewer at the weekend; nobody leaves an empty room or enters a
//! full one. Counting starts with people inside, so counts fall below zero. DPUs report each crossing, how many people
//! crossed in each period, or running totals; the people are the same. Some reports arrive late, one DPU is offline for
//! a day and delivers its backlog afterwards, some reports are sent again, and one DPU is moved halfway through. Rows
//! are in the order of arrival. The same arguments give the same bytes. Memory grows with the backlog only.

mod building;
mod people;
mod periods;
mod random;
mod underway;

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::bail;
use clap::ValueEnum;
use entity::Instant;

use self::building::Building;
use self::people::People;
use self::periods::{Content, Periods, Rows};

const SECOND_MS: i64 = 1000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

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
    /// Let this many people cross; about one report in a hundred is written again, as by a device that got no answer
    #[arg(long, value_name = "NUMBER", default_value_t = 3000)]
    events: u64,
    /// Report people as
    #[arg(long, value_enum, value_name = "KIND", default_value_t = Kind::Crossings)]
    reports: Kind,
    /// Report intervals of this length, or totals this often: a part of a day, such as 30s, 5m or 1h. Default: 60s
    #[arg(long, value_name = "DURATION", value_parser = parse_every)]
    every: Option<i64>,
    /// Let the counters of totals roll over after this many bits: 16 or 32. Default: they never roll over
    #[arg(long, value_name = "BITS", value_parser = parse_counter_bits)]
    counter_bits: Option<u32>,
    /// Lose this part of the intervals or totals on their way, from 0 to 0.5. Default: 0
    #[arg(long, value_name = "PART", value_parser = parse_lost)]
    lost: Option<f64>,
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

/// What the DPUs report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Each person who crosses
    Crossings,
    /// The number of people who crossed in each period
    Intervals,
    /// What the counters of a DPU show at the end of each period
    Totals,
}

/// A building and people, to be written to files.
pub(crate) struct Generator {
    building: Building,
    /// How people are reported. `None`: each by itself.
    periods: Option<Periods>,
    events: u64,
    seed: u64,
}

impl Generator {
    /// Checks which arguments suit each other.
    pub(crate) fn new(arguments: &Arguments) -> anyhow::Result<Self> {
        let building = Building {
            dpus: arguments.dpus,
            spaces: arguments.spaces.unwrap_or_else(|| arguments.dpus.div_ceil(2)),
            start_ms: arguments.start.floor_to(DAY_MS).ms(),
            days: arguments.days,
        };
        let Arguments { events, seed, .. } = *arguments;
        Ok(Self { building, periods: arguments.periods()?, events, seed })
    }

    /// Writes both files. Returns the number of rows of events.
    pub(crate) fn write(&self, plan: &mut impl Write, csv: &mut impl Write) -> io::Result<u64> {
        let building = &self.building;
        let keys =
            self.periods.as_ref().map(|periods| periods.dpu_keys(building.busiest_minute(self.events)));
        building.write_plan(plan, &keys.unwrap_or_default())?;
        let people = People::new(building, self.events, self.seed);
        match &self.periods {
            Some(periods) => Rows::new(building, periods, self.seed, csv).write(people),
            None => write_crossings(people, csv),
        }
    }
}

impl Arguments {
    fn periods(&self) -> anyhow::Result<Option<Periods>> {
        if self.counter_bits.is_some() && self.reports != Kind::Totals {
            bail!("--counter-bits is accepted with --reports totals only: nothing else has counters");
        }
        let content = match self.reports {
            Kind::Crossings if self.every.is_some() || self.lost.is_some() => {
                let option = if self.every.is_some() { "--every" } else { "--lost" };
                bail!("{option} is accepted with --reports intervals or --reports totals only");
            }
            Kind::Crossings => return Ok(None),
            Kind::Intervals => Content::People,
            Kind::Totals => Content::Totals { counter_bits: self.counter_bits },
        };
        let (every_ms, lost) = (self.every.unwrap_or(MINUTE_MS), self.lost.unwrap_or_default());
        Ok(Some(Periods { content, every_ms, lost }))
    }
}

fn write_crossings(people: People, csv: &mut impl Write) -> io::Result<u64> {
    writeln!(csv, "\"timestamp\",\"direction\",\"dpu_id\"")?;
    let mut rows = 0;
    for (crossing, is_quoted) in people.flat_map(|hour| hour.arrived) {
        let (ts, direction) = (Instant::from_ms(crossing.ts_ms), crossing.direction.sign());
        let serial = Building::serial(crossing.dpu);
        if is_quoted {
            writeln!(csv, "\"{ts}\",\"{direction}\",\"{serial}\"")?;
        } else {
            writeln!(csv, "\"{ts}\",{direction},{serial}")?;
        }
        rows += 1;
    }
    Ok(rows)
}

/// Parses a duration by which a day can be divided. Returns milliseconds.
fn parse_every(text: &str) -> Result<i64, String> {
    let parts = text.split_at_checked(text.len().saturating_sub(1));
    let unit_ms = parts.and_then(|(_, unit)| match unit {
        "s" => Some(SECOND_MS),
        "m" => Some(MINUTE_MS),
        "h" => Some(HOUR_MS),
        _ => None,
    });
    let number = parts.and_then(|(number, _)| number.parse::<u32>().ok());
    let every_ms = number.zip(unit_ms).map(|(number, unit_ms)| i64::from(number) * unit_ms);
    every_ms.filter(|every_ms| *every_ms > 0 && DAY_MS % every_ms == 0).ok_or_else(|| {
        "use a duration from 1s to 24h by which a day can be divided, such as 30s, 60s, 5m, 15m or 1h"
            .to_owned()
    })
}

fn parse_counter_bits(text: &str) -> Result<u32, &'static str> {
    text.parse().ok().filter(|bits| [16, 32].contains(bits)).ok_or("use 16 or 32")
}

fn parse_lost(text: &str) -> Result<f64, &'static str> {
    let lost = text.parse().ok().filter(|lost| (0.0..=0.5).contains(lost));
    lost.ok_or("use a number from 0 to 0.5, such as 0.02 for two in a hundred")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::Range;

    use clap::Parser;
    use entity::event::Direction;

    use super::people::Crossing;
    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    /// A generator with these arguments beside those that are required. An error is what the user is told.
    fn generator(arguments: &str) -> Result<Generator, String> {
        let required = "generate --csv out.csv --plan out.toml";
        let words = required.split(' ').chain(arguments.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        Generator::new(&line.arguments).map_err(|error| error.to_string())
    }

    /// The plan and the CSV.
    fn files(arguments: &str) -> (String, String) {
        let (mut plan, mut csv) = (Vec::new(), Vec::new());
        let rows = generator(arguments).unwrap().write(&mut plan, &mut csv).unwrap();
        let [plan, csv] = [plan, csv].map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(csv.lines().count() as u64, rows + 1);
        (plan, csv)
    }

    /// Rows in the order of arrival: instants in milliseconds, the people each way, and the serial.
    fn rows<const INSTANTS: usize>(csv: &str) -> Vec<([i64; INSTANTS], [i64; 2], String)> {
        let read = |line: &str| {
            let values: Vec<_> = line.split(',').collect();
            let (instants, [toward, away, serial]) = values.split_at(INSTANTS) else { panic!("{line}") };
            let instant = |place: usize| instants[place].parse::<Instant>().unwrap().ms();
            let people = [toward, away].map(|number| number.parse().unwrap());
            (std::array::from_fn(instant), people, (*serial).to_owned())
        };
        csv.lines().skip(1).map(read).collect()
    }

    /// The people who cross, by the serial of their DPU.
    fn people(arguments: &str) -> BTreeMap<String, Vec<Crossing>> {
        let Generator { building, events, seed, .. } = generator(arguments).unwrap();
        let mut people = BTreeMap::<_, Vec<_>>::new();
        for crossing in People::new(&building, events, seed).flat_map(|hour| hour.people) {
            people.entry(Building::serial(crossing.dpu).to_string()).or_default().push(crossing);
        }
        people
    }

    /// How many of them, who are in the order of time, walked towards their DPU and away from it in this time.
    fn each_way(people: &[Crossing], time: Range<i64>) -> [i64; 2] {
        let before = |ts_ms| people.partition_point(|crossing| crossing.ts_ms < ts_ms);
        let people = &people[before(time.start)..before(time.end)];
        [Direction::Toward, Direction::Away].map(|direction| {
            let count = people.iter().filter(|crossing| crossing.direction == direction).count();
            i64::try_from(count).unwrap()
        })
    }

    #[test]
    fn single_crossings_are_what_they_always_were() {
        for arguments in ["", "--reports crossings"] {
            let (plan, csv) = files(arguments);
            assert!(plan == include_str!("../../sample/plan.toml"));
            assert!(csv == include_str!("../../sample/events.csv"));
        }
    }

    #[test]
    fn the_same_arguments_give_the_same_bytes() {
        for kind in ["--reports intervals --lost 0.1", "--reports totals --counter-bits 16 --lost 0.1"] {
            let arguments = format!("--days 3 --every 5m {kind}");
            assert!(files(&arguments) == files(&arguments));
            assert!(files(&arguments) != files(&format!("{arguments} --seed 2")));
        }
    }

    #[test]
    fn intervals_have_the_people_of_the_crossings() {
        for (every, arguments) in [
            (1, "--days 1 --every 1s"),
            (60, "--days 4"),
            (7200, "--days 9 --every 2h"),
            (86_400, "--every 24h"),
        ] {
            let arguments = format!("--dpus 2 --reports intervals --seed 5 {arguments}");
            let (plan, csv) = files(&arguments);
            assert!(
                plan.matches(&format!("reports = \"intervals\"\nexpected_every = {every}\n")).count() == 2
            );
            assert!(csv.starts_with("from,to,toward,away,dpu_id\n"));
            let mut rows = rows::<2>(&csv);
            assert!(!rows.is_sorted(), "nothing is late");
            let written = rows.len();
            rows.sort_unstable();
            rows.dedup();
            assert!(written > rows.len(), "nothing is sent again");
            let building = generator(&arguments).unwrap().building;
            for (serial, people) in people(&arguments) {
                let intervals = rows.iter().filter(|row| row.2 == serial);
                let mut next_ms = building.start_ms;
                for ([from_ms, to_ms], each, _) in intervals {
                    assert_eq!((*from_ms, *to_ms), (next_ms, next_ms + every * SECOND_MS));
                    assert_eq!(*each, each_way(&people, *from_ms..*to_ms));
                    next_ms = *to_ms;
                }
                assert_eq!(next_ms, building.end_ms());
            }
            assert_eq!(rows.iter().map(|row| row.1[0] + row.1[1]).sum::<i64>(), 3000);
            assert!(every > 60 || rows.iter().any(|row| row.1 == [0, 0]), "there is no quiet minute");
        }
    }

    /// The people between two readings, and whether the counters were restarted in between.
    fn difference(from: [i64; 2], to: [i64; 2], values: Option<i64>) -> ([i64; 2], bool) {
        let rolled_over = |way: usize| {
            let values = values.filter(|values| from[way] >= values / 2 && to[way] < values / 2)?;
            Some(to[way] + values - from[way])
        };
        let is_lower = |way: usize| to[way] < from[way];
        let restarted = (0..2).any(|way| is_lower(way) && rolled_over(way).is_none());
        let people = |way| match rolled_over(way) {
            Some(people) if is_lower(way) => people,
            _ if is_lower(way) => to[way],
            _ => to[way] - from[way],
        };
        ([people(0), people(1)], restarted)
    }

    #[test]
    fn totals_tell_of_all_people_but_those_before_a_restart() {
        for (values, lost, arguments) in [
            (None, 0.0, "--dpus 1 --days 3"),
            (None, 0.0, "--dpus 1 --days 1 --every 1s"),
            (Some(1 << 16), 0.0, "--dpus 4 --counter-bits 16 --every 5m"),
            (Some(1 << 16), 0.5, "--dpus 3 --counter-bits 16 --every 10m --days 30 --lost 0.5"),
            (Some(1 << 32), 0.02, "--dpus 2 --counter-bits 32 --every 6h --lost 0.02"),
        ] {
            let arguments = format!("--reports totals --events 6000 {arguments}");
            let (plan, csv) = files(&arguments);
            assert!(plan.contains("reports = \"totals\"\nexpected_every = "));
            assert_eq!(plan.contains("counter_bits = "), values.is_some());
            assert!(csv.starts_with("timestamp,total_toward,total_away,dpu_id\n"));
            let mut rows = rows::<1>(&csv);
            rows.sort_unstable();
            rows.dedup();
            let Generator { building, periods, .. } = generator(&arguments).unwrap();
            let periods = periods.unwrap();
            let restarting = Building::serial(Periods::restarting(&building)).to_string();
            let (mut read, mut restarts, mut rollovers) = (0, 0, 0);
            for (serial, people) in people(&arguments) {
                let readings: Vec<_> = rows.iter().filter(|row| row.2 == serial).collect();
                read += readings.len() as u64;
                let ends = [readings.first(), readings.last()].map(|reading| reading.unwrap().0[0]);
                assert_eq!(ends, [building.start_ms - periods.every_ms, building.end_ms()]);
                let mut known = 0;
                for pair in readings.windows(2) {
                    let (([from_ms], from, _), ([to_ms], to, _)) = (pair[0], pair[1]);
                    let (counted, restarted) = difference(*from, *to, values);
                    let restart = periods
                        .restarts(&building)
                        .into_iter()
                        .find(|restart_ms| serial == restarting && (*from_ms..*to_ms).contains(restart_ms));
                    assert_eq!(restarted, restart.is_some(), "{serial} {pair:?}");
                    let since_ms = restart.unwrap_or(from_ms + 1);
                    let really = each_way(&people, since_ms..to_ms + 1);
                    assert_eq!(counted, really, "{serial} {pair:?}");
                    known += counted[0] + counted[1];
                    restarts += usize::from(restarted);
                    rollovers += usize::from(to < from && !restarted);
                }
                if serial != restarting {
                    assert_eq!(known, each_way(&people, i64::MIN..i64::MAX).iter().sum::<i64>(), "{serial}");
                }
            }
            assert_eq!(restarts, 2);
            assert_eq!(rollovers > 0, values.is_some() && building.dpus > 1);
            let periods = (building.end_ms() - building.start_ms) / periods.every_ms;
            let all = u64::from(building.dpus) * (periods.unsigned_abs() + 2);
            assert_eq!(read < all, lost > 0.0, "{read} of {all}");
        }
    }

    #[test]
    fn busy_doors_have_a_higher_limit_in_the_plan() {
        let plan = files("--reports totals --days 1 --dpus 2 --events 300000 --every 1h").0;
        assert!(plan.contains("\nmax_per_minute = "));
        assert!(!files("--reports totals --days 1 --every 1h").0.contains("max_per_minute"));
    }

    #[test]
    fn what_does_not_suit_is_refused() {
        for (arguments, reason) in [
            ("--counter-bits 16", "--counter-bits is accepted with --reports totals only"),
            (
                "--reports intervals --counter-bits 16",
                "--counter-bits is accepted with --reports totals only",
            ),
            ("--every 1m", "--every is accepted with --reports intervals or --reports totals only"),
            ("--lost 0", "--lost is accepted with --reports intervals or --reports totals only"),
            ("--reports totals --counter-bits 8", "'8' for '--counter-bits <BITS>': use 16 or 32"),
            ("--reports totals --lost 0.6", "'0.6' for '--lost <PART>': use a number from 0 to 0.5"),
            ("--reports totals --lost NaN", "use a number from 0 to 0.5"),
            ("--reports sums", "[possible values: crossings, intervals, totals]"),
        ] {
            let told = generator(arguments).err().unwrap();
            assert!(told.contains(reason), "{arguments}: {told}");
        }
        for every in ["", "0s", "7m", "25h", "48h", "1d", "60", "-1s", "\u{e9}", "5000000000s"] {
            let told = generator(&format!("--reports totals --every={every}")).err().unwrap();
            assert!(told.contains("use a duration from 1s to 24h"), "{every}: {told}");
        }
        for every in ["1s", "60s", "5m", "1h", "24h", "86400s"] {
            assert!(generator(&format!("--reports totals --every {every}")).is_ok(), "{every}");
        }
    }
}
