//! A sender's connection, with any of the protocols.

use std::time::{Duration, Instant};

use anyhow::bail;

use crate::http::Http;
use crate::mqtt::Mqtt;
use crate::nats::Nats;
use crate::report::Report;

/// A connection that accepts reports and acknowledges them.
pub(crate) enum Link {
    Http(Http),
    /// Uplinks of LoRaWAN devices, as The Things Stack sends them.
    Uplinks(Http),
    Nats(Nats),
    Mqtt(Mqtt),
}

impl Link {
    /// The scheme of `to` is the protocol: `http://`, `ttn+http://`, `nats://` or `mqtt://`. `client` is the sender's unique name.
    pub(crate) async fn connect(to: &str, client: &str, timeout: Duration) -> anyhow::Result<Self> {
        match to.split("://").next() {
            Some("http") => Ok(Self::Http(Http::new(to, timeout))),
            Some("ttn+http") => Ok(Self::Uplinks(Http::new(to.trim_start_matches("ttn+"), timeout))),
            Some("nats") => Ok(Self::Nats(Nats::connect(to, timeout).await?)),
            Some("mqtt") => Ok(Self::Mqtt(Mqtt::connect(to, client, timeout).await?)),
            _ => bail!("invalid address {to:?}: use http://, ttn+http://, nats:// or mqtt://HOST:PORT"),
        }
    }

    /// Sends reports once. Calls `acknowledged` with the place of each acknowledged one, and the time it took.
    pub(crate) async fn deliver(
        &mut self,
        reports: &[&Report],
        mut acknowledged: impl FnMut(usize, Duration),
    ) -> anyhow::Result<()> {
        match self {
            Self::Http(http) => {
                let sent = Instant::now();
                http.deliver(reports).await?;
                (0..reports.len()).for_each(|place| acknowledged(place, sent.elapsed()));
                Ok(())
            }
            Self::Uplinks(http) => {
                for (place, report) in reports.iter().enumerate() {
                    let sent = Instant::now();
                    for uplink in report.uplinks() {
                        http.deliver_uplink(uplink).await?;
                    }
                    acknowledged(place, sent.elapsed());
                }
                Ok(())
            }
            Self::Nats(nats) => nats.deliver(reports, acknowledged).await,
            Self::Mqtt(mqtt) => mqtt.deliver(reports, acknowledged).await,
        }
    }
}
