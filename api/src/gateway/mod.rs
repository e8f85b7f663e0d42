//! Gateway: what devices send in formats of their own.
//!
//! A message is decoded by the crate `devices`. `translate` makes of what it tells about a known DPU the reports that
//! the DPU's kind and clock ask for, and the recorder records them. What it tells about devices that no DPU has the
//! serial of is kept in the [`Inbox`], and recorded once there is such a DPU.

mod inbox;
mod replay;
mod source;
mod translate;

use std::collections::BTreeMap;
use std::sync::Arc;

use ::metrics::{counter, describe_counter};
use chrono_tz::Tz;
use devices::{Content, Format, Message, Unreadable};
use entity::Instant;
use entity::dpu::DeviceClock;
use sea_orm::DbErr;

pub use self::inbox::{DevicePage, Inbox, UnknownDevice};
pub(crate) use self::replay::Replaying;
pub use self::source::{Source, SourceError};
use self::translate::translate;
use crate::clock::Clock;
use crate::floor_plan::{FloorPlan, SERIAL_CHARACTERS_MAX};
use crate::health::Hearings;
use crate::ingest::{FAULTS_CHARACTERS_MAX, Outcome, RecordError, Recorder, Rejection, RejectionCode, zone};
use crate::state::State;
use crate::tasks::Tasks;

/// Receives the messages of devices.
#[derive(Clone, Debug)]
pub struct Gateway {
    state: Arc<State>,
    recorder: Recorder,
    hearings: Hearings,
    clock: Clock,
    inbox: Inbox,
}

/// What became of a message, once it is durable.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Received {
    /// Reports that are stored now and were not before.
    pub accepted: u64,
    /// Reports that were stored already.
    pub duplicates: u64,
    /// Reports that are of another kind than their DPU reports, or count nobody.
    pub ignored: u64,
    /// Reports of devices that no DPU has the serial of, which are kept in the inbox.
    pub unknown: u64,
    /// Reports that are not stored, each with its serial.
    pub rejected: Vec<(String, Rejection)>,
    /// Parts of the message that cannot be read.
    pub unreadable: Vec<Unreadable>,
    /// Why there is nothing to count, if that is so.
    pub nothing: Option<&'static str>,
}

/// Reasons why a message was not received. It may be sent again, unless it is not of its format.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    #[error("the message is not of the format {format}: {cause}")]
    Unreadable { format: Format, cause: Unreadable },
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Database(#[from] DbErr),
}

impl Received {
    /// Counts what became of the reports, by format.
    fn count(&self, format: Format) {
        for (outcome, number) in [
            ("accepted", self.accepted),
            ("duplicate", self.duplicates),
            ("ignored", self.ignored),
            ("unknown", self.unknown),
            ("rejected", self.rejected.len() as u64),
            ("unreadable", self.unreadable.len() as u64),
        ] {
            if number > 0 {
                let labels = [("format", format.name()), ("outcome", outcome)];
                counter!("headcount_device_reports_total", &labels).increment(number);
            }
        }
    }
}

/// Checks and bounds the texts of a report, and resolves its timestamps in the sender's zone, if that is known.
fn checked(mut report: devices::Report, zone: Option<Tz>) -> Result<devices::Report, Rejection> {
    if report.serial.chars().nth(SERIAL_CHARACTERS_MAX).is_some() {
        let message =
            format!("the serial is too long: a DPU's has at most {SERIAL_CHARACTERS_MAX} characters");
        return Err(Rejection::new(RejectionCode::Malformed, message));
    }
    if let Content::Heartbeat { faults: Some(faults), .. } = &mut report.content
        && let Some((end, _)) = faults.char_indices().nth(FAULTS_CHARACTERS_MAX)
    {
        faults.truncate(end);
    }
    if zone.is_some() {
        report.content = report
            .content
            .with_times(|ts| zone::instant(ts, zone).map(Into::into), |ts| zone::end(ts, zone).into())?;
    }
    Ok(report)
}

