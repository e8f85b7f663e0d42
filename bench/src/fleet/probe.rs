//! Measures the time from publishing an event until a count includes it, with one marker at a time, whose count is
//! polled through the public API.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant as Stopwatch};

use anyhow::{Context, bail};
use api::clock::Clock;
use entity::Instant;
use hdrhistogram::Histogram;
use tokio::sync::Mutex;

use crate::http::Http;
use crate::journal::Journal;
use crate::plan::{MARKER_SERIAL, MARKER_SPACE};
use crate::report::{Crossing, Report, Saying};
use crate::sender::{LATENCY_US_MAX, Sender, Sending};

/// The time between two polls.
const LOOK: Duration = Duration::from_millis(2);
/// The time between two markers.
const PAUSE: Duration = Duration::from_millis(100);

/// Sends markers until `stop`, and returns the times until they were counted, in microseconds.
pub(crate) async fn probe(
    server: Http,
    sending: &Sending,
    journal: Arc<Mutex<Journal>>,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<Histogram<u64>> {
    let spaces = server.spaces().await?;
    let (_, space) = spaces
        .into_iter()
        .find(|(name, _)| name == MARKER_SPACE)
        .context("the server has no space for markers: load the floor plan that `fleet plan` writes")?;
    let clock = Clock::system();
    let mut sender = Sender::new(sending, 0)?;
    let mut seen_us = Histogram::new_with_max(LATENCY_US_MAX, 3)?;
    if let Some(last) = unseen(&*journal.lock().await) {
        sender.send(&[marker(last)]).await?;
    }
    while !stop.load(Ordering::Relaxed) {
        let ts = clock.now();
        let expected = {
            let mut journal = journal.lock().await;
            journal.marker(ts)?;
            i64::try_from(journal.markers.len())?
        };
        let published = Stopwatch::now();
        sender.send(&[marker(ts)]).await?;
        let give_up = Duration::from_secs(sending.give_up_s);
        loop {
            match server.count(&space, None).await {
                Ok(count) if count == expected => break,
                Ok(count) if count > expected => {
                    bail!("{count} markers are counted, and {expected} were sent")
                }
                other if published.elapsed() > give_up => {
                    bail!("marker {expected} is not seen after {give_up:?}: {other:?}")
                }
                _ => tokio::time::sleep(LOOK).await,
            }
        }
        seen_us.saturating_record(u64::try_from(published.elapsed().as_micros()).unwrap_or(u64::MAX));
        journal.lock().await.seen()?;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(seen_us)
}

/// Returns the last marker, if an interruption came before it was seen.
fn unseen(journal: &Journal) -> Option<Instant> {
    journal.markers.last().copied().filter(|_| !journal.markers_seen)
}

fn marker(ts: Instant) -> Report {
    let crossing = Crossing { ts_ms: ts.ms(), direction: 1, seq: 0 };
    Report { serial: MARKER_SERIAL.to_owned(), saying: Saying::Crossings(u32::MAX, vec![crossing]) }
}
