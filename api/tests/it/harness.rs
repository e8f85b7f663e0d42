//! A service for tests: an app on a fresh database, its routes, and a clock that does not advance.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use api::app::{App, Options};
use api::auth::AuthSettings;
use api::clock::Clock;
use api::database::{Database, PoolConfig};
use api::floor_plan::changes::assignment::{self, NewAssignment};
use api::floor_plan::changes::dpu::{self, NewDpu};
use api::floor_plan::changes::space::{self, NewSpace};
use api::http::server::{self, Connections, Site};
use api::ids::PublicIds;
use api::limits::Limits;
use api::timelines::CACHE_BYTES;

use axum::body::Body;
use axum::http::response::Parts;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use entity::assignment::Placement;
use entity::tally::TallyLength;
use entity::{Instant, event, interval, reset, tally};
use futures::{FutureExt, SinkExt, StreamExt};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{ActiveModelTrait, ConnectionTrait, DatabaseBackend, EntityTrait, Statement};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::{OnceCell, oneshot};
use tokio::task::{JoinError, JoinHandle};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tower::ServiceExt;

/// The time of the service's clock, unless a test sets it.
pub(crate) const NOW: &str = "2026-03-01T12:00:00Z";

/// The path of GraphQL.
const GRAPHQL: &str = "/graphql";

/// Runs a test on both backends, and afterwards checks that the tallies equal the events.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread")]
            async fn on_sqlite() {
                let service = $crate::harness::Service::on_sqlite().await;
                super::$name(&service).await;
                service.finish().await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn on_postgres() {
                let Some(service) = $crate::harness::Service::on_postgres().await else { return };
                super::$name(&service).await;
                service.finish().await;
            }
        }
    )*};
}
pub(crate) use on_both;

pub(crate) struct Service {
    pub(crate) app: Arc<App>,
    pub(crate) url: String,
    limits: Limits,
    site: Site,
    recording: JoinHandle<()>,
    now_ms: Arc<AtomicI64>,
    clock_reads: Arc<AtomicUsize>,
    panics: Arc<AtomicBool>,
    statements: Arc<AtomicUsize>,
    storage: Storage,
}

/// The location of the database, and how it is removed.
enum Storage {
    Folder {
        _folder: TempDir,
    },
    Server {
        _database: ServerDatabase,
    },
    /// A schema in another test's database, removed with that database.
    Schema,
}

/// A database of the PostgreSQL server, dropped with this, also when a test panics.
struct ServerDatabase {
    admin_url: String,
    name: String,
}

impl Drop for ServerDatabase {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let admin_url = std::mem::take(&mut self.admin_url);
        // On a thread of its own: this one may be a runtime's.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { administer(&admin_url, &drop).await });
        });
        dropping.join().ok();
    }
}

/// Runs a statement that no transaction may hold.
async fn administer(admin_url: &str, statement: &str) {
    let admin = Database::connect(admin_url).await.unwrap();
    admin.reader().execute_unprepared(statement).await.unwrap();
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// An existing empty database, for tests that run the migrations.
pub(crate) struct Empty {
    pub(crate) url: String,
    storage: Storage,
}

impl Empty {
    pub(crate) fn on_sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("test.db").display());
        Self { url, storage: Storage::Folder { _folder: folder } }
    }

    /// `None`, with a visible message, if there is no server and none is required.
    pub(crate) async fn on_postgres() -> Option<Self> {
        Some(Self::on_server(postgres_url().await?, "").await)
    }

    /// Like [`on_postgres`](Self::on_postgres), with the schema: a copy of one database that was migrated for all tests.
    async fn migrated_on_postgres() -> Option<Self> {
        static TEMPLATE: OnceCell<String> = OnceCell::const_new();
        let admin_url = postgres_url().await?;
        let template = TEMPLATE.get_or_init(async || {
            drop_left_over(admin_url).await;
            let name = format!("{DATABASES}{}_template", std::process::id());
            administer(admin_url, &format!("CREATE DATABASE {name}")).await;
            let database = Database::connect(&url_of(admin_url, &name)).await.unwrap();
            database.closed_after(async |database: Database| database.migrate().await).await.unwrap();
            name
        });
        Some(Self::on_server(admin_url, &format!("TEMPLATE {}", template.await)).await)
    }

    async fn on_server(admin_url: &str, options: &str) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("{DATABASES}{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        administer(admin_url, &format!("CREATE DATABASE {name} {options}")).await;
        let url = url_of(admin_url, &name);
        let database = ServerDatabase { admin_url: admin_url.to_owned(), name };
        Self { url, storage: Storage::Server { _database: database } }
    }

    /// Creates another one in a schema of its own in the same PostgreSQL database, instead of the schema `public`.
    pub(crate) async fn in_schema(&self, name: &str) -> Self {
        let database = Database::connect(&self.url).await.unwrap();
        database.writer().execute_unprepared(&format!("CREATE SCHEMA \"{name}\"")).await.unwrap();
        Self { url: format!("{}?options=-csearch_path%3D%22{name}%22", self.url), storage: Storage::Schema }
    }

    pub(crate) async fn remove(self) {
        tokio::task::spawn_blocking(move || drop(self)).await.unwrap();
    }
}

