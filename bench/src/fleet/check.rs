//! `fleet check`: compares every space's count from the public API with the true count.
//!
//! The true counts are summed up here from the reports, event by event, without any code of the server.

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Display, Formatter};
use std::io::{Write, stdout};
use std::path::PathBuf;
use std::time::{Duration, Instant as Stopwatch};

use anyhow::{Context, bail};
use entity::Instant;
use futures::stream::{StreamExt, iter};

use crate::http::Http;
use crate::journal::Journal;
use crate::kinds::Kinds;
use crate::periods::EXACT_MS;
use crate::plan::MARKER_SPACE;
use crate::random::{Purpose, Random};
use crate::report::Crossing;
use crate::world::{FloorPlan, Settings};

/// Number of concurrent questions.
const ASKED_AT_ONCE: usize = 16;
/// Maximum number of differences that are printed.
const TOLD_MAX: usize = 10;
/// Pause before a wrong count is requested again.
const PAUSE: Duration = Duration::from_millis(200);
const TIMEOUT: Duration = Duration::from_secs(30);

/// The journals and servers to compare.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Journal written by `fleet send`. Repeat it for several fleets with one floor plan that sent at different times
    #[arg(long, value_name = "FILE", required = true)]
    journal: Vec<PathBuf>,
    /// Server to ask, as `http://HOST:PORT`. Repeat it to ask several
    #[arg(long, value_name = "URL", required = true)]
    server: Vec<String>,
    /// Number of random instants at which to ask for every space, in addition to the end and now. With `--kinds mixed`
    /// the range is asked for, and the count at the end of the hour before
    #[arg(long, value_name = "NUMBER", default_value_t = 3)]
    instants: usize,
    /// Ask again for wrong counts during this many seconds, because counts may lag behind
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    within: u64,
}

/// A question and its correct answer.
struct Question<'a> {
    server: &'a Http,
    name: String,
    space: &'a str,
    asked: Asked,
    expected: i64,
}

/// What is asked about a space.
#[derive(Clone, Copy, Debug)]
enum Asked {
    /// The count now.
    Now,
    /// The count at an instant.
    At(Instant),
    /// The range at an instant, which must include the true count.
    RangeAt(Instant),
}

/// Returns the ids of all spaces by name. Like counts, they are requested again for a while if a server cannot answer.
async fn spaces(server: &Http, within: Duration) -> anyhow::Result<HashMap<String, String>> {
    let begun = Stopwatch::now();
    loop {
        match server.spaces().await {
            Err(_) if begun.elapsed() < within => tokio::time::sleep(PAUSE).await,
            spaces => return Ok(spaces?.into_iter().collect()),
        }
    }
}

/// Asks all questions. Returns `false` and prints the differences if any answer is wrong.
pub(crate) async fn check(arguments: Arguments) -> anyhow::Result<bool> {
    let journals = arguments.journal.iter().map(|path| Journal::open(path));
    let journals = journals.collect::<anyhow::Result<Vec<_>>>()?;
    if journals.len() > 1 && journals.iter().any(|journal| journal.settings.kinds != Kinds::Crossings) {
        bail!(
            "with --kinds other than crossings, only one journal can be checked: another fleet's counters would be restarted"
        );
    }
    let truth = Truth::of(&journals, arguments.instants)?;
    if journals.iter().any(|journal| !journal.markers_seen) {
        bail!("the last marker was not seen: run `fleet send` again to finish");
    }
    let markers: usize = journals.iter().map(|journal| journal.markers.len()).sum();
    let servers: Vec<_> = arguments.server.iter().map(|server| Http::new(server, TIMEOUT)).collect();
    let mut ids = Vec::new();
    for server in &servers {
        ids.push(spaces(server, Duration::from_secs(arguments.within)).await?);
    }
    let mut questions = Vec::new();
    for (server, ids) in servers.iter().zip(&ids) {
        let mut ask = |name: String, asked, expected| {
            let space = ids.get(&name).with_context(|| format!("the server has no space {name:?}"))?;
            questions.push(Question { server, name, space, asked, expected });
            anyhow::Ok(())
        };
        ask(MARKER_SPACE.to_owned(), Asked::Now, i64::try_from(markers)?)?;
        for (asked, counts) in &truth.counts {
            for (space, count) in (0..).zip(counts) {
                ask(FloorPlan::space_name(space), *asked, *count)?;
            }
        }
    }

    let (asked, begun) = (questions.len(), Stopwatch::now());
    let mut wrong = wrong(questions).await;
    while !wrong.is_empty() && begun.elapsed() < Duration::from_secs(arguments.within) {
        tokio::time::sleep(PAUSE).await;
        wrong = self::wrong(wrong.into_iter().map(|(question, _)| question).collect()).await;
    }
    let mut out = stdout();
    for (question, answer) in wrong.iter().take(TOLD_MAX) {
        let Question { name, asked, expected, .. } = question;
        writeln!(out, "{name} {asked}: {answer}, and {expected} is right")?;
    }
    let events = truth.events;
    if wrong.is_empty() {
        writeln!(
            out,
            "{events} events, {markers} markers: all of {asked} counts are right, after {:.1?}",
            begun.elapsed()
        )?;
    } else {
        writeln!(out, "{events} events: {} of {asked} counts are wrong", wrong.len())?;
    }
    Ok(wrong.is_empty())
}

