//! What a count is, and nothing else: no I/O, no async, no clock.
//!
//! A DPU is an odometer: `P(d, t)` is what it had seen by `t`, that is the sum of the directions of its
//! events with `ts <= t`. Let `r` be the newest reset of a space at or before `t` (none: a count of 0 at
//! minus infinity) and let `a` run over the space's assignments. Then
//!
//! ```text
//! count(s, t) = r.count + sum over a of a.placement
//!                         * ( P(a.dpu, min(t, a.ends_at - 1ms)) - P(a.dpu, max(r.ts, a.starts_at - 1ms)) )
//! ```
//!
//! where a term whose upper bound is not after its lower bound is zero. Events never name a space, so a
//! corrected assignment corrects every count at once; a late event changes one odometer; an event sent
//! again changes nothing, since a set of events has it only once.
//!
//! A reset is recorded, or it is the occurrence of a rule that holds every day ([`Starts`]).
//!
//! An [`Account`] is the formula for one space and instant. It says which odometers it needs
//! ([`Account::readings`]), and once somebody has read them, what they add up to ([`Account::net`]).

mod account;
pub mod calendar;
mod crossings;
mod history;
mod odometer;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod properties;
mod start;

pub use account::{Account, Reading, Stretch, Term};
pub use crossings::Crossings;
pub use history::{Bucket, Buckets, Cell, History, fold};
pub use odometer::Odometer;
pub use start::{Source, Start, Starts};
