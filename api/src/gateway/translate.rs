//! Makes of a device's reports those that its DPU's kind and clock ask for.

use devices::{Content, Kind};
use entity::dpu::{DeviceClock, Reports};
use entity::{Instant, Timestamp};

use crate::floor_plan::Dpu;
use crate::ingest::{Batch, Crossing, Heartbeat, IntervalReport, Rejection, Report, TotalsReport, zone};

/// Returns the reports that count, in their order, how many others there were, and a sign of life that says what the device
/// says of itself.
///
/// Each report comes with the time at which this server received it. `known_until` is the end of what is known of the DPU,
/// if that is known here.
pub(super) fn translate(
    dpu: &Dpu,
    mut known_until: Option<Instant>,
    reports: impl Iterator<Item = (devices::Report, Instant)>,
) -> (Batch, u64, Report) {
    let mut alive = Heartbeat { serial: dpu.row.serial.clone(), ..Heartbeat::default() };
    let (mut counted, mut ignored) = (Vec::new(), 0);
    for (report, received) in reports {
        if let Content::Heartbeat { battery, faults, .. } = &report.content {
            alive.battery = battery.or(alive.battery);
            alive.faults = faults.clone().or(alive.faults);
        }
        let shown = match report.content {
            Content::Interval { to, .. } => Some(Ok(zone::end(to, dpu.zone))),
            _ => report.content.ts().map(|ts| zone::instant(ts, dpu.zone)),
        };
        if let Some(Ok(ts)) = shown
            && !report.is_stored
        {
            alive.clock = alive.clock.max(Some(ts));
        }
        if report.content.kind() != Some(kind(dpu.row.reports)) {
            ignored += 1;
            continue;
        }
        let times = Times { shown, arrival: report.arrival.unwrap_or(received), is_stored: report.is_stored };
        let row = times.within(dpu, &report.content, known_until);
        if let Ok(Report::Interval(IntervalReport { to: Timestamp::Instant(to), .. })) = &row {
            known_until = known_until.max(Some(*to));
        }
        counted.push(row);
    }
    (counted, ignored, Report::Heartbeat(alive))
}

fn kind(reports: Reports) -> Kind {
    match reports {
        Reports::Crossings => Kind::Crossings,
        Reports::Intervals => Kind::Intervals,
        Reports::Totals => Kind::Totals,
    }
}

/// When a report was made.
struct Times {
    /// By the device's clock, which shows a time that may not exist. `None`: it has no clock.
    shown: Option<Result<Instant, Rejection>>,
    /// When a network server received it, or else this server.
    arrival: Instant,
    is_stored: bool,
}

impl Times {
    /// Returns when it was made, by the clock that the DPU trusts.
    fn trusted(self, dpu: &Dpu) -> Result<Instant, Rejection> {
        let Self { shown, arrival, is_stored } = self;
        let Some(shown) = shown else { return Ok(arrival) };
        match dpu.row.clock {
            // What a device had stored is older than its arrival.
            _ if is_stored => shown,
            DeviceClock::Device => shown,
            DeviceClock::Arrival => Ok(arrival),
            DeviceClock::DeviceWithin => {
                let within_ms = i64::from(dpu.row.clock_within.unwrap_or_default()) * 1_000;
                Ok(shown.ok().filter(|ts| (ts.ms() - arrival.ms()).abs() <= within_ms).unwrap_or(arrival))
            }
        }
    }

    fn within(self, dpu: &Dpu, content: &Content, known_until: Option<Instant>) -> Result<Report, Rejection> {
        let serial = dpu.row.serial.clone();
        match *content {
            Content::Crossing { direction, seq, .. } => {
                let ts = self.trusted(dpu)?.into();
                Ok(Report::Crossing(Crossing { serial, ts, direction, seq }))
            }
            Content::Totals { toward, away, .. } => {
                let ts = self.trusted(dpu)?.into();
                Ok(Report::Totals(TotalsReport { serial, ts, toward, away, force: false }))
            }
            Content::Interval { from, to, toward, away } => {
                let (from, to) = (zone::instant(from, dpu.zone)?, zone::end(to, dpu.zone));
                let ends = self.trusted(dpu)?;
                // By the clock of the arrival, which comes sooner or later, intervals must not overlap.
                let starts = if ends == to {
                    from
                } else {
                    let starts = ends.plus_ms(from.ms() - to.ms());
                    known_until.filter(|until| *until < ends).map_or(starts, |until| starts.max(until))
                };
                let (from, to) = (starts.into(), ends.into());
                Ok(Report::Interval(IntervalReport { serial, from, to, toward, away, revise: false }))
            }
            Content::Heartbeat { .. } => Ok(Report::Heartbeat(Heartbeat { serial, ..Heartbeat::default() })),
        }
    }
}
