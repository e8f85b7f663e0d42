//! Devices that no DPU has the serial of.

use async_graphql::SimpleObject;
use entity::inbox::InboxKind;

use super::enums::DpuReports;
use super::int::Int;
use super::scalars::DateTime;
use crate::gateway;

/// A line of a device that sends reports, but that no DPU has the serial of. Its reports are kept, and recorded once a DPU
/// with the serial is created.
#[derive(SimpleObject, Clone)]
pub(in crate::http::graphql) struct UnknownDevice {
    /// The serial that a DPU of it would have.
    serial: String,
    /// The format of its messages.
    format: String,
    /// Number of reports that are kept of it.
    reports: Int,
    /// When the first of them was received.
    first_heard: DateTime,
    /// When the last one was received.
    last_heard: DateTime,
    /// What a DPU of it should report. Of a device that reports the same people in several ways, it is the one that is least
    /// likely to lose some.
    suggested_reports: DpuReports,
    /// The width of its counters in bits, if that is known.
    counter_bits: Option<i32>,
    /// The newest report of that kind, as JSON.
    sample: String,
}

impl From<gateway::UnknownDevice> for UnknownDevice {
    fn from(device: gateway::UnknownDevice) -> Self {
        let suggested_reports = match device.kind {
            InboxKind::Interval => DpuReports::Intervals,
            InboxKind::Crossing => DpuReports::Crossings,
            InboxKind::Totals => DpuReports::Totals,
        };
        Self {
            counter_bits: device.counter_bits(),
            serial: device.serial,
            format: device.format,
            reports: Int(device.reports),
            first_heard: device.first_heard.into(),
            last_heard: device.last_heard.into(),
            suggested_reports,
            sample: device.sample,
        }
    }
}