/// Returns the questions with wrong answers, and those answers.
async fn wrong(questions: Vec<Question<'_>>) -> Vec<(Question<'_>, String)> {
    let answers: Vec<_> = iter(questions).map(ask).buffer_unordered(ASKED_AT_ONCE).collect().await;
    answers.into_iter().flatten().collect()
}

/// Asks a question. `None`: the answer is correct.
async fn ask(question: Question<'_>) -> Option<(Question<'_>, String)> {
    let Question { server, space, asked, expected, .. } = &question;
    let answer = match asked {
        Asked::Now => server.count(space, None).await.map(|count| (count, count)),
        Asked::At(ts) => server.count(space, Some(&ts.to_string())).await.map(|count| (count, count)),
        Asked::RangeAt(ts) => server.count_range(space, &ts.to_string()).await,
    };
    match answer {
        Ok((low, high)) if (low..=high).contains(expected) => None,
        Ok((low, high)) if low == high => Some((question, low.to_string())),
        Ok((low, high)) => Some((question, format!("from {low} to {high}"))),
        Err(error) => Some((question, format!("{error:#}"))),
    }
}

impl Asked {
    /// Returns whether somebody who crossed at this time is included.
    fn includes(self, ts_ms: i64) -> bool {
        match self {
            Self::Now => true,
            Self::At(ts) | Self::RangeAt(ts) => ts_ms <= ts.ms(),
        }
    }
}

impl Display for Asked {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => formatter.write_str("now"),
            Self::At(ts) => write!(formatter, "at {ts}"),
            Self::RangeAt(ts) => write!(formatter, "in the range at {ts}"),
        }
    }
}

/// The truth about a world.
struct Truth {
    /// Number of different events.
    events: usize,
    /// What is asked, and the true count of each space.
    counts: Vec<(Asked, Vec<i64>)>,
}

impl Truth {
    /// Returns the truth after all batches are acknowledged, at random instants of each journal, at its end, and now.
    fn of(journals: &[Journal], instants: usize) -> anyhow::Result<Self> {
        let spaces = journals.iter().map(|journal| journal.settings.spaces).max().unwrap_or_default();
        let mut asked = vec![Asked::Now];
        for Journal { settings, .. } in journals {
            let (start, end) = (settings.start()?, settings.end()?);
            let mut random = Random::new(settings.seed, Purpose::Check);
            asked.push(Asked::At(end));
            for _ in 0..instants {
                let ts = start.plus_ms(random.within(end.ms() - start.ms()));
                match settings.kinds {
                    Kinds::Crossings => asked.push(Asked::At(ts)),
                    Kinds::Mixed | Kinds::Totals => {
                        let begun_ms = (ts.ms() - start.ms()) % EXACT_MS;
                        asked.extend([Asked::At(ts.plus_ms(-begun_ms).just_before()), Asked::RangeAt(ts)]);
                    }
                }
            }
        }
        let counts = asked.into_iter().map(|asked| (asked, vec![0; spaces as usize])).collect();
        let mut truth = Self { events: 0, counts };
        for journal in journals {
            truth.add(&journal.settings, &journal.acknowledged)?;
        }
        Ok(truth)
    }

    fn add(&mut self, settings: &Settings, acknowledged: &HashSet<u64>) -> anyhow::Result<()> {
        let plan = settings.floor_plan()?;
        let (mut again, mut reports) = (Again::default(), 0_u64);
        for report in settings.reports()? {
            let batch = reports / u64::from(settings.batch);
            if !acknowledged.contains(&batch) {
                bail!("batch {batch} was not acknowledged: run `fleet send` again to finish");
            }
            reports += 1;
            let Some((dpu, people)) = report.people() else { continue };
            for crossing in people {
                if !again.is_new(dpu, &crossing) {
                    continue;
                }
                self.events += 1;
                for (asked, counts) in &mut self.counts {
                    if asked.includes(crossing.ts_ms) {
                        plan.effects(dpu, &crossing, |space, step| counts[space as usize] += step);
                    }
                }
            }
        }
        Ok(())
    }
}

/// The crossings that were already counted.
#[derive(Default)]
struct Again(HashSet<(u32, i64, i8, u8)>);

impl Again {
    fn is_new(&mut self, dpu: u32, crossing: &Crossing) -> bool {
        self.0.insert((dpu, crossing.ts_ms, crossing.direction, crossing.seq))
    }
}
