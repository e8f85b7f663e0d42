//! The definition of a count. No I/O, no async, no clock.
//!
//! A DPU is an odometer: `P(d, t)` is the sum of the directions of its events with `ts <= t`. Let `r` be the newest
//! reset of a space at or before `t` (if there is no reset: a count of 0 at minus infinity) and let `a` run over the
//! space's assignments. Then
//!
//! ```text
//! count(s, t) = r.count + sum over a of a.placement
//!                         * ( P(a.dpu, min(t, a.ends_at - 1ms)) - P(a.dpu, max(r.ts, a.starts_at - 1ms)) )
//! ```
//!
//! A term whose upper bound is not after its lower bound is zero. Events never name a space, so correcting an
//! assignment corrects every count immediately. A late event changes one odometer. An event that is sent again
//! changes nothing, because a set of events contains it only once.
//!
//! A reset is either recorded, or an occurrence of a rule that applies every day ([`Starts`]).
//!
//! Many sensors report how many people crossed in an [`Interval`], or [`totals`] whose differences are intervals. `P`
//! includes an interval's people from its last millisecond on. Before that, the count is known to lie in a
//! [`CountRange`] ([`Account::range`]).
//!
//! An [`Account`] is the formula for one space and instant. It lists the odometers it needs
//! ([`Account::readings`]) and computes the count from their values ([`Account::net`]).

#![warn(missing_docs)]

mod account;
pub mod calendar;
mod crossings;
mod history;
mod interval;
mod odometer;
#[cfg(any(test, feature = "oracle"))]
pub mod oracle;
mod plan;
#[cfg(test)]
mod properties;
mod start;
pub mod totals;

pub use account::{Account, Reading, Stretch, Term};
pub use crossings::Crossings;
pub use history::{Bucket, Buckets, Cell, History, Passed, fold};
pub use interval::{CountRange, Interval};
pub use odometer::Odometer;
pub use plan::{Assignment, Reset, ResetRule};
pub use start::{Source, Start, Starts};
