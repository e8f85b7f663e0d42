//! Accepts connections, enforces their timeouts, and ends them when the server stops.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::Site;
use super::addresses::{Addresses, Counted};
use super::connection::{self, Look, Pulse};
use super::listeners::Listeners;
use crate::app::App;
use crate::limits::{Limits, seconds};

/// Interval of the sweeps over all connections. A timeout may be exceeded by this much.
const SWEEP: Duration = Duration::from_secs(1);
/// Delay before accepting again after an error of the operating system.
const REFUSED: Duration = Duration::from_millis(100);
/// Maximum length of a request's head, and size of the buffer for an unread answer, in bytes.
const BUFFER_BYTES: usize = 64 << 10;

/// Serves the site of the app until `stop` resolves. Then stops accepting, finishes accepted requests, and records
/// received events, within the time limit. Remaining connections are dropped.
///
/// `recording` ends when the last clone of the app has been dropped and all received events are recorded.
pub async fn serve(
    listeners: impl Into<Listeners>,
    app: Arc<App>,
    site: Site,
    mut recording: JoinHandle<()>,
    limits: &Limits,
    stop: impl Future<Output = ()>,
) -> Stopped {
    let tells_peers = app.auth.settings().address_rate.is_some();
    let (connections, feed) =
        (Connections { tells_peers, ..Connections::new(limits) }, Arc::clone(&app.feed));
    drop(app);
    connections.accept(listeners, site, stop).await;
    feed.stop();
    connections.finish();
    // The last request drops the last clone of the app. Then the received events are recorded.
    let stop_timeout = seconds(limits.stop_timeout_s);
    if let Ok(recorded) = timeout(stop_timeout, &mut recording).await {
        return if recorded.is_ok() { Stopped::Finished } else { Stopped::Unrecorded };
    }
    let dropped = connections.cut();
    tracing::warn!(dropped, "dropping connections that did not end within {} seconds", limits.stop_timeout_s);
    // Events that those requests had sent are still recorded.
    match timeout(stop_timeout, recording).await {
        Ok(Ok(())) => Stopped::Dropped,
        Ok(Err(_)) | Err(_) => Stopped::Unrecorded,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Stopped {
    Finished,
    /// Connections that did not end in time were dropped. All received events are recorded.
    Dropped,
    /// Received events were not recorded, or not in time. They were not acknowledged.
    Unrecorded,
}

/// The open connections, each with the snapshot of its state at the last sweep.
pub struct Connections {
    limits: Limits,
    http: http1::Builder,
    places: Arc<Semaphore>,
    addresses: Addresses,
    tells_peers: bool,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    connections: HashMap<u64, (Arc<Pulse>, Look)>,
}

impl Connections {
    pub fn new(limits: &Limits) -> Self {
        let mut http = http1::Builder::new();
        // A client that has sent its whole request may say so, and still wants the answer.
        http.max_buf_size(BUFFER_BYTES).half_close(true);
        let places = Arc::new(Semaphore::new(limits.connections as usize));
        let addresses = Addresses::new(limits.connections_per_address());
        Self { limits: *limits, http, places, addresses, tells_peers: false, open: Arc::default() }
    }

    /// Accepts connections and enforces their timeouts until `stop` resolves.
    pub async fn accept(&self, listeners: impl Into<Listeners>, site: Site, stop: impl Future<Output = ()>) {
        let listeners = listeners.into();
        let mut stop = pin!(stop);
        let mut sweeps = interval(SWEEP);
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                accepted = self.next(&listeners) => match accepted {
                    Ok((stream, peer, place)) => self.begin(stream, peer, place, site.clone()),
                    Err(error) => refused(&error).await,
                },
                _ = sweeps.tick() => self.sweep(Instant::now()),
                () = &mut stop => return,
            }
        }
    }

    /// Returns the next connection, once the number of connections permits it.
    async fn next(&self, listeners: &Listeners) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, peer) = listeners.accept().await?;
        // Answers are sent without delay.
        stream.set_nodelay(true)?;
        Ok((stream, peer, place))
    }

    /// Serves a connection, or drops it if its address has the maximum number.
    fn begin(&self, stream: TcpStream, peer: SocketAddr, place: OwnedSemaphorePermit, site: Site) {
        let Some(counted) = self.addresses.count(peer.ip()) else { return };
        let (http, pulse) = (self.http.clone(), Arc::new(Pulse::default()));
        let entered = Entered::new(&self.open, Arc::clone(&pulse), place, counted);
        let peer = self.tells_peers.then_some(peer);
        tokio::spawn(async move {
            connection::serve(&http, stream, peer, site, pulse).await;
            drop(entered);
        });
    }

    /// Drops connections that exceed a timeout.
    fn sweep(&self, now: Instant) {
        let mut open = lock(&self.open);
        for (pulse, look) in open.connections.values_mut() {
            if pulse.is_late(look, now, &self.limits) {
                pulse.cut();
            }
        }
    }

    fn finish(&self) {
        lock(&self.open).connections.values().for_each(|(pulse, _)| pulse.finish());
    }

    /// Ends all connections immediately, and returns their number.
    fn cut(&self) -> usize {
        let open = lock(&self.open);
        open.connections.values().for_each(|(pulse, _)| pulse.cut());
        open.connections.len()
    }
}

/// Entry of an open connection, which removes itself when it is dropped.
struct Entered {
    open: Arc<Mutex<Open>>,
    number: u64,
    _place: OwnedSemaphorePermit,
    _counted: Counted,
}

impl Entered {
    fn new(
        open: &Arc<Mutex<Open>>,
        pulse: Arc<Pulse>,
        place: OwnedSemaphorePermit,
        counted: Counted,
    ) -> Self {
        let mut entries = lock(open);
        let number = entries.next;
        entries.next += 1;
        entries.connections.insert(number, (pulse, Look::new(Instant::now())));
        drop(entries);
        Self { open: Arc::clone(open), number, _place: place, _counted: counted }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        lock(&self.open).connections.remove(&self.number);
    }
}

fn lock(open: &Mutex<Open>) -> std::sync::MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits if the operating system lacks the resources to accept connections.
async fn refused(error: &io::Error) {
    use ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput, NotConnected};
    // The client has disconnected.
    if [ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput, NotConnected]
        .contains(&error.kind())
    {
        return;
    }
    tracing::error!(%error, "cannot accept connections");
    sleep(REFUSED).await;
}
