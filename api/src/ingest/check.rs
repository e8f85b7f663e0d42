//! Checks reports by themselves, against the floor plan and the clock.

use counting::totals::Totals;
use counting::{Crossings, Interval};
use entity::Instant;
use entity::dpu::Reports;
use sea_orm::DbErr;

use super::event::{Crossing, Identity, Rejection, RejectionCode};
use super::report::{INTERVAL_PEOPLE_MAX, IntervalReport, Report, TOTAL_MAX, TotalsReport};
use super::zone;
use crate::database::CommitId;
use crate::floor_plan::FloorPlan;

/// Maximum time that a DPU's clock may be ahead of the server's, in milliseconds.
pub const CLOCK_SKEW_MS: i64 = 5 * 60 * 1000;
/// Default of the earliest accepted instant: 2010-01-01T00:00:00Z. Older timestamps come from clocks that were never
/// set.
pub const EARLIEST: Instant = Instant::from_ms(1_262_304_000_000);

/// Maximum length of a reported interval.
const INTERVAL_MS_MAX: i64 = 24 * 3_600_000;

#[derive(Clone, Copy, Debug)]
pub struct Intake {
    pub id: CommitId,
    /// Time of receipt.
    pub now: Instant,
    /// Earliest accepted instant; older events are rejected.
    pub earliest: Instant,
}

