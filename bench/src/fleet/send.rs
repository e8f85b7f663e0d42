//! `fleet send`: the generator, the senders that process its batches, and the results.

use std::io::{Write, stderr, stdout};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use tokio::sync::{Mutex, mpsc};

use crate::http::Http;
use crate::journal::Journal;
use crate::probe::probe;
use crate::report::Report;
use crate::sender::{LATENCY_US_MAX, Sender, Sending};
use crate::world::Settings;

/// Maximum number of batches that wait for a sender.
const BATCHES_AHEAD: usize = 64;
/// The time between two lines of progress.
const TELL: Duration = Duration::from_secs(5);

/// The reports to send, where, and how fast.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    sending: Sending,
    /// File that records what was acknowledged; if it exists, only the rest is sent
    #[arg(long, value_name = "FILE")]
    journal: PathBuf,
    /// Events per second; 0: as fast as they are acknowledged
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    rate: u32,
    /// Number of concurrent senders
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    senders: u16,
    /// Measure how long events take to be counted by this server, as `http://HOST:PORT`
    #[arg(long, value_name = "URL")]
    probe: Option<String>,
}

/// Reports that one sender sends together, and the number of the batch.
struct Batch {
    number: u64,
    reports: Vec<Report>,
}

/// A sender's message that a batch was acknowledged.
struct Acknowledged {
    number: u64,
    events: usize,
}

/// Sends everything.
pub(crate) async fn send(arguments: Arguments) -> anyhow::Result<()> {
    let journal = Journal::create(&arguments.journal, arguments.settings.clone())?;
    let known = journal.acknowledged.clone();
    let journal = Arc::new(Mutex::new(journal));
    let stop = Arc::new(AtomicBool::new(false));
    let probing = arguments.probe.as_ref().map(|server| {
        let server = Http::new(server, Duration::from_secs(arguments.sending.timeout_s));
        let (sending, journal, stop) = (arguments.sending.clone(), Arc::clone(&journal), Arc::clone(&stop));
        tokio::spawn(async move { probe(server, &sending, journal, stop).await })
    });

    let begun = Instant::now();
    let (batches, made) = mpsc::channel(BATCHES_AHEAD);
    let (settings, rate) = (arguments.settings.clone(), arguments.rate);
    let making = tokio::task::spawn_blocking(move || {
        make(&settings, rate, &batches, |number| known.contains(&number))
    });
    let made = Arc::new(Mutex::new(made));
    let (tell, mut told) = mpsc::channel(BATCHES_AHEAD);
    let mut senders = Vec::new();
    for number in 0..usize::from(arguments.senders) {
        let sender = Sender::new(&arguments.sending, number + 1)?;
        senders.push(tokio::spawn(take_turns(sender, Arc::clone(&made), tell.clone())));
    }
    drop((tell, made));

    let (mut events, mut batches, mut next_ms) = (0_usize, 0_usize, TELL.as_millis());
    while let Some(Acknowledged { number, events: some }) = told.recv().await {
        journal.lock().await.acknowledged(number)?;
        events += some;
        batches += 1;
        if begun.elapsed().as_millis() > next_ms {
            writeln!(stderr(), "{:>6.0?}  {events} events acknowledged", begun.elapsed())?;
            next_ms += TELL.as_millis();
        }
    }
    let took = begun.elapsed();
    making.await??;
    let (mut latencies_us, mut failures) = (Histogram::<u64>::new_with_max(LATENCY_US_MAX, 3)?, 0);
    for sender in senders {
        let sender = sender.await??;
        latencies_us.add(&sender.latencies_us)?;
        failures += sender.failures;
    }
    stop.store(true, Ordering::Relaxed);

    let mut out = stdout();
    let rate = per_second(events, took);
    writeln!(out, "{events} events in {batches} batches acknowledged in {took:.1?}: {rate} a second")?;
    writeln!(out, "attempts that failed: {failures}")?;
    tell_latencies(&mut out, "published to acknowledged", &latencies_us)?;
    if let Some(probing) = probing {
        tell_latencies(&mut out, "published to counted", &probing.await?.context("the probe failed")?)?;
    }
    Ok(())
}

/// Generates batches and passes them to the senders, each when it is due.
fn make(
    settings: &Settings,
    rate: u32,
    batches: &mpsc::Sender<Batch>,
    known: impl Fn(u64) -> bool,
) -> anyhow::Result<()> {
    let mut reports = settings.reports()?;
    let (begun, mut events) = (Instant::now(), 0_usize);
    for number in 0.. {
        let reports: Vec<_> = reports.by_ref().take(usize::try_from(settings.batch)?).collect();
        if reports.is_empty() {
            break;
        }
        if known(number) {
            continue;
        }
        if rate > 0 {
            let due = Duration::from_secs_f64(f64::from(u32::try_from(events)?) / f64::from(rate));
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
        }
        events += reports.iter().map(Report::events).sum::<usize>();
        if batches.blocking_send(Batch { number, reports }).is_err() {
            // The senders have failed, and will report why.
            break;
        }
    }
    Ok(())
}

/// Returns the next batch. `None`: there are no more.
async fn take_turns(
    mut sender: Sender,
    made: Arc<Mutex<mpsc::Receiver<Batch>>>,
    tell: mpsc::Sender<Acknowledged>,
) -> anyhow::Result<Sender> {
    loop {
        let Some(Batch { number, reports }) = made.lock().await.recv().await else { return Ok(sender) };
        sender.send(&reports).await?;
        let events = reports.iter().map(Report::events).sum();
        tell.send(Acknowledged { number, events }).await.context("the receiver is gone")?;
    }
}

fn tell_latencies(out: &mut impl Write, what: &str, us: &Histogram<u64>) -> std::io::Result<()> {
    let at = |quantile| Duration::from_micros(us.value_at_quantile(quantile));
    writeln!(
        out,
        "{what}: p50 {:.1?}, p99 {:.1?}, at most {:.1?} ({} of them)",
        at(0.5),
        at(0.99),
        Duration::from_micros(us.max()),
        us.len()
    )
}

fn per_second(events: usize, took: Duration) -> u128 {
    events as u128 * 1000 / took.as_millis().max(1)
}
