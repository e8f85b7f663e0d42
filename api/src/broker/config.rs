//! What the command line and the environment decide about the broker.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use async_nats::ServerAddr;

use super::Subjects;

/// How to reach NATS, and what everything is called there.
#[derive(Clone, Debug, clap::Args)]
pub struct BrokerConfig {
    /// The NATS servers, separated by commas: `nats://[USER:PASSWORD@]HOST[:PORT]`, with `TOKEN@` for a
    /// token, or `tls://` to demand TLS
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
    /// A file with a user's JWT and seed, as `nsc` writes it
    #[arg(long, env = "NATS_CREDS", value_name = "FILE")]
    pub nats_creds: Option<PathBuf>,
    /// A file with the certificates of authorities to trust beside the machine's own (PEM)
    #[arg(long, env = "NATS_CA", value_name = "FILE")]
    pub nats_ca: Option<PathBuf>,
    /// The stream of events; made if it is not there, left as it is if it is
    #[arg(long, env = "NATS_STREAM", value_name = "NAME", default_value = "EVENTS", value_parser = name)]
    pub nats_stream: String,
    /// The durable consumer, which all processes share that record into one database; made if it is not there
    #[arg(long, env = "NATS_CONSUMER", value_name = "NAME", default_value = "headcount", value_parser = name)]
    pub nats_consumer: String,
    /// The stream of dead letters; made if it is not there
    #[arg(long, env = "NATS_DEAD_LETTERS", value_name = "NAME", default_value = "EVENTS_DEAD", value_parser = name)]
    pub nats_dead_letters: String,
    /// What subjects begin with: devices publish to `PREFIX.SERIAL.events`
    #[arg(long, env = "NATS_PREFIX", value_name = "PREFIX", default_value = "dpu")]
    pub nats_prefix: Subjects,
    /// On how many servers of a cluster streams are kept that are made; 3 outlive the loss of one server
    #[arg(long, env = "NATS_REPLICAS", value_name = "NUMBER", default_value_t = 1,
        value_parser = clap::value_parser!(u8).range(1..=5))]
    pub nats_replicas: u8,
    /// After how many seconds without an acknowledgement a message is given to somebody else, for a consumer that is
    /// made
    #[arg(long, env = "NATS_ACK_WAIT", value_name = "SECONDS", default_value_t = 60,
        value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub nats_ack_wait: u32,
}

impl BrokerConfig {
    /// After what time without an acknowledgement a message is given to somebody else.
    pub fn ack_wait(&self) -> Duration {
        Duration::from_secs(self.nats_ack_wait.into())
    }
}

fn server(text: &str) -> Result<ServerAddr, &'static str> {
    // Nothing of the text is told: it may be a part of a password.
    match ServerAddr::from_str(text) {
        Ok(address) if matches!(address.scheme(), "nats" | "tls") && !address.host().is_empty() => {
            Ok(address)
        }
        _ => Err(
            "a server is written nats://HOST:PORT or tls://HOST:PORT, with USER:PASSWORD@ or TOKEN@ before the host, \
                  in which @ : / ? # , are written as %40 %3A %2F %3F %23 %2C",
        ),
    }
}

fn name(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !text.is_empty() && text.bytes().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("a name is made of letters, digits, - and _".to_owned())
    }
}
