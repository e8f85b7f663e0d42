//! Observability: request ids, metrics, the log, and traces.
//!
//! The log and traces are tested on a process of its own: the binary.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use axum::routing::post;
use entity::assignment::Placement;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AttributeValue;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::harness::{Empty, Service, on_both};

async fn a_request_keeps_its_id_or_gets_one(service: &Service) {
    let with = async |id: &str| {
        let request = Request::get("/healthz").header("x-request-id", id).body(Body::empty()).unwrap();
        service.send(request).await.header("x-request-id").to_owned()
    };
    assert_eq!(with("a-well_formed.1d").await, "a-well_formed.1d");
    for id in ["not well formed", "<script>", &"x".repeat(65)] {
        assert_eq!(with(id).await.len(), 16, "{id}");
    }
    let first = service.get("/nowhere").await;
    let second = service.get("/nowhere").await;
    assert_eq!(first.status, StatusCode::NOT_FOUND);
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
}

async fn internal_errors_name_the_request(service: &Service) {
    service.dpu("1").await;
    let rename = async |from: &str, to: &str| {
        let transaction = service.app.database.begin().await.unwrap();
        transaction.execute_unprepared(&format!("ALTER TABLE {from} RENAME TO {to}")).await.unwrap();
        transaction.commit().await.unwrap();
    };
    rename("event", "mislaid").await;
    let request = Request::post("/graphql")
        .header("content-type", "application/json")
        .header("x-request-id", "mine")
        .body(r#"{"query":"{ dpu(serial: \"1\") { lastEvent { ts } } }"}"#.into())
        .unwrap();
    let answer = service.send(request).await;
    let extensions = &answer.json()["errors"][0]["extensions"];
    assert_eq!(extensions, &json!({ "code": "INTERNAL", "requestId": "mine" }), "{}", answer.body);
    assert_eq!(answer.header("x-request-id"), "mine");
    rename("mislaid", "event").await;
}

async fn everything_is_counted(service: &Service) {
    let before = Metrics::of(service).await;
    let space = service.space("Hall").await;
    let dpu = service.dpu("1").await;
    service.assign(dpu, space, Placement::Inside, None, None).await;
    let event = |ts: &str, dpu: &str| json!({ "dpu": dpu, "ts": ts, "direction": "TOWARD" });
    let crossing = event("2026-03-01T11:59:50Z", "1");
    service.ingest(json!([crossing, crossing, event("2026-03-01T11:59:50Z", "9")])).await;
    service.count(space, "2026-03-01T11:59:55Z").await;
    service.count(space, "2025-01-01").await;
    service.get("/space/77/count").await;
    service.ask("{ nothing }", Value::Null).await;
    let mut socket = service.socket().await;
    socket.subscribe("1", "subscription { countChanged { count } }", Value::Null).await;
    socket.data("1").await;
    let after = Metrics::of(service).await;

    // Other tests in this process count, too, so this is a minimum.
    let grown = |series: &str, by: f64| {
        let (before, after) = (before.get(series), after.get(series));
        assert!(after - before >= by, "{series}: {before} and then {after}");
    };
    grown("headcount_http_requests_total{route=\"/space/{id}/count\",outcome=\"2xx\"}", 2.0);
    grown("headcount_http_requests_total{route=\"/space/{id}/count\",outcome=\"4xx\"}", 1.0);
    grown("headcount_http_request_duration_seconds_count{route=\"/space/{id}/count\"}", 3.0);
    grown("headcount_graphql_operation_duration_seconds_count{type=\"mutation\",outcome=\"ok\"}", 1.0);
    grown("headcount_graphql_operation_duration_seconds_count{type=\"query\",outcome=\"error\"}", 1.0);
    grown("headcount_graphql_operation_duration_seconds_count{type=\"subscription\",outcome=\"ok\"}", 1.0);
    grown("headcount_events_accepted_total", 1.0);
    grown("headcount_events_duplicate_total", 1.0);
    grown("headcount_events_rejected_total{code=\"UNKNOWN_DPU\"}", 1.0);
    grown("headcount_ingest_lag_seconds_bucket{le=\"15\"}", 1.0);
    grown("headcount_commit_events_count", 1.0);
    grown("headcount_commit_duration_seconds_count", 1.0);
    grown("headcount_count_lookback_seconds_bucket{le=\"60\"}", 1.0);
    grown("headcount_count_lookback_seconds_count", 2.0);
    grown("headcount_cache_misses_total", 1.0);
    grown("headcount_floor_plan_reads_total", 1.0);
    assert!(after.get("headcount_subscribers") >= 0.0 && after.get("headcount_coherence_hears") >= 0.0);
    let pools = if service.is_sqlite() { ["readers", "writer"].as_slice() } else { &["all"] };
    for pool in pools {
        let series =
            |state: &str| format!("headcount_database_connections{{pool=\"{pool}\",state=\"{state}\"}}");
        assert!(after.get(&series("idle")) + after.get(&series("used")) >= 0.0);
    }
}

on_both!(a_request_keeps_its_id_or_gets_one, internal_errors_name_the_request, everything_is_counted);

/// The series of `/metrics`, by name and labels.
struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    async fn of(service: &Service) -> Self {
        let answer = service.get("/metrics").await;
        assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
        Self::read(&answer.body)
    }

    /// The test fails on a line that is neither a comment nor a series, on a repeated series, and on a series without a
    /// type.
    fn read(text: &str) -> Self {
        let mut series = BTreeMap::new();
        let mut typed = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(comment) = line.strip_prefix("# ") {
                typed.extend(
                    comment.strip_prefix("TYPE ").and_then(|of| of.split(' ').next()).map(str::to_owned),
                );
                continue;
            }
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?} is not a series"));
            let family = name.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| family.strip_suffix(end))
                .unwrap_or(family);
            assert!(typed.iter().any(|name| name == family), "{line}");
            let twice = series.insert(name.to_owned(), value.parse().unwrap());
            assert!(twice.is_none(), "{line} comes twice");
        }
        Self(series)
    }

    /// Series without a value yet may be missing.
    fn get(&self, series: &str) -> f64 {
        self.0.get(series).copied().unwrap_or_default()
    }
}

