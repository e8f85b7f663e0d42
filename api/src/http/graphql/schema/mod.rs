//! The schema, one file a noun: objects, inputs, scalars, and the three roots.

mod assignment;
mod breakdown;
mod dpu;
mod enums;
mod event;
mod health;
mod history;
mod id;
mod int;
mod mutation;
mod node;
mod page;
mod query;
mod report;
mod reset;
mod scalars;
mod sequence;
mod space;
mod subscription;
mod token;
mod unknown_device;

pub(super) use self::mutation::Mutation;
use self::mutation::ingest;
pub(super) use self::query::Query;
pub(super) use self::subscription::Subscription;
use super::limits::DeclaredEntries;

/// The numbers of entries that are declared beside fields, by object.
pub(super) const ENTRIES: &[(&str, DeclaredEntries)] = &[
    ("Space", space::ENTRIES),
    ("Dpu", dpu::ENTRIES),
    ("CountBreakdown", breakdown::ENTRIES),
    ("Mutation", ingest::ENTRIES),
    ("IngestPayload", ingest::PAYLOAD_ENTRIES),
];
