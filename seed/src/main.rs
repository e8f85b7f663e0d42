//! The seed binary: loads a floor plan and files of events into the database, or generates such files.

mod generate;
mod load;
mod plan;
mod rejected;
mod repeats;
mod source;

use std::fs::File;
use std::io::{BufWriter, Read, Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use api::clock::Clock;
use api::config;
use api::database::{Database, DatabaseConfig};
use api::ids::{IdsConfig, Kind, PublicIds};
use api::ingest::EventsConfig;
use api::ingest::csv::CsvRows;
use api::ingest::zone;
use chrono_tz::Tz;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::load::Loader;
use crate::rejected::Rejected;
use crate::source::Source;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The sample that is loaded without files, as written by `seed generate`.
const SAMPLE_PLAN: &str = include_str!("../sample/plan.toml");
const SAMPLE_EVENTS: &str = include_str!("../sample/events.csv");

/// Load a floor plan and events into the database; without files, load a sample of both.
///
/// Loading is idempotent: what is already in the database stays as it is, and is reported as such.
/// The exit code is 1 if a row was rejected, or nothing could be loaded.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    load: LoadArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Generate a floor plan and any number of events; the same arguments give the same bytes
    Generate(generate::Arguments),
}

#[derive(Debug, Args)]
struct LoadArguments {
    #[command(flatten)]
    database: DatabaseConfig,
    #[command(flatten)]
    ids: IdsConfig,
    #[command(flatten)]
    events: EventsConfig,
    /// Load this floor plan in TOML: `[[space]]`, `[[dpu]]`, `[[assignment]]`, `[[reset]]` and `[[reset_rule]]` tables
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Load reports from this CSV; `-` is the standard input. Its header names `timestamp`, `direction` and `dpu_id`, or
    /// `from`, `to`, `toward`, `away` and `dpu_id`, or `timestamp`, `total_toward`, `total_away` and `dpu_id`. The CSV may be compressed by gzip or zstd, and the option may be repeated
    #[arg(long, value_name = "FILE")]
    csv: Vec<PathBuf>,
    /// Read timestamps without `Z` or an offset in this time zone, such as Europe/Berlin. Default: that of their DPU,
    /// or UTC
    #[arg(long, value_name = "NAME", value_parser = zone::parse)]
    time_zone: Option<Tz>,
    /// Treat a row that exactly repeats another row of the file as
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Duplicates::Collapse)]
    duplicates: Duplicates,
    /// Load everything or nothing: if a row is rejected, the database stays as it was
    #[arg(long)]
    strict: bool,
}

/// How to treat a row that exactly repeats another row of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Duplicates {
    /// The same crossing, sent again: counts once
    Collapse,
    /// Another person in the same millisecond: numbered by `seq`, counts again
    Keep,
}

/// A file of events whose header has been read.
struct Events {
    name: String,
    rows: CsvRows<Box<dyn Read + Send>>,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let matches = config::without_empty_variables(Cli::command()).get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match cli.command {
        Some(Command::Generate(arguments)) => write_generated(&arguments),
        None => load(cli.load).await,
    }
}

fn write_generated(arguments: &generate::Arguments) -> anyhow::Result<ExitCode> {
    let generator = generate::Generator::new(arguments)?;
    let create = |path: &Path| {
        File::create(path).map(BufWriter::new).with_context(|| format!("cannot write {}", path.display()))
    };
    let mut plan = create(&arguments.plan)?;
    let mut csv = create(&arguments.csv)?;
    let rows = generator.write(&mut plan, &mut csv).context("cannot write the generated files")?;
    plan.flush()?;
    csv.flush()?;
    writeln!(stdout(), "{} and {} written: {rows} rows", arguments.plan.display(), arguments.csv.display())?;
    Ok(ExitCode::SUCCESS)
}

async fn load(arguments: LoadArguments) -> anyhow::Result<ExitCode> {
    let ids = PublicIds::new(&arguments.ids)?;
    // The plan and the headers of all files are read before the database is touched.
    let sample = arguments.plan.is_none() && arguments.csv.is_empty();
    let plan = match &arguments.plan {
        Some(path) => {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            Some(
                plan::Plan::parse(&text)
                    .with_context(|| format!("{} is not a floor plan", path.display()))?,
            )
        }
        None if sample => Some(plan::Plan::parse(SAMPLE_PLAN).context("the sample is not a floor plan")?),
        None => None,
    };
    let files = if sample {
        vec![Source::carried("sample events", SAMPLE_EVENTS)]
    } else {
        arguments.csv.iter().map(|path| Source::open(path)).collect::<Result<_, _>>()?
    };
    let read_header = |source| Events::new(source, arguments.time_zone);
    let files: Vec<_> = files.into_iter().map(read_header).collect::<Result<_, _>>()?;

    let database = Database::connect(&arguments.database.database_url).await?;
    database.closed_after(async |database| fill(&database, &arguments, &ids, plan, files).await).await
}

async fn fill(
    database: &Database,
    arguments: &LoadArguments,
    ids: &PublicIds,
    plan: Option<plan::Plan>,
    files: Vec<Events>,
) -> anyhow::Result<ExitCode> {
    database.migrate().await.context("cannot bring the database's schema up to date")?;
    let mut loader =
        Loader::new(database, Clock::system(), arguments.events.earliest_event, arguments.strict);
    if let Some(plan) = &plan {
        let changes = loader.apply(plan).await?;
        writeln!(stdout(), "floor plan: {changes}")?;
    }
    let (mut rows, mut rejected, mut told) = (0, 0, Vec::new());
    for events in files {
        let name = events.name.clone();
        let outcome = events.load(&mut loader, arguments.duplicates == Duplicates::Keep).await?;
        rows += outcome.rows();
        rejected += outcome.summary.rejected;
        told.push(format!("{name}: {outcome}"));
        if !arguments.strict {
            writeln!(stdout(), "{}", told.remove(0))?;
        }
    }
    if arguments.strict && rejected > 0 {
        bail!("{rejected} of {rows} rows were rejected, so nothing was loaded (--strict)");
    }
    for line in told {
        writeln!(stdout(), "{line}")?;
    }
    let plan = loader.finish().await?;
    for space in plan.spaces().values() {
        writeln!(stdout(), "space {}: {}", ids.public(Kind::Space, space.row.id), space.row.name)?;
    }
    Ok(if rejected == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Events {
    fn new(source: Source, zone: Option<Tz>) -> anyhow::Result<Self> {
        let Source { name, text } = source;
        let rows = CsvRows::new(text, zone).with_context(|| format!("{name} could not be loaded"))?;
        if !rows.ignored_columns().is_empty() {
            let columns: Vec<_> = rows.ignored_columns().iter().map(|column| format!("{column:?}")).collect();
            writeln!(
                stderr(),
                "{name}: ignored columns: {}; only {} are read",
                columns.join(", "),
                rows.known_columns()
            )?;
        }
        Ok(Self { name, rows })
    }

    async fn load(self, loader: &mut Loader<'_>, keep_repeats: bool) -> anyhow::Result<load::Loaded> {
        let Self { name, rows } = self;
        let mut rejected = Rejected::new(&name, stderr());
        let outcome = loader.load(rows, keep_repeats, |line, reason| rejected.add(line, reason)).await;
        rejected.finish()?;
        outcome.with_context(|| format!("{name} could not be loaded completely"))
    }
}
