//! `headcount deadletter`: the dead letters on the command line.

use std::collections::BTreeSet;
use std::io::{self, Write};

use data_encoding::BASE64;
use futures::TryStreamExt;
use serde_json::{Value, json};

use crate::broker::{BrokerConfig, BrokerError, DeadLetter, DeadLetters};

const SHOWN_CHARACTERS: usize = 60;

/// Arguments of `headcount deadletter`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct DeadLetterArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Action {
    /// List dead letters, oldest first
    List {
        #[command(flatten)]
        broker: BrokerConfig,
        /// Print one JSON object per line, with everything about the message, instead of a table
        #[arg(long)]
        json: bool,
        /// List at most this many
        #[arg(long, value_name = "NUMBER", default_value_t = 100)]
        limit: usize,
        /// Start at this sequence number
        #[arg(long, value_name = "SEQUENCE", default_value_t = 1)]
        from: u64,
    },
    /// Publish dead letters to their original subjects again, and remove each once that is acknowledged
    Replay {
        #[command(flatten)]
        broker: BrokerConfig,
        /// Replay the dead letters with these sequence numbers
        #[arg(value_name = "SEQUENCE", required_unless_present = "all", conflicts_with = "all")]
        sequences: Vec<u64>,
        /// Replay all dead letters that exist now
        #[arg(long)]
        all: bool,
    },
}

#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error("cannot write the output: {0}")]
    Io(#[from] io::Error),
}

impl DeadLetterArgs {
    /// Runs the command and writes its output to `out`. Returns whether all dead letters to replay were found.
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

/// Escapes the control characters of a text, so that a terminal does not obey them.
fn printable(text: &str) -> String {
    let escaped = |character: char| -> String {
        if character.is_control() { character.escape_default().collect() } else { character.into() }
    };
    text.chars().map(escaped).collect()
}

/// Returns everything about the message, with its payload as text if it is UTF-8, else in base64.
fn object(letter: &DeadLetter) -> Value {
    let mut object = json!({
        "sequence": letter.sequence,
        "since": letter.since.to_string(),
        "subject": letter.subject,
        "published": letter.published.map(|published| published.to_string()),
        "reason": letter.reason,
        "rejected": letter.rejected,
        "headers": letter.headers,
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
