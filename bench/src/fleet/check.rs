//! `fleet check`: compares every space's count from the public API with the true count.
//!
//! The true counts are summed up here from the reports, event by event, without any code of the server.

use std::collections::{HashMap, HashSet};
use std::io::{Write, stdout};
use std::path::PathBuf;
use std::time::{Duration, Instant as Stopwatch};

use anyhow::{Context, bail};
use entity::Instant;
use futures::stream::{StreamExt, iter};

use crate::http::Http;
use crate::journal::Journal;
use crate::plan::MARKER_SPACE;
use crate::world::{FloorPlan, Random, Saying, Settings};

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
    /// Number of random instants at which to ask for every space, in addition to the end and now
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
    ts: Option<String>,
    expected: i64,
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
        let mut ask = |name: String, ts, expected| {
            let space = ids.get(&name).with_context(|| format!("the server has no space {name:?}"))?;
            questions.push(Question { server, name, space, ts, expected });
            anyhow::Ok(())
        };
        ask(MARKER_SPACE.to_owned(), None, i64::try_from(markers)?)?;
        for (ts, counts) in &truth.counts {
            for (space, count) in (0..).zip(counts) {
                ask(FloorPlan::space_name(space), ts.map(|ts| ts.to_string()), *count)?;
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
        let when = question.ts.as_deref().unwrap_or("now");
        let expected = question.expected;
        writeln!(out, "{} at {when}: {answer}, and {expected} is right", question.name)?;
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
    match question.server.count(question.space, question.ts.as_deref()).await {
        Ok(count) if count == question.expected => None,
        Ok(count) => Some((question, count.to_string())),
        Err(error) => Some((question, format!("{error:#}"))),
    }
}

/// The truth about a world.
struct Truth {
    /// Number of different events.
    events: usize,
    /// Each instant (`None`: now), and the count of each space at that instant.
    counts: Vec<(Option<Instant>, Vec<i64>)>,
}

impl Truth {
    /// Returns the truth after all batches are acknowledged, at random instants of each journal, at its end, and now.
    fn of(journals: &[Journal], instants: usize) -> anyhow::Result<Self> {
        let spaces = journals.iter().map(|journal| journal.settings.spaces).max().unwrap_or_default();
        let at = |ts| (ts, vec![0; spaces as usize]);
        let mut truth = Self { events: 0, counts: vec![at(None)] };
        for Journal { settings, .. } in journals {
            let (start, end) = (settings.start()?, settings.end()?);
            let mut random = Random::apart(settings.seed);
            truth.counts.push(at(Some(end)));
            truth
                .counts
                .extend((0..instants).map(|_| at(Some(start.plus_ms(random.within(end.ms() - start.ms()))))));
        }
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
            let Saying::Crossings(dpu, crossings) = report.saying else { continue };
            for crossing in crossings {
                if !again.is_new(dpu, &crossing) {
                    continue;
                }
                self.events += 1;
                for (ts, counts) in &mut self.counts {
                    if ts.is_none_or(|ts| crossing.ts_ms <= ts.ms()) {
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
    fn is_new(&mut self, dpu: u32, crossing: &crate::world::Crossing) -> bool {
        self.0.insert((dpu, crossing.ts_ms, crossing.direction, crossing.seq))
    }
}
