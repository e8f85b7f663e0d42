//! A sender: sends reports until they are acknowledged, with any number of attempts.

use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;

use crate::link::Link;
use crate::report::Report;

const PAUSE: Duration = Duration::from_millis(50);
/// Longest measured latency, in microseconds: one hour.
pub(crate) const LATENCY_US_MAX: u64 = 3_600_000_000;
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Settings of sending.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Sending {
    /// Address to send to: `http://`, `ttn+http://`, `nats://` or `mqtt://` HOST:PORT. Repeat it to switch to the next on failure
    #[arg(long, value_name = "URL", required = true)]
    pub(crate) to: Vec<String>,
    /// Send a report again if it is not acknowledged within this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub(crate) timeout_s: u64,
    /// Give up a batch after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub(crate) give_up_s: u64,
}

/// One of several concurrent senders.
pub(crate) struct Sender {
    sending: Sending,
    client: String,
    /// The index of the current address.
    place: usize,
    link: Option<Link>,
    /// The latencies of acknowledgements in microseconds, from the successful attempt.
    pub(crate) latencies_us: Histogram<u64>,
    /// Number of failed attempts.
    pub(crate) failures: u64,
}

impl Sender {
    /// Creates the sender with this number.
    pub(crate) fn new(sending: &Sending, number: usize) -> anyhow::Result<Self> {
        Ok(Self {
            sending: sending.clone(),
            client: format!("fleet-{}-{number}", std::process::id()),
            place: number,
            link: None,
            latencies_us: Histogram::new_with_max(LATENCY_US_MAX, 3)?,
            failures: 0,
        })
    }

    /// Returns when all reports are acknowledged.
    pub(crate) async fn send(&mut self, reports: &[Report]) -> anyhow::Result<()> {
        let mut waiting: Vec<&Report> = reports.iter().collect();
        let (begun, mut pause) = (Instant::now(), PAUSE);
        while let Err(error) = self.attempt(&mut waiting).await {
            self.failures += 1;
            self.link = None;
            self.place += 1;
            if begun.elapsed() > Duration::from_secs(self.sending.give_up_s) {
                return Err(error).context("given up");
            }
            tokio::time::sleep(pause).await;
            pause = PAUSE_MAX.min(pause * 2);
        }
        Ok(())
    }

    /// Tries once. Keeps the reports that were not acknowledged.
    async fn attempt(&mut self, waiting: &mut Vec<&Report>) -> anyhow::Result<()> {
        let timeout = Duration::from_secs(self.sending.timeout_s);
        let link = match &mut self.link {
            Some(link) => link,
            none => {
                let to = &self.sending.to[self.place % self.sending.to.len()];
                none.insert(Link::connect(to, &self.client, timeout).await?)
            }
        };
        let mut done = vec![false; waiting.len()];
        let latencies = &mut self.latencies_us;
        let acknowledged = |place: usize, took: Duration| {
            if let Some(done) = done.get_mut(place) {
                *done = true;
                latencies.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
            }
        };
        let outcome = link.deliver(waiting, acknowledged).await;
        let mut done = done.into_iter();
        waiting.retain(|_| !done.next().unwrap_or_default());
        outcome
    }
}
