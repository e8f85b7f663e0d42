//! The history of a count: what it was over time, in buckets.
//!
//! A count is a step function. It changes at each crossing and is set anew by a reset. It does not change where an
//! assignment begins or ends. [`fold`] turns the crossings of successive stretches of time into [`Cell`]s, which hold
//! all that a bucket needs to know about its part of the time. [`Buckets`] combines cells into buckets.

use values::Instant;

use crate::{Account, Assignment, Start, Starts, Term};

/// What a count did during a stretch of time that begins where the previous cell ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The signed count at the end of the cell.
    pub net: i64,
    /// The lowest count, after clamping.
    pub min: i64,
    /// The highest count, after clamping.
    pub max: i64,
    /// The count integrated over time, in people × milliseconds, after clamping.
    pub people_ms: i64,
    /// The number of people who entered.
    pub entrances: u32,
    /// The number of people who left.
    pub exits: u32,
}

/// People who entered and left at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// The number of people who entered.
    pub entrances: u32,
    /// The number of people who left.
    pub exits: u32,
}

/// One bucket of a history.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Start of the bucket, inclusive.
    pub start: Instant,
    /// End of the bucket, exclusive.
    pub end: Instant,
    /// The count at the end of the bucket, one millisecond before `end`.
    pub count: i64,
    /// The lowest count.
    pub min: i64,
    /// The highest count.
    pub max: i64,
    /// The time-weighted mean of the count.
    pub average: f64,
    /// The number of people who entered.
    pub entrances: i64,
    /// The number of people who left.
    pub exits: i64,
}

impl Bucket {
    /// Returns the average divided by `capacity`. `None` without a capacity.
    pub fn utilization(&self, capacity: Option<i32>) -> Option<f64> {
        capacity.map(|capacity| self.average / f64::from(capacity))
    }
}

/// The history of one space. Does not read any odometer itself.
#[derive(Clone, Debug)]
pub struct History<'a> {
    edges: Vec<Instant>,
    before: Account<'a>,
    starts: Starts<'a>,
    terms: Vec<Term<'a>>,
}

impl<'a> History<'a> {
    /// Creates the history of the space that `assignments` and `starts` belong to. `edges` are the limits of its
    /// buckets, ascending. With fewer than two edges there are no buckets.
    pub fn new(assignments: &'a [Assignment], starts: Starts<'a>, edges: Vec<Instant>) -> Self {
        let start = edges.first().copied().unwrap_or(Instant::MIN);
        let end = edges.last().copied().unwrap_or(start);
        let before = start.just_before();
        // Resets do not change entrances and exits, so these terms start from no reset.
        let terms = Account::new(assignments, None, end.just_before()).terms().filter_map(|term| {
            let after = term.after.max(Some(before));
            (after < Some(term.until)).then_some(Term { after, ..term })
        });
        let before = Account::new(assignments, starts.newest(before), before);
        Self { before, starts, terms: terms.collect(), edges }
    }

    /// Returns the limits of the buckets.
    pub fn edges(&self) -> &[Instant] {
        &self.edges
    }

    /// Returns the account of the count just before the history begins.
    pub fn before(&self) -> Account<'a> {
        self.before
    }

    /// Returns what each assignment adds, from the first instant of the history to the last.
    pub fn terms(&self) -> &[Term<'a>] {
        &self.terms
    }

    /// Returns the resets in `[from, end)`, in ascending order.
    pub fn resets(&self, from: Instant, end: Instant) -> Vec<Start> {
        self.starts.within(from, end)
    }

    /// Returns the first and last instant of `[from, end)` that [`resets`](Self::resets) may have. `None`: no resets.
    pub fn reset_span(&self, from: Instant, end: Instant) -> Option<(Instant, Instant)> {
        self.starts.span_within(from, end)
    }

    /// Returns whether there may be [`resets`](Self::resets) in `[from, end)`.
    pub fn may_be_reset(&self, from: Instant, end: Instant) -> bool {
        self.reset_span(from, end).is_some()
    }
}

