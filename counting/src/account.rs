//! The account of a count: where it starts, and which stretch of which odometer each assignment adds.

use values::{Instant, Placement};

use crate::{Assignment, CountRange, Crossings, Interval, Start};

/// The readings that make up the count of one space at one instant. Does not read any odometer itself.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    start: Option<Start>,
    assignments: &'a [Assignment],
    at: Instant,
}

/// An odometer to be read: the crossings that this DPU had seen by this instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reading {
    /// The DPU's id.
    pub dpu: i64,
    /// The instant; crossings at exactly this instant are included.
    pub at: Instant,
}

/// The crossings that a DPU saw in `(after, until]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stretch {
    /// The DPU's id.
    pub dpu: i64,
    /// The last instant before the stretch. `None`: it begins with the DPU's first crossing.
    pub after: Option<Instant>,
    /// The last instant in it.
    pub until: Instant,
}

/// What one assignment adds to a count: its DPU's crossings in `(after, until]`.
#[derive(Clone, Copy, Debug)]
pub struct Term<'a> {
    /// The assignment.
    pub assignment: &'a Assignment,
    /// The last instant before the stretch. `None`: it begins with the DPU's first crossing.
    pub after: Option<Instant>,
    /// The last instant of the stretch.
    pub until: Instant,
}

impl<'a> Account<'a> {
    /// Creates the account at `at` of the space that `assignments` belong to. `start` is the newest reset at or
    /// before `at`. `None`: the count starts from 0, before the first crossing.
    pub fn new(assignments: &'a [Assignment], start: Option<Start>, at: Instant) -> Self {
        Self { start, assignments, at }
    }

    /// Returns the reset that the count starts from.
    pub fn start(&self) -> Option<Start> {
        self.start
    }

    /// Returns what each assignment adds. Assignments with an empty stretch are left out.
    pub fn terms(&self) -> impl Iterator<Item = Term<'a>> + use<'a> {
        let (start, at) = (self.start.map(|start| start.ts), self.at);
        self.assignments.iter().filter_map(move |assignment| {
            // `None` sorts first, and so stands for minus infinity.
            let after = start.max(assignment.starts_at.map(Instant::just_before));
            let until = assignment.ends_at.map_or(at, |ends_at| at.min(ends_at.just_before()));
            (after < Some(until)).then_some(Term { assignment, after, until })
        })
    }

    /// Returns every odometer that [`net`](Self::net) will ask for.
    pub fn readings(&self) -> impl Iterator<Item = Reading> + use<'a> {
        self.terms().flat_map(|term| [term.upper()].into_iter().chain(term.lower()))
    }

    /// Returns the count; negative if more people left than were counted in. Calls `odometer` with the
    /// [`readings`](Self::readings) and no others.
    pub fn net(&self, odometer: impl Fn(Reading) -> Crossings) -> i64 {
        self.try_net(|reading| Some(odometer(reading))).unwrap_or_default()
    }

    /// Like [`net`](Self::net), but returns `None` if any of the odometers is unknown.
    pub fn try_net(&self, odometer: impl Fn(Reading) -> Option<Crossings>) -> Option<i64> {
        let mut net = self.start.map_or(0, |start| start.count);
        for term in self.terms() {
            let lower = term.lower().map_or(Some(Crossings::default()), &odometer)?;
            net += term.placement().sign() * (odometer(term.upper())? - lower).net();
        }
        Some(net)
    }

    /// Returns the lowest and the highest count that the reports allow. Calls `open` with the
    /// [`readings`](Self::readings); it returns the interval of that DPU that [is open](Interval::is_open_at) then, if
    /// there is one. `net` is the account's [`net`](Self::net).
    ///
    /// Each person of an open interval may have crossed at any instant in it, whenever the others did.
    pub fn range(&self, net: i64, open: impl Fn(Reading) -> Option<Interval>) -> CountRange {
        let mut around: Vec<(i64, Interval)> = Vec::new();
        for reading in self.readings() {
            let found = open(reading).map(|interval| (reading.dpu, interval));
            around.extend(found.filter(|found| !around.contains(found)));
        }
        let mut range = CountRange { low: net, high: net };
        for (dpu, interval) in around {
            let Crossings { toward, away } = interval.people;
            let (least, most) = self.shares(dpu, &interval);
            range.low += toward * least - away * most;
            range.high += toward * most - away * least;
        }
        range
    }

    /// Returns the least and the most that one person who walked toward the DPU during the interval may add to the
    /// count, compared with what they add at the end of the interval.
    fn shares(&self, dpu: i64, interval: &Interval) -> (i64, i64) {
        let last = interval.counted_at();
        let terms = || self.terms().filter(|term| term.assignment.dpu == dpu);
        let share = |at: Instant| {
            let holds = |term: &Term<'_>| term.after < Some(at) && at <= term.until;
            terms().filter(holds).map(|term| term.placement().sign()).sum::<i64>()
        };
        // What a person adds changes only after these instants.
        let edges = terms().flat_map(|term| term.after.into_iter().chain([term.until]));
        let within = edges.map(|edge| edge.plus_ms(1)).filter(|at| interval.starts < *at && *at <= last);
        let at_end = share(last);
        let shares = within.chain([interval.starts]).map(|at| share(at) - at_end);
        shares.fold((0, 0), |(least, most), share| (least.min(share), most.max(share)))
    }
}

impl Term<'_> {
    /// Returns the reading at the end of the stretch.
    fn upper(&self) -> Reading {
        Reading { dpu: self.assignment.dpu, at: self.until }
    }

    /// Returns the reading before the stretch. `None` if the stretch begins with the first crossing: it would be zero.
    fn lower(&self) -> Option<Reading> {
        self.after.map(|at| Reading { dpu: self.assignment.dpu, at })
    }

    /// Returns the stretch itself, to read its crossings one by one.
    pub fn stretch(&self) -> Stretch {
        Stretch { dpu: self.assignment.dpu, after: self.after, until: self.until }
    }

    /// Returns what the DPU saw during the stretch.
    pub fn crossings(&self, odometer: impl Fn(Reading) -> Crossings) -> Crossings {
        odometer(self.upper()) - self.lower().map(odometer).unwrap_or_default()
    }

    /// Returns the change of the space's count during the stretch.
    pub fn net(&self, odometer: impl Fn(Reading) -> Crossings) -> i64 {
        self.placement().sign() * self.crossings(odometer).net()
    }

    /// Returns which side of the doorway the DPU hung on.
    pub fn placement(&self) -> Placement {
        self.assignment.placement
    }
}
