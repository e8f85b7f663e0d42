//! A token that is valid, as it is kept in memory.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;
use entity::{Instant, token};

use super::pace::Pace;
use super::secret::Digest;
use crate::floor_plan::FloorPlan;

/// A day in milliseconds.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A token that was not revoked when it was read. Whether it has expired is asked when it is used.
#[derive(Debug)]
pub struct Token {
    /// Its row's id.
    pub id: i64,
    /// What it is called.
    pub name: String,
    /// What it is for.
    pub role: Role,
    pub(super) digest: Digest,
    pub(super) expires: Option<Instant>,
    /// How it keeps to its rate, if there is one.
    pub(super) pace: Option<Arc<Pace>>,
    /// When the day began on which it was last used, in milliseconds since the Unix epoch.
    last_used_day_ms: AtomicI64,
    /// The floor plan as it was last seen with this token.
    view: ArcSwapOption<View>,
}

/// What a token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// To ask about these spaces, or about all.
    Read(Option<BTreeSet<i64>>),
    /// To record events of this DPU, or of all.
    Ingest(Option<i64>),
    /// To do everything.
    Admin,
}

/// What is seen of a floor plan.
#[derive(Debug)]
struct View {
    of: Weak<FloorPlan>,
    seen: Arc<FloorPlan>,
}

impl Token {
    /// The token of a row; `None` where it was revoked. `pace` is for what has one.
    pub(super) fn new(row: token::Model, pace: Option<Arc<Pace>>) -> Option<Self> {
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
            pace,
            last_used_day_ms: AtomicI64::new(row.last_used_day.map_or(i64::MIN, Instant::ms)),
            view: ArcSwapOption::empty(),
        })
    }

    /// Whether it is still valid at `now`.
    pub(super) fn holds(&self, now: Instant) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    /// Takes note that it is used at `now`; the day's beginning if it is the first time on that day.
    pub(super) fn used(&self, now: Instant) -> Option<Instant> {
        let day = now.floor_to(DAY_MS);
        let first = self.last_used_day_ms.load(Ordering::Relaxed) < day.ms()
            && self.last_used_day_ms.fetch_max(day.ms(), Ordering::Relaxed) < day.ms();
        first.then_some(day)
    }

    /// What a token that is limited to these spaces sees of the floor plan. It is made once for each plan.
    pub(super) fn view(&self, plan: &Arc<FloorPlan>, spaces: &BTreeSet<i64>) -> Arc<FloorPlan> {
        let last = self.view.load();
        // While somebody holds a weak reference, no other plan comes to lie at its address.
        if let Some(view) = &*last
            && std::ptr::eq(view.of.as_ptr(), Arc::as_ptr(plan))
        {
            return Arc::clone(&view.seen);
        }
        let seen = Arc::new(plan.only(spaces));
        self.view.store(Some(Arc::new(View { of: Arc::downgrade(plan), seen: Arc::clone(&seen) })));
        seen
    }
}

/// The ids of a row's spaces. What is no id lets nobody see more.
fn ids(text: &str) -> BTreeSet<i64> {
    text.split(',').filter_map(|id| id.parse().ok()).collect()
}
