//! MQTT 3.1.1: each report is a message under its DPU's topic with `QoS` 1, acknowledged by the broker.
//!
//! Implements only what a sender needs, without TLS: a load generator on the same machine as the broker.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::report::Report;

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
/// `QoS` 1, neither retained nor repeated.
const PUBLISH: u8 = 0x32;
const PUBACK: u8 = 0x40;

/// A connection to a broker.
pub(crate) struct Mqtt {
    socket: TcpStream,
    timeout: Duration,
}

impl Mqtt {
    /// `broker` is `mqtt://HOST:PORT` or `mqtt://USER:PASSWORD@HOST:PORT`.
    pub(crate) async fn connect(broker: &str, client: &str, timeout: Duration) -> anyhow::Result<Self> {
        let address = broker.strip_prefix("mqtt://").context("invalid broker: use mqtt://HOST:PORT")?;
        let (user, address) = match address.rsplit_once('@') {
            Some((user, address)) => (Some(user.split_once(':').unwrap_or((user, ""))), address),
            None => (None, address),
        };
        let mut socket = tokio::time::timeout(timeout, TcpStream::connect(address)).await??;
        // A clean session without keep-alive.
        let flags = if user.is_some() { 0b1100_0010 } else { 0b0000_0010 };
        let mut body = string("MQTT")?;
        body.extend([4, flags, 0, 0]);
        body.extend(string(client)?);
        if let Some((name, password)) = user {
            body.extend(string(name)?);
            body.extend(string(password)?);
        }
        socket.write_all(&packet(CONNECT, &body)).await?;
        let (kind, answer) = tokio::time::timeout(timeout, read(&mut socket)).await??;
        if kind != CONNACK || answer.get(1) != Some(&0) {
            bail!("the broker refuses the connection: {kind:#x} {answer:?}");
        }
        Ok(Self { socket, timeout })
    }

    /// Publishes reports. Calls `acknowledged` with the place of each that the broker has, and the time it took.
    pub(crate) async fn deliver(
        &mut self,
        reports: &[&Report],
        mut acknowledged: impl FnMut(usize, Duration),
    ) -> anyhow::Result<()> {
        let mut packets = Vec::new();
        for (place, report) in reports.iter().enumerate() {
            let mut body = string(&format!("dpu/{}/events", report.serial))?;
            // Packet identifiers have 16 bits and must not be 0.
            body.extend(u16::try_from(place + 1).context("too many reports at a time")?.to_be_bytes());
            body.extend(report.payload().as_bytes());
            packets.extend(packet(PUBLISH, &body));
        }
        let (mut from, mut to) = self.socket.split();
        let (sent, timeout) = (Instant::now(), self.timeout);
        let read = async {
            for _ in reports {
                match tokio::time::timeout(timeout, read(&mut from)).await?? {
                    (PUBACK, id) if id.len() == 2 => {
                        let place = usize::from(u16::from_be_bytes([id[0], id[1]])).wrapping_sub(1);
                        acknowledged(place, sent.elapsed());
                    }
                    (kind, answer) => bail!("the broker answers {kind:#x} {answer:?}"),
                }
            }
            Ok(())
        };
        tokio::try_join!(async { Ok(to.write_all(&packets).await?) }, read)?;
        Ok(())
    }
}

fn string(text: &str) -> anyhow::Result<Vec<u8>> {
    let mut bytes = u16::try_from(text.len())?.to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    Ok(bytes)
}

/// Returns a packet: its kind, its length in groups of seven bits, lowest first, and its body.
fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let (mut packet, mut rest) = (vec![kind], body.len());
    loop {
        let seven = u8::try_from(rest & 0x7f).unwrap_or_default();
        rest >>= 7;
        packet.push(if rest > 0 { seven | 0x80 } else { seven });
        if rest == 0 {
            packet.extend(body);
            return packet;
        }
    }
}

async fn read(socket: &mut (impl AsyncReadExt + Unpin)) -> anyhow::Result<(u8, Vec<u8>)> {
    let kind = socket.read_u8().await?;
    let (mut length, mut shift) = (0, 0);
    loop {
        let byte = socket.read_u8().await?;
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            break;
        }
        if shift > 21 {
            bail!("the broker sent a packet with an invalid length");
        }
    }
    let mut body = vec![0; length];
    socket.read_exact(&mut body).await?;
    Ok((kind, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn packets_of_any_length_are_read_as_they_were_written() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 100_000] {
            let body = vec![7; length];
            let written = packet(PUBLISH, &body);
            assert_eq!(read(&mut written.as_slice()).await.unwrap(), (PUBLISH, body), "{length}");
        }
    }
}