/// The binary, serving a database of its own.
struct Process {
    child: Child,
    address: SocketAddr,
    lines: Receiver<String>,
    _database: Empty,
}

impl Process {
    /// Starts it, and reads its log until it serves.
    fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let database = Empty::on_sqlite();
        let mut child = Command::new(env!("CARGO_BIN_EXE_headcount"))
            .args([
                "serve",
                "--log-format",
                "json",
                "--listen",
                "127.0.0.1:0",
                "--database-url",
                &database.url,
            ])
            .args(arguments)
            .env_remove("RUST_LOG")
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let (told, lines) = channel();
        std::thread::spawn(move || log.lines().map_while(Result::ok).try_for_each(|line| told.send(line)));
        let mut serving = Self { child, address: ([127, 0, 0, 1], 0).into(), lines, _database: database };
        let line = serving.line(|line| line["message"].as_str().is_some_and(|text| text.contains("http://")));
        let address = line["message"].as_str().unwrap().split("http://").nth(1).unwrap();
        serving.address = address.split([':', '/']).take(2).collect::<Vec<_>>().join(":").parse().unwrap();
        serving
    }

    /// Returns the next matching line of the log. No line may contain anything that a client has sent.
    fn line(&self, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(30)).expect("a line of the log");
            assert!(!line.contains("secret"), "{line}");
            let line: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"));
            if is_it(&line) {
                return line;
            }
        }
    }

    /// Returns the answer to a request, its head and its body.
    fn ask(&self, head: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let length = body.len();
        write!(
            stream,
            "{head}\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn graphql(&self, request: &Value, headers: &str) -> String {
        let head = format!("POST /graphql?secret=query HTTP/1.1\r\ncontent-type: application/json{headers}");
        self.ask(&head, &request.to_string())
    }

    /// Asks it to stop, and waits until it has; returns the log until then.
    fn stop(mut self) -> Vec<String> {
        Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(self.child.wait().unwrap().success());
        self.lines.iter().collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
    }
}

