//! Records messages, then acknowledges them.
//!
//! While the database fails, recording is retried for as long as it takes, and the server is told that work on the
//! messages continues. A message that can never be recorded is acknowledged once JetStream has its dead letter, never
//! before.

use std::convert::Infallible;
use std::time::Duration;

use async_nats::jetstream::{AckKind, Context, Message};
use futures::StreamExt;
use metrics::counter;
use tokio_util::sync::CancellationToken;

use super::dead_letter::{self, Faults};
use super::payload::{self, Contents};
use super::status::Watched;
use super::subject::Subjects;
use crate::ingest::{Batch, Outcome, OutcomeCounts, RecordError, Recorder};

/// Delay before a message is redelivered if its dead letter could not be written.
const LATER: Duration = Duration::from_secs(30);
const DEAD_LETTERS_AT_ONCE: usize = 64;

/// Messages that were received, and their events, which are recorded together.
#[derive(Debug, Default)]
pub(super) struct Taken {
    messages: Vec<TakenMessage>,
    events: Batch,
}

#[derive(Debug)]
struct TakenMessage {
    message: Message,
    events: usize,
    broken: Option<String>,
}

impl Taken {
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(super) fn events(&self) -> usize {
        self.events.len()
    }

    pub(super) fn add(&mut self, subjects: &Subjects, message: Message) -> usize {
        let Contents { events, broken } = match subjects.serial(&message.subject) {
            Ok(serial) => payload::read(&serial, &message.payload),
            Err(reason) => Contents { events: vec![], broken: Some(reason) },
        };
        let count = events.len();
        self.messages.push(TakenMessage { message, events: count, broken });
        self.events.extend(events);
        count
    }
}

#[derive(Clone, Debug)]
pub(super) struct Worker {
    pub(super) recorder: Recorder,
    pub(super) jetstream: Context,
    pub(super) subjects: Subjects,
    pub(super) status: Watched,
    pub(super) stop: CancellationToken,
    /// Time without an acknowledgement after which the server redelivers a message.
    pub(super) ack_wait: Duration,
}

impl Worker {
    /// Works until every message is recorded, a dead letter, or returned to the server.
    pub(super) async fn work(&self, taken: &Taken) {
        tokio::select! {
            () = self.finish(taken) => {}
            never = self.report_progress(taken) => match never {},
        }
    }

    async fn finish(&self, taken: &Taken) {
        let Some(outcomes) = self.record(&taken.events).await else {
            // The process stops: another one may have them at once.
            for TakenMessage { message, .. } in &taken.messages {
                self.answer(message, AckKind::Nak(None)).await;
            }
            return;
        };
        let mut rest = outcomes.as_slice();
        let mut dead = Vec::new();
        for TakenMessage { message, events, broken } in &taken.messages {
            let (own, others) = rest.split_at((*events).min(rest.len()));
            rest = others;
            match Faults::of(own, broken.clone()) {
                None => self.answer(message, AckKind::Ack).await,
                Some(faults) => dead.push((message, faults)),
            }
        }
        let mut summary = OutcomeCounts::default();
        for outcome in &outcomes {
            summary.add(outcome);
        }
        let newest = taken.messages.last().and_then(|last| Some(last.message.info().ok()?.published.into()));
        self.status.recorded(taken.messages.len(), summary, newest);
        let dead = futures::stream::iter(dead);
        dead.for_each_concurrent(DEAD_LETTERS_AT_ONCE, async |(message, faults)| {
            self.dead_letter(message, &faults).await;
        })
        .await;
    }

    /// `None` if the process stops first.
    async fn record(&self, events: &Batch) -> Option<Vec<Outcome>> {
        if events.is_empty() {
            return Some(vec![]);
        }
        let mut backoff = self.status.backoff(&self.stop);
        loop {
            match self.recorder.record(events.clone()).await {
                Ok(outcomes) => return Some(outcomes),
                Err(RecordError::Stopping) => return None,
                Err(error @ RecordError::Database(_)) => {
                    counter!("headcount_broker_retries_total").increment(1);
                    let log = format!("{} events of the broker could not be recorded", events.len());
                    backoff.wait(&error, &log).await;
                }
            }
            if self.stop.is_cancelled() {
                return None;
            }
        }
    }

    /// Writes the message's dead letter, then acknowledges the message. If writing fails, it is redelivered later.
    async fn dead_letter(&self, message: &Message, faults: &Faults) {
        let bytes_max = self.jetstream.client().server_info().max_payload;
        let letter = dead_letter::of_message(message, faults, bytes_max);
        let published =
            async { self.jetstream.send_publish(self.subjects.dead_letters(), letter).await?.await };
        match published.await {
            Ok(_) => {
                counter!("headcount_broker_dead_letters_total").increment(1);
                tracing::warn!(subject = %message.subject, "a message became a dead letter: {faults}");
                self.answer(message, AckKind::Ack).await;
            }
            Err(error) => {
                tracing::error!(
                    %error, subject = %message.subject,
                    "a message cannot be recorded ({faults}), and no dead letter can be written: it will be redelivered"
                );
                self.answer(message, AckKind::Nak(Some(LATER))).await;
            }
        }
    }

    /// Tells the server regularly that work on the messages continues.
    async fn report_progress(&self, taken: &Taken) -> Infallible {
        loop {
            tokio::time::sleep(self.ack_wait / 2).await;
            for TakenMessage { message, .. } in &taken.messages {
                self.answer(message, AckKind::Progress).await;
            }
        }
    }

    async fn answer(&self, message: &Message, kind: AckKind) {
        // If an acknowledgement is lost the message is redelivered, which is harmless.
        if let Err(error) = message.ack_with(kind).await {
            tracing::debug!(%error, "an acknowledgement was not sent");
        }
    }
}
