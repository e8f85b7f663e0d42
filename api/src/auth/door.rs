//! Finds out who asks.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, header};
use entity::{Instant, token};
use moka::sync::Cache;
use sea_orm::{ColumnTrait, Condition, DbErr, EntityTrait, QueryFilter};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::access::{Access, Refusal};
use super::config::Settings;
use super::origin::{is_cross_site, is_this_machine};
use super::pace::Pace;
use super::tokens::Snapshot;
use crate::app::App;
use crate::database::Database;

/// Of how many addresses it is known how they keep to the rate of an open server.
const ADDRESSES_MAX: u64 = 100_000;

/// Knows who is let in.
#[derive(Debug)]
pub struct Door {
    settings: Settings,
    /// Where it is said that a token was used for the first time on a day.
    used: UnboundedSender<(i64, Instant)>,
    /// How client addresses keep to the rate, where nobody is asked for a token.
    addresses: Option<Cache<IpAddr, Arc<Pace>>>,
}

impl Door {
    /// A door with these settings.
    pub fn new(settings: Settings, database: &Database) -> Self {
        let (used, days) = unbounded_channel();
        tokio::spawn(note_uses(database.clone(), days));
        let addresses = settings.address_rate.map(|_| Cache::new(ADDRESSES_MAX));
        Self { settings, used, addresses }
    }

    /// What was set.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether everybody may do everything: there was never a token, and that is meant.
    pub(super) fn is_open(&self, tokens: &Snapshot) -> bool {
        self.settings.open_without_tokens && tokens.is_empty()
    }

    /// What whoever sent this request may do.
    pub(super) fn admit(
        &self,
        app: &App,
        tokens: &Snapshot,
        request: (&HeaderMap, &Extensions),
    ) -> Result<Access, Refusal> {
        let (headers, extensions) = request;
        if !self.is_open(tokens) {
            let shown = headers.get(header::AUTHORIZATION).ok_or(Refusal::Missing)?;
            return self.show(app, tokens, shown.as_bytes());
        }
        if self.settings.this_machine_only && !is_this_machine(headers) {
            return Err(Refusal::Elsewhere);
        }
        if is_cross_site(headers, &self.settings.origins) {
            return Err(Refusal::Origin);
        }
        let address = || extensions.get::<ConnectInfo<std::net::SocketAddr>>().map(|info| info.0.ip());
        let pace = self
            .settings
            .address_rate
            .zip(self.addresses.as_ref())
            .and_then(|(rate, addresses)| Some(addresses.get_with(address()?, || Pace::new(rate))));
        let access = Access::open(pace);
        access.step()?;
        Ok(access)
    }

    /// What whoever shows this, as the header `Authorization` has it, may do.
    fn show(&self, app: &App, tokens: &Snapshot, shown: &[u8]) -> Result<Access, Refusal> {
        let now = app.clock.now();
        let token = bearer(shown).and_then(|shown| tokens.find(shown, now)).ok_or(Refusal::Invalid)?;
        if let Some(day) = token.used(now) {
            // Where nobody writes it down any more, the server is stopping.
            self.used.send((token.id, day)).ok();
        }
        let access = Access::by(token);
        access.step()?;
        Ok(access)
    }

    /// What whoever opens a WebSocket may do: as its headers say, or, where they have no token, as the payload of the
    /// first message does, `{"authorization": "Bearer …"}`.
    pub(crate) async fn session(
        app: &App,
        by_headers: Result<Access, Refusal>,
        payload: &serde_json::Value,
    ) -> Result<Access, Refusal> {
        let shown = payload.get("authorization").or_else(|| payload.get("Authorization"));
        match (shown.and_then(serde_json::Value::as_str), by_headers) {
            (Some(shown), Err(Refusal::Missing)) => {
                let tokens = app.tokens().await.map_err(|error| unavailable(&error))?;
                app.door.show(app, &tokens, shown.as_bytes())
            }
            (_, by_headers) => by_headers,
        }
    }
}

impl App {
    /// The tokens as they are now.
    pub(super) async fn tokens(&self) -> Result<Arc<Snapshot>, DbErr> {
        if !self.coherence.is_listening() {
            self.tokens.forget();
        }
        self.tokens.newest(&self.database).await
    }

    /// Does something with the tokens, if they are in memory and can be trusted.
    pub(super) fn with_tokens<T>(&self, work: impl FnOnce(&Snapshot) -> T) -> Option<T> {
        if !self.coherence.is_listening() {
            return None;
        }
        self.tokens.in_memory().as_deref().map(work)
    }
}

/// The same where the tokens may have to be read first.
pub(super) async fn admit(app: &App, parts: &Parts) -> Result<Access, Refusal> {
    let tokens = app.tokens().await.map_err(|error| unavailable(&error))?;
    app.door.admit(app, &tokens, (&parts.headers, &parts.extensions))
}

/// That the tokens cannot be read.
pub(super) fn unavailable(error: &DbErr) -> Refusal {
    tracing::error!(%error, "the tokens could not be read");
    Refusal::Unavailable
}

/// The token in `Bearer TOKEN`.
fn bearer(shown: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = shown.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// Writes down on which days tokens were used, aside from all requests.
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
        if let Err(error) = noted.await {
            tracing::warn!(%error, token = id, "the day on which a token was used could not be noted");
        }
    }
}
