//! The cache of valid tokens, which is read from the database again after it was invalidated.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwapOption, Guard};
use entity::{Instant, token};
use sea_orm::{DbErr, EntityTrait};
use tokio::sync::watch;

use super::rate_limiter::{Rate, RateLimiter};
use super::secret::Digest;
use super::token::Token;
use crate::database::Database;

/// The current tokens, cached until they are known to have changed.
#[derive(Debug)]
pub struct Tokens {
    newest: ArcSwapOption<TokenSet>,
    /// Number of invalidations. The cached tokens were read after the last one.
    forgotten: watch::Sender<u64>,
    /// The rate limiter of each token, which outlives the cached tokens. Locked while reading, so that concurrent
    /// requests wait for one reading instead of starting their own.
    limiters: tokio::sync::Mutex<HashMap<i64, Arc<RateLimiter>>>,
    /// Locked while tokens are stored in the cache, and while it is invalidated.
    keeping: Mutex<()>,
    rate: Option<Rate>,
}

#[derive(Debug, Default)]
pub(crate) struct TokenSet {
    /// The tokens that are not revoked, sorted by digest.
    valid: Vec<Arc<Token>>,
    /// Whether any token exists, including revoked ones.
    any: bool,
}

impl Tokens {
    pub fn new(rate: Option<Rate>) -> Self {
        Self {
            newest: ArcSwapOption::empty(),
            forgotten: watch::Sender::new(0),
            limiters: tokio::sync::Mutex::default(),
            keeping: Mutex::default(),
            rate,
        }
    }

    /// Takes no lock and does not wait.
    pub(super) fn in_memory(&self) -> Guard<Option<Arc<TokenSet>>> {
        self.newest.load()
    }

    /// Returns the tokens, including every change that was committed before the last invalidation.
    pub(super) async fn newest(&self, database: &Database) -> Result<Arc<TokenSet>, DbErr> {
        if let Some(tokens) = self.newest.load_full() {
            return Ok(tokens);
        }
        // Without a time limit, a request would wait for the failures of all before it while the database is down.
        let mut limiters = database.in_turn(self.limiters.lock()).await?;
        if let Some(tokens) = self.newest.load_full() {
            return Ok(tokens);
        }
        let forgotten = *self.forgotten.borrow();
        let rows = database.in_time(token::Entity::find().all(database.reader())).await?;
        let tokens = Arc::new(TokenSet::new(rows, self.rate, &mut limiters));
        let _keeping = self.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        if *self.forgotten.borrow() == forgotten {
            self.newest.store(Some(Arc::clone(&tokens)));
        }
        Ok(tokens)
    }

    pub(crate) fn forget(&self) {
        let keeping = self.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        self.newest.store(None);
        self.forgotten.send_modify(|forgotten| *forgotten += 1);
        drop(keeping);
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.forgotten.subscribe()
    }
}

impl TokenSet {
    fn new(
        rows: Vec<token::Model>,
        rate: Option<Rate>,
        limiters: &mut HashMap<i64, Arc<RateLimiter>>,
    ) -> Self {
        let any = !rows.is_empty();
        let valid = rows.into_iter().filter_map(|row| {
            let limiter =
                rate.map(|rate| limiters.entry(row.id).or_insert_with(|| RateLimiter::new(rate)).clone());
            Token::new(row, limiter)
        });
        let mut valid: Vec<_> = valid.map(Arc::new).collect();
        valid.sort_unstable_by_key(|token| token.digest.order());
        limiters.retain(|id, _| valid.iter().any(|token| token.id == *id));
        Self { valid, any }
    }

    /// Returns whether no token was ever created.
    pub(super) fn is_empty(&self) -> bool {
        !self.any
    }

    pub(super) fn find(&self, shown: &[u8], now: Instant) -> Option<&Arc<Token>> {
        let digest = Digest::of(shown);
        let first = self.valid.partition_point(|token| token.digest.order() < digest.order());
        let alike = self.valid[first..].iter().take_while(|token| token.digest.order() == digest.order());
        alike.into_iter().find(|token| token.digest.is(&digest)).filter(|token| token.holds(now))
    }

    pub(super) fn holds(&self, token: &Token, now: Instant) -> bool {
        self.valid.iter().any(|valid| valid.id == token.id) && token.holds(now)
    }

    pub(super) fn any_valid(&self, now: Instant) -> bool {
        self.valid.iter().any(|token| token.holds(now))
    }
}