impl Gateway {
    pub fn new(state: &Arc<State>, recorder: &Recorder, hearings: &Hearings, clock: &Clock) -> Self {
        describe_counter!("headcount_device_reports_total", "Reports of devices, by format and outcome.");
        let (state, inbox) = (Arc::clone(state), Inbox::new(state.database().clone()));
        Self { state, recorder: recorder.clone(), hearings: hearings.clone(), clock: clock.clone(), inbox }
    }

    /// Starts the task that records what is kept of devices that are known by now.
    pub(crate) fn start(&self, tasks: &Tasks) -> Replaying {
        Replaying::start(self.clone(), tasks)
    }

    pub fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// Records a message. What it returns is durable.
    pub async fn receive(&self, message: &[u8], source: &Source) -> Result<Received, ReceiveError> {
        let Source { format, settings, zone, only } = source;
        let (format, now) = (*format, self.clock.now());
        let Message { reports, unreadable, nothing } =
            format.decode(message, settings).map_err(|cause| ReceiveError::Unreadable { format, cause })?;
        let mut received = Received { unreadable, nothing, ..Received::default() };
        let plan = self.plan_with(&reports).await?;

        let (mut known, mut unknown) = (BTreeMap::<i64, Vec<_>>::new(), Vec::new());
        for report in reports {
            let serial = report.serial.clone();
            let report = match checked(report, *zone) {
                Ok(report) => report,
                Err(rejection) => {
                    received.rejected.push((serial, rejection));
                    continue;
                }
            };
            match plan.dpu_id(&report.serial) {
                Some(dpu) if only.is_none_or(|only| only == dpu) => {
                    known.entry(dpu).or_default().push(report);
                }
                None if report.content.kind().is_none() => received.ignored += 1,
                None if only.is_none() => unknown.push(report),
                // As if its DPU were unknown.
                _ => received.rejected.push((report.serial.clone(), Rejection::unknown_dpu(&report.serial))),
            }
        }
        received.unknown = self.inbox.keep(format, &unknown, now).await?;
        let of_known =
            known.into_iter().map(|(dpu, reports)| (dpu, reports.into_iter().map(|one| (one, now))));
        self.record(&plan, of_known, &mut received).await?;
        received.count(format);
        Ok(received)
    }

    /// Returns the floor plan, read again if a report is of a DPU that it lacks: another process may just have created it.
    async fn plan_with(&self, reports: &[devices::Report]) -> Result<Arc<FloorPlan>, DbErr> {
        let plan = self.state.floor_plan().await?;
        if reports.iter().all(|report| plan.dpu_id(&report.serial).is_some()) {
            return Ok(plan);
        }
        self.state.refresh().await?;
        self.state.floor_plan().await
    }

    /// Records reports of known DPUs, each with the time at which it was received, and adds the outcomes.
    async fn record(
        &self,
        plan: &FloorPlan,
        reports: impl Iterator<Item = (i64, impl Iterator<Item = (devices::Report, Instant)>)>,
        received: &mut Received,
    ) -> Result<(), ReceiveError> {
        let (mut batch, mut counting) = (Vec::new(), Vec::new());
        for (dpu, reports) in reports {
            let Some(dpu) = plan.dpu(dpu) else { continue };
            // By the device's own clock, intervals end where it says.
            let known_until = match dpu.row.clock {
                DeviceClock::Device => None,
                DeviceClock::Arrival | DeviceClock::DeviceWithin => {
                    self.hearings.of(dpu.row.id).await?.and_then(|heard| heard.known_until)
                }
            };
            let (counted, ignored, alive) = translate(dpu, known_until, reports);
            received.ignored += ignored;
            counting.extend(counted.iter().map(|_| Some(&dpu.row.serial)));
            batch.extend(counted);
            counting.push(None);
            batch.push(Ok(alive));
        }
        if batch.is_empty() {
            return Ok(());
        }
        for (serial, outcome) in counting.into_iter().zip(self.recorder.record(batch).await?) {
            // A sign of life is no report that a sender asks for.
            let Some(serial) = serial else { continue };
            match outcome {
                Outcome::Accepted => received.accepted += 1,
                Outcome::Duplicate => received.duplicates += 1,
                Outcome::Rejected(rejection) => received.rejected.push((serial.clone(), rejection)),
            }
        }
        Ok(())
    }
}
