//! The reports of DPUs that tell how many people crossed in each slice: intervals, and totals of counters of 16 bits.
//!
//! A report carries the people that it tells of, so that the true counts are known at every instant, and not only at the
//! ends of slices. Some intervals are first sent with other numbers, and some totals are lost: the next ones tell of the
//! same people.

use std::collections::{BTreeMap, HashMap};
use std::mem::take;

use entity::Instant;

use crate::kinds::Kind;
use crate::random::{Purpose, Random};
use crate::report::{Crossing, Report, Saying};
use crate::world::{
    AGAIN_MS, BACKLOG_EVENTS_MAX, FloorPlan, HOUR_MS, LATE_MS, LATE_ONE_IN, MINUTE_MS, SECOND_MS, SLICE_MS,
    Settings,
};

/// All counts are exact in the last millisecond of each of these, from the start: totals at their ends are never lost.
pub(crate) const EXACT_MS: i64 = HOUR_MS;
/// One in this many intervals is first sent with other numbers.
const REVISED_ONE_IN: u64 = 20;
/// One in this many totals is never sent.
const LOST_ONE_IN: u64 = 20;

/// What a DPU reports of a slice.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Period {
    /// The end of the slice on the DPU's clock.
    ends_ms: i64,
    numbers: Numbers,
    /// The people who count because of it.
    pub(crate) people: Vec<Crossing>,
}

/// The numbers of people in both directions.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Numbers {
    Interval { counts: Counts, revise: bool },
    Totals(Counts),
}

/// Counters of 16 bits. After 65535 they show 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counts {
    toward: u16,
    away: u16,
}

/// All DPUs that report intervals or totals.
pub(crate) struct Periods {
    random: Random,
    resend: f64,
    bad: f64,
    start_ms: i64,
    end_ms: i64,
    /// By number, which gives the same order in every run.
    devices: BTreeMap<u32, Device>,
    /// What was sent in this slice, and when it arrives.
    sent: Vec<(i64, Report)>,
}

struct Device {
    kind: Kind,
    /// When it is disconnected.
    outage: Option<(i64, i64)>,
    clock_error_ms: i64,
    totals: Counts,
    /// The people who crossed since the last period.
    people: Vec<Crossing>,
    backlog: Vec<Period>,
}

impl Periods {
    pub(crate) fn new(
        settings: &Settings,
        outages: &HashMap<u32, (i64, i64)>,
        clocks: &HashMap<u32, i64>,
    ) -> anyhow::Result<Self> {
        let mut random = Random::new(settings.seed, Purpose::Periods);
        // Counters roll over when about half of the people have crossed, or before.
        let rolls_within = (settings.events / u64::from(settings.dpus) / 4).max(1);
        let mut first = || u16::MAX - u16::try_from(random.below(rolls_within)).unwrap_or_default();
        let mut device = |dpu| {
            let kind = settings.kinds.of(dpu);
            (kind != Kind::Crossings).then(|| Device {
                kind,
                outage: outages.get(&dpu).copied(),
                clock_error_ms: clocks.get(&dpu).copied().unwrap_or_default(),
                totals: Counts { toward: first(), away: first() },
                people: Vec::new(),
                backlog: Vec::new(),
            })
        };
        let devices = (0..settings.dpus).filter_map(|dpu| Some((dpu, device(dpu)?))).collect();
        let Settings { resend, bad, .. } = *settings;
        let start_ms = settings.start()?.ms();
        let end_ms = start_ms + settings.hours * HOUR_MS;
        Ok(Self { random, resend, bad, start_ms, end_ms, devices, sent: Vec::new() })
    }

    /// Counts people who crossed under a DPU, if it reports periods.
    pub(crate) fn count(&mut self, dpu: u32, crossings: &[Crossing]) {
        if let Some(device) = self.devices.get_mut(&dpu) {
            device.totals.count(crossings);
            device.people.extend(crossings);
        }
    }

    /// Ends a slice. Returns the reports, and when they arrive. After the last slice all are returned.
    pub(crate) fn end_slice(&mut self, ends_ms: i64) -> Vec<(i64, Report)> {
        let is_exact = (ends_ms - self.start_ms) % EXACT_MS == 0;
        let mut ready = Vec::new();
        for (dpu, device) in &mut self.devices {
            if device.kind == Kind::Totals && !is_exact && self.random.one_in(LOST_ONE_IN) {
                continue;
            }
            device.end_period(ends_ms);
            let connected_ms = match device.outage {
                Some((start, end)) if (start..end).contains(&ends_ms) => end,
                _ => ends_ms,
            };
            if connected_ms == ends_ms || ends_ms >= self.end_ms {
                ready.push((connected_ms, *dpu, device.kind, take(&mut device.backlog)));
            }
        }
        for (connected_ms, dpu, kind, mut backlog) in ready {
            // Sometimes newest first.
            if backlog.len() > 1 && self.random.one_in(2) {
                backlog.reverse();
            }
            for some in backlog.chunks(BACKLOG_EVENTS_MAX) {
                let arrives_ms = connected_ms + self.random.within(MINUTE_MS);
                self.send(arrives_ms, dpu, kind, some.to_vec());
            }
        }
        take(&mut self.sent)
    }