#[derive(Debug, thiserror::Error)]
pub enum Unrecorded {
    #[error(transparent)]
    Database(#[from] DbErr),
    /// The floor plan has changed since it was read. By the old one, events might be recorded for the wrong DPU, or
    /// before the horizon.
    #[error("the floor plan has changed since it was read")]
    OldPlan,
}

impl From<Unrecorded> for DbErr {
    fn from(unrecorded: Unrecorded) -> Self {
        match unrecorded {
            Unrecorded::Database(error) => error,
            Unrecorded::OldPlan => Self::Custom(unrecorded.to_string()),
        }
    }
}

/// A report that was checked against the floor plan.
#[derive(Clone, Copy, Debug)]
pub(super) enum Checked {
    Crossing(Identity),
    Report(DpuReport),
    /// It says nothing that is stored.
    Heartbeat {
        dpu_id: i64,
    },
}

impl Checked {
    /// Returns the DPU, and the instant until which it tells what happened.
    pub(super) fn told(self) -> (i64, Option<Instant>) {
        match self {
            Self::Crossing(Identity { dpu_id, ts, .. }) => (dpu_id, Some(ts)),
            Self::Report(DpuReport { dpu_id, content }) => match content {
                Content::Interval { interval, .. } => (dpu_id, Some(interval.ends)),
                Content::Totals { totals, .. } => (dpu_id, Some(totals.ts)),
            },
            Self::Heartbeat { dpu_id } => (dpu_id, None),
        }
    }
}

/// A checked report of a DPU.
#[derive(Clone, Copy, Debug)]
pub(super) struct DpuReport {
    pub(super) dpu_id: i64,
    pub(super) content: Content,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Content {
    Interval { interval: Interval, revise: bool },
    Totals { totals: Totals, force: bool },
}

/// Checks a report by itself: whether its DPU exists and reports such things, and whether its time can be right.
pub(super) fn check(plan: &FloorPlan, intake: Intake, report: &Report) -> Result<Checked, Rejection> {
    let serial = report.serial();
    let dpu =
        plan.dpu_id(serial).and_then(|id| plan.dpu(id)).ok_or_else(|| Rejection::unknown_dpu(serial))?;
    let only = |reports: Reports, given| {
        if dpu.row.reports == reports {
            Ok(())
        } else {
            Err(Rejection::wrong_kind(serial, given, dpu.row.reports))
        }
    };
    let instant = |ts| zone::instant(ts, dpu.zone);
    let dpu_id = dpu.row.id;
    match report {
        Report::Crossing(Crossing { ts, direction, seq, .. }) => {
            only(Reports::Crossings, "this is a crossing")?;
            let ts = instant(*ts)?;
            check_time(plan, intake, ts, ts, ts)?;
            if *seq < 0 {
                return Err(Rejection::bad_seq(&seq.to_string()));
            }
            Ok(Checked::Crossing(Identity { dpu_id, ts, direction: *direction, seq: *seq }))
        }
        Report::Interval(IntervalReport { from, to, toward, away, revise, .. }) => {
            only(Reports::Intervals, "this is an interval")?;
            let (starts, ends) = (instant(*from)?, instant(*to)?);
            let people = Crossings { toward: *toward, away: *away };
            let interval = Interval { starts, ends, people };
            check_interval(&interval)?;
            check_time(plan, intake, starts, interval.counted_at(), ends)?;
            let content = Content::Interval { interval, revise: *revise };
            Ok(Checked::Report(DpuReport { dpu_id, content }))
        }
        Report::Totals(TotalsReport { ts, toward, away, force, .. }) => {
            only(Reports::Totals, "this is a reading of totals")?;
            let ts = instant(*ts)?;
            check_time(plan, intake, ts, ts, ts)?;
            let read = Crossings { toward: *toward, away: *away };
            check_totals(read, dpu.row.counter_bits)?;
            let totals = Totals { ts, read, is_baseline: false };
            Ok(Checked::Report(DpuReport { dpu_id, content: Content::Totals { totals, force: *force } }))
        }
        Report::Heartbeat(_) => Ok(Checked::Heartbeat { dpu_id }),
    }
}

/// Checks when something began, when it is counted, and when it ended.
fn check_time(
    plan: &FloorPlan,
    intake: Intake,
    starts: Instant,
    counted_at: Instant,
    ends: Instant,
) -> Result<(), Rejection> {
    let Intake { now, earliest, .. } = intake;
    if starts < earliest {
        let message = format!(
            "{starts} is before {earliest}: events that old are not accepted, since they come from clocks that were never set"
        );
        return Err(Rejection::new(RejectionCode::TimestampOutOfRange, message));
    }
    if let Some(horizon) = plan.horizon().filter(|horizon| counted_at < *horizon) {
        let message = format!(
            "{counted_at} is before {horizon}: events that old have been pruned, and no more can be added"
        );
        return Err(Rejection::new(RejectionCode::TimestampPruned, message));
    }
    if ends > now.plus_ms(CLOCK_SKEW_MS) {
        let message = format!(
            "{ends} lies in the future: the time is {now}, and a DPU's clock may be at most {} minutes ahead",
            CLOCK_SKEW_MS / 60_000
        );
        return Err(Rejection::new(RejectionCode::TimestampInFuture, message));
    }
    Ok(())
}

fn check_interval(interval: &Interval) -> Result<(), Rejection> {
    let Interval { starts, ends, people } = interval;
    let refused = |message| Err(Rejection::new(RejectionCode::BadInterval, message));
    if starts >= ends {
        return refused(format!("the interval from {starts} to {ends} ends before it begins"));
    }
    if ends.ms() - starts.ms() > INTERVAL_MS_MAX {
        return refused(format!("the interval from {starts} to {ends} is longer than 24 hours"));
    }
    for (name, count) in [("toward", people.toward), ("away", people.away)] {
        if !(0..=INTERVAL_PEOPLE_MAX).contains(&count) {
            return refused(format!(
                "invalid {name} {count}: use a whole number from 0 to {INTERVAL_PEOPLE_MAX}"
            ));
        }
    }
    Ok(())
}

fn check_totals(read: Crossings, bits: Option<i32>) -> Result<(), Rejection> {
    let most = bits.map_or(TOTAL_MAX, |bits| (1_i64 << bits) - 1);
    for (name, total) in [("total_toward", read.toward), ("total_away", read.away)] {
        if !(0..=most).contains(&total) {
            let width = bits.map(|bits| format!(", the highest value of {bits} bits")).unwrap_or_default();
            let message = format!("invalid {name} {total}: use a whole number from 0 to {most}{width}");
            return Err(Rejection::new(RejectionCode::BadTotal, message));
        }
    }
    Ok(())
}
