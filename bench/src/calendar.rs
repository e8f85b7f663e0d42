//! Answers questions about calendars with the server's code, one per line, for `bench/calendar`.
//!
//! The first line of output has the version of the time zone database and the names of all zones. A question is the
//! name of a zone, what to compute, and its arguments; the answer has a value for each argument, or `-` for no value.
//! Instants are seconds since 1970.

use std::io::{BufRead, Write, stdin, stdout};

use anyhow::{Context, bail};
use chrono::{NaiveDate, NaiveDateTime};
use chrono_tz::{IANA_TZDB_VERSION, TZ_VARIANTS, Tz};
use counting::calendar::{self, Interval};
use counting::{ResetRule, Starts};
use entity::Instant;

fn main() -> anyhow::Result<()> {
    let mut output = stdout().lock();
    let names: Vec<_> = TZ_VARIANTS.iter().map(|zone| zone.name()).collect();
    writeln!(output, "{IANA_TZDB_VERSION} {}", names.join(" "))?;
    for line in stdin().lock().lines() {
        let line = line?;
        let answer = answer(&line).with_context(|| line.clone())?;
        writeln!(output, "{}", answer.join(" "))?;
    }
    Ok(())
}

fn answer(line: &str) -> anyhow::Result<Vec<String>> {
    let mut words = line.split(' ');
    let mut word = || words.next().context("a word is missing");
    let zone: Tz = word()?.parse()?;
    match word()? {
        // For each date and time: the first instant at which the clocks show it.
        "at" => words.map(|word| Ok(seconds(instant_at(zone, word.parse()?)))).collect(),
        // For each instant: its date.
        "day" => words.map(|word| Ok(calendar::day_of(zone, instant(word)?).to_string())).collect(),
        // For a time of day: the newest occurrence of a rule, as of each instant.
        "rule" => {
            let rules = [rule(word()?)?];
            let starts = Starts { resets: &[], rules: &rules, zone };
            words.map(|word| Ok(seconds(starts.newest(instant(word)?).map(|start| start.ts)))).collect()
        }
        // For an interval and a range: the edges of its buckets.
        "edges" => {
            let (name, start, end) = (word()?, instant(word()?)?, instant(word()?)?);
            let named = |interval: &Interval| format!("{interval:?}") == name;
            let interval = Interval::ALL.into_iter().find(named).context("an interval is unknown")?;
            let edges = calendar::edges(zone, interval, start, end, 10_000).context("too many buckets")?;
            Ok(edges.into_iter().map(|edge| seconds(Some(edge))).collect())
        }
        asked => bail!("{asked} is unknown"),
    }
}

fn instant_at(zone: Tz, shown: NaiveDateTime) -> Option<Instant> {
    calendar::instant_at(zone, shown.date(), shown.time())
}

fn instant(word: &str) -> anyhow::Result<Instant> {
    Ok(Instant::from_ms(word.parse::<i64>()? * 1000))
}

/// In seconds, with a fraction if necessary: no clock has ever changed within a second.
fn seconds(ts: Option<Instant>) -> String {
    match ts {
        None => "-".to_owned(),
        Some(ts) if ts.ms() % 1000 == 0 => (ts.ms() / 1000).to_string(),
        Some(ts) => format!("{}ms", ts.ms()),
    }
}

fn rule(time_of_day: &str) -> anyhow::Result<ResetRule> {
    Ok(ResetRule {
        id: 1,
        time_of_day: time_of_day.parse()?,
        count: 0,
        first_day: NaiveDate::MIN,
        last_day: None,
    })
}
