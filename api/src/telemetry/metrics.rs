//! The metrics and their names, and all of them as Prometheus text.
//!
//! Hot paths count in statics of `tally`, here. Whatever happens once per commit or less often is counted by the
//! [`metrics`] facade, where it happens. Figures that can be queried at any time, such as the use of the pools, are
//! queried when the text is written.

use std::fmt::{self, Write};
use std::sync::LazyLock;
use std::time::Duration;

use ::metrics::{describe_counter, describe_gauge};
use entity::Instant;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::logs;
use super::tally::{Counter, Histogram};

/// Odometers that were read from memory.
pub static CACHE_HITS: Counter = Counter::new();
/// Odometers that were read from the database.
pub static CACHE_MISSES: Counter = Counter::new();

/// Age of the instants that counts are requested for, in seconds.
static LOOKBACK: Histogram = Histogram::new(
    &[
        60,
        900,
        3_600,
        21_600,
        86_400,
        7 * 86_400,
        30 * 86_400,
        90 * 86_400,
        180 * 86_400,
        365 * 86_400,
        2 * 365 * 86_400,
        5 * 365 * 86_400,
        10 * 365 * 86_400,
    ],
    1.0,
);
/// Time from an event to its receipt, in milliseconds.
static INGEST_LAG: Histogram = Histogram::new(
    &[
        100,
        500,
        1_000,
        5_000,
        15_000,
        60_000,
        300_000,
        900_000,
        3_600_000,
        6 * 3_600_000,
        86_400_000,
        7 * 86_400_000,
        30 * 86_400_000,
    ],
    1_000.0,
);
static COMMIT_EVENTS: Histogram =
    Histogram::new(&[1, 2, 5, 10, 50, 100, 500, 1_000, 5_000, 10_000, 20_000], 1.0);
static COMMIT_TIME: Histogram = Histogram::new(LATENCIES_US, MICROSECONDS);
/// Time from a commit to the notification of other processes.
static NEWS_DELAY: Histogram = Histogram::new(LATENCIES_US, MICROSECONDS);
static OPERATIONS: [[Histogram; 2]; 3] =
    [const { [const { Histogram::new(LATENCIES_US, MICROSECONDS) }; 2] }; 3];

/// Bounds of the buckets of latencies, in microseconds.
const LATENCIES_US: &[u64] = &[
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000,
    15_000_000,
];
const MICROSECONDS: f64 = 1_000_000.0;

