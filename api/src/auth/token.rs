//! A token in memory.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;
use entity::{Instant, token};

use super::rate_limiter::RateLimiter;
use super::secret::Digest;
use crate::floor_plan::FloorPlan;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A token that was not revoked when it was read. Its expiry is checked on each use.
#[derive(Debug)]
pub struct Token {
    pub id: i64,
    pub name: String,
    pub role: Role,
    pub(super) digest: Digest,
    pub(super) expires: Option<Instant>,
    /// Its rate limiter, if it has a limit.
    pub(super) limiter: Option<Arc<RateLimiter>>,
    /// The beginning of the day on which it was last used, in milliseconds since the Unix epoch.
    last_used_day_ms: AtomicI64,
    /// The last floor plan, restricted to what this token may see.
    view: ArcSwapOption<CachedView>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Read these spaces, or all.
    Read(Option<BTreeSet<i64>>),
    /// Record events of this DPU, or of all.
    Ingest(Option<i64>),
    Admin,
}

#[derive(Debug)]
struct CachedView {
    of: Weak<FloorPlan>,
    seen: Arc<FloorPlan>,
}

impl Token {
    /// Creates the token of a row; `None` if it was revoked. `limiter` is its rate limiter, if it has a limit.
    pub(super) fn new(row: token::Model, limiter: Option<Arc<RateLimiter>>) -> Option<Self> {
        if row.revoked.is_some() {
            return None;
        }
        let role = match row.role {
            token::Role::Read => Role::Read(row.spaces.as_deref().map(ids)),
            token::Role::Ingest => Role::Ingest(row.dpu_id),
            token::Role::Admin => Role::Admin,
        };
        Some(Self {
            id: row.id,
            name: row.name,
            role,
            digest: Digest::stored(&row.digest)?,
            expires: row.expires,
            limiter,
            last_used_day_ms: AtomicI64::new(row.last_used_day.map_or(i64::MIN, Instant::ms)),
            view: ArcSwapOption::empty(),
        })
    }

    /// Returns whether it has not expired at `now`.
    pub(super) fn holds(&self, now: Instant) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    /// Records a use at `now`. Returns the beginning of the day if it is the first use on that day.
    pub(super) fn used(&self, now: Instant) -> Option<Instant> {
        let day = now.floor_to(DAY_MS);
        let first = self.last_used_day_ms.load(Ordering::Relaxed) < day.ms()
            && self.last_used_day_ms.fetch_max(day.ms(), Ordering::Relaxed) < day.ms();
        first.then_some(day)
    }

    /// Returns the part of the floor plan that a token limited to these spaces may see. Computed once for each plan.
    pub(super) fn view(&self, plan: &Arc<FloorPlan>, spaces: &BTreeSet<i64>) -> Arc<FloorPlan> {
        let last = self.view.load();
        // The weak reference keeps the plan's address from being reused.
        if let Some(view) = &*last
            && std::ptr::eq(view.of.as_ptr(), Arc::as_ptr(plan))
        {
            return Arc::clone(&view.seen);
        }
        let seen = Arc::new(plan.only(spaces));
        self.view.store(Some(Arc::new(CachedView { of: Arc::downgrade(plan), seen: Arc::clone(&seen) })));
        seen
    }
}

/// Returns the ids of a row's spaces. Invalid ids are ignored, which gives access to fewer spaces.
fn ids(text: &str) -> BTreeSet<i64> {
    text.split(',').filter_map(|id| id.parse().ok()).collect()
}
