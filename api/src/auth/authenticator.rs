//! Authentication: everything is allowed while the server is open, and later what the client's token allows.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use entity::{Instant, token};
use moka::sync::Cache;
use sea_orm::{ColumnTrait, Condition, DbErr, EntityTrait, QueryFilter};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::access::{Access, Denied};
use super::config::AuthSettings;
use super::rate_limiter::RateLimiter;
use super::tokens::{TokenSet, Tokens};
use crate::clock::Clock;
use crate::database::Database;
use crate::state::State;
use crate::tasks::{self, Tasks};

/// Interval of the checks whether a token has expired.
const LOOK: Duration = Duration::from_secs(1);

const ADDRESSES_MAX: u64 = 100_000;

/// Knows the tokens, and what a client without one may do.
#[derive(Debug)]
pub struct Authenticator {
    settings: AuthSettings,
    tokens: Arc<Tokens>,
    /// Tells whether changes by other processes are heard of: if not, tokens in memory may be old.
    state: Arc<State>,
    clock: Clock,
    /// Receives the tokens that are used for the first time on a day.
    used: UnboundedSender<(i64, Instant)>,
    /// Rate limiters of client addresses, while no token is required.
    addresses: Option<Cache<IpAddr, Arc<RateLimiter>>>,
}

impl Authenticator {
    pub fn new(
        settings: AuthSettings,
        tokens: Arc<Tokens>,
        state: Arc<State>,
        clock: Clock,
        tasks: &Tasks,
    ) -> Self {
        let (used, days) = unbounded_channel();
        tasks.spawn("uses of tokens", note_uses(state.database().clone(), days));
        let addresses = settings.address_rate.map(|_| Cache::new(ADDRESSES_MAX));
        Self { settings, tokens, state, clock, used, addresses }
    }

    pub fn settings(&self) -> &AuthSettings {
        &self.settings
    }

    pub(crate) async fn tokens(&self) -> Result<Arc<TokenSet>, DbErr> {
        if !self.state.is_followed() {
            self.tokens.forget();
        }
        self.tokens.newest(self.state.database()).await
    }

    /// Runs `work` with the tokens, if they are in memory and known to be current.
    pub(crate) fn with_tokens<T>(&self, work: impl FnOnce(&TokenSet) -> T) -> Option<T> {
        if !self.state.is_followed() {
            return None;
        }
        self.tokens.in_memory().as_deref().map(work)
    }

    /// Reads the tokens again before they are used again: this process has changed them.
    pub(crate) fn tokens_changed(&self) {
        self.tokens.forget();
    }

    /// Returns whether every client may read and change everything: no token was ever created, and the settings allow it.
    pub(crate) fn is_open(&self, tokens: &TokenSet) -> bool {
        self.settings.open_without_tokens && tokens.is_empty()
    }

    /// Returns what a client of an open server may do, and counts its request for the rate of its address.
    pub(crate) fn open(&self, address: impl FnOnce() -> Option<IpAddr>) -> Result<Access, Denied> {
        let rate = self.settings.address_rate.zip(self.addresses.as_ref());
        let limiter = rate
            .and_then(|(rate, addresses)| Some(addresses.get_with(address()?, || RateLimiter::new(rate))));
        let access = Access::open(limiter);
        access.step()?;
        Ok(access)
    }

    /// Returns what the client that shows this token may do, and counts its request for the rate of the token.
    pub(crate) fn by_token(&self, tokens: &TokenSet, secret: &[u8]) -> Result<Access, Denied> {
        let now = self.clock.now();
        let token = tokens.find(secret, now).ok_or(Denied::Invalid)?;
        if let Some(day) = token.used(now) {
            // The receiver is gone only when the server is stopping.
            self.used.send((token.id, day)).ok();
        }
        let access = Access::by(token);
        access.step()?;
        Ok(access)
    }

    /// Returns whether an access is still valid: its token, or that the server is open.
    pub(crate) async fn still_allows(&self, access: &Access) -> Result<bool, DbErr> {
        let tokens = self.tokens().await?;
        Ok(match access.token() {
            None => self.is_open(&tokens),
            Some(token) => tokens.holds(token, self.clock.now()),
        })
    }

    /// Resolves when an access is no longer valid: its token was revoked or has expired, or the server now requires tokens.
    pub(crate) async fn ended(&self, access: &Access) {
        let mut changes = self.tokens.changes();
        let expires = access.token().is_some_and(|token| token.expires.is_some());
        loop {
            let known = match self.still_allows(access).await {
                Ok(false) => return,
                Ok(true) => true,
                Err(_) => false,
            };
            let look = async {
                if known && !expires {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep(LOOK).await;
            };
            tokio::select! {
                // The sender lives as long as the authenticator.
                _ = changes.changed() => {}
                () = look => {}
            }
        }
    }
}

/// Records the days on which tokens were used, outside of requests.
async fn note_uses(database: Database, mut days: UnboundedReceiver<(i64, Instant)>) {
    while let Some((id, day)) = days.recv().await {
        let earlier = Condition::any()
            .add(token::Column::LastUsedDay.is_null())
            .add(token::Column::LastUsedDay.lt(day));
        let noted = async {
            let transaction = database.begin().await?;
            token::Entity::update_many()
                .col_expr(token::Column::LastUsedDay, day.into())
                .filter(token::Column::Id.eq(id))
                .filter(earlier)
                .exec(&transaction)
                .await?;
            transaction.commit().await
        };
        tasks::ran();
        if let Err(error) = noted.await {
            tracing::warn!(%error, token = id, "cannot record the day on which a token was used");
        }
    }
}
