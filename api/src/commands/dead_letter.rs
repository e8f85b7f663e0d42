//! `headcount deadletter`: the dead letters on the command line.

use std::collections::BTreeSet;
use std::io::{self, Write};

use data_encoding::BASE64;
use futures::TryStreamExt;
use serde_json::{Value, json};

use crate::broker::{BrokerConfig, BrokerError, DeadLetter, DeadLetters, headers_as_json};

/// How much of a payload a table shows, in characters.
const SHOWN_CHARACTERS: usize = 60;

/// What to do with dead letters.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct DeadLetterArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Action {
    /// List them, oldest first
    List {
        /// Where they are.
        #[command(flatten)]
        broker: BrokerConfig,
        /// A JSON object a line, with everything about the message, instead of a table
        #[arg(long)]
        json: bool,
        /// At most so many
        #[arg(long, value_name = "NUMBER", default_value_t = 100)]
        limit: usize,
        /// From this number on
        #[arg(long, value_name = "SEQUENCE", default_value_t = 1)]
        from: u64,
    },
    /// Publish them again where they were published first, and remove each once that is acknowledged
    Replay {
        /// Where they are.
        #[command(flatten)]
        broker: BrokerConfig,
        /// Their numbers, as listed
        #[arg(value_name = "SEQUENCE", required_unless_present = "all", conflicts_with = "all")]
        sequences: Vec<u64>,
        /// All that are there now
        #[arg(long)]
        all: bool,
    },
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    /// The broker did.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// What there is to say cannot be written.
    #[error("cannot write: {0}")]
    Io(#[from] io::Error),
}

impl DeadLetterArgs {
    /// Does it, and tells `out`. The answer is whether all that was asked for was there.
    pub(super) async fn run(self, out: &mut impl Write) -> Result<bool, CommandError> {
        match self.action {
            Action::List { broker, json, limit, from } => {
                let letters = DeadLetters::open(&broker).await?;
                list(&letters, json, limit, from, out).await.map(|()| true)
            }
            Action::Replay { broker, sequences, all } => {
                let letters = DeadLetters::open(&broker).await?;
                let done = if all {
                    letters.replay_all().await?
                } else {
                    letters.replay(&BTreeSet::from_iter(sequences)).await?
                };
                writeln!(out, "{} dead letters replayed, {} not found", done.replayed, done.missing)?;
                Ok(done.missing == 0)
            }
        }
    }
}

async fn list(
    letters: &DeadLetters,
    json: bool,
    limit: usize,
    from: u64,
    out: &mut impl Write,
) -> Result<(), CommandError> {
    if !json {
        writeln!(
            out,
            "{:>8}  {:24}  {:24}  {:>7}  reason; message",
            "sequence", "since", "subject", "bytes"
        )?;
    }
    let mut listed = 0;
    let mut some = std::pin::pin!(letters.from(from));
    while listed < limit
        && let Some(letter) = some.try_next().await?
    {
        listed += 1;
        if json {
            writeln!(out, "{}", object(&letter))?;
            continue;
        }
        let DeadLetter { sequence, since, subject, reason, payload, .. } = &letter;
        let payload = String::from_utf8_lossy(payload);
        let shown: String = payload.chars().take(SHOWN_CHARACTERS).collect();
        let more = if shown.len() < payload.len() { "…" } else { "" };
        let (since, subject, reason) = (since.to_string(), printable(subject), printable(reason));
        writeln!(
            out,
            "{sequence:>8}  {since:24}  {subject:24}  {:>7}  {reason}; {shown:?}{more}",
            letter.payload.len()
        )?;
    }
    if !json {
        writeln!(out, "{listed} of {} dead letters", letters.len())?;
    }
    Ok(())
}

/// The text without what would tell a terminal to do something.
fn printable(text: &str) -> String {
    let escaped = |character: char| -> String {
        if character.is_control() { character.escape_default().collect() } else { character.into() }
    };
    text.chars().map(escaped).collect()
}

/// Everything about the message; its payload as text where it is text, else as base 64.
fn object(letter: &DeadLetter) -> Value {
    let mut object = json!({
        "sequence": letter.sequence,
        "since": letter.since.to_string(),
        "subject": letter.subject,
        "published": letter.published.map(|published| published.to_string()),
        "reason": letter.reason,
        "rejected": letter.rejected,
        "headers": headers_as_json(&letter.headers),
    });
    if let Some(length) = letter.length {
        object["length"] = length.into();
        object["sha256"] = letter.digest.clone().into();
    }
    match str::from_utf8(&letter.payload) {
        Ok(text) => object["payload"] = text.into(),
        Err(_) => object["payload_base64"] = BASE64.encode(&letter.payload).into(),
    }
    object
}
