//! How the client connects.

use std::sync::Arc;
use std::time::Duration;

use rumqttc::tokio_rustls::rustls::pki_types::CertificateDer;
use rumqttc::tokio_rustls::rustls::pki_types::pem::PemObject;
use rumqttc::tokio_rustls::rustls::{ClientConfig, RootCertStore};
use rumqttc::{
    ConnectReturnCode, ConnectionError, Error, MqttOptions, StateError, TlsConfiguration, Transport,
};
use secrecy::ExposeSecret;

use super::MqttError;
use super::config::{MqttConfig, MqttUrl};

const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Maximum length of a packet. With a longer one the connection fails, and the broker sends it again.
const PACKET_BYTES_MAX: usize = 16 << 20;

/// Returns the options of the client: a session that the broker keeps, and acknowledgements by hand.
pub(super) fn options(
    config: &MqttConfig,
    url: &MqttUrl,
    requests_max: usize,
) -> Result<MqttOptions, MqttError> {
    // An IPv6 address has brackets in a URL only.
    let host = url.host.trim_start_matches('[').trim_end_matches(']');
    let mut options = MqttOptions::new(&config.mqtt_client_id, host, url.port);
    options
        .set_keep_alive(KEEP_ALIVE)
        .set_clean_session(false)
        .set_manual_acks(true)
        .set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX)
        .set_request_channel_capacity(requests_max);
    if let Some((user, password)) = &url.user {
        options.set_credentials(user, password.expose_secret());
    }
    if url.is_tls {
        options.set_transport(Transport::Tls(TlsConfiguration::Rustls(Arc::new(trusting(config)?))));
    }
    Ok(options)
}

/// Returns what a failure means, without what was sent to the broker.
pub(super) fn failure(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(code) => {
            let check = match code {
                ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => {
                    ": check user and password"
                }
                ConnectReturnCode::BadClientId => ": check --mqtt-client-id",
                _ => "",
            };
            format!("it refuses the connection ({code:?}){check}")
        }
        ConnectionError::MqttState(StateError::Deserialization(Error::PayloadSizeLimitExceeded(bytes))) => {
            format!(
                "it sends a message of {bytes} bytes, but at most {PACKET_BYTES_MAX} can be received: messages behind it are                  held up until it is removed from the session of this client. Limit the length of messages at the broker"
            )
        }
        other => other.to_string(),
    }
}

/// Returns the settings of TLS: which certificate authorities are trusted.
fn trusting(config: &MqttConfig) -> Result<ClientConfig, MqttError> {
    let mut roots = RootCertStore::empty();
    // What cannot be read of the machine's own is left out.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = &config.mqtt_ca {
        let unreadable =
            |cause: &dyn std::fmt::Display| MqttError(format!("--mqtt-ca {}: {cause}", file.display()));
        let pem = std::fs::read(file).map_err(|error| unreadable(&error))?;
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<_, _>>()
            .map_err(|error| unreadable(&format!("{error:?}")))?;
        let (added, _) = roots.add_parsable_certificates(certificates);
        if added == 0 {
            return Err(unreadable(&"it has no certificate in PEM"));
        }
    }
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}
