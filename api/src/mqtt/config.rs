//! Options of MQTT.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use url::Url;

use super::subscription::Subscription;

/// Connection to an MQTT broker, and the topics to record.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct MqttConfig {
    /// Record from this MQTT broker (3.1.1): `mqtt://[USER:PASSWORD@]HOST[:PORT]`, or `mqtts://` for TLS
    #[arg(long, env = "MQTT_URL", value_name = "URL", hide_env_values = true, requires = "mqtt_subscribe")]
    pub mqtt_url: Option<MqttUrl>,
    /// Record the messages of these topics: FILTER=FORMAT[?SETTING=VALUE&…], such as `v3/+/devices/+/up=ttn`; repeat it, or
    /// separate several by spaces. The formats are those of `POST /devices/{format}`, and `headcount` for its own events
    #[arg(
        long,
        env = "MQTT_SUBSCRIBE",
        value_name = "FILTER=FORMAT",
        value_delimiter = ' ',
        requires = "mqtt_url"
    )]
    pub mqtt_subscribe: Vec<Subscription>,
    /// Name this client so to the broker, which keeps its session; processes need different names
    #[arg(long, env = "MQTT_CLIENT_ID", value_name = "NAME", default_value = "headcount", value_parser = client_id)]
    pub mqtt_client_id: String,
    /// Trust the certificate authorities in this PEM file, besides the machine's own
    #[arg(long, env = "MQTT_CA", value_name = "FILE")]
    pub mqtt_ca: Option<PathBuf>,
}

/// The address of a broker, and what this client shows it.
#[derive(Clone, Debug)]
pub struct MqttUrl {
    pub host: String,
    pub port: u16,
    pub is_tls: bool,
    pub user: Option<(String, SecretString)>,
}

impl fmt::Display for MqttUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "mqtts" } else { "mqtt" };
        write!(formatter, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl FromStr for MqttUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        // The message does not repeat the text, which may be a part of a password.
        const USE: &str = "use mqtt://HOST:PORT or mqtts://HOST:PORT, with USER:PASSWORD@ before the host, in which \
            @ : / ? # % are written as %40 %3A %2F %3F %23 %25";
        let url = Url::parse(text).map_err(|_| USE)?;
        let (is_tls, port) = match url.scheme() {
            "mqtt" => (false, 1883),
            "mqtts" => (true, 8883),
            _ => return Err(USE),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(USE)?;
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(USE);
        }
        let decoded = |text| percent_decode_str(text).decode_utf8().map(String::from).map_err(|_| USE);
        let user = match url.username() {
            "" if url.password().is_some() => return Err(USE),
            "" => None,
            user => Some((decoded(user)?, decoded(url.password().unwrap_or_default())?.into())),
        };
        Ok(Self { host: host.to_owned(), port: url.port().unwrap_or(port), is_tls, user })
    }
}

fn client_id(text: &str) -> Result<String, &'static str> {
    let fits = !text.is_empty() && text.len() <= 200 && !text.chars().any(char::is_control);
    if fits && !text.starts_with(' ') {
        Ok(text.to_owned())
    } else {
        Err("use 1 to 200 bytes, without a space in front")
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn an_address_has_its_port_and_its_password_by_itself() {
        let url: MqttUrl = "mqtts://me:p%40ss@broker.example".parse().unwrap();
        assert_eq!((url.host.as_str(), url.port, url.is_tls), ("broker.example", 8883, true));
        let (user, password) = url.user.clone().unwrap();
        assert_eq!((user.as_str(), password.expose_secret()), ("me", "p@ss"));
        assert!(!format!("{url} {url:?}").contains("p@ss"));
        let url: MqttUrl = "mqtt://[::1]:1884/".parse().unwrap();
        assert_eq!((url.to_string().as_str(), url.user.is_none()), ("mqtt://[::1]:1884", true));
        for text in [
            "",
            "localhost:1883",
            "http://a",
            "mqtt://",
            "mqtt://a/topic",
            "mqtt://a:99999",
            "mqtt://:secret@a",
        ] {
            assert!(text.parse::<MqttUrl>().unwrap_err().starts_with("use mqtt://"), "{text}");
        }
    }
}
