//! Where to listen: an address, the name of a host, or sockets passed by systemd.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;

use listenfd::ListenFd;
use tokio::net::TcpListener;

const SYSTEMD: &str = "systemd";

/// Where to listen, as given by the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    Address(SocketAddr),
    /// On all addresses of a host, given as name and port.
    Host(String),
    Systemd,
}

/// Where a process listens: the addresses, and the sockets if they are already open.
#[derive(Debug)]
pub struct Place {
    given: Listen,
    addresses: Vec<SocketAddr>,
    sockets: Vec<std::net::TcpListener>,
}

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("cannot listen on {given}: this host name has no address here ({reason})")]
    Unknown { given: String, reason: String },
    #[error(
        "cannot listen on systemd: it has passed no socket to this process (LISTEN_FDS and LISTEN_PID). Start the \
         service by a socket unit with ListenStream=, or listen on ADDRESS:PORT"
    )]
    NoSockets,
    #[error(
        "cannot listen on socket {number} of systemd: {reason}. Accepted are TCP sockets, such as ListenStream=8000"
    )]
    Socket {
        /// Its position, from 0.
        number: usize,
        reason: io::Error,
    },
    #[error("cannot listen on {address}: {reason}")]
    Bind { address: SocketAddr, reason: io::Error },
}

impl Listen {
    /// Resolves the addresses, and takes the sockets that are already open. Opens none.
    pub async fn find(&self) -> Result<Place, ListenError> {
        let (addresses, sockets) = match self {
            Self::Address(address) => (vec![*address], vec![]),
            Self::Host(host) => {
                let unknown = |reason: String| ListenError::Unknown { given: host.clone(), reason };
                let found =
                    tokio::net::lookup_host(host).await.map_err(|error| unknown(error.to_string()))?;
                let mut addresses: Vec<_> = found.collect();
                addresses.sort_unstable();
                addresses.dedup();
                if addresses.is_empty() {
                    return Err(unknown("the resolver returned none".to_owned()));
                }
                (addresses, vec![])
            }
            Self::Systemd => {
                let sockets = handed_over()?;
                let addresses = sockets.iter().enumerate().map(|(number, socket)| {
                    socket.local_addr().map_err(|reason| ListenError::Socket { number, reason })
                });
                (addresses.collect::<Result<_, _>>()?, sockets)
            }
        };
        Ok(Place { given: self.clone(), addresses, sockets })
    }
}

impl Place {
    pub fn is_loopback(&self) -> bool {
        self.addresses.iter().all(|address| address.ip().is_loopback())
    }

    /// Listens. One of a host's addresses is enough, since not every machine has IPv6.
    pub async fn listen(self) -> Result<Vec<TcpListener>, ListenError> {
        if !self.sockets.is_empty() {
            let listeners = self.sockets.into_iter().enumerate().map(|(number, socket)| {
                let opened = socket.set_nonblocking(true).and_then(|()| TcpListener::from_std(socket));
                opened.map_err(|reason| ListenError::Socket { number, reason })
            });
            return listeners.collect();
        }
        let (mut listeners, mut failed) = (Vec::new(), None);
        for address in self.addresses {
            match TcpListener::bind(address).await {
                Ok(listener) => listeners.push(listener),
                Err(reason) if is_taken(&reason) => return Err(ListenError::Bind { address, reason }),
                Err(reason) => failed = Some(ListenError::Bind { address, reason }),
            }
        }
        match failed {
            Some(failed) if listeners.is_empty() => Err(failed),
            _ => Ok(listeners),
        }
    }
}

/// Returns whether the address is in use or not permitted, rather than missing on this machine.
fn is_taken(reason: &io::Error) -> bool {
    matches!(reason.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
}

fn handed_over() -> Result<Vec<std::net::TcpListener>, ListenError> {
    let mut given = ListenFd::from_env();
    let sockets = (0..given.len()).map(|number| {
        let taken = given.take_tcp_listener(number);
        let missing = || io::Error::other("it was already taken");
        taken
            .and_then(|socket| socket.ok_or_else(missing))
            .map_err(|reason| ListenError::Socket { number, reason })
    });
    let sockets = sockets.collect::<Result<Vec<_>, _>>()?;
    if sockets.is_empty() { Err(ListenError::NoSockets) } else { Ok(sockets) }
}

impl FromStr for Listen {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const ACCEPTED: &str = "use ADDRESS:PORT, such as 127.0.0.1:8000 or [::1]:8000; HOST:PORT, such as \
            localhost:8000; or systemd for the sockets of a socket unit";
        if text == SYSTEMD {
            return Ok(Self::Systemd);
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.' | '_');
        match text.rsplit_once(':') {
            // Without any letter it is a mistyped address, such as 127.0.0.300.
            Some((host, port))
                if port.parse::<u16>().is_ok()
                    && host.contains(|letter: char| letter.is_ascii_alphabetic())
                    && host.chars().all(fits) =>
            {
                Ok(Self::Host(text.to_owned()))
            }
            _ => Err(ACCEPTED),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(formatter),
            Self::Host(host) => formatter.write_str(host),
            Self::Systemd => formatter.write_str(SYSTEMD),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.given, &self.addresses[..]) {
            (Listen::Systemd, [first, ..]) => first.fmt(formatter),
            (given, _) => given.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_a_host_or_systemd() {
        let address = |text: &str| Listen::Address(text.parse().unwrap());
        for (text, listen) in [
            ("127.0.0.1:8000", address("127.0.0.1:8000")),
            ("[::1]:0", address("[::1]:0")),
            ("localhost:8000", Listen::Host("localhost:8000".to_owned())),
            ("db-1.example:80", Listen::Host("db-1.example:80".to_owned())),
            ("systemd", Listen::Systemd),
        ] {
            assert_eq!(text.parse(), Ok(listen.clone()), "{text}");
            assert_eq!(listen.to_string(), text);
        }
        for text in [
            "",
            "8000",
            ":8000",
            "localhost",
            "localhost:",
            "localhost:99999",
            "127.0.0.300:80",
            "a b:80",
            "::1:80",
            "unix:/run/x",
        ] {
            let refused = text.parse::<Listen>().unwrap_err();
            assert!(refused.contains("ADDRESS:PORT") && refused.contains("systemd"), "{text}: {refused}");
        }
    }

    #[tokio::test]
    async fn a_host_is_listened_on_at_its_addresses() {
        let place = "localhost:0".parse::<Listen>().unwrap().find().await.unwrap();
        assert!(place.is_loopback());
        let listeners = place.listen().await.unwrap();
        assert!(listeners.iter().all(|listener| listener.local_addr().unwrap().ip().is_loopback()));
        assert!(!listeners.is_empty());
        let unknown = "nowhere.invalid:80".parse::<Listen>().unwrap().find().await.unwrap_err().to_string();
        assert!(
            unknown.starts_with("cannot listen on nowhere.invalid:80: this host name has no address"),
            "{unknown}"
        );
        let none = Listen::Systemd.find().await.unwrap_err().to_string();
        assert!(none.contains("no socket to this process"), "{none}");
    }
}
