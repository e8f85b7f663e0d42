//! Wiring: builds the parts of the service, starts its background tasks, and hands the parts to the interfaces.

use std::sync::Arc;
use std::time::Duration;

use ::metrics::gauge;
use entity::Instant;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::auth::{AuthSettings, Authenticator, Tokens};
use crate::broker::{self, BrokerConfig, Consuming};
use crate::clock::Clock;
use crate::coherence::Coherence;
use crate::counts::{self, Counts};
use crate::database::{Database, Notifier};
use crate::feed::Feed;
use crate::gateway::{Gateway, Replaying};
use crate::health::{Exchanging, Hearings};
use crate::ids::PublicIds;
use crate::ingest::{EARLIEST, Recorder, Writer};
use crate::mqtt::{self, MqttConfig};
use crate::readiness::Readiness;
use crate::retention::{Age, Schedule};
use crate::state::State;
use crate::tasks::{Observed, Tasks};

/// The running service, without any interface to it.
#[derive(Debug)]
pub struct App {
    pub database: Database,
    pub state: Arc<State>,
    pub counts: Counts,
    pub feed: Arc<Feed>,
    /// The only writer of events.
    pub recorder: Recorder,
    pub coherence: Coherence,
    pub clock: Clock,
    pub auth: Authenticator,
    pub ids: PublicIds,
    pub readiness: Readiness,
    pub tasks: Tasks,
    /// When each DPU was last heard of.
    pub hearings: Hearings,
    /// Receives what devices send in formats of their own.
    pub gateway: Gateway,
    _exchanging: Exchanging,
    _replaying: Replaying,
}

#[derive(Debug)]
pub struct Options {
    /// How many bytes of timelines are kept in memory.
    pub memory_bytes: u64,
    /// The time of one core that the answer to a request may take.
    pub work_max: Duration,
    /// The first instant of events; older ones are rejected.
    pub earliest_event: Instant,
    pub ids: PublicIds,
    pub auth: AuthSettings,
    pub tasks: Tasks,
}

impl Options {
    /// Defaults: this many bytes of timelines, plain ids, and open until a token is created.
    pub fn new(memory_bytes: u64) -> Self {
        Self {
            memory_bytes,
            work_max: counts::WORK_DEFAULT,
            earliest_event: EARLIEST,
            ids: PublicIds::plain(),
            auth: AuthSettings::default(),
            tasks: Tasks::default(),
        }
    }
}

impl App {
    /// Starts the service over a database whose schema is up to date, with so many bytes of timelines in memory and
    /// plain ids.
    ///
    /// The handle ends once the last clone of the app is gone and everything handed over is recorded.
    pub fn start(database: Database, clock: Clock, memory_bytes: u64) -> (Arc<Self>, JoinHandle<()>) {
        Self::start_with(database, clock, Options::new(memory_bytes))
    }

    pub fn start_with(database: Database, clock: Clock, options: Options) -> (Arc<Self>, JoinHandle<()>) {
        let Options { memory_bytes, work_max, earliest_event, ids, auth, tasks } = options;
        let state = Arc::new(State::new(database.clone(), memory_bytes));
        let counts = Counts::new(Arc::clone(&state), work_max);
        let hearings = Hearings::new(database.clone());
        let exchanging = hearings.start(&tasks);
        let writer = Writer {
            state: Arc::clone(&state),
            clock: clock.clone(),
            earliest: earliest_event,
            notifier: Notifier::start(&database, &tasks),
            partitions: Arc::default(),
            hearings: hearings.clone(),
        };
        let tokens = Arc::new(Tokens::new(auth.token_rate));
        let forget_tokens = {
            let tokens = Arc::clone(&tokens);
            move || tokens.forget()
        };
        let coherence = Coherence::start(&state, forget_tokens, &tasks);
        let auth = Authenticator::new(auth, tokens, Arc::clone(&state), clock.clone(), &tasks);
        let (recorder, recording) = Recorder::start(writer, &tasks);
        let gateway = Gateway::new(&state, &recorder, &hearings, &clock);
        let replaying = gateway.start(&tasks);
        let readiness = Readiness::default();
        database.add_checks(&readiness);
        coherence.add_check(&readiness);
        tasks.add_check(&readiness);
        let feed = Arc::new(Feed::new(counts.clone(), clock.clone(), tasks.clone()));
        let app = Self {
            database,
            state,
            counts,
            feed,
            recorder,
            coherence,
            clock,
            auth,
            ids,
            readiness,
            tasks,
            hearings,
            gateway,
            _exchanging: exchanging,
            _replaying: replaying,
        };
        (Arc::new(app), recording)
    }

    pub fn consume(&self, config: BrokerConfig, stop: CancellationToken) -> Consuming {
        let recorder = self.recorder.clone();
        broker::consume(config, recorder, self.clock.clone(), &self.readiness, &self.tasks, stop)
    }

    pub fn consume_mqtt(&self, config: MqttConfig, stop: CancellationToken) -> mqtt::Consuming {
        let (gateway, recorder) = (self.gateway.clone(), self.recorder.clone());
        mqtt::consume(config, gateway, recorder, &self.readiness, &self.tasks, stop)
    }

    /// Starts the hourly job, which prunes events older than `older_than` and creates partitions, until the job is dropped.
    pub fn schedule(&self, older_than: Option<Age>) -> Schedule {
        Schedule::start(&self.state, &self.clock, &self.tasks, older_than)
    }

    /// Sets the gauges of what can be asked for at any time.
    pub fn observe(&self) {
        #[expect(clippy::cast_precision_loss, reason = "there are never so many subscriptions")]
        gauge!("headcount_subscribers").set(self.feed.watchers() as f64);
        gauge!("headcount_coherence_hears").set(if self.coherence.is_listening() { 1.0 } else { 0.0 });
        for Observed { task, running, last_run_s } in self.tasks.observe() {
            #[expect(clippy::cast_precision_loss, reason = "seconds and numbers of tasks are small")]
            let (running, last_run_s) = (running as f64, last_run_s as f64);
            gauge!("headcount_task_running", "task" => task).set(running);
            gauge!("headcount_task_last_run_timestamp_seconds", "task" => task).set(last_run_s);
        }
        for pool in self.database.pools() {
            gauge!("headcount_database_connections", "pool" => pool.name, "state" => "idle").set(pool.idle);
            gauge!("headcount_database_connections", "pool" => pool.name, "state" => "used").set(pool.used);
        }
        if let Some(standby) = self.database.standby() {
            let lag = standby.lag().map_or(f64::NAN, |lag| lag.as_secs_f64());
            gauge!("headcount_standby_lag_seconds").set(lag);
        }
    }
}
