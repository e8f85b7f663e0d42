//! A report: what a DPU sends in one message, and what the server must do with it.

use entity::Instant;

use crate::periods::Period;

/// A message of a DPU.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Report {
    /// The serial of the DPU.
    pub(crate) serial: String,
    /// The content.
    pub(crate) saying: Saying,
}

/// The content of a report.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Saying {
    /// Crossings of this DPU.
    Crossings(u32, Vec<Crossing>),
    /// How many people crossed under this DPU.
    Periods(u32, Vec<Period>),
    /// Intervals with numbers that another report revises. They are refused if that one has arrived before.
    Preliminary(Vec<Period>),
    /// Periods that must be refused: the DPU reports another kind.
    WrongKind(Vec<Period>),
    /// An event that must be refused: its timestamp and direction as text.
    Nonsense(&'static str, i8),
}

/// One person who walked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Crossing {
    /// The time on the DPU's clock.
    pub(crate) ts_ms: i64,
    /// `1` is towards the DPU, `-1` away from it.
    pub(crate) direction: i8,
    /// Distinguishes people within one millisecond.
    pub(crate) seq: u8,
}

/// What the server must do with the events of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Store them, or find that they are stored.
    Stored,
    /// Refuse them.
    Refused,
    /// Either of the two.
    Either,
}

impl Report {
    /// Returns the number of events, each of which is one in the server's receipt.
    pub(crate) fn events(&self) -> usize {
        match &self.saying {
            Saying::Crossings(_, crossings) => crossings.len(),
            Saying::Periods(_, periods) | Saying::Preliminary(periods) | Saying::WrongKind(periods) => {
                periods.len()
            }
            Saying::Nonsense(..) => 1,
        }
    }

    /// Returns what the server must do with its events.
    pub(crate) fn verdict(&self) -> Verdict {
        match self.saying {
            Saying::Crossings(..) | Saying::Periods(..) => Verdict::Stored,
            Saying::Preliminary(_) => Verdict::Either,
            Saying::WrongKind(_) | Saying::Nonsense(..) => Verdict::Refused,
        }
    }

    /// Returns the DPU and the people who count because of this report. `None`: nobody does.
    pub(crate) fn people(self) -> Option<(u32, Vec<Crossing>)> {
        match self.saying {
            Saying::Crossings(dpu, crossings) => Some((dpu, crossings)),
            Saying::Periods(dpu, periods) => {
                Some((dpu, periods.into_iter().flat_map(|period| period.people).collect()))
            }
            Saying::Preliminary(_) | Saying::WrongKind(_) | Saying::Nonsense(..) => None,
        }
    }

    /// Returns its events as `POST /events` takes them.
    pub(crate) fn json(&self) -> Vec<String> {
        let Self { serial, saying } = self;
        match saying {
            Saying::Crossings(_, crossings) => {
                let json = |crossing: &Crossing| {
                    let Crossing { ts_ms, direction, seq } = crossing;
                    let ts = Instant::from_ms(*ts_ms);
                    let seq = if *seq == 0 { String::new() } else { format!(",\"seq\":{seq}") };
                    format!(
                        "{{\"timestamp\":\"{ts}\",\"direction\":{direction},\"dpu_id\":\"{serial}\"{seq}}}"
                    )
                };
                crossings.iter().map(json).collect()
            }
            Saying::Periods(_, periods) | Saying::Preliminary(periods) | Saying::WrongKind(periods) => {
                periods.iter().map(|period| period.json(serial)).collect()
            }
            Saying::Nonsense(ts, direction) => {
                vec![format!("{{\"timestamp\":\"{ts}\",\"direction\":{direction},\"dpu_id\":\"{serial}\"}}")]
            }
        }
    }

    /// Returns its events as uplinks of a LoRaWAN device, without those that no such device sends.
    pub(crate) fn uplinks(&self) -> Vec<String> {
        match &self.saying {
            Saying::Periods(_, periods) => {
                periods.iter().filter_map(|period| period.uplink(&self.serial)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Returns the payload of a message: an event, or an array of events.
    pub(crate) fn payload(&self) -> String {
        let mut events = self.json();
        if events.len() == 1 { events.remove(0) } else { format!("[{}]", events.join(",")) }
    }
}
