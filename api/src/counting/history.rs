//! The history of a count: what it was over time, in buckets.
//!
//! A count is a step function. It changes where somebody crosses, and where a reset states it anew; where
//! an assignment begins or ends it stays as it is.

use entity::Instant;
use entity::event::Direction;

use super::{Account, Start, Term};

/// What happened to a space at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
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

/// The steps that crossings make, for the space that the term counts for; those outside its stretch are left out.
pub fn steps<'a>(
    term: &'a Term<'_>,
    crossings: impl IntoIterator<Item = &'a (Instant, Direction)> + 'a,
) -> impl Iterator<Item = (Instant, Step)> + 'a {
    let within = |ts: Instant| term.after < Some(ts) && ts <= term.until;
    crossings.into_iter().filter(move |(ts, _)| within(*ts)).map(|(ts, direction)| {
        let enters = i64::from(direction.sign()) == term.placement().sign();
        (*ts, if enters { Step::Entrance } else { Step::Exit })
    })
}

/// The stretches of odometers that a history of `[start, end)` needs: the terms of an account that no reset cuts.
pub fn terms<'a>(account: &Account<'a>, start: Instant) -> impl Iterator<Item = Term<'a>> + use<'a> {
    account.without_start().terms().filter_map(move |term| {
        let after = term.after.max(Some(start.just_before()));
        (after < Some(term.until)).then_some(Term { after, ..term })
    })
}

/// The buckets between the edges, which ascend.
///
/// `before` is the count just before the first edge; `steps` are all between the first edge and the
/// last, in any order; `answer` is what a count is answered as, and applies to every count but not to
/// what is carried on.
pub fn history(
    edges: &[Instant],
    before: i64,
    mut steps: Vec<(Instant, Step)>,
    answer: impl Fn(i64) -> i64,
) -> Vec<Bucket> {
    // At one instant a reset comes last, since it has the crossings in it.
    steps.sort_unstable_by_key(|(ts, step)| (*ts, matches!(step, Step::Reset(_))));
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

/// The steps that resets make.
pub fn resets(starts: &[Start<'_>]) -> impl Iterator<Item = (Instant, Step)> {
    starts.iter().map(|start| (start.ts, Step::Reset(start.count)))
}

#[expect(clippy::cast_precision_loss, reason = "a mean is rounded to what 53 bits hold")]
fn mean(people_ms: i128, ms: i64) -> f64 {
    people_ms as f64 / ms as f64
}
