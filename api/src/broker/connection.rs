//! The connection to NATS.
//!
//! The client library reconnects by itself, for as long as it takes. This module configures it and reports changes of
//! the connection. Passwords are never logged.

use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use percent_encoding::percent_decode_str;

use super::status::Watched;
use super::{BrokerConfig, BrokerError};

/// Interval of pings, by which a dead connection is detected.
const PING_EVERY: Duration = Duration::from_secs(10);
/// First version of NATS that does not lose a stream when it is killed.
const SAFE: [u32; 3] = [2, 10, 23];

/// Connects, without retries.
pub(super) async fn connect(config: &BrokerConfig, status: &Watched) -> Result<Client, BrokerError> {
    let watched = status.clone();
    let mut options =
        ConnectOptions::new().name("headcount").ping_interval(PING_EVERY).event_callback(move |event| {
            tell(&watched, &event);
            std::future::ready(())
        });
    if let Some(file) = &config.nats_creds {
        options = options.credentials_file(file).await.map_err(|error| {
            BrokerError::Unusable(format!("the credentials in {} cannot be read: {error}", file.display()))
        })?;
    }
    if let Some(file) = &config.nats_ca {
        options = options.add_root_certificates(file.clone());
    }
    let mut servers = Vec::new();
    for server in &config.nats_url {
        // The client library does not decode the percent-encoding of URLs.
        let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
        options = match (server.username(), server.password()) {
            (Some(user), Some(password)) => options.user_and_password(decoded(user), decoded(password)),
            (Some(token), None) => options.token(decoded(token)),
            (None, _) => options,
        };
        // The client library logs addresses, so they must not contain passwords.
        servers.push(bare(server)?);
    }
    let names =
        servers.iter().map(|server| format!("{}:{}", server.host(), server.port())).collect::<Vec<_>>();
    let names = names.join(", ");
    let client = options.connect(servers).await.map_err(|error| match error.kind() {
        ConnectErrorKind::Dns
        | ConnectErrorKind::TimedOut
        | ConnectErrorKind::Io
        | ConnectErrorKind::MaxReconnects => {
            BrokerError::Failed { doing: "answer", cause: format!("{error} ({names})").into() }
        }
        _ => BrokerError::Unusable(format!("the NATS server at {names} refused the connection: {error}")),
    })?;
    let version = client.server_info().version;
    tracing::info!("connected to NATS {version} at {names}");
    Ok(client)
}

/// Returns the address without user and password.
fn bare(server: &ServerAddr) -> Result<ServerAddr, BrokerError> {
    let address = format!(
        "{}://{}",
        server.scheme(),
        match server.host() {
            host if host.contains(':') => format!("[{host}]:{}", server.port()),
            host => format!("{host}:{}", server.port()),
        }
    );
    address.parse().map_err(|error| BrokerError::Unusable(format!("invalid address {address}: {error}")))
}

fn tell(status: &Watched, event: &Event) {
    match event {
        Event::Connected => status.connected(true),
        Event::Disconnected => {
            status.connected(false);
            tracing::warn!("the connection to NATS is lost");
        }
        Event::Closed => status.connected(false),
        Event::ServerError(error) => tracing::warn!(%error, "NATS reported an error"),
        Event::SlowConsumer(_) => tracing::warn!("received messages were dropped: NATS will redeliver them"),
        Event::ClientError(error) => tracing::debug!(%error, "NATS cannot be reached"),
        Event::LameDuckMode | Event::Draining => tracing::info!("NATS: {event}"),
    }
}

/// Returns a warning if this version of NATS can lose data.
pub(super) fn version_warning(version: &str) -> Option<String> {
    let numbers = version.split(['.', '-', '+']).map(str::parse).map_while(Result::ok);
    let numbers: Vec<u32> = numbers.take(3).collect();
    (numbers.as_slice() < SAFE.as_slice()).then(|| {
        format!(
            "NATS {version} can lose a whole stream, including acknowledged events, when it is killed or loses power: \
             use 2.10.23 or newer"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_can_lose_data_give_a_warning() {
        for version in ["2.9.10", "2.10.22", "2.10.9-RC.1", "1.99.99", "2.10", ""] {
            assert!(version_warning(version).is_some(), "{version}");
        }
        for version in ["2.10.23", "2.10.24-RC.1", "2.11.0", "3.0.0"] {
            assert_eq!(version_warning(version), None, "{version}");
        }
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        for (server, expected) in [
            ("nats://u:p%40@example.org", "nats://example.org:4222"),
            ("tls://u:p@[::1]:4333", "tls://[::1]:4333"),
            ("nats://token@example.org:4223", "nats://example.org:4223"),
        ] {
            let bare = bare(&server.parse().unwrap()).unwrap();
            assert_eq!(bare.as_url_str().trim_end_matches('/'), expected);
        }
    }
}
