//! A sender: hands reports over until they are acknowledged, however often that takes.

use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;

use crate::link::Link;
use crate::world::Report;

const PAUSE: Duration = Duration::from_millis(50);
/// The longest that is told apart, in microseconds: an hour.
pub(crate) const LATENCY_US_MAX: u64 = 3_600_000_000;
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How to send.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Sending {
    /// Where to: `http://`, `nats://` or `mqtt://` HOST:PORT; given several times, senders change to the next after a failure
    #[arg(long, value_name = "URL", required = true)]
    pub(crate) to: Vec<String>,
    /// How long an acknowledgement may take before the report is sent again, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub(crate) timeout_s: u64,
    /// How long to go on trying one batch, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub(crate) give_up_s: u64,
}

/// One of many that send at the same time.
pub(crate) struct Sender {
    sending: Sending,
    client: String,
    /// Which of the addresses is used.
    place: usize,
    link: Option<Link>,
    /// How long reports took to be acknowledged, in microseconds, from the attempt that was.
    pub(crate) latencies_us: Histogram<u64>,
    /// How many attempts failed.
    pub(crate) failures: u64,
}

impl Sender {
    /// Returns the sender of this number.
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

    /// Tries once, and leaves those that were not acknowledged.
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
