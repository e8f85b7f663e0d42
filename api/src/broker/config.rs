//! Options of the broker.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use async_nats::ServerAddr;

use super::Subjects;

/// Connection to NATS, and the names of its streams, consumer and subjects.
#[derive(Clone, Debug, clap::Args)]
pub struct BrokerConfig {
    /// Connect to these NATS servers, separated by commas: `nats://[USER:PASSWORD@]HOST[:PORT]`, with `TOKEN@` for a
    /// token, or `tls://` to require TLS
    #[arg(
        long,
        env = "NATS_URL",
        value_name = "URL",
        value_delimiter = ',',
        default_value = "nats://127.0.0.1:4222",
        value_parser = server,
        hide_env_values = true
    )]
    pub nats_url: Vec<ServerAddr>,
    /// Read a user's JWT and seed from this file, as written by `nsc`
    #[arg(long, env = "NATS_CREDS", value_name = "FILE")]
    pub nats_creds: Option<PathBuf>,
    /// Trust the certificate authorities in this PEM file, besides the machine's own
    #[arg(long, env = "NATS_CA", value_name = "FILE")]
    pub nats_ca: Option<PathBuf>,
    /// Consume this stream of events; it is created if missing, else left as it is
    #[arg(long, env = "NATS_STREAM", value_name = "NAME", default_value = "EVENTS", value_parser = name)]
    pub nats_stream: String,
    /// Use this durable consumer, shared by all processes that record into one database; it is created if missing
    #[arg(long, env = "NATS_CONSUMER", value_name = "NAME", default_value = "headcount", value_parser = name)]
    pub nats_consumer: String,
    /// Store dead letters in this stream; it is created if missing
    #[arg(long, env = "NATS_DEAD_LETTERS", value_name = "NAME", default_value = "EVENTS_DEAD", value_parser = name)]
    pub nats_dead_letters: String,
    /// Use this prefix of subjects: devices publish to `PREFIX.SERIAL.events`
    #[arg(long, env = "NATS_PREFIX", value_name = "PREFIX", default_value = "dpu")]
    pub nats_prefix: Subjects,
    /// Store newly created streams on this many servers of a cluster; 3 survive the loss of one server
    #[arg(long, env = "NATS_REPLICAS", value_name = "NUMBER", default_value_t = 1,
        value_parser = clap::value_parser!(u8).range(1..=5))]
    pub nats_replicas: u8,
    /// Redeliver a message after this many seconds without an acknowledgement; applies to a newly created consumer
    #[arg(long, env = "NATS_ACK_WAIT", value_name = "SECONDS", default_value_t = 60,
        value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub nats_ack_wait: u32,
}

impl BrokerConfig {
    pub fn ack_wait(&self) -> Duration {
        Duration::from_secs(self.nats_ack_wait.into())
    }
}

fn server(text: &str) -> Result<ServerAddr, &'static str> {
    // The message does not repeat the text, which may be a part of a password.
    match ServerAddr::from_str(text) {
        Ok(address) if matches!(address.scheme(), "nats" | "tls") && !address.host().is_empty() => {
            Ok(address)
        }
        _ => Err("use nats://HOST:PORT or tls://HOST:PORT, with USER:PASSWORD@ or TOKEN@ before the host, \
                  in which @ : / ? # , are written as %40 %3A %2F %3F %23 %2C"),
    }
}

fn name(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !text.is_empty() && text.bytes().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("use only letters, digits, - and _".to_owned())
    }
}
