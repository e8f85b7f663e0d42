//! The seed binary: brings a floor plan and a file of events into the database, or makes such files.

mod generate;
mod load;
mod plan;
mod repeats;

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, IsTerminal, Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use api::clock::Clock;
use api::config::{DatabaseConfig, EventsConfig};
use api::database::Database;
use api::ids::{IdsConfig, Kind, PublicIds};
use clap::{Args, Parser, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The sample that is loaded when no file is named, as `seed generate` writes it.
const SAMPLE_PLAN: &str = include_str!("../sample/plan.toml");
const SAMPLE_EVENTS: &str = include_str!("../sample/events.csv");

/// Bring a floor plan and events into the database; without files, a sample of both.
///
/// Loading is idempotent: what is in the database already is left as it is, and said to be so.
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
    /// Write a floor plan and events of any size: the same arguments, the same bytes
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
    /// A floor plan in TOML: `[[space]]`, `[[dpu]]` and `[[assignment]]` tables
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Events in CSV, with a header that names `timestamp`, `direction` and `dpu_id`
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// What a row is that repeats another row of the file exactly
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Duplicates::Collapse)]
    duplicates: Duplicates,
    /// Load everything or nothing: one rejected row, and the database stays as it was
    #[arg(long)]
    strict: bool,
}

/// What a row is that repeats another row of the file exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Duplicates {
    /// The same crossing, sent again: counts once
    Collapse,
    /// Another person in the same millisecond: numbered by `seq`, counts again
    Keep,
}

/// A text to load and how to call it in messages.
struct Source {
    name: String,
    text: Box<dyn BufRead + Send>,
    bytes: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    match cli.command {
        Some(Command::Generate(arguments)) => write_generated(&arguments),
        None => load(cli.load).await,
    }
}

fn write_generated(arguments: &generate::Arguments) -> anyhow::Result<ExitCode> {
    let create = |path: &Path| {
        File::create(path).map(BufWriter::new).with_context(|| format!("cannot write {}", path.display()))
    };
    let mut plan = create(&arguments.plan)?;
    let mut csv = create(&arguments.csv)?;
    let rows = generate::write(arguments, &mut plan, &mut csv).context("cannot write what was generated")?;
    plan.flush()?;
    csv.flush()?;
    writeln!(stdout(), "{} and {} written: {rows} rows", arguments.plan.display(), arguments.csv.display())?;
    Ok(ExitCode::SUCCESS)
}

async fn load(arguments: LoadArguments) -> anyhow::Result<ExitCode> {
    let ids = PublicIds::new(&arguments.ids)?;
    // Both files are opened, and the plan is read, before the database is touched.
    let sample = arguments.plan.is_none() && arguments.csv.is_none();
    let plan = match &arguments.plan {
        Some(path) => {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            Some(plan::Plan::parse(&text).with_context(|| format!("{} is no floor plan", path.display()))?)
        }
        None if sample => Some(plan::Plan::parse(SAMPLE_PLAN).context("the sample is no floor plan")?),
        None => None,
    };
    let events = match &arguments.csv {
        Some(path) => Some(Source::open(path)?),
        None if sample => Some(Source::sample()),
        None => None,
    };

    let database = Database::connect(&arguments.database.database_url).await?;
    database.migrate().await.context("cannot bring the database's schema up to date")?;
    let mut loader =
        load::Loader::new(&database, Clock::system(), arguments.events.earliest_event, arguments.strict);
    if let Some(plan) = &plan {
        let changes = loader.apply(plan).await?;
        writeln!(stdout(), "floor plan: {changes}")?;
    }
    let mut rejected = 0;
    if let Some(source) = events {
        let name = source.name.clone();
        let keep = arguments.duplicates == Duplicates::Keep;
        let report = |line, reason: &str| writeln!(stderr(), "{name}:{line}: {reason}");
        let outcome = loader.load(source.with_progress(), keep, report).await;
        let outcome = outcome.with_context(|| format!("{name} could not be loaded"))?;
        for column in &outcome.ignored_columns {
            writeln!(stderr(), "{name}: the column {column:?} is not read")?;
        }
        rejected = outcome.summary.rejected;
        if arguments.strict && rejected > 0 {
            bail!(
                "{name}: {rejected} of {} rows were rejected, so nothing was loaded (--strict)",
                outcome.rows()
            );
        }
        writeln!(stdout(), "{name}: {outcome}")?;
    }
    let plan = loader.finish().await?;
    for space in plan.spaces().values() {
        writeln!(stdout(), "space {}: {}", ids.public(Kind::Space, space.row.id), space.row.name)?;
    }
    Ok(if rejected == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Source {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let file = File::open(path).with_context(|| format!("cannot read {name}"))?;
        let bytes = file.metadata().with_context(|| format!("cannot read {name}"))?.len();
        Ok(Self { name, text: Box::new(BufReader::new(file)), bytes })
    }

    fn sample() -> Self {
        let bytes = SAMPLE_EVENTS.len() as u64;
        Self { name: "sample events".to_owned(), text: Box::new(SAMPLE_EVENTS.as_bytes()), bytes }
    }

    /// The text, with a bar on the terminal that shows how much of it is read and how long the rest will take.
    fn with_progress(self) -> impl BufRead + Send + 'static {
        let bar = if stderr().is_terminal() { ProgressBar::new(self.bytes) } else { ProgressBar::hidden() };
        let style = "{bar:40} {percent}% of {total_bytes}, {bytes_per_sec}, {eta} left";
        bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        BufReader::new(bar.wrap_read(self.text))
    }
}
