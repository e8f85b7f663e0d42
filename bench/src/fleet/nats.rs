//! NATS JetStream: each report is a message under its DPU's subject, acknowledged by the stream.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use futures::future::join_all;

use crate::report::Report;

/// A connection to a NATS server or cluster, which the client restores after failures.
pub(crate) struct Nats {
    stream: Context,
}

impl Nats {
    /// `servers` are `nats://HOST:PORT`, separated by commas. An acknowledgement may take `timeout`.
    pub(crate) async fn connect(servers: &str, timeout: Duration) -> anyhow::Result<Self> {
        let client = async_nats::ConnectOptions::new()
            .connection_timeout(timeout)
            .ping_interval(timeout)
            .connect(servers.split(',').collect::<Vec<_>>())
            .await?;
        Ok(Self { stream: ContextBuilder::new().timeout(timeout).ack_timeout(timeout).build(client) })
    }

    /// Publishes reports. Calls `acknowledged` with the place of each that the stream has, and the time it took.
    pub(crate) async fn deliver(
        &self,
        reports: &[&Report],
        mut acknowledged: impl FnMut(usize, Duration),
    ) -> anyhow::Result<()> {
        let mut underway = Vec::with_capacity(reports.len());
        for report in reports {
            let sent = Instant::now();
            let subject = format!("dpu.{}.events", report.serial);
            underway.push((sent, self.stream.publish(subject, report.payload().into()).await?));
        }
        // All together, because the timeout of an acknowledgement begins when it is awaited.
        let acknowledgements =
            underway.into_iter().map(async |(sent, acknowledgement)| (acknowledgement.await, sent.elapsed()));
        let mut failed = None;
        for (place, (answer, took)) in join_all(acknowledgements).await.into_iter().enumerate() {
            match answer {
                Ok(_) => acknowledged(place, took),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), |error| Err(error).context("not all messages were acknowledged"))
    }
}