#[test]
fn every_request_has_one_line_without_its_data() {
    let process = Process::start(&[], &[]);
    let request = |line: &Value| line["target"] == "request";
    process.ask(
        "GET /space/41/count?ts=secret HTTP/1.1\r\nx-request-id: mine\r\nauthorization: Bearer secret",
        "",
    );
    let line = process.line(request);
    let told = ["level", "method", "request_id", "route", "status"].map(|key| line[key].clone());
    assert_eq!(json!(told), json!(["INFO", "GET", "mine", "/space/{id}/count", 404]), "{line}");
    assert!(line["duration_ms"].as_f64().unwrap() >= 0.0, "{line}");

    let long = "Name".repeat(50);
    process.graphql(
        &json!({ "query": format!("query {long} {{ spaces(nameContains: \"secret\") {{ totalCount }} }}") }),
        "",
    );
    let line = process.line(request);
    let told = ["route", "status", "operation", "operation_name"].map(|key| line[key].clone());
    assert_eq!(json!(told), json!(["/graphql", 200, "query", long[..64]]), "{line}");

    process.ask("PUT /secret/1 HTTP/1.1", "");
    let line = process.line(request);
    assert_eq!((&line["route"], &line["status"]), (&json!("unmatched"), &json!(404)), "{line}");

    // A token in the path, of a route and of none, and the answers to it.
    for (path, route, status) in [
        ("/devices/irisys/t/hc_secret?device=secret", "/devices/{format}", 400),
        ("/devices/irisys/t/hc_secret/more?in=secret", "/devices/{format}", 400),
        ("/devices/other/t/hc_secret", "/devices/{format}", 404),
        ("/devices/a/b/t/hc_secret", "unmatched", 404),
    ] {
        let answer = process.ask(&format!("POST {path} HTTP/1.1"), "{}");
        assert!(!answer.contains("hc_secret"), "{answer}");
        let line = process.line(request);
        assert_eq!((&line["route"], &line["status"]), (&json!(route), &json!(status)), "{line}");
    }
    let metrics = process.ask("GET /metrics HTTP/1.1", "");
    assert!(metrics.contains("/devices/{format}") && !metrics.contains("hc_secret"), "{metrics}");
    process.line(request);

    process.ask("secret /healthz HTTP/1.1", "");
    let line = process.line(request);
    assert_eq!((&line["method"], &line["status"]), (&json!("OTHER"), &json!(405)), "{line}");

    process.ask("GET /healthz HTTP/1.1\r\nx-request-id: the-last", "");
    let rest = process.stop();
    assert!(rest.iter().any(|line| line.contains("the-last")), "{rest:#?}");
    assert!(!rest.iter().any(|line| line.contains("secret")), "{rest:#?}");
}

#[test]
fn lines_of_requests_can_be_left_out() {
    let process = Process::start(&[], &[("RUST_LOG", "info,request=warn")]);
    process.ask("GET /healthz HTTP/1.1", "");
    let rest = process.stop();
    assert!(!rest.iter().any(|line| line.contains("healthz")), "{rest:#?}");
}

#[test]
fn an_invalid_option_stops_the_start_with_an_error() {
    let key = "not-a-key-but-secret";
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector");
    for (variable, said) in [
        (("RUST_LOG", "loud=="), "invalid RUST_LOG"),
        (("ID_KEY", key), "invalid ID_KEY: use 64 hexadecimal digits"),
        (endpoint, "use a URL with http://"),
        (("DATABASE_WAIT_MS", "0"), "--database-wait-ms"),
        (("LOG_FORMAT", "xml"), "pretty, json"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_headcount"));
        let command = command.args(["serve", "--listen", "127.0.0.1:0"]).current_dir(folder.path());
        let output = command.env(variable.0, variable.1).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && told.contains(said) && !told.contains(key),
            "{variable:?}: {told}"
        );
    }
}

