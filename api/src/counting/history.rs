//! The history of a count: what it was over time, in buckets.
//!
//! A count is a step function. It changes where somebody crosses, and where a reset states it anew; where
//! an assignment begins or ends it stays as it is.

use entity::event::Direction;
use entity::{Instant, assignment};

use super::{Account, Start, Starts, Term};

/// What happened to a space at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A person entered.
    Entrance,
    /// A person left.
    Exit,
    /// The count was stated; crossings at the same instant are in it.
    Reset(i64),
}

/// One bucket of a history.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// The first instant in it.
    pub start: Instant,
    /// The first instant after it.
    pub end: Instant,
    /// The count at its end, that is one millisecond before `end`.
    pub count: i64,
    /// The lowest count in it.
    pub min: i64,
    /// The highest count in it.
    pub max: i64,
    /// The mean of the count over its time.
    pub average: f64,
    /// How many people entered.
    pub entrances: i64,
    /// How many people left.
    pub exits: i64,
}

impl Bucket {
    /// The average as a part of `capacity`; `None` where there is no capacity.
    pub fn utilization(&self, capacity: Option<i32>) -> Option<f64> {
        capacity.map(|capacity| self.average / f64::from(capacity))
    }
}

/// The crossings that a DPU saw in `(after, until]`, to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stretch {
    /// The DPU's id.
    pub dpu: i64,
    /// The last instant before it; `None`: it begins with the first crossing ever.
    pub after: Option<Instant>,
    /// The last instant in it.
    pub until: Instant,
}

/// The history of one space, before anybody has looked at an odometer.
#[derive(Clone, Debug)]
pub struct History<'a> {
    edges: Vec<Instant>,
    before: Account<'a>,
    starts: Vec<Start<'a>>,
    terms: Vec<Term<'a>>,
}

impl<'a> History<'a> {
    /// The history of the space that `assignments` and `starts` belong to, in the buckets between the
    /// edges, which ascend. Fewer than two edges have no bucket between them.
    pub fn new(assignments: &'a [assignment::Model], starts: Starts<'a>, edges: Vec<Instant>) -> Self {
        let start = edges.first().copied().unwrap_or(Instant::MIN);
        let end = edges.last().copied().unwrap_or(start);
        let before = start.just_before();
        // Entrances and exits are counted whatever a reset says, so these terms start from no reset.
        let terms = Account::new(assignments, None, end.just_before()).terms().filter_map(|term| {
            let after = term.after.max(Some(before));
            (after < Some(term.until)).then_some(Term { after, ..term })
        });
        Self {
            before: Account::new(assignments, starts.newest(before), before),
            starts: starts.within(start, end),
            terms: terms.collect(),
            edges,
        }
    }

    /// The account of the count just before the history begins.
    pub fn before(&self) -> Account<'a> {
        self.before
    }

    /// The stretches of odometers that [`buckets`](Self::buckets) will ask for.
    pub fn stretches(&self) -> impl Iterator<Item = Stretch> {
        self.terms.iter().map(Term::stretch)
    }

    /// The buckets.
    ///
    /// `before` is what the account [`before`](Self::before) adds up to; `crossings` are those of a stretch,
    /// in any order; `answer` is what a count is answered as, and applies to every count but not to what
    /// is carried on.
    pub fn buckets<'e>(
        &self,
        before: i64,
        crossings: impl Fn(Stretch) -> &'e [(Instant, Direction)],
        answer: impl Fn(i64) -> i64,
    ) -> Vec<Bucket> {
        let resets = self.starts.iter().map(|start| (start.ts, Step::Reset(start.count)));
        let crossed = self.terms.iter().flat_map(|term| {
            let step = |direction: Direction| match term.placement().sign() * i64::from(direction.sign()) {
                1 => Step::Entrance,
                _ => Step::Exit,
            };
            crossings(term.stretch()).iter().map(move |(ts, direction)| (*ts, step(*direction)))
        });
        let mut steps: Vec<_> = resets.chain(crossed).collect();
        // At one instant a reset comes last, since it has the crossings in it.
        steps.sort_unstable_by_key(|(ts, step)| (*ts, matches!(step, Step::Reset(_))));
        cut(&self.edges, before, steps, answer)
    }
}

/// Cuts the steps, which are in order, into buckets.
fn cut(
    edges: &[Instant],
    before: i64,
    steps: Vec<(Instant, Step)>,
    answer: impl Fn(i64) -> i64,
) -> Vec<Bucket> {
    let mut steps = steps.into_iter().peekable();
    let mut net = before;
    edges
        .windows(2)
        .map(|edge| {
            let (start, end) = (edge[0], edge[1]);
            let mut bucket = Bucket {
                start,
                end,
                count: 0,
                min: i64::MAX,
                max: i64::MIN,
                average: 0.0,
                entrances: 0,
                exits: 0,
            };
            let mut people_ms: i128 = 0;
            let mut from = start;
            while from < end {
                while let Some((_, step)) = steps.next_if(|(ts, _)| *ts <= from) {
                    match step {
                        Step::Entrance => (net, bucket.entrances) = (net + 1, bucket.entrances + 1),
                        Step::Exit => (net, bucket.exits) = (net - 1, bucket.exits + 1),
                        Step::Reset(count) => net = count,
                    }
                }
                let until = steps.peek().map_or(end, |(ts, _)| end.min(*ts));
                bucket.count = answer(net);
                bucket.min = bucket.min.min(bucket.count);
                bucket.max = bucket.max.max(bucket.count);
                people_ms += i128::from(bucket.count) * i128::from(until.ms() - from.ms());
                from = until;
            }
            bucket.average = mean(people_ms, end.ms() - start.ms());
            bucket
        })
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "a mean is rounded to what 53 bits hold")]
fn mean(people_ms: i128, ms: i64) -> f64 {
    people_ms as f64 / ms as f64
}