/// What the names of all databases of tests start with, followed by the process's id.
const DATABASES: &str = "headcount_test_";

fn url_of(admin_url: &str, name: &str) -> String {
    format!("{}/{name}", admin_url.rsplit_once('/').unwrap().0)
}

/// Returns the URL of the PostgreSQL server. `None`, with a visible message, if no server answers and the tests may do
/// without.
async fn postgres_url() -> Option<&'static str> {
    // Checked once for all tests, because each would wait for the timeout.
    static CHECKED: OnceCell<(String, Option<String>)> = OnceCell::const_new();
    let checked = CHECKED.get_or_init(async || {
        let url = std::env::var("TEST_POSTGRES_URL")
            .unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/postgres".to_owned());
        match tokio::time::timeout(Duration::from_secs(5), Database::connect(&url)).await {
            Ok(Ok(_)) => (url, None),
            problem => (url, Some(format!("{problem:?}"))),
        }
    });
    let (url, problem) = checked.await;
    if let Some(problem) = problem {
        assert!(std::env::var("TEST_POSTGRES_REQUIRED").is_err(), "PostgreSQL is required: {problem}");
        say_once("PostgreSQL was left out: no server at TEST_POSTGRES_URL or on the local default port");
        return None;
    }
    Some(url)
}

/// Drops the databases of processes that no longer run: the template outlives its process, and a process may be killed.
async fn drop_left_over(admin_url: &str) {
    let admin = Database::connect(admin_url).await.unwrap();
    let names = format!("SELECT datname FROM pg_database WHERE datname LIKE '{DATABASES}%'");
    let names = Statement::from_string(DatabaseBackend::Postgres, names);
    for row in admin.reader().query_all_raw(names).await.unwrap() {
        let name: String = row.try_get_by_index(0).unwrap();
        let process = name[DATABASES.len()..].split('_').next().unwrap_or_default();
        if !std::path::Path::new("/proc").join(process).exists() {
            // Another process may drop it at the same time.
            admin
                .reader()
                .execute_unprepared(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
                .await
                .ok();
        }
    }
}

/// Bypasses the test runner, which hides the output of passing tests.
pub(crate) fn say_once(line: &str) {
    static SAID: std::sync::Once = std::sync::Once::new();
    SAID.call_once(|| std::io::stderr().write_all(format!("\n*** {line} ***\n").as_bytes()).unwrap());
}

impl Service {
    pub(crate) async fn on_sqlite() -> Self {
        Self::within(Limits::default()).await
    }

    /// Starts a service on SQLite with non-default limits.
    pub(crate) async fn within(limits: Limits) -> Self {
        Self::start(Empty::on_sqlite(), limits).await
    }

    pub(crate) async fn on_postgres() -> Option<Self> {
        Some(Self::start(Empty::migrated_on_postgres().await?, Limits::default()).await)
    }

    pub(crate) async fn start(empty: Empty, limits: Limits) -> Self {
        Self::begin(empty, PoolConfig::default(), limits, Options::new(CACHE_BYTES)).await
    }

    /// Like [`start`](Self::start), with this scheme of row ids and this timeout of the pool.
    pub(crate) async fn start_with(empty: Empty, ids: PublicIds, pool: PoolConfig) -> Self {
        Self::begin(empty, pool, Limits::default(), Options { ids, ..Options::new(CACHE_BYTES) }).await
    }

    /// Like [`start`](Self::start), with these settings of authorization.
    pub(crate) async fn guarded(empty: Empty, auth: AuthSettings) -> Self {
        let options = Options { auth, ..Options::new(CACHE_BYTES) };
        Self::begin(empty, PoolConfig::default(), Limits::default(), options).await
    }

    async fn begin(
        Empty { url, storage }: Empty,
        pool: PoolConfig,
        limits: Limits,
        options: Options,
    ) -> Self {
        let mut database = Database::connect_with(&url, pool).await.unwrap();
        database.migrate().await.unwrap();
        let statements = Arc::new(AtomicUsize::new(0));
        let (count, panics) = (Arc::clone(&statements), Arc::<AtomicBool>::default());
        let panicking = Arc::clone(&panics);
        database.on_statement(move |_| {
            assert!(!panicking.load(Ordering::SeqCst), "a bug in the use of a statement");
            count.fetch_add(1, Ordering::SeqCst);
        });
        let now_ms = Arc::new(AtomicI64::new(at(NOW).ms()));
        let clock_reads = Arc::<AtomicUsize>::default();
        let (shown, reads, panicking) = (Arc::clone(&now_ms), Arc::clone(&clock_reads), Arc::clone(&panics));
        let clock = Clock::from_fn(move || {
            reads.fetch_add(1, Ordering::SeqCst);
            assert!(!panicking.load(Ordering::SeqCst), "a bug in the use of the clock");
            Instant::from_ms(shown.load(Ordering::SeqCst))
        });
        let (app, recording) = App::start_with(database, clock, options);
        app.coherence.begins().await;
        let site = server::site(&app, &limits);
        Self { app, url, limits, site, recording, now_ms, clock_reads, panics, statements, storage }
    }

    /// Checks that the tallies equal the events and digests, stops the service and removes the database.
    pub(crate) async fn finish(self) {
        self.end().await.unwrap();
    }

    /// Like [`finish`](Self::finish), but the recorder may have panicked; returns its panic.
    pub(crate) async fn end(self) -> Result<(), JoinError> {
        self.assert_tallies_equal_events().await;
        let Self { app, site, recording, storage, url, .. } = self;
        drop((app, site));
        let recorded = recording.await;
        Empty { url, storage }.remove().await;
        recorded
    }

    pub(crate) fn set_now(&self, now: &str) {
        self.now_ms.store(at(now).ms(), Ordering::SeqCst);
    }

    /// Makes everything that reads the clock or runs a statement panic, or stops doing so.
    pub(crate) fn set_panics(&self, panics: bool) {
        self.panics.store(panics, Ordering::SeqCst);
    }

    /// Returns how often the clock was read.
    pub(crate) fn clock_reads(&self) -> usize {
        self.clock_reads.load(Ordering::SeqCst)
    }

    /// Returns how many SQL statements `work` runs.
    pub(crate) async fn statements_of<T>(&self, work: impl Future<Output = T>) -> usize {
        let before = self.statements.load(Ordering::SeqCst);
        work.await;
        self.statements.load(Ordering::SeqCst) - before
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        self.app.database.backend() == DatabaseBackend::Sqlite
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let (head, body) = self.send_for_bytes(request).await;
        Answer { status: head.status, headers: head.headers, body: String::from_utf8(body).unwrap() }
    }

    /// Like [`send`](Self::send), for answers that are not text.
    pub(crate) async fn send_for_bytes(&self, mut request: Request<Body>) -> (Parts, Vec<u8>) {
        // HTTP/1.1 clients send this header by themselves.
        request.headers_mut().entry("host").or_insert(HeaderValue::from_static("localhost"));
        let response = self.site.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        (head, axum::body::to_bytes(body, usize::MAX).await.unwrap().into())
    }

    /// Serves on a port of its own, and opens a WebSocket that is ready for subscriptions.
    pub(crate) async fn socket(&self) -> Socket {
        self.socket_at(GRAPHQL).await
    }

    /// Like [`socket`](Self::socket), at this path.
    pub(crate) async fn socket_at(&self, path: &str) -> Socket {
        let mut socket = self.raw_socket_at(path, &[]).await.unwrap();
        socket.send(json!({ "type": "connection_init" })).await;
        assert_eq!(socket.next().await["type"], "connection_ack");
        socket
    }

    /// Serves on a port of its own until the handle is aborted.
    pub(crate) async fn listen(&self) -> (SocketAddr, JoinHandle<()>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (site, connections) = (self.site.clone(), Connections::new(&self.limits));
        let serving = async move { connections.accept(listener, site, std::future::pending()).await };
        (address, tokio::spawn(serving))
    }

    /// Serves on a port of its own until the sender says to stop, as the binary does. Then reports how it stopped.
    pub(crate) async fn serve(self) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<server::Stopped>, Empty) {
        let Self { app, url, limits, site, recording, storage, .. } = self;
        drop(site);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = oneshot::channel();
        let serving = async move {
            let stopping = async { stopping.await.unwrap() };
            let site = server::site(&app, &limits);
            server::serve(listener, app, site, recording, &limits, stopping).await
        };
        (address, stop, tokio::spawn(serving), Empty { url, storage })
    }

    /// Like [`socket`](Self::socket), before the handshake of its protocol.
    pub(crate) async fn raw_socket(&self) -> Socket {
        self.raw_socket_with(&[]).await.unwrap()
    }

    /// Like [`raw_socket`](Self::raw_socket), with these headers. Returns the status if the server refuses.
    pub(crate) async fn raw_socket_with(
        &self,
        headers: &[(&'static str, &str)],
    ) -> Result<Socket, StatusCode> {
        self.raw_socket_at(GRAPHQL, headers).await
    }

    async fn raw_socket_at(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Socket, StatusCode> {
        let (address, server) = self.listen().await;
        match Socket::to_with(address, path, headers).await {
            Ok(mut socket) => {
                socket.server = Some(server);
                Ok(socket)
            }
            Err(Error::Http(response)) => {
                server.abort();
                Err(response.status())
            }
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// Returns the count by REST; the request must succeed.
    pub(crate) async fn count(&self, space: i64, ts: &str) -> i64 {
        let answer = self.get(&format!("/space/{space}/count?ts={}", ts.replace('+', "%2B"))).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.json()["count"].as_i64().unwrap()
    }

    /// Returns the answer to a GraphQL request.
    pub(crate) async fn ask(&self, query: &str, variables: Value) -> Value {
        let body = json!({ "query": query, "variables": variables }).to_string();
        let request = Request::post("/graphql").header("content-type", "application/json");
        let answer = self.send(request.body(body.into()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.json()
    }

    /// Returns the data of a GraphQL answer that must have no errors.
    pub(crate) async fn data(&self, query: &str, variables: Value) -> Value {
        let mut answer = self.ask(query, variables).await;
        assert!(answer.get("errors").is_none(), "{answer:#}");
        answer["data"].take()
    }

    /// Returns the payload of an `ingest` mutation with these events.
    pub(crate) async fn ingest(&self, events: Value) -> Value {
        let query = "mutation ($events: [EventInput!]!) {
            ingest(events: $events) { accepted duplicates rejected { index code message } }
        }";
        self.data(query, json!({ "events": events })).await["ingest"].take()
    }

    pub(crate) async fn space(&self, name: &str) -> i64 {
        let new = NewSpace { name: name.to_owned(), ..NewSpace::default() };
        self.app
            .state
            .change(&self.app.clock, |transaction, now| space::create(transaction, new, now).boxed())
            .await
            .unwrap()
            .id
    }

    pub(crate) async fn dpu(&self, serial: &str) -> i64 {
        let new =
            NewDpu { serial: serial.to_owned(), name: Some(format!("DPU {serial}")), ..NewDpu::default() };
        self.app
            .state
            .change(&self.app.clock, |transaction, now| dpu::create(transaction, new, now).boxed())
            .await
            .unwrap()
            .id
    }

    pub(crate) async fn assign(
        &self,
        dpu_id: i64,
        space_id: i64,
        placement: Placement,
        starts_at: Option<Instant>,
        ends_at: Option<Instant>,
    ) -> i64 {
        let new = NewAssignment { dpu_id, space_id, placement, doorway: None, starts_at, ends_at };
        self.app
            .state
            .change(&self.app.clock, |transaction, now| assignment::create(transaction, new, now).boxed())
            .await
            .unwrap()
            .id
    }

    pub(crate) async fn reset(&self, space_id: i64, ts: Instant, count: i32) {
        let row = reset::ActiveModel {
            id: NotSet,
            space_id: Set(space_id),
            ts: Set(ts),
            count: Set(count),
            note: Set(None),
            created: Set(self.app.clock.now()),
            modified: Set(self.app.clock.now()),
        };
        let insert = self.app.state.change(&self.app.clock, |transaction, _| {
            async move { Ok(row.insert(transaction).await?) }.boxed()
        });
        insert.await.unwrap();
    }

    pub(crate) async fn stored_events(&self) -> Vec<event::Model> {
        event::Entity::find().all(self.app.database.reader()).await.unwrap()
    }

    async fn assert_tallies_equal_events(&self) {
        let mut expected = std::collections::BTreeMap::new();
        for event in self.stored_events().await.into_iter().filter(|event| event.void.is_none()) {
            for resolution in TallyLength::ALL {
                let key = (event.dpu_id, resolution, resolution.bucket(event.ts));
                let (toward, away) = expected.entry(key).or_insert((0, 0));
                *(if event.direction == event::Direction::Toward { toward } else { away }) += 1;
            }
        }
        let intervals = interval::Entity::find().all(self.app.database.reader()).await.unwrap();
        let counted =
            |interval: &interval::Model| interval.void.is_none() && interval.toward + interval.away > 0;
        for interval in intervals.into_iter().filter(counted) {
            for resolution in TallyLength::ALL {
                let key = (interval.dpu_id, resolution, resolution.bucket(interval.ends.just_before()));
                let (toward, away) = expected.entry(key).or_insert((0, 0));
                (*toward, *away) = (*toward + interval.toward, *away + interval.away);
            }
        }
        let tallies = tally::Entity::find().all(self.app.database.reader()).await.unwrap();
        let found: std::collections::BTreeMap<_, _> = tallies
            .into_iter()
            .filter(|tally| tally.toward + tally.away > 0)
            .map(|tally| ((tally.dpu_id, tally.resolution, tally.bucket), (tally.toward, tally.away)))
            .collect();
        assert_eq!(found, expected, "the tallies differ from the events");
    }
}

/// A WebSocket and its server, which stops with it.
pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    server: Option<JoinHandle<()>>,
}

impl Socket {
    /// Opens a WebSocket to a server that was started elsewhere.
    pub(crate) async fn to(address: SocketAddr) -> Result<Self, tungstenite::Error> {
        Self::to_with(address, GRAPHQL, &[]).await
    }

    async fn to_with(
        address: SocketAddr,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, tungstenite::Error> {
        let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (stream, _) = tokio_tungstenite::connect_async(request).await?;
        Ok(Self { stream, server: None })
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.stream.send(Message::text(message.to_string())).await.unwrap();
    }

    /// Returns the next message; the test fails after a while without one.
    pub(crate) async fn next(&mut self) -> Value {
        self.next_or_end().await.expect("a message")
    }

    /// Returns the next message, or `None` if the server has closed the connection.
    pub(crate) async fn next_or_end(&mut self) -> Option<Value> {
        loop {
            let next = tokio::time::timeout(Duration::from_secs(20), self.stream.next());
            match next.await.expect("no message came") {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(text.as_str()).unwrap()),
                Some(Ok(Message::Close(frame))) => {
                    return frame.map(
                        |frame| json!({ "close": u16::from(frame.code), "reason": frame.reason.as_str() }),
                    );
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// Starts a subscription.
    pub(crate) async fn subscribe(&mut self, id: &str, query: &str, variables: Value) {
        let payload = json!({ "query": query, "variables": variables });
        self.send(json!({ "type": "subscribe", "id": id, "payload": payload })).await;
    }

    /// Returns the data of the next message of a subscription.
    pub(crate) async fn data(&mut self, id: &str) -> Value {
        let mut message = self.next().await;
        assert_eq!((&message["type"], &message["id"]), (&json!("next"), &json!(id)), "{message}");
        assert!(message["payload"].get("errors").is_none(), "{message}");
        message["payload"]["data"].take()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// Parses an instant.
pub(crate) fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

/// Waits until `so` returns true; the test fails after a while.
pub(crate) async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .unwrap_or_else(|_| panic!("in vain: {what}"));
}

/// Runs one statement, and returns the error if the database refuses it.
pub(crate) async fn refusal(database: &Database, sql: &str) -> Option<String> {
    let statement = Statement::from_string(database.backend(), sql);
    let transaction = database.begin().await.unwrap();
    let refused = transaction.execute_raw(statement).await.err().map(|error| error.to_string());
    transaction.rollback().await.unwrap();
    refused
}