    /// Sends periods: perhaps late, perhaps with other numbers first, and perhaps twice.
    fn send(&mut self, mut arrives_ms: i64, dpu: u32, kind: Kind, mut periods: Vec<Period>) {
        if self.random.chance(self.bad) {
            let others = periods.iter().map(Period::of_another_kind).collect();
            self.put(arrives_ms, dpu, Saying::WrongKind(others));
        }
        if self.random.one_in(LATE_ONE_IN) {
            arrives_ms += self.random.within(LATE_MS);
        }
        if kind == Kind::Intervals && self.random.one_in(REVISED_ONE_IN) {
            let others = periods.iter().map(|period| period.with_more(1 + self.random.below(9))).collect();
            self.put(arrives_ms, dpu, Saying::Preliminary(others));
            periods.iter_mut().for_each(Period::revise);
            arrives_ms += SECOND_MS + self.random.within(HOUR_MS);
        }
        if self.random.chance(self.resend) {
            let again_ms = arrives_ms + SECOND_MS + self.random.within(AGAIN_MS);
            self.put(again_ms, dpu, Saying::Periods(dpu, periods.clone()));
        }
        self.put(arrives_ms, dpu, Saying::Periods(dpu, periods));
    }

    fn put(&mut self, arrives_ms: i64, dpu: u32, saying: Saying) {
        self.sent.push((arrives_ms, Report { serial: FloorPlan::serial(dpu), saying }));
    }
}

impl Device {
    /// Adds a period to the backlog, with the people since the last one.
    fn end_period(&mut self, ends_ms: i64) {
        let people = take(&mut self.people);
        let numbers = if self.kind == Kind::Totals {
            Numbers::Totals(self.totals)
        } else {
            let mut counts = Counts::default();
            counts.count(&people);
            Numbers::Interval { counts, revise: false }
        };
        self.backlog.push(Period { ends_ms: ends_ms + self.clock_error_ms, numbers, people });
    }
}

impl Counts {
    fn count(&mut self, people: &[Crossing]) {
        for crossing in people {
            let total = if crossing.direction > 0 { &mut self.toward } else { &mut self.away };
            *total = total.wrapping_add(1);
        }
    }
}

impl Period {
    /// Returns it as `POST /events` takes it. Totals are read in the last millisecond of the slice.
    pub(crate) fn json(&self, serial: &str) -> String {
        let ends = Instant::from_ms(self.ends_ms);
        match self.numbers {
            Numbers::Interval { counts: Counts { toward, away }, revise } => {
                let from = ends.plus_ms(-SLICE_MS);
                let revise = if revise { ",\"revise\":true" } else { "" };
                format!(
                    "{{\"from\":\"{from}\",\"to\":\"{ends}\",\"toward\":{toward},\"away\":{away},\
                     \"dpu_id\":\"{serial}\"{revise}}}"
                )
            }
            Numbers::Totals(Counts { toward, away }) => {
                let ts = ends.just_before();
                format!(
                    "{{\"timestamp\":\"{ts}\",\"total_toward\":{toward},\"total_away\":{away},\
                     \"dpu_id\":\"{serial}\"}}"
                )
            }
        }
    }

    /// Returns it as the uplink that The Things Stack sends for a LoRaWAN device. `None`: no such device sends it.
    pub(crate) fn uplink(&self, serial: &str) -> Option<String> {
        let Numbers::Totals(Counts { toward, away }) = self.numbers else { return None };
        let ts = Instant::from_ms(self.ends_ms).just_before();
        Some(format!(
            "{{\"end_device_ids\":{{\"device_id\":\"d\",\"dev_eui\":\"{serial}\"}},\"received_at\":\"{ts}\",\
             \"uplink_message\":{{\"f_port\":85,\"received_at\":\"{ts}\",\
             \"decoded_payload\":{{\"battery\":100,\"total_in\":{toward},\"total_out\":{away}}}}}}}"
        ))
    }

    fn revise(&mut self) {
        if let Numbers::Interval { revise, .. } = &mut self.numbers {
            *revise = true;
        }
    }

    /// Returns the period with more people, who do not count.
    fn with_more(&self, more: u64) -> Self {
        let (Numbers::Interval { counts, .. } | Numbers::Totals(counts)) = self.numbers;
        let counts = Counts {
            toward: counts.toward.saturating_add(u16::try_from(more).unwrap_or_default()),
            ..counts
        };
        Self {
            ends_ms: self.ends_ms,
            numbers: Numbers::Interval { counts, revise: false },
            people: Vec::new(),
        }
    }