/// Folds the events of a stretch of time into the cells between its edges.
///
/// `net` is the signed count just before the first edge. `steps` are the people who enter and leave,
/// ascending and between the first and the last edge. `resets` are those of the same period; a reset comes after the
/// crossings of its instant, because it includes them. `answer` converts a signed count to the reported one
/// (clamping). It applies to every reported count, but not to the running count.
pub fn fold(
    mut net: i64,
    edges: &[Instant],
    steps: impl IntoIterator<Item = (Instant, Passed)>,
    resets: &[Start],
    answer: impl Fn(i64) -> i64,
) -> Vec<Cell> {
    let mut steps = steps.into_iter().peekable();
    let mut resets = resets.iter().peekable();
    let cells = edges.windows(2).map(|edge| {
        let mut cell = Cell { net, min: i64::MAX, max: i64::MIN, people_ms: 0, entrances: 0, exits: 0 };
        let (mut from, end) = (edge[0], edge[1]);
        while from < end {
            while let Some((_, Passed { entrances, exits })) = steps.next_if(|(ts, _)| *ts <= from) {
                net += i64::from(entrances) - i64::from(exits);
                cell.entrances = cell.entrances.saturating_add(entrances);
                cell.exits = cell.exits.saturating_add(exits);
            }
            while let Some(reset) = resets.next_if(|reset| reset.ts <= from) {
                net = reset.count;
            }
            let step = steps.peek().map_or(end, |(ts, _)| *ts);
            let until = resets.peek().map_or(end, |reset| reset.ts).min(step).min(end);
            let count = answer(net);
            cell.min = cell.min.min(count);
            cell.max = cell.max.max(count);
            cell.people_ms += count * (until.ms() - from.ms());
            from = until;
        }
        cell.net = net;
        cell
    });
    cells.collect()
}

/// Combines successive cells into the buckets of a history.
#[derive(Debug)]
pub struct Buckets<'h> {
    edges: &'h [Instant],
    done: Vec<Bucket>,
    /// The bucket that is being filled.
    open: Bucket,
    people_ms: i128,
    /// The first instant that is not filled yet.
    at: Instant,
    /// The signed count at that instant.
    net: i64,
}

impl<'h> Buckets<'h> {
    /// Creates the buckets between these edges. `net` is the signed count just before the first edge.
    pub fn new(edges: &'h [Instant], before: i64) -> Self {
        let at = edges.first().copied().unwrap_or(Instant::MIN);
        let buckets = edges.len().saturating_sub(1);
        let open = Bucket::empty(at);
        Self { edges, done: Vec::with_capacity(buckets), open, people_ms: 0, at, net: before }
    }

    /// Returns the first instant that is not filled yet.
    pub fn at(&self) -> Instant {
        self.at
    }

    /// Returns the signed count at that instant.
    pub fn net(&self) -> i64 {
        self.net
    }

    /// Returns the edges after the current instant and before `until`.
    pub fn edges_before(&self, until: Instant) -> &'h [Instant] {
        let edges = &self.edges[(self.done.len() + 1).min(self.edges.len())..];
        &edges[..edges.partition_point(|edge| *edge < until)]
    }

    /// Returns the end of the bucket that is being filled. `None` once all are full.
    pub fn bucket_end(&self) -> Option<Instant> {
        self.edges.get(self.done.len() + 1).copied()
    }

    /// Adds a cell that ends at `until`, which must not be after the end of the current bucket.
    pub fn add(&mut self, until: Instant, cell: &Cell, answer: impl Fn(i64) -> i64) {
        let Some(end) = self.bucket_end() else { return };
        self.open.min = self.open.min.min(cell.min);
        self.open.max = self.open.max.max(cell.max);
        self.open.entrances += i64::from(cell.entrances);
        self.open.exits += i64::from(cell.exits);
        self.people_ms += i128::from(cell.people_ms);
        (self.at, self.net) = (until, cell.net);
        if until >= end {
            let ms = end.ms() - self.open.start.ms();
            let average = mean(self.people_ms, ms);
            self.done.push(Bucket { end, count: answer(self.net), average, ..self.open });
            (self.open, self.people_ms) = (Bucket::empty(end), 0);
        }
    }

    /// Adds a period without crossings that ends at `until`.
    pub fn add_quiet(&mut self, until: Instant, answer: impl Fn(i64) -> i64 + Copy) {
        let count = answer(self.net);
        while self.at < until
            && let Some(end) = self.bucket_end()
        {
            let end = end.min(until);
            // In steps small enough for the product not to overflow: 2,000,000,000 people for a month.
            let end = end.min(self.at.plus_ms(QUIET_MS_MAX));
            let people_ms = count * (end.ms() - self.at.ms());
            let cell = Cell { net: self.net, min: count, max: count, people_ms, entrances: 0, exits: 0 };
            self.add(end, &cell, answer);
        }
    }

    /// Returns the buckets. Buckets that nothing was added to are left out.
    pub fn finish(self) -> Vec<Bucket> {
        self.done
    }
}

const QUIET_MS_MAX: i64 = 31 * 86_400_000;

impl Bucket {
    fn empty(start: Instant) -> Self {
        let (min, max) = (i64::MAX, i64::MIN);
        Self { start, end: start, count: 0, min, max, average: 0.0, entrances: 0, exits: 0 }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a mean is rounded to what 53 bits hold")]
fn mean(people_ms: i128, ms: i64) -> f64 {
    people_ms as f64 / ms as f64
}
