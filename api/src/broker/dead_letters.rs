//! The stream of dead letters, for operators: what is in it, and putting it back.

use std::collections::BTreeSet;

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use futures::stream::{self, Stream as Futures, StreamExt, TryStreamExt};

use super::dead_letter::DeadLetter;
use super::status::Watched;
use super::subject::Subjects;
use super::{BrokerConfig, BrokerError, connection};
use crate::clock::Clock;

/// How many dead letters are put back at a time.
const REPLAYS_AT_ONCE: usize = 64;

/// The dead letters there are.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    jetstream: Context,
    stream: Stream,
    subjects: Subjects,
}

/// What became of dead letters that were to be put back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// They are in the stream of events again.
    pub replayed: u64,
    /// There is none of that number.
    pub missing: u64,
}

impl DeadLetters {
    /// Opens the stream of dead letters, which must be there.
    pub async fn open(config: &BrokerConfig) -> Result<Self, BrokerError> {
        let client = connection::connect(config, &Watched::new(Clock::system())).await?;
        let jetstream = async_nats::jetstream::new(client);
        let stream = jetstream.get_stream(&config.nats_dead_letters).await.map_err(|error| {
            BrokerError::Unusable(format!("the stream {} cannot be read: {error}", config.nats_dead_letters))
        })?;
        Ok(Self { jetstream, stream, subjects: config.nats_prefix.clone() })
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.stream.cached_info().state.messages
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those that were there when the stream was opened, from this number on, oldest first.
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

    /// Publishes these messages again where they were published first, and removes the dead letter of each once the
    /// stream of events has it.
    ///
    /// It ends at the first that fails, and may be repeated, whatever it was interrupted by: a message that comes twice
    /// is recorded once.
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

    /// The same with all that were there when the stream was opened: what fails again is not put back again.
    pub async fn replay_all(&self) -> Result<Replayed, BrokerError> {
        let put_back = async |letter| self.put_back(&letter).await;
        let letters = self.from(1).map_ok(put_back).try_buffer_unordered(REPLAYS_AT_ONCE);
        let replayed = letters.try_fold(0, async |replayed, ()| Ok(replayed + 1)).await?;
        Ok(Replayed { replayed, missing: 0 })
    }

    async fn put_back(&self, letter: &DeadLetter) -> Result<(), BrokerError> {
        let failed = |cause: &dyn std::fmt::Display| BrokerError::Failed {
            doing: "replay a dead letter",
            cause: format!("number {}, of {}: {cause}", letter.sequence, letter.subject).into(),
        };
        // Anybody who may publish dead letters could name any subject in one.
        if !self.subjects.are_above(&letter.subject) {
            return Err(failed(&format!(
                "it is no subject under {}, so nothing is published there",
                self.subjects
            )));
        }
        if let Some(length) = letter.length {
            let kept = letter.payload.len();
            return Err(failed(&format!(
                "only the first {kept} of its {length} bytes are kept: let its sender send it again"
            )));
        }
        let publishing = self.jetstream.send_publish(letter.subject.clone(), letter.replay()).await;
        let taken = publishing.map_err(|error| failed(&error))?.await.map_err(|error| failed(&error))?;
        if taken.duplicate {
            return Err(failed(&"it was taken for one that came twice"));
        }
        self.stream.delete_message(letter.sequence).await.map(drop).map_err(|error| failed(&error))
    }

    /// The dead letter of this number, if it is one.
    async fn get(&self, sequence: u64) -> Result<Option<DeadLetter>, BrokerError> {
        Ok(self.next(sequence).await?.filter(|letter| letter.sequence == sequence))
    }

    /// The first dead letter of this number or a later one.
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