/// Outcomes of requests: the client disconnected, or the class of the status.
const OUTCOMES: [&str; 6] = ["aborted", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Metrics of the requests of one route.
pub struct Requests {
    outcomes: [Counter; OUTCOMES.len()],
    latency: Histogram,
}

impl Requests {
    #[expect(clippy::new_without_default, reason = "a constant, for statics")]
    pub const fn new() -> Self {
        Self {
            outcomes: [const { Counter::new() }; OUTCOMES.len()],
            latency: Histogram::new(LATENCIES_US, MICROSECONDS),
        }
    }

    /// `None`: the client went away before.
    pub fn ended(&self, status: Option<u16>, took: Duration) {
        let outcome = status.map_or(0, |status| usize::from(status / 100));
        self.outcomes[outcome.min(OUTCOMES.len() - 1)].add(1);
        self.latency.observe(us(took));
    }

    #[cfg(test)]
    pub(crate) fn ended_as(&self, outcome: &str) -> u64 {
        let outcomes = OUTCOMES.iter().zip(&self.outcomes);
        outcomes.filter(|(name, _)| **name == outcome).map(|(_, count)| count.get()).sum()
    }

    fn are_any(&self) -> bool {
        self.outcomes.iter().any(|counter| counter.get() > 0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationKind {
    Query,
    Mutation,
    /// A subscription, whose duration lasts until its first answer.
    Subscription,
}

impl OperationKind {
    const ALL: [Self; 3] = [Self::Query, Self::Mutation, Self::Subscription];

    pub fn name(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Mutation => "mutation",
            Self::Subscription => "subscription",
        }
    }
}

pub fn executed(kind: OperationKind, has_errors: bool, took: Duration) {
    OPERATIONS[kind as usize][usize::from(has_errors)].observe(us(took));
}

pub fn counted(now: Instant, at: Instant) {
    let back_ms = now.ms().saturating_sub(at.ms());
    LOOKBACK.observe(u64::try_from(back_ms / 1_000).unwrap_or_default());
}

/// Counts an accepted event, by how long after it happened it was received, in milliseconds.
pub fn received(lag_ms: i64) {
    INGEST_LAG.observe(u64::try_from(lag_ms).unwrap_or_default());
}

pub fn rejected(code: &'static str) {
    ::metrics::counter!(EVENTS_REJECTED, "code" => code).increment(1);
}

pub fn committed(accepted: u64, duplicates: u64, rejected: u64, took: Duration) {
    ::metrics::counter!(EVENTS_ACCEPTED).increment(accepted);
    ::metrics::counter!(EVENTS_DUPLICATE).increment(duplicates);
    COMMIT_EVENTS.observe(accepted + duplicates + rejected);
    COMMIT_TIME.observe(us(took));
}

pub fn commit_failed() {
    ::metrics::counter!(COMMITS_FAILED).increment(1);
}

pub fn floor_plan_read() {
    ::metrics::counter!(FLOOR_PLAN_READS).increment(1);
}

/// Counts a read of what is not in memory from this server, `standby` or `primary`.
pub(crate) fn read_from(server: &'static str) {
    ::metrics::counter!(READS, "server" => server).increment(1);
}

/// Counts a notification of other processes, this long after the commit.
pub fn told(after: Duration) {
    NEWS_DELAY.observe(us(after));
}

const EVENTS_ACCEPTED: &str = "headcount_events_accepted_total";
const EVENTS_DUPLICATE: &str = "headcount_events_duplicate_total";
const EVENTS_REJECTED: &str = "headcount_events_rejected_total";
const COMMITS_FAILED: &str = "headcount_commits_failed_total";
const READS: &str = "headcount_database_reads_total";
const FLOOR_PLAN_READS: &str = "headcount_floor_plan_reads_total";

/// The recorder of the facade. `None` if another one is installed, whose owner then publishes its metrics.
static FACADE: LazyLock<Option<PrometheusHandle>> = LazyLock::new(|| {
    // Durations that are recorded by the facade, in seconds, are histograms too.
    let buckets = LATENCIES_US.iter().map(|bound| Duration::from_micros(*bound).as_secs_f64());
    let buckets: Vec<f64> = buckets.collect();
    let builder = PrometheusBuilder::new();
    let builder = builder.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &buckets).ok()?;
    let handle = builder.install_recorder().ok()?;
    describe_counter!(EVENTS_ACCEPTED, "Events that were stored.");
    describe_counter!(EVENTS_DUPLICATE, "Events that were stored already.");
    describe_counter!(EVENTS_REJECTED, "Events that were rejected, by code of the reason.");
    describe_counter!(COMMITS_FAILED, "Commits of events that failed.");
    describe_counter!(FLOOR_PLAN_READS, "Reads of the floor plan from the database.");
    describe_counter!(READS, "Reads of what is not in memory, by the server that answered.");
    describe_gauge!("headcount_standby_lag_seconds", "How far the standby is behind; NaN: unknown.");
    describe_gauge!("headcount_subscribers", "Open subscriptions.");
    describe_gauge!(
        "headcount_coherence_hears",
        "1: notifications of other processes arrive; 0: they do not, and memory is not trusted."
    );
    describe_gauge!("headcount_task_running", "Background tasks that run, by name.");
    describe_gauge!(
        "headcount_task_last_run_timestamp_seconds",
        "When a background task last did something; 0: not yet."
    );
    describe_gauge!("headcount_database_connections", "Connections to the database, by pool and state.");
    for server in ["primary", "standby"] {
        ::metrics::counter!(READS, "server" => server).absolute(0);
    }
    for name in [EVENTS_ACCEPTED, EVENTS_DUPLICATE, COMMITS_FAILED, FLOOR_PLAN_READS] {
        ::metrics::counter!(name).absolute(0);
    }
    Some(handle)
});

/// Installs the recorder of the facade, unless that was done before.
pub fn start() {
    LazyLock::force(&FACADE);
}

/// Shows a count of zero for the events that are rejected with this code, until there is one.
pub fn expect_rejections(code: &'static str) {
    ::metrics::counter!(EVENTS_REJECTED, "code" => code).absolute(0);
}

/// Aggregates the samples that the facade has collected since the last call.
pub(super) fn tidy() {
    if let Some(facade) = &*FACADE {
        facade.run_upkeep();
    }
}

pub fn text<'r>(
    requests: impl Iterator<Item = (&'static str, &'r Requests)>,
    cache_bytes: u64,
) -> Result<String, fmt::Error> {
    let mut text = FACADE.as_ref().map(PrometheusHandle::render).unwrap_or_default();
    write_requests(&mut text, requests)?;
    let name = "headcount_graphql_operation_duration_seconds";
    head(&mut text, name, "histogram", "Duration of GraphQL operations.")?;
    for (kind, outcomes) in OperationKind::ALL.into_iter().zip(&OPERATIONS) {
        for (outcome, latency) in ["ok", "error"].into_iter().zip(outcomes) {
            latency.write(&mut text, name, &format!("type=\"{}\",outcome=\"{outcome}\"", kind.name()))?;
        }
    }
    let histograms = [
        ("headcount_count_lookback_seconds", "Age of the instants that counts are requested for.", &LOOKBACK),
        ("headcount_ingest_lag_seconds", "Time from accepted events to their receipt.", &INGEST_LAG),
        ("headcount_commit_events", "Events per commit.", &COMMIT_EVENTS),
        ("headcount_commit_duration_seconds", "Duration of commits of events.", &COMMIT_TIME),
        (
            "headcount_news_delay_seconds",
            "Time from commits to the notification of other processes.",
            &NEWS_DELAY,
        ),
    ];
    for (name, help, histogram) in histograms {
        head(&mut text, name, "histogram", help)?;
        histogram.write(&mut text, name, "")?;
    }
    let numbers = [
        ("headcount_cache_hits_total", "counter", "Odometers read from memory.", CACHE_HITS.get()),
        ("headcount_cache_misses_total", "counter", "Odometers read from the database.", CACHE_MISSES.get()),
        ("headcount_cache_bytes", "gauge", "Bytes of timelines in memory.", cache_bytes),
        ("headcount_log_lines_lost_total", "counter", "Lines of the log that were lost.", logs::lost()),
    ];
    for (name, kind, help, number) in numbers {
        head(&mut text, name, kind, help)?;
        writeln!(text, "{name} {number}")?;
    }
    head(&mut text, "headcount_build_info", "gauge", "1, with the version in a label.")?;
    writeln!(text, "headcount_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"))?;
    Ok(text)
}

fn write_requests<'r>(
    text: &mut String,
    requests: impl Iterator<Item = (&'static str, &'r Requests)>,
) -> fmt::Result {
    let asked: Vec<_> = requests.filter(|(_, requests)| requests.are_any()).collect();
    let name = "headcount_http_requests_total";
    head(text, name, "counter", "Requests by route and outcome.")?;
    for (route, requests) in &asked {
        for (outcome, counter) in OUTCOMES.into_iter().zip(&requests.outcomes) {
            let count = counter.get();
            if count > 0 {
                writeln!(text, "{name}{{route=\"{route}\",outcome=\"{outcome}\"}} {count}")?;
            }
        }
    }
    let name = "headcount_http_request_duration_seconds";
    head(text, name, "histogram", "Duration of requests until their answer begins.")?;
    for (route, requests) in &asked {
        requests.latency.write(text, name, &format!("route=\"{route}\""))?;
    }
    Ok(())
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