    /// Returns what a DPU of the other kind would report.
    fn of_another_kind(&self) -> Self {
        let numbers = match self.numbers {
            Numbers::Interval { counts, .. } => Numbers::Totals(counts),
            Numbers::Totals(counts) => Numbers::Interval { counts, revise: false },
        };
        Self { ends_ms: self.ends_ms, numbers, people: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::kinds::Kinds;
    use crate::world::tests::settings;

    /// Returns the periods that count, by DPU and end.
    fn periods() -> BTreeMap<(u32, i64), Period> {
        let mut periods = BTreeMap::new();
        for report in (Settings { kinds: Kinds::Mixed, ..settings() }).reports().unwrap() {
            if let Saying::Periods(dpu, some) = report.saying {
                for period in some {
                    let known = periods.insert((dpu, period.ends_ms), period.clone());
                    assert!(known.is_none_or(|known| known == period));
                }
            }
        }
        periods
    }

    #[test]
    fn two_neighbouring_totals_tell_of_the_people_between_them_and_most_roll_over() {
        let (mut rolled_over, mut lost, mut dpus) = (HashSet::new(), 0, HashSet::new());
        let periods: Vec<_> = periods().into_iter().collect();
        for neighbours in periods.windows(2) {
            let [((dpu, _), earlier), ((next, _), later)] = neighbours else { unreachable!() };
            let (Numbers::Totals(from), Numbers::Totals(to)) = (earlier.numbers, later.numbers) else {
                continue;
            };
            if dpu != next {
                continue;
            }
            dpus.insert(dpu);
            let mut counted = from;
            counted.count(&later.people);
            assert_eq!(counted, to);
            let is_between = |ts_ms| (earlier.ends_ms..later.ends_ms).contains(&ts_ms);
            assert!(later.people.iter().all(|crossing| is_between(crossing.ts_ms)));
            lost += (later.ends_ms - earlier.ends_ms) / SLICE_MS - 1;
            if to.toward < from.toward {
                rolled_over.insert(dpu);
            }
        }
        assert!(dpus.len() > 60 && rolled_over.len() > 50, "{} of {}", rolled_over.len(), dpus.len());
        assert!(lost > 100, "{lost}");
    }

    #[test]
    fn all_intervals_arrive_and_all_totals_of_whole_hours() {
        let settings = Settings { kinds: Kinds::Mixed, ..settings() };
        let periods = periods();
        let slices = settings.hours * HOUR_MS / SLICE_MS;
        for dpu in 0..settings.dpus {
            let ends: Vec<_> =
                periods.range((dpu, i64::MIN)..(dpu + 1, i64::MIN)).map(|(key, _)| key.1).collect();
            let hours = ends.iter().filter(|ends| **ends % EXACT_MS == 0).count();
            match settings.kinds.of(dpu) {
                Kind::Crossings => assert!(ends.is_empty()),
                Kind::Intervals => assert_eq!(i64::try_from(ends.len()).unwrap(), slices + 1),
                Kind::Totals => assert_eq!(i64::try_from(hours).unwrap(), settings.hours + 1),
            }
        }
    }

    #[test]
    fn some_intervals_are_sent_with_other_numbers_before_they_are_revised() {
        let mut preliminary = HashMap::new();
        for report in (Settings { kinds: Kinds::Mixed, ..settings() }).reports().unwrap() {
            match report.saying {
                Saying::Preliminary(periods) => preliminary.extend(
                    periods
                        .into_iter()
                        .map(|period| ((report.serial.clone(), period.ends_ms), period.numbers)),
                ),
                Saying::Periods(_, periods) => {
                    for period in periods {
                        let before = preliminary.get(&(report.serial.clone(), period.ends_ms));
                        let is_revised = matches!(period.numbers, Numbers::Interval { revise: true, .. });
                        assert_eq!(before.is_some(), is_revised, "{period:?}");
                        assert!(before.is_none_or(|before| *before != period.numbers));
                    }
                }
                _ => {}
            }
        }
        assert!(preliminary.len() > 300, "{}", preliminary.len());
    }

    #[test]
    fn periods_are_written_as_the_server_reads_them() {
        let interval = Period {
            ends_ms: 1_740_960_600_000,
            numbers: Numbers::Interval { counts: Counts { toward: 3, away: 1 }, revise: true },
            people: Vec::new(),
        };
        let (from, to) = ("2025-03-03T00:00:00Z", "2025-03-03T00:10:00Z");
        let expected =
            format!(r#"{{"from":"{from}","to":"{to}","toward":3,"away":1,"dpu_id":"F1","revise":true}}"#);
        assert_eq!(interval.json("F1"), expected);
        let ts = "2025-03-03T00:09:59.999Z";
        let expected = format!(r#"{{"timestamp":"{ts}","total_toward":3,"total_away":1,"dpu_id":"F1"}}"#);
        assert_eq!(interval.of_another_kind().json("F1"), expected);
    }
}
