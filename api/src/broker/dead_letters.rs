//! The stream of dead letters, for operators: listing and replaying them.

use std::collections::BTreeSet;

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use futures::stream::{self, Stream as Futures, StreamExt, TryStreamExt};

use super::dead_letter::DeadLetter;
use super::status::Watched;
use super::subject::Subjects;
use super::{BrokerConfig, BrokerError, connection};
use crate::clock::Clock;

const REPLAYS_AT_ONCE: usize = 64;

#[derive(Clone, Debug)]
pub struct DeadLetters {
    jetstream: Context,
    stream: Stream,
    subjects: Subjects,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Number of dead letters that are in the stream of events again.
    pub replayed: u64,
    pub missing: u64,
}

impl DeadLetters {
    /// Opens the stream of dead letters, which must exist.
    pub async fn open(config: &BrokerConfig) -> Result<Self, BrokerError> {
        let client = connection::connect(config, &Watched::new(Clock::system())).await?;
        let jetstream = async_nats::jetstream::new(client);
        let stream = jetstream.get_stream(&config.nats_dead_letters).await.map_err(|error| {
            BrokerError::Unusable(format!("the stream {} cannot be read: {error}", config.nats_dead_letters))
        })?;
        Ok(Self { jetstream, stream, subjects: config.nats_prefix.clone() })
    }

    pub fn len(&self) -> u64 {
        self.stream.cached_info().state.messages
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the dead letters that existed when the stream was opened, from this sequence number on, oldest first.
    pub fn from(&self, sequence: u64) -> impl Futures<Item = Result<DeadLetter, BrokerError>> {
        let last = self.stream.cached_info().state.last_sequence;
        stream::try_unfold(sequence.max(1), move |sequence| async move {
            if sequence > last {
                return Ok(None);
            }
            let letter = self.next(sequence).await?.filter(|letter| letter.sequence <= last);
            Ok(letter.map(|letter| {
                let next = letter.sequence + 1;
                (letter, next)
            }))
        })
    }

    /// Publishes these messages to their original subjects again, and removes the dead letter of each once the stream
    /// of events has it.
    ///
    /// Ends at the first failure. It may be repeated after any interruption, since a message that is published twice is
    /// recorded once.
    pub async fn replay(&self, sequences: &BTreeSet<u64>) -> Result<Replayed, BrokerError> {
        let mut done = Replayed::default();
        let mut replays = stream::iter(sequences).map(async |sequence| match self.get(*sequence).await? {
            Some(letter) => self.put_back(&letter).await.map(|()| true),
            None => Ok(false),
        });
        let mut replays = std::pin::pin!(replays.by_ref().buffer_unordered(REPLAYS_AT_ONCE));
        while let Some(replayed) = replays.try_next().await? {
            *(if replayed { &mut done.replayed } else { &mut done.missing }) += 1;
        }
        Ok(done)
    }

    /// Replays all dead letters that existed when the stream was opened. One that fails again is not replayed again.
    pub async fn replay_all(&self) -> Result<Replayed, BrokerError> {
        let put_back = async |letter| self.put_back(&letter).await;
        let letters = self.from(1).map_ok(put_back).try_buffer_unordered(REPLAYS_AT_ONCE);
        let replayed = letters.try_fold(0, async |replayed, ()| Ok(replayed + 1)).await?;
        Ok(Replayed { replayed, missing: 0 })
    }

    async fn put_back(&self, letter: &DeadLetter) -> Result<(), BrokerError> {
        self.publish_again(letter).await.map_err(|cause| BrokerError::Failed {
            doing: "replay a dead letter",
            cause: format!("number {}, of {}: {cause}", letter.sequence, letter.subject).into(),
        })
    }

    async fn publish_again(&self, letter: &DeadLetter) -> Result<(), async_nats::Error> {
        // A client that may publish dead letters could name any subject in them.
        if !self.subjects.are_above(&letter.subject) {
            return Err(
                format!("the subject is not under {}, so nothing is published there", self.subjects).into()
            );
        }
        if let Some(length) = letter.length {
            let kept = letter.payload.len();
            return Err(format!(
                "only the first {kept} of its {length} bytes were kept: the device must send it again"
            )
            .into());
        }
        let published = self.jetstream.send_publish(letter.subject.clone(), letter.replay()).await?.await?;
        if published.duplicate {
            return Err("the server took it for a duplicate".into());
        }
        self.stream.delete_message(letter.sequence).await?;
        Ok(())
    }

    async fn get(&self, sequence: u64) -> Result<Option<DeadLetter>, BrokerError> {
        Ok(self.next(sequence).await?.filter(|letter| letter.sequence == sequence))
    }

    /// Returns the first dead letter with this sequence number or a later one.
    async fn next(&self, sequence: u64) -> Result<Option<DeadLetter>, BrokerError> {
        let next = self
            .stream
            .raw_message_builder()
            .sequence(sequence)
            .next_by_subject(self.subjects.dead_letters());
        match next.send().await {
            Ok(message) => Ok(Some(message.into())),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(BrokerError::failed("show a dead letter")(error)),
        }
    }
}