/// Returns a trace collector. Everything posted to it is sent to the channel.
async fn collector() -> (SocketAddr, UnboundedReceiver<ExportTraceServiceRequest>) {
    let (send, received) = unbounded_channel();
    let take = post(async move |body: Bytes| {
        send.send(ExportTraceServiceRequest::decode(body).unwrap()).unwrap();
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/v1/traces", take)).await });
    (address, received)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_has_the_request_the_operation_and_its_statements() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let (collector, mut received) = collector().await;
    let endpoint = format!("http://{collector}");
    let process = Process::start(&["--otlp-endpoint", &endpoint], &[]);
    let make = "mutation Furnish { s: spaceCreate(input: {name: \"Hall of secrets\"}) { space { id } }
        d: dpuCreate(input: {serial: \"secret-7\"}) { dpu { id } }
        a: assignmentCreate(input: {dpu: 1, space: 1, placement: INSIDE}) { userErrors { message } } }";
    process.graphql(&json!({ "query": make }), "");
    let headers = format!("\r\nx-request-id: mine\r\ntraceparent: 00-{TRACE}-b7ad6b7169203331-01");
    let look = "query Look { space(id: 1) { count history(start: \"2025-01-01\", end: \"2025-01-02\", interval: DAY) { count } } }";
    let answer = process.graphql(&json!({ "query": look }), &headers);
    assert!(answer.contains("x-request-id: mine"), "{answer}");
    let ingest = json!({ "query": "mutation { ingest(events: [{dpu: \"secret-7\", ts: \"2025-01-01\", direction: AWAY}]) { accepted } }" });
    process.graphql(&ingest, "");
    process.ask("POST /devices/irisys/t/hc_secret?device=secret-7 HTTP/1.1", "{\"CountLogs\":[]}");
    tokio::task::block_in_place(|| process.stop());

    let mut spans = Vec::new();
    while let Ok(batch) = received.try_recv() {
        let service = &batch.resource_spans[0].resource.as_ref().unwrap().attributes;
        assert!(service.iter().any(|attribute| attribute.key == "service.name"), "{service:?}");
        spans.extend(batch.resource_spans.into_iter().flat_map(|of| of.scope_spans).flat_map(|of| of.spans));
    }
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let by_id: HashMap<_, _> = spans.iter().map(|span| (span.span_id.clone(), span)).collect();
    let path = |span: &Span| {
        let mut names = vec![span.name.clone()];
        let mut at = span;
        while let Some(parent) = by_id.get(&at.parent_span_id) {
            names.insert(0, parent.name.clone());
            at = parent;
        }
        names.join(" > ")
    };
    let of_look: Vec<_> = spans.iter().filter(|span| hex(&span.trace_id) == TRACE).collect();
    let paths: Vec<_> = of_look.iter().map(|span| path(span)).collect();
    assert!(paths.contains(&"POST /graphql".to_owned()), "{paths:#?}");
    assert!(paths.contains(&"POST /graphql > query > load > sea_orm.query_all".to_owned()), "{paths:#?}");
    let request = of_look.iter().find(|span| span.name == "POST /graphql").unwrap();
    assert_eq!(hex(&request.parent_span_id), "b7ad6b7169203331");
    let attributes = attributes(request);
    assert_eq!(attributes["request_id"], "mine");
    assert_eq!(
        (attributes["http.route"].as_str(), attributes["http.response.status_code"].as_str()),
        ("/graphql", "200")
    );
    let commits: Vec<_> = spans.iter().filter(|span| span.name == "commit").map(path).collect();
    assert_eq!(commits, ["POST /graphql > mutation > commit"]);
    let kinds = spans.iter().filter_map(|span| self::attributes(span).remove("db.operation"));
    assert!(kinds.into_iter().any(|kind| kind == "SELECT"));
    // Neither the client's data nor the text of a statement is exported.
    let everything = format!("{spans:?}");
    assert!(!everything.contains("secret") && !everything.contains("db.statement"), "{everything}");
}

fn attributes(span: &Span) -> HashMap<String, String> {
    let text = |value: &AttributeValue| match value {
        AttributeValue::StringValue(text) => text.clone(),
        AttributeValue::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let entry = |attribute: &opentelemetry_proto::tonic::common::v1::KeyValue| {
        let value = attribute.value.as_ref().and_then(|value| value.value.as_ref())?;
        Some((attribute.key.clone(), text(value)))
    };
    span.attributes.iter().filter_map(entry).collect()
}
